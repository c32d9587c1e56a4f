//! How a bad playbook is refused: every fault at once, each with its place and a way out.

use crate::{SETTINGS, Story, channels::smtp, own, shipped_file};
use policy::{Playbook, Problems, Texts};
use std::path::Path;

fn faults(settings: &str, policy: &str, assets: &str) -> Vec<String> {
    match Playbook::parse(&Texts { playbook: settings, policy, assets, guarantees: "" }) {
        Ok(_) => panic!("nothing was found wrong"),
        Err(problems) => problems.iter().map(str::to_owned).collect(),
    }
}

pub(crate) fn settings_alone(playbook: &str) -> Result<Playbook, Problems> {
    Playbook::parse(&Texts { playbook, ..Texts::default() })
}

/// The one fault of some settings, with the line it is about and a hint.
pub(crate) fn whole_fault(settings: &str) -> String {
    let mut found = faults(settings, "", "");
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// The one fault of some settings, in a sentence.
pub(crate) fn fault(settings: &str) -> String {
    first_line(&whole_fault(settings))
}

fn first_line(fault: &str) -> String {
    fault.lines().next().unwrap_or_default().to_owned()
}

fn first_lines(faults: &[String]) -> Vec<String> {
    faults.iter().map(|fault| first_line(fault)).collect()
}

#[test]
fn an_unknown_key_is_named_with_what_was_meant() {
    assert_eq!(
        whole_fault("\nmod = \"observe\""),
        "playbook.toml:2:1: unknown key `mod`\n 2 | mod = …\n   | ^^^\n   = hint: did you mean `mode`?"
    );
    assert!(whole_fault("[poll]\nintervall = \"60s\"").ends_with("hint: did you mean `interval`?"));
    assert_eq!(
        whole_fault("[quotas]\nper_hour = 3"),
        "playbook.toml:1:2: unknown key `quotas`\n 1 | [quotas]\n   |  ^^^^^^\n   \
         = hint: known here: `mode`, `time_zone`, `poll`, `isolation`, `limits`, `channels`"
    );
    let assets = "[[lists]]\nname = \"a\"\nowner = \"o\"\nreview_by = 2027-01-01\ntag = [\"x\"]";
    assert_eq!(
        faults("", "", assets)[0],
        "assets.toml:5:1: unknown key `tag`\n 5 | tag = [\"x\"]\n   | ^^^\n   = hint: did you mean `tags`?"
    );
}

#[test]
fn a_bad_value_is_pointed_at_and_shown_only_where_no_password_can_stand() {
    assert_eq!(
        whole_fault("[poll]\n  interval = \"1s\"  # quick"),
        "playbook.toml:2:14: `interval` must lie between 10s and 1h, not at `1s`\n 2 |   interval = …\n   |              ^"
    );
    let list = "[[lists]]\nname = \"a\"\nowner = \"o\"\nreview_by = \"2027-01-01\"\ntags = [\"x\"]";
    assert_eq!(
        faults("", "", list),
        ["assets.toml:4:13: `review_by` must be a date without quotes, such as 2027-03-31\n 4 | \
          review_by = \"2027-01-01\"\n   |             ^^^^^^^^^^^^"]
    );
}

#[test]
fn a_bad_value_says_what_a_good_one_is() {
    let table = [
        ("mode = \"on\"", "playbook.toml:1:8: `mode` cannot be `on`: it is one of `observe`, `enforce`"),
        ("mode = true", "playbook.toml:1:8: `mode` must be a text in quotes, not true or false"),
        (
            "[poll]\ninterval = 60",
            "playbook.toml:2:12: `interval` must be a number and a unit in quotes, such as \"60s\", \"10m\", \"4h\" or \"2d\"",
        ),
        (
            "[poll]\ninterval = \"1s\"",
            "playbook.toml:2:12: `interval` must lie between 10s and 1h, not at `1s`",
        ),
        ("[poll]\noverlap = \"2d\"", "playbook.toml:2:11: `overlap` must lie between 1m and 1d, not at `2d`"),
        (
            "[isolation]\nact_within = \"8d\"",
            "playbook.toml:2:14: `act_within` must lie between 1m and 7d, not at `8d`",
        ),
        (
            "[isolation]\nrelease_after = \"1h\"",
            "playbook.toml:2:17: `release_after` must lie between 2h and 30d, not at `1h`",
        ),
        (
            "[isolation]\ncomment_on_alert = \"yes\"",
            "playbook.toml:2:20: `comment_on_alert` must be true or false, not a text",
        ),
        (
            "[limits]\nper_hour = 1001",
            "playbook.toml:2:12: `per_hour` must be a whole number between 0 and 1000",
        ),
        (
            "[limits]\nat_one_time_percent = -1",
            "playbook.toml:2:23: `at_one_time_percent` must be a whole number between 0 and 100",
        ),
        (
            "[limits.per_group]\n\"Domain Controllers\" = \"none\"",
            "playbook.toml:2:24: `Domain Controllers` must be a whole number between 0 and 1000",
        ),
        (
            "[isolation]\ntype = \"full\"",
            "playbook.toml:2:8: `type` cannot be `full`: it is one of `Full`, `Selective`",
        ),
        ("poll = 3", "playbook.toml:1:8: `poll` must be a section, written [poll]"),
        (
            "[channels]\nname = \"x\"",
            "playbook.toml:1:1: every `channels` must be a section of its own, written [[channels]]",
        ),
        (
            "[[channels]]\nname = \"x\"\nkind = \"pager\"",
            "playbook.toml:3:8: there is no channel of kind `pager`; known: `folder`, `smtp`, `ses`, `graph`, \
             `teams`, `slack`, `sns`, `webhook`",
        ),
        ("[[channels]]\nname = \"x\"\nkind = \"folder\"", "playbook.toml:1:1: `path` is missing"),
        (
            "[[channels]]\nname = \"My Mail\"\nkind = \"folder\"\npath = \"x\"",
            "playbook.toml:2:8: `My Mail` cannot be a name: lower case letters, digits and dashes only, at most 60",
        ),
    ];
    for (settings, expected) in table {
        assert_eq!(fault(settings), expected);
    }
    let comment = format!("[isolation]\ncomment = \"{}\"", "x".repeat(201));
    assert_eq!(fault(&comment), "playbook.toml:2:11: `comment` must have at most 200 characters");
}

#[test]
fn an_asset_list_names_its_owner_its_review_and_real_devices() {
    let found = faults("", "", "[[lists]]\nname = \"a\"\ndevices = [\"pc1\"]\nreview_by = \"2027-01-01\"");
    assert_eq!(
        first_lines(&found),
        [
            "assets.toml:1:1: `owner` is missing",
            "assets.toml:4:13: `review_by` must be a date without quotes, such as 2027-03-31",
            "assets.toml:3:12: `pc1` is not a machine id (40 hexadecimal digits); take it from the device's page in the portal",
        ]
    );
    let head = "[[lists]]\nname = \"a\"\nowner = \"o\"\nreview_by = 2027-01-01\n";
    let empty = "assets.toml:1:1: the list `a` has no entries: name `devices`, `groups`, `tags` or `users`, or remove it";
    assert_eq!(first_lines(&faults("", "", head)), [empty]);
    assert_eq!(first_lines(&faults("", "", &format!("{head}tags = []"))), [empty]);
    let twice = format!("{head}tags = [\"x\"]\n").repeat(2);
    assert_eq!(first_lines(&faults("", "", &twice)), ["assets.toml:6:1: there are two lists called `a`"]);
}

#[test]
fn a_policy_that_does_not_parse_is_shown_with_a_caret() {
    let found = faults("", "@id(\"a\")\npermit (principal action, resource);", "");
    assert_eq!(found.len(), 1, "{found:#?}");
    let lines: Vec<&str> = found[0].lines().collect();
    assert!(lines[0].starts_with("policy.cedar:2:19: "), "{}", found[0]);
    assert_eq!(lines[1], " 2 | permit (principal action, resource);");
    assert!(lines[2].starts_with("   |                   ^^^^^^"), "{}", found[0]);
}

fn policy(when: &str) -> String {
    format!(
        "@id(\"a\")\n@reason(\"r\")\npermit (principal, action == Action::\"isolate\", resource)\nwhen {{ {when} }};"
    )
}

#[test]
fn a_policy_that_does_not_validate_is_shown_with_a_caret() {
    let found = faults("", &policy("resource.sverity == \"High\""), "");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("policy.cedar:4:8: for policy `a`, attribute `sverity`"), "{}", found[0]);
    assert!(
        found[0].contains("\n 4 | when { resource.sverity == \"High\" };\n   |        ^^^^^^^^^^^^^^^^"),
        "{}",
        found[0]
    );
    assert!(found[0].contains("hint: did you mean `severity`?"), "{}", found[0]);
}

/// The faults of a policy with this condition.
fn faults_of(when: &str) -> Vec<String> {
    faults("", &policy(when), "")
}

#[test]
fn an_unknown_word_in_a_policy_is_named_with_what_was_meant() {
    for (when, hint) in [
        ("resource.sverity == \"High\"", "did you mean `severity`?"),
        ("resource has device && resource.device.clas == \"server\"", "did you mean `class`?"),
        ("resource.tags.contains(\"vip\")", "did you mean `resource.device.tags`?"),
        (
            "resource.name == \"x\"",
            "did you mean `resource.device.name` or `resource.hunt.name` or `resource.user.name`?",
        ),
        ("resource.evidence.sha2.contains(\"x\")", "did you mean `sha1`?"),
        ("resource has user && resource.user.nam == \"x\"", "did you mean `name`?"),
        ("context.locaHour > 3", "did you mean `localHour`?"),
        ("context.severity == \"High\"", "did you mean `resource.severity`?"),
        ("context.banana > 3", "known here: `actWithin`, `hour`, "),
        ("principal.nick == \"x\"", "`principal` has no attributes"),
        ("resouce.severity == \"High\"", "did you mean `resource`?"),
        ("severity == \"High\"", "did you mean `resource.severity`?"),
        ("device.class == \"server\"", "did you mean `resource.device`?"),
        ("resource.severity == High", "a text stands in quotes: \"High\""),
        ("resource is Alrt", "did you mean `Alert`?"),
        (
            "resource has device && resource.device has tags && resource.device.tags.contain(\"x\")",
            "did you mean `contains`?",
        ),
        ("context.now.durationsince(context.now) < context.actWithin", "did you mean `durationSince`?"),
        ("resource.severity.startsWith(\"H\")", "a text is compared with `==` or with `like`"),
        ("resource.techniques.has(\"T1486\")", "a set is asked with `.contains"),
        ("context.now > datetim(\"2026-01-01\")", "did you mean `datetime`?"),
        ("resource.severity >= 3", "the severity as a number is `resource.severityLevel`"),
        (
            "resource.severity in [\"High\"]",
            "write it the other way round: `[\"…\", \"…\"].contains(resource.severity)`",
        ),
        ("context.hour > 22 or context.hour < 6", "write `||` for or"),
        ("context.hour > 6 and context.hour < 22", "write `&&` for and"),
        ("not resource.firstSeenObserving", "write `!` for not"),
        ("resource.severity = \"High\"", "try using '==' instead"),
    ] {
        let found = faults_of(when);
        assert!(found[0].contains(&format!("= hint: {hint}")), "{when}: {found:#?}");
        assert!(found[0].contains("\n 4 | when { ") && found[0].contains('^'), "{when}: {found:#?}");
    }
    for (action, hint) in [
        ("== Action::\"isolat\"", "did you mean `Action::\"isolate\"`?"),
        ("in Action::\"cutof\"", "did you mean `Action::\"cutOff\"`?"),
        ("== Action::\"quarantine\"", "known here: `Action::\"cutOff\"`, "),
    ] {
        let found = faults("", &policy("true").replace("== Action::\"isolate\"", action), "");
        assert_eq!(found.len(), 1, "what follows from it is not said: {found:#?}");
        assert!(found[0].contains(&format!("= hint: {hint}")), "{found:#?}");
    }
}

#[test]
fn what_may_be_absent_is_to_be_asked_for_in_words_that_can_be_copied() {
    let tagged = "resource.device.tags.contains(\"vip\")";
    let found = faults_of(tagged);
    assert_eq!(found.len(), 1, "the device is in the hint about its tags: {found:#?}");
    let guard = "resource has device && resource.device has tags";
    assert!(found[0].ends_with(&format!("= hint: ask for it first: `{guard} && …`")), "{}", found[0]);
    let mended = policy(&format!("{guard} && {tagged}"));
    assert!(Playbook::parse(&Texts { policy: &mended, ..Texts::default() }).is_ok());
    let found = faults_of("context.isolationsLastHour > 3");
    assert!(found[0].ends_with("`context has isolationsLastHour && …`"), "{}", found[0]);
}

#[test]
fn a_has_that_asks_for_what_never_is_is_refused() {
    for (when, place, hint) in [
        ("resource has devic && resource.devic.class == \"server\"", "4:21", "did you mean `device`?"),
        ("!(resource has clasification)", "4:23", "did you mean `classification`?"),
        ("resource has tags", "4:21", "did you mean `resource.device.tags`?"),
        ("resource has device.tag || true", "4:28", "did you mean `tags`?"),
        ("resource has device && resource.device has risc", "4:51", "did you mean `risk`?"),
        (
            "context has isolationLastHour || resource.severity == \"High\"",
            "4:20",
            "did you mean `isolationsLastHour`?",
        ),
    ] {
        let found = faults_of(when);
        assert_eq!(found.len(), 1, "what follows from it is not said: {found:#?}");
        assert!(found[0].starts_with(&format!("policy.cedar:{place}: `")), "{}", found[0]);
        assert!(found[0].contains("is always answered with no") && found[0].contains(hint), "{}", found[0]);
    }
    let fine = "resource has device.tags && resource.title != \"resource has x\" // resource has y\n";
    assert!(Playbook::parse(&Texts { policy: &policy(fine), ..Texts::default() }).is_ok());
}

#[test]
fn what_would_silently_be_no_is_refused_instead() {
    for (when, word) in [
        ("resource.severityLevel >= 4", "unable to guarantee safety of access to optional attribute"),
        ("resource.device.class == \"server\"", "optional attribute"),
        ("resource has severityLevel && resource.severityLevel >= \"High\"", "expected"),
        ("resource.severity > \"Medium\"", "expected"),
        ("false", "impossible"),
        ("resource.title == \"\u{202e}x\"", "BIDI"),
    ] {
        let found = faults("", &policy(when), "").join("\n");
        assert!(found.contains(word) && found.contains("policy.cedar:"), "{when}: {found}");
    }
    let found = faults("", &policy("true").replace("\"isolate\"", "\"isolat\""), "").join("\n");
    assert!(found.contains("unrecognized action"), "{found}");
}

#[test]
fn every_policy_has_an_id_of_its_own_and_a_reason() {
    let body = "permit (principal, action == Action::\"notify\", resource);\n";
    let found = faults(
        "",
        &format!(
            "{body}@id(\"a\") @reason(\"r\")\n{body}@id(\"a\") @reason(\"r\")\n{body}@id @reason(\" \")\n{body}"
        ),
        "",
    );
    let firsts: Vec<&str> = found.iter().filter_map(|problem| problem.lines().next()).collect();
    assert_eq!(
        firsts,
        [
            "policy.cedar:1:1: a policy needs an `@id`",
            "policy.cedar:1:1: a policy needs a `@reason`",
            "policy.cedar:4:1: the `@id` `a` is taken: line 2 has it too",
            "policy.cedar:6:1: a policy needs an `@id`",
            "policy.cedar:6:5: a policy needs a `@reason`",
        ]
    );
    assert!(found[2].contains("\n 4 | @id(\"a\") @reason(\"r\")\n   | ^^^"), "{}", found[2]);
}

/// Whoever looks at a decision could not tell such a policy from a person.
#[test]
fn no_policy_can_have_the_id_that_stands_for_a_person() {
    let text =
        "@id(\"by-hand\") @reason(\"r\")\nforbid (principal, action == Action::\"isolate\", resource);";
    let (policy, guarantees) =
        (Texts { policy: text, ..Texts::default() }, Texts { guarantees: text, ..Texts::default() });
    for (file, texts) in [("policy.cedar", policy), ("guarantees.cedar", guarantees)] {
        let problems = Playbook::parse(&texts).unwrap_err();
        let found: Vec<&str> = problems.iter().collect();
        let what = format!("{file}:1:1: the `@id` `by-hand` stands for what a person has ordered\n");
        assert!(found[0].starts_with(&what) && found[0].contains("hint: "), "{found:#?}");
        assert_eq!(found.len(), 1, "{found:#?}");
    }
}

#[test]
fn an_annotation_that_would_be_ignored_is_refused() {
    let table = [
        ("@mode(\"enforce\")", "permit", "`@mode` cannot be `enforce`"),
        ("@mode", "permit", "`@mode` cannot be ``"),
        ("@isolationType(\"Partial\")", "permit", "`@isolationType` cannot be `Partial`"),
        ("@mod(\"observe\")", "permit", "unknown annotation `@mod`"),
        ("@isolationtype(\"Full\")", "permit", "did you mean `isolationType`?"),
        ("@mode(\"observe\")", "forbid", "`@mode` means nothing on a forbid"),
    ];
    for (annotation, effect, word) in table {
        let text = format!(
            "@id(\"a\") @reason(\"r\") {annotation}\n{effect} (principal, action == Action::\"isolate\", resource);"
        );
        let found = faults("", &text, "");
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("policy.cedar:1:23: ") && found[0].contains(word), "{}", found[0]);
    }
}

#[test]
fn a_template_is_refused() {
    let found =
        faults("", "@id(\"a\") @reason(\"r\")\npermit (principal, action, resource == ?resource);", "");
    assert!(found[0].contains("a template cannot stand here"), "{found:#?}");
}

#[test]
fn all_problems_of_all_files_come_at_once() {
    let policies = format!("{}\n{}", policy("resource.sverity == \"x\""), policy("resource.title == 7"));
    let texts = Texts {
        playbook: "mod = \"observe\"\n[poll]\ninterval = \"1s\"",
        policy: &policies,
        guarantees: "@id(\"g\")\n@reason(\"r\")\npermit (principal, action, resource);",
        assets: "[[lists]]\nname = \"a\"",
    };
    let problems = Playbook::parse(&texts).unwrap_err();
    let found: Vec<&str> = problems.iter().collect();
    for word in [
        "playbook.toml:1:1: unknown key `mod`",
        "playbook.toml:3:12: `interval`",
        "policy.cedar:5:1: the `@id` `a` is taken",
        "policy.cedar:4:8: for policy `a`, attribute `sverity`",
        "guarantees.cedar:1:1: a guarantee can only forbid",
        "assets.toml:1:1: `owner` is missing",
        "assets.toml:1:1: `review_by` is missing",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(word)), "{word}\n{problems}");
    }
    assert_eq!(problems.to_string(), found.join("\n"));
}

#[test]
fn broken_toml_is_named_with_its_line() {
    let found = faults("mode = \"observe\"\ninterval = = 3", "", "[[lists]\n");
    assert!(found[0].starts_with("playbook.toml:2:12: "), "{found:#?}");
    assert!(found.iter().any(|problem| problem.starts_with("assets.toml:1:")), "{found:#?}");
    for password in [
        "password = hunter2",
        "password = \"hunter2",
        "password: \"hunter2\"",
        "password hunter2",
        "password = \"\"\"\nhunter2=\n",
        "to = [\n\"hunter2\" \"x\"]",
        "\"hunter2\" = = 1",
        "passwords = { first = \"hunter2\" second }",
    ] {
        let bare = faults(&smtp(&format!("host = \"m\"\nusername = \"u\"\n{password}")), "", "").join("\n");
        assert!(bare.contains("playbook.toml:") && !bare.contains("hunter2"), "{bare}");
    }
}

#[test]
fn a_missing_file_is_named_and_so_are_all_others() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.cedar"), shipped_file("policy.cedar")).unwrap();
    let problems = Playbook::read(folder.path()).unwrap_err();
    let found: Vec<&str> = problems.iter().collect();
    assert_eq!(found.len(), 3, "{problems}");
    assert!(found[0].starts_with("cannot read `") && found[0].contains("playbook.toml"), "{problems}");
    assert!(found[1].contains("guarantees.cedar") && found[2].contains("assets.toml"), "{problems}");

    std::fs::write(folder.path().join("playbook.toml"), SETTINGS).unwrap();
    std::fs::write(folder.path().join("assets.toml"), "").unwrap();
    std::fs::write(folder.path().join("guarantees.cedar"), "").unwrap();
    assert!(Playbook::read(folder.path()).is_ok());
    assert!(Playbook::read(Path::new("/nowhere/at/all")).is_err());
}

#[test]
fn a_policy_that_is_nested_too_deep_is_refused_before_it_overflows_the_stack() {
    let deep = 1_500;
    for (open, middle, close) in
        [("(", "true", ")"), ("[", "", "]"), ("{a:", "1", "}"), ("if true then ", "true", " else true")]
    {
        let when = format!("{}{middle}{} == 1", open.repeat(deep), close.repeat(deep));
        let found = faults("", &policy(&when), "");
        assert!(found[0].contains("nested deeper than 100 levels"), "{open}: {found:?}");
    }
    let (text, comment) = ("\\\"(".repeat(deep), "(".repeat(deep));
    let quoted = format!("resource.severity == \"{text}\" // {comment}\n");
    let found = Playbook::parse(&Texts { policy: &policy(&quoted), ..Texts::default() });
    assert!(found.is_ok(), "what stands in texts and comments is not nested: {found:?}");
}

#[test]
fn a_policy_of_too_many_conditions_in_a_row_is_refused_wherever_it_is_read() {
    let chain = |count: usize| vec!["resource.title == \"x\""; count].join(" || ");
    let found = faults("", &policy(&chain(250)), "");
    assert!(found[0].contains("at most 200 conditions in a row"), "{found:?}");
    assert!(found[0].contains("contains("), "{found:?}");
    let sums = vec!["1"; 250].join(" + ");
    assert!(faults("", &policy(&format!("{sums} > 3")), "")[0].contains("conditions in a row"));
    // What is let through is decided on the smallest of stacks.
    let most = format!("{}{}{}", "(".repeat(50), chain(200), ")".repeat(50));
    let decision = Story::new().by(&own(&policy(&most)));
    assert!(decision.doubts.is_empty(), "{:?}", decision.doubts);
}

#[test]
fn a_group_where_an_action_should_stand_is_told_from_an_action() {
    let of = |scope: &str| {
        let policy = format!("@id(\"a\")\n@reason(\"r\")\nforbid (principal, action {scope}, resource);");
        faults("", &policy, "")
    };
    let found = of("== Action::\"cutOff\"");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("hint: `cutOff` is a group of actions: write `action in Action::\"cutOff\"`"),
        "{found:?}"
    );
    let found = of("in Action::\"investigate\"");
    assert!(found[0].contains("hint: no action belongs to the group `investigate` yet"), "{found:?}");
}
