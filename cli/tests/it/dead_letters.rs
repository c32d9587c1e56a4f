//! `cordon dead-letters`: what was set aside is shown, put back and dropped.

use crate::site::{ALERT, Site, ago, block_on, now, one_high, tenant};
use rusqlite::Connection;
use serde_json::{Value, json};
use simulator::World;

/// One record that cannot be read beside a good alert: dead letter 1 is no message.
fn site() -> Site {
    let record = json!({"severity": "High", "lastUpdateTime": ago(2), "title": "no \u{1b}[31mid"});
    let site = Site::new(one_high().raw_alert(record));
    site.cordon(&["run", "--once"]).complains(1, &["`cordon dead-letters`"]);
    site
}

/// Sets a message aside that was one: the next dead letter.
fn set_aside(site: &Site, queue: &str, body: &str) {
    Connection::open(site.path("cordon.db"))
        .unwrap()
        .execute(
            "INSERT INTO dead_letters (queue, body, reason, since_us) VALUES (?1, ?2, 'the \u{1b}[2J reason', 0)",
            [queue, body],
        )
        .unwrap();
}

fn letters(site: &Site) -> Vec<Value> {
    site.cordon(&["dead-letters", "--json"]).json()["dead_letters"].as_array().unwrap().clone()
}

#[test]
fn they_are_listed_over_all_queues_with_their_reasons() {
    let site = site();
    set_aside(&site, "effects-requested", r#"{"kind":"effect-requested","version":1}"#);
    let text = site.cordon(&["dead-letters"]).well();
    for words in
        ["ID", "QUEUE", "REASON", "alerts-found", "unreadable", "effects-requested", "the [2J reason"]
    {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(text.lines().count(), 3, "{text}");
    let letters = letters(&site);
    assert_eq!((&letters[0]["id"], &letters[0]["queue"]), (&json!("1"), &json!("alerts-found")));
    assert!(letters[0].get("body").is_none(), "a list is short");
    let quiet = Site::new(World::new(now()));
    quiet.cordon(&["run", "--once"]).well();
    assert_eq!(quiet.cordon(&["dead-letters"]).well(), "Nothing was set aside.\n");
}

#[test]
fn one_is_shown_with_what_it_says() {
    let site = site();
    let text = site.cordon(&["dead-letters", "show", "1"]).well();
    for words in ["Dead letter 1", "queue   alerts-found", "reason  ", "\"severity\": \"High\""] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let letter = site.cordon(&["dead-letters", "show", "1", "--json"]).json();
    assert_eq!(letter["body"]["body"]["severity"], "High", "{letter}");
    site.cordon(&["dead-letters", "show", "9"]).complains(1, &["there is no dead letter `9`"]);
    site.cordon(&["dead-letters", "show"]).complains(2, &["<ID>"]);
}

#[test]
fn command_lines_are_left_out_wherever_they_stand() {
    let site = site();
    for body in [
        r#"{"kind":"alert-found","body":{"alert":{"evidence":[{"command_line":"tool hunter2","kind":"Process"}]}}}"#,
        r#"{"kind":"unreadable","body":"{\"evidence\":[{\"processCommandLine\":\"tool hunter2\"}],\"id\":7}"}"#,
        r#"{"kind":"unreadable","body":"{\"processCommandLine\":\"tool hunter2 and cut of"}"#,
    ] {
        set_aside(&site, "alerts-found", body);
    }
    for id in ["2", "3", "4"] {
        for arguments in [&["dead-letters", "show", id][..], &["dead-letters", "show", id, "--json"]] {
            let text = site.cordon(arguments).well();
            assert!(!text.contains("hunter2") && text.contains("left out"), "{text}");
        }
    }
}

#[test]
fn one_is_put_back_and_done() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    // The alert's own message, set aside by a fault that is mended.
    let decided = "SELECT count(*) FROM items WHERE sort LIKE 'case#%'";
    assert_eq!(site.query(decided), 1);
    let message = json!({"kind": "alert-enriched", "version": 1, "garbled": true}).to_string();
    set_aside(&site, "alerts-enriched", &message);
    let text = site.cordon(&["dead-letters", "redrive", "1"]).well();
    assert_eq!(text, "1: put back into its queue\n");
    assert_eq!(letters(&site), Vec::<Value>::new());
    assert_eq!(site.waiting("alerts-enriched").len(), 1);
    site.cordon(&["dead-letters", "redrive", "1"])
        .complains(1, &["there is no dead letter `1`", "nothing was done"]);
}

#[test]
fn all_are_put_back_that_were_messages() {
    let site = site();
    for _ in 0..2 {
        set_aside(&site, "actions-taken", r#"{"kind":"action-taken","version":1}"#);
    }
    let done = site.cordon(&["dead-letters", "redrive", "--all", "--json"]);
    assert_eq!(done.json(), json!({"redriven": ["2", "3"], "dropped": [], "left": ["1"]}));
    done.well();
    let ended = site.cordon(&["dead-letters", "redrive", "1"]);
    ended.complains(1, &["`1`", "never was a message"]);
    assert_eq!(letters(&site).len(), 1);
    site.cordon(&["dead-letters", "redrive"]).complains(2, &["--all"]);
}

#[test]
fn some_are_dropped_with_a_reason() {
    let site = site();
    set_aside(&site, "alerts-found", "no JSON");
    let ended = site.cordon(&["dead-letters", "drop", "1", "7", "--comment", "a test"]);
    ended.complains(1, &["there is no dead letter `7`: nothing was done"]);
    assert_eq!(letters(&site).len(), 2);
    let text = site.cordon(&["dead-letters", "drop", "1", "2", "--comment", "a test"]).well();
    assert_eq!(text, "1: dropped\n2: dropped\n");
    assert_eq!(letters(&site), Vec::<Value>::new());
    // The alert beside it is what it was.
    site.cordon(&["explain", ALERT]).well();
}

#[test]
fn who_has_dropped_one_and_why_is_kept() {
    let site = site();
    assert_eq!(site.cordon(&["dead-letters", "--dropped"]).well(), "Nothing was dropped.\n");
    set_aside(&site, "effects-requested", "no JSON");
    for (id, why) in [("1", "a record of a test tenant"), ("2", "looked at, \u{1b}[2J nothing in it")] {
        site.cordon(&["dead-letters", "drop", id, "--comment", why, "--by", "Alice"]).well();
    }
    site.cordon(&["dead-letters", "drop", "2", "--comment", "again"]).complains(1, &["no dead letter `2`"]);
    let text = site.cordon(&["dead-letters", "--dropped"]).well();
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, words) in [
        (lines[1], ["effects-requested", "Alice", "looked at, [2J nothing in it", "the [2J reason"]),
        (lines[2], ["alerts-found", "Alice", "a record of a test tenant", "id"]),
    ] {
        words.iter().for_each(|words| assert!(line.contains(words), "`{words}` in {line}"));
    }
    let report = site.cordon(&["dead-letters", "--dropped", "--json"]).json();
    let dropped = report["dropped"].as_array().unwrap();
    assert_eq!((dropped.len(), &dropped[0]["letter"], &dropped[1]["letter"]), (2, &json!("2"), &json!("1")));
    assert_eq!((&dropped[0]["by"], &dropped[0]["queue"]), (&json!("Alice"), &json!("effects-requested")));
    site.cordon(&["dead-letters", "--dropped", "show", "1"]).complains(2, &["--dropped"]);
}

#[test]
fn what_is_kept_of_a_dropped_one_goes_after_two_hundred_days() {
    let site = site();
    site.cordon(&["dead-letters", "drop", "1", "--comment", "a test"]).well();
    let days = |days: i64| {
        let later = now() + jiff::SignedDuration::from_hours(24 * days);
        let rows = site.state();
        block_on(rows.query_all::<ports::Dropped>(&ports::Dropped::partition(&tenant()), "dropped#", later))
            .unwrap()
            .len()
    };
    assert_eq!((days(199), days(201)), (1, 0));
}
