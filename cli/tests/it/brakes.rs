//! `cordon pause`, `resume` and `limits`: the levers, also while a run goes on, and what they say.

use crate::site::{ALERT, Site, many_high, now, one_high, tenant, wait_until};
use jiff::SignedDuration;
use ports::{Brakes, Breaker, Fleet};
use serde_json::json;
use simulator::World;

const TITLE: &str = "title Suspicious PowerShell command line";

/// A site whose state has begun, and in which nothing has happened.
fn quiet() -> Site {
    let site = Site::new(World::new(now())).with("USER", "alice");
    site.cordon(&["run", "--once"]).well();
    site
}

fn brakes(site: &Site) -> Brakes {
    site.get(&Brakes::key(&tenant())).unwrap_or_default()
}

fn topics(site: &Site) -> Vec<String> {
    let waiting = site.waiting("actions-taken");
    waiting.iter().map(|message| message["body"]["topic"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_pause_says_who_when_and_why_and_people_are_told() {
    let site = quiet();
    let text = site.cordon(&["pause", "--comment", "  a wrong \u{1b}[31mrule\n"]).well();
    for words in
        ["Paused by alice@", "UTC: a wrong [31mrule", "releases do", "cordon resume", "0 case(s) are held"]
    {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    let pause = brakes(&site).pause.unwrap();
    assert!(pause.by.starts_with("alice@"), "{pause:?}");
    assert_eq!(pause.why, "a wrong [31mrule");
    assert_eq!(topics(&site), ["paused"]);
    let told = &site.waiting("actions-taken")[0]["body"]["facts"][0];
    assert!(told.as_str().unwrap().contains("a wrong [31mrule"), "{told}");
    // Whoever comes second changes nothing, and nobody is told again.
    let text = site.cordon(&["pause", "--comment", "mine", "--by", "Bob"]).well();
    assert!(text.contains("paused already") && text.contains("a wrong [31mrule"), "{text}");
    assert_eq!(brakes(&site).pause, Some(pause));
    assert_eq!(topics(&site).len(), 1);
}

#[test]
fn resuming_ends_a_pause_and_says_what_is_still_held() {
    let site = quiet();
    let text = site.cordon(&["resume", "--comment", "over"]).well();
    assert!(text.contains("it is not paused"), "{text}");
    assert_eq!(topics(&site), Vec::<String>::new());
    site.cordon(&["pause", "--comment", "drill", "--by", "Bob on call"]).well();
    let text = site.cordon(&["resume", "--comment", "over"]).well();
    for words in ["Resumed. It had been paused by Bob on call", "drill", "0 case(s) are held", "cordon held"]
    {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert_eq!(brakes(&site).pause, None);
    assert_eq!(topics(&site), ["paused", "resumed"]);
}

#[test]
fn pause_and_resume_as_json() {
    let site = quiet();
    let report = site.cordon(&["pause", "--comment", "drill", "--by", "Bob", "--json"]).json();
    assert_eq!(
        (&report["paused"], &report["changed"], &report["held"]),
        (&json!(true), &json!(true), &json!(0))
    );
    assert_eq!((&report["pause"]["by"], &report["pause"]["why"]), (&json!("Bob"), &json!("drill")));
    assert_eq!(site.cordon(&["pause", "--comment", "x", "--json"]).json()["changed"], false);
    let report = site.cordon(&["resume", "--comment", "over", "--json"]).json();
    assert_eq!((&report["paused"], &report["changed"]), (&json!(false), &json!(true)));
    assert_eq!(report["pause"]["why"], "drill");
}

#[test]
fn a_pause_works_while_a_run_goes_on_and_nothing_is_isolated_from_then_on() {
    let site = Site::new(World::new(now())).enforcing();
    let mut world = one_high();
    let run = site.start(&["run"]);
    run.wait_for_log("polled");
    site.cordon(&["pause", "--comment", "drill"]).well();
    wait_until("people to be told", || site.mails("cordon-mail").len() == 1);
    site.simulator.with(|now| {
        now.alerts.append(&mut world.alerts);
        now.machines.append(&mut world.machines);
    });
    run.terminate();
    assert_eq!(run.wait().code, 0);
    let ended = site.cordon(&["run", "--once", "--json"]);
    assert_eq!(ended.json()["decisions"]["held"], 1, "{ended:?}");
    ended.complains(1, &["1 isolations were held back", "`cordon held`"]);
    assert_eq!(site.effects(), Vec::<String>::new());
    let life = site.cordon(&["explain", ALERT]).well();
    assert!(life.contains("held ") && life.contains("drill"), "{life}");
}

#[test]
fn a_pause_in_the_middle_of_a_storm_holds_the_rest_back() {
    let site = Site::new(many_high(150)).enforcing().unlimited();
    let run = site.start(&["run"]);
    wait_until("some isolations", || site.simulator.count("POST isolate") >= 10);
    site.cordon(&["pause", "--comment", "drill"]).well();
    let isolated = site.simulator.count("POST isolate");
    wait_until("every alert to be decided", || {
        site.query("SELECT count(*) FROM items WHERE sort LIKE 'case#%'") == 150
    });
    run.terminate();
    let log = run.wait().stderr;
    assert!(!log.contains("ERROR"), "the command does not stand in the way of the run: {log}");
    let after = site.simulator.count("POST isolate");
    assert!(after <= isolated + 1, "one may have been under way: {isolated} and then {after}");
    assert_eq!(
        site.query("SELECT count(*) FROM items WHERE sort LIKE 'held#%'"),
        150 - i64::try_from(after).unwrap()
    );
    site.assert_well_behaved();
}

#[test]
fn a_reason_is_needed_and_has_to_say_something() {
    let site = quiet();
    let device = "0".repeat(40);
    for command in [
        &["pause"][..],
        &["resume"],
        &["release", &device],
        &["isolate", &device],
        &["held", "run", "--all"],
        &["held", "drop", "--all"],
        &["limits", "raise", "--to", "20", "--for", "1h"],
        &["limits", "close", TITLE],
        &["dead-letters", "drop", "1"],
    ] {
        let ended = site.cordon(command);
        ended.complains(2, &["--comment <TEXT>"]);
        let ended = site.cordon(&[command, &["--comment", " \t"]].concat());
        ended.complains(2, &["--comment", "a reason is needed"]);
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(brakes(&site), Brakes::default());
    assert_eq!(site.query("SELECT count(*) FROM messages"), 0);
}

#[test]
fn the_limits_are_shown_with_what_is_used_of_them() {
    let site = quiet().limited("per_hour = 7\n[limits.per_group]\n\"Executives\" = 2");
    let text = site.cordon(&["limits"]).well();
    for line in [
        "in an hour   0 of 7",
        "in a day     0 of 25",
        "at one time  0 of 10 (the devices are not counted yet)",
        "group        0 of 2 in a day for `Executives`",
        "opens beyond 5 devices in 30 minutes",
        "the playbook `own-playbook`",
    ] {
        assert!(text.contains(line), "`{line}` in {text}");
    }
    let counted_at = now() - SignedDuration::from_hours(2);
    site.put(Fleet::key(&tenant()), &Fleet { onboarded: 400, counted_at });
    let text = site.cordon(&["limits"]).well();
    assert!(text.contains("at one time  0 of 20 (400 onboarded devices, counted 2 h 0 min ago)"), "{text}");
    let counted_at = now() - SignedDuration::from_hours(24 * 9);
    site.put(Fleet::key(&tenant()), &Fleet { onboarded: 400, counted_at });
    let text = site.cordon(&["limits"]).well();
    assert!(
        text.contains("0 of 10 (400 onboarded devices, counted 9 d 0 h ago: too old to go by)"),
        "{text}"
    );
    let view = site.cordon(&["limits", "--json"]).json();
    assert_eq!(view["hour"], json!({"used": 0, "most": 7}));
    assert_eq!((&view["fleet_is_old"], &view["fleet"]["onboarded"]), (&json!(true), &json!(400)));
    assert_eq!(view["groups"], json!([{"group": "Executives", "used": 0, "most": 2}]));
}

#[test]
fn what_was_isolated_is_counted() {
    let site = Site::new(many_high(3)).enforcing();
    site.cordon(&["run", "--once"]).well();
    let view = site.cordon(&["limits", "--json"]).json();
    for limit in ["hour", "day", "at_one_time"] {
        assert_eq!(view[limit]["used"], 3, "{limit} in {view}");
    }
}

#[test]
fn a_limit_is_raised_for_a_while_and_people_are_told() {
    let site = quiet();
    let raise = ["limits", "raise", "--to", "50", "--for", "1h", "--comment", "a real one", "--by", "Bob"];
    let text = site.cordon(&raise).well();
    for line in [
        "in an hour   0 of 50",
        "in a day     0 of 50",
        "at one time  0 of 50",
        "RAISED       to 50 until",
        ", by Bob at",
        "a real one",
    ] {
        assert!(text.contains(line), "`{line}` in {text}");
    }
    assert_eq!(topics(&site), ["limit_raised"]);
    let raised = brakes(&site).raised.unwrap();
    let lasts = raised.until.duration_since(now());
    assert!(lasts <= SignedDuration::from_hours(1) && lasts > SignedDuration::from_mins(58), "{raised:?}");
    let view = site.cordon(&[&raise[..], &["--json"]].concat()).json();
    assert_eq!((&view["raised"]["to"], &view["hour"]["most"]), (&json!(50), &json!(50)));
}

#[test]
fn a_limit_beyond_the_most_or_beyond_a_day_is_refused() {
    let site = quiet();
    for (to, time, words) in [
        ("1001", "1h", &["--to", "1001"][..]),
        ("0", "1h", &["--to", "0"]),
        ("many", "1h", &["--to", "many"]),
        ("50", "25h", &["--for", "25h", "at most 24 hours", "playbook.toml"]),
        ("50", "0s", &["--for", "0s"]),
        ("50", "soon", &["--for", "soon"]),
    ] {
        let ended = site.cordon(&["limits", "raise", "--to", to, "--for", time, "--comment", "x"]);
        ended.complains(2, words);
    }
    assert_eq!(brakes(&site), Brakes::default());
}

#[test]
fn a_breaker_is_closed_by_its_name() {
    let site = quiet();
    let open = Breaker { cause: TITLE.to_owned(), since: now() };
    site.put(Brakes::key(&tenant()), &Brakes { open: vec![open], ..Brakes::default() });
    let text = site.cordon(&["limits"]).well();
    assert!(text.contains(&format!("OPEN         {TITLE} (since ")), "{text}");
    let ended = site.cordon(&["limits", "close", "title Something", "--comment", "x"]);
    ended.complains(1, &["no breaker `title Something` is open: nothing was changed", TITLE]);
    let text = site.cordon(&["limits", "close", TITLE, "--comment", "looked at all five"]).well();
    assert!(!text.contains("OPEN"), "{text}");
    assert_eq!(topics(&site), ["breaker_closed"]);
    assert!(brakes(&site).open.is_empty() && brakes(&site).closed.len() == 1);
    let ended = site.cordon(&["limits", "close", TITLE, "--comment", "again"]);
    ended.complains(1, &["none is"]);
}

#[test]
fn two_hands_at_the_same_time_both_get_their_way() {
    let site = quiet();
    let commands: Vec<_> = (0..4)
        .flat_map(|_| {
            [
                site.start(&["pause", "--comment", "one"]),
                site.start(&["limits", "raise", "--to", "50", "--for", "1h", "--comment", "another"]),
            ]
        })
        .collect();
    for command in commands {
        assert_eq!(command.wait().code, 0);
    }
    let brakes = brakes(&site);
    assert!(brakes.pause.is_some() && brakes.raised.is_some(), "{brakes:?}");
    assert_eq!(topics(&site).iter().filter(|topic| *topic == "paused").count(), 1);
}

#[test]
fn nothing_is_changed_where_there_is_no_state() {
    let site = Site::new(World::new(now()));
    let ended = site.cordon(&["pause", "--comment", "x"]);
    ended.complains(2, &["there is no state in `cordon.db` yet"]);
    assert_eq!(site.listing(), Vec::<String>::new());
}

#[test]
fn a_row_that_cannot_be_read_is_said_and_left() {
    let site = quiet();
    site.put(Brakes::key(&tenant()), &json!({"pause": 7}));
    site.cordon(&["pause", "--comment", "x"]).complains(1, &["cannot be read", "brakes"]);
    let row: serde_json::Value = site.get(&Brakes::key(&tenant())).unwrap();
    assert_eq!(row, json!({"pause": 7}));
}
