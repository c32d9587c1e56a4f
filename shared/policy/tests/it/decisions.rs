//! How a decision comes about, where a case as data cannot say it: by policies, settings and times of their own.
//!
//! What the shipped playbook decides about one alert after another stands in `playbook/cases`.

use crate::{SETTINGS, Story, ids, now, own, shipped_file, shipped_with};
use jiff::SignedDuration;
use model::{Answer, DeviceFact, IsolationType, Mode};
use policy::{Channel, ChannelKind, Effect, Playbook, Settings, Texts};
use std::path::Path;

#[test]
fn what_cannot_be_put_to_the_policies_at_all_is_refused() {
    let story = Story::new().alert(|alert| alert.updated = Some("-000500-01-01T00:00:00Z".parse().unwrap()));
    let decision = story.by(&shipped_with(SETTINGS, ""));
    assert_eq!((decision.answer, decision.tell), (Answer::Refused, true));
    assert!(decision.doubts[0].contains("could not be put to the policies"), "{:?}", decision.doubts);
}

#[test]
fn what_an_attacker_writes_cannot_act_on_a_terminal() {
    let story = Story::new().platform("\u{1b}[2JWindows11\u{202e}\n");
    let doubts = story.by(&shipped_with(SETTINGS, "")).doubts;
    assert_eq!(doubts, ["the device's platform `[2JWindows11` is not known"]);
}

const LIST: &str = "[[lists]]\nname = \"crown-jewels\"\nowner = \"ops\"\nreview_by = 2026-11-20\n";

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
        Channel::new("mail-folder", ChannelKind::Folder { path: "cordon-mail".into() }),
        Channel::new("mail", ChannelKind::Ses { to: Vec::new() }),
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
    assert_eq!(playbook.settings.channels.len(), 2);
    assert!(bare.join("\n").contains("\ninterval = "), "the comments were understood");
}

#[test]
fn an_unknown_device_says_why() {
    let device = DeviceFact::Unknown { why: "the service does not know it".into() };
    let decision = Story { device, ..Story::new() }.by(&shipped_with(SETTINGS, ""));
    assert_eq!(decision.doubts, ["the device is not known: the service does not know it"]);
    assert_eq!(ids(&decision.permitted_by), ["isolate-high"]);
}
