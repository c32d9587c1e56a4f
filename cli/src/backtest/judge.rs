//! Judges alerts of the past by `Playbook::decide`, as `respond` does. What is made of the answers is `simulate`'s
//! business.
//!
//! The service keeps no past of an alert or a device: severity, evidence and the device are as they are now. What triage
//! has changed since is turned back in one of the two views.

use super::records::{Place, Records};
use jiff::{SignedDuration, Timestamp};
use model::{
    Alert, AlertFound, AlertId, AlertStatus, Answer, Device, DeviceFact, DeviceId, DeviceRef,
    EvidenceIdentity, FirstSeen, IsolationType, Mode, PolicyNote, one_line,
};
use policy::{Case, Playbook, Surroundings};
use ports::{Announced, Wish};
use std::{collections::HashMap, fs::File, io, num::NonZero, thread};

/// How many alerts are judged before what came of them is counted.
const CHUNK: usize = 2_000;

/// A record of fewer bytes, with fewer unreadable fields, is announced as it is (`Alert::shorten_to`).
const SMALL: usize = 4_000;
const FEW: usize = 20;

/// When, and as what, each alert is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// As each was when it was new: one poll after its creation, before anybody had looked at it.
    AsNew { interval: SignedDuration },
    /// As all of them are now.
    AsItStands,
}

impl View {
    /// When an alert is judged.
    pub(crate) fn at(
        self,
        created: Option<Timestamp>,
        updated: Option<Timestamp>,
        now: Timestamp,
    ) -> Timestamp {
        match self {
            View::AsItStands => now,
            View::AsNew { interval } => {
                let at = created.or(updated).and_then(|at| at.checked_add(interval).ok());
                // What says that it comes from the future is judged now: nobody has seen it then.
                at.unwrap_or(now).min(now)
            }
        }
    }

    pub(crate) fn is_as_it_stands(self) -> bool {
        self == View::AsItStands
    }

    /// In words.
    pub(crate) fn said(self) -> &'static str {
        if self.is_as_it_stands() { "as each alert stands now" } else { "as each alert was when it was new" }
    }

    fn show(self, alert: &mut Alert, at: Timestamp) {
        if self.is_as_it_stands() {
            return;
        }
        // That it says no status, or one that nobody knows, was so from the beginning.
        let is_triaged =
            |status: &AlertStatus| matches!(status, AlertStatus::InProgress | AlertStatus::Resolved);
        if alert.status.as_ref().is_some_and(is_triaged) {
            alert.status = Some(AlertStatus::New);
        }
        alert.classification = None;
        alert.determination = None;
        alert.last_event = alert
            .last_event
            .map(|event| if event > at { at.max(alert.created.unwrap_or(at)) } else { event });
        alert.updated = alert.updated.map(|updated| updated.min(at));
    }
}

/// The devices of the tenant.
pub(crate) type Devices = HashMap<DeviceId, Device>;

/// By what is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial<'a> {
    pub(crate) playbooks: &'a [&'a Playbook],
    pub(crate) devices: &'a Devices,
    pub(crate) view: View,
    pub(crate) mode: Mode,
}

/// What is kept of an alert that was judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) id: AlertId,
    pub(crate) at: Timestamp,
    pub(crate) title: String,
    pub(crate) category: String,
    /// The device that was judged with it, where it is known.
    pub(crate) device: Option<DeviceId>,
    /// The device's name, or what else the alert says of it.
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    /// What the breaker goes by.
    pub(crate) causes: Vec<String>,
    /// By each playbook.
    pub(crate) verdicts: Vec<Verdict>,
}

/// What a playbook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) answer: Answer,
    pub(crate) mode: Mode,
    pub(crate) isolation_type: IsolationType,
    pub(crate) permitted_by: Vec<String>,
    pub(crate) forbidden_by: Vec<String>,
    pub(crate) doubts: Vec<String>,
}

impl Trial<'_> {
    /// Whether an answer depends on what Cordon did before: then alerts can only be judged one after the other.
    fn asks_for_surroundings(&self) -> bool {
        const PATHS: [&str; 3] =
            ["context.isolationsLastHour", "context.isolationsLastDay", "context.openIsolation"];
        self.playbooks.iter().any(|playbook| PATHS.iter().any(|path| playbook.asks_for(path)))
    }

    /// Judges alerts in their order and hands each on.
    pub(crate) fn run<T: Taking>(
        &self,
        records: Records<'_>,
        places: &[Place],
        taking: &mut T,
    ) -> io::Result<()> {
        if self.asks_for_surroundings() {
            let mut file = File::open(records.path)?;
            for place in places {
                let alert = records.read(&mut file, *place)?;
                let device = alert.device.as_ref().and_then(DeviceRef::id);
                let surroundings = taking.surroundings(device, place.at);
                taking.take(self.judge(alert, *place, &surroundings))?;
            }
            return Ok(());
        }
        for chunk in places.chunks(CHUNK) {
            for judged in self.judge_at_once(records, chunk)? {
                taking.take(judged)?;
            }
        }
        Ok(())
    }

    /// Judges alerts on all processors; in their order.
    fn judge_at_once(&self, records: Records<'_>, places: &[Place]) -> io::Result<Vec<Judged>> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let share = places.len().div_ceil(processors).max(1);
        let nothing = vec![Surroundings::default(); self.playbooks.len()];
        let judge = |part: &[Place]| -> io::Result<Vec<Judged>> {
            let mut file = File::open(records.path)?;
            part.iter()
                .map(|place| Ok(self.judge(records.read(&mut file, *place)?, *place, &nothing)))
                .collect()
        };
        let parts = thread::scope(|scope| {
            let threads: Vec<_> = places.chunks(share).map(|part| scope.spawn(|| judge(part))).collect();
            let broken = |_| Err(io::Error::other("a thread that judged has ended by itself"));
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(broken))
                .collect::<io::Result<Vec<_>>>()
        });
        Ok(parts?.into_iter().flatten().collect())
    }

    fn judge(&self, mut alert: Alert, place: Place, surroundings: &[Surroundings]) -> Judged {
        let at = place.at;
        self.view.show(&mut alert, at);
        shorten(&mut alert, place.length);
        let known = alert.device.as_ref().and_then(DeviceRef::id).and_then(|id| self.devices.get(id));
        let device = known.map_or_else(
            || enrich::not_known(alert.device.as_ref()),
            |device| DeviceFact::Known(device.clone()),
        );
        let judge = |(playbook, surroundings): (&&Playbook, &Surroundings)| {
            let case = Case {
                alert: &alert,
                device: &device,
                first_seen: FirstSeen { at, mode: self.mode },
                environment_mode: Some(self.mode),
                surroundings: *surroundings,
                now: at,
            };
            Verdict::of(playbook.decide(&case))
        };
        let verdicts = self.playbooks.iter().zip(surroundings).map(judge).collect();
        Judged {
            at,
            title: one_line(&alert.title, 100),
            category: one_line(alert.category.as_deref().unwrap_or("without a category"), 40),
            name: name(&alert, known),
            group: known.and_then(|device| device.group.clone()),
            causes: Wish::causes_of(&alert),
            device: known.map(|device| device.id.clone()),
            id: alert.id,
            verdicts,
        }
    }
}

/// Who makes something of what was judged.
pub(crate) trait Taking {
    /// What surrounds an alert on this device at this time, for each playbook.
    fn surroundings(&mut self, device: Option<&DeviceId>, at: Timestamp) -> Vec<Surroundings>;
    fn take(&mut self, judged: Judged) -> io::Result<()>;
}

impl Verdict {
    fn of(decision: model::Decision) -> Verdict {
        let ids = |notes: Vec<PolicyNote>| notes.into_iter().map(|note| note.id).collect();
        Verdict {
            answer: decision.answer,
            mode: decision.mode,
            isolation_type: decision.isolation_type,
            permitted_by: ids(decision.permitted_by),
            forbidden_by: ids(decision.forbidden_by),
            doubts: decision.doubts,
        }
    }
}

/// What `poll` announces of an alert is what is judged. `length`: of the record, in bytes.
fn shorten(alert: &mut Alert, length: usize) {
    // There is nothing to shorten in a small record, and finding that out takes as long as judging.
    if length < SMALL && alert.unreadable.len() < FEW {
        return;
    }
    let pieces = EvidenceIdentity::all(alert).len().min(Announced::MAX_EVIDENCE);
    AlertFound::shorten(alert, pieces);
}

fn name(alert: &Alert, device: Option<&Device>) -> String {
    let name = device.and_then(|device| device.name.as_deref()).or(alert.device_name.as_deref());
    let name = one_line(name.unwrap_or_default(), 60);
    if name.is_empty() { "without a name".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + 60 * minutes).unwrap()
    }

    fn resolved() -> Alert {
        let alert = defender::bodies::alert(br#"{"id":"da1_1","title":"A","status":"Resolved","classification":"FalsePositive","determination":"Clean"}"#);
        Alert { created: Some(at(0)), last_event: Some(at(300)), updated: Some(at(400)), ..alert.unwrap() }
    }

    #[test]
    fn as_new_is_one_poll_after_its_creation_and_before_triage() {
        let view = View::AsNew { interval: SignedDuration::from_mins(1) };
        let mut alert = resolved();
        let judged_at = view.at(alert.created, alert.updated, at(500));
        assert_eq!(judged_at, at(1));
        view.show(&mut alert, judged_at);
        assert_eq!(alert.status, Some(AlertStatus::New));
        assert_eq!((alert.classification, alert.determination), (None, None));
        assert_eq!((alert.last_event, alert.updated), (Some(at(1)), Some(at(1))));
        assert_eq!(view.at(Some(at(900)), None, at(500)), at(500), "nothing is judged in the future");
    }

    #[test]
    fn as_it_stands_is_now_and_as_it_is() {
        let mut alert = resolved();
        let before = alert.clone();
        assert_eq!(View::AsItStands.at(alert.created, alert.updated, at(500)), at(500));
        View::AsItStands.show(&mut alert, at(500));
        assert_eq!(alert, before);
    }
}
