//! `cordon backtest`: the same answers as a run gives, read within the quota and never twice, counted and compared.

use crate::site::{ALERT, Ended, SHIPPED, Site, ago, many_high, now, one_high, wait_until, workstation};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::{
    Alert, Fault, FaultKind, Machine, World,
    generate::{self, GenerateOptions, hostile_strings},
};
use std::{collections::BTreeMap, fs};

const KEPT: &str = "cordon-backtest.jsonl";

/// How many alerts a whole run is compared over; `CORDON_BACKTEST_ALERTS` asks for more.
const ALERTS: usize = 600;

/// By alert: answer, mode, what permitted, what forbade, doubts.
type Answers = BTreeMap<String, (String, String, Vec<String>, Vec<String>, Vec<String>)>;

fn how_many() -> usize {
    let asked = std::env::var_os("CORDON_BACKTEST_ALERTS").and_then(|asked| asked.into_string().ok());
    asked.map_or(ALERTS, |asked| asked.parse().unwrap())
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The lines that `--decisions` wrote.
fn decisions(site: &Site, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(site.path(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn answers(site: &Site, file: &str) -> Answers {
    let all = decisions(site, file).into_iter().map(|line| {
        let said = (
            line["answer"].as_str().unwrap().to_owned(),
            line["mode"].as_str().unwrap().to_owned(),
            texts(&line["permitted_by"]),
            texts(&line["forbidden_by"]),
            texts(&line["doubts"]),
        );
        (line["id"].as_str().unwrap().to_owned(), said)
    });
    all.collect()
}

/// The same from the cases in the state of a run.
fn recorded(site: &Site) -> Answers {
    let state = rusqlite::Connection::open(site.path("cordon.db")).unwrap();
    let sql = "SELECT CAST(value AS TEXT) FROM items WHERE sort LIKE 'case#%'";
    let mut rows = state.prepare(sql).unwrap();
    let rows = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let ids = |notes: &Value| {
        notes.as_array().unwrap().iter().map(|note| note["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = rows.map(|row| {
        let case: Value = serde_json::from_str(&row.unwrap()).unwrap();
        let decision = &case["last"]["decision"];
        let said = (
            decision["answer"].as_str().unwrap().to_owned(),
            decision["mode"].as_str().unwrap().to_owned(),
            ids(&decision["permitted_by"]),
            ids(&decision["forbidden_by"]),
            texts(&decision["doubts"]),
        );
        (case["last"]["alert"]["id"].as_str().unwrap().to_owned(), said)
    });
    all.collect()
}

/// So many alerts of every kind, a few minutes to half an hour old, and among them odd ones: old ones that were changed
/// just now, words that nobody knows, devices that do not exist or are none. And one that is odder than all of them.
fn everything(alerts: usize) -> World {
    let options = GenerateOptions {
        alerts,
        devices: 150,
        spread: SignedDuration::from_mins(30),
        hostile: true,
        ..GenerateOptions::new(ago(5))
    };
    let mut made = generate::tenant(17, &options);
    let first = made.machines[0].clone();
    for (number, alert) in made.alerts.iter_mut().enumerate() {
        match number % 40 {
            1 => alert.alert_creation_time = Some(ago(6 * 60)),
            2 => alert.last_event_time = Some(ago(7 * 60)),
            3 => alert.severity = "Apocalyptic".to_owned(),
            4 => alert.status = "Pondered".to_owned(),
            5 => alert.machine_id = None,
            6 => alert.machine_id = Some("PC1".to_owned()),
            7 => alert.machine_id = Some("f".repeat(40)),
            8 => alert.classification = Some("InformationalExpectedActivity".to_owned()),
            9 => alert.last_event_time = None,
            10 => alert.detection_source = None,
            11 => alert.title = String::new(),
            _ => {}
        }
    }
    let odd = Alert::new("da637472900382838869_77", "", ago(10)).on(&first);
    let mut odd = serde_json::to_value(&odd).unwrap();
    odd["category"] = json!(7);
    odd["evidence"] = json!([{"entityType": "File", "sha1": 5}, "nonsense"]);
    World::new(now()).without_quotas().generated(made).raw_alert(odd)
}

#[test]
fn it_answers_as_a_full_run_in_observe_mode_has_recorded_alert_by_alert() {
    let alerts = how_many();
    let mut site = Site::new(everything(alerts)).with("CORDON_MODE", "observe");
    assert_eq!(site.cordon(&["run", "--once"]).code, 0);
    let recorded = recorded(&site);
    assert_eq!(recorded.len(), alerts + 1);
    site.set("CORDON_MODE", "enforce");
    let asked =
        ["backtest", "--days", "1", "--as-it-stands", "--mode", "observe", "--decisions", "now.jsonl"];
    site.cordon(&asked).well();
    let judged = answers(&site, "now.jsonl");
    assert_eq!(judged.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
    for (id, said) in &recorded {
        assert_eq!(judged.get(id), Some(said), "{id}");
    }
    let kinds: BTreeMap<&str, usize> = recorded.values().fold(BTreeMap::new(), |mut kinds, (answer, ..)| {
        *kinds.entry(answer.as_str()).or_default() += 1;
        kinds
    });
    assert!(kinds.len() == 4 && kinds.values().all(|count| *count > alerts / 40), "{kinds:?}");

    // What nobody has touched was the same when it was new; the tenant is not asked again.
    site.simulator.clear_journal();
    site.cordon(&["backtest", "--days", "1", "--mode", "observe", "--decisions", "new.jsonl"]).well();
    assert_eq!(site.simulator.journal().len(), 0);
    let as_new = answers(&site, "new.jsonl");
    let untriaged: Vec<String> = site.simulator.with(|world| {
        let is_new = |alert: &&Alert| {
            alert.status == "New"
                && alert.classification.is_none()
                && alert.alert_creation_time > Some(ago(60))
        };
        world.alerts.iter().filter(is_new).map(|alert| alert.id.clone()).collect()
    });
    assert!(untriaged.len() > alerts / 4, "{}", untriaged.len());
    for id in &untriaged {
        assert_eq!(as_new.get(id), recorded.get(id), "{id}");
    }
    site.assert_well_behaved();
}

#[test]
fn what_people_did_afterwards_does_not_count_unless_it_is_asked_for() {
    let mut world = one_high();
    world.change_alert(ALERT, |alert| {
        alert.status = "Resolved".to_owned();
        alert.classification = Some("FalsePositive".to_owned());
    });
    let site = Site::new(world);
    let as_new = site.cordon(&["backtest", "--json"]).json();
    assert_eq!((&as_new["answers"], &as_new["mode"]), (&json!({"isolate": 1}), &json!("enforce")));
    assert_eq!(as_new["permitted_by"], json!([{"what": "isolate-high", "alerts": 1}]));
    let now = site.cordon(&["backtest", "--json", "--as-it-stands"]).json();
    assert_eq!(now["answers"], json!({"refused": 1}));
    let refused = now["refused_by"].as_array().unwrap();
    assert!(refused.iter().any(|by| by["what"] == "false-positive"), "{now}");
}

#[test]
fn a_file_is_judged_without_a_single_setting_of_the_tenant() {
    let site = Site::bare();
    let pc = workstation(&"a".repeat(40));
    let alert = Alert::new(ALERT, "", ago(300)).on(&pc);
    fs::write(site.path("alerts.jsonl"), format!("{}\n", serde_json::to_string(&alert).unwrap())).unwrap();
    fs::write(site.path("machines.json"), json!({"value": [pc]}).to_string()).unwrap();
    let asked = ["backtest", "--file", "alerts.jsonl", "--machines", "machines.json"];
    let mut site = site;
    site.set("CORDON_PLAYBOOK", SHIPPED);
    let text = site.cordon(&asked).well();
    for words in ["the file alerts.jsonl", "isolate-high", "pc1.contoso.com", "mode `enforce`", "isolated"] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert!(site.simulator.journal().is_empty());
    let without = site.cordon(&["backtest", "--file", "alerts.jsonl"]);
    without.complains(1, &["--machines", "unknown"]);
    assert!(without.stdout.contains("PARTIAL"), "{}", without.stdout);
}

#[test]
fn what_was_read_before_an_interruption_is_not_asked_for_again() {
    // Two pages and a bit, and a service that fails for good after the first.
    let site = Site::new(many_high(4_100));
    let first_page = |site: &Site| {
        let asks = |entry: &simulator::Entry| entry.route == "GET alerts" && entry.status == Some(200);
        site.simulator.journal().into_iter().filter(asks).count()
    };
    let throttled = FaultKind::Throttle { retry_after: Some(7_200) };
    site.simulator.with(|world| world.faults.push(Fault::once("GET alerts", throttled).always().after(5)));
    let stopped = site.cordon(&["backtest", "--json"]);
    stopped.complains(1, &["quota", "goes on there"]);
    let partial = stopped.json();
    assert!(!partial["missing"].as_array().unwrap().is_empty(), "{partial}");
    assert_eq!(first_page(&site), 5, "four weeks without an alert, and the first page of the last days");
    assert_eq!(site.simulator.count("GET alerts"), 6, "who says `in two hours` is not asked again");
    assert_eq!(partial["alerts"], 2_000);

    site.simulator.with(|world| world.faults.clear());
    site.simulator.clear_journal();
    let whole = site.cordon(&["backtest", "--json"]);
    assert_eq!((whole.code, &whole.json()["alerts"]), (0, &json!(4_100)), "{whole:?}");
    let asked = site.simulator.journal();
    assert!(asked.iter().all(|entry| entry.route != "GET machines"), "the devices were there already");
    // The second page, the third, and what was changed meanwhile.
    assert_eq!(site.simulator.count("GET alerts"), 3);

    site.simulator.clear_journal();
    assert_eq!(site.cordon(&["backtest", "--json"]).json()["alerts"], 4_100);
    assert_eq!(site.simulator.journal().len(), 0);
    site.cordon(&["backtest", "--fresh"]).well();
    assert!(site.simulator.count("GET alerts") > 3);
    site.assert_well_behaved();
}

#[test]
fn a_process_that_was_killed_in_the_middle_of_a_page_goes_on_behind_the_last_one() {
    let site = Site::new(many_high(2_100));
    let slow = Fault::once("GET alerts", FaultKind::Slow { millis: 60_000 }).after(5);
    site.simulator.with(|world| world.faults.push(slow));
    let running = site.start(&["backtest"]);
    wait_until("the second page", || site.simulator.count("GET alerts") == 6);
    drop(running);
    site.simulator.clear_journal();
    let whole = site.cordon(&["backtest", "--json"]);
    assert_eq!((whole.code, &whole.json()["alerts"]), (0, &json!(2_100)), "{whole:?}");
    let asked = site.simulator.journal().into_iter().filter(|entry| entry.route != "POST token").count();
    assert_eq!(asked, 2, "the second page, and what was changed meanwhile");
}

#[test]
fn a_torn_line_is_read_again_and_another_period_needs_another_file() {
    let site = Site::new(one_high());
    site.cordon(&["backtest"]).well();
    let whole = fs::read(site.path(KEPT)).unwrap();
    // The process died while it wrote down that everything was read.
    fs::write(site.path(KEPT), &whole[..whole.len() - 5]).unwrap();
    site.cordon(&["backtest"]).well();
    let ended = site.cordon(&["backtest", "--days", "7"]);
    ended.complains(2, &["30 days", "--fresh", "--keep"]);
    site.cordon(&["backtest", "--days", "7", "--keep", "week.jsonl"]).well();
    fs::write(site.path("notes.txt"), "mine").unwrap();
    site.cordon(&["backtest", "--fresh", "--keep", "notes.txt"]).complains(2, &["name another"]);
    assert_eq!(fs::read_to_string(site.path("notes.txt")).unwrap(), "mine");
}

#[test]
fn the_service_is_waited_for_as_long_as_it_says_and_asked_for_less_where_it_fails() {
    let mut world = many_high(10);
    world.most_expanded = Some(500);
    let throttled = FaultKind::Throttle { retry_after: Some(2) };
    world.faults.push(Fault::once("GET machines", throttled));
    let site = Site::new(world);
    let ended = site.cordon(&["backtest", "--days", "1", "--json"]);
    assert!(ended.took.as_secs() >= 2, "{:?}", ended.took);
    let report = ended.json();
    assert_eq!((&report["alerts"], &report["without_evidence"]), (&json!(10), &json!(0)), "{ended:?}");
    site.assert_well_behaved();
}

#[test]
fn a_window_that_cannot_be_read_is_said_and_read_the_next_time() {
    let site = Site::new(one_high());
    site.simulator
        .with(|world| world.faults.push(Fault::once("GET alerts", FaultKind::ServerError(503)).times(4)));
    let ended = site.cordon(&["backtest", "--days", "14"]);
    ended.complains(1, &["could not be read", "503"]);
    assert!(ended.stdout.contains("PARTIAL"), "{}", ended.stdout);
    assert_eq!(ended.complaints().len(), 2, "{}", ended.stderr);
    site.simulator.clear_journal();
    site.cordon(&["backtest", "--days", "14"]).well();
    assert_eq!(site.simulator.count("GET alerts"), 2, "the missing week, and what was changed meanwhile");
}

/// So many High alerts, two minutes apart, each on a workstation of its own and from a detector of its own.
fn unlike(count: u32) -> World {
    let mut world = World::new(now()).without_quotas();
    for number in 0..count {
        let pc = workstation(&format!("{number:040x}"));
        let created = noon() + SignedDuration::from_mins(2 * i64::from(number));
        let mut alert =
            Alert::new(format!("da{number:018}_1"), "", created).title(format!("T{number}")).on(&pc);
        alert.detector_id = Some(format!("detector-{number}"));
        world = world.alert(alert).machine(pc);
    }
    world
}

/// Noon of a day that is over, so that no day ends in between.
fn noon() -> Timestamp {
    let day = now().to_zoned(jiff::tz::TimeZone::UTC).date().yesterday().unwrap();
    day.at(12, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
}

#[test]
fn days_devices_and_what_no_policy_spoke_to_are_counted_each_by_its_own() {
    let (one, two) = (workstation(&"a".repeat(40)), workstation(&"b".repeat(40)));
    let day = noon().to_zoned(jiff::tz::TimeZone::UTC).date();
    let alert = |id: u32, hours: i64, pc: &Machine, severity: &str| {
        let created = noon() + SignedDuration::from_hours(hours);
        Alert::new(format!("da{id:018}_1"), "", created).title("Odd").severity(severity).on(pc)
    };
    let world = World::new(now())
        .alert(alert(1, -24, &one, "High"))
        .alert(alert(2, 0, &one, "High"))
        .alert(alert(3, 1, &one, "High"))
        .alert(alert(4, 2, &two, "Medium"))
        .alert(alert(5, 3, &two, "Informational").category("Malware"))
        .alert(alert(6, 4, &two, "Informational").category("Malware"));
    let site = Site::new(world.machine(one).machine(two));
    let report = site.cordon(&["backtest", "--days", "7", "--isolated-for", "20h", "--json"]).json();
    let days = json!([
        {"day": day.yesterday().unwrap().to_string(), "alerts": 1, "isolated": 1},
        {"day": day.to_string(), "alerts": 5, "isolated": 1, "joined": 1, "proposed": 1, "nothing": 2},
    ]);
    assert_eq!(report["days"], days);
    let device = json!([
        {"device": "a".repeat(40), "name": "pc1.contoso.com", "isolations": 2, "joined": 1, "held": 0},
    ]);
    assert_eq!(report["isolated_devices"], device);
    assert_eq!(report["silent"], json!([{"title": "Odd", "category": "Malware", "alerts": 2}]));

    // In observe mode the same would be isolated, and nothing is: no device, and nothing to join.
    let asked = ["backtest", "--days", "7", "--isolated-for", "20h", "--mode", "observe", "--json"];
    let observed = site.cordon(&asked).json();
    assert_eq!(observed["fates"], json!({"observed": 3, "proposed": 1, "nothing": 2}));
    assert_eq!((&observed["isolated_devices"], &observed["mode"]), (&json!([]), &json!("observe")));
}

#[test]
fn what_the_limits_would_have_held_is_held() {
    let report = |limits: &str| {
        let site = Site::new(unlike(20)).limited(limits);
        let report = site.cordon(&["backtest", "--days", "3", "--json"]);
        assert_eq!(report.code, 0, "{report:?}");
        report.json()
    };
    let hour = report("per_hour = 4\nat_one_time_least = 100\nper_day = 100");
    assert_eq!(hour["fates"], json!({"isolated": 4, "held": 16}));
    assert_eq!(hour["held"][0]["gate"], "the limit of 4 isolations in an hour is reached");
    assert_eq!((&hour["held"][0]["alerts"], &hour["held"][0]["devices"]), (&json!(16), &json!(16)));
    let at_once = report("at_one_time_percent = 1\nat_one_time_least = 7\nper_hour = 100\nper_day = 100");
    assert_eq!(at_once["fates"], json!({"isolated": 7, "held": 13}));

    // One detector: the breaker.
    let mut world = unlike(20);
    world.alerts.iter_mut().for_each(|alert| alert.detector_id = Some("one".to_owned()));
    let site = Site::new(world);
    let text = site.cordon(&["backtest", "--days", "3"]).well();
    assert!(text.contains("the breaker is open for the detector one"), "{text}");
    let report = site.cordon(&["backtest", "--days", "3", "--json"]).json();
    assert_eq!(report["fates"], json!({"isolated": 5, "held": 15}));
}

#[test]
fn a_device_is_isolated_once_for_several_alerts() {
    let pc = workstation(&"a".repeat(40));
    let world = [0, 30, 25 * 60].into_iter().fold(World::new(now()), |world, minutes| {
        let created = noon() - SignedDuration::from_hours(48) + SignedDuration::from_mins(minutes);
        world.alert(Alert::new(format!("da{minutes:018}_1"), "", created).on(&pc))
    });
    let site = Site::new(world.machine(pc));
    let fates = |more: &[&str]| {
        site.cordon(&[&["backtest", "--days", "7", "--json"], more].concat()).json()["fates"].clone()
    };
    assert_eq!(fates(&[]), json!({"isolated": 2, "joined": 1}));
    assert_eq!(fates(&["--isolated-for", "48h"]), json!({"isolated": 1, "joined": 2}));
}

#[test]
fn another_kind_of_isolation_and_a_limit_are_changes_too() {
    let mut site = Site::new(everything_small());
    let shipped = fs::read_to_string(format!("{SHIPPED}/policy.cedar")).unwrap();
    let named = "@id(\"isolate-high\")";
    assert!(shipped.contains(named));
    let selective = shipped.replacen(named, &format!("{named}\n@isolationType(\"Selective\")"), 1);
    site.write_playbook("policy.cedar", &selective);
    let asked = ["backtest", "--days", "1", "--against", SHIPPED];
    let text = site.cordon(&asked).well();
    assert!(text.contains("old  isolate, Full (") && text.contains("new  isolate, Selective ("), "{text}");

    site.write_playbook("policy.cedar", &shipped);
    site.write_playbook("playbook.toml", "[limits]\nper_hour = 0");
    let text = site.cordon(&asked).well();
    assert!(text.contains("new  isolate, Full, held by a limit ("), "{text}");
}

#[test]
fn only_what_changes_against_another_playbook_is_shown() {
    let site = Site::new(everything_small());
    let same = site.cordon(&["backtest", "--days", "1", "--against", SHIPPED]).well();
    assert!(same.contains("No alert would have come out otherwise."), "{same}");

    let mut site = site;
    let shipped = fs::read_to_string(format!("{SHIPPED}/policy.cedar")).unwrap();
    let changed = format!(
        "{shipped}\n@id(\"hands-off\")\n@reason(\"we try\")\nforbid (principal, action in Action::\"cutOff\", resource);\n"
    );
    site.write_playbook("policy.cedar", &changed);
    let asked = ["backtest", "--days", "1", "--against", SHIPPED];
    let text = site.cordon(&asked).well();
    for words in [
        "1 alert(s) would have come out otherwise",
        ALERT,
        "old  isolate, Full (for: isolate-high)",
        "hands-off",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    let report = site.cordon(&[&asked[..], &["--json", "--html", "changes.html"]].concat()).json();
    let changes = &report["changes"];
    assert_eq!(changes["fates"]["isolated"], json!([1, 0]));
    let alerts = changes["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 1);
    assert_eq!((&alerts[0]["id"], &alerts[0]["old"]["answer"]), (&json!(ALERT), &json!("isolate")));
    assert_ne!(alerts[0]["new"]["answer"], "isolate");
    assert_ne!(report["digest"], changes["digest"]);
    let page = fs::read_to_string(site.path("changes.html")).unwrap();
    assert!(page.contains("What changed") && page.contains("1 → 0"), "{page}");
    site.cordon(&["backtest", "--against", "/nowhere"]).complains(2, &["--against `/nowhere`"]);
}

/// A High alert on a workstation, and a Medium one.
fn everything_small() -> World {
    let other = workstation(&"b".repeat(40));
    let medium = Alert::new("da000000000000000002_2", "", ago(4)).severity("Medium").on(&other);
    one_high().alert(medium).machine(other)
}

#[test]
fn hostile_words_act_neither_on_the_terminal_nor_in_the_page() {
    let mut world = World::new(now()).without_quotas();
    for (number, text) in hostile_strings().into_iter().enumerate() {
        let machine =
            Machine::new(format!("{number:040x}"), text.clone(), "Windows11", ago(5)).tag(text.clone());
        for (severity, kind) in [("High", 1), ("Low", 2), ("Medium", 3)] {
            let id = format!("da{number:018}_{kind}");
            let alert =
                Alert::new(id, "", ago(3)).severity(severity).title(text.clone()).category(text.clone());
            world = world.alert(alert.on(&machine));
        }
        world = world.machine(machine);
    }
    let site = Site::new(world);
    let old = {
        let mut old = Site::bare();
        old.write_playbook(
            "policy.cedar",
            "@id(\"x\")\n@reason(\"y\")\npermit (principal, action == Action::\"isolate\", resource);\n",
        );
        old
    };
    let against = old.path("own-playbook");
    let against = against.to_str().unwrap();
    for more in [&["--html", "page.html"][..], &["--against", against, "--html", "changes.html"]] {
        let text = site.cordon(&[&["backtest", "--days", "1"], more].concat()).well();
        let acts =
            |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{202e}' | '\u{200b}' | '\u{2028}'));
        assert!(!text.contains(acts), "{text:?}");
        assert!(text.lines().all(|line| line.chars().count() < 700), "{text}");
        let page = fs::read_to_string(site.path(more[more.len() - 1])).unwrap();
        assert!(!page.contains(acts), "{page:?}");
        for tag in ["<script", "<img", "<!ENTITY", "onerror=alert(1)>"] {
            assert!(!page.contains(tag), "`{tag}` in {page}");
        }
        assert!(
            page.contains("&#60;script&#62;alert(1)") || page.contains("&lt;script&gt;alert(1)"),
            "{page}"
        );
        for remote in ["http://", "https://", "src=", "url(", "@import"] {
            let ours = page.split("<h2>").next().unwrap();
            assert!(!ours.contains(remote), "`{remote}` in {ours}");
        }
    }
}

#[test]
fn the_page_says_what_was_judged_and_shows_the_days() {
    let site = Site::new(many_high(8));
    let asked = ["backtest", "--days", "2", "--html", "page.html", "--json"];
    let report = site.cordon(&asked).json();
    let page = fs::read_to_string(site.path("page.html")).unwrap();
    let digest = &report["digest"].as_str().unwrap()[..12];
    for words in [
        digest,
        "as each alert was when it was new",
        "enforce",
        "<svg",
        "class=\"isolate\"",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(words), "`{words}` in {page}");
    }
    assert!(!page.contains("<script") && !page.contains("href"), "{page}");
}

/// An alert and its device as files, in a site without a tenant.
fn in_files() -> Site {
    let mut site = Site::bare();
    site.set("CORDON_PLAYBOOK", SHIPPED);
    let pc = workstation(&"a".repeat(40));
    let alert = Alert::new(ALERT, "", ago(300)).on(&pc);
    fs::write(site.path("alerts.jsonl"), serde_json::to_string(&alert).unwrap()).unwrap();
    fs::write(site.path("machines.jsonl"), serde_json::to_string(&pc).unwrap()).unwrap();
    site
}

#[test]
fn nothing_that_is_read_is_written_over() {
    let site = in_files();
    let files = ["--file", "alerts.jsonl", "--machines", "machines.jsonl"];
    let ends = |more: &[&str]| site.cordon(&[&["backtest"], &files[..], more].concat());
    let before =
        [fs::read(site.path("alerts.jsonl")).unwrap(), fs::read(site.path("machines.jsonl")).unwrap()];
    let again = site.path("alerts.jsonl");
    ends(&["--decisions", "alerts.jsonl"]).complains(2, &["--decisions", "the file of --file"]);
    ends(&["--html", again.to_str().unwrap()]).complains(2, &["--html", "the file of --file"]);
    ends(&["--decisions", "./machines.jsonl"]).complains(2, &["--decisions", "the file of --machines"]);
    ends(&["--decisions", "new", "--html", "./new"]).complains(2, &["--html", "the file of --decisions"]);
    ends(&["--html", "cordon.db"]).complains(2, &["--html", "the state"]);
    let after =
        [fs::read(site.path("alerts.jsonl")).unwrap(), fs::read(site.path("machines.jsonl")).unwrap()];
    assert_eq!(before, after);
    assert_eq!(site.listing(), ["alerts.jsonl", "machines.jsonl"]);
    ends(&["--decisions", "new", "--html", "page.html"]).well();
    assert_eq!(site.listing(), ["alerts.jsonl", "machines.jsonl", "new", "page.html"]);

    let site = Site::new(one_high());
    site.cordon(&["backtest"]).well();
    let kept = fs::read(site.path(KEPT)).unwrap();
    site.cordon(&["backtest", "--html", KEPT]).complains(2, &["--html", "the file of --keep"]);
    site.cordon(&["backtest", "--keep", "k", "--decisions", "k"]).complains(2, &["the file of --keep"]);
    assert_eq!(fs::read(site.path(KEPT)).unwrap(), kept);
}

#[test]
fn what_was_written_before_stays_where_nothing_comes_of_the_run() {
    let site = in_files();
    fs::write(site.path("old.jsonl"), "of yesterday").unwrap();
    site.cordon(&["backtest", "--file", "none", "--decisions", "old.jsonl"]).complains(2, &["--file"]);
    assert_eq!(fs::read_to_string(site.path("old.jsonl")).unwrap(), "of yesterday");
    assert_eq!(site.listing(), ["alerts.jsonl", "machines.jsonl", "old.jsonl"]);
}

#[test]
fn a_list_of_devices_that_is_none_or_not_whole_is_said() {
    let site = in_files();
    let ends = |file: &str| site.cordon(&["backtest", "--file", "alerts.jsonl", "--machines", file]);
    fs::write(site.path("notes.txt"), "my notes\nare no devices\n").unwrap();
    ends("notes.txt").complains(2, &["--machines", "holds no device as Defender's API gives it"]);
    ends("alerts.jsonl").complains(2, &["--machines", "holds no device"]);
    fs::write(site.path("empty"), "").unwrap();
    ends("empty").complains(2, &["--machines", "holds no device"]);
    let whole = fs::read_to_string(site.path("machines.jsonl")).unwrap();
    fs::write(site.path("torn.jsonl"), format!("{whole}\n{}", &whole[..whole.len() / 2])).unwrap();
    let ended = ends("torn.jsonl");
    ended.complains(1, &["1 device(s) cannot be read"]);
    assert!(ended.stdout.contains("PARTIAL") && ended.stdout.contains("list of 1 devices"), "{ended:?}");
}

#[test]
fn a_list_of_devices_does_not_pass_for_alerts() {
    let ended = in_files().cordon(&["backtest", "--file", "machines.jsonl", "--machines", "machines.jsonl"]);
    ended.complains(2, &["--file", "holds no alert as Defender's API gives it"]);
}

#[test]
fn devices_of_the_tenant_that_cannot_be_read_are_said_each_time() {
    let site = Site::new(one_high());
    site.simulator.with(|world| world.raw_machines.push(json!({"id": "PC1"})));
    for _ in 0..2 {
        let ended = site.cordon(&["backtest"]);
        ended.complains(1, &["1 device(s) cannot be read"]);
    }
}

#[test]
fn what_was_read_long_ago_does_not_pass_for_how_it_stands() {
    let asked = ["backtest", "--as-it-stands"];
    let site = Site::new(one_high());
    site.cordon(&asked).well();
    let kept = fs::read_to_string(site.path(KEPT)).unwrap();
    let begin: Value = serde_json::from_str(kept.lines().next().unwrap()).unwrap();
    let earlier = (now() - SignedDuration::from_hours(48)).to_string();
    let kept = kept.replacen(begin["begin"]["to"].as_str().unwrap(), &earlier, 1);
    fs::write(site.path(KEPT), kept).unwrap();
    let ended = site.cordon(&asked);
    ended.complains(1, &["but as they stood at", "--fresh reads them anew"]);
    assert!(ended.stdout.contains("PARTIAL"), "{}", ended.stdout);
    site.cordon(&["backtest"]).well();

    let site = in_files();
    let asked = [&asked[..], &["--file", "alerts.jsonl", "--machines", "machines.jsonl"]].concat();
    site.cordon(&asked).well();
    let file = fs::File::options().write(true).open(site.path("alerts.jsonl")).unwrap();
    file.set_modified(std::time::SystemTime::from(ago(180))).unwrap();
    site.cordon(&asked).complains(1, &["but as they stood at"]);
}

#[test]
fn what_is_wrong_with_the_question_is_said_with_the_way_out() {
    let site = Site::new(one_high());
    let ends = |arguments: &[&str]| -> Ended { site.cordon(&[&["backtest"], arguments].concat()) };
    ends(&["--days", "0"]).complains(2, &["1..=180"]);
    ends(&["--isolated-for", "soon"]).complains(2, &["such as 24h"]);
    ends(&["--machines", "m.jsonl"]).complains(2, &["--file"]);
    ends(&["--file", "none.jsonl"]).complains(2, &["none.jsonl"]);
    fs::write(site.path("notes.txt"), "my notes\nare not alerts\n").unwrap();
    ends(&["--file", "notes.txt"]).complains(2, &["holds no alert as Defender's API gives it"]);
    ends(&["--html", "no/such/folder/page.html"]).complains(2, &["--html"]);
    let mut site =
        Site::new(World::new(now()).app(simulator::DEFAULT_CLIENT, simulator::DEFAULT_SECRET, &[]));
    site.cordon(&["backtest"]).complains(2, &["Alert.Read.All", "cordon check"]);
    site.unset("DEFENDER_CLIENT_SECRET");
    site.cordon(&["backtest"]).complains(2, &["DEFENDER_CLIENT_SECRET"]);
}
