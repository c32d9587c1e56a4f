//! `cordon prove`: its exit codes, what it prints for people and for programs. What is proved, and how, is tested in
//! `shared/prover`. The solver is the one that CVC5 names, else cvc5 on the PATH.

use crate::site::{Site, one_high};
use std::fs;

/// A site without any setting but the folder of the playbook, and the solver of this process.
fn site() -> Site {
    let mut site = Site::new(one_high());
    for name in ["DEFENDER_TENANT_ID", "DEFENDER_CLIENT_ID", "DEFENDER_CLIENT_SECRET"] {
        site.unset(name);
    }
    let found = ["CVC5", "PATH"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    found.fold(site, |site, (name, value)| site.with(name, value.to_str().unwrap()))
}

const HIGH: &str = "@id(\"isolate-high\") @reason(\"the alert is High\")
permit (principal, action == Action::\"isolate\", resource) when { resource.severity == \"High\" };
";

const WORKSTATIONS: &str = "@id(\"only-workstations\") @reason(\"nothing but a workstation is cut off\")
forbid (principal, action in Action::\"cutOff\", resource)
unless { resource has device && resource.device has class && resource.device.class == \"workstation\" };
";

fn with_policy(policy: &str) -> Site {
    let mut site = site();
    site.write_playbook("policy.cedar", policy);
    site.write_playbook("guarantees.cedar", WORKSTATIONS);
    site
}

#[test]
fn what_is_proved_ends_well() {
    let site =
        with_policy(&format!("{HIGH}{}", WORKSTATIONS.replace("only-workstations", "others-need-a-person")));
    let text = site.cordon(&["prove"]).well();
    assert!(text.contains("proved: no policy permits what the guarantee forbids"), "{text}");
    assert!(text.contains("none of the 3 policies and guarantees can err"), "{text}");
    let json = site.cordon(&["prove", "--json"]).json();
    assert_eq!((&json["proved"], &json["findings"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(site.effects(), Vec::<String>::new());
}

#[test]
fn a_violated_guarantee_needs_attention_and_is_shown_by_an_example() {
    let site = with_policy(HIGH);
    let ended = site.cordon(&["prove"]);
    ended.complains(
        1,
        &["`only-workstations` (guarantees.cedar, line 1)", "`isolate-high` (policy.cedar, line 1)"],
    );
    let told =
        ["nothing but a workstation is cut off", "resource.device.class", "<- not ordinary", "not proved"];
    for words in told {
        assert!(ended.stdout.contains(words), "`{words}` in {}", ended.stdout);
    }
    let ended = site.cordon(&["prove", "--json"]);
    let found = &ended.json()["findings"][0];
    assert_eq!(ended.code, 1);
    assert_eq!(found["finding"], "violated");
    assert_eq!(found["guarantee"]["id"], "only-workstations");
    assert_eq!(found["permitted_by"][0]["id"], "isolate-high");
    assert_eq!(found["disagreement"], serde_json::Value::Null);
    assert!(found["example"]["attributes"].as_array().unwrap().len() > 40, "all attributes are there");
}

#[test]
fn without_a_guarantee_nothing_is_promised_and_that_needs_attention() {
    let mut site = with_policy(HIGH);
    site.write_playbook("guarantees.cedar", "");
    let ended = site.cordon(&["prove"]);
    ended.complains(1, &["guarantees.cedar"]);
    assert!(!ended.stdout.contains("proved: no policy permits"), "{}", ended.stdout);
}

#[test]
fn a_playbook_that_cannot_be_used_is_no_proof() {
    with_policy("permit (principal, action, resource) when { alert.severty };")
        .cordon(&["prove"])
        .complains(2, &["CORDON_PLAYBOOK", "policy.cedar"]);
}

#[test]
fn without_a_solver_it_says_how_to_get_one() {
    let site = with_policy(HIGH).with("CVC5", "/nowhere/cvc5");
    site.cordon(&["prove"]).complains(2, &["/nowhere/cvc5", "apt install cvc5", "releases", "CVC5"]);
}

#[test]
fn a_solver_that_does_not_know_proves_nothing() {
    let site = with_policy(HIGH);
    let solver = site.path("solver");
    // It reads all that is asked, and answers each question alike.
    let script = "#!/bin/sh\nwhile read -r line; do case $line in *check-sat*) echo unknown;; esac; done\n";
    fs::write(&solver, script).unwrap();
    fs::set_permissions(&solver, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let site = site.with("CVC5", solver.to_str().unwrap());
    site.cordon(&["prove"]).complains(1, &["not proved", "`only-workstations`", "the solver does not know"]);
}
