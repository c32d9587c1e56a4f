//! `cordon isolate`, `release`, `isolated` and `held`: what a person orders, and what they are told of it.

use crate::site::{ALERT, DEVICE, Site, many_high, now, one_high, wait_until, workstation};
use serde_json::{Value, json};
use simulator::{Behaviour, Fault, FaultKind, World};

const COMMENT: [&str; 2] = ["--comment", "ticket 4711"];

/// A device without an alert.
fn one_device() -> Site {
    let site = Site::new(World::new(now()).machine(workstation(DEVICE))).enforcing().with("USER", "alice");
    site.cordon(&["run", "--once"]).well();
    site
}

fn isolated() -> Site {
    let site = Site::new(one_high()).enforcing().with("USER", "alice");
    site.cordon(&["run", "--once"]).well();
    site
}

/// Of three alerts on three devices one is isolated and two are held.
fn holding() -> Site {
    let site = Site::new(many_high(3)).enforcing().limited("per_hour = 1").with("USER", "alice");
    let ended = site.cordon(&["run", "--once", "--json"]);
    assert_eq!(ended.json()["decisions"]["held"], 2, "{ended:?}");
    site
}

fn order<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, &COMMENT, more].concat()
}

fn held(site: &Site) -> Vec<Value> {
    site.cordon(&["held", "--json"]).json()["held"].as_array().unwrap().clone()
}

#[test]
fn a_device_is_isolated_by_hand_and_requested_is_not_isolated() {
    let site = one_device();
    let text = site.cordon(&order(&["isolate", DEVICE], &[])).well();
    for words in [
        &format!("isolation of {DEVICE}: requested"),
        "not done yet",
        "`cordon run` follows it",
        "`cordon isolated`",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert_eq!(site.effects(), ["POST isolate"]);
    let text = site.cordon(&["isolated"]).well();
    for words in [
        "isolation requested, since",
        "ordered by alice@",
        "(operator): ticket 4711",
        "machine action",
        "1 device(s)",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    // What is done is followed by the run.
    site.cordon(&["run", "--once"]).well();
    let text = site.cordon(&["isolated"]).well();
    assert!(text.contains("isolation succeeded"), "{text}");
    site.assert_well_behaved();
}

#[test]
fn an_isolation_by_hand_as_json() {
    let site = one_device();
    let report = site.cordon(&order(&["isolate", DEVICE], &["--type", "Selective", "--json"])).json();
    let order = &report["orders"][0];
    assert_eq!(order["answered"]["state"], "requested", "{report}");
    assert_eq!((&order["device"], &order["cause"]), (&json!(DEVICE), &json!("operator")));
    assert_eq!(order["wanted"]["isolate"]["isolation_type"], "Selective");
    assert!(order["order"].as_str().unwrap().starts_with("effect-requested-"), "{report}");
    let row = &site.cordon(&["isolated", "--json"]).json()["isolated"][0];
    assert_eq!(
        (&row["device"], &row["effect"], &row["by_cordon"]),
        (&json!(DEVICE), &json!("isolate"), &json!(true))
    );
}

#[test]
fn nothing_is_isolated_by_hand_while_observing() {
    let mut site = one_device();
    site.unset("CORDON_MODE");
    let ended = site.cordon(&order(&["isolate", DEVICE], &[]));
    ended.complains(1, &["the isolation of", DEVICE]);
    assert_eq!(site.effects(), Vec::<String>::new());
}

#[test]
fn a_release_gives_the_device_back() {
    let site = isolated();
    let text = site.cordon(&order(&["release", DEVICE, DEVICE], &[])).well();
    assert_eq!(text.matches("release of pc1.contoso.com").count(), 1, "{text}");
    assert!(text.contains("requested"), "{text}");
    let text = site.cordon(&["isolated"]).well();
    assert!(text.contains("release requested; to be taken as cut off"), "{text}");
    site.cordon(&["run", "--once"]).well();
    let text = site.cordon(&["isolated"]).well();
    assert!(text.contains("No device is cut off"), "{text}");
    assert!(!site.simulator.with(|world| world.is_isolated(DEVICE)));
    let life = site.cordon(&["explain", ALERT]).well();
    assert!(life.contains("released") && life.contains("ticket 4711"), "{life}");
    site.assert_well_behaved();
}

#[test]
fn a_release_goes_through_a_pause() {
    let site = isolated();
    site.cordon(&order(&["pause"], &[])).well();
    site.cordon(&order(&["release", DEVICE], &[])).well();
    assert_eq!(site.effects(), ["POST isolate", "POST unisolate"]);
}

#[test]
fn an_isolation_by_hand_stops_at_a_pause() {
    let site = one_device();
    site.cordon(&order(&["pause"], &[])).well();
    let ended = site.cordon(&order(&["isolate", DEVICE], &[]));
    ended.complains(1, &["the isolation of", "ticket 4711"]);
    assert_eq!(site.effects(), Vec::<String>::new());
}

#[test]
fn what_is_isolated_is_told_with_its_alert_and_policy() {
    let site = isolated();
    let text = site.cordon(&["isolated"]).well();
    for words in [
        "pc1.contoso.com",
        DEVICE,
        "isolation succeeded, since",
        &format!("alert {ALERT}: Suspicious PowerShell command line"),
        "permitted by isolate-high",
        "1 device(s), 0 of them by somebody else.",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    let row = &site.cordon(&["isolated", "--json"]).json()["isolated"][0];
    assert_eq!((&row["alert"], &row["state"]), (&json!(ALERT), &json!("succeeded")));
    assert_eq!(row["policies"], json!(["isolate-high"]));
}

#[test]
fn somebody_elses_isolation_is_marked_as_that() {
    let mut world = one_high();
    world.isolate_by_person(DEVICE, "alice@contoso.com");
    let site = Site::new(world).enforcing();
    site.cordon(&["run", "--once"]).well();
    let text = site.cordon(&["isolated"]).well();
    for words in [
        "adopted (it is somebody else's)",
        "Cordon does not release it by itself",
        "1 of them by somebody else",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
}

#[test]
fn an_order_can_be_left_to_a_run() {
    let mut site = one_device();
    let text = site.cordon(&order(&["isolate", DEVICE], &["--no-wait"])).well();
    assert!(text.contains(": ordered") && text.contains("valid until"), "{text}");
    assert_eq!(site.effects(), Vec::<String>::new());
    assert_eq!(site.waiting("effects-requested").len(), 1);
    site.cordon(&["run", "--once"]).well();
    assert_eq!(site.effects(), ["POST isolate"]);
    // Without the settings for the tenant a command can only wait for somebody who has them.
    site.unset("DEFENDER_CLIENT_ID");
    let ended = site.cordon(&order(&["release", DEVICE], &["--wait", "1s"]));
    ended.complains(1, &["not carried out yet, after 1 s", "`cordon run`", "lapse"]);
    assert!(ended.stdout.contains(": ordered"), "{}", ended.stdout);
    site.cordon(&order(&["release", DEVICE], &["--wait", "2h"])).complains(2, &["--wait", "30 minutes"]);
}

#[test]
fn a_run_that_goes_on_carries_an_order_out() {
    let mut site = one_device();
    let run = site.start(&["run"]);
    run.wait_for_log("polled");
    site.unset("DEFENDER_CLIENT_SECRET");
    site.unset("DEFENDER_CLIENT_ID");
    let text = site.cordon(&order(&["isolate", DEVICE], &[])).well();
    assert!(text.contains("requested") || text.contains("succeeded"), "{text}");
    wait_until("the isolation", || site.simulator.with(|world| world.is_isolated(DEVICE)));
    run.terminate();
    assert_eq!(run.wait().code, 0);
    assert_eq!(site.simulator.count("POST isolate"), 1);
}

#[test]
fn an_order_is_carried_out_once_also_where_a_run_and_the_command_both_can() {
    let devices: Vec<String> = (0..8).map(|number| format!("{number:040x}")).collect();
    let world = devices.iter().fold(World::new(now()), |world, id| world.machine(workstation(id)));
    let site = Site::new(world).enforcing();
    let run = site.start(&["run"]);
    run.wait_for_log("polled");
    let commands: Vec<_> =
        devices.iter().map(|device| site.start(&order(&["isolate", device], &["--json"]))).collect();
    for command in commands {
        let ended = command.wait();
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    run.terminate();
    assert_eq!(run.wait().code, 0);
    assert_eq!(site.simulator.count("POST isolate"), 8);
    site.assert_well_behaved();
}

#[test]
fn a_mistyped_device_an_unknown_alert_and_nothing_to_reissue_are_said() {
    let site = one_device();
    for command in ["isolate", "release"] {
        for bad in ["pc1.contoso.com", "0123", "\u{1b}[2J"] {
            let ended = site.cordon(&order(&[command, bad], &[]));
            ended.complains(2, &["is not a machine id (40 hexadecimal digits)", "not a name or an address"]);
            assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
        }
        site.cordon(&order(&[command], &[])).complains(2, &["DEVICE_ID"]);
    }
    site.cordon(&order(&["isolate", DEVICE, "--alert", "da1_1"], &[]))
        .complains(1, &["the state knows no alert `da1_1`"]);
    site.cordon(&order(&["isolate", DEVICE, "--reissue"], &[]))
        .complains(1, &["never asked for an isolation of", DEVICE, "--reissue"]);
    site.cordon(&order(&["isolate", DEVICE, "--type", "Half"], &[]))
        .complains(2, &["Half", "Full", "Selective"]);
    assert_eq!(site.query("SELECT count(*) FROM messages"), 0);
    assert_eq!(site.effects(), Vec::<String>::new());
}

#[test]
fn what_was_proposed_can_be_ordered_on_account_of_its_alert() {
    let mut world = one_high();
    world.alerts[0].severity = "Medium".to_owned();
    let site = Site::new(world).enforcing().with("USER", "alice");
    site.cordon(&["run", "--once"]).well();
    assert_eq!(site.effects(), Vec::<String>::new(), "a person is asked");
    let other = "f".repeat(40);
    site.cordon(&order(&["isolate", &other, "--alert", ALERT], &[]))
        .complains(1, &[ALERT, "not known to concern the device", &other]);
    let text = site.cordon(&order(&["isolate", DEVICE, "--alert", ALERT], &[])).well();
    assert!(text.contains("isolation of pc1.contoso.com") && text.contains("requested"), "{text}");
    let life = site.cordon(&["explain", ALERT]).well();
    assert!(life.contains("ordered by alice@") && life.contains("ticket 4711"), "{life}");
    site.assert_well_behaved();
}

#[test]
fn what_failed_is_asked_for_once_more() {
    let mut world = one_high();
    world.machines[0].behaviour = Behaviour::Fails;
    let site = Site::new(world).enforcing().with("USER", "alice");
    site.cordon(&["run", "--once"]).complains(1, &["did not succeed"]);
    site.simulator.with(|world| world.machines[0].behaviour = Behaviour::Online);
    let report = site.cordon(&order(&["isolate", DEVICE, "--reissue"], &["--json"])).json();
    let order = &report["orders"][0];
    assert_eq!((&order["cause"], &order["alert"]), (&json!("reissue"), &json!(ALERT)), "{report}");
    assert_eq!(order["answered"]["state"], "requested", "{report}");
    assert_eq!(site.effects(), ["POST isolate", "POST isolate"]);
}

#[test]
fn what_is_held_is_listed_with_what_holds_it() {
    let site = holding();
    let text = site.cordon(&["held"]).well();
    for words in [
        "SEVERITY",
        "High",
        "pc1.contoso.com",
        "2 held back: the limit of 1 isolations in an hour",
        "cordon held run",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert_eq!(held(&site).len(), 2);
    assert!(held(&site).iter().all(|held| held["severity"] == "High" && held["gate"].is_string()));
    let empty = one_device();
    assert_eq!(empty.cordon(&["held"]).well(), "Nothing is held.\n");
    assert_eq!(empty.cordon(&["held", "--json"]).json(), json!({"held": []}));
}

#[test]
fn a_held_case_goes_on_once_the_limit_is_raised() {
    let site = holding();
    let alert = held(&site)[0]["alert"].as_str().unwrap().to_owned();
    let ended = site.cordon(&order(&["held", "run", &alert], &[]));
    ended.complains(1, &["held", "limit of 1"]);
    assert_eq!(held(&site).len(), 2, "it is held as before");
    site.cordon(&order(&["limits", "raise", "--to", "10", "--for", "1h"], &[])).well();
    site.cordon(&order(&["held", "run", &alert], &[])).well();
    assert_eq!(held(&site).len(), 1);
    assert_eq!(site.simulator.count("POST isolate"), 2);
    let report = site.cordon(&order(&["held", "run", "--all"], &["--json"])).json();
    assert_eq!(report["orders"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["orders"][0]["cause"], "held");
    assert_eq!(site.simulator.count("POST isolate"), 3);
    let text = site.cordon(&order(&["held", "run", "--all"], &[])).well();
    assert_eq!(text, "Nothing is held.\n");
}

#[test]
fn a_held_case_is_dropped_and_the_case_says_by_whom() {
    let site = holding();
    let alert = held(&site)[0]["alert"].as_str().unwrap().to_owned();
    let before = site.mails("cordon-mail").len();
    let text = site.cordon(&order(&["held", "drop", &alert], &[])).well();
    assert!(
        text.contains(&format!("dropped: {alert} on pc1.contoso.com")) && text.contains("1 case(s) dropped"),
        "{text}"
    );
    let life = site.cordon(&["explain", &alert]).well();
    assert!(
        life.contains("→ refused") && life.contains("dropped by alice@") && life.contains("ticket 4711"),
        "{life}"
    );
    assert!(!life.contains("  held  "), "{life}");
    let dropped = site.cordon(&order(&["held", "drop", "--all"], &["--json"])).json();
    assert_eq!(dropped["dropped"].as_array().unwrap().len(), 1);
    assert_eq!(held(&site), Vec::<Value>::new());
    site.cordon(&["run", "--once"]).well();
    assert_eq!(site.mails("cordon-mail").len(), before, "a person knows what they did");
    assert_eq!(site.simulator.count("POST isolate"), 1);
}

#[test]
fn what_is_not_held_can_neither_go_on_nor_be_dropped() {
    let site = isolated();
    for verb in ["run", "drop"] {
        let ended = site.cordon(&order(&["held", verb, ALERT, "da9_9"], &[]));
        ended.complains(1, &[ALERT, "da9_9", "nothing was done", "`cordon held`", "cordon explain"]);
        site.cordon(&order(&["held", verb], &[])).complains(2, &["--all"]);
        site.cordon(&order(&["held", verb, ALERT, "--all"], &[])).complains(2, &["--all"]);
    }
    assert_eq!(site.query("SELECT count(*) FROM messages"), 0);
}

/// The service refuses three of many, in the middle.
#[test]
fn of_many_devices_to_be_released_those_that_fail_are_named_and_the_others_are_done() {
    let mut world = many_high(37);
    for (number, machine) in world.machines.iter_mut().enumerate() {
        machine.computer_dns_name = Some(format!("pc-{number:02}.contoso.com"));
    }
    let site = Site::new(world).enforcing().unlimited().with("USER", "alice");
    site.cordon(&["run", "--once"]).well();
    let refused = Fault::once("POST unisolate", FaultKind::ServerError(403)).after(10).times(3);
    site.simulator.with(|world| world.faults.push(refused));
    let devices: Vec<String> = (0..37).map(|number| format!("{number:040x}")).collect();
    let names: Vec<&str> = devices.iter().map(String::as_str).collect();
    let ended = site.cordon(&order(&["release"], &[&names[..], &["--json"]].concat()));
    assert_eq!((ended.code, ended.complaints().len()), (1, 3), "{ended:?}");
    let report = ended.json();
    let orders = report["orders"].as_array().unwrap();
    let in_state = |state: &str| {
        let is_so = |order: &&Value| order["answered"]["state"] == state;
        let ids = orders.iter().filter(is_so).map(|order| order["device"].as_str().unwrap());
        ids.collect::<Vec<_>>()
    };
    assert_eq!((in_state("requested").len(), in_state("failed").len()), (34, 3), "{report}");
    for device in in_state("failed") {
        let number = u32::from_str_radix(device, 16).unwrap();
        let named = format!("the release of pc-{number:02}.contoso.com ({device}) is failed");
        assert!(ended.complaints().iter().any(|line| line.contains(&named)), "{ended:?}");
        assert!(site.simulator.with(|world| world.is_isolated(device)), "{device}");
    }
    site.cordon(&["run", "--once"]).well();
    let text = site.cordon(&["isolated"]).well();
    assert!(text.contains("3 device(s)"), "{text}");
    for device in in_state("failed") {
        assert!(text.contains(device), "`{device}` in {text}");
    }
    for device in in_state("requested") {
        assert!(!site.simulator.with(|world| world.is_isolated(device)), "{device}");
    }
    assert_eq!(site.simulator.count("POST unisolate"), 37, "none is asked for twice");
    site.assert_well_behaved();
}
