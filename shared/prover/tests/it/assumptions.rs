//! What the prover takes for granted is what the real code does: whatever alert, device, clock and settings there are,
//! what `Playbook::decide` puts before the policies meets every assumption. A false one would make the proof worthless.
//! That they leave room for anything at all shows in the shipped playbook's proof: no policy there is dead under them.

use jiff::{Timestamp, tz::TimeZone};
use model::{
    Alert, AlertStatus, Classification, Decision, Device, DeviceFact, FirstSeen, Hunted, Mode, Onboarding,
    Severity, Side, User,
};
use policy::{Case, Playbook, Surroundings, Texts};
use proptest::prelude::*;
use proptest::{collection::vec, option, sample::select};
use std::sync::LazyLock;

/// A policy that permits everything but what cannot be, under the extremes of what a playbook can set.
static PLAYBOOKS: LazyLock<Vec<Playbook>> = LazyLock::new(|| {
    let permit = "@id(\"all\") @reason(\"all\") permit (principal, action, resource);\n";
    let policy = format!("{permit}{}", prover::ASSUMPTIONS);
    let of = |act_within: &str, zone: &str| {
        let playbook = format!("time_zone = \"{zone}\"\n[isolation]\nact_within = \"{act_within}\"\n");
        Playbook::parse(&Texts { playbook: &playbook, policy: &policy, ..Texts::default() })
            .unwrap_or_else(|problems| panic!("{problems}"))
    };
    vec![
        of("1m", "UTC"),
        of("7d", "Pacific/Kiritimati"),
        of("4h", "Asia/Kathmandu"),
        of("90m", "America/St_Johns"),
    ]
});

const WORDS: [&str; 24] = [
    "",
    " ",
    "High",
    "high",
    "HIGH",
    "Medium",
    "Low",
    "Informational",
    "UnSpecified",
    "Unspecified",
    "Critical",
    "New",
    "Resolved",
    "Unknown",
    "FalsePositive",
    "Windows11",
    "WindowsServer2022",
    "Linux",
    "macOS",
    "AmigaOS",
    "Onboarded",
    "CustomDetection",
    "workstation",
    "ß\u{202e}\0",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(WORDS.as_slice()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Any moment that can be named at all, those before our calendar begins included.
fn time() -> impl Strategy<Value = Timestamp> {
    let edges = [
        "0000-01-01T00:00:00Z",
        "-000001-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00Z",
        "9999-12-30T21:59:59Z",
    ]
    .map(|text| text.parse::<Timestamp>().unwrap());
    prop_oneof![
        1 => select(vec![edges[0], edges[1], edges[2], edges[3], Timestamp::MIN, Timestamp::MAX]),
        1 => (Timestamp::MIN.as_second()..Timestamp::MAX.as_second(), 0..1_000_000_000_i32)
            .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap_or(Timestamp::MAX)),
        6 => (0..4_102_444_800_i64, 0..1_000_000_000_i32)
            .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap()),
    ]
}

fn alert() -> impl Strategy<Value = Alert> {
    let texts = vec(option::of(word()), 11);
    (word(), texts, vec(option::of(time()), 4), vec(word(), 0..3), any::<[bool; 2]>()).prop_map(
        |(title, mut texts, times, techniques, [truncated, may_isolate])| {
            let mut text = || texts.pop().flatten();
            let json = serde_json::json!({
                "id": "da637472900382838869_1364969609", "title": title, "techniques": techniques, "evidence": [],
            });
            let mut alert: Alert = serde_json::from_value(json).unwrap();
            alert.severity = text().as_deref().map(Severity::from);
            alert.status = text().as_deref().map(AlertStatus::from);
            alert.classification = text().as_deref().map(Classification::from);
            alert.determination = text();
            alert.category = text();
            alert.detection_source = text();
            alert.threat_family = text();
            alert.device_group = text();
            alert.user = text().map(|name| User { name, domain: text() });
            alert.hunted = text().map(|hunt| Hunted { hunt, may_isolate });
            [alert.created, alert.first_event, alert.last_event, alert.updated] =
                [times[0], times[1], times[2], times[3]];
            alert.evidence_truncated = truncated;
            alert
        },
    )
}

fn device() -> impl Strategy<Value = DeviceFact> {
    let known = (vec(option::of(word()), 8), vec(option::of(time()), 2), option::of(vec(word(), 0..3)))
        .prop_map(|(mut texts, times, tags)| {
            let mut text = || texts.pop().flatten();
            let json = serde_json::json!({"id": "1e5bc9d7e413ddd7902c2932e418702b84d0cc07"});
            let mut device: Device = serde_json::from_value(json).unwrap();
            device.os_platform = text();
            device.onboarding = text().as_deref().map(Onboarding::from);
            [device.name, device.os_version, device.group, device.health, device.merged_into] =
                [text(), text(), text(), text(), text()];
            [device.first_seen, device.last_seen] = [times[0], times[1]];
            device.tags = tags;
            DeviceFact::Known(device)
        });
    prop_oneof![5 => known, 1 => Just(DeviceFact::Unknown { why: "it is not known".to_owned() })]
}

fn surroundings() -> impl Strategy<Value = Surroundings> {
    let count = || option::of(prop_oneof![Just(0), Just(u32::MAX), any::<u32>()]);
    (option::of(time()), count(), count(), option::of(any::<bool>())).prop_map(|(read, hour, day, open)| {
        Surroundings {
            alert_read: read,
            device_read: read,
            isolations_last_hour: hour,
            isolations_last_day: day,
            open_isolation: open,
        }
    })
}

/// Whether a moment can be written with a year of four digits.
fn can_be_put(at: Option<Timestamp>) -> bool {
    at.is_none_or(|at| (0..=9999).contains(&at.to_zoned(TimeZone::UTC).year()))
}

/// Every assumption holds for what was put before the policies; where nothing could be put, nothing was asked.
fn assert_meets_the_assumptions(decision: &Decision, times_are_fine: bool) -> Result<(), TestCaseError> {
    let spoke = &decision.reasoning.spoke;
    if !times_are_fine {
        prop_assert!(spoke.is_empty() && decision.doubts[0].contains("could not be put"), "{decision:?}");
        return Ok(());
    }
    let against: Vec<_> = spoke.iter().filter(|one| one.side != Side::Permit).collect();
    prop_assert!(against.is_empty(), "{against:?}\n{decision:?}");
    prop_assert_eq!(spoke.len(), 3, "the permit spoke for every action: {:?}", decision);
    prop_assert!(!decision.doubts.iter().any(|doubt| doubt.contains("could not be")), "{decision:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_put_before_a_policy_meets_every_assumption(
        (alert, device, surroundings) in (alert(), device(), surroundings()),
        now in time(),
        modes in any::<[bool; 2]>(),
        playbook in 0..4_usize,
    ) {
        let [seen, mode] = modes.map(|enforces| if enforces { Mode::Enforce } else { Mode::Observe });
        let case = Case {
            alert: &alert,
            device: &device,
            first_seen: FirstSeen { at: now, mode: seen },
            environment_mode: Some(mode),
            surroundings,
            now,
        };
        let mut times = vec![Some(now), alert.created, alert.first_event, alert.last_event, alert.updated];
        if let DeviceFact::Known(device) = &device {
            times.extend([device.first_seen, device.last_seen, surroundings.device_read]);
        }
        let fine = times.into_iter().all(can_be_put);
        assert_meets_the_assumptions(&PLAYBOOKS[playbook].decide(&case), fine)?;
    }
}
