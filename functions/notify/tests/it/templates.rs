//! Templates of the playbook's own: what is refused, with which words, and that none of them lets a stranger's text act.

use notify::Templates;
use std::path::Path;
use tempfile::TempDir;

const WHOLE: &str = "<html><body><h1>{{ headline }}</h1>{% for chapter in chapters %}{% for line in chapter.lines %}\
    <p title=\"{{ line.text }}\">{{ line.text }}</p>{% endfor %}{% endfor %}</body></html>";

/// A playbook's folder with one template in it.
fn with(name: &str, source: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("templates")).unwrap();
    std::fs::write(folder.path().join("templates").join(name), source).unwrap();
    folder
}

fn problems(name: &str, source: &str) -> String {
    let folder = with(name, source);
    Templates::read(folder.path()).map(|_| ()).unwrap_err().join("\n")
}

#[test]
fn a_playbook_without_templates_has_the_shipped_ones() {
    assert!(Templates::read(Path::new("/nowhere")).unwrap().overrides().is_empty());
    let folder = with("README.md", "what these are for");
    assert!(Templates::read(folder.path()).unwrap().overrides().is_empty());
}

#[test]
fn the_shipped_templates_can_be_copied_and_changed() {
    for (name, source) in [
        ("mail.html", include_str!("../../templates/mail.html")),
        ("mail.txt", include_str!("../../templates/mail.txt")),
        ("subject.txt", include_str!("../../templates/subject.txt")),
    ] {
        let folder = with(name, source);
        assert_eq!(Templates::read(folder.path()).unwrap().overrides(), [name]);
    }
    let folder = with("mail.html", WHOLE);
    assert_eq!(Templates::read(folder.path()).unwrap().overrides(), ["mail.html"]);
}

#[test]
fn what_is_wrong_is_said_by_file_and_line() {
    let cases = [
        ("mail.html", "<p>{{ headline }}\n{{ hedline }}", "templates/mail.html:2: "),
        ("mail.html", "{{ headline }}\n\n{% if %}", "templates/mail.html:3: "),
        ("mail.html", "<p>nothing of it</p>", "lacks the headline"),
        ("mail.txt", "nothing of it", "lacks the headline"),
        ("subject.txt", " ", "is empty"),
        ("mail.htm", "x", "templates/mail.htm: there are only mail.html, mail.txt, subject.txt"),
    ];
    for (name, source, expected) in cases {
        let said = problems(name, source);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn escaping_cannot_be_switched_off_and_nothing_else_be_taken_in() {
    let cases = [
        "{{ headline|safe }}",
        "{% autoescape false %}{{ headline }}{% endautoescape %}",
        "{%- \n autoescape false %}{{ headline }}{% endautoescape %}",
        "{{ headline }}{% include 'mail.txt' %}",
        "{% extends 'mail.txt' %}{{ headline }}",
        "{% import 'mail.txt' as x %}{{ headline }}",
        "{% macro x() %}{{ headline }}{% endmacro %}{{ x() }}",
    ];
    for source in cases {
        let said = problems("mail.html", source);
        assert!(said.starts_with("templates/mail.html:"), "{said}");
    }
}

#[test]
fn a_template_without_end_is_stopped() {
    let rows = "{% for a in chapters %}{% for b in chapters %}{% for c in chapters %}".repeat(6);
    let ends = "{% endfor %}{% endfor %}{% endfor %}".repeat(6);
    let said = problems("mail.html", &format!("{{{{ headline }}}}{rows}{{{{ headline }}}}{ends}"));
    assert!(said.contains("too many steps") || said.contains("writes more than"), "{said}");
}

#[test]
fn nothing_makes_a_text_grow_beyond_bounds() {
    let doubled = "{% set a = title %}".to_owned() + &"{% set a = a ~ a %}".repeat(40);
    let within = "{% for a in [title] %}".to_owned()
        + &"{% for a in [a ~ a] %}".repeat(40)
        + &"{% endfor %}".repeat(41);
    let nested = "{% for a in chapters %}".to_owned()
        + &"{% for a in [a, a] %}".repeat(40)
        + &"{% endfor %}".repeat(41);
    let named = "{% with a = a ~ a %}".repeat(40) + &"{% endwith %}".repeat(40);
    let joined = format!("{{{{ title{} }}}}", "|join(title)".repeat(6));
    let long = format!("{{{{ title{} }}}}", " ~ title".repeat(5_000));
    let cases = [
        (doubled.as_str(), "`set` is not to be had"),
        ("{%- set a %}{{ title }}{% endset %}", "`set` is not to be had"),
        (&named, "`with` is not to be had"),
        ("{% filter upper %}{{ title }}{% endfilter %}", "`filter` is not to be had"),
        ("{{ 'x' * 10000000 }}", "`*` is not to be had"),
        ("{{ [title] * 10000000 }}", "`*` is not to be had"),
        ("{{ '%}' ~ '}}' ~ \"'\" ~ 'x' * 3 }}", "`*` is not to be had"),
        ("{{ {'a': {'b': 1}} }}", "`{` is not to be had"),
        (&within, "goes over a variable alone"),
        (&nested, "goes over a variable alone"),
        ("{% for a in chapters recursive %}{{ loop([a, a]) }}{% endfor %}", "goes over a variable alone"),
        ("{% for a in chapters if (urgent)recursive %}{% endfor %}", "goes over a variable alone"),
        ("{{ chapters }}", "it is a list, and no text"),
        (&joined, "the filters were given more than"),
        (&long, "is longer than"),
        (
            "{{ title ~ title ~ title ~ title ~ title ~ title ~ title ~ title ~ title ~ title ~ title ~ title }}",
            "more than 10 of",
        ),
    ];
    for (source, expected) in cases {
        let said = problems("mail.html", &format!("{{{{ headline }}}}{source}"));
        assert!(said.starts_with("templates/mail.html:1: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn what_no_tag_says_and_what_is_quoted_is_not_looked_at() {
    let source = "{{ headline }} 2 * 2 {# {% set a = 1 %} {{ 2 * 2 }} #}{{ '* { ~' }}{% for table in tables %}\
        {% for row in tables[0].rows if row.label == \"*\" %}x{% else %}-{% endfor %}{% endfor %}\
        {%- if not urgent -%}{%- elif severity in ['High', 'Low'] %}{% endif %}";
    let folder = with("mail.html", source);
    assert_eq!(Templates::read(folder.path()).map(|templates| templates.overrides()), Ok(vec!["mail.html"]));
}

#[test]
fn the_subject_is_a_headers_in_its_own_template_and_inert_in_the_others() {
    let mut taken = crate::samples::requested();
    taken.alert.title = "see http://evil.example/x".to_owned();
    let mail = crate::samples::mail(&taken);
    assert!(mail.subject.contains("http://evil.example/x"), "{}", mail.subject);
    let (_, title) = mail.html.split_once("<title>").unwrap();
    assert!(title.split("</title>").next().unwrap().contains("hxxp://evil[.]example/x"), "{title:.300}");
}
