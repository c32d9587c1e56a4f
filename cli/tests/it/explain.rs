//! `cordon explain`: the life of one alert from the state alone, also when its words are hostile.

use crate::site::{ALERT, DEVICE, Site, ago, one_high, wait_until, workstation};
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
    assert!(!text.contains("machine action") && !text.contains("claim "), "{text}");
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
