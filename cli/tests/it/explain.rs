//! `cordon explain`: the life of one alert from the state alone, also when its words are hostile.

use crate::site::{ALERT, DEVICE, Site, ago, one_high, tenant, wait_until, workstation};
use ports::{CaseRow, Telling, Told};
use serde_json::{Value, json};
use simulator::{Alert, World, generate::hostile_strings};

const UNKNOWN: &str = "da000000000000000000_1";

#[test]
fn the_life_of_an_alert_is_told() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    site.simulator.clear_journal();
    let text = site.cordon(&["explain", ALERT]).well();
    for words in [
        &format!("Alert {ALERT}"),
        "seen ",
        "while the mode was `enforce`",
        "Suspicious PowerShell command line (High)",
        "pc1.contoso.com (Windows11)",
        DEVICE,
        "isolate → requested",
        "isolate → succeeded",
        "the alert is High (isolate-high)",
        "machine action",
        "claim ",
        "mail-folder: ",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert_eq!(text.matches("  told ").count(), 2, "{text}");
    assert!(site.simulator.journal().is_empty(), "the tenant is asked nothing");
}

#[test]
fn the_same_as_json() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    let life = site.cordon(&["explain", ALERT, "--json"]).json();
    assert_eq!(life["alert"], ALERT);
    assert_eq!(life["told"].as_array().unwrap().len(), 2);
    assert_eq!(life["cases"].as_array().unwrap().len(), 1);
    let case = &life["cases"][0];
    assert_eq!(case["claim"]["device"], DEVICE);
    assert_eq!(case["claim"]["state"], "succeeded");
    assert_eq!(case["device"]["device"]["name"], "pc1.contoso.com");
    assert!(case["history"].as_array().unwrap().len() >= 2);
}

#[test]
fn what_was_only_observed_is_told_as_that() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    let text = site.cordon(&["explain", ALERT]).well();
    assert!(text.contains("while the mode was `observe`") && text.contains("observed"), "{text}");
    assert!(!text.contains("machine action") && !text.contains("\n  claim "), "{text}");
}

/// The verdict and the words of a gate.
#[track_caller]
fn gate(why: &Value, name: &str) -> (String, String) {
    let gates = why["gates"].as_array().unwrap();
    let gate = gates.iter().find(|gate| gate["gate"] == name).unwrap_or_else(|| panic!("{name} in {why}"));
    (gate["verdict"].as_str().unwrap().to_owned(), gate["said"].as_str().unwrap().to_owned())
}

/// The gate that stood against it, where those before it were passed and those after it not reached.
#[track_caller]
fn stopped_at(why: &Value) -> (String, String) {
    let names: Vec<&str> =
        why["gates"].as_array().unwrap().iter().map(|gate| gate["gate"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["policy", "guarantees", "doubts", "asset lists", "mode", "brakes", "hands off", "claim"]
    );
    let verdicts: Vec<String> = names.iter().map(|name| gate(why, name).0).collect();
    let at = verdicts.iter().position(|verdict| verdict == "against").unwrap();
    assert!(verdicts[..at].iter().all(|verdict| verdict == "passed"), "{why}");
    (names[at].to_owned(), gate(why, names[at]).1)
}

fn why(site: &Site, alert: &str) -> Value {
    site.cordon(&["explain", alert, "--json"]).json()["cases"][0]["why"].clone()
}

#[test]
fn every_gate_is_passed_by_what_is_isolated() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    let text = site.cordon(&["explain", ALERT]).well();
    for words in [
        "by the playbook here",
        "policy       passed       permitted by isolate-high",
        "mode         passed       `enforce`",
        "brakes       passed",
        "isolate         for        the alert is High (isolate-high)",
        "resource.severity = High  [Defender's alert, 0 s old]",
        "resource.device.class = workstation  [Defender's device, 0 s old]",
        "if the alert were Medium: propose",
        "if the device were a server: propose",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    let why = why(&site, ALERT);
    for gate in why["gates"].as_array().unwrap() {
        assert_eq!(gate["verdict"], "passed", "{why}");
    }
    assert!(gate(&why, "guarantees").1.starts_with("none of "), "{why}");
    assert_eq!(why["playbook_here"], "same");
    assert!(why["what_if"].as_array().unwrap().len() <= 3, "{why}");
    assert_eq!(why["inputs"].as_array().unwrap().len(), {
        let life = site.cordon(&["explain", ALERT, "--json"]).json();
        life["cases"][0]["last"]["decision"]["reasoning"]["inputs"].as_array().unwrap().len()
    });
}

#[test]
fn what_was_observed_stopped_at_the_mode() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    let why = why(&site, ALERT);
    let (gate, said) = stopped_at(&why);
    assert_eq!(gate, "mode");
    assert!(said.contains("`observe`, by playbook or environment"), "{said}");
    let change = "if the mode were `enforce`, and had been when the alert was first seen";
    assert_eq!(why["what_if"][0], json!({"change": change, "answer": "isolate", "mode": "enforce"}));
}

#[test]
fn what_a_policy_forbids_stopped_there_and_what_would_have_changed_that_is_said() {
    let mut world = one_high();
    world.change_alert(ALERT, |alert| alert.status = "Resolved".to_owned());
    let site = Site::new(world).enforcing();
    site.cordon(&["run", "--once"]).well();
    let why = why(&site, ALERT);
    let (gate, said) = stopped_at(&why);
    assert_eq!(
        (gate.as_str(), said.as_str()),
        ("policy", "permitted by isolate-high, forbidden by resolved")
    );
    let status = json!({"change": "if the alert's status were New", "answer": "isolate", "mode": "enforce"});
    assert_eq!(why["what_if"], json!([status]));
    let spoke = why["spoke"].as_array().unwrap();
    let forbids =
        |it: &&Value| it["policy"] == "resolved" && it["side"] == "forbid" && it["action"] == "isolate";
    assert!(spoke.iter().find(forbids).unwrap()["reason"].as_str().unwrap().contains("resolved"), "{why}");
    let text = site.cordon(&["explain", ALERT]).well();
    assert!(text.contains("guarantees   not reached\n"), "{text}");
}

/// A policy that has forgotten about servers.
const HOLE: &str = "@id(\"all-high\") @reason(\"all that is High\") permit (principal, action == Action::\"isolate\", resource) \
     when { resource.severity == \"High\" };";

#[test]
fn what_a_guarantee_forbids_stopped_at_the_guarantees() {
    let mut world = one_high();
    world.machine_mut(DEVICE).unwrap().os_platform = Some("WindowsServer2022".to_owned());
    let mut site = Site::new(world).enforcing();
    site.write_playbook("policy.cedar", HOLE);
    site.cordon(&["run", "--once"]).well();
    let why = why(&site, ALERT);
    let (stopped, said) = stopped_at(&why);
    assert_eq!((stopped.as_str(), said.as_str()), ("guarantees", "forbidden by only-known-workstations"));
    assert_eq!(gate(&why, "policy").1, "permitted by all-high");
    assert_eq!(gate(&why, "doubts").0, "passed", "a guarantee is no doubt about alert or device");
    assert_eq!(why["what_if"][0]["change"], "if the device were a workstation");
    let text = site.cordon(&["explain", ALERT]).well();
    assert!(text.contains("isolate         guarantee  "), "{text}");
}

#[test]
fn what_is_held_stopped_at_the_brakes() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    let other = "da1_2";
    site.cordon(&["pause", "--comment", "a drill"]).well();
    site.simulator.with(|world| {
        let pc = workstation(&"c".repeat(40));
        world.alerts.push(Alert::new(other, "", ago(2)).on(&pc));
        world.machines.push(pc);
    });
    site.cordon(&["run", "--once"]).complains(1, &["held back"]);
    let (gate, said) = stopped_at(&why(&site, other));
    assert_eq!(gate, "brakes");
    assert!(said.contains("a drill"), "{said}");
    site.cordon(&["held", "drop", other, "--comment", "no more"]).well();
    let (gate, said) = stopped_at(&why(&site, other));
    assert_eq!(gate, "brakes");
    assert!(said.contains("a drill") && said.contains("no more"), "{said}");
}

#[test]
fn what_somebody_else_had_isolated_stopped_at_the_claim() {
    let site = Site::new(one_high()).enforcing();
    site.simulator.with(|world| world.isolate_by_person(DEVICE, "eve@contoso.com"));
    site.cordon(&["run", "--once"]).well();
    let (gate, said) = stopped_at(&why(&site, ALERT));
    assert_eq!(gate, "claim");
    assert!(said.contains("somebody else's isolation"), "{said}");
}

#[test]
fn what_somebody_had_given_back_stopped_at_hands_off() {
    let site = Site::new(one_high()).enforcing();
    site.simulator.with(|world| {
        world.isolate_by_person(DEVICE, "eve@contoso.com");
        world.tick();
        world.release_by_person(DEVICE, "eve@contoso.com");
    });
    site.cordon(&["run", "--once"]).well();
    let why = why(&site, ALERT);
    let (gate, said) = stopped_at(&why);
    assert_eq!(gate, "hands off");
    assert!(said.contains("somebody released this device"), "{said}");
    assert_eq!(why["what_if"], json!([]));
    assert!(why["no_what_if"].as_str().unwrap().contains("not the policy that had the last word"), "{why}");
}

#[test]
fn what_a_person_has_ordered_was_not_asked_of_the_policy() {
    let mut world = one_high();
    world.change_alert(ALERT, |alert| alert.severity = "Low".to_owned());
    let site = Site::new(world).enforcing();
    site.cordon(&["run", "--once"]).well();
    assert_eq!(stopped_at(&why(&site, ALERT)).0, "policy");
    site.cordon(&["isolate", DEVICE, "--alert", ALERT, "--comment", "seen it myself"]).well();
    let why = why(&site, ALERT);
    assert_eq!(
        gate(&why, "policy"),
        ("not_reached".to_owned(), "not asked: a person has ordered it".to_owned())
    );
    assert_eq!(gate(&why, "claim").0, "passed");
    assert!(why["no_what_if"].as_str().unwrap().contains("a person"), "{why}");
}

#[test]
fn a_playbook_that_has_changed_since_is_said_and_no_change_is_looked_for() {
    let mut site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    site.write_playbook("policy.cedar", HOLE);
    let text = site.cordon(&["explain", ALERT]).well();
    assert!(text.contains("it has changed since"), "{text}");
    assert!(text.contains("not looked for: the playbook here is not the one that decided"), "{text}");
    assert!(text.contains("the alert is High (isolate-high)"), "what was recorded is told: {text}");
    assert!(text.contains("its reason is not known here (tell-"), "and what was not, not made up: {text}");
    assert_eq!(why(&site, ALERT)["playbook_here"], "changed");
    site.set("CORDON_PLAYBOOK", "nowhere");
    let text = site.cordon(&["explain", ALERT]).well();
    assert!(text.contains("cannot be read here (CORDON_PLAYBOOK)"), "{text}");
}

#[test]
fn a_case_that_was_recorded_before_there_was_a_reasoning_is_told_all_the_same() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    let key = CaseRow::key(&tenant(), &ALERT.parse().unwrap(), Some(&DEVICE.parse().unwrap()));
    let mut row: Value = site.get(&key).unwrap();
    row["last"]["decision"].as_object_mut().unwrap().remove("reasoning").unwrap();
    site.put(key, &row);
    let text = site.cordon(&["explain", ALERT]).well();
    assert!(text.contains("recorded without its reasoning") && !text.contains("what if"), "{text}");
    let why = why(&site, ALERT);
    assert_eq!((&why["playbook"], &why["spoke"], &why["inputs"]), (&Value::Null, &json!([]), &json!([])));
    assert_eq!(gate(&why, "policy").0, "passed");
    assert_eq!(gate(&why, "guarantees").0, "not_reached");
    assert_eq!(gate(&why, "claim").0, "passed");
}

#[test]
fn an_alert_that_the_state_does_not_know_is_said_with_what_to_look_at() {
    let mut site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    let ended = site.cordon(&["explain", UNKNOWN]);
    ended.complains(1, &[UNKNOWN, "CORDON_STATE", "before the first poll"]);
    assert_eq!(ended.stdout, "");
    let ended = site.cordon(&["explain", UNKNOWN, "--json"]);
    ended.complains(1, &[UNKNOWN]);
    assert_eq!(ended.stdout, "");
    // Another tenant's alert of the same id is another alert.
    site.set("DEFENDER_TENANT_ID", "99999999-2222-3333-4444-555555555555");
    site.cordon(&["explain", ALERT]).complains(1, &[ALERT]);
}

#[test]
fn an_id_that_is_none_is_refused() {
    let site = Site::new(one_high());
    site.cordon(&["explain", "two words"]).complains(2, &["`two words` is not an alert id"]);
    let long = "a".repeat(300);
    for bad in ["", "\u{1b}[2J", long.as_str()] {
        let ended = site.cordon(&["explain", bad]);
        ended.complains(2, &["ALERT_ID"]);
        assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    }
}

#[test]
fn without_a_state_file_it_says_what_begins_one_and_makes_none() {
    let mut site = Site::new(one_high());
    let ended = site.cordon(&["explain", ALERT]);
    ended.complains(2, &["there is no state in `cordon.db` yet", "cordon run", "CORDON_STATE"]);
    assert_eq!(site.listing(), Vec::<String>::new());
    site.unset("DEFENDER_TENANT_ID");
    site.cordon(&["explain", ALERT]).complains(2, &["DEFENDER_TENANT_ID is not set"]);
}

#[test]
fn it_needs_no_secret() {
    let mut site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    for name in ["DEFENDER_CLIENT_ID", "DEFENDER_CLIENT_SECRET", "DEFENDER_API_URL", "CORDON_PLAYBOOK"] {
        site.unset(name);
    }
    site.cordon(&["explain", ALERT]).well();
}

#[test]
fn it_works_while_a_run_goes_on() {
    let site = Site::new(one_high()).enforcing();
    let run = site.start(&["run"]);
    wait_until("both mails", || site.mails("cordon-mail").len() == 2);
    wait_until("the state to say so", || {
        site.cordon(&["explain", ALERT]).stdout.matches("  told ").count() == 2
    });
    run.terminate();
    assert_eq!(run.wait().code, 0);
}

/// What acts on a terminal, or deceives whoever reads it.
fn acts(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[test]
fn hostile_words_reach_the_terminal_harmless() {
    let mut hostile = hostile_strings();
    hostile.push("\u{9b}31mred\u{9d}0;owned\u{9c} and \u{7f}".to_owned());
    let mut world = World::new(crate::site::now());
    for (number, text) in hostile.iter().enumerate() {
        let mut pc = workstation(&format!("{number:040x}"));
        pc.computer_dns_name = Some(text.clone());
        pc.os_platform = Some(text.clone());
        let mut alert = Alert::new(format!("da{number}_1"), "", ago(3)).on(&pc).title(text).category(text);
        alert.severity = if number % 2 == 0 { "High".to_owned() } else { text.clone() };
        alert.description.clone_from(text);
        world = world.alert(alert).machine(pc);
    }
    let site = Site::new(world).with("RUST_LOG", "trace");
    let run = site.cordon(&["run", "--once"]);
    assert!(!run.stdout.contains(acts), "{:?}", run.stdout);
    assert!(!run.stderr.contains(acts), "{:?}", run.stderr.lines().find(|line| line.contains(acts)));
    for number in 0..hostile.len() {
        let id = format!("da{number}_1");
        for arguments in [&["explain", &id][..], &["explain", &id, "--json"]] {
            let ended = site.cordon(arguments);
            assert_eq!(ended.code, 0, "{ended:?}");
            assert!(!ended.stdout.contains(acts), "{:?}", ended.stdout);
            assert!(!ended.stderr.contains(acts), "{:?}", ended.stderr);
        }
        // Harmless to look at, and in JSON still the same words.
        let life = site.cordon(&["explain", &id, "--json"]).json();
        assert!(life["cases"][0]["last"]["alert"]["title"].is_string(), "{life}");
    }
}

#[test]
fn it_says_which_channels_were_not_told_yet_and_why() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    let alert = ALERT.parse().unwrap();
    let now = crate::site::now();
    for (channel, tries, why, given_up) in [
        ("teams", 3, Some("the workflow was deleted"), false),
        ("slack", 0, Some("it waits for the digest of 10:05"), false),
        ("sns", 5, Some("it was refused 5 times"), true),
        ("hook", 1, None, false),
    ] {
        let message = "action-taken-00".parse().unwrap();
        let key = Telling::beside(&Told::key(&tenant(), &alert, &message, channel));
        let why = why.map(str::to_owned);
        let channel = channel.to_owned();
        site.put(key, &Telling { until: now, channel, tries, why, given_up, ..Telling::default() });
    }
    let text = site.cordon(&["explain", ALERT]).well();
    for words in [
        "  not told  teams: tried 3 times: the workflow was deleted\n",
        "  not told  slack: it waits for the digest of 10:05\n",
        "  not told  sns: tried 5 times: it was refused 5 times; given up\n",
        "  not told  hook: tried once: it is being told\n",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert_eq!(site.cordon(&["explain", ALERT, "--json"]).json()["untold"].as_array().unwrap().len(), 4);
}
