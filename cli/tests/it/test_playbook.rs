//! `cordon test-playbook`, and what `cordon check` and a deployment make of cases that fail.
//!
//! How cases are read and compared is tested in `policy`, and so are the cases of every playbook that ships; here it is
//! what people see, and exit codes.

use crate::site::{CORDON, SHIPPED, Site, one_high};
use serde_json::json;
use std::{fs, path::Path, process::Command};

const PASSES: &str = "[[cases]]\nname = \"a High alert isolates\"\nexpect = \"isolate\"\n";
const FAILS: &str = "\n[[cases]]\nname = \"a High alert on a server isolates\"\n\
                     device = { os_platform = \"WindowsServer2022\" }\nexpect = \"isolate\"\nby = [\"isolate-high\"]\n";

/// A site with the shipped playbook and these cases.
fn with_cases(text: &str) -> Site {
    let mut site = Site::bare();
    site.write_playbook("guarantees.cedar", &shipped("guarantees.cedar"));
    fs::create_dir(site.path("own-playbook/cases")).unwrap();
    site.write_playbook("cases/own.toml", text);
    site
}

fn shipped(file: &str) -> String {
    fs::read_to_string(Path::new(SHIPPED).join(file)).unwrap()
}

const ONE_POLICY: &str = "@id(\"isolate-high\") @reason(\"the alert is High\")
permit (principal, action == Action::\"isolate\", resource) when { resource.severity == \"High\" };
";

#[test]
fn where_all_cases_pass_and_make_every_policy_speak_it_says_how_many_and_no_more() {
    let mut site = with_cases(PASSES);
    site.write_playbook("policy.cedar", ONE_POLICY);
    site.write_playbook("guarantees.cedar", "");
    assert_eq!(site.cordon(&["test-playbook"]).well(), "1 case passed, 0 failed\n");
    let report = site.cordon(&["test-playbook", "--json"]).json();
    assert_eq!((&report["passed"], &report["failed"]), (&json!(1), &json!(0)));
    assert_eq!(report["unheard"], json!({"policies": [], "guarantees": []}));
    assert_eq!(report["cases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_case_that_fails_is_told_with_what_was_expected_and_how_it_came_about() {
    let site = with_cases(&format!("{PASSES}{FAILS}"));
    let ended = site.cordon(&["test-playbook"]);
    ended.complains(1, &["cordon: a case does not hold"]);
    for line in [
        "FAILED  a High alert on a server isolates",
        "  cases/own.toml:5",
        "  expect\n    expected  isolate\n    was       propose\n",
        "  by\n    expected  isolate-high\n    was       ask-server\n      missing: `isolate-high` (the alert is High)\n",
        "      unexpected: `ask-server` (",
        "    against server-needs-a-person: a server is not cut off without a person\n",
        "    resource.device.class = server\n",
        "    resource.classification is absent\n",
        "no case makes these policies speak: ",
        "no case makes these guarantees speak ",
        "1 case passed, 1 failed\n",
    ] {
        assert!(ended.stdout.contains(line), "`{line}` in {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("a High alert isolates"), "what passes is not told: {}", ended.stdout);

    let ended = site.cordon(&["test-playbook", "--json"]);
    let report = ended.json();
    assert_eq!((ended.code, &report["passed"], &report["failed"]), (1, &json!(1), &json!(1)));
    let failed = &report["cases"][1];
    assert_eq!((&failed["passed"], &failed["line"]), (&json!(false), &json!(5)));
    assert_eq!(
        failed["differences"][0],
        json!({"what": "expect", "expected": "isolate", "was": "propose", "notes": []})
    );
    assert_eq!(failed["decision"]["answer"], "propose");
}

#[test]
fn a_part_of_the_cases_can_be_asked_for_by_name_or_file() {
    let mut site = with_cases(&format!("{PASSES}{FAILS}"));
    site.write_playbook("cases/more.toml", PASSES);
    assert_eq!(site.cordon(&["test-playbook", "alert isolates"]).well(), "2 cases passed, 0 failed\n");
    assert_eq!(site.cordon(&["test-playbook", "MORE.toml"]).well(), "1 case passed, 0 failed\n");
    site.cordon(&["test-playbook", "on a server"]).complains(1, &["a case does not hold"]);
    site.cordon(&["test-playbook", "nothing"]).complains(2, &["no case has `nothing` in its name"]);
}

#[test]
fn a_record_of_the_service_can_stand_for_an_alert() {
    let mut site = with_cases(
        "[[cases]]\nname = \"a\"\nalert_file = \"record.json\"\nat = 2026-11-20T10:00:00Z\nexpect = \"isolate\"\n",
    );
    let record = |machine: &str| {
        json!({
            "id": "da1_1", "severity": "High", "status": "New", "title": "t", "machineId": machine,
            "detectionSource": "WindowsDefenderAtp", "alertCreationTime": "2026-11-20T09:59:00Z",
            "lastEventTime": "2026-11-20T09:59:00Z", "evidence": [],
        })
        .to_string()
    };
    site.write_playbook("cases/record.json", &record(crate::site::DEVICE));
    site.cordon(&["test-playbook"]).well();
    site.write_playbook("cases/record.json", &record("pc1"));
    site.cordon(&["test-playbook"]).complains(1, &["a case does not hold"]);
    site.write_playbook("cases/record.json", "[]");
    site.cordon(&["test-playbook"])
        .complains(2, &["cases/own.toml:3:14: `record.json` cannot be read", "as Defender's API gives it"]);
}

#[test]
fn a_case_that_cannot_be_read_is_shown_with_a_caret_and_a_hint() {
    let site = with_cases("[[cases]]\nname = \"a\"\nalert = { severty = \"Low\" }\nexpect = \"none\"\n");
    for command in [&["test-playbook"][..], &["check", "--playbook"]] {
        let ended = site.cordon(command);
        ended.complains(2, &["CORDON_PLAYBOOK `own-playbook`: cases/own.toml:3:11: unknown key `severty`"]);
        ended.complains(
            2,
            &["3 | alert = { severty = \"Low\" }\n   |           ^^^^^^^\n", "did you mean `severity`?"],
        );
    }
}

#[test]
fn a_playbook_without_cases_needs_some_to_be_tested_and_none_to_be_checked() {
    let site = with_cases("");
    fs::remove_dir_all(site.path("own-playbook/cases")).unwrap();
    site.cordon(&["test-playbook"]).complains(1, &["there is no case in `own-playbook/cases`", "--help"]);
    let text = site.cordon(&["check", "--playbook"]).well();
    assert!(text.contains("cases        none: `cordon test-playbook --help`"), "{text}");
    site.cordon(&["--stack", "x", "test-playbook"]).complains(2, &["--stack is for"]);
}

#[test]
fn a_check_decides_the_cases_too() {
    let mut site = with_cases(PASSES);
    let text = site.cordon(&["check", "--playbook"]).well();
    assert!(text.contains("cases        1 case passed, 0 failed\n"), "{text}");
    site.write_playbook("cases/own.toml", &format!("{PASSES}{FAILS}"));
    let failed = "cordon: cases/own.toml:5: the case \"a High alert on a server isolates\" failed: `expect` should be \
                  isolate, and is propose";
    site.cordon(&["check", "--playbook"]).complains(1, &[failed]);
    let report = site.cordon(&["check", "--playbook", "--json"]).json();
    assert_eq!(report["cases"], "1 case passed, 1 failed");

    // With a tenant, too.
    let mut whole = Site::new(one_high());
    for (file, text) in [("guarantees.cedar", shipped("guarantees.cedar")), ("cases", String::new())] {
        if file == "cases" {
            fs::create_dir(whole.path("own-playbook/cases")).unwrap();
        } else {
            whole.write_playbook(file, &text);
        }
    }
    whole.write_playbook("cases/own.toml", FAILS);
    let ended = whole.cordon(&["check"]);
    ended.complains(1, &["a High alert on a server isolates"]);
    assert!(ended.stdout.contains("Alert.Read.All"), "the rest is looked at: {}", ended.stdout);
}

/// The script as it ships, in a folder where nothing can be built or deployed: `cargo run` starts the program under
/// test, and the step after the playbook says that it was reached.
fn deploy(site: &Site) -> (bool, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let scripts = site.path("scripts");
    fs::create_dir_all(&scripts).unwrap();
    fs::copy(root.join("scripts/deploy"), scripts.join("deploy")).unwrap();
    let program = |name: &str, text: &str| {
        let path = scripts.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        let made = Command::new("/bin/chmod").arg("+x").arg(path).status().unwrap();
        assert!(made.success());
    };
    program("cargo", &format!("while [ \"$1\" != -- ]; do shift; done\nshift\nexec '{CORDON}' \"$@\""));
    program("check-template", "echo the template was reached; exit 1");
    let mut command = site.command("/bin/bash");
    let path = format!("{}:/usr/bin:/bin", scripts.display());
    let output = command.arg(scripts.join("deploy")).env("PATH", path).output().unwrap();
    assert!(!output.status.success(), "the stand-in for the template stops it at the latest");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (said.contains("the template was reached"), said)
}

#[test]
fn a_deployment_stops_at_a_playbook_that_does_not_validate_or_whose_cases_fail() {
    let mut site = with_cases(PASSES);
    // What is deployed is the folder `playbook`, whatever the environment says.
    std::os::unix::fs::symlink("own-playbook", site.path("playbook")).unwrap();
    let mut deploy_with = |file: &str, text: &str| {
        let before = fs::read_to_string(site.path("own-playbook").join(file)).unwrap();
        site.write_playbook(file, text);
        site.set("CORDON_PLAYBOOK", SHIPPED);
        let ended = deploy(&site);
        site.write_playbook(file, &before);
        ended
    };
    let (went_on, said) = deploy_with("cases/own.toml", PASSES);
    assert!(went_on, "{said}");
    let bad_policy = shipped("policy.cedar").replace("resource.severity ==", "resource.sverity ==");
    for (file, text, why) in [
        ("cases/own.toml", FAILS, "a High alert on a server isolates"),
        ("cases/own.toml", "[[case]]", "did you mean `cases`?"),
        ("policy.cedar", &bad_policy, "did you mean `severity`?"),
        ("guarantees.cedar", "permit (principal, action, resource);", "a guarantee can only forbid"),
        ("assets.toml", "[[list]]", "did you mean `lists`?"),
        ("playbook.toml", "mod = \"observe\"", "did you mean `mode`?"),
    ] {
        let (went_on, said) = deploy_with(file, text);
        assert!(!went_on && said.contains(why), "{file}: {said}");
    }
}
