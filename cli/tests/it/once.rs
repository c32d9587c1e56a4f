//! `cordon run --once`: what one run does, what it reports, and how it ends.

use crate::site::{DEVICE, Site, ago, many_high, one_high, wait_until, workstation};
use serde_json::{Map, Value, json};
use simulator::{Alert, Behaviour, demo_world};
use std::collections::BTreeMap;

fn counts(calls: &[(&str, u64)]) -> Value {
    calls.iter().map(|(route, count)| ((*route).to_owned(), json!(count))).collect::<Map<_, _>>().into()
}

fn nothing() -> Value {
    json!({
        "found": 0,
        "enriched": 0,
        "decisions": {"isolate": 0, "propose": 0, "none": 0, "refused": 0, "held": 0, "observed": 0},
        "isolations": {
            "requested": 0, "adopted": 0, "pending": 0, "succeeded": 0, "failed": 0, "timed_out": 0, "unknown": 0
        },
        "notifications": {"sent": 0, "failed": 0},
        "dead_letters": 0,
        "hunts": {"ran": 0, "announced": 0},
        "defender_calls": {"GET alerts": 1, "POST token": 1},
    })
}

#[test]
fn one_run_in_enforce_mode_acts_and_tells_and_a_second_finds_nothing_new() {
    let site = Site::new(demo_world(crate::site::now())).enforcing();
    let first = site.cordon(&["run", "--once", "--json"]);
    let mut summary = first.json();
    let calls = summary.as_object_mut().unwrap().remove("defender_calls").unwrap();
    first.well();
    assert_eq!(
        summary,
        json!({
            "found": 10,
            "enriched": 10,
            "decisions": {"isolate": 4, "propose": 4, "none": 1, "refused": 1, "held": 0, "observed": 0},
            "isolations": {
                "requested": 3, "adopted": 0, "pending": 1, "succeeded": 2, "failed": 0, "timed_out": 0, "unknown": 0
            },
            "notifications": {"sent": 9, "failed": 0},
            "dead_letters": 0,
            "hunts": {"ran": 0, "announced": 0},
        })
    );
    let mut asked: BTreeMap<String, u64> = BTreeMap::new();
    for entry in site.simulator.journal() {
        *asked.entry(entry.route).or_default() += 1;
    }
    assert_eq!(calls, json!(asked), "every call is counted, and nothing else");
    assert_eq!(asked.get("POST isolate"), Some(&3));
    assert_eq!(site.mails("cordon-mail").len(), 9);
    site.assert_well_behaved();

    site.simulator.clear_journal();
    let second = site.cordon(&["run", "--once", "--json"]);
    let mut expected = nothing();
    expected["isolations"]["pending"] = json!(1);
    let mut found = second.json();
    // Whether the pending isolation was due for a look depends on the clock.
    found["defender_calls"].as_object_mut().unwrap().remove("GET machineaction");
    assert_eq!(found, expected);
    second.well();
    assert_eq!(site.effects(), Vec::<String>::new());
    assert_eq!(site.mails("cordon-mail").len(), 9, "nobody is told twice");
}

#[test]
fn without_a_mode_a_run_posts_nothing_but_for_its_token() {
    let site = Site::new(demo_world(crate::site::now()));
    let ended = site.cordon(&["run", "--once", "--json"]);
    let summary = ended.json();
    ended.well();
    assert_eq!(
        summary["decisions"],
        json!({"isolate": 4, "propose": 4, "none": 1, "refused": 1, "held": 0, "observed": 4})
    );
    assert_eq!(summary["isolations"], nothing()["isolations"]);
    assert_eq!(
        summary["defender_calls"],
        counts(&[("GET alerts", 1), ("GET machines", 1), ("POST token", 1)]),
        "ten alerts on eight devices cost two reads"
    );
    assert_eq!(site.effects(), Vec::<String>::new());
    assert!(!site.mails("cordon-mail").is_empty(), "people are told what would have been done");
    site.assert_well_behaved();
}

#[test]
fn observe_in_the_environment_wins_over_a_playbook_that_enforces() {
    let mut site = Site::new(one_high()).with("CORDON_MODE", "observe");
    site.write_playbook("playbook.toml", "mode = \"enforce\"\n");
    let ended = site.cordon(&["run", "--once", "--json"]);
    assert_eq!(ended.json()["decisions"]["observed"], json!(1));
    assert_eq!(site.effects(), Vec::<String>::new());

    // The same playbook does act when nothing stands against it, so the test above can fail.
    site.unset("CORDON_MODE");
    site.set("CORDON_STATE", "another.db");
    site.cordon(&["run", "--once"]).well();
    assert_eq!(site.effects(), ["POST isolate"]);
}

#[test]
fn what_was_seen_while_observing_is_not_acted_upon_once_enforcing() {
    let mut site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    site.set("CORDON_MODE", "enforce");
    let ended = site.cordon(&["run", "--once", "--json"]);
    assert_eq!(ended.json()["found"], json!(0));
    ended.well();
    assert_eq!(site.effects(), Vec::<String>::new());
}

#[test]
fn in_whatever_time_zone_it_runs_it_finds_what_is_new_and_nothing_older() {
    for zone in ["<+14>-14", "<-12>12", "Pacific/Kiritimati", "Etc/GMT+12"] {
        let pc = workstation(DEVICE);
        let older = Alert::new("da000000000000000001_1", "", ago(20)).on(&pc);
        let site =
            Site::new(one_high().alert(older)).enforcing().with("CORDON_LOOKBACK", "15m").with("TZ", zone);
        let first = site.cordon(&["run", "--once", "--json"]);
        let second = site.cordon(&["run", "--once", "--json"]);
        assert_eq!((&first.json()["found"], &second.json()["found"]), (&json!(1), &json!(0)), "{zone}");
        assert_eq!(site.effects(), ["POST isolate"], "{zone}");
        let status = site.cordon(&["status"]).well();
        assert!(!status.contains("trouble"), "{zone}: {status}");
        site.assert_well_behaved();
    }
}

#[test]
fn the_text_for_people_holds_the_same_numbers() {
    let site = Site::new(one_high()).enforcing();
    let text = site.cordon(&["run", "--once"]).well();
    for line in [
        "alerts         1 found, 1 enriched",
        "decisions      1 isolate, 0 propose, 0 none, 0 refused; 0 held back, 0 not carried out",
        "isolations     1 requested, 0 adopted, 1 succeeded, 0 failed, 0 timed out; now 0 pending, 0 unknown",
        "notifications  2 sent, 0 failed",
        "dead letters   0",
        "1 POST isolate",
    ] {
        assert!(text.contains(line), "`{line}` in {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn an_isolation_that_fails_needs_attention() {
    let mut world = one_high();
    world.machines[0].behaviour = Behaviour::Fails;
    let site = Site::new(world).enforcing();
    let ended = site.cordon(&["run", "--once", "--json"]);
    assert_eq!(ended.json()["isolations"]["failed"], json!(1));
    ended.complains(1, &["1 isolations did not succeed"]);
    assert_eq!(ended.complaints().len(), 1);
}

#[test]
fn a_channel_that_takes_nothing_needs_attention_and_the_isolation_happens_all_the_same() {
    let site = Site::new(one_high()).enforcing();
    std::fs::write(site.path("cordon-mail"), "a file where a folder should be").unwrap();
    let ended = site.cordon(&["run", "--once", "--json"]);
    let summary = ended.json();
    assert_eq!(summary["isolations"]["succeeded"], json!(1));
    assert_eq!(summary["notifications"], json!({"sent": 0, "failed": 1}));
    ended.complains(1, &["attempts to tell people failed", "work is left"]);
}

#[test]
fn a_record_that_cannot_be_read_is_set_aside_and_its_neighbour_is_handled() {
    let site =
        Site::new(one_high().raw_alert(json!({"severity": "High", "lastUpdateTime": crate::site::ago(2)})));
    let ended = site.cordon(&["run", "--once", "--json"]);
    let summary = ended.json();
    assert_eq!((&summary["found"], &summary["dead_letters"]), (&json!(1), &json!(1)));
    ended.complains(1, &["set aside", "`cordon dead-letters`"]);
}

#[test]
fn a_hundred_alerts_on_a_hundred_devices_isolate_each_once() {
    let site = Site::new(many_high(100)).enforcing().unlimited();
    let summary = site.cordon(&["run", "--once", "--json"]).json();
    assert_eq!(summary["isolations"]["succeeded"], json!(100), "{summary}");
    assert_eq!(site.simulator.count("POST isolate"), 100);
    let isolated = |number: usize| site.simulator.with(|world| world.is_isolated(&format!("{number:040x}")));
    assert!((0..100).all(isolated));
    site.assert_well_behaved();
}

#[test]
fn a_run_that_is_killed_goes_on_where_it_was_and_isolates_each_device_once() {
    let site = Site::new(many_high(60)).enforcing().unlimited();
    let run = site.start(&["run", "--once"]);
    wait_until("some isolations", || site.simulator.count("POST isolate") >= 20);
    drop(run);
    let before = site.simulator.count("POST isolate");
    assert!(before < 60, "the kill came in the middle");

    // What the killed run had in hand comes back when its visibility ends: by the next run or the one after it.
    let ended = site.cordon(&["run", "--once", "--json"]);
    let summary = ended.json();
    let left = 60 - site.query("SELECT count(*) FROM items WHERE sort LIKE 'case#%'");
    assert!(left <= 11, "{left} are still in hand: {summary}");
    if left > 0 {
        ended.complains(1, &["work is left"]);
    }
    for number in 0..60 {
        let device = format!("{number:040x}");
        let asked = site.simulator.with(|world| world.actions_of(&device).len());
        assert!(asked <= 1, "{device} was isolated {asked} times");
    }
    site.assert_well_behaved();
}
