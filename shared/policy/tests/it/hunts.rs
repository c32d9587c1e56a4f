//! The hunts of a playbook: what a file says and what it means if it is silent, how a bad one is refused, and that the ones
//! that ship, and those of the guide, are sound.

use crate::{Story, own, shipped::guide, shipped_file};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{Hunted, Severity};
use policy::{AssetList, EvidenceField, Hunt, Outcome, Parameter, Schedule, SeverityOf, Span};
use proptest::{prelude::*, sample::select};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// The least that a hunt has to say, but for what its rows lead to.
const LEAST: &str = "description = \"d\"\nevery = \"1h\"\nidentity = [\"DeviceId\"]\n\
                     query = \"T | where Timestamp >= CordonFrom and Timestamp < CordonTo\"\n";

fn table(more: &str) -> String {
    format!("{LEAST}{more}\n[table]\n")
}

fn alert(more: &str) -> String {
    format!("{LEAST}[alert]\ntitle = \"t\"\nseverity = \"High\"\n{more}\n")
}

#[track_caller]
fn read(text: &str) -> Hunt {
    Hunt::parse("a-hunt", text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// The one fault of a file, with the line it is about and a hint.
#[track_caller]
fn fault(text: &str) -> String {
    let problems = Hunt::parse("a-hunt", text).unwrap_err();
    assert_eq!(problems.iter().count(), 1, "{text}\n{problems}");
    problems.to_string()
}

fn span() -> Span {
    Span {
        from: "2026-11-20T10:00:00Z".parse().unwrap(),
        to: "2026-11-20T10:10:00.1234567Z".parse().unwrap(),
    }
}

#[test]
fn what_a_hunt_does_not_say_has_a_default() {
    let hunt = read(&table(""));
    assert_eq!((hunt.name.as_str(), hunt.enabled, hunt.divisible, hunt.most), ("a-hunt", true, true, 50));
    let hour = SignedDuration::from_hours(1);
    assert_eq!((hunt.schedule, hunt.look_back, hunt.overlap), (Schedule::Every(hour), hour, hour));
    assert_eq!((hunt.outcome, hunt.noise, hunt.techniques.len()), (Outcome::Table, None, 0));
    let daily = table("").replace("every = \"1h\"", "cron = \"0 6 * * Mon-Fri\"");
    assert_eq!(read(&daily).look_back, SignedDuration::from_hours(24));
    let Outcome::Alert(mapping) = read(&alert("")).outcome else { panic!("an alert") };
    assert_eq!(
        (mapping.device.as_str(), mapping.device_name.as_str(), mapping.time.as_str()),
        ("DeviceId", "DeviceName", "Timestamp")
    );
    assert!(!mapping.may_isolate, "a row isolates only if the hunt says so");
    assert_eq!((mapping.user, mapping.category, mapping.evidence.len()), (None, None, 0));
}

#[test]
fn everything_that_a_hunt_says_is_heard() {
    let text = "enabled = false\ndescription = \"Rare things\"\ntechniques = [\"T1219\", \"T1003.001\"]\nnoise = \"some\"\n\
        cron = \"*/10 8-18 * * *\"\nlook_back = \"7d\"\noverlap = \"0s\"\ndivisible = false\nmost = 7\n\
        identity = [\"DeviceId\", \"AdditionalFields.Key\"]\n\
        query = '''\nT | where Timestamp between (CordonFrom .. CordonTo) and A in (Names) and B == Name and C > Most\n'''\n\
        [parameters]\nName = \"a\\\"b\"\nMost = -3\nNames = [\"x\", \"y\\\\z\"]\n\
        [alert]\ntitle = \"{A} on {DeviceName}\"\nseverity_column = \"Level\"\ncategory = \"Malware\"\ndevice = \"Machine\"\n\
        device_name = \"MachineName\"\ntime = \"At\"\nuser = \"Who\"\nuser_domain = \"Where\"\nmay_isolate = true\n\
        [[alert.evidence]]\nkind = \"File\"\nfile_name = \"A\"\nsha256 = \"B\"\n\
        [[alert.evidence]]\nkind = \"Ip\"\nip_address = \"RemoteIP\"\n";
    let hunt = read(text);
    assert_eq!(
        (hunt.enabled, hunt.divisible, hunt.most, hunt.noise.as_deref()),
        (false, false, 7, Some("some"))
    );
    assert_eq!((hunt.look_back, hunt.overlap), (SignedDuration::from_hours(168), SignedDuration::ZERO));
    assert_eq!(hunt.techniques, ["T1219", "T1003.001"]);
    let parameters: Vec<(&str, &Parameter)> =
        hunt.parameters.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(
        parameters,
        [
            ("Most", &Parameter::Number(-3)),
            ("Name", &Parameter::Text("a\"b".into())),
            ("Names", &Parameter::Texts(vec!["x".into(), "y\\z".into()])),
        ]
    );
    assert_eq!(hunt.needs(), ["DeviceId", "AdditionalFields", "Machine", "At", "Level"]);
    let Schedule::Cron(cron) = &hunt.schedule else { panic!("a cron") };
    assert_eq!(cron.text, "*/10 8-18 * * *");
    let at: Timestamp = "2026-11-20T18:50:00Z".parse().unwrap();
    assert_eq!(hunt.schedule.next("a", at, &TimeZone::UTC).to_string(), "2026-11-21T08:00:00Z");
    let asked = hunt.asks(span(), &[]);
    assert_eq!(
        asked,
        "let CordonFrom = datetime(2026-11-20T10:00:00.0000000Z);\n\
         let CordonTo = datetime(2026-11-20T10:10:00.1234567Z);\n\
         let Most = long(-3);\nlet Name = \"a\\\"b\";\nlet Names = dynamic([\"x\", \"y\\\\z\"]);\n\
         T | where Timestamp between (CordonFrom .. CordonTo) and A in (Names) and B == Name and C > Most\n"
    );
    let Outcome::Alert(mapping) = hunt.outcome else { panic!("an alert") };
    assert_eq!(mapping.severity, SeverityOf::Column("Level".into()));
    assert_eq!((mapping.user.as_deref(), mapping.user_domain.as_deref()), (Some("Who"), Some("Where")));
    assert!(mapping.may_isolate);
    assert_eq!(mapping.title.of(|column| Some(format!("<{column}>"))), "<A> on <DeviceName>");
    let columns =
        |n: usize| mapping.evidence[n].columns.iter().map(|(field, column)| (*field, column.as_str()));
    assert_eq!(
        columns(0).collect::<Vec<_>>(),
        [(EvidenceField::Sha256, "B"), (EvidenceField::FileName, "A")]
    );
    assert_eq!(columns(1).collect::<Vec<_>>(), [(EvidenceField::IpAddress, "RemoteIP")]);
    assert_ne!(hunt.digest, read(&text.replace("7d", "6d")).digest);
}

#[test]
fn an_alert_of_defenders_needs_the_event_that_it_is_made_of() {
    let text = format!(
        "{LEAST}[defender_alert]\ntitle = \"t {{A}}\"\nseverity = \"Low\"\ncategory = \"Malware\"\nrecommended_action = \"look\"\n"
    );
    let hunt = read(&text);
    assert_eq!(hunt.needs(), ["DeviceId", "Timestamp", "ReportId"]);
    let Outcome::DefenderAlert(alert) = hunt.outcome else { panic!("an alert of Defender's") };
    assert_eq!((alert.severity, alert.category.as_str()), (Severity::Low, "Malware"));
    for (bad, said) in [
        ("severity = \"Informational\"", "a-hunt.toml:7:12: `severity` cannot be `Informational`"),
        ("category = \"Malwear\"", "a-hunt.toml:8:12: Defender takes no category `Malwear`"),
    ] {
        let key = bad.split(" =").next().unwrap();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        let found = fault(&text.replace(line, bad));
        assert!(found.contains(said), "{found}");
    }
}

/// What is joined with is what stands in the file, and only for a query that asks for it.
#[test]
fn the_asset_lists_stand_before_a_query_that_names_them() {
    let lists = AssetList::parse(
        "[[lists]]\nname = \"board\"\nowner = \"o\"\nreview_by = 2020-01-01\nusers = ['contoso\\ada']\ntags = ['a \"b\"']\n\
         devices = [\"1e5bc9d7e413ddd7902c2932e418702b84d0cc07\"]\n\
         [[lists]]\nname = \"dc\"\nowner = \"o\"\nreview_by = 2030-01-01\ngroups = [\"Domain Controllers\"]\n",
    )
    .unwrap();
    let asked = |query: &str, lists: &[AssetList]| {
        read(&table("").replace("query = \"T", &format!("query = \"{query}"))).asks(span(), lists)
    };
    let line =
        |asked: &str| asked.lines().find(|line| line.starts_with("let CordonAssets")).map(str::to_owned);
    assert_eq!(
        line(&asked("CordonAssets", &lists)).unwrap(),
        "let CordonAssets = datatable(List:string, Kind:string, Value:string)[\
         \"board\", \"device\", \"1e5bc9d7e413ddd7902c2932e418702b84d0cc07\", \"board\", \"tag\", \"a \\\"b\\\"\", \
         \"board\", \"user\", \"contoso\\\\ada\", \"dc\", \"group\", \"Domain Controllers\"];"
    );
    assert_eq!(
        line(&asked("CordonAssets", &[])).unwrap(),
        "let CordonAssets = datatable(List:string, Kind:string, Value:string)[];"
    );
    assert_eq!(line(&asked("T", &lists)), None);
    assert_eq!(line(&asked("T // CordonAssets\\n", &lists)), None);
}

#[test]
fn a_slip_in_a_hunt_is_pointed_at_with_a_way_out() {
    assert_eq!(
        fault(&table("overlapp = \"1h\"")),
        "hunts/a-hunt.toml:5:1: unknown key `overlapp`\n 5 | overlapp = \"1h\"\n   | ^^^^^^^^\n   \
         = hint: did you mean `overlap`?"
    );
    let without = |key: &str| -> String {
        table("").lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect()
    };
    let longer = |more: &str| table("").replace("\nquery = \"", &format!("\nquery = \"{more} "));
    let cases: Vec<(String, &str, &str)> = vec![
        (without("description"), "`description` is missing", ""),
        (without("every"), "there is no schedule", "every = \"1h\""),
        (without("identity"), "`identity` is missing", "[\"DeviceId\", \"SHA256\"]"),
        (without("query"), "there is no query", "`query_file`"),
        (without("[table]"), "does not say what a row leads to", "[defender_alert]"),
        (table("cron = \"0 6 * * *\""), "there are two schedules", "`every` or `cron`"),
        (table("query_file = \"a.kql\""), "there are two queries", "`query_file`"),
        (table("[alert]"), "a row leads to one thing: keep one of `alert`, `table`", ""),
        (table("[table.x]"), "unknown key `x`", ""),
        (
            without("every").replace("[table]", "every = \"1m\"\n[table]"),
            "`every` must lie between 5m and 7d, not at `1m`",
            "",
        ),
        (
            without("every").replace("[table]", "cron = \"* * * * *\"\n[table]"),
            "more often than every 5 minutes",
            "\"*/5 * * * *\"",
        ),
        (
            without("every").replace("[table]", "cron = \"0 6 * *\"\n[table]"),
            "five fields, not 4",
            "working days",
        ),
        (table("look_back = \"31d\""), "`look_back` must lie between 1m and 30d", ""),
        (table("overlap = \"8d\""), "`overlap` must lie between 0s and 7d", ""),
        (table("most = 0"), "`most` must be 1 at least", "enabled = false"),
        (table("most = 501"), "between 0 and 500", ""),
        (table("techniques = [\"1219\"]"), "`1219` is no ATT&CK technique", "T1003.001"),
        (table("techniques = [\"T1003.1\"]"), "`T1003.1` is no ATT&CK technique", ""),
        (table("").replace("[\"DeviceId\"]", "[\"Device Id\"]"), "`Device Id` is no column", "DeviceId"),
        (table("").replace("[\"DeviceId\"]", "[\"A\", \"A\"]"), "`A` stands twice in `identity`", ""),
        (table("").replace("[\"DeviceId\"]", "[]"), "`identity` is missing", ""),
        (
            table("").replace(">= CordonFrom", ">= ago(1h)"),
            "the query does not name `CordonFrom`",
            "Timestamp >= CordonFrom",
        ),
        (longer("let CordonFrom = ago(1d);"), "the query sets `CordonFrom` by itself", "another name"),
        (longer(&"x ".repeat(5_001)), "and may have 10000", "two hunts"),
        (table("[parameters]\nAllowed = 1"), "the query never names the parameter `Allowed`", "take it out"),
        (
            longer("Alowed").replace("[table]", "[parameters]\nAllowed = 1\n[table]"),
            "never names the parameter `Allowed`",
            "`Alowed`",
        ),
        (
            longer("let Allowed = 1;").replace("[table]", "[parameters]\nAllowed = 1\n[table]"),
            "the query sets `Allowed` by itself",
            "[parameters]",
        ),
        (table("[parameters]\nwhere = 1"), "`where` is a word of KQL", ""),
        (table("[parameters]\nCordonTo = 1"), "`CordonTo` is one of Cordon's own names", ""),
        (table("[parameters]\n\"a; b\" = 1"), "`a; b` must be of letters", ""),
        (
            longer("A").replace("[table]", "[parameters]\nA = 1.5\n[table]"),
            "`A` must be a text, a whole number, or a list",
            "Allowed = [",
        ),
        (
            longer("A").replace("[table]", "[parameters]\nA = [1]\n[table]"),
            "`A` must be a text, a whole number, or a list",
            "",
        ),
        (alert("severity_column = \"S\""), "there are two severities", ""),
        (alert("").replace("severity = \"High\"\n", ""), "there is no severity", "severity_column"),
        (alert("").replace("\"High\"", "\"high\""), "`severity` cannot be `high`", ""),
        (
            alert("").replace("title = \"t\"", "title = \"{A\""),
            "`title` has a `{` without its `}`",
            "stands twice",
        ),
        (
            alert("").replace("title = \"t\"", "title = \"{FileName}: {InitiatingProcessCommandLine}\""),
            "`title` shows `InitiatingProcessCommandLine`, a column of command lines",
            "`command_line`",
        ),
        (
            alert(
                "[[alert.evidence]]\nkind = \"File\"\nfile_name = \"AdditionalFields.process_command_line\"",
            ),
            "`file_name` shows `AdditionalFields.process_command_line`",
            "`command_line`",
        ),
        (
            alert("may_isolate = true\ndevice = \"AdditionalFields.Target\""),
            "`device` cannot be a part of a column",
            "DeviceId",
        ),
        (
            alert("may_isolate = true\ntime = \"AdditionalFields.At\""),
            "`time` cannot be a part of a column",
            "",
        ),
        (
            alert("may_isolate = true\nseverity_column = \"A.S\"").replace("severity = \"High\"\n", ""),
            "`severity_column` cannot be a part of a column",
            "may_isolate",
        ),
        (alert("user_domain = \"D\""), "`user_domain` needs a `user`", "AccountName"),
        (alert("may_isolate = \"yes\""), "`may_isolate` must be true or false", ""),
        (
            alert("[[alert.evidence]]\nkind = \"Proces\"\nsha1 = \"S\""),
            "no evidence of kind `Proces`",
            "`Process`",
        ),
        (alert("[[alert.evidence]]\nkind = \"File\""), "names no column", "file_name"),
        (
            alert("[[alert.evidence]]\nkind = \"File\"\nsha2 = \"S\"\nsha1 = \"S\""),
            "unknown key `sha2`",
            "`sha1`",
        ),
        (
            table("query_file = \"../x.kql\"").replace("query = \"T", "noise = \"T"),
            "must name a file that ends in .kql",
            "beside this one",
        ),
        (
            table("query_file = \"/etc/x.kql\"").replace("query = \"T", "noise = \"T"),
            "must name a file that ends in .kql",
            "",
        ),
        (
            table("query_file = \"x.sql\"").replace("query = \"T", "noise = \"T"),
            "must name a file that ends in .kql",
            "",
        ),
    ];
    for (text, said, hint) in cases {
        let found = fault(&text);
        assert!(found.starts_with("hunts/a-hunt.toml:") && found.contains(said), "{text}\n{found}");
        assert!(hint.is_empty() || found.split_once("= hint: ").unwrap().1.contains(hint), "{text}\n{found}");
    }
    assert!(Hunt::parse("a-hunt", "x = [").is_err());
}

/// What cannot cut off a device may be looked for wherever it stands, and command lines have their place.
#[test]
fn parts_of_columns_and_command_lines_are_taken_where_they_do_no_harm() {
    let parts = alert("device = \"A.D\"\ntime = \"A.T\"\nseverity_column = \"A.S\"");
    read(&parts.replace("severity = \"High\"\n", ""));
    read(&alert("may_isolate = true\nuser = \"A.User\"\ndevice = \"DeviceId\""));
    read(&alert(
        "[[alert.evidence]]\nkind = \"Process\"\ncommand_line = \"ProcessCommandLine\"\nregistry_value = \"X.CommandLine\"",
    ));
}

#[test]
fn a_hunt_is_called_like_its_file() {
    for bad in ["", "A", "a_b", "ä", "a b", &"x".repeat(41)] {
        let problems = Hunt::parse(bad, &table("")).unwrap_err().to_string();
        assert!(problems.contains("the file's name is the hunt's"), "{problems}");
    }
    assert_eq!(Hunt::parse(&"x".repeat(40), &table("")).unwrap().name.len(), 40);
}

/// A query that somebody has changed is another hunt, wherever it stands.
#[test]
fn all_files_are_read_by_name_with_their_queries_and_all_problems_come_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = folder.path().join("hunts").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    assert_eq!(Hunt::read_all(folder.path()), Ok(Vec::new()), "no folder, no hunts");
    write("b.toml", &table(""));
    write("a.toml", &table("query_file = \"kql/a.kql\"").replace("query = \"T", "noise = \"T"));
    write("kql/a.kql", "T | where Timestamp between (CordonFrom .. CordonTo)");
    write("README.md", "not a hunt");
    let hunts = Hunt::read_all(folder.path()).unwrap();
    assert_eq!(hunts.iter().map(|hunt| hunt.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(hunts[0].query, "T | where Timestamp between (CordonFrom .. CordonTo)");
    write("kql/a.kql", "U | where Timestamp between (CordonFrom .. CordonTo)");
    let changed = Hunt::read_all(folder.path()).unwrap();
    assert_ne!(changed[0].digest, hunts[0].digest);
    assert_eq!(changed[1].digest, hunts[1].digest);

    write("a.toml", &table("query_file = \"missing.kql\"\nfoo = 1").replace("query = \"T", "noise = \"T"));
    write("b.toml", "description = 1\n");
    let problems = Hunt::read_all(folder.path()).unwrap_err();
    let found: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    assert_eq!(found[..2], ["hunts/a.toml", "hunts/a.toml"]);
    assert!(found.len() >= 6 && found[2..].iter().all(|file| *file == "hunts/b.toml"), "{problems}");
    assert!(problems.to_string().contains("missing.kql"), "{problems}");
}

const NAMES: [&str; 5] =
    ["browser-secrets", "lsass-dump", "privileged-logons", "remote-management-tools", "shadow-copies"];

fn shipped() -> Vec<Hunt> {
    let playbook = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../playbook");
    Hunt::read_all(&playbook).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The columns that a query ends with: those of its last `project`.
fn projected(query: &str) -> BTreeSet<String> {
    let (_, last) = query.rsplit_once("| project ").unwrap();
    assert!(!last.contains('|'), "a shipped query ends by saying what it yields: {last}");
    let names = last.split(',').map(|column| column.split('=').next().unwrap().trim().to_owned());
    names.collect()
}

/// Every column that a hunt names.
fn named(hunt: &Hunt) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = hunt.needs().into_iter().map(str::to_owned).collect();
    if let Outcome::Alert(alert) = &hunt.outcome {
        all.insert(alert.device_name.clone());
        all.extend(alert.user.iter().chain(&alert.user_domain).cloned());
        all.extend(alert.title.columns().map(str::to_owned));
        all.extend(alert.evidence.iter().flat_map(|evidence| evidence.columns.values().cloned()));
    }
    all
}

#[test]
fn every_shipped_hunt_is_off_isolates_nothing_and_yields_the_columns_that_it_names() {
    let hunts = shipped();
    let names: Vec<&str> = hunts.iter().map(|hunt| hunt.name.as_str()).collect();
    assert_eq!(names, NAMES);
    for hunt in &hunts {
        let name = &hunt.name;
        assert!(!hunt.enabled, "{name}: a tenant has to grant the permission first");
        assert!(!hunt.techniques.is_empty() && hunt.noise.is_some(), "{name}");
        let missing: Vec<String> = named(hunt).difference(&projected(&hunt.query)).cloned().collect();
        assert!(missing.is_empty(), "{name} does not yield {missing:?}");
        if let Outcome::Alert(alert) = &hunt.outcome {
            assert!(!alert.may_isolate, "{name}");
        }
        let text = shipped_file(&format!("hunts/{name}.toml"));
        assert!(text.contains("Switched off as it ships") && text.contains("`enabled = true`"), "{name}");
        assert!(hunt.query.contains("//") || name == "shadow-copies", "{name}: the query explains itself");
        assert!(
            guide().contains(&format!("[`{name}`](../playbook/hunts/{name}.toml)")),
            "{name}: not in the guide"
        );
    }
}

/// The blocks of TOML in the guide that are hunts.
fn of_guide() -> Vec<String> {
    let guide = guide();
    let blocks =
        guide.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned());
    blocks.filter(|block| block.starts_with("description = ")).collect()
}

#[test]
fn every_hunt_of_the_guide_can_be_read() {
    let blocks = of_guide();
    assert_eq!(blocks.len(), 3, "one for each thing that a row can lead to");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("hunts")).unwrap();
    for (number, block) in blocks.iter().enumerate() {
        fs::write(folder.path().join(format!("hunts/h{number}.toml")), block).unwrap();
    }
    let hunts = Hunt::read_all(folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
    let [Outcome::Alert(_), Outcome::Table, Outcome::DefenderAlert(_)] =
        [0, 1, 2].map(|n: usize| hunts[n].outcome.clone())
    else {
        panic!("{hunts:?}")
    };
    for hunt in hunts.iter().filter(|hunt| hunt.query.contains("| project ")) {
        let missing: Vec<String> = named(hunt).difference(&projected(&hunt.query)).cloned().collect();
        assert!(missing.is_empty(), "{}: {missing:?}", hunt.query);
    }
}

#[test]
fn a_policy_can_be_about_one_hunt_as_the_guide_says() {
    let guide = guide();
    let blocks = guide.split("\n```cedar\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let policy = blocks.filter(|block| block.contains("tell-office-shells")).collect::<String>();
    let found_by = |hunt: &str| {
        let hunted = Hunted { hunt: hunt.into(), may_isolate: true };
        Story::new().source("hunt").alert(|alert| alert.hunted = Some(hunted)).by(&own(&policy)).tell
    };
    assert!(found_by("office-shells") && !found_by("lsass-dump"));
}

/// What is known in a table of the file, by what is said of a key that is not.
fn known_keys(text: &str) -> Vec<String> {
    let found = fault(text);
    let (_, known) = found.split_once("known here: ").unwrap_or_else(|| panic!("{found}"));
    known.split(", ").map(|key| key.trim_matches(['`', ' ']).to_owned()).collect()
}

#[test]
fn the_guide_names_every_key() {
    let guide = guide();
    let (_, section) = guide.split_once("\n### Every key\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let evidence = alert("[[alert.evidence]]\nkind = \"File\"\nsha1 = \"S\"\nzzzzzzzzzzzzzzzzzzz = 1");
    let top = known_keys(&table("zzzzzzzzzzzzzzzzzzz = 1"));
    let of_alert = known_keys(&alert("zzzzzzzzzzzzzzzzzzz = 1"));
    assert!(top.len() >= 17 && of_alert.len() >= 11, "{top:?} {of_alert:?}");
    for key in top.iter().chain(&of_alert).chain(&known_keys(&evidence)) {
        let ways = [format!("`{key}`"), format!("`[{key}]`"), format!("`[[alert.{key}]]`")];
        let is_table = key == "table" && guide.contains("- `[table]`:");
        assert!(is_table || ways.iter().any(|way| section.contains(way)), "the guide does not name `{key}`");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A file that somebody has damaged is read, or refused with a reason: never a panic, and never half a hunt.
    #[test]
    fn a_damaged_file_is_a_hunt_or_a_problem(
        name in select(NAMES.as_slice()), at in any::<proptest::sample::Index>(), gone in 0..30_usize, new in "\\PC{0,6}|[{}\"'\\\\\n=\\[\\]]{0,4}",
    ) {
        let text = shipped_file(&format!("hunts/{name}.toml"));
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let damaged: String =
            chars.iter().take(at).copied().chain(new.chars()).chain(chars.iter().skip(at + gone).copied()).collect();
        match Hunt::parse("a-hunt", &damaged) {
            Ok(hunt) => {
                prop_assert!(!hunt.needs().is_empty() && (1..=500).contains(&hunt.most));
                let asked = hunt.asks(span(), &[]);
                prop_assert!(asked.starts_with("let CordonFrom = datetime(") && asked.ends_with(&hunt.query));
            }
            Err(problems) => prop_assert!(problems.iter().take(50).all(|problem| problem.starts_with("hunts/a-hunt.toml:"))),
        }
    }
}
