//! What people read that is not the outcome of an alert: each topic in its own words.

use crate::{
    mails::{first_line, say_the_same},
    samples::{HUNT, PORTAL, found, notice, notice_mail, topics},
};
use model::{Effect, EffectState, Notice, Topic};

const DEVICE: &str = "1e5bc9d7e413ddd7902c2932e418702b84d0cc07";

/// The mail of a notice that is about no device.
fn bare(topic: Topic) -> notify::Mail {
    notice_mail(&Notice { device: None, device_name: None, ..notice(topic) })
}

#[test]
fn a_whole_notice() {
    let expected = r#"
Cordon holds isolations back: they wait for a person.

Look now · isolations are held

WHAT HAPPENED
  A limit, an open breaker or a pause stands against what the policy would do;
  which one is named under What is known.
  This is said once for each of them, and again after an hour: more may be
  held by now. The devices concerned are connected. What is held for 24 hours
  is given up.

WHAT IS KNOWN
  - anna@contoso[.]com at 10:01: too many at once

WHAT TO DO NEXT
  See what is held, the most severe first:
    cordon held
  Judge whether this is an attack or the mistake of a rule.
  If a limit holds it back, raise the limit for a while:
    cordon limits raise --to N --for 1h --comment "…"
  If a breaker is open, look at its alerts first, then close it by the name
  that `cordon limits` gives:
    cordon limits close "BREAKER" --comment "…"
  If Cordon is paused:
    cordon resume --comment "…"
  Then let what is real go on, which is judged anew, and drop the rest:
    cordon held run ALERT_ID --comment "…"
    cordon held drop ALERT_ID --comment "…"

NOTICE
  As of       2026-11-20 10:01:00 UTC

-- 
Give commands where Cordon runs; for a deployment, add --stack and its name.
Sent by Cordon, automated response for Microsoft Defender for Endpoint
(message notice-0123456789abcdef0123456789abcdef).
"#;
    let mail = bare(Topic::Holding);
    assert_eq!(mail.text, expected.trim_start());
    assert_eq!(mail.subject, "[Cordon] 0 Look now · isolations are held");
}

#[test]
fn a_notice_about_a_device_names_it_and_leads_to_it() {
    let expected = r#"
Somebody acts with Cordon's app: Defender shows a machine action that Cordon
  did not ask for.

Look now · a machine action that Cordon does not know

  Device      laptop-7

WHAT HAPPENED
  The app's secret may be in other hands. Or a second Cordon uses the same
  app, or the state was lost or replaced. Cordon has paused itself.

WHAT IS KNOWN
  - anna@contoso[.]com at 10:01: too many at once

WHAT TO DO NEXT
  Unless you can explain it at once, take the permission Machine.Isolate away
  from the app in Entra, and delete its secrets. Then look at the device's
  action center.
  If the device was cut off by it and should not be:
    cordon release 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --comment "…"
  Resume only when you know what it was:
    cordon status
    cordon resume --comment "…"

IN THE PORTAL
  Device      https://security.microsoft.com/machines/1e5bc9d7e413ddd7902c2932e418702b84d0cc07

NOTICE
  Name        laptop-7
  Device id   1e5bc9d7e413ddd7902c2932e418702b84d0cc07
  As of       2026-11-20 10:01:00 UTC

-- 
"#;
    let mail = notice_mail(&notice(Topic::AlienAction));
    let (text, _) = mail.text.split_once("Give commands").unwrap();
    assert_eq!(text, expected.trim_start());
    assert_eq!(mail.subject, "[Cordon] 0 Look now · a machine action that Cordon does not know · laptop-7");
    let unnamed = notice_mail(&Notice { device_name: None, ..notice(Topic::AlienAction) });
    assert!(unnamed.subject.ends_with(&format!(" · {DEVICE}")), "{}", unnamed.subject);
}

#[test]
fn every_topic_is_told_in_its_own_words() {
    let cases = [
        (
            Topic::Holding,
            "0 Look now · isolations are held",
            "Cordon holds isolations back: they wait for a person.",
            "cordon held run ALERT_ID",
        ),
        (
            Topic::BreakerOpen,
            "0 Look now · breaker open",
            "A breaker has opened: one detector or title wants too many devices isolated.",
            "cordon limits close \"BREAKER\"",
        ),
        (
            Topic::BreakerClosed,
            "9 For your information · breaker closed",
            "A breaker was closed: Cordon isolates again for this detector or title.",
            "cordon held run ALERT_ID",
        ),
        (
            Topic::LimitRaised,
            "9 For your information · limits raised",
            "The limits were raised: Cordon may isolate more devices for a while.",
            "cordon limits",
        ),
        (
            Topic::Paused,
            "0 Look now · paused",
            "Cordon is paused: it isolates nothing until a person resumes it.",
            "cordon resume",
        ),
        (
            Topic::Resumed,
            "9 For your information · resumed",
            "Cordon was resumed: it isolates again.",
            "cordon held",
        ),
        (
            Topic::AlienAction,
            "0 Look now · a machine action that Cordon does not know",
            "Somebody acts with Cordon's app: Defender shows a machine action that Cordon did not ask for.",
            "cordon resume",
        ),
        (
            Topic::HeldExpired,
            "0 Look now · held cases given up",
            "Cordon gave up isolations that were held: nobody has let them go on in time.",
            "cordon isolate DEVICE_ID --alert ALERT_ID",
        ),
        (
            Topic::Stuck,
            "0 Look now · something is stuck",
            "Something in Cordon does not move on as it should.",
            "cordon dead-letters",
        ),
        (
            Topic::ReleaseSoon,
            "9 For your information · about to be released",
            "Cordon is about to release a device: its time of isolation is nearly over.",
            "",
        ),
        (
            Topic::StillIsolated,
            "0 Look now · still isolated after its release",
            "The release of a device was reported as done, and yet it seems to be isolated.",
            "",
        ),
        (
            Topic::LateAlerts,
            "0 Look now · alerts were found late",
            "Cordon found alerts late: they became visible after the time in which it looks for them.",
            "cordon explain ALERT_ID",
        ),
        (
            Topic::ClockWrong,
            "0 Look now · the clock is wrong",
            "The clock where Cordon runs and Defender's are more than five minutes apart.",
            "cordon status",
        ),
        (
            found(),
            "9 For your information · hunt remote-tools: 5 rows",
            "The hunt `remote-tools` has found 5 rows that it had not found before.",
            "cordon hunt remote-tools --since 24h",
        ),
        (
            Topic::HuntBroken { hunt: HUNT.into() },
            "0 Look now · hunt remote-tools is broken",
            "The hunt `remote-tools` cannot be run as it is written: it finds nothing until a person has mended it.",
            "cordon hunts",
        ),
        (
            Topic::HuntOverdue { hunt: HUNT.into() },
            "0 Look now · hunt remote-tools is overdue",
            "The hunt `remote-tools` has not come to its end for much longer than its schedule says.",
            "cordon hunts",
        ),
        (
            Topic::HuntCrowded { hunt: HUNT.into() },
            "0 Look now · hunt remote-tools finds too much",
            "The hunt `remote-tools` finds more than one run makes known: the rest follows, run by run.",
            "cordon hunt remote-tools --since 24h",
        ),
        (
            Topic::HuntNotMade { hunt: HUNT.into() },
            "0 Look now · hunt remote-tools: an alert may be missing",
            "The hunt `remote-tools` has found something, and it is not known that Defender has made an alert of it.",
            "cordon hunt remote-tools --since 24h",
        ),
    ];
    for (topic, phrase, headline, command) in cases {
        let mail = bare(topic);
        assert_eq!(mail.subject, format!("[Cordon] {phrase}"));
        assert_eq!(first_line(&mail.text), headline);
        assert!(mail.text.contains(&format!("\n    {command}")) || command.is_empty(), "{}", mail.text);
        assert!(mail.text.contains("WHAT IS KNOWN\n  - anna@contoso[.]com at 10:01"), "{}", mail.text);
        assert!(!mail.text.contains(PORTAL), "there is nothing to lead to: {}", mail.text);
    }
}

#[test]
fn an_order_is_told_in_the_words_of_its_state() {
    use EffectState::{Failed, Pending, Released, Requested, Succeeded, TimedOut};
    let cases = [
        (
            Effect::Isolate,
            Succeeded,
            "9 For your information · isolation succeeded",
            "laptop-7 is isolated: Defender reports that the isolation succeeded.",
            "cordon release",
        ),
        (
            Effect::Isolate,
            TimedOut,
            "0 Look now · isolation timed out",
            "The isolation of laptop-7 timed out: Defender has given up.",
            "cordon isolate",
        ),
        (
            Effect::Release,
            Requested,
            "9 For your information · release requested",
            "Cordon asked for the release of laptop-7, and Defender accepted the request.",
            "",
        ),
        (
            Effect::Release,
            Pending,
            "9 For your information · release pending",
            "The release of laptop-7 is still pending: it is not known to have its network back.",
            "",
        ),
        (
            Effect::Release,
            Failed,
            "0 Look now · release failed",
            "The release of laptop-7 failed.",
            "cordon release",
        ),
        (
            Effect::Release,
            Released,
            "9 For your information · released",
            "laptop-7 is released: Defender reports that its isolation has ended.",
            "cordon isolate",
        ),
    ];
    for (effect, state, phrase, headline, command) in cases {
        let mail = notice_mail(&notice(Topic::Ordered { effect, state }));
        assert_eq!(mail.subject, format!("[Cordon] {phrase} · laptop-7"));
        assert_eq!(first_line(&mail.text), headline);
        assert!(mail.text.contains("This was ordered by a person or by the timer"), "{}", mail.text);
        let command = format!("\n    {command} {DEVICE} ");
        assert!(mail.text.contains(&command) || command.starts_with("\n     "), "{}", mail.text);
    }
}

#[test]
fn no_order_is_told_in_better_words_than_it_deserves() {
    for topic in topics() {
        let Topic::Ordered { effect, state } = topic else { continue };
        let text = notice_mail(&notice(topic)).text;
        let done = match effect {
            Effect::Isolate => ("laptop-7 is isolated", state == EffectState::Succeeded),
            Effect::Release => {
                let through = matches!(state, EffectState::Succeeded | EffectState::Released);
                assert_eq!(text.contains("Treat the device as cut off"), !through, "{text}");
                ("laptop-7 is released", through)
            }
        };
        assert_eq!(text.contains(done.0), done.1, "{text}");
    }
}

#[test]
fn both_parts_of_a_notice_say_the_same() {
    for topic in topics() {
        let mut notice = notice(topic);
        notice.facts = vec!["<b>one</b> & \"two\"".into(), "three".into()];
        say_the_same(&notice_mail(&notice));
    }
}

/// What is known stands before what to do next, and after what happened: it is named, not pointed at.
#[test]
fn no_words_of_a_notice_lead_to_a_place_above_or_below() {
    let failing = Topic::ChannelFailing { channel: "cards".to_owned() };
    for topic in topics().into_iter().chain([failing]) {
        let text = notice_mail(&notice(topic)).text.replace("\n", " ");
        assert!(!text.contains("below") && !text.contains("above"), "{text}");
    }
}

#[test]
fn a_failing_channel_is_named_in_the_subject_and_in_the_command() {
    let mail = bare(Topic::ChannelFailing { channel: "cards".to_owned() });
    assert_eq!(mail.subject, "[Cordon] 0 Look now · a channel takes nothing: cards");
    assert_eq!(first_line(&mail.text), "The channel `cards` does not take what people are to be told.");
    for command in ["cordon notify-test cards", "cordon dead-letters redrive ID"] {
        assert!(mail.text.contains(&format!("\n    {command}\n")), "{}", mail.text);
    }
    let bad = bare(Topic::ChannelFailing { channel: "x; reboot".to_owned() });
    assert!(bad.text.contains("\n    cordon notify-test CHANNEL\n"), "{}", bad.text);
}

#[test]
fn many_facts_are_cut_and_said_to_be() {
    let mut notice = notice(Topic::HeldExpired);
    notice.facts = (0..100).map(|number| format!("fact {number} {}", "x".repeat(1_000))).collect();
    let text = notice_mail(&notice).text;
    assert!(text.contains("  - and 80 more\n") && !text.contains("fact 20 "), "{text}");
    assert!(text.len() < 20_000, "{} bytes", text.len());
}
