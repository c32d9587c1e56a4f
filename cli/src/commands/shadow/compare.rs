//! Where what Cordon would have done and what people did differ: pure, on what was read.

use jiff::{SignedDuration, Timestamp};
use model::{
    ActionId, ActionKind, ActionStatus, AlertId, AlertStatus, Answer, Classification, DeviceId,
    MachineAction, Severity,
};
use ports::Observed;
use serde::Serialize;
use std::collections::BTreeMap;

/// For how long people have time to come to the same, and within which one device is isolated once.
pub(super) const APART: SignedDuration = SignedDuration::from_hours(24);

/// What was read of the state and of the tenant.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) observed: Vec<Observed>,
    pub(super) judged: Vec<Judged>,
    /// Isolations and releases, Cordon's own among them.
    pub(super) actions: Vec<MachineAction>,
    pub(super) alerts: BTreeMap<AlertId, AlertNow>,
}

/// An alert as people have left it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AlertNow {
    pub(super) severity: Option<Severity>,
    pub(super) status: Option<AlertStatus>,
    pub(super) classification: Option<Classification>,
}

/// What Cordon has decided about an alert on a device, in the order of time.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) alert: AlertId,
    pub(super) device: DeviceId,
    pub(super) title: String,
    pub(super) decisions: Vec<Decided>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Decided {
    pub(super) at: Timestamp,
    pub(super) answer: Answer,
    /// The policies and guarantees against it, by their ids.
    pub(super) against: Vec<String>,
    pub(super) doubts: Vec<String>,
}

/// What differs, and what does not.
#[derive(Debug, Serialize)]
pub(super) struct Shadow {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) counts: Counts,
    /// The worst first: those that people say would have been wrong.
    pub(super) only_cordon: Vec<OnlyCordon>,
    pub(super) only_people: Vec<OnlyPeople>,
    pub(super) both: Vec<Both>,
    pub(super) not_yet: Vec<Wish>,
}

#[derive(Debug, Serialize)]
pub(super) struct Counts {
    pub(super) both: usize,
    pub(super) only_cordon: usize,
    /// Those of `only_cordon` that people say would have been wrong.
    pub(super) wrong: usize,
    pub(super) only_people: usize,
    pub(super) not_yet: usize,
    /// Cases in which Cordon asked a person, or would have: neither here nor there.
    pub(super) proposals: usize,
}

/// An isolation that Cordon would have asked for, on account of its first alert.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Wish {
    pub(super) device: DeviceId,
    pub(super) device_name: Option<String>,
    pub(super) at: Timestamp,
    pub(super) policies: Vec<String>,
    pub(super) alerts: Vec<Cause>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Cause {
    pub(super) alert: AlertId,
    pub(super) title: String,
    pub(super) severity: Option<Severity>,
    /// None where it was not found in the tenant any more.
    pub(super) now: Option<AlertNow>,
}

/// An isolation that was asked for in the tenant.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Isolation {
    pub(super) action: ActionId,
    pub(super) at: Timestamp,
    pub(super) by: Option<String>,
    pub(super) status: ActionStatus,
}

#[derive(Debug, Serialize)]
pub(super) struct Both {
    #[serde(flatten)]
    pub(super) wish: Wish,
    pub(super) people: Isolation,
    /// How much later people were; less than nought where they were earlier.
    pub(super) later_seconds: i64,
}

/// What people have said of the alerts of an isolation that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Opinion {
    /// A false positive or expected activity: Cordon would have been wrong.
    Wrong,
    Nothing,
    /// A true positive, and nobody isolated the device all the same.
    Confirmed,
}

#[derive(Debug, Serialize)]
pub(super) struct OnlyCordon {
    pub(super) people_say: Opinion,
    #[serde(flatten)]
    pub(super) wish: Wish,
}

#[derive(Debug, Serialize)]
pub(super) struct OnlyPeople {
    pub(super) device: DeviceId,
    pub(super) device_name: Option<String>,
    pub(super) people: Isolation,
    /// What Cordon had decided about this device's alerts in the day before, the latest of each.
    pub(super) decided: Vec<Instead>,
}

#[derive(Debug, Serialize)]
pub(super) struct Instead {
    pub(super) alert: AlertId,
    pub(super) title: String,
    #[serde(flatten)]
    pub(super) decided: Decided,
}

/// What happened since `from`. What is read of the day before tells what belongs together.
pub(super) fn compare(read: &Read, from: Timestamp, now: Timestamp) -> Shadow {
    let mut shadow = Shadow {
        from,
        to: now,
        counts: Counts { both: 0, only_cordon: 0, wrong: 0, only_people: 0, not_yet: 0, proposals: 0 },
        only_cordon: Vec::new(),
        only_people: read.only_people(from),
        both: Vec::new(),
        not_yet: Vec::new(),
    };
    for wish in read.wishes().into_iter().filter(|wish| wish.at >= from) {
        if let Some(people) = read.isolation_near(&wish.device, wish.at, is_by_people) {
            let later_seconds = people.at.duration_since(wish.at).as_secs();
            shadow.both.push(Both { wish, people, later_seconds });
        } else if read.isolation_near(&wish.device, wish.at, MachineAction::is_by_cordon).is_some() {
            // By another policy Cordon has done it itself: nothing differs.
        } else if now.duration_since(wish.at) < APART {
            shadow.not_yet.push(wish);
        } else {
            shadow.only_cordon.push(OnlyCordon { people_say: opinion(&wish), wish });
        }
    }
    shadow.only_cordon.sort_by_key(|one| (one.people_say, one.wish.at));
    shadow.counts = Counts {
        both: shadow.both.len(),
        only_cordon: shadow.only_cordon.len(),
        wrong: shadow.only_cordon.iter().filter(|one| one.people_say == Opinion::Wrong).count(),
        only_people: shadow.only_people.len(),
        not_yet: shadow.not_yet.len(),
        proposals: read.proposals(from),
    };
    shadow
}

impl Read {
    /// The isolations that Cordon would have asked for: one for a device, whatever comes within a day of it.
    fn wishes(&self) -> Vec<Wish> {
        let mut observed: Vec<&Observed> = self.observed.iter().collect();
        observed.sort_by_key(|one| one.at);
        let mut wishes: Vec<Wish> = Vec::new();
        for one in observed {
            let same = |wish: &&mut Wish| wish.device == one.device && one.at.duration_since(wish.at) < APART;
            let cause = Cause {
                alert: one.alert.clone(),
                title: one.title.clone(),
                severity: one.severity.clone(),
                now: self.alerts.get(&one.alert).cloned(),
            };
            match wishes.iter_mut().find(same) {
                Some(wish) if wish.alerts.iter().any(|known| known.alert == cause.alert) => {}
                Some(wish) => wish.alerts.push(cause),
                None => wishes.push(Wish {
                    device: one.device.clone(),
                    device_name: one.device_name.clone(),
                    at: one.at,
                    policies: one.policies.clone(),
                    alerts: vec![cause],
                }),
            }
        }
        wishes
    }

    fn isolations(
        &self,
        is_meant: fn(&MachineAction) -> bool,
    ) -> impl Iterator<Item = (&DeviceId, Isolation)> {
        let meant = self.actions.iter().filter(move |action| is_isolation(action) && is_meant(action));
        meant.filter_map(|action| {
            let isolation = Isolation {
                action: action.id.clone(),
                at: action.created?,
                by: action.requestor.clone(),
                status: action.status.clone(),
            };
            Some((action.device.as_ref()?, isolation))
        })
    }

    /// The isolation of a device that is nearest to a moment: within a day of it, or still in force by then.
    fn isolation_near(
        &self,
        device: &DeviceId,
        at: Timestamp,
        is_meant: fn(&MachineAction) -> bool,
    ) -> Option<Isolation> {
        let about = self.isolations(is_meant).filter(|(of, _)| *of == device).map(|(_, isolation)| isolation);
        let distance = |isolation: &Isolation| isolation.at.duration_since(at).abs();
        about
            .filter(|one| distance(one) <= APART || (one.at < at && !self.is_released(device, one.at, at)))
            .min_by_key(distance)
    }

    fn is_released(&self, device: &DeviceId, from: Timestamp, to: Timestamp) -> bool {
        self.actions.iter().any(|action| {
            action.kind == ActionKind::Unisolate
                && action.status == ActionStatus::Succeeded
                && action.device.as_ref() == Some(device)
                && action.created.is_some_and(|at| from <= at && at <= to)
        })
    }

    /// The isolations of people that Cordon had not wanted.
    fn only_people(&self, from: Timestamp) -> Vec<OnlyPeople> {
        let wanted = |device: &DeviceId, at: Timestamp| {
            let is_near = |other: Timestamp| other.duration_since(at).abs() <= APART;
            self.observed.iter().any(|one| one.device == *device && is_near(one.at))
                || self.judged.iter().filter(|case| case.device == *device).any(|case| {
                    case.decisions.iter().any(|one| one.answer == Answer::Isolate && is_near(one.at))
                })
        };
        let mut only: Vec<OnlyPeople> = self
            .isolations(is_by_people)
            .filter(|(device, people)| people.at >= from && !wanted(device, people.at))
            .map(|(device, people)| OnlyPeople {
                device: device.clone(),
                device_name: None,
                decided: self.decided_before(device, people.at),
                people,
            })
            .collect();
        only.sort_by_key(|one| one.people.at);
        only
    }

    /// What was decided about a device's alerts in the day before, the latest of each.
    fn decided_before(&self, device: &DeviceId, at: Timestamp) -> Vec<Instead> {
        let about = self.judged.iter().filter(|case| case.device == *device);
        let latest = about.filter_map(|case| {
            let mut before = case.decisions.iter().rev();
            let decided = before.find(|one| one.at <= at && at.duration_since(one.at) <= APART)?;
            Some(Instead { alert: case.alert.clone(), title: case.title.clone(), decided: decided.clone() })
        });
        latest.collect()
    }

    fn proposals(&self, from: Timestamp) -> usize {
        let proposes =
            |case: &&Judged| case.decisions.iter().any(|one| one.answer == Answer::Propose && one.at >= from);
        self.judged.iter().filter(proposes).count()
    }
}

/// What somebody has called off is not what they wanted in the end; what the device never heard of is.
fn is_isolation(action: &MachineAction) -> bool {
    action.kind == ActionKind::Isolate && action.status != ActionStatus::Cancelled
}

fn is_by_people(action: &MachineAction) -> bool {
    !action.is_by_cordon()
}

/// One true alert is enough.
fn opinion(wish: &Wish) -> Opinion {
    let said = wish.alerts.iter().filter_map(|cause| cause.now.as_ref()?.classification.as_ref());
    let opinions = said.map(|classification| match classification {
        Classification::TruePositive => Opinion::Confirmed,
        Classification::FalsePositive | Classification::InformationalExpectedActivity => Opinion::Wrong,
        Classification::Unknown | Classification::Other(_) => Opinion::Nothing,
    });
    let opinions: Vec<Opinion> = opinions.collect();
    [Opinion::Confirmed, Opinion::Wrong]
        .into_iter()
        .find(|opinion| opinions.contains(opinion))
        .unwrap_or(Opinion::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "0123456789abcdef0123456789abcdef01234567";

    fn at(hours: i64) -> Timestamp {
        let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(hours)
    }

    /// An alert on the device that would have had it isolated at this hour.
    fn observed(alert: &str, hours: i64) -> Observed {
        Observed {
            alert: alert.parse().unwrap(),
            device: DEVICE.parse().unwrap(),
            device_name: None,
            title: "Ransomware".to_owned(),
            severity: None,
            policies: Vec::new(),
            at: at(hours),
        }
    }

    fn action(kind: ActionKind, status: ActionStatus, hours: i64, comment: &str) -> MachineAction {
        MachineAction {
            id: format!("action-{hours}").parse().unwrap(),
            kind,
            status,
            scope: None,
            requestor: Some("eve@contoso.com".to_owned()),
            comment: Some(comment.to_owned()),
            device: Some(DEVICE.parse().unwrap()),
            created: Some(at(hours)),
            updated: Some(at(hours)),
        }
    }

    fn isolated(hours: i64) -> MachineAction {
        action(ActionKind::Isolate, ActionStatus::Succeeded, hours, "by hand")
    }

    fn released(hours: i64) -> MachineAction {
        action(ActionKind::Unisolate, ActionStatus::Succeeded, hours, "by hand")
    }

    /// How many isolations both, only Cordon, only people wanted, and of how many it is not yet to tell; a week long.
    fn counts(observed: &[Observed], actions: &[MachineAction]) -> [usize; 4] {
        let read = Read { observed: observed.to_vec(), actions: actions.to_vec(), ..Read::default() };
        let Counts { both, only_cordon, only_people, not_yet, .. } = compare(&read, at(0), at(168)).counts;
        [both, only_cordon, only_people, not_yet]
    }

    #[test]
    fn what_lies_within_a_day_belongs_together() {
        let wish = [observed("a", 48)];
        assert_eq!(counts(&wish, &[]), [0, 1, 0, 0]);
        assert_eq!(counts(&wish, &[isolated(72)]), [1, 0, 0, 0]);
        assert_eq!(counts(&wish, &[isolated(73)]), [0, 1, 1, 0]);
        assert_eq!(counts(&wish, &[isolated(24)]), [1, 0, 0, 0]);
        assert_eq!(counts(&[observed("a", 145)], &[]), [0, 0, 0, 1]);
        assert_eq!(counts(&[observed("a", 144)], &[]), [0, 1, 0, 0]);
    }

    #[test]
    fn a_device_that_people_had_isolated_long_before_is_isolated_until_somebody_releases_it() {
        let wish = [observed("a", 48)];
        assert_eq!(counts(&wish, &[isolated(-300)]), [1, 0, 0, 0]);
        assert_eq!(counts(&wish, &[isolated(-300), released(-200)]), [0, 1, 0, 0]);
        assert_eq!(counts(&wish, &[isolated(-300), released(50)]), [1, 0, 0, 0]);
    }

    #[test]
    fn what_somebody_called_off_and_what_cordon_did_count_for_nobody() {
        let cancelled = action(ActionKind::Isolate, ActionStatus::Cancelled, 50, "by hand");
        assert_eq!(counts(&[observed("a", 48)], &[cancelled]), [0, 1, 0, 0]);
        let own =
            action(ActionKind::Isolate, ActionStatus::Succeeded, 50, "[cordon:clm-1] Isolated by Cordon");
        assert_eq!(counts(&[], std::slice::from_ref(&own)), [0; 4]);
        assert_eq!(counts(&[observed("a", 48)], &[own]), [0; 4]);
        let in_vain = action(ActionKind::Isolate, ActionStatus::TimeOut, 50, "by hand");
        assert_eq!(counts(&[observed("a", 48)], &[in_vain]), [1, 0, 0, 0]);
    }

    #[test]
    fn what_comes_just_before_the_time_asked_for_explains_what_comes_in_it() {
        assert_eq!(counts(&[observed("a", -2)], &[isolated(1)]), [0; 4]);
        assert_eq!(counts(&[], &[isolated(1)]), [0, 0, 1, 0]);
        assert_eq!(counts(&[], &[isolated(-1)]), [0; 4]);
    }

    #[test]
    fn alerts_on_one_device_within_a_day_are_one_isolation() {
        let all = [observed("a", 48), observed("b", 60), observed("a", 71), observed("c", 72)];
        assert_eq!(counts(&all, &[]), [0, 2, 0, 0]);
        let read = Read { observed: all.to_vec(), ..Read::default() };
        let alerts =
            |wish: &Wish| wish.alerts.iter().map(|cause| cause.alert.to_string()).collect::<Vec<_>>();
        assert_eq!(read.wishes().iter().map(alerts).collect::<Vec<_>>(), [vec!["a", "b"], vec!["c"]]);
    }

    #[test]
    fn one_true_alert_among_the_false_is_enough() {
        let mut wish = Read { observed: vec![observed("a", 1), observed("b", 2)], ..Read::default() }
            .wishes()
            .pop()
            .unwrap();
        let mut say = |words: [&str; 2]| {
            for (cause, word) in wish.alerts.iter_mut().zip(words) {
                let classification = (!word.is_empty()).then(|| Classification::from(word));
                cause.now = Some(AlertNow { severity: None, status: None, classification });
            }
            opinion(&wish)
        };
        assert_eq!(say(["FalsePositive", ""]), Opinion::Wrong);
        assert_eq!(say(["InformationalExpectedActivity", "Maybe"]), Opinion::Wrong);
        assert_eq!(say(["FalsePositive", "TruePositive"]), Opinion::Confirmed);
        assert_eq!(say(["", "Unknown"]), Opinion::Nothing);
    }
}
