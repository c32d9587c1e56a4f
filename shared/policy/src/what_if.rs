//! What would have had to be different for another decision: changes that could plausibly have been so, each put to the
//! very code that decides.
//!
//! It proves nothing: what it does not try it does not find. Single changes are tried, and pairs of them only where no
//! single one makes a difference.

use crate::{AssetList, Case, Playbook, Surroundings, decide};
use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Weekday},
};
use model::{
    Alert, AlertStatus, Answer, Decision, Device, DeviceClass, DeviceFact, FirstSeen, Mode, Severity,
};

/// A change of what was known, and what would have been decided then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Such as "if the device were a workstation".
    pub change: String,
    pub answer: Answer,
    /// For an isolation: the mode in which it would have been decided.
    pub mode: Mode,
}

impl Change {
    /// By how much it stays behind an isolation that is carried out.
    fn falls_short(&self) -> u8 {
        match (self.answer, self.mode) {
            (Answer::Isolate, Mode::Enforce) => 0,
            (Answer::Isolate, Mode::Observe) => 1,
            (Answer::Propose, _) => 2,
            (Answer::Refused, _) => 3,
            (Answer::None, _) => 4,
        }
    }
}

/// The hours that count as those of business, by the playbook's time zone: the first, and the first after them.
const BUSINESS: std::ops::Range<i8> = 8..18;

/// So many tags are taken away, one by one.
const MOST_TAGS: usize = 10;

/// What a decision depends on, to be changed.
#[derive(Debug, Clone)]
struct Known {
    alert: Alert,
    device: DeviceFact,
    first_seen: FirstSeen,
    environment_mode: Option<Mode>,
    surroundings: Surroundings,
    now: Timestamp,
    lists: Vec<AssetList>,
}

type Make = Box<dyn Fn(&mut Known)>;

/// One change that is tried.
struct Try {
    /// What it changes: no two of the same are tried together.
    about: String,
    /// What follows the "if".
    said: String,
    make: Make,
}

impl Playbook {
    /// The single changes that would have changed what is done about a case; where there is none, the pairs of changes.
    /// Those come first that would have led furthest. Empty where neither is found.
    pub fn what_if(&self, case: &Case<'_>) -> Vec<Change> {
        let known = Known {
            alert: case.alert.clone(),
            device: case.device.clone(),
            first_seen: case.first_seen,
            environment_mode: case.environment_mode,
            surroundings: case.surroundings,
            now: case.now,
            lists: self.lists.clone(),
        };
        let is = self.decide(case);
        let decide = |tries: &[&Try]| {
            let mut changed = known.clone();
            tries.iter().for_each(|one| (one.make)(&mut changed));
            let would = changed.decide_by(self);
            (gist(&would) != gist(&is)).then(|| Change {
                change: format!(
                    "if {}",
                    tries.iter().map(|one| &*one.said).collect::<Vec<_>>().join(" and ")
                ),
                answer: would.answer,
                mode: would.mode,
            })
        };
        let tries = self.tries(&known);
        let mut changes: Vec<Change> = tries.iter().filter_map(|one| decide(&[one])).collect();
        if changes.is_empty() {
            let after = |first: usize| tries.iter().skip(first + 1);
            let pairs = tries.iter().enumerate().flat_map(|(n, one)| after(n).map(move |two| (one, two)));
            let sound = pairs.filter(|(one, two)| one.about != two.about);
            changes = sound.filter_map(|(one, two)| decide(&[one, two])).collect();
        }
        changes.sort_by_key(Change::falls_short);
        changes
    }

    fn tries(&self, known: &Known) -> Vec<Try> {
        let mut tries: Vec<Try> = self.about_mode(known).into_iter().chain(self.about_age(known)).collect();
        tries.extend(about_alert(&known.alert));
        if let Some(device) = known.device.known() {
            tries.extend(about_device(device, &known.lists));
        }
        tries.extend(about_lists(known));
        tries.extend(self.about_clock(known));
        tries
    }

    fn about_age(&self, known: &Known) -> Option<Try> {
        let act_within = self.settings.isolation.act_within;
        let is_young =
            |at: Option<Timestamp>| at.is_some_and(|at| known.now.duration_since(at) <= act_within);
        let is_ahead = |at: Option<Timestamp>| at.is_some_and(|at| at > known.now);
        let Alert { created, last_event, .. } = known.alert;
        let is_usual = [created, last_event].into_iter().all(|at| is_young(at) && !is_ahead(at));
        (!is_usual).then(|| {
            let said = "the alert and its last event were a minute old";
            change("age", said, |known| {
                let lately = known.now.checked_sub(SignedDuration::from_mins(1)).ok();
                (known.alert.created, known.alert.last_event) = (lately, lately);
            })
        })
    }

    fn about_mode(&self, known: &Known) -> Option<Try> {
        let mode = known.environment_mode.unwrap_or(self.settings.mode);
        let said = match (mode, known.first_seen.mode) {
            (Mode::Enforce, Mode::Enforce) => return None,
            (Mode::Observe, Mode::Enforce) => "the mode were `enforce`",
            (Mode::Enforce, Mode::Observe) => "the alert had first been seen in the mode `enforce`",
            (Mode::Observe, Mode::Observe) => {
                "the mode were `enforce`, and had been when the alert was first seen"
            }
        };
        Some(change("mode", said, |known| {
            known.environment_mode = Some(Mode::Enforce);
            known.first_seen.mode = Mode::Enforce;
        }))
    }

    /// Another hour and another day, where a policy may ask for them.
    fn about_clock(&self, known: &Known) -> Vec<Try> {
        let asks = |paths: [&str; 2]| paths.into_iter().any(|path| self.asks_for(path));
        let local = known.now.to_zoned(self.settings.time_zone.clone());
        let mut tries = Vec::new();
        if asks(["context.hour", "context.localHour"]) {
            let is_business = BUSINESS.contains(&local.hour());
            let to = if is_business { 21 } else { 12 };
            let wait = SignedDuration::from_hours(to - i64::from(local.hour()));
            let said = format!("it were {to} h local time");
            tries.push(change("hour", said, move |known| known.wait(wait)));
        }
        if asks(["context.weekday", "context.localWeekday"]) {
            let is_weekend = matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday);
            let (to, said) =
                if is_weekend { (Weekday::Monday, "a weekday") } else { (Weekday::Saturday, "the weekend") };
            let days = i64::from(local.weekday().until(to));
            let wait = SignedDuration::from_hours(24 * days);
            tries.push(change("day", format!("it were {said}"), move |known| known.wait(wait)));
        }
        tries
    }
}

impl Known {
    fn decide_by(&self, playbook: &Playbook) -> Decision {
        let case = Case {
            alert: &self.alert,
            device: &self.device,
            first_seen: self.first_seen,
            environment_mode: self.environment_mode,
            surroundings: self.surroundings,
            now: self.now,
        };
        decide::decide(playbook, &self.lists, &case)
    }

    /// The same at another time: everything is as old as it was, and every list as much reviewed.
    fn wait(&mut self, wait: SignedDuration) {
        for list in &mut self.lists {
            list.review_by = if list.is_stale(self.now) { Date::MIN } else { Date::MAX };
        }
        let later = |at: &mut Timestamp| *at = at.checked_add(wait).unwrap_or(*at);
        let Alert { created, first_event, last_event, updated, .. } = &mut self.alert;
        let Surroundings { alert_read, device_read, .. } = &mut self.surroundings;
        [created, first_event, last_event, updated, alert_read, device_read]
            .into_iter()
            .flatten()
            .for_each(later);
        if let DeviceFact::Known(Device { first_seen, last_seen, .. }) = &mut self.device {
            [first_seen, last_seen].into_iter().flatten().for_each(later);
        }
        later(&mut self.first_seen.at);
        later(&mut self.now);
    }

    fn change_device(&mut self, change: impl FnOnce(&mut Device)) {
        if let DeviceFact::Known(device) = &mut self.device {
            change(device);
        }
    }
}

fn change(about: &str, said: impl Into<String>, make: impl Fn(&mut Known) + 'static) -> Try {
    Try { about: about.to_owned(), said: said.into(), make: Box::new(make) }
}

/// What is done about a decision: of one that isolates nothing the mode does not matter.
fn gist(decision: &Decision) -> (Answer, Option<Mode>) {
    (decision.answer, (decision.answer == Answer::Isolate).then_some(decision.mode))
}

fn about_alert(alert: &Alert) -> Vec<Try> {
    const SOURCE: &str = "WindowsDefenderAtp";
    let mut tries: Vec<Try> = neighbours(alert.severity.as_ref())
        .into_iter()
        .map(|severity| {
            let said = format!("the alert were {}", severity.as_str());
            change("severity", said, move |known| known.alert.severity = Some(severity.clone()))
        })
        .collect();
    if alert.status != Some(AlertStatus::New) {
        let said = "the alert's status were New";
        tries.push(change("status", said, |known| known.alert.status = Some(AlertStatus::New)));
    }
    if alert.classification.is_some() {
        let said = "nobody had classified the alert";
        tries.push(change("classification", said, |known| known.alert.classification = None));
    }
    if alert.detection_source.as_deref() != Some(SOURCE) {
        let said = format!("the alert came from {SOURCE}");
        let make = |known: &mut Known| {
            known.alert.detection_source = Some(SOURCE.to_owned());
            known.alert.hunted = None;
        };
        tries.push(change("source", said, make));
    }
    if alert.hunted.as_ref().is_some_and(|hunted| !hunted.may_isolate) {
        tries.push(change("hunt", "the hunt said `may_isolate = true`", |known| {
            known.alert.hunted.iter_mut().for_each(|hunted| hunted.may_isolate = true);
        }));
    }
    tries
}

/// The severities next to one; both that matter where it is not known.
fn neighbours(severity: Option<&Severity>) -> Vec<Severity> {
    use Severity::{High, Informational, Low, Medium, Unspecified};
    match severity {
        Some(Unspecified) => vec![Informational],
        Some(Informational) => vec![Low, Unspecified],
        Some(Low) => vec![Medium, Informational],
        Some(Medium) => vec![High, Low],
        Some(High) => vec![Medium],
        Some(Severity::Other(_)) | None => vec![High, Medium],
    }
}

fn about_device(device: &Device, lists: &[AssetList]) -> Vec<Try> {
    let mut tries = Vec::new();
    for (class, platform) in
        [(DeviceClass::Workstation, "Windows11"), (DeviceClass::Server, "WindowsServer2022")]
    {
        if device.class() != Some(class) {
            let said = format!("the device were a {}", class.as_str());
            tries.push(change("class", said, move |known| {
                known.change_device(|device| device.os_platform = Some(platform.to_owned()));
            }));
        }
    }
    for tag in device.tags.iter().flatten().take(MOST_TAGS) {
        let said = format!("the device were not tagged {}", model::one_line(tag, 60));
        let gone = tag.clone();
        tries.push(change(&said.clone(), said, move |known| {
            known.change_device(|device| {
                device.tags.iter_mut().for_each(|tags| tags.retain(|tag| *tag != gone))
            });
        }));
    }
    if lists.iter().any(|list| list.names(device)) {
        tries.push(change("listed", "the device stood on no asset list", |known| {
            for list in &mut known.lists {
                (list.devices, list.groups, list.tags) = (Vec::new(), Vec::new(), Vec::new());
            }
        }));
    }
    tries
}

fn about_lists(known: &Known) -> Vec<Try> {
    let mut tries = Vec::new();
    if known.lists.iter().any(|list| !list.users.is_empty()) {
        tries.push(change("users", "no user of the alert stood on an asset list", |known| {
            known.lists.iter_mut().for_each(|list| list.users.clear());
        }));
    }
    if known.lists.iter().any(|list| list.is_stale(known.now)) {
        tries.push(change("review", "every asset list were within its review", |known| {
            known.lists.iter_mut().for_each(|list| list.review_by = Date::MAX);
        }));
    }
    tries
}
