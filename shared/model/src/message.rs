//! The messages that cross queues, and the envelope around each.
//!
//! A reader ignores fields that it does not know and accepts every version that ever shipped (`fixtures/`); a
//! writer writes only the latest. An optional field may be added without a new version; anything else is one.

use crate::{
    ActionId, Alert, AlertId, ClaimId, Decision, DeviceFact, DeviceId, DeviceRef, Effect, EffectState,
    EvidenceIdentity, IsolationType, MessageId, Mode, Revision, Severity, TenantId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// The most that a message may weigh, in bytes. SQS refuses more than 256 KiB in its oldest limit; what is
/// left is room for attributes and for what later steps add.
pub const MAX_MESSAGE_BYTES: usize = 200_000;

/// What a message says, with its kind and version.
pub trait Body: Serialize + DeserializeOwned {
    /// In kebab case, in the past tense.
    const KIND: &'static str;
    /// The version that is written.
    const VERSION: u16;
}

/// A message with what every message carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<B> {
    pub kind: String,
    pub version: u16,
    /// Deterministic: the same fact announced twice has the same id.
    pub id: MessageId,
    pub tenant: TenantId,
    /// One word for the whole life of one sighting of an alert; on every log line about it.
    pub trace: String,
    pub occurred_at: Timestamp,
    pub body: B,
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// To be left for a newer reader, not set aside: during a deployment there may be one.
    #[error("`{kind}` of version {version} is newer than this reader")]
    Newer { kind: String, version: u16 },
    #[error("a message of kind `{found}` stood where `{expected}` belongs")]
    WrongKind { found: String, expected: &'static str },
    #[error("the message cannot be read: {what} at `{path}`")]
    Malformed { path: String, what: String },
}

#[derive(Deserialize)]
struct Head {
    kind: String,
    version: u16,
}

impl<B: Body> Envelope<B> {
    /// A message of the latest version. Its id is made of its kind, its tenant and `identity`.
    pub fn new(tenant: &TenantId, identity: &[&str], trace: &str, occurred_at: Timestamp, body: B) -> Self {
        let parts: Vec<&str> = [tenant.as_str()].into_iter().chain(identity.iter().copied()).collect();
        Envelope {
            kind: B::KIND.to_owned(),
            version: B::VERSION,
            id: MessageId::of(B::KIND, &parts),
            tenant: tenant.clone(),
            trace: trace.to_owned(),
            occurred_at,
            body,
        }
    }

    /// The message as it travels. The two characters that JSON allows and SQS does not are escaped: a command
    /// line may hold them, and one such message must not stop the queue.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string(self)?;
        Ok(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
    }

    pub fn decode(text: &str) -> Result<Self, Undecodable> {
        let head: Head = parse(text)?;
        if head.kind != B::KIND {
            return Err(Undecodable::WrongKind { found: crate::one_line(&head.kind, 60), expected: B::KIND });
        }
        if head.version > B::VERSION {
            return Err(Undecodable::Newer { kind: head.kind, version: head.version });
        }
        parse(text)
    }
}

/// The kind that a message says it is of, for a queue that carries more than one. None where it says none.
pub fn kind_of(text: &str) -> Option<String> {
    parse(text).ok().map(|kind: Kind| kind.kind)
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Undecodable> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| Undecodable::Malformed {
        path: crate::one_line(&error.path().to_string(), 200),
        what: crate::one_line(&error.inner().to_string(), 200),
    })
}

/// When and in which mode an alert was first seen: what was first seen while observing is never acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeen {
    pub at: Timestamp,
    pub mode: Mode,
}

/// poll found a revision of an alert that was not announced before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertFound {
    pub alert: Alert,
    pub revision: Revision,
    /// Identities of all evidence known, those included that were cut from `alert` to keep it small.
    pub evidence: BTreeSet<EvidenceIdentity>,
    /// The devices that the alert concerns. Defender's own alerts name at most one.
    pub devices: Vec<DeviceRef>,
    pub first_seen: FirstSeen,
}

/// The most that the alert in an announcement may weigh: room is left for the device that enrich adds, and for the
/// envelope.
const MAX_ALERT_BYTES: usize = MAX_MESSAGE_BYTES - 60_000;

impl AlertFound {
    /// Shortens an alert so that its announcement fits into a message, beside what it says of so many pieces of evidence.
    pub fn shorten(alert: &mut Alert, evidence: usize) {
        alert.shorten_to(MAX_ALERT_BYTES.saturating_sub(40 * evidence));
    }

    /// The announcement of an alert, shortened to fit. The same alert and revision are the same message.
    pub fn announcement(
        tenant: &TenantId,
        mut alert: Alert,
        revision: Revision,
        evidence: BTreeSet<EvidenceIdentity>,
        first_seen: FirstSeen,
        now: Timestamp,
    ) -> Envelope<AlertFound> {
        AlertFound::shorten(&mut alert, evidence.len());
        let trace = format!("{}-{}", alert.id, revision.as_str().get(..10).unwrap_or_default());
        let devices = alert.device.iter().cloned().collect();
        let (id, known) = (alert.id.clone(), revision.clone());
        let body = AlertFound { alert, revision, evidence, devices, first_seen };
        Envelope::new(tenant, &[id.as_str(), known.as_str()], &trace, now, body)
    }
}

impl Body for AlertFound {
    const KIND: &'static str = "alert-found";
    const VERSION: u16 = 1;
}

/// enrich added what is known of one device that the alert concerns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertEnriched {
    pub found: AlertFound,
    /// The device that this message is about; none for an alert that names no device.
    pub about: Option<DeviceRef>,
    pub device: DeviceFact,
    /// When the device was read from the service.
    pub observed_at: Timestamp,
}

impl Body for AlertEnriched {
    const KIND: &'static str = "alert-enriched";
    const VERSION: u16 = 1;
}

/// What became of one alert on one device: a decision, or the next state of what was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionTaken {
    pub alert: Alert,
    pub revision: Revision,
    pub device: DeviceFact,
    pub decision: Decision,
    /// Which effect `state` is about: what was decided is an isolation, and a release may follow it.
    #[serde(default)]
    pub effect: Effect,
    /// The state of the effect; none where nothing was to be done.
    pub state: Option<EffectState>,
    /// What else people should know: the service's words, or whose isolation this one joined.
    #[serde(default)]
    pub notes: Vec<String>,
    #[serde(default)]
    pub claim: Option<ClaimId>,
    #[serde(default)]
    pub action: Option<ActionId>,
}

impl Body for ActionTaken {
    const KIND: &'static str = "action-taken";
    const VERSION: u16 = 1;
}

/// Why an effect is asked for outside the course of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A person lets a held case go on: it is judged anew.
    Held,
    /// `release_after` has passed.
    Timer,
    /// A person orders it.
    Operator,
    /// A person asks once more for what timed out, failed or was cancelled.
    Reissue,
    /// What was done is to be written on the alert.
    Report,
    /// A hunt has found what its file says is an alert of Defender's own.
    Hunt,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    Isolate {
        /// None: as the playbook says.
        isolation_type: Option<IsolationType>,
        /// Also a server, or a device that stands on an asset list.
        even_so: bool,
    },
    Release,
    /// A comment on the alert. `mark` stands in it, and the same mark is never posted twice.
    Comment {
        text: String,
        mark: String,
    },
    /// An alert of Defender's own about an event that a hunt has found.
    CreateAlert(NewAlert),
}

/// What Defender wants to be told of an alert that is made of an event. Source: Microsoft's "Create alert from event API"
/// page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAlert {
    /// When the event was, exactly as the hunt's row has it: the service finds the event by it.
    pub event_time: String,
    /// `ReportId` of the row.
    pub report_id: String,
    /// `Low`, `Medium` or `High`: the service takes no other.
    pub severity: Severity,
    pub title: String,
    pub description: String,
    pub recommended_action: String,
    /// Such as `SuspiciousActivity` or `CredentialAccess`.
    pub category: String,
}

/// Somebody wants an effect: an order, which goes stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectRequested {
    pub wanted: Wanted,
    pub device: DeviceId,
    pub cause: Cause,
    /// The alert on whose account; none where a person names a device alone.
    pub alert: Option<AlertId>,
    /// The claim that it is about; none where it holds for whatever stands. The timer's order must not touch an
    /// isolation that began after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimId>,
    /// Who wants it.
    pub by: String,
    /// Why, in their words.
    pub why: String,
    /// After this time it is not carried out any more.
    pub not_after: Timestamp,
}

impl EffectRequested {
    /// For how long an order holds.
    pub const HOLDS: jiff::SignedDuration = jiff::SignedDuration::from_mins(30);
}

impl Body for EffectRequested {
    const KIND: &'static str = "effect-requested";
    /// 2: with alerts that are to be made.
    const VERSION: u16 = 2;
}

/// What people have to know that is not the outcome of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub topic: Topic,
    /// The device that it is about.
    pub device: Option<DeviceId>,
    /// The device's name, where it is known.
    pub device_name: Option<String>,
    /// What is known, a sentence each. May hold a stranger's words.
    pub facts: Vec<String>,
    /// What a hunt has found, where people are to have it as a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
}

impl Body for Notice {
    const KIND: &'static str = "notice";
    /// 2: with the topics about channels. 3: with those about hunts.
    const VERSION: u16 = 3;
}

/// Rows for people to read. May hold a stranger's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table {
    pub columns: Vec<String>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<String>>,
    /// How many rows more there are, which do not stand here.
    pub more: usize,
}

/// What a notice is about. What is said of each stands in `notify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The first case that a limit, a breaker or a pause holds back; others may follow it without a word.
    Holding,
    /// One detector or title has reached so many devices that a person has to look.
    BreakerOpen,
    BreakerClosed,
    LimitRaised,
    Paused,
    Resumed,
    /// A machine action by Cordon's own app that Cordon did not ask for.
    AlienAction,
    /// How an effect stands that a person or the timer has ordered without an alert.
    Ordered {
        effect: Effect,
        state: EffectState,
    },
    /// Held cases that nobody has let go on in time.
    HeldExpired,
    /// Something that should have moved on has not.
    Stuck,
    /// `release_after` is about to pass.
    ReleaseSoon,
    /// After a release that was reported as done, the device's last machine action says that it is isolated.
    StillIsolated,
    /// Alerts became visible later than the overlap of two polls.
    LateAlerts,
    /// The clock here and the service's are far apart.
    ClockWrong,
    /// A channel does not take what people are to be told, or did not take a message for so long that it was given up.
    /// The other channels are told.
    ChannelFailing {
        channel: String,
    },
    /// A sample, for one channel alone: a person wants to see what arrives.
    Sample {
        channel: String,
    },
    /// What a hunt has found, as a table.
    HuntFound {
        hunt: String,
    },
    /// A hunt is not run any more, because the service refuses its query or its rows lack what the hunt needs.
    HuntBroken {
        hunt: String,
    },
    /// A hunt has not come to an end for much longer than its schedule says.
    HuntOverdue {
        hunt: String,
    },
    /// A hunt finds so much that not all of it was announced at once: the rest follows, run by run.
    HuntCrowded {
        hunt: String,
    },
    /// Defender was to make an alert of what a hunt has found, and did not, or it is not known whether it did.
    HuntNotMade {
        hunt: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, IsolationType, alert::tests::bare};
    use std::path::Path;

    fn tenant() -> TenantId {
        "11111111-2222-3333-4444-555555555555".parse().unwrap()
    }

    fn at() -> Timestamp {
        "2026-11-20T10:00:00.1234567Z".parse().unwrap()
    }

    fn found() -> AlertFound {
        let mut alert = bare("da637472900382838869_1364969609");
        alert.severity = Some(Severity::High);
        alert.created = Some(at());
        let device = DeviceRef::parse("1e5bc9d7e413ddd7902c2932e418702b84d0cc07");
        alert.device = Some(device.clone());
        let evidence = EvidenceIdentity::all(&alert);
        let revision = Revision::of(&alert, &evidence);
        AlertFound {
            alert,
            revision,
            evidence,
            devices: vec![device],
            first_seen: FirstSeen { at: at(), mode: Mode::Enforce },
        }
    }

    fn enriched() -> AlertEnriched {
        let device = DeviceFact::Unknown { why: "the service does not know it".into() };
        let found = found();
        AlertEnriched { about: found.devices.first().cloned(), found, device, observed_at: at() }
    }

    fn taken() -> ActionTaken {
        let decision = Decision {
            answer: Answer::Isolate,
            mode: Mode::Enforce,
            isolation_type: IsolationType::Full,
            permitted_by: vec![crate::PolicyNote { id: "high".into(), reason: "the alert is High".into() }],
            forbidden_by: vec![],
            doubts: vec![],
            tell: true,
            reasoning: crate::Reasoning::default(),
        };
        let found = found();
        ActionTaken {
            alert: found.alert,
            revision: found.revision,
            device: DeviceFact::Unknown { why: "x".into() },
            decision,
            effect: Effect::Isolate,
            state: Some(EffectState::TimedOut),
            notes: vec!["a note".into()],
            claim: Some("c0ffee".parse().unwrap()),
            action: Some("5382f7ea-7557-4ab7-9782-d50480024a4e".parse().unwrap()),
        }
    }

    fn ordered() -> EffectRequested {
        EffectRequested {
            wanted: Wanted::Isolate { isolation_type: Some(IsolationType::Selective), even_so: true },
            device: "1e5bc9d7e413ddd7902c2932e418702b84d0cc07".parse().unwrap(),
            cause: Cause::Operator,
            alert: Some("da637472900382838869_1364969609".parse().unwrap()),
            claim: None,
            by: "anna@contoso.com".into(),
            why: "hands on keyboard".into(),
            not_after: at() + EffectRequested::HOLDS,
        }
    }

    fn notice() -> Notice {
        Notice {
            topic: Topic::Ordered { effect: Effect::Release, state: EffectState::Pending },
            device: Some("1e5bc9d7e413ddd7902c2932e418702b84d0cc07".parse().unwrap()),
            device_name: Some("laptop-7".into()),
            facts: vec!["anna@contoso.com: it is clean".into()],
            table: Some(Table {
                columns: vec!["DeviceName".into()],
                rows: vec![vec!["laptop-7".into()]],
                more: 2,
            }),
        }
    }

    fn check<B: Body + PartialEq + std::fmt::Debug>(body: B) {
        let envelope = Envelope::new(&tenant(), &["x"], "trace", at(), body);
        assert_eq!(Envelope::decode(&envelope.encode().unwrap()).unwrap(), envelope);

        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let latest = folder.join(format!("{}.v{}.json", B::KIND, B::VERSION));
        let text = std::fs::read_to_string(&latest).unwrap_or_else(|_| {
            panic!(
                "{} is missing; it should hold:\n{}",
                latest.display(),
                serde_json::to_string_pretty(&envelope).unwrap()
            )
        });
        assert_eq!(Envelope::decode(&text).unwrap(), envelope, "the latest fixture is what is written today");
        for version in 1..B::VERSION {
            let old = std::fs::read_to_string(folder.join(format!("{}.v{version}.json", B::KIND))).unwrap();
            Envelope::<B>::decode(&old).unwrap();
        }
    }

    #[test]
    fn every_version_that_shipped_still_decodes() {
        check(found());
        check(enriched());
        check(taken());
        check(ordered());
        check(notice());
    }

    /// What is written is read again, whatever it says.
    fn survives<B: Body + PartialEq + std::fmt::Debug>(body: B) {
        let envelope = Envelope::new(&tenant(), &["x"], "trace", at(), body);
        assert_eq!(Envelope::decode(&envelope.encode().unwrap()).unwrap(), envelope);
    }

    #[test]
    fn everything_that_can_be_ordered_or_noticed_survives_the_way() {
        let comment = Wanted::Comment { text: "done\nby us".into(), mark: "[cordon:x]".into() };
        let made = Wanted::CreateAlert(NewAlert {
            event_time: "2026-11-20T10:00:00.1234567Z".into(),
            report_id: "4711".into(),
            severity: Severity::High,
            title: "A title".into(),
            description: "What was found".into(),
            recommended_action: "Look at it".into(),
            category: "Execution".into(),
        });
        for wanted in
            [Wanted::Isolate { isolation_type: None, even_so: false }, Wanted::Release, comment, made]
        {
            survives(EffectRequested { wanted, alert: None, ..ordered() });
        }
        for cause in [Cause::Held, Cause::Timer, Cause::Operator, Cause::Reissue, Cause::Report, Cause::Hunt]
        {
            survives(EffectRequested { cause, ..ordered() });
        }
        for topic in [
            Topic::Holding,
            Topic::AlienAction,
            Topic::StillIsolated,
            Topic::LateAlerts,
            Topic::ClockWrong,
            Topic::ChannelFailing { channel: "mail".into() },
            Topic::Sample { channel: "mail".into() },
            Topic::HuntFound { hunt: "h".into() },
            Topic::HuntBroken { hunt: "h".into() },
            Topic::HuntOverdue { hunt: "h".into() },
            Topic::HuntCrowded { hunt: "h".into() },
            Topic::HuntNotMade { hunt: "h".into() },
        ] {
            survives(Notice { topic, device: None, device_name: None, facts: vec![], table: None });
        }
        survives(ActionTaken { effect: Effect::Release, state: Some(EffectState::Released), ..taken() });
        survives(ActionTaken { state: Some(EffectState::Held), ..taken() });
    }

    #[test]
    fn an_outcome_that_names_no_effect_is_about_an_isolation() {
        let old = include_str!("../fixtures/action-taken.v1.json");
        assert!(!old.contains("\"effect\""), "written before there were releases");
        assert_eq!(Envelope::<ActionTaken>::decode(old).unwrap().body.effect, Effect::Isolate);
    }

    #[test]
    fn the_kind_of_a_message_is_known_before_it_is_read() {
        let mut message =
            serde_json::to_value(Envelope::new(&tenant(), &["x"], "t", at(), notice())).unwrap();
        message["body"] = "something else entirely".into();
        message["version"] = "99".into();
        assert_eq!(kind_of(&message.to_string()).as_deref(), Some("notice"));
        assert_eq!((kind_of("{}"), kind_of("not JSON"), kind_of(r#"{"kind": 7}"#)), (None, None, None));
    }

    #[test]
    fn a_newer_version_is_told_apart_from_garbage() {
        let mut newer = serde_json::to_value(Envelope::new(&tenant(), &["x"], "t", at(), found())).unwrap();
        newer["version"] = 99.into();
        newer["body"] = "something else entirely".into();
        assert!(matches!(
            Envelope::<AlertFound>::decode(&newer.to_string()),
            Err(Undecodable::Newer { version: 99, .. })
        ));
        assert!(matches!(Envelope::<AlertFound>::decode("not JSON"), Err(Undecodable::Malformed { .. })));
        let other = Envelope::new(&tenant(), &["x"], "t", at(), enriched()).encode().unwrap();
        assert!(matches!(Envelope::<AlertFound>::decode(&other), Err(Undecodable::WrongKind { .. })));
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_by_its_path() {
        let mut bad = serde_json::to_value(Envelope::new(&tenant(), &["x"], "t", at(), found())).unwrap();
        bad["body"]["alert"]["title"] = 7.into();
        let error = Envelope::<AlertFound>::decode(&bad.to_string()).unwrap_err().to_string();
        assert!(error.contains("body.alert.title"), "{error}");
    }

    #[test]
    fn a_key_that_a_stranger_chose_is_said_on_one_line() {
        let text =
            format!(r#"{{"kind":"notice","version":1,"body":{{"\u001b[2J\n{}":[}}}}"#, "k".repeat(700));
        let error = Envelope::<Notice>::decode(&text).unwrap_err().to_string();
        assert!(!error.contains(char::is_control) && error.chars().count() < 500, "{error}");
    }

    #[test]
    fn ticks_of_a_hundred_nanoseconds_survive() {
        let text = Envelope::new(&tenant(), &["x"], "t", at(), found()).encode().unwrap();
        assert!(text.contains("10:00:00.1234567Z"), "{text}");
    }

    #[test]
    fn characters_that_a_queue_refuses_are_escaped() {
        let mut body = found();
        body.alert.title = "a\u{fffe}b\u{ffff}c\u{1}".into();
        let envelope = Envelope::new(&tenant(), &["x"], "t", at(), body);
        let text = envelope.encode().unwrap();
        assert!(!text.contains(['\u{fffe}', '\u{ffff}', '\u{1}']), "{text}");
        assert_eq!(Envelope::decode(&text).unwrap(), envelope);
    }

    #[test]
    fn the_same_fact_has_the_same_id() {
        let one = Envelope::new(&tenant(), &["a", "r"], "t", at(), found());
        let two = Envelope::new(&tenant(), &["a", "r"], "u", Timestamp::UNIX_EPOCH, found());
        assert_eq!(one.id, two.id);
    }
}
