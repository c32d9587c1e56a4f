//! What would have become of each answer under the playbook's limits, by the very rules that hold isolations back
//! (`ports::Brakes`): a tenant in which nobody but Cordon acts.
//!
//! Simple rules stand for people: an isolated device is given back after a fixed time; a breaker that opened is closed at
//! the end of the day (UTC); what is held is dropped. Nothing else that respond looks at is played: what people isolated or
//! released themselves is not known here.

use super::judge::{Judged, Verdict};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use model::{Answer, DeviceId, Limits, Mode};
use policy::Surroundings;
use ports::{Brakes, Breaker, Gate, Wish};
use serde::Serialize;
use std::collections::{HashSet, VecDeque};

/// What becomes of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The device is isolated on account of it.
    Isolated,
    /// The device was isolated already, on account of another alert.
    Joined,
    /// A limit or a breaker holds it back.
    Held(Gate),
    /// It would be isolated, but its policy, or everything, is only observed.
    Observed,
    /// A person is asked.
    Proposed,
    /// A person would be asked, but the device is isolated already.
    NotAsked,
    Refused,
    Nothing,
}

impl Fate {
    pub(crate) fn word(&self) -> FateWord {
        match self {
            Fate::Isolated => FateWord::Isolated,
            Fate::Joined => FateWord::Joined,
            Fate::Held(_) => FateWord::Held,
            Fate::Observed => FateWord::Observed,
            Fate::Proposed => FateWord::Proposed,
            Fate::NotAsked => FateWord::NotAsked,
            Fate::Refused => FateWord::Refused,
            Fate::Nothing => FateWord::Nothing,
        }
    }
}

/// The same in a word, in the order in which it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FateWord {
    Isolated,
    Joined,
    Held,
    Observed,
    Proposed,
    NotAsked,
    Refused,
    Nothing,
}

impl FateWord {
    pub(crate) const ALL: [FateWord; 8] = [
        FateWord::Isolated,
        FateWord::Joined,
        FateWord::Held,
        FateWord::Observed,
        FateWord::Proposed,
        FateWord::NotAsked,
        FateWord::Refused,
        FateWord::Nothing,
    ];

    /// What it means, for people.
    pub(crate) fn meaning(self) -> (&'static str, &'static str) {
        match self {
            FateWord::Isolated => ("isolated", "the device is isolated on account of the alert"),
            FateWord::Joined => ("joined", "the device is isolated already: one isolation for both"),
            FateWord::Held => ("held", "a limit or a breaker holds it back until a person decides"),
            FateWord::Observed => ("observed", "it would be isolated, but the mode only observes"),
            FateWord::Proposed => ("proposed", "a person is asked"),
            FateWord::NotAsked => {
                ("not asked", "a person would be asked, but the device is isolated already")
            }
            FateWord::Refused => ("refused", "a policy, a guarantee or a doubt stands against it"),
            FateWord::Nothing => ("nothing", "no policy speaks for doing anything"),
        }
    }
}

/// The tenant under one playbook.
#[derive(Debug)]
pub(crate) struct Simulation<'a> {
    limits: &'a Limits,
    fleet: u64,
    isolated_for: SignedDuration,
    brakes: Brakes,
    /// The devices that are isolated, and until when, the first to be given back first.
    until: VecDeque<(Timestamp, DeviceId)>,
    isolated: HashSet<DeviceId>,
}

impl<'a> Simulation<'a> {
    /// `fleet`: how many devices are onboarded.
    pub(crate) fn new(limits: &'a Limits, fleet: u64, isolated_for: SignedDuration) -> Simulation<'a> {
        let (until, isolated) = (VecDeque::new(), HashSet::new());
        Simulation { limits, fleet, isolated_for, brakes: Brakes::default(), until, isolated }
    }

    /// What Cordon's own state would say for the policies.
    pub(crate) fn surroundings(&mut self, device: Option<&DeviceId>, now: Timestamp) -> Surroundings {
        self.advance(now);
        Surroundings {
            isolations_last_hour: Some(self.brakes.used_in_hour(now)),
            isolations_last_day: Some(self.brakes.used_in_day(now)),
            open_isolation: device.map(|device| self.isolated.contains(device)),
            ..Surroundings::default()
        }
    }

    /// What becomes of an alert; they come in the order of time.
    pub(crate) fn take(&mut self, judged: &Judged, verdict: &Verdict) -> Fate {
        self.advance(judged.at);
        let is_isolated = judged.device.as_ref().is_some_and(|device| self.isolated.contains(device));
        match (verdict.answer, verdict.mode, &judged.device) {
            (Answer::None, ..) => Fate::Nothing,
            (Answer::Propose, ..) if is_isolated => Fate::NotAsked,
            (Answer::Propose, ..) => Fate::Proposed,
            (Answer::Isolate, Mode::Observe, _) => Fate::Observed,
            (Answer::Isolate, Mode::Enforce, Some(_)) if is_isolated => Fate::Joined,
            (Answer::Isolate, Mode::Enforce, Some(device)) => self.cut_off(device, judged),
            // The policy never answers `isolate` for a device that is not known.
            (Answer::Refused, ..) | (Answer::Isolate, Mode::Enforce, None) => Fate::Refused,
        }
    }

    fn cut_off(&mut self, device: &DeviceId, judged: &Judged) -> Fate {
        let now = judged.at;
        let wish = Wish {
            device,
            group: judged.group.as_deref(),
            causes: judged.causes.clone(),
            fleet: Some(self.fleet),
        };
        if let Some(gate) = self.brakes.gate(&wish, self.limits, now) {
            return Fate::Held(gate);
        }
        self.brakes.spend(&wish, now);
        self.brakes.count(1);
        self.isolated.insert(device.clone());
        self.until.push_back((now.checked_add(self.isolated_for).unwrap_or(Timestamp::MAX), device.clone()));
        Fate::Isolated
    }

    /// Gives back what has been isolated for long enough, and closes what opened on an earlier day.
    fn advance(&mut self, now: Timestamp) {
        while let Some((_, device)) = self.until.pop_front_if(|(until, _)| *until <= now) {
            self.isolated.remove(&device);
            self.brakes.count(-1);
        }
        if self.brakes.open.is_empty() {
            return;
        }
        let today = day(now);
        let is_over = |breaker: &&Breaker| day(breaker.since) < today;
        let over: Vec<String> =
            self.brakes.open.iter().filter(is_over).map(|open| open.cause.clone()).collect();
        let midnight = today.to_zoned(TimeZone::UTC).map_or(now, |start| start.timestamp());
        over.iter().for_each(|cause| _ = self.brakes.close(cause, midnight));
    }
}

/// The day in UTC.
pub(crate) fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn at(hours: i64, minutes: i64) -> Timestamp {
        let midnight: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        midnight + SignedDuration::from_mins(60 * hours + minutes)
    }

    fn alert(number: u32, at: Timestamp, answer: Answer) -> Judged {
        let verdict = Verdict {
            answer,
            isolation_type: model::IsolationType::Full,
            mode: Mode::Enforce,
            permitted_by: vec![],
            forbidden_by: vec![],
            doubts: vec![],
        };
        Judged {
            id: format!("da{number}_1").parse().unwrap(),
            at,
            title: String::new(),
            category: String::new(),
            device: Some(format!("{number:040x}").parse().unwrap()),
            name: String::new(),
            group: None,
            causes: vec!["title T".to_owned()],
            verdicts: vec![verdict],
        }
    }

    fn take(simulation: &mut Simulation<'_>, judged: &Judged) -> FateWord {
        simulation.take(judged, &judged.verdicts[0]).word()
    }

    #[test]
    fn a_device_is_isolated_once_and_given_back_after_its_time() {
        let limits = Limits::default();
        let mut simulation = Simulation::new(&limits, 100, DAY);
        let mut fate = |at, answer| take(&mut simulation, &alert(1, at, answer));
        assert_eq!(fate(at(0, 0), Answer::Isolate), FateWord::Isolated);
        assert_eq!(fate(at(1, 0), Answer::Isolate), FateWord::Joined);
        assert_eq!(fate(at(23, 59), Answer::Propose), FateWord::NotAsked);
        assert_eq!(fate(at(24, 0), Answer::Propose), FateWord::Proposed);
        assert_eq!(fate(at(24, 1), Answer::Isolate), FateWord::Isolated);
    }

    #[test]
    fn a_breaker_holds_to_the_end_of_its_day() {
        let limits = Limits { breaker_devices: 2, ..Limits::default() };
        let mut simulation = Simulation::new(&limits, 100, DAY);
        let mut fate = |number, at| take(&mut simulation, &alert(number, at, Answer::Isolate));
        assert_eq!([fate(1, at(1, 0)), fate(2, at(1, 1))], [FateWord::Isolated; 2]);
        assert_eq!([fate(3, at(1, 2)), fate(4, at(23, 59))], [FateWord::Held; 2]);
        assert_eq!(fate(5, at(24, 0)), FateWord::Isolated);
    }

    #[test]
    fn surroundings_come_from_what_was_isolated_before() {
        let limits = Limits { per_hour: 1, ..Limits::default() };
        let mut simulation = Simulation::new(&limits, 100, HOUR);
        assert_eq!(take(&mut simulation, &alert(1, at(0, 0), Answer::Isolate)), FateWord::Isolated);
        let device: DeviceId = format!("{:040x}", 1).parse().unwrap();
        let now = simulation.surroundings(Some(&device), at(0, 30));
        assert_eq!((now.isolations_last_hour, now.open_isolation), (Some(1), Some(true)));
        assert_eq!(take(&mut simulation, &alert(2, at(0, 31), Answer::Isolate)), FateWord::Held);
        let later = simulation.surroundings(Some(&device), at(2, 0));
        assert_eq!(later.isolations_last_hour, Some(0));
        assert_eq!((later.isolations_last_day, later.open_isolation), (Some(1), Some(false)));
    }
}
