//! `cordon status`: one screen, and an exit code by which a monitor can go.

use crate::site::{DEVICE, Site, many_high, now, one_high, tenant};
use jiff::SignedDuration;
use ports::{Brakes, Breaker, ChannelRow, Cursor, Failing, Trouble};
use serde_json::json;
use simulator::{DEFAULT_CLIENT, World};

#[test]
fn all_is_well_where_it_is() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    let text = site.cordon(&["status"]).well();
    for words in [
        "mode         enforce (CORDON_MODE)",
        "paused       no",
        "last poll    20",
        "open         none",
        "cut off      1 by Cordon, 0 by others",
        "held         0",
        "in an hour   1 of 10",
        "dead letters none",
        "in queues    none",
        "token        taken; its roles: Alert.Read.All",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert!(text.lines().count() <= 24, "it is one screen: {text}");
    let report = site.cordon(&["status", "--json"]).json();
    assert_eq!((&report["mode"], &report["pause"]), (&json!("enforce"), &json!(null)));
    assert_eq!(report["cut_off"], json!({"by_cordon": 1, "by_others": 0}));
    assert_eq!(report["attention"], json!([]));
    assert_eq!(site.effects(), ["POST isolate"], "it changes nothing");
}

#[test]
fn without_settings_for_the_tenant_it_tells_what_the_state_knows() {
    let mut site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    for name in ["DEFENDER_CLIENT_ID", "DEFENDER_CLIENT_SECRET", "DEFENDER_API_URL"] {
        site.unset(name);
    }
    let text = site.cordon(&["status"]).well();
    assert!(text.contains("mode         observe (the playbook)") && !text.contains("token"), "{text}");
    site.set("CORDON_PLAYBOOK", "nowhere");
    let text = site.cordon(&["status"]).well();
    assert!(
        text.contains("not known") && text.contains("`nowhere` (CORDON_PLAYBOOK) cannot be read"),
        "{text}"
    );
}

#[test]
fn whatever_a_person_has_to_look_at_is_said_and_ends_with_1() {
    let site =
        Site::new(one_high().raw_alert(json!({"severity": "High", "lastUpdateTime": crate::site::ago(2)})));
    site.cordon(&["run", "--once"]);
    let open = Breaker { cause: "title X".to_owned(), since: now() };
    site.put(Brakes::key(&tenant()), &Brakes { open: vec![open], ..Brakes::default() });
    let cursor: Cursor = site.get(&Cursor::key(&tenant())).unwrap();
    let before = now() - SignedDuration::from_mins(12);
    site.put(Cursor::key(&tenant()), &Cursor { last_success: Some(before), ..cursor });
    site.put(
        Trouble::key(&tenant(), "poll"),
        &Trouble { at: now() - SignedDuration::from_mins(3), why: "no \u{1b}[31manswer".to_owned() },
    );
    site.cordon(&["pause", "--comment", "drill"]).well();
    let ended = site.cordon(&["status"]);
    ended.complains(
        1,
        &[
            "Paused by",
            "drill",
            "no poll has ended well for 12 min",
            "breaker is open for the title X",
            "1 message(s) or record(s)",
        ],
    );
    assert!(ended.stdout.contains("trouble      poll, 3 min ago: no [31manswer"), "{}", ended.stdout);
    assert!(ended.stdout.contains("OPEN         title X"), "{}", ended.stdout);
    assert!(ended.stdout.contains("dead letters 1 in alerts-found"), "{}", ended.stdout);
    let json = site.cordon(&["status", "--json"]);
    assert_eq!(json.json()["attention"].as_array().unwrap().len(), 4);
    assert_eq!(json.code, 1);
}

#[test]
fn a_clock_that_is_wrong_is_told_and_needs_attention_until_it_is_right() {
    let site = Site::new(one_high()).enforcing();
    site.simulator.advance(SignedDuration::from_mins(10));
    site.cordon(&["run", "--once"]);
    let told = |mail: &Vec<u8>| String::from_utf8_lossy(mail).contains("[Cordon] 0 Look now");
    assert_eq!(site.mails("cordon-mail").iter().filter(|mail| told(mail)).count(), 1);
    let ended = site.cordon(&["status"]);
    ended.complains(1, &["minutes behind Defender's"]);
    assert!(ended.stdout.contains("trouble      clock, "), "{}", ended.stdout);

    let trouble: Trouble = site.get(&Trouble::key(&tenant(), "clock")).unwrap();
    let before = trouble.at - SignedDuration::from_mins(1);
    site.put(Trouble::key(&tenant(), "clock"), &Trouble { at: before, ..trouble });
    let text = site.cordon(&["status"]).well();
    assert!(!text.contains("trouble"), "the polls since then have not found it again: {text}");
}

#[test]
fn held_cases_and_pending_isolations_are_counted() {
    let mut world = many_high(3);
    for number in 0..3 {
        world.take_offline(&format!("{number:040x}"));
    }
    let site = Site::new(world).enforcing().limited("per_hour = 1");
    site.cordon(&["run", "--once"]);
    let ended = site.cordon(&["status"]);
    ended.complains(1, &["2 case(s) are held: `cordon held`"]);
    for words in [
        "held         2, the oldest for",
        "2 held back: the limit of 1",
        "1 isolation ",
        "in an hour   1 of 1",
    ] {
        assert!(ended.stdout.contains(words), "`{words}` in {}", ended.stdout);
    }
}

#[test]
fn a_token_that_is_refused_needs_attention() {
    let mut site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    site.set("DEFENDER_CLIENT_SECRET", "wrong");
    site.cordon(&["status"]).complains(1, &["DEFENDER_CLIENT_SECRET", "the client secret is wrong"]);
    let lacking = Site::new(one_high());
    lacking.cordon(&["run", "--once"]).well();
    lacking.simulator.with(|world| {
        *world = std::mem::replace(world, World::new(now())).app(
            DEFAULT_CLIENT,
            simulator::DEFAULT_SECRET,
            &["Machine.Read.All"],
        );
    });
    lacking.cordon(&["status"]).complains(1, &["the app lacks Alert.Read.All"]);
}

#[test]
fn a_state_without_a_poll_needs_attention() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    let cursor: Cursor = site.get(&Cursor::key(&tenant())).unwrap();
    site.put(Cursor::key(&tenant()), &Cursor { last_success: None, ..cursor });
    site.cordon(&["status"]).complains(1, &["no poll has ended well yet"]);
    let none = Site::new(one_high());
    none.cordon(&["status"]).complains(2, &["there is no state in `cordon.db` yet"]);
}

#[test]
fn a_stack_takes_a_build_that_can_talk_to_aws() {
    let site = Site::new(one_high());
    let words: &[&str] = if cfg!(feature = "aws") {
        &["--stack cordon", "AWS_ACCESS_KEY_ID"]
    } else {
        &["--stack", "cargo build --release -p cordon --features aws"]
    };
    for command in [
        &["status"][..],
        &["isolated"],
        &["held"],
        &["limits"],
        &["dead-letters"],
        &["check"],
        &["explain", "da1_1"],
        &["pause", "--comment", "x"],
        &["resume", "--comment", "x"],
        &["release", DEVICE, "--comment", "x"],
        &["isolate", DEVICE, "--comment", "x"],
    ] {
        let ended = site.cordon(&[command, &["--stack", "cordon"]].concat());
        ended.complains(2, words);
        assert_eq!(ended.stdout, "");
    }
    for command in [&["run", "--once"][..], &["demo"]] {
        site.cordon(&[command, &["--stack", "cordon"]].concat()).complains(2, &["--stack is for"]);
    }
    assert_eq!(site.listing(), Vec::<String>::new());
}

#[test]
fn a_channel_that_takes_nothing_is_named_with_its_reason_and_needs_attention() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    let failing = Failing {
        since: now() - SignedDuration::from_mins(20),
        tries: 6,
        rests_until: now() + SignedDuration::from_mins(5),
        why: "the workflow was deleted".to_owned(),
        told: true,
    };
    // The second was taken out of the playbook.
    for channel in ["mail-folder", "teams"] {
        let failing = Some(failing.clone());
        let row = ChannelRow { channel: channel.to_owned(), failing, ..ChannelRow::default() };
        site.put(ChannelRow::key(&tenant(), channel), &row);
    }
    let ended = site.cordon(&["status"]);
    ended.complains(1, &["channel `mail-folder`", "for 20 min", "the workflow was deleted"]);
    assert!(
        ended.stdout.contains("mail-folder fails since")
            && !ended.stdout.contains("teams")
            && ended.stdout.contains("6 tries"),
        "{ended:?}"
    );
    let report = site.cordon(&["status", "--json"]).json();
    let failing = report["failing_channels"].as_array().unwrap();
    assert_eq!((failing.len(), &failing[0]["channel"]), (1, &"mail-folder".into()));
}
