//! Tests of the policy as data: how cases are read, decided and compared. What the shipped cases say is theirs.

use crate::{DEVICE, SETTINGS};
use policy::{CASES, Decoders, Difference, Playbook, Texts};
use std::path::Path;

const POLICY: &str = r#"
@id("high") @reason("the alert is High")
permit (principal, action == Action::"isolate", resource) when { resource.severity == "High" };
@id("medium") @reason("the alert is Medium")
permit (principal, action == Action::"proposeIsolate", resource) when { resource.severity == "Medium" };
@id("listed") @reason("the device is listed")
forbid (principal, action == Action::"isolate", resource)
when { resource has device && !resource.device.listed.isEmpty() };
@id("busy") @reason("much was isolated already")
forbid (principal, action == Action::"isolate", resource)
when { context has isolationsLastHour && context.isolationsLastHour > 5 };
"#;

const GUARANTEES: &str = r#"
@id("workstations") @reason("only workstations are cut off")
forbid (principal, action in Action::"cutOff", resource)
unless { resource has device && resource.device has class && resource.device.class == "workstation" };
"#;

const ASSETS: &str =
    "[[lists]]\nname = \"board\"\nowner = \"o\"\nreview_by = 2999-01-01\ntags = [\"Board\"]\n";

const DECODERS: Decoders = Decoders {
    alert: |text| serde_json::from_str(text).map_err(|error| error.to_string()),
    device: |text| serde_json::from_str(text).map_err(|error| error.to_string()),
};

fn playbook() -> Playbook {
    let texts = Texts { playbook: SETTINGS, policy: POLICY, guarantees: GUARANTEES, assets: ASSETS };
    Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What is wrong with some cases.
fn faults(text: &str) -> Vec<String> {
    let folder = Path::new("/nowhere");
    match playbook().parse_cases("cases/x.toml", text, folder, &DECODERS) {
        Ok(_) => panic!("nothing was found wrong"),
        Err(problems) => problems.iter().map(str::to_owned).collect(),
    }
}

/// The one fault of a case that is right but for this, the lines of which begin with the fourth.
fn fault(more: &str) -> String {
    let mut found = faults(&format!("[[cases]]\nname = \"a\"\nexpect = \"none\"\n{more}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// What differs in each of some cases.
fn differences(text: &str) -> Vec<Vec<Difference>> {
    let playbook = playbook();
    let cases = playbook.parse_cases("cases/x.toml", text, Path::new("/nowhere"), &DECODERS);
    let cases = cases.unwrap_or_else(|problems| panic!("{problems}"));
    cases.iter().map(|case| playbook.try_case(case).differences).collect()
}

/// The case passes.
#[track_caller]
fn passes(case: &str) {
    let found = differences(&format!("[[cases]]\nname = \"a\"\n{case}"));
    assert_eq!(found, [Vec::new()], "{case}");
}

#[test]
fn the_default_is_a_high_alert_on_a_workstation_that_is_acted_upon() {
    passes(
        "expect = \"isolate\"\nby = [\"high\"]\nagainst = []\ntold = true\nacts_in = \"enforce\"\nisolation_type = \"Full\"",
    );
}

#[test]
fn whatever_is_given_stands_in_place_of_the_default() {
    for case in [
        "alert = { severity = \"Low\" }\nexpect = \"none\"\ntold = false",
        "alert = { severity = \"\" }\nexpect = \"refused\"\ndoubts = [\"no severity\"]",
        "alert = { status = \"\", classification = \"Odd\" }\nexpect = \"refused\"\ndoubts = [\"no status\", \"`Odd`\"]",
        "alert = { unreadable = [\"x: y\"] }\nexpect = \"refused\"\ndoubts = [\"could not be read in full: x: y\"]",
        "device = { tags = \"\" }\nexpect = \"refused\"\ndoubts = [\"tags are not known\"]",
        "device = \"unknown\"\nexpect = \"refused\"\nagainst = [\"workstations\"]\ndoubts = [\"the device is not known\"]",
        "alert = { device = \"\" }\nexpect = \"refused\"\ndoubts = [\"names no machine id\"]",
        "alert = { device = \"pc1\" }\ndevice = {}\nexpect = \"refused\"\ndoubts = [\"`pc1`, which is no machine id\"]",
        "device = { os_platform = \"Linux\" }\nexpect = \"refused\"\nby = [\"high\"]\nagainst = [\"workstations\"]",
        "device = { tags = [\"board\"] }\nexpect = \"refused\"\nby = [\"high\"]\nagainst = [\"listed\"]",
        "isolations_last_hour = 6\nexpect = \"refused\"\nagainst = [\"busy\"]",
        "isolations_last_hour = \"\"\nopen_isolation = true\nexpect = \"isolate\"",
        "mode = \"observe\"\nexpect = \"isolate\"\nacts_in = \"observe\"",
        "mode = \"unset\"\nexpect = \"isolate\"\nacts_in = \"enforce\"",
    ] {
        passes(case);
    }
}

#[test]
fn alert_and_device_are_about_one_device_unless_both_say_which() {
    let (one, other) = (DEVICE, DEVICE.replace('1', "2"));
    for same in [
        format!("alert = {{ device = \"{other}\" }}"),
        format!("device = {{ id = \"{other}\" }}"),
        format!("alert = {{ device = \"{one}\" }}\ndevice = {{ id = \"{one}\" }}"),
    ] {
        passes(&format!("{same}\nexpect = \"isolate\""));
    }
    let differ = format!("alert = {{ device = \"{other}\" }}\ndevice = {{ id = \"{one}\" }}");
    passes(&format!("{differ}\nexpect = \"refused\"\ndoubts = [\"was looked up\"]"));
}

#[test]
fn lists_stand_in_for_those_of_assets_toml_and_never_go_stale() {
    let text = "[[lists]]\nname = \"dc\"\ngroups = [\"Clients\"]\n[[cases]]\nname = \"a\"\nexpect = \"refused\"\n\
                against = [\"listed\"]\n[[cases]]\nname = \"b\"\ndevice = { tags = [\"board\"], group = \"x\" }\n\
                at = 3000-01-01T00:00:00Z\nexpect = \"isolate\"\n";
    assert_eq!(differences(text), [Vec::new(), Vec::new()]);
    // Those of assets.toml do.
    passes("at = 3000-01-01T00:00:00Z\nexpect = \"refused\"\ndoubts = [\"due for review\"]");
}

#[test]
fn what_is_not_as_expected_is_named_with_the_policies_and_their_reasons() {
    let case = "[[cases]]\nname = \"a\"\ndevice = { tags = [\"board\"] }\nexpect = \"isolate\"\nby = [\"medium\"]\n\
                against = []\ntold = true\nacts_in = \"observe\"\nisolation_type = \"Selective\"\ndoubts = [\"x\"]\n";
    let found = differences(case).remove(0);
    let what: Vec<(&str, &str, &str)> =
        found.iter().map(|found| (found.what, found.expected.as_str(), found.was.as_str())).collect();
    assert_eq!(
        what,
        [
            ("expect", "isolate", "refused"),
            ("told", "true", "false"),
            ("acts_in", "observe", "enforce"),
            ("isolation_type", "Selective", "Full"),
            ("by", "medium", "high"),
            ("against", "none", "listed"),
            ("doubts", "x", "none"),
        ]
    );
    assert_eq!(
        found[4].notes,
        ["missing: `medium` (the alert is Medium)", "unexpected: `high` (the alert is High)"]
    );
    assert_eq!(found[5].notes, ["unexpected: `listed` (the device is listed)"]);
}

#[test]
fn policies_that_no_case_makes_speak_are_known() {
    let playbook = playbook();
    let text = "[[cases]]\nname = \"a\"\nexpect = \"isolate\"\n[[cases]]\nname = \"b\"\ndevice = { os_platform = \"Linux\" }\nexpect = \"none\"\n";
    let cases = playbook.parse_cases("cases/x.toml", text, Path::new(""), &DECODERS).unwrap();
    let unheard = |count: usize| {
        let tried: Vec<_> = cases.iter().take(count).map(|case| playbook.try_case(case)).collect();
        let (policies, guarantees) = playbook.unheard(&tried);
        let ids = |rules: Vec<&policy::Rule>| rules.iter().map(|rule| rule.id.clone()).collect::<Vec<_>>();
        (ids(policies), ids(guarantees))
    };
    let policies = ["medium", "listed", "busy"].map(str::to_owned).to_vec();
    assert_eq!(unheard(1), (policies.clone(), vec!["workstations".to_owned()]));
    assert_eq!(unheard(2), (policies, Vec::new()));
}

#[test]
fn a_mistake_in_a_case_is_shown_with_what_was_meant() {
    assert_eq!(
        fault("alert = { severty = \"Low\" }"),
        "cases/x.toml:4:11: unknown key `severty`\n 4 | alert = { severty = \"Low\" }\n   |           ^^^^^^^\n   \
         = hint: did you mean `severity`?"
    );
    for (more, place, what, hint) in [
        ("expects = \"none\"", "4:1", "unknown key `expects`", "did you mean `expect`?"),
        ("device = { platform = \"x\" }", "4:12", "unknown key `platform`", "did you mean `os_platform`?"),
        ("by = [\"hihg\"]", "4:7", "there is no policy `hihg`", "did you mean `high`?"),
        (
            "against = [\"workstation\"]",
            "4:12",
            "there is no policy `workstation`",
            "did you mean `workstations`?",
        ),
        ("by = [\"busy\"]", "4:7", "`busy` forbids: it never stands in `by`", "write it into `against`"),
        (
            "against = [\"high\"]",
            "4:12",
            "`high` permits: it never stands in `against`",
            "write it into `by`",
        ),
        ("alert = { created = \"yesterday\" }", "4:21", "`created` must be a time, not a text", "\"5h ago\""),
        (
            "alert = { created = 2026-11-20T10:00:00 }",
            "4:21",
            "`created` must be a time, not a date",
            "Z without quotes",
        ),
        ("alert = { title = \"\" }", "4:19", "`title` cannot be taken away", ""),
        (
            "alert = { techniques = \"T1486\" }",
            "4:24",
            "`techniques` must be a list of texts, not a text",
            "[\"a\", \"b\"]",
        ),
        ("alert = { severity = 3 }", "4:22", "`severity` must be a text in quotes, not a number", ""),
        ("alert = { user = { domain = \"x\" } }", "4:18", "`name` is missing", ""),
        (
            "alert = { evidence = [{ kind = \"File\", sha = \"x\" }] }",
            "4:40",
            "unknown key `sha`",
            "did you mean `sha1`?",
        ),
        ("alert = \"x\"", "4:9", "`alert` must be a section", ""),
        ("device = \"unkown\"", "4:10", "`device` cannot be `unkown`", "device = \"unknown\""),
        ("device = { id = \"pc1\" }", "4:17", "`pc1` is not a machine id", ""),
        ("at = \"now\"", "4:6", "`at` must be a time with its offset", "2026-11-20T22:30:00Z"),
        ("seen = \"enforced\"", "4:8", "`seen` cannot be `enforced`: it is one of `observe`, `enforce`", ""),
        ("told = \"yes\"", "4:8", "`told` must be true or false, not a text", ""),
        ("isolations_last_hour = -1", "4:24", "`isolations_last_hour` must be a whole number", ""),
        (
            "alert_file = \"none.json\"",
            "4:14",
            "cannot read `/nowhere/cases/none.json`",
            "as Defender's API gives it",
        ),
    ] {
        let found = fault(more);
        let first = found.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("cases/x.toml:{place}: {what}")), "{found}");
        assert!(found.contains(hint) && found.contains('^'), "{found}");
    }
    let found = faults(
        "[[cases]]\nexpect = \"isolated\"\n[[cases]]\nname = \"b\"\n[[cases]]\nname = \"b\"\nexpect = \"none\"\n[[cases]]\nname = \"b\"\nexpect = \"none\"\n[[case]]\n[[lists]]\nname = \"x\"\n",
    );
    let found = found.join("\n");
    for what in [
        "x.toml:1:1: `name` is missing",
        "x.toml:2:10: `expect` cannot be `isolated`: it is one of `isolate`, `propose`, `none`, `refused`",
        "x.toml:3:1: `expect` is missing",
        "x.toml:9:8: there are two cases of this name: line 5 has it too",
        "x.toml:11:3: unknown key `case`",
        "did you mean `cases`?",
        "x.toml:12:1: the list `x` has no entries",
    ] {
        assert!(found.contains(what), "{what}\n{found}");
    }
    assert!(faults("[[cases]\n")[0].starts_with("cases/x.toml:1:"));
}

#[test]
fn records_stand_in_files_of_their_own_and_fields_go_over_them() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join(CASES);
    std::fs::create_dir_all(cases.join("records")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(cases.join(name), text).unwrap();
    let other = DEVICE.replace('1', "2");
    write(
        "records/alert.json",
        &format!(
            r#"{{"id":"a","title":"t","severity":"Medium","status":"New","techniques":[],"evidence":[],
                 "device":{{"id":"{other}"}}}}"#
        ),
    );
    write("records/device.json", &format!(r#"{{"id":"{other}","os_platform":"Linux","tags":[]}}"#));
    write("records/broken.json", "{");
    write(
        "b.toml",
        "[[cases]]\nname = \"b\"\nalert_file = \"records/alert.json\"\nalert = { severity = \"High\" }\ndevice_file = \"records/device.json\"\nexpect = \"refused\"\nagainst = [\"workstations\"]\n",
    );
    write("a.toml", "\n[[cases]]\nname = \"a\"\nalert_file = \"records/alert.json\"\nexpect = \"propose\"\n");
    write("notes.md", "no cases");
    let playbook = playbook();
    let read = playbook.read_cases(folder.path(), &DECODERS).unwrap();
    let places: Vec<(&str, usize)> = read.iter().map(|case| (case.file.as_str(), case.line)).collect();
    assert_eq!(places, [("cases/a.toml", 2), ("cases/b.toml", 1)]);
    for case in &read {
        assert_eq!(playbook.try_case(case).differences, [], "{}", case.name);
    }

    write("c.toml", "[[cases]]\nname = \"c\"\nalert_file = \"records/broken.json\"\nexpect = \"none\"\n");
    write("d.toml", "[[cases]]\nname = 3\nexpect = \"none\"\n");
    let problems = playbook.read_cases(folder.path(), &DECODERS).unwrap_err();
    let found: Vec<&str> = problems.iter().collect();
    assert!(found[0].starts_with("cases/c.toml:3:14: `records/broken.json` cannot be read: "), "{problems}");
    assert!(found[1].starts_with("cases/d.toml:2:8: `name` must be a text"), "{problems}");
    let none = tempfile::tempdir().unwrap();
    assert!(playbook.read_cases(none.path(), &DECODERS).unwrap().is_empty());
}
