//! Outcomes for the tests: one alert on one device, in every answer and state.

use jiff::Timestamp;
use model::{
    ActionTaken, Alert, Answer, Body, Decision, Device, DeviceFact, DeviceRef, Effect, EffectState, Envelope,
    Evidence, EvidenceIdentity, Hunted, IsolationType, MessageId, Mode, Notice, PolicyNote, Revision,
    Severity, Table, TenantId, Topic, User,
};

pub(crate) const PORTAL: &str = "https://security.microsoft.com";

pub(crate) fn now() -> Timestamp {
    "2026-11-20T10:05:00Z".parse().unwrap()
}

fn time(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

pub(crate) fn device() -> Device {
    Device {
        id: "1e5bc9d7e413ddd7902c2932e418702b84d0cc07".parse().unwrap(),
        name: Some("laptop-7".into()),
        os_platform: Some("Windows11".into()),
        os_version: Some("24H2".into()),
        tags: Some(vec!["finance".into(), "berlin".into()]),
        group: Some("Laptops EU".into()),
        value: Some("High".into()),
        health: Some("Active".into()),
        risk: None,
        exposure: None,
        onboarding: None,
        merged_into: None,
        first_seen: None,
        last_seen: time("2026-11-20T08:00:00Z"),
        last_ip: None,
        unreadable: vec![],
    }
}

pub(crate) fn alert() -> Alert {
    Alert {
        id: "da637472900382838869_1364969609".parse().unwrap(),
        incident_id: Some("1126093".into()),
        severity: Some(Severity::High),
        status: None,
        classification: None,
        determination: None,
        category: Some("Ransomware".into()),
        detection_source: Some("WindowsDefenderAtp".into()),
        detector_id: None,
        title: "Suspicious encryption of files".into(),
        description: None,
        created: time("2026-11-20T10:00:00.1234567Z"),
        first_event: None,
        last_event: time("2026-11-20T09:58:30Z"),
        updated: None,
        device: Some(DeviceRef::Id(device().id)),
        device_name: Some("laptop-7".into()),
        device_group: None,
        threat_family: None,
        threat_name: None,
        techniques: vec!["T1486".into(), "T1059.001".into()],
        user: Some(User { name: "alice".into(), domain: Some("CONTOSO".into()) }),
        evidence: vec![process(), address()],
        evidence_truncated: false,
        unreadable: vec![],
        hunted: None,
    }
}

pub(crate) fn process() -> Evidence {
    Evidence {
        kind: "Process".into(),
        file_name: Some("powershell.exe".into()),
        process_id: Some(4312),
        command_line: Some("powershell.exe -nop -Password hunter2 http://evil.example/a".into()),
        parent_file_name: Some("winword.exe".into()),
        parent_process_id: Some(212),
        folder: Some("C:\\Windows\\System32".into()),
        sha256: Some("a".repeat(64)),
        ..Evidence::default()
    }
}

fn address() -> Evidence {
    Evidence { kind: "Ip".into(), ip_address: Some("192.0.2.4".into()), ..Evidence::default() }
}

/// An outcome of the sample alert on the sample device.
pub(crate) fn taken(answer: Answer, mode: Mode, state: Option<EffectState>) -> ActionTaken {
    let alert = alert();
    let revision = Revision::of(&alert, &EvidenceIdentity::all(&alert));
    let note = |id: &str, reason: &str| PolicyNote { id: id.into(), reason: reason.into() };
    let stopped = answer == Answer::Refused;
    let asked = state.is_some_and(|state| {
        !matches!(
            state,
            EffectState::Observed
                | EffectState::Proposed
                | EffectState::Refused
                | EffectState::Claimed
                | EffectState::Adopted
                | EffectState::Held
        )
    });
    ActionTaken {
        alert,
        revision,
        device: DeviceFact::Known(device()),
        decision: Decision {
            answer,
            mode,
            isolation_type: IsolationType::Full,
            permitted_by: if answer == Answer::None {
                vec![]
            } else {
                vec![note("isolate-high", "the alert is High")]
            },
            forbidden_by: if stopped { vec![note("no-servers", "it is a server")] } else { vec![] },
            doubts: if stopped { vec!["the device was read 3 hours ago".into()] } else { vec![] },
            tell: true,
            reasoning: model::Reasoning::default(),
        },
        effect: Effect::Isolate,
        state,
        notes: vec![],
        claim: asked.then(|| "c0ffee".parse().unwrap()),
        action: asked.then(|| "5382f7ea-7557-4ab7-9782-d50480024a4e".parse().unwrap()),
    }
}

pub(crate) fn requested() -> ActionTaken {
    taken(Answer::Isolate, Mode::Enforce, Some(EffectState::Requested))
}

/// A release of the device, in this state.
pub(crate) fn release(state: EffectState) -> ActionTaken {
    ActionTaken { effect: Effect::Release, ..taken(Answer::Isolate, Mode::Enforce, Some(state)) }
}

pub(crate) const STATES: [EffectState; 15] = [
    EffectState::Claimed,
    EffectState::Requesting,
    EffectState::Requested,
    EffectState::Pending,
    EffectState::Succeeded,
    EffectState::Failed,
    EffectState::TimedOut,
    EffectState::Cancelled,
    EffectState::Adopted,
    EffectState::Unknown,
    EffectState::Refused,
    EffectState::Observed,
    EffectState::Proposed,
    EffectState::Held,
    EffectState::Released,
];

/// A notice about the sample device; what a hunt has found is about none.
pub(crate) fn notice(topic: Topic) -> Notice {
    let is_found = matches!(topic, Topic::HuntFound { .. });
    let device = Some(device()).filter(|_| !is_found);
    Notice {
        topic,
        device: device.as_ref().map(|device| device.id.clone()),
        device_name: device.and_then(|device| device.name),
        facts: vec!["anna@contoso.com at 10:01: too many at once".into()],
        table: is_found.then(table),
    }
}

pub(crate) const HUNT: &str = "remote-tools";

pub(crate) fn found() -> Topic {
    Topic::HuntFound { hunt: HUNT.into() }
}

/// What a hunt has found: two rows, and three more.
pub(crate) fn table() -> Table {
    let row = |row: [&str; 4]| row.map(str::to_owned).to_vec();
    Table {
        columns: row(["Timestamp", "DeviceName", "RemoteUrl", "InitiatingProcessCommandLine"]),
        rows: vec![
            row(["2026-11-20T10:00:00Z", "laptop-7", "evil.example", "tool.exe --password hunter2"]),
            row(["2026-11-20T10:01:00Z", "laptop-8", "", "tool.exe -quiet"]),
        ],
        more: 3,
    }
}

/// An alert of Cordon's own: what a hunt has found on the sample device.
pub(crate) fn hunted(mut taken: ActionTaken) -> ActionTaken {
    taken.alert.id = "hunt-remote-tools-0123456789abcdef".parse().unwrap();
    taken.alert.incident_id = None;
    taken.alert.detection_source = Some(Hunted::SOURCE.into());
    taken.alert.detector_id = Some(HUNT.into());
    taken.alert.hunted = Some(Hunted { hunt: HUNT.into(), may_isolate: true });
    taken
}

/// Every topic, an order in every state among them.
pub(crate) fn topics() -> Vec<Topic> {
    let effects = [Effect::Isolate, Effect::Release];
    let ordered = effects.into_iter().flat_map(|effect| STATES.map(|state| Topic::Ordered { effect, state }));
    [
        Topic::Holding,
        Topic::BreakerOpen,
        Topic::BreakerClosed,
        Topic::LimitRaised,
        Topic::Paused,
        Topic::Resumed,
        Topic::AlienAction,
        Topic::HeldExpired,
        Topic::Stuck,
        Topic::ReleaseSoon,
        Topic::StillIsolated,
        Topic::LateAlerts,
        Topic::ClockWrong,
        found(),
        Topic::HuntBroken { hunt: HUNT.into() },
        Topic::HuntOverdue { hunt: HUNT.into() },
        Topic::HuntCrowded { hunt: HUNT.into() },
        Topic::HuntNotMade { hunt: HUNT.into() },
    ]
    .into_iter()
    .chain(ordered)
    .collect()
}

pub(crate) fn tenant() -> TenantId {
    "11111111-2222-3333-4444-555555555555".parse().unwrap()
}

pub(crate) fn envelope<B: Body>(body: B) -> Envelope<B> {
    Envelope::new(&tenant(), &["case", "1"], "trace", "2026-11-20T10:01:00Z".parse().unwrap(), body)
}

pub(crate) fn mail(taken: &ActionTaken) -> notify::Mail {
    let id: MessageId = "action-taken-0123456789abcdef0123456789abcdef".parse().unwrap();
    notify::render(taken, PORTAL, "2026-11-20T10:01:00Z".parse().unwrap(), &id)
}

pub(crate) fn notice_mail(notice: &Notice) -> notify::Mail {
    let id: MessageId = "notice-0123456789abcdef0123456789abcdef".parse().unwrap();
    notify::render_notice(notice, PORTAL, "2026-11-20T10:01:00Z".parse().unwrap(), &id)
}
