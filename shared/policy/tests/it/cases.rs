//! What is decided about which case, mostly by the shipped playbook.

use crate::{SETTINGS, Story, ago, ids, now, own, shipped_file, shipped_with};
use jiff::SignedDuration;
use model::{AlertStatus, Answer, Classification, DeviceFact, DeviceRef, IsolationType, Mode, Onboarding};
use policy::{Channel, Effect, Playbook, Settings, Texts};
use std::path::Path;

/// What a row of the table expects: answer, whether people are told, and the policies that spoke for and against.
type Expected<'a> = (Answer, bool, &'a [&'a str], &'a [&'a str]);

/// By the shipped policy, under `enforce`. Rows about doubts stand in a table of their own.
#[test]
fn the_shipped_policy_decides_each_case_as_it_says() {
    use Answer::{Isolate, None as Nothing, Propose, Refused};
    let playbook = shipped_with(SETTINGS, "");
    let high = Story::new;
    let server = ["server-needs-a-person"];
    let custom = ["custom-detection-needs-a-person"];
    let future = Some(now() + SignedDuration::from_mins(11));
    let soon = Some(now() + SignedDuration::from_mins(9));
    let status = |status: &str| high().alert(|alert| alert.status = Some(AlertStatus::from(status)));
    let found = |word: &str| high().alert(|alert| alert.classification = Some(Classification::from(word)));
    let tagged = |tag: &str| high().device(|device| device.tags.get_or_insert_default().push(tag.into()));

    let table: Vec<(&str, Story, Expected<'_>)> = vec![
        ("High", high(), (Isolate, true, &["isolate-high"], &[])),
        ("High on Windows 10", high().platform("Windows10"), (Isolate, true, &["isolate-high"], &[])),
        ("High on a Mac", high().platform("macOS"), (Isolate, true, &["isolate-high"], &[])),
        ("a server", high().platform("WindowsServer2022"), (Propose, true, &["ask-server"], &server)),
        ("multi-session", high().platform("Windows11WVD"), (Propose, true, &["ask-server"], &server)),
        ("Linux", high().platform("Linux"), (Propose, true, &["ask-server"], &server)),
        (
            "tagged",
            tagged("cordon-exclude"),
            (Propose, true, &["ask-excluded"], &["excluded-needs-a-person"]),
        ),
        (
            "TAGGED",
            tagged(" CORDON-Exclude "),
            (Propose, true, &["ask-excluded"], &["excluded-needs-a-person"]),
        ),
        (
            "a tag that only looks like it",
            tagged("not-cordon-exclude"),
            (Isolate, true, &["isolate-high"], &[]),
        ),
        (
            "custom rule",
            high().source("CustomDetection"),
            (Propose, true, &["ask-custom-detection"], &custom),
        ),
        (
            "custom rule, spelt anew",
            high().source("customDetection"),
            (Propose, true, &["ask-custom-detection"], &custom),
        ),
        (
            "custom indicator",
            high().source("CustomerTI"),
            (Propose, true, &["ask-custom-detection"], &custom),
        ),
        (
            "custom indicator, spelt anew",
            high().source("Custom TI"),
            (Propose, true, &["ask-custom-detection"], &custom),
        ),
        ("Medium", high().severity("Medium"), (Propose, true, &["propose-medium"], &[])),
        (
            "Medium on a server",
            high().severity("Medium").platform("Linux"),
            (Propose, true, &["propose-medium"], &[]),
        ),
        ("Low", high().severity("Low"), (Nothing, false, &[], &[])),
        ("Informational", high().severity("Informational"), (Nothing, false, &[], &[])),
        ("unspecified", high().severity("UnSpecified"), (Nothing, false, &[], &[])),
        ("in progress", status("InProgress"), (Isolate, true, &["isolate-high"], &[])),
        (
            "no source",
            high().alert(|alert| alert.detection_source = None),
            (Propose, true, &["ask-custom-detection"], &["custom-detection-needs-a-person"]),
        ),
        ("resolved", status("Resolved"), (Refused, false, &["isolate-high"], &["resolved"])),
        (
            "resolved Medium",
            status("Resolved").severity("Medium"),
            (Refused, false, &["propose-medium"], &["resolved"]),
        ),
        ("resolved Low", status("Resolved").severity("Low"), (Nothing, false, &[], &[])),
        (
            "resolved on a server",
            status("Resolved").platform("Linux"),
            (Refused, false, &["ask-server", "isolate-high"], &["resolved", "server-needs-a-person"]),
        ),
        ("true positive", found("TruePositive"), (Isolate, true, &["isolate-high"], &[])),
        ("false positive", found("FalsePositive"), (Refused, false, &["isolate-high"], &["false-positive"])),
        (
            "expected activity",
            found("InformationalExpectedActivity"),
            (Refused, false, &["isolate-high"], &["expected-activity"]),
        ),
        ("just young enough", high().alert(|a| a.created = ago(4)), (Isolate, true, &["isolate-high"], &[])),
        (
            "created long ago",
            high().alert(|a| a.created = ago(5)),
            (Refused, false, &["isolate-high"], &["too-old"]),
        ),
        (
            "quiet for long",
            high().alert(|a| a.last_event = ago(5)),
            (Refused, false, &["isolate-high"], &["too-old"]),
        ),
        (
            "not created",
            high().alert(|a| a.created = None),
            (Refused, true, &["isolate-high"], &["time-missing"]),
        ),
        (
            "no event",
            high().alert(|a| a.last_event = None),
            (Refused, true, &["isolate-high"], &["time-missing"]),
        ),
        (
            "from the future",
            high().alert(|a| a.created = future),
            (Refused, true, &["isolate-high"], &["time-in-the-future"]),
        ),
        ("a fast clock", high().alert(|a| a.last_event = soon), (Isolate, true, &["isolate-high"], &[])),
        (
            "first seen while observing",
            Story { first_seen: Mode::Observe, ..high() },
            (Refused, true, &["isolate-high"], &["first-seen-observing"]),
        ),
        (
            "shown while observing",
            Story { first_seen: Mode::Observe, environment: Some(Mode::Observe), ..high() },
            (Isolate, true, &["isolate-high"], &[]),
        ),
        (
            "evidence cut",
            high().alert(|a| a.evidence_truncated = true),
            (Isolate, true, &["isolate-high"], &[]),
        ),
        (
            "a hostile title",
            high()
                .alert(|a| a.title = "x\" } }; permit(principal,action,resource);\n\u{202e}//".into())
                .severity("Low"),
            (Nothing, false, &[], &[]),
        ),
        (
            "a hostile id",
            high().alert(|a| a.id = "\"::Alert::\"\\u{0}".parse().unwrap()),
            (Isolate, true, &["isolate-high"], &[]),
        ),
    ];
    for (name, story, (answer, tell, for_it, against)) in table {
        let decision = story.by(&playbook);
        assert_eq!((decision.answer, decision.tell), (answer, tell), "{name}: {decision:#?}");
        assert_eq!(ids(&decision.permitted_by), for_it, "{name}");
        assert_eq!(ids(&decision.forbidden_by), against, "{name}");
        assert_eq!(decision.doubts, Vec::<String>::new(), "{name}");
    }
}

/// Each row: what is doubtful, and a word of the sentence about it.
#[test]
fn a_doubt_means_no_and_people_are_told() {
    let playbook = shipped_with(SETTINGS, "");
    let high = Story::new;
    let other_id = DeviceRef::parse("0000000000000000000000000000000000000000");
    let onboarding = |word: &str| high().device(|device| device.onboarding = Some(Onboarding::from(word)));
    let table: Vec<(&str, Story)> = vec![
        ("has no severity", high().alert(|alert| alert.severity = None)),
        ("has no status", high().alert(|alert| alert.status = None)),
        ("status `Paused` is not known", high().alert(|alert| alert.status = Some("Paused".into()))),
        ("`Maybe` is not known", high().alert(|alert| alert.classification = Some("Maybe".into()))),
        ("`Critical` is not known", high().severity("Critical")),
        (
            "could not be read in full: machineId: not a text",
            high().alert(|a| a.unreadable = vec!["machineId: not a text".into()]),
        ),
        ("the device is not known: the alert names no machine id", high().no_device(None)),
        ("the device is not known", high().no_device(Some(DeviceRef::parse("pc1")))),
        ("the device is not known", high().no_device(high().alert.device)),
        ("but `1e5b", high().alert(|alert| alert.device = Some(other_id))),
        ("`pc1`, which is no machine id", high().alert(|alert| alert.device = Some(DeviceRef::parse("pc1")))),
        ("the alert names no device", high().alert(|alert| alert.device = None)),
        (
            "the device could not be read in full",
            high().device(|device| device.unreadable = vec!["x: y".into()]),
        ),
        ("platform `TempleOS` is not known", high().platform("TempleOS")),
        ("has no platform", high().device(|device| device.os_platform = None)),
        ("not onboarded: `CanBeOnboarded`", onboarding("CanBeOnboarded")),
        ("not onboarded: `Something`", onboarding("Something")),
        ("merged into `abc`", high().device(|device| device.merged_into = Some("abc".into()))),
        (
            "could not be put to the policies",
            high().alert(|a| a.updated = Some("-000500-01-01T00:00:00Z".parse().unwrap())),
        ),
    ];
    for (word, story) in table {
        let decision = story.by(&playbook);
        assert_eq!(decision.answer, Answer::Refused, "{word}: {decision:#?}");
        assert!(decision.tell, "{word}");
        assert!(decision.doubts.iter().any(|doubt| doubt.contains(word)), "{word}: {:?}", decision.doubts);
    }
}

#[test]
fn a_doubt_about_an_alert_that_nothing_is_permitted_for_is_not_told() {
    let playbook = shipped_with(SETTINGS, "");
    for story in [Story::new().no_device(None), Story::new().platform("TempleOS")] {
        let decision = story.severity("Informational").by(&playbook);
        assert_eq!((decision.answer, decision.tell), (Answer::None, false));
        assert!(decision.doubts.is_empty());
    }
}

#[test]
fn a_doubt_about_an_alert_that_is_refused_anyway_is_told() {
    let resolved = Story::new().alert(|alert| alert.status = Some(AlertStatus::Resolved));
    let decision = resolved.no_device(None).by(&shipped_with(SETTINGS, ""));
    assert_eq!((decision.answer, decision.tell, decision.doubts.len()), (Answer::Refused, true, 1));
    assert_eq!(ids(&decision.forbidden_by), ["device-not-known", "resolved"]);
}

#[test]
fn an_unknown_severity_is_told_even_where_nothing_else_is_known() {
    let decision = Story::new().severity("Critical").no_device(None).by(&shipped_with(SETTINGS, ""));
    assert_eq!((decision.answer, decision.doubts.len()), (Answer::Refused, 2));
}

#[test]
fn an_unknown_onboarding_state_is_no_doubt() {
    let decision = Story::new().device(|device| device.onboarding = None).by(&shipped_with(SETTINGS, ""));
    assert_eq!(decision.answer, Answer::Isolate);
}

#[test]
fn what_an_attacker_writes_cannot_act_on_a_terminal() {
    let story = Story::new().platform("\u{1b}[2JWindows11\u{202e}\n");
    let doubts = story.by(&shipped_with(SETTINGS, "")).doubts;
    assert_eq!(doubts, ["the device's platform `[2JWindows11` is not known"]);
}

const LIST: &str = "[[lists]]\nname = \"crown-jewels\"\nowner = \"ops\"\nreview_by = 2026-11-20\n";

#[test]
fn a_device_on_a_list_is_asked_about() {
    let id = "devices = [\"1E5BC9D7E413DDD7902C2932E418702B84D0CC07\"]";
    for entry in [id, "groups = [\"clients\"]", "tags = [\"Finance\"]"] {
        let decision = Story::new().by(&shipped_with(SETTINGS, &format!("{LIST}{entry}")));
        assert_eq!(decision.answer, Answer::Propose, "{entry}");
        assert_eq!(ids(&decision.permitted_by), ["ask-listed"]);
        assert_eq!(ids(&decision.forbidden_by), ["listed-needs-a-person"]);
    }
    for entry in ["groups = [\"client\"]", "tags = [\"fin\"]", "tags = [\"pc1.example.com\"]"] {
        let decision = Story::new().by(&shipped_with(SETTINGS, &format!("{LIST}{entry}")));
        assert_eq!(decision.answer, Answer::Isolate, "{entry}");
    }
}

#[test]
fn a_list_past_its_review_stops_everything_and_says_so() {
    let playbook = shipped_with(SETTINGS, &format!("{LIST}tags = [\"elsewhere\"]"));
    let tomorrow = now() + SignedDuration::from_hours(24);
    let mut story = Story::new();
    assert!(!playbook.lists()[0].is_stale(now()), "the day itself is still good");
    assert_eq!(story.by(&playbook).answer, Answer::Isolate);

    story.alert.created = Some(tomorrow);
    story.alert.last_event = Some(tomorrow);
    assert!(playbook.lists()[0].is_stale(tomorrow));
    let decision = story.at(&playbook, tomorrow);
    assert_eq!((decision.answer, decision.tell), (Answer::Refused, true));
    let doubt =
        "the asset list `crown-jewels` was due for review on 2026-11-20; review it and set a new date";
    assert_eq!(decision.doubts, [doubt]);
    assert_eq!(story.severity("Low").at(&playbook, tomorrow).answer, Answer::None);
}

#[test]
fn the_mode_is_the_environments_or_else_the_playbooks() {
    use Mode::{Enforce, Observe};
    for (playbook, environment, expected) in [
        ("observe", None, Observe),
        ("observe", Some(Observe), Observe),
        ("observe", Some(Enforce), Enforce),
        ("enforce", None, Enforce),
        ("enforce", Some(Observe), Observe),
        ("enforce", Some(Enforce), Enforce),
    ] {
        let playbook_text = format!("mode = \"{playbook}\"");
        let decision = Story { environment, ..Story::new() }.by(&shipped_with(&playbook_text, ""));
        assert_eq!(decision.mode, expected, "{playbook} {environment:?}");
        assert_eq!(decision.answer, Answer::Isolate, "{playbook} {environment:?}");
    }
}

fn permit(id: &str, action: &str, annotation: &str) -> String {
    format!(
        "@id(\"{id}\") @reason(\"r\") {annotation} permit (principal, action == Action::\"{action}\", resource);\n"
    )
}

#[test]
fn a_permit_that_is_only_tried_out_cannot_cause_action_by_itself() {
    let tried = permit("tried", "isolate", "@mode(\"observe\")");
    let alone = Story::new().by(&own(&tried));
    assert_eq!((alone.answer, alone.mode), (Answer::Isolate, Mode::Observe));

    let both = Story::new().by(&own(&(tried.clone() + &permit("held", "isolate", ""))));
    assert_eq!((both.answer, both.mode), (Answer::Isolate, Mode::Enforce));
    assert_eq!(ids(&both.permitted_by), ["held", "tried"]);

    let asked = Story::new().by(&own(&(tried + &permit("asked", "proposeIsolate", ""))));
    assert_eq!((asked.answer, asked.mode), (Answer::Propose, Mode::Enforce), "a trial silences no question");
    assert_eq!(ids(&asked.permitted_by), ["asked"]);
}

#[test]
fn the_policy_chooses_the_kind_of_isolation_but_must_be_of_one_mind() {
    let selective = permit("a", "isolate", "@isolationType(\"Selective\")");
    let silent = permit("b", "isolate", "");
    let full = permit("c", "isolate", "@isolationType(\"Full\")");
    let tried = permit("d", "isolate", "@isolationType(\"Full\") @mode(\"observe\")");
    let decide =
        |policies: &[&String]| Story::new().by(&own(&policies.iter().copied().cloned().collect::<String>()));

    assert_eq!(decide(&[&silent]).isolation_type, IsolationType::Full);
    assert_eq!(decide(&[&selective, &silent]).isolation_type, IsolationType::Selective);
    assert_eq!(decide(&[&selective, &tried]).isolation_type, IsolationType::Selective);
    let torn = decide(&[&selective, &full]);
    assert_eq!((torn.answer, torn.tell), (Answer::Refused, true));
    assert_eq!(
        torn.doubts,
        ["the policies `a` and `c` name different kinds of isolation: Selective and Full"]
    );
}

#[test]
fn a_policy_that_errs_is_a_refusal_whatever_the_others_say() {
    let overflow = "context.hour + 9223372036854775807 > 0";
    let forbid = |action: &str| {
        format!(
            "@id(\"errs\") @reason(\"r\") forbid (principal, action == Action::\"{action}\", resource) when {{ {overflow} }};\n"
        )
    };
    for policies in [
        permit("yes", "isolate", "") + &forbid("isolate"),
        permit("yes", "isolate", "") + &forbid("notify"),
        forbid("isolate"),
    ] {
        let decision = Story::new().by(&own(&policies));
        assert_eq!((decision.answer, decision.tell), (Answer::Refused, true), "{policies}");
        let [doubt] = &decision.doubts[..] else { panic!("{:?}", decision.doubts) };
        assert!(
            doubt.starts_with("policy `errs` could not be evaluated: ") && doubt.contains("overflow"),
            "{doubt}"
        );
    }
}

#[test]
fn the_shipped_playbook_reads_as_it_is() {
    let playbook = Playbook::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbook")).unwrap();
    let channels = vec![
        Channel::Folder { name: "mail-folder".into(), path: "cordon-mail".into() },
        Channel::Ses { name: "mail".into(), to: Vec::new() },
    ];
    assert_eq!(playbook.settings, Settings { channels, ..Settings::default() });
    assert!(playbook.lists().is_empty());
    assert!(playbook.policies().is_sorted_by_key(|rule| rule.line));
    let first = &playbook.policies()[0];
    assert_eq!(
        (first.id.as_str(), first.effect, first.reason.as_str()),
        ("isolate-high", Effect::Permit, "the alert is High")
    );
}

#[test]
fn every_commented_setting_is_real_and_shows_its_default() {
    let text = shipped_file("playbook.toml");
    // `# key = value` and `# [[section]]` are settings, other comments are words.
    let is_setting = |line: &str| {
        let body = line.strip_prefix("# ").unwrap_or_default();
        let key = body.split(" = ").next().unwrap_or_default();
        body.starts_with("[[")
            || (body.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let is_sentence = |line: &&str| {
        line.starts_with("# kind = ") && line.split("\" ").nth(1).is_some_and(|rest| !rest.is_empty())
    };
    let lines = text.lines().filter(|line| !is_sentence(line));
    let bare: Vec<&str> =
        lines.map(|line| if is_setting(line) { line.trim_start_matches("# ") } else { line }).collect();
    let playbook = Playbook::parse(&Texts { playbook: &bare.join("\n"), ..Texts::default() })
        .unwrap_or_else(|problems| panic!("{problems}"));
    let defaults = Settings::default();
    assert_eq!(
        (&playbook.settings.poll, &playbook.settings.isolation, &playbook.settings.limits),
        (&defaults.poll, &defaults.isolation, &defaults.limits)
    );
    assert_eq!(playbook.settings.channels.len(), 3);
    assert!(bare.join("\n").contains("\ninterval = "), "the comments were understood");
}

#[test]
fn an_unknown_device_says_why() {
    let device = DeviceFact::Unknown { why: "the service does not know it".into() };
    let decision = Story { device, ..Story::new() }.by(&shipped_with(SETTINGS, ""));
    assert_eq!(decision.doubts, ["the device is not known: the service does not know it"]);
    assert_eq!(ids(&decision.permitted_by), ["isolate-high"]);
}
