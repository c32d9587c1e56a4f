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
    let said = problems("mail.html", "{{ headline }}{{ 'x' * 10000000 }}");
    assert!(said.starts_with("templates/mail.html") && said.contains("writes more than"), "{said}");
}
