//! What strangers write (titles, names of devices and users, command lines) reaches the terminal and the log as harmless
//! text on the line where it belongs.
//!
//! That it reaches people's mails and cards so as well is tested where those are made (`functions/notify/tests`), from
//! the same texts.

use crate::site::{Ended, Site, ago, now, workstation};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::json;
use simulator::{Alert, Evidence, RelatedUser, World};

/// Begins a second line in every text. It may stand within a line of ours, and begin none.
const FORGED: &str = "FORGED";

#[derive(Deserialize)]
struct Hostile {
    text: String,
}

/// Texts that try to act wherever they come to stand, each with one line more.
fn corpus() -> Vec<String> {
    let listed = include_str!("../../../functions/notify/tests/hostile.json");
    let listed: Vec<Hostile> = serde_json::from_str(listed).unwrap();
    let breaks =
        ["\n", "\r\n", "\r", "\u{85}", "\u{2028}", "\u{b}", "\u{c}"].map(|end| format!("x{end}{FORGED}"));
    // Longer, and the alert is not acted upon.
    let long = "y".repeat(900);
    listed
        .into_iter()
        .map(|hostile| hostile.text)
        .chain(breaks)
        .chain([long])
        .map(|text| format!("{text}\n{FORGED}{text}"))
        .collect()
}

/// Alerts on devices of their own, with a text everywhere where a stranger may write; and as many records that cannot
/// be read.
fn world(texts: &[String]) -> World {
    let mut world = World::new(now()).without_quotas();
    for (number, text) in texts.iter().enumerate() {
        let mut pc = workstation(&format!("{number:040x}"));
        pc.computer_dns_name = Some(text.clone());
        pc.rbac_group_name = Some(text.clone());
        pc.machine_tags = vec![text.clone()];
        let at = ago(3);
        let mut alert = Alert::new(alert_id(number), "", at).on(&pc).title(text).category(text);
        alert.description.clone_from(text);
        alert.threat_name = Some(text.clone());
        alert.mitre_techniques = vec![text.clone()];
        alert.related_user = Some(RelatedUser { user_name: text.clone(), domain_name: text.clone() });
        alert.evidence = vec![
            Evidence::process(at, text, text, text),
            Evidence::user(at, text, text),
            Evidence::url(at, text),
        ];
        world = world.alert(alert).machine(pc);
        world = world.raw_alert(json!({"severity": text, "lastUpdateTime": at, "title": text, "id": text}));
    }
    world
}

fn alert_id(number: usize) -> String {
    format!("da{number}_1")
}

/// Whether a character acts on a terminal, turns the direction of what is read, or is not seen.
fn acts(c: char) -> bool {
    let unseen = matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}');
    c.is_control() || unseen
}

#[track_caller]
fn assert_lines_are_ours(what: &str, text: &str) {
    for line in text.lines() {
        assert_eq!(line.chars().find(|c| acts(*c)), None, "{what}: {line:?}");
        assert!(!line.trim_start().starts_with(FORGED), "{what}: {line}");
    }
}

/// Runs a command, as text and as JSON; what it said as text.
#[track_caller]
fn harmless(site: &Site, arguments: &[&str]) -> String {
    let both = |ended: &Ended| {
        assert_lines_are_ours(&arguments.join(" "), &ended.stdout);
        assert_lines_are_ours(&arguments.join(" "), &ended.stderr);
    };
    let json = site.cordon(&[arguments, &["--json"]].concat());
    both(&json);
    json.json();
    let text = site.cordon(arguments);
    both(&text);
    text.stdout
}

/// A run that logs all it has to say. Every line of the log is one that it wrote.
#[track_caller]
fn logged(site: &Site) {
    let run = site.cordon(&["run", "--once"]);
    assert_lines_are_ours("run", &run.stdout);
    assert_lines_are_ours("its log", &run.stderr);
    for line in run.stderr.lines() {
        assert!(line.starts_with("20") || line.starts_with("cordon: "), "{line}");
    }
    assert!(run.stderr.contains("DEBUG") && run.stderr.contains(FORGED), "{:.2000}", run.stderr);
}

/// Sets a message aside whose body and reason are this text.
fn set_aside(site: &Site, text: &str) {
    let sql = "INSERT INTO dead_letters (queue, body, reason, since_us) VALUES ('alerts-found', ?1, ?1, 0)";
    Connection::open(site.path("cordon.db")).unwrap().execute(sql, [text]).unwrap();
}

#[test]
fn what_strangers_write_stays_harmless_in_every_report_and_in_the_log() {
    let texts = corpus();
    let site = Site::new(world(&texts)).unlimited().enforcing().with("RUST_LOG", "debug");
    // Somebody acts by hand, and says who they are.
    site.simulator.with(|world| {
        for (number, text) in texts.iter().enumerate().take(10) {
            world.isolate_by_person(&format!("{number:040x}"), text);
        }
    });
    logged(&site);
    texts.iter().for_each(|text| set_aside(&site, text));

    let mut site = site;
    site.unset("RUST_LOG");
    harmless(&site, &["status"]);
    let isolated = harmless(&site, &["isolated"]);
    assert!(isolated.contains(FORGED), "{isolated}");
    let lines = isolated.lines().filter(|line| !line.starts_with("  ")).count();
    assert_eq!(lines, texts.len() + 1, "a line for each device, and the sum");
    for number in 0..texts.len() {
        let life = harmless(&site, &["explain", &alert_id(number)]);
        assert_eq!(life.matches("\n  title  ").count(), 1, "{life}");
    }
    let letters = harmless(&site, &["dead-letters"]);
    assert_eq!(letters.lines().count(), 2 * texts.len() + 1, "{letters}");
    for line in letters.lines().skip(1) {
        harmless(&site, &["dead-letters", "show", line.split(' ').next().unwrap()]);
    }
}

#[test]
fn what_is_held_is_listed_harmlessly_as_well() {
    let texts = corpus();
    let site = Site::new(world(&texts)).limited("per_hour = 1\nper_day = 1").enforcing();
    site.cordon(&["run", "--once"]);
    let held = harmless(&site, &["held"]);
    assert!(held.contains(FORGED), "{held}");
    let rows = held.lines().skip(1).take_while(|line| !line.is_empty()).count();
    let listed = site.cordon(&["held", "--json"]).json()["held"].as_array().unwrap().len();
    assert!(rows == listed && rows == texts.len() - 1, "{rows} rows for {listed} cases");
    harmless(&site, &["status"]);
    let dropped = harmless(&site, &["held", "drop", "--all", "--comment", "a test"]);
    assert_eq!(dropped, "0 case(s) dropped.\n", "the JSON came first");
}
