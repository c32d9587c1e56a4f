//! `cordon hunt NAME`: the rows in three forms, and that nothing is made of them.

use crate::site::{DEVICE, Ended, Site, ago, found, hunt_file, now, one_high, remote_tools, tenant};
use jiff::Timestamp;
use ports::HuntRest;
use serde_json::{Value, json};
use simulator::{DEFAULT_CLIENT, DEFAULT_ROLES, DEFAULT_SECRET, Fault, FaultKind, World};

/// One hunt, which is off.
fn site(world: World) -> Site {
    let mut site = Site::new(world);
    site.write_playbook("hunts/remote-tools.toml", &hunt_file("enabled = false"));
    site
}

#[track_caller]
fn hunt(site: &Site, arguments: &[&str]) -> Ended {
    let before = site.listing();
    let ended = site.cordon(&[&["hunt", "remote-tools"], arguments].concat());
    assert_eq!(site.listing(), before, "nothing is written");
    let effects = site.effects();
    assert!(
        effects
            .iter()
            .all(|effect| effect.ends_with("runHuntingQuery") || effect.ends_with("advancedqueries")),
        "{effects:?}"
    );
    site.assert_well_behaved();
    ended
}

fn objects(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_are_printed_as_a_table_as_json_and_as_csv_and_the_cost_beside_them() {
    for api in ["graph", "defender"] {
        let site = site(found(2)).with("DEFENDER_HUNTING_API", api);
        let table = hunt(&site, &[]);
        assert_eq!(table.code, 0, "{table:?}");
        assert!(table.stdout.starts_with("Timestamp"), "{}", table.stdout);
        assert_eq!(table.stdout.lines().count(), 3, "{}", table.stdout);
        assert!(table.stdout.contains("remoting.exe") && table.stdout.contains(DEVICE), "{}", table.stdout);
        assert!(
            table.stderr.contains("2 row(s), 1 call(s), ") && table.stderr.contains(" to "),
            "{}",
            table.stderr
        );

        for arguments in [&["--json"][..], &["--format", "json"]] {
            let rows = objects(&hunt(&site, arguments));
            assert_eq!(rows.len(), 2);
            assert!(rows.iter().all(|row| row["DeviceId"] == DEVICE && row["ReportId"].is_i64()), "{rows:?}");
        }
        let csv = hunt(&site, &["--format", "csv"]).stdout;
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            (lines.len(), lines[0]),
            (3, r#""Timestamp","DeviceId","DeviceName","ReportId","FileName""#)
        );
        assert!(lines[1].contains(&format!(",\"{DEVICE}\",\"pc1.contoso.com\",")), "{csv}");
    }
}

#[test]
fn the_window_is_what_was_asked_for() {
    let site = site(found(1).table(remote_tools()));
    assert_eq!(objects(&hunt(&site, &["--json", "--since", "3m"])).len(), 0);
    assert_eq!(objects(&hunt(&site, &["--json", "--since", "30d"])).len(), 1);
    let (from, to) = (ago(10).to_string(), ago(1).to_string());
    assert_eq!(objects(&hunt(&site, &["--json", "--from", &from, "--to", &to])).len(), 1);
    let to = ago(6).to_string();
    assert_eq!(objects(&hunt(&site, &["--json", "--from", &from, "--to", &to])).len(), 0);
    let later = (now() + jiff::SignedDuration::from_hours(1)).to_string();
    for (arguments, words) in [
        (&["--since", "31d"][..], &["30 days"][..]),
        (&["--since", "soon"], &["--since", "24h"]),
        (&["--to", &to], &["--from"]),
        (&["--since", "1h", "--from", &from], &["--since", "--from"]),
        (&["--from", &later], &["ends before it begins"]),
        (&["--from", "2020-01-01"], &["30 days"]),
        (&["--json", "--format", "csv"], &["--json", "--format"]),
    ] {
        hunt(&site, arguments).complains(2, words);
    }
}

#[test]
fn without_a_name_or_with_a_wrong_one_the_names_are_listed() {
    let mut site = site(found(1));
    site.write_playbook("hunts/quiet.toml", &hunt_file(""));
    // No tenant is needed to say what there is.
    site.unset("DEFENDER_CLIENT_ID");
    site.cordon(&["hunt"]).complains(2, &["which hunt", "quiet, remote-tools"]);
    site.cordon(&["hunt", "remote\u{1b}[2J"]).complains(2, &["no hunt `remote[2J`", "quiet, remote-tools"]);
    site.cordon(&["hunt", "quiet"]).complains(2, &["DEFENDER_CLIENT_ID is not set"]);
}

#[test]
fn no_more_rows_are_printed_than_asked_for_and_all_are_counted() {
    let site = site(found(5));
    for format in ["table", "csv", "json"] {
        let ended = hunt(&site, &["--limit", "2", "--format", format]);
        let head = usize::from(format != "json");
        assert_eq!(ended.stdout.lines().count(), 2 + head, "{}", ended.stdout);
        assert!(
            ended.stderr.contains("5 row(s)") && ended.stderr.contains("3 row(s) more"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn what_an_attacker_wrote_acts_neither_on_a_terminal_nor_in_a_spreadsheet() {
    let hostile = "=cmd|'/C calc'!A0 \u{1b}[2J\r\nx,\"y\"\u{202e};=1";
    let values = json!({"DeviceId": DEVICE, "DeviceName": "a\nb", "ReportId": -5, "FileName": hostile});
    let site = site(World::new(now()).table(remote_tools().row(ago(5), values)));
    for format in ["table", "csv", "json"] {
        let ended = hunt(&site, &["--format", format]);
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!ended.stdout.contains(acts), "{:?}", ended.stdout);
        match format {
            "table" => assert_eq!(ended.stdout.lines().count(), 2, "{}", ended.stdout),
            "csv" => {
                let line = ended.stdout.lines().nth(1).unwrap();
                let expected = format!(",\"{DEVICE}\",\"a b\",-5,\"'=cmd|'/C calc'!A0 [2J x,\"\"y\"\";'=1\"");
                assert!(line.ends_with(&expected), "{line}");
            }
            _ => assert_eq!(objects(&ended)[0]["FileName"], hostile, "JSON says what the service gave"),
        }
    }
}

#[test]
fn without_the_permission_it_says_which_one() {
    let app = |graph: &[&str]| {
        found(1).app(DEFAULT_CLIENT, DEFAULT_SECRET, &["Alert.Read.All"]).graph_roles(DEFAULT_CLIENT, graph)
    };
    let mut site = site(app(&["SecurityAlert.Read.All"]));
    site.cordon(&["hunt", "remote-tools"]).complains(
        2,
        &["DEFENDER_CLIENT_ID", "ThreatHunting.Read.All", "Microsoft Graph", "Defender for Business"],
    );
    site.set("DEFENDER_HUNTING_API", "defender");
    site.cordon(&["hunt", "remote-tools"]).complains(2, &["AdvancedQuery.Read.All", "WindowsDefenderATP"]);
    site.set("DEFENDER_CLIENT_SECRET", "wrong");
    site.cordon(&["hunt", "remote-tools"])
        .complains(2, &["DEFENDER_CLIENT_SECRET", "the client secret is wrong"]);
}

#[test]
fn a_query_that_is_refused_and_a_service_that_is_not_there_are_one_sentence() {
    let broken =
        remote_tools().error(400, "'project' operator: Failed to resolve scalar expression named 'FileNme'");
    let ended = hunt(&site(World::new(now()).table(broken)), &[]);
    ended.complains(1, &["FileNme", "hunts/remote-tools.toml"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);

    let throttled =
        Fault::once("POST runHuntingQuery", FaultKind::Throttle { retry_after: Some(600) }).always();
    let ended = site(found(1).fault(throttled)).cordon(&["hunt", "remote-tools"]);
    ended.complains(1, &["quota", "600 s"]);

    let away = Fault::once("POST runHuntingQuery", FaultKind::ServerError(503)).always();
    let ended = site(found(1).fault(away)).cordon(&["hunt", "remote-tools"]);
    ended.complains(1, &["no usable answer", "GRAPH_API_URL"]);
}

#[test]
fn a_window_that_takes_too_many_calls_is_read_as_far_as_they_reach_and_it_says_where_to_go_on() {
    // One row fits into an answer, and two do not.
    let mut world = found(60);
    world.hunting.bytes = 500;
    let site = site(world).with("DEFENDER_HUNTING_API", "defender");
    let (from, to) = (ago(64), ago(0));
    let ended = hunt(&site, &["--json", "--from", &from.to_string(), "--to", &to.to_string()]);
    ended.complains(1, &["stopped after 45 calls", "--from", "--to"]);
    assert_eq!(site.simulator.count("POST advancedqueries"), 45);
    let rows = objects(&ended);
    let times: Vec<Timestamp> =
        rows.iter().map(|row| row["Timestamp"].as_str().unwrap().parse().unwrap()).collect();
    let again = ended.stderr.split("--from ").nth(1).unwrap().split(' ').next().unwrap();
    let again: Timestamp = again.parse().unwrap();
    // Everything before it was read, and nothing after: there is a row a minute.
    let read = i64::try_from(times.len()).unwrap();
    assert!(read > 5 && times.iter().all(|time| *time < again), "{again} {times:?}");
    let first = *times.iter().min().unwrap();
    assert!(again.duration_since(first) <= jiff::SignedDuration::from_mins(read), "{again} {times:?}");
}

#[test]
fn it_does_not_begin_while_hunting_rests() {
    let site = site(found(1));
    site.cordon(&["run", "--once"]).well();
    let until = now() + jiff::SignedDuration::from_mins(10);
    site.put(HuntRest::key(&tenant()), &HuntRest { until, why: "calls of an hour".to_owned() });
    let ended = site.cordon(&["hunt", "remote-tools"]);
    ended.complains(1, &["no hunt asks the service before", "calls of an hour"]);
    assert_eq!(site.simulator.count("POST runHuntingQuery"), 0);
    // What a clock that was wrong has left behind keeps nobody waiting for ever, and neither does a rest that is over.
    for until in [now() + jiff::SignedDuration::from_hours(100), ago(1)] {
        site.put(HuntRest::key(&tenant()), &HuntRest { until, why: String::new() });
        assert_eq!(site.cordon(&["hunt", "remote-tools"]).code, 0);
    }
}

#[test]
fn it_knows_no_stack() {
    let site = site(one_high().app(DEFAULT_CLIENT, DEFAULT_SECRET, DEFAULT_ROLES));
    site.cordon(&["--stack", "cordon", "hunt", "remote-tools"]).complains(2, &["--stack is for"]);
    site.cordon(&["hunt", "remote-tools", "--stack", "cordon"]).complains(2, &["--stack is for"]);
    let help = site.cordon(&["hunt", "--help"]).well();
    assert!(help.contains("--env-file") && !help.contains("--stack"), "{help}");
}
