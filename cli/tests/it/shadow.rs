//! `cordon shadow`: what Cordon would have done against what people did, by the state and the simulated tenant.

use crate::site::{ALERT, DEVICE, Ended, Site, ago, block_on, now, one_high, tenant, workstation};
use jiff::{SignedDuration, Timestamp};
use ports::{CaseRow, Expect, Observed, Write};
use serde_json::{Value, json};
use simulator::{Alert, Fault, FaultKind, Machine, World};

fn hours_ago(hours: i64) -> Timestamp {
    ago(60 * hours)
}

fn device(number: usize) -> String {
    format!("{number:040x}")
}

fn alert(number: usize) -> String {
    format!("da{number:018}_1")
}

/// So many workstations, each with an alert of this severity.
fn world(severities: &[&str]) -> World {
    let mut world = World::new(now());
    for (number, severity) in severities.iter().enumerate() {
        let mut pc = workstation(&device(number));
        pc.computer_dns_name = Some(format!("pc{number}.contoso.com"));
        let one = Alert::new(alert(number), "", ago(3)).on(&pc).severity(*severity);
        world = world.alert(one).machine(pc);
    }
    world
}

impl Site {
    /// Moves what was decided about an alert so many hours into the past, as if it had been decided then.
    fn decided(&self, number: usize, hours: i64) {
        let about = device(number).parse().unwrap();
        let key = CaseRow::key(&tenant(), &alert(number).parse().unwrap(), Some(&about));
        let mut row: CaseRow = self.get(&key).unwrap();
        let at = hours_ago(hours);
        if row.last.state == Some(model::EffectState::Observed) {
            let mut pointer = self.pointer(&row);
            let old = pointer.key(&tenant());
            self.delete(old);
            pointer.at = at;
            self.put(pointer.key(&tenant()), &pointer);
        }
        row.decided_at = at;
        row.history.iter_mut().for_each(|entry| entry.at = at);
        self.put(key, &row);
    }

    fn pointer(&self, row: &CaseRow) -> Observed {
        let day = row.decided_at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let partition = Observed::partition(&tenant(), day);
        let rows = block_on(self.state().query_all::<Observed>(&partition, "observed#", now())).unwrap();
        let mut rows = rows.into_iter().map(|row| row.value);
        rows.find(|one| one.alert == row.last.alert.id).unwrap()
    }

    fn delete(&self, key: ports::Key) {
        let write = Write::Delete { key, expect: Expect::Any };
        block_on(self.state().commit(&[write], now())).unwrap();
    }

    /// Somebody has isolated a device, so many hours ago.
    fn isolated_by_person(&self, number: usize, hours: i64) {
        self.simulator.with(|world| {
            let id = world.isolate_by_person(&device(number), "eve@contoso.com");
            let action = world.actions.iter_mut().find(|action| action.id == id).unwrap();
            action.creation_date_time_utc = hours_ago(hours);
        });
    }

    fn classified(&self, number: usize, word: &str) {
        self.simulator.with(|world| {
            world.change_alert(&alert(number), |alert| alert.classification = Some(word.to_owned()));
        });
    }

    fn shadow(&self) -> Value {
        let ended: Ended = self.cordon(&["shadow", "--json"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
        ended.json()
    }
}

#[test]
fn what_both_did_what_only_one_did_and_what_is_too_early_to_tell_are_told_apart() {
    let severities = ["High", "High", "High", "High", "Medium", "High", "Low", "High"];
    let site = Site::new(world(&severities));
    site.cordon(&["run", "--once"]).well();
    for (number, hours) in [(0, 40), (1, 45), (2, 50), (3, 55), (4, 31), (6, 32), (7, 60)] {
        site.decided(number, hours);
    }
    // 0 was isolated by people two hours later, 7 three hours earlier; 1 to 3 by nobody, 5 was found a moment ago.
    site.isolated_by_person(0, 38);
    site.isolated_by_person(7, 63);
    site.classified(1, "TruePositive");
    site.classified(2, "FalsePositive");
    // 4 was only proposed, and about 6 there was nothing to do.
    site.isolated_by_person(4, 30);
    site.isolated_by_person(6, 30);
    site.simulator.clear_journal();

    let shadow = site.shadow();
    assert_eq!(
        shadow["counts"],
        json!({"both": 2, "only_cordon": 3, "wrong": 1, "only_people": 2, "not_yet": 1, "proposals": 1})
    );
    let devices = |list: &str| -> Vec<String> {
        let list = shadow[list].as_array().unwrap().iter();
        list.map(|one| one["device"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(devices("only_cordon"), [device(2), device(3), device(1)], "the worst first: {shadow}");
    assert_eq!(shadow["only_cordon"][0]["people_say"], "wrong");
    assert_eq!(shadow["only_cordon"][0]["alerts"][0]["now"]["classification"], "FalsePositive");
    assert_eq!(shadow["only_cordon"][2]["people_say"], "confirmed");
    assert_eq!(devices("both"), [device(7), device(0)]);
    let later = |number: usize| shadow["both"][number]["later_seconds"].as_i64().unwrap();
    assert!((-10_810..-10_790).contains(&later(0)) && (7_190..7_210).contains(&later(1)), "{shadow}");
    assert_eq!(shadow["both"][1]["people"]["by"], "eve@contoso.com");
    assert_eq!(devices("not_yet"), [device(5)]);
    let mut people = devices("only_people");
    people.sort();
    assert_eq!(people, [device(4), device(6)]);
    let decided = |id: String| {
        let list = shadow["only_people"].as_array().unwrap().iter();
        let one = list.clone().find(|one| one["device"] == id.as_str()).unwrap();
        one["decided"][0]["answer"].as_str().unwrap().to_owned()
    };
    assert_eq!((decided(device(4)), decided(device(6))), ("propose".to_owned(), "none".to_owned()));
    assert_eq!(shadow["partial"], json!([]));

    // In few calls, and nothing but reads.
    assert!(site.effects().is_empty());
    let calls = site.simulator.journal().iter().filter(|entry| entry.route.starts_with("GET")).count();
    assert_eq!(calls, 3, "the actions, a week of alerts, and a day: {:?}", site.simulator.journal());
    site.assert_well_behaved();

    let text = site.cordon(&["shadow"]).well();
    for words in [
        "2 isolated by both, 3 only by Cordon (1 wrong by what people say), 2 only by people, 1 not yet to tell; \
         1 proposal(s), which count as neither",
        "pc2.contoso.com",
        "FalsePositive",
        "nothing (New)",
        "TruePositive",
        "isolate-high",
        "2 h 0 min later",
        " min earlier",
        "eve@contoso.com",
        "propose",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    // Fewer days show less.
    let less = site.cordon(&["shadow", "--days", "2", "--json"]).json();
    assert_eq!(less["counts"]["only_cordon"], 1, "{less}");
}

#[test]
fn what_was_decided_against_an_isolation_of_people_is_named() {
    let mut server = Machine::new(DEVICE, "dc1.contoso.com", "WindowsServer2022", ago(5));
    server.machine_tags = vec!["tier-0".to_owned()];
    let world = World::new(now()).alert(Alert::new(ALERT, "", ago(3)).on(&server)).machine(server);
    let site = Site::new(world);
    site.cordon(&["run", "--once"]).well();
    site.simulator.with(|world| world.isolate_by_person(DEVICE, "eve@contoso.com"));
    let shadow = site.shadow();
    let one = &shadow["only_people"][0];
    assert_eq!(
        (&one["device_name"], &one["decided"][0]["alert"]),
        (&json!("dc1.contoso.com"), &json!(ALERT))
    );
    assert_eq!(one["decided"][0]["answer"], "propose");
    let against = one["decided"][0]["against"].as_array().unwrap();
    assert!(against.contains(&json!("server-needs-a-person")), "{shadow}");
    assert_eq!(shadow["counts"]["proposals"], 1);
}

#[test]
fn what_cordon_has_done_itself_is_nobodys_difference() {
    let site = Site::new(one_high()).enforcing();
    site.cordon(&["run", "--once"]).well();
    assert_eq!(site.effects().len(), 1);
    let shadow = site.shadow();
    let nothing =
        json!({"both": 0, "only_cordon": 0, "wrong": 0, "only_people": 0, "not_yet": 0, "proposals": 0});
    assert_eq!(shadow["counts"], nothing);
}

#[test]
fn several_alerts_on_one_device_are_one_isolation_and_a_revision_changes_nothing() {
    let pc = workstation(DEVICE);
    let world = World::new(now())
        .alert(Alert::new(ALERT, "", ago(3)).on(&pc))
        .alert(Alert::new(alert(2), "", ago(2)).on(&pc))
        .machine(pc);
    let site = Site::new(world);
    site.cordon(&["run", "--once"]).well();
    site.simulator.with(|world| {
        world.change_alert(ALERT, |alert| {
            alert.status = "InProgress".to_owned();
            alert.last_update_time = Some(now());
        })
    });
    site.cordon(&["run", "--once"]).well();
    let shadow = site.shadow();
    assert_eq!(shadow["counts"]["not_yet"], 1, "{shadow}");
    assert_eq!(shadow["not_yet"][0]["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(site.query("SELECT count(*) FROM items WHERE sort LIKE 'observed#%'"), 2);
}

#[test]
fn what_could_not_be_read_is_said_and_ends_with_1() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    let at = (now() - SignedDuration::from_hours(3)).to_string();
    site.simulator.with(|world| world.raw_alerts.push(json!({"id": 5, "lastUpdateTime": at})));
    let ended = site.cordon(&["shadow", "--json"]);
    ended.complains(1, &["1 alert(s) of the tenant could not be read"]);
    let shadow = ended.json();
    assert_eq!((&shadow["counts"]["not_yet"], shadow["partial"].as_array().unwrap().len()), (&json!(1), 1));
}

#[test]
fn a_service_that_fails_for_a_moment_is_asked_again_and_what_it_does_not_give_is_said() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    let fails = |times| Fault::once("GET alerts", FaultKind::ServerError(503)).times(times);
    site.simulator.with(|world| world.faults.push(fails(1)));
    assert_eq!(site.shadow()["counts"]["not_yet"], 1);
    // The first week cannot be read, the day after it can.
    site.simulator.with(|world| world.faults = vec![fails(4)]);
    let ended = site.cordon(&["shadow", "--json"]);
    ended.complains(1, &["the alerts last updated from", "503"]);
    let shadow = ended.json();
    assert_eq!(shadow["not_yet"][0]["alerts"][0]["now"]["status"], "New", "{shadow}");
}

#[test]
fn without_the_alerts_of_the_tenant_the_isolations_are_compared_all_the_same() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    let refused = |route: &str| Fault::once(route, FaultKind::ServerError(403)).always();
    site.simulator.with(|world| world.faults.push(refused("GET alerts")));
    let ended = site.cordon(&["shadow", "--json"]);
    ended.complains(1, &["not every alert could be listed", "403"]);
    let shadow = ended.json();
    assert_eq!(shadow["counts"]["not_yet"], 1, "{shadow}");
    assert_eq!(shadow["not_yet"][0]["alerts"][0]["now"], Value::Null);
    // Without the machine actions nothing can be compared.
    site.simulator.with(|world| world.faults = vec![refused("GET machineactions")]);
    let ended = site.cordon(&["shadow", "--json"]);
    ended.complains(1, &["the tenant's machine actions could not be listed", "403"]);
    assert_eq!(ended.stdout, "");
}

#[test]
fn the_settings_that_are_missing_are_named() {
    let mut site = Site::new(one_high());
    let ended = site.cordon(&["shadow"]);
    ended.complains(2, &["there is no state in `cordon.db` yet"]);
    site.cordon(&["run", "--once"]).well();
    site.unset("DEFENDER_CLIENT_ID");
    site.unset("DEFENDER_CLIENT_SECRET");
    site.cordon(&["shadow"]).complains(2, &["DEFENDER_CLIENT_ID is not set", "DEFENDER_CLIENT_SECRET"]);
    let words = ["DEFENDER_CLIENT_ID is not set", "the tenant is asked by the settings here"];
    site.cordon(&["shadow", "--stack", "cordon"]).complains(2, &words);
    site.set("DEFENDER_CLIENT_ID", simulator::DEFAULT_CLIENT);
    site.set("DEFENDER_CLIENT_SECRET", "not-the-secret");
    site.cordon(&["shadow"]).complains(2, &["DEFENDER_CLIENT_SECRET"]);
    site.cordon(&["shadow", "--days", "0"]).complains(2, &["--days"]);
}
