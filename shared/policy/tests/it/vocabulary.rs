//! What policies can ask for beyond what the shipped ones do, what a guarantee does, and how a decision says what it
//! was made from.

use crate::{
    SETTINGS, Story, ids, now, own,
    schema::{Attribute, attributes},
    shipped_file,
};
use jiff::{SignedDuration, Timestamp};
use model::{Answer, Decision, FirstSeen, Hunted, Mode, Side};
use policy::{Case, Playbook, Surroundings, Texts};
use serde_json::json;
use std::collections::BTreeSet;

/// Isolates where this holds.
fn isolates_when(condition: &str) -> String {
    format!(
        "@id(\"own\") @reason(\"own\")\npermit (principal, action == Action::\"isolate\", resource)\n\
         when {{ {condition} }};"
    )
}

/// A story in which nothing that a policy can ask for is missing.
fn whole_story() -> Story {
    let evidence = json!([
        {"kind": "File", "sha1": "ABCDEF", "sha256": "00FF", "file_name": "Evil.EXE"},
        {"kind": "Ip", "ip_address": "203.0.113.7", "detection_status": "Detected"},
        {"kind": "Url", "url": "https://Example.com/x"},
        {"kind": "User", "account_name": "Svc-Backup", "account_domain": "CONTOSO",
            "user_principal_name": "svc@Contoso.com"},
    ]);
    Story::new()
        .alert(|alert| {
            alert.evidence = serde_json::from_value(evidence).unwrap();
            alert.threat_family = Some("Mimikatz".into());
            alert.threat_name = Some("HackTool:Win32/Mimikatz".into());
            alert.detector_id = Some("17e10bbc".into());
            alert.incident_id = Some("42".into());
            alert.classification = Some("TruePositive".into());
            alert.determination = Some("Malware".into());
            alert.hunted = Some(Hunted { hunt: "lsass-dump".into(), may_isolate: true });
            alert.device_group = Some("Clients of old".into());
            alert.first_event = Some(hours_ago(3));
            alert.updated = Some(hours_ago(1));
        })
        .device(|device| {
            device.os_version = Some("24H2".into());
            device.value = Some("High".into());
            device.risk = Some("Medium".into());
            device.exposure = Some("Low".into());
            device.first_seen = Some(hours_ago(48));
        })
}

fn hours_ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

/// Every attribute, and what is true of it in the whole story.
const TRUE: [(&str, &str); 61] = [
    ("resource.id", r#" == "da637472900382838869_1364969609""#),
    ("resource.title", r#" == "Ransomware behaviour""#),
    ("resource.severity", r#" == "High""#),
    ("resource.severityLevel", " == 4"),
    ("resource.status", r#" == "New""#),
    ("resource.classification", r#" == "TruePositive""#),
    ("resource.determination", r#" == "Malware""#),
    ("resource.category", r#" == "Ransomware""#),
    ("resource.source", r#" == "WindowsDefenderAtp""#),
    ("resource.hunt.name", r#" == "lsass-dump""#),
    ("resource.hunt.mayIsolate", " == true"),
    ("resource.detector", r#" == "17e10bbc""#),
    ("resource.techniques", r#".containsAny(["T1486", "T1490"])"#),
    ("resource.incident", r#" == "42""#),
    ("resource.threatFamily", r#" like "Mimi*""#),
    ("resource.threatName", r#" == "HackTool:Win32/Mimikatz""#),
    ("resource.deviceGroup", r#" == "Clients of old""#),
    ("resource.created", r#" == datetime("2026-11-20T09:59:00.123Z")"#),
    ("resource.firstEvent", r#" == datetime("2026-11-20T07:00:00Z")"#),
    ("resource.lastEvent", r#" == datetime("2026-11-20T09:58:00Z")"#),
    ("resource.updated", r#" == datetime("2026-11-20T09:00:00Z")"#),
    ("resource.firstSeenObserving", " == false"),
    ("resource.user.name", r#" == "ada""#),
    ("resource.user.domain", r#" == "example""#),
    (
        "resource.users",
        r#" == ["ada", "example\\ada", "svc-backup", "contoso\\svc-backup", "svc@contoso.com"]"#,
    ),
    ("resource.usersListed", r#" == ["board"]"#),
    ("resource.evidence.truncated", " == false"),
    ("resource.evidence.kinds", r#" == ["file", "ip", "url", "user"]"#),
    ("resource.evidence.sha1", r#" == ["abcdef"]"#),
    ("resource.evidence.sha256", r#" == ["00ff"]"#),
    ("resource.evidence.fileNames", r#" == ["evil.exe"]"#),
    ("resource.evidence.addresses", r#" == ["203.0.113.7"]"#),
    ("resource.evidence.urls", r#" == ["https://example.com/x"]"#),
    ("resource.evidence.statuses", r#" == ["detected"]"#),
    ("resource.device.id", r#" == "1e5bc9d7e413ddd7902c2932e418702b84d0cc07""#),
    ("resource.device.name", r#" == "pc1.example.com""#),
    ("resource.device.class", r#" == "workstation""#),
    ("resource.device.osPlatform", r#" == "Windows11""#),
    ("resource.device.osVersion", r#" == "24H2""#),
    ("resource.device.tags", r#" == ["finance"]"#),
    ("resource.device.group", r#" == "Clients""#),
    ("resource.device.value", r#" == "High""#),
    ("resource.device.health", r#" == "Active""#),
    ("resource.device.risk", r#" == "Medium""#),
    ("resource.device.exposure", r#" == "Low""#),
    ("resource.device.onboarding", r#" == "Onboarded""#),
    ("resource.device.merged", " == false"),
    ("resource.device.firstSeen", r#" == datetime("2026-11-18T10:00:00Z")"#),
    ("resource.device.lastSeen", r#" == datetime("2026-11-20T03:00:00Z")"#),
    ("resource.device.listed", r#" == ["ring"]"#),
    ("resource.device.readAt", r#" == datetime("2026-11-20T08:00:00Z")"#),
    ("context.now", r#" == datetime("2026-11-20T10:00:00Z")"#),
    ("context.actWithin", r#" == duration("4h")"#),
    ("context.hour", " == 10"),
    ("context.weekday", r#" == "Friday""#),
    ("context.localHour", " == 0"),
    ("context.localWeekday", r#" == "Saturday""#),
    ("context.mode", r#" == "enforce""#),
    ("context.isolationsLastHour", " == 3"),
    ("context.isolationsLastDay", " == 9"),
    ("context.openIsolation", " == true"),
];

/// What has to be asked first, for an attribute and for each record that it stands in.
fn guard(path: &str, attributes: &BTreeSet<Attribute>) -> String {
    let Some((record, word)) = path.rsplit_once('.') else { return String::new() };
    let may_be_missing = attributes.iter().any(|(name, _, may_be_missing)| name == path && *may_be_missing);
    let own = if may_be_missing { format!("{record} has {word} && ") } else { String::new() };
    guard(record, attributes) + &own
}

#[test]
fn a_policy_can_ask_for_everything_that_the_schema_names() {
    let attributes = attributes();
    let named: BTreeSet<&str> =
        attributes.iter().filter(|(_, kind, _)| kind != "record").map(|(path, ..)| path.as_str()).collect();
    assert_eq!(TRUE.iter().map(|(path, _)| *path).collect::<BTreeSet<_>>(), named);

    let surroundings = Surroundings {
        device_read: Some(hours_ago(2)),
        isolations_last_hour: Some(3),
        isolations_last_day: Some(9),
        open_isolation: Some(true),
        ..Surroundings::default()
    };
    let list =
        |name, what| format!("[[lists]]\nname = \"{name}\"\nowner = \"o\"\nreview_by = 2027-01-01\n{what}\n");
    let assets = list("board", "users = [\"ada\"]") + &list("ring", "tags = [\"Finance\"]");
    let settings = "mode = \"enforce\"\ntime_zone = \"Pacific/Kiritimati\"";
    let isolates = |condition: &str| {
        let policy = isolates_when(condition);
        let texts = Texts { playbook: settings, policy: &policy, assets: &assets, ..Texts::default() };
        let playbook = Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"));
        decide(&playbook, &whole_story(), surroundings).answer == Answer::Isolate
    };
    for (path, is_true) in TRUE {
        let condition = format!("{}{path}{is_true}", guard(path, &attributes));
        assert!(isolates(&condition), "{condition}");
        assert!(!isolates(&format!("!({condition})")), "not {condition}");
    }
}

#[test]
fn the_hour_of_the_day_is_told_in_the_playbooks_time_zone_as_well() {
    let local = |zone: &str, at: &str| {
        let settings = format!("mode = \"enforce\"\ntime_zone = \"{zone}\"");
        let night = "context.localHour < 6 && context.localWeekday == \"Saturday\"";
        let texts = Texts { playbook: &settings, policy: &isolates_when(night), ..Texts::default() };
        let playbook = Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"));
        let at: Timestamp = at.parse().unwrap();
        Story::new().at(&playbook, at).answer == Answer::Isolate
    };
    // 2026-11-20 is a Friday; Tokyo is nine hours ahead, and Berlin one hour in winter and two in summer.
    assert!(local("Asia/Tokyo", "2026-11-20T18:30:00Z"));
    assert!(!local("UTC", "2026-11-20T18:30:00Z"));
    assert!(local("Europe/Berlin", "2026-11-20T23:30:00Z"));
    assert!(!local("Europe/Berlin", "2026-07-31T21:30:00Z"));
    assert!(local("Europe/Berlin", "2026-07-31T22:30:00Z"));
    let bad = Playbook::parse(&Texts { playbook: "time_zone = \"Mars/Olympus\"", ..Texts::default() });
    let problems = bad.unwrap_err().to_string();
    assert!(problems.starts_with("playbook.toml:1:13: there is no time zone `Mars/Olympus`"), "{problems}");
}

#[test]
fn people_on_a_list_can_be_asked_about_however_they_are_spelt() {
    let assets = |user: &str| {
        format!(
            "[[lists]]\nname = \"privileged\"\nowner = \"identity team\"\nreview_by = 2027-01-01\nusers = ['{user}']"
        )
    };
    let condition = isolates_when("resource.usersListed.contains(\"privileged\")");
    for (user, is_listed) in [("EXAMPLE\\Ada", true), ("ada", true), ("other\\ada", false), ("ad", false)] {
        let texts =
            Texts { playbook: SETTINGS, policy: &condition, assets: &assets(user), ..Texts::default() };
        let playbook = Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(Story::new().by(&playbook).answer == Answer::Isolate, is_listed, "{user}");
    }
}

#[test]
fn a_device_whose_tags_the_service_did_not_say_is_refused() {
    let unknown = Story::new().device(|device| device.tags = None);
    let decision = unknown.by(&own(&isolates_when("resource.severity == \"High\"")));
    assert_eq!(
        (decision.answer, decision.doubts),
        (Answer::Refused, vec!["the device's tags are not known".into()])
    );
}

fn guaranteed(policy: &str, guarantees: &str) -> Playbook {
    let texts = Texts { playbook: SETTINGS, policy, guarantees, ..Texts::default() };
    Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn what_a_guarantee_forbids_is_refused_whatever_the_policy_permits() {
    let everything = "@id(\"all\") @reason(\"all\")\npermit (principal, action, resource);";
    let playbook = guaranteed(everything, &shipped_file("guarantees.cedar"));
    let ada = Story::new();
    assert_eq!(ada.by(&playbook).answer, Answer::Isolate, "an ordinary case passes all guarantees");
    let decision = ada.platform("Linux").by(&playbook);
    assert_eq!((decision.answer, decision.tell), (Answer::Refused, true));
    assert_eq!(
        (ids(&decision.permitted_by), ids(&decision.forbidden_by)),
        (vec!["all"], vec!["only-known-workstations"])
    );
    assert_eq!(
        decision.doubts,
        [
            "the policy permits what the guarantee `only-known-workstations` forbids; `cordon prove` shows how to mend it"
        ]
    );
    let spoke = decision.reasoning.spoke.last().unwrap();
    assert_eq!((spoke.side, spoke.action.as_str()), (Side::Guarantee, "isolate"));
}

#[test]
fn every_shipped_guarantee_stands_by_itself_behind_a_policy_that_permits_everything() {
    let everything = "@id(\"all\") @reason(\"all\")\npermit (principal, action, resource);";
    let text = shipped_file("guarantees.cedar");
    let ago = |hours| Some(now() - SignedDuration::from_hours(hours));
    let stories = [
        ("only-known-workstations", Story::new().platform("WindowsServer2022")),
        ("never-an-excluded-device", Story::new().device(|d| d.tags = Some(vec!["CORDON-exclude".into()]))),
        ("never-below-medium", Story::new().severity("Low")),
        ("never-on-our-own-detections", Story::new().source("customDetection")),
        ("never-on-our-own-detections", Story::new().alert(|alert| alert.detection_source = None)),
        ("never-what-people-have-closed", Story::new().alert(|a| a.status = Some("Resolved".into()))),
        (
            "never-what-people-have-closed",
            Story::new().alert(|a| a.classification = Some("FalsePositive".into())),
        ),
        ("never-an-old-alert", Story::new().alert(|alert| alert.created = ago(5))),
        ("never-an-old-alert", Story::new().alert(|alert| alert.last_event = None)),
        ("never-what-was-seen-while-observing", Story { first_seen: model::Mode::Observe, ..Story::new() }),
    ];
    for (id, story) in stories {
        let decision = story.by(&guaranteed(everything, &text));
        assert_eq!((decision.answer, ids(&decision.forbidden_by)), (Answer::Refused, vec![id]));
    }
    let lists = "[[lists]]\nname = \"a\"\nowner = \"o\"\nreview_by = 2027-01-01\ntags = [\"finance\"]";
    let texts = Texts { playbook: SETTINGS, policy: everything, guarantees: &text, assets: lists };
    let decision = Story::new().by(&Playbook::parse(&texts).unwrap());
    assert_eq!(ids(&decision.forbidden_by), ["never-a-listed-asset"]);
    let all = Playbook::parse(&texts).unwrap().guarantees().len();
    assert_eq!(all, 8, "a new guarantee needs a story here");
}

fn found_by_a_hunt(may_isolate: bool) -> Story {
    Story::new().source("hunt").alert(|alert| {
        alert.hunted = Some(Hunted { hunt: "lsass-dump".into(), may_isolate });
    })
}

/// The promise of the product: a row never isolates unless the hunt says so and the policy permits it.
#[test]
fn a_row_never_isolates_unless_its_hunt_says_so_whatever_the_policy_permits() {
    let everything = "@id(\"all\") @reason(\"all\")\npermit (principal, action, resource);";
    for playbook in [own(everything), guaranteed(everything, &shipped_file("guarantees.cedar"))] {
        let decision = found_by_a_hunt(false).by(&playbook);
        assert_eq!((decision.answer, decision.tell), (Answer::Refused, true));
        assert_eq!(
            decision.doubts,
            [
                "the hunt `lsass-dump` does not say that its rows may cut off a device: set `may_isolate = true` in \
              hunts/lsass-dump.toml, or have the policy ask a person"
            ]
        );
        let observing = Story { environment: Some(Mode::Observe), ..found_by_a_hunt(false) };
        assert_eq!(
            observing.by(&playbook).answer,
            Answer::Refused,
            "people are not told otherwise while observing"
        );
        assert_eq!(found_by_a_hunt(true).by(&playbook).answer, Answer::Isolate);
    }
    let nothing = own("@id(\"no\") @reason(\"no\")\nforbid (principal, action, resource);");
    assert_eq!(
        found_by_a_hunt(true).by(&nothing).answer,
        Answer::None,
        "the hunt's word alone permits nothing"
    );
}

/// A name that is no file's must not lead anybody to one.
#[test]
fn a_hunts_name_is_told_on_one_line() {
    let story = Story::new().alert(|alert| {
        alert.hunted = Some(Hunted { hunt: "a\nb\u{1b}[31m".into(), may_isolate: false });
    });
    let decision = story.by(&own("@id(\"all\") @reason(\"all\")\npermit (principal, action, resource);"));
    assert!(decision.doubts[0].starts_with("the hunt `a b[31m` does not say"), "{:?}", decision.doubts);
}

#[test]
fn of_what_a_hunt_has_found_a_decision_says_whose_word_it_is() {
    let policy = isolates_when(
        "resource.severity == \"High\" && resource has source && resource.source == \"hunt\" && \
         resource has hunt && resource.hunt.mayIsolate",
    );
    let sources = |story: &Story| -> Vec<(String, Option<String>, String)> {
        let inputs = decide(&own(&policy), story, Surroundings::default()).reasoning.inputs;
        inputs.into_iter().map(|input| (input.name, input.value, input.source)).collect()
    };
    let owned = |all: [(&str, Option<&str>, &str); 3]| {
        all.map(|(name, value, source)| (name.to_owned(), value.map(str::to_owned), source.to_owned()))
    };
    assert_eq!(
        sources(&found_by_a_hunt(true)),
        owned([
            ("resource.severity", Some("High"), "the hunt's row"),
            ("resource.source", Some("hunt"), "the hunt's row"),
            ("resource.hunt.mayIsolate", Some("yes"), "the hunt's file"),
        ])
    );
    assert_eq!(
        sources(&Story::new()),
        owned([
            ("resource.severity", Some("High"), "Defender's alert"),
            ("resource.source", Some("WindowsDefenderAtp"), "Defender's alert"),
            ("resource.hunt", None, "Defender's alert"),
        ])
    );
}

#[test]
fn a_guarantee_that_cannot_be_evaluated_is_a_refusal() {
    let errs = "@id(\"errs\") @reason(\"r\")\nforbid (principal, action, resource)\n\
                when { context.hour * 4611686018427387904 > 0 };";
    let decision = Story::new().by(&guaranteed(&isolates_when("true == true"), errs));
    assert_eq!(decision.answer, Answer::Refused);
    assert!(
        decision.doubts[0].starts_with("policy `errs` could not be evaluated: "),
        "{:?}",
        decision.doubts
    );
}

fn decide(playbook: &Playbook, story: &Story, surroundings: Surroundings) -> Decision {
    playbook.decide(&Case {
        alert: &story.alert,
        device: &story.device,
        first_seen: FirstSeen { at: now(), mode: story.first_seen },
        environment_mode: None,
        surroundings,
        now: now(),
    })
}

#[test]
fn a_decision_says_what_it_was_made_from_whose_word_it_is_and_how_old() {
    let policy = isolates_when(
        "resource.severity == \"High\" && resource has device && resource.device has class && \
         resource.device.class == \"workstation\" && resource.device.listed.isEmpty() && \
         (if context has isolationsLastHour then context.isolationsLastHour < 3 else true)",
    );
    let (read, earlier) = (now(), now() - SignedDuration::from_mins(9));
    let surroundings = Surroundings {
        alert_read: Some(read),
        device_read: Some(earlier),
        isolations_last_hour: Some(2),
        ..Surroundings::default()
    };
    let decision = decide(&own(&policy), &Story::new(), surroundings);
    assert_eq!(decision.answer, Answer::Isolate);
    let inputs: Vec<(&str, Option<&str>, &str, Option<Timestamp>)> = decision
        .reasoning
        .inputs
        .iter()
        .map(|input| (input.name.as_str(), input.value.as_deref(), input.source.as_str(), input.read_at))
        .collect();
    assert_eq!(
        inputs,
        [
            ("resource.severity", Some("High"), "Defender's alert", Some(read)),
            ("resource.device.class", Some("workstation"), "Defender's device", Some(earlier)),
            ("resource.device.listed", Some("none"), "assets.toml", None),
            ("context.isolationsLastHour", Some("2"), "Cordon's state", None),
        ]
    );
    assert_eq!(decision.reasoning.playbook, own(&policy).digest());
    let unknown = decide(&own(&policy), &Story::new(), Surroundings::default());
    let count = unknown.reasoning.inputs.last().unwrap();
    assert_eq!((count.name.as_str(), count.value.as_deref()), ("context.isolationsLastHour", None));
}
