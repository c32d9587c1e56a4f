//! `cordon hunts`, and the playbook's hunts in `run`, `check`, `status` and `explain`.

use crate::site::{
    DEVICE, Site, found, hunt_file, now, one_high, remote_tools, tenant, wait_until, workstation,
};
use jiff::SignedDuration;
use ports::{HuntRest, HuntRow};
use serde_json::{Value, json};
use simulator::{DEFAULT_CLIENT, DEFAULT_ROLES, DEFAULT_SECRET, Fault, FaultKind, World};

/// One hunt that is on.
fn hunting(world: World) -> Site {
    let mut site = Site::new(world).enforcing();
    site.write_playbook("hunts/remote-tools.toml", &hunt_file(""));
    site
}

fn row(site: &Site) -> HuntRow {
    site.get(&HuntRow::key(&tenant(), "remote-tools")).unwrap()
}

/// The one hunt, as `--json` tells of it.
fn told(site: &Site) -> Value {
    site.cordon(&["hunts", "--json"]).json()["hunts"][0].clone()
}

#[test]
fn without_a_hunt_it_says_so() {
    let mut site = Site::new(one_high());
    site.write_playbook("playbook.toml", "");
    assert!(site.cordon(&["hunts"]).well().contains("no hunts"));
    assert_eq!(site.cordon(&["hunts", "--json"]).json()["hunts"], json!([]));
    assert_eq!(site.listing(), ["own-playbook"], "nothing was made");
}

#[test]
fn hunts_are_listed_before_anything_has_run() {
    let mut site = hunting(found(1));
    site.write_playbook("hunts/quiet.toml", &hunt_file("enabled = false"));
    site.unset("DEFENDER_CLIENT_ID");
    let text = site.cordon(&["hunts"]).well();
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("quiet").contains(" off "), "{text}");
    assert!(
        line("remote-tools").contains(" not run yet ") && line("remote-tools").contains("every 10m"),
        "{text}"
    );
    assert_eq!(site.listing(), ["own-playbook"], "nothing was made");
}

#[test]
fn a_run_hunts_and_what_it_found_goes_its_way_and_is_listed() {
    let site = hunting(found(2));
    let ended = site.cordon(&["run", "--once", "--json"]);
    let summary = ended.json();
    ended.well();
    assert_eq!(summary["hunts"], json!({"ran": 1, "announced": 2}));
    assert_eq!((&summary["found"], &summary["enriched"]), (&json!(2), &json!(2)));
    assert_eq!(summary["defender_calls"]["POST runHuntingQuery"], 1);
    assert_eq!(site.effects(), ["POST runHuntingQuery"], "a row isolates nobody unless its hunt says so");
    let hunt = told(&site);
    assert_eq!((&hunt["state"], &hunt["leads_to"]), (&json!("on"), &json!("alert")));
    assert_eq!(
        (&hunt["last"]["rows"], &hunt["last"]["new"], &hunt["last"]["calls"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert!(hunt["next"].is_string() && hunt["trouble"].is_null(), "{hunt}");
    let text = site.cordon(&["hunts"]).well();
    assert!(text.contains("LAST RUN") && text.contains("every 10m"), "{text}");
    assert!(site.cordon(&["status"]).well().contains("hunts        1 on, 0 off"));

    // A second run a moment later has nothing to do.
    let again = site.cordon(&["run", "--once", "--json"]).json();
    assert_eq!(again["hunts"], json!({"ran": 0, "announced": 0}));
}

#[test]
fn the_alert_of_a_hunt_is_explained_by_its_id() {
    let site = hunting(found(1));
    site.cordon(&["run", "--once"]).well();
    let id = site.query(
        "SELECT COUNT(*) FROM items WHERE sort LIKE 'case#%' AND partition LIKE '%hunt-remote-tools-%'",
    );
    assert_eq!(id, 1);
    let state = rusqlite::Connection::open(site.path("cordon.db")).unwrap();
    let sql = "SELECT CAST(value AS TEXT) FROM items WHERE sort LIKE 'case#%'";
    let case: String = state.query_row(sql, [], |row| row.get(0)).unwrap();
    let case: Value = serde_json::from_str(&case).unwrap();
    let id = case["last"]["alert"]["id"].as_str().unwrap();
    let text = site.cordon(&["explain", id]).well();
    assert!(
        text.contains("by the hunt remote-tools, whose rows may not")
            && text.contains("Defender has no such alert"),
        "{text}"
    );
    assert!(text.contains("remoting.exe was started on pc1.contoso.com (High)"), "{text}");
    assert!(!text.contains("http"), "there is no page of it in the portal: {text}");
    assert_eq!(site.cordon(&["explain", "--json", id]).json()["alert"], id);
    // An order by hand may name it, as it may name any other.
    let ended = site.cordon(&["isolate", DEVICE, "--alert", id, "--comment", "looked at it"]);
    assert!(!ended.stderr.contains("knows no alert"), "{ended:?}");
    assert_eq!(site.effects().iter().filter(|effect| *effect == "POST isolate").count(), 1, "{ended:?}");
}

#[test]
fn a_hunt_that_the_service_refuses_is_broken_until_its_file_has_changed() {
    let mut site = hunting(
        World::new(now())
            .table(remote_tools().error(400, "'where' operator: Failed to resolve column \u{1b}[31mx")),
    );
    for command in [&["run", "--once"][..], &["hunts"], &["check"], &["status"]] {
        let ended = site.cordon(command);
        ended.complains(
            1,
            &[
                "`remote-tools` is broken, and is tried once a day until its file has changed",
                "Failed to resolve column",
            ],
        );
        assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'), "{ended:?}");
    }
    assert_eq!(told(&site)["state"], "broken");
    site.write_playbook("hunts/remote-tools.toml", &hunt_file("# mended"));
    assert_eq!(told(&site)["state"], "changed");
    assert!(site.cordon(&["hunts"]).well().contains("remote-tools: not run since its file has changed"));
    site.simulator.with(|world| world.tables[0].error = None);
    site.cordon(&["run", "--once"]).well();
    let hunt = told(&site);
    assert_eq!((&hunt["state"], &hunt["trouble"]), (&json!("on"), &Value::Null));
}

#[test]
fn a_hunt_that_has_not_run_for_long_is_overdue() {
    let site = hunting(found(1));
    site.cordon(&["run", "--once"]).well();
    let long_ago = now() - SignedDuration::from_hours(5);
    site.put(
        HuntRow::key(&tenant(), "remote-tools"),
        &HuntRow { since: long_ago, last_success: Some(long_ago), next: long_ago, ..row(&site) },
    );
    for command in ["hunts", "check", "status"] {
        site.cordon(&[command]).complains(1, &["`remote-tools` is overdue", "for 5 h 0 min"]);
    }
    assert_eq!(told(&site)["state"], "overdue");
    site.cordon(&["run", "--once"]).well();
    assert_eq!(told(&site)["state"], "on");
}

#[test]
fn a_hunt_that_lacks_the_permission_is_failing_and_no_command_calls_it_well() {
    let app = found(1).app(DEFAULT_CLIENT, DEFAULT_SECRET, DEFAULT_ROLES);
    let mut site = hunting(app.graph_roles(DEFAULT_CLIENT, &["SecurityAlert.Read.All"]));
    for command in [&["run", "--once"][..], &["hunts"], &["status"]] {
        site.cordon(command)
            .complains(1, &["`remote-tools` did not come to its end", "ThreatHunting.Read.All"]);
    }
    assert_eq!(told(&site)["state"], "failing");
    let ended = site.cordon(&["hunts"]);
    assert!(ended.stdout.contains(" failing "), "{ended:?}");
    assert!(site.cordon(&["status"]).stdout.contains("failing: remote-tools"));
    site.write_playbook("hunts/remote-tools.toml", &hunt_file("# changed"));
    assert_eq!(told(&site)["state"], "changed");
    site.write_playbook("hunts/remote-tools.toml", &hunt_file("enabled = false"));
    assert_eq!(told(&site)["state"], "off");
    site.cordon(&["hunts"]).well();
}

#[test]
fn hunts_that_cannot_be_read_are_not_passed_over_by_status() {
    let mut site = hunting(found(1));
    site.cordon(&["run", "--once"]).well();
    site.write_playbook("hunts/quiet.toml", "every = 5\n");
    site.cordon(&["status"]).complains(1, &["how the hunts stand is not known", "hunts/quiet.toml"]);
}

#[test]
fn a_quota_that_is_used_up_makes_all_of_them_rest() {
    let site = hunting(found(1));
    site.cordon(&["run", "--once"]).well();
    let until = now() + SignedDuration::from_mins(10);
    site.put(HuntRest::key(&tenant()), &HuntRest { until, why: "calls of an hour \u{1b}[2J".to_owned() });
    let text = site.cordon(&["hunts"]).well();
    assert!(text.contains(" resting ") && text.contains("No hunt asks the service before"), "{text}");
    assert!(text.contains("calls of an hour [2J"), "{text}");
    assert!(site.cordon(&["status"]).well().contains("all rest until"));
}

#[test]
fn hunts_that_fail_stop_no_poll_and_no_alert() {
    let pc = workstation(DEVICE);
    let world = one_high().machine(pc).table(remote_tools());
    let site =
        hunting(world.fault(Fault::once("POST runHuntingQuery", FaultKind::ServerError(503)).always()));
    let ended = site.cordon(&["run", "--once", "--json"]);
    ended.complains(1, &["the hunt `remote-tools` did not come to its end", "503"]);
    assert_eq!(ended.json()["found"], 1);
    assert_eq!(site.effects().iter().filter(|effect| *effect == "POST isolate").count(), 1);
    let trouble = told(&site)["trouble"].clone();
    assert_eq!(trouble["broken"], false, "an outage is no fault of the hunt's: {trouble}");
}

#[test]
fn polling_goes_on_while_a_hunt_waits_for_the_service() {
    let slow = Fault::once("POST runHuntingQuery", FaultKind::Slow { millis: 110_000 }).always();
    let mut site = hunting(found(1).fault(slow));
    site.write_playbook(
        "playbook.toml",
        "[poll]\ninterval = \"30s\"\n[[channels]]\nname = \"f\"\nkind = \"folder\"\npath = \"x\"\n",
    );
    let run = site.start(&["run"]);
    run.wait_for_log("polled");
    wait_until("the hunting query", || site.simulator.count("POST runHuntingQuery") == 1);
    let polls = site.simulator.count("GET alerts");
    wait_until("another poll", || site.simulator.count("GET alerts") > polls);
    run.terminate();
    let ended = run.wait();
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("what is still in hand is given up"), "{}", ended.stderr);
    assert!(ended.took.as_secs() < 90, "{:?}", ended.took);
}
