//! The brakes against a plain account of what was let through, and the row's size.

use crate::{device, minutes, said, start};
use jiff::{SignedDuration, Timestamp};
use model::Limits;
use ports::{Brakes, Gate, MAX_VALUE_BYTES, Raised, Wish};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const CAUSES: [&str; 3] = ["detector a", "detector b", "title c"];
const GROUPS: [&str; 2] = ["Front desk", "Servers"];

#[derive(Debug, Clone)]
enum Op {
    Wish {
        device: usize,
        causes: Vec<usize>,
        group: Option<usize>,
    },
    /// A device is isolated by Cordon no more.
    Freed,
    Pass(i64),
    Raise {
        to: u32,
        minutes: i64,
    },
    Close(usize),
    Pause(bool),
}

fn any_op() -> impl Strategy<Value = Op> {
    let causes = prop::collection::vec(0..CAUSES.len(), 0..=2);
    prop_oneof![
        12 => (0..9_usize, causes, prop::option::of(0..GROUPS.len()))
            .prop_map(|(device, causes, group)| Op::Wish { device, causes, group }),
        2 => Just(Op::Freed),
        4 => (1..50_i64).prop_map(Op::Pass),
        1 => (60..1_000_i64).prop_map(Op::Pass),
        1 => (0..12_u32, 1..120_i64).prop_map(|(to, minutes)| Op::Raise { to, minutes }),
        1 => (0..CAUSES.len()).prop_map(Op::Close),
        1 => any::<bool>().prop_map(Op::Pause),
    ]
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (1..6_u32, 1..10_u32, 1..6_u32, 0..4_u32, 1..5_u32).prop_map(|(hour, day, standing, group, breaker)| {
        Limits {
            per_hour: hour,
            per_day: day,
            standing_least: standing,
            per_group: BTreeMap::from([(GROUPS[0].to_owned(), group)]),
            breaker_devices: breaker,
            ..Limits::default()
        }
    })
}

/// One isolation that was let through.
#[derive(Debug)]
struct Let {
    at: Timestamp,
    device: usize,
    causes: Vec<usize>,
    group: Option<usize>,
}

/// What anybody could have noted beside the row.
#[derive(Debug, Default)]
struct Account {
    through: Vec<Let>,
    standing: u32,
    paused: bool,
    raised: Option<(u32, Timestamp)>,
    open: BTreeSet<usize>,
    closed: BTreeMap<usize, Timestamp>,
}

impl Account {
    fn most(&self, own: u32, now: Timestamp) -> u32 {
        self.raised.filter(|(_, until)| now < *until).map_or(own, |(to, _)| own.max(to))
    }

    fn within(&self, span: SignedDuration, now: Timestamp) -> impl Iterator<Item = &Let> {
        self.through.iter().filter(move |entry| now.duration_since(entry.at) < span)
    }

    fn used(&self, hours: i64, now: Timestamp) -> u32 {
        u32::try_from(self.within(SignedDuration::from_hours(hours), now).count()).unwrap()
    }

    /// Whether one more device would be more than this cause may have isolated in the window.
    fn overloads(&self, cause: usize, device: usize, limits: &Limits, now: Timestamp) -> bool {
        let since = self.closed.get(&cause);
        let devices: BTreeSet<usize> = self
            .within(limits.breaker_window, now)
            .filter(|entry| entry.causes.contains(&cause) && since.is_none_or(|since| entry.at >= *since))
            .map(|entry| entry.device)
            .collect();
        !devices.contains(&device) && devices.len() >= usize::try_from(limits.breaker_devices).unwrap()
    }

    /// Every gate that stands against it, by its key's first word.
    fn against(
        &self,
        device: usize,
        causes: &[usize],
        group: Option<usize>,
        limits: &Limits,
        now: Timestamp,
    ) -> Vec<&'static str> {
        let breaks = |cause: &usize| self.open.contains(cause) || self.overloads(*cause, device, limits, now);
        let in_group = group.is_some_and(|group| {
            let day = self.within(SignedDuration::from_hours(24), now);
            let used = day.filter(|entry| entry.group == Some(group)).count();
            limits.per_group.get(GROUPS[group]).is_some_and(|most| used >= usize::try_from(*most).unwrap())
        });
        let gates = [
            (self.paused, "paused"),
            (causes.iter().any(breaks), "breaker"),
            (self.used(1, now) >= self.most(limits.per_hour, now), "per hour"),
            (self.used(24, now) >= self.most(limits.per_day, now), "per day"),
            (self.standing >= self.most(limits.standing(None), now), "at one time"),
            (in_group, "group"),
        ];
        gates.into_iter().filter(|(stands, _)| *stands).map(|(_, word)| word).collect()
    }
}

fn wish<'a>(device: &'a model::DeviceId, causes: &[usize], group: Option<usize>) -> Wish<'a> {
    let causes = causes.iter().map(|cause| CAUSES[*cause].to_owned()).collect();
    Wish { device, group: group.map(|group| GROUPS[group]), causes, fleet: None }
}

proptest! {
    #[test]
    fn an_isolation_goes_through_exactly_when_nothing_stands_against_it(
        limits in any_limits(),
        ops in prop::collection::vec(any_op(), 1..80),
    ) {
        let (mut brakes, mut account, mut now) = (Brakes::default(), Account::default(), start());
        for op in ops {
            match op {
                Op::Pass(time) => now += minutes(time),
                Op::Freed => {
                    if account.standing > 0 {
                        account.standing -= 1;
                        brakes.count(-1);
                    }
                }
                Op::Raise { to, minutes: time } => {
                    let until = now + minutes(time);
                    brakes.raised = Some(Raised { to, until, said: said(now) });
                    account.raised = Some((to, until));
                }
                Op::Close(cause) => {
                    let was_open = account.open.remove(&cause);
                    prop_assert_eq!(brakes.close(CAUSES[cause], now), was_open);
                    if was_open {
                        account.closed.insert(cause, now);
                    }
                }
                Op::Pause(paused) => {
                    account.paused = paused;
                    brakes.pause = paused.then(|| said(now));
                }
                Op::Wish { device: number, causes, group } => {
                    let id = device(number);
                    let wish = wish(&id, &causes, group);
                    let against = account.against(number, &causes, group, &limits, now);
                    let spent = brakes.spent.len();
                    let gate = brakes.gate(&wish, &limits, now);
                    prop_assert_eq!(brakes.spent.len(), spent, "asking spends nothing");
                    match gate {
                        None => {
                            prop_assert!(against.is_empty(), "let through against {:?}", against);
                            brakes.spend(&wish, now);
                            brakes.count(1);
                            account.standing += 1;
                            account.through.push(Let { at: now, device: number, causes, group });
                        }
                        Some(gate) => {
                            let key = gate.key();
                            prop_assert!(against.iter().any(|word| key.starts_with(word)), "{} of {:?}", key, against);
                            prop_assert!(!gate.to_string().is_empty());
                            if let Gate::Breaker { cause } = &gate {
                                let cause = CAUSES.iter().position(|known| known == cause).unwrap();
                                account.open.insert(cause);
                            }
                        }
                    }
                }
            }
            let open: BTreeSet<&str> = brakes.open.iter().map(|open| open.cause.as_str()).collect();
            let expected: BTreeSet<&str> = account.open.iter().map(|cause| CAUSES[*cause]).collect();
            prop_assert_eq!(open, expected, "a breaker stays open until it is closed");
            prop_assert_eq!(brakes.standing, account.standing);
            let text = serde_json::to_string(&brakes).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Brakes>(&text).unwrap(), &brakes);
        }
    }

    #[test]
    fn people_are_told_of_a_gate_once_in_an_hour(times in prop::collection::vec(0..40_i64, 1..40)) {
        let (mut brakes, mut now, mut last) = (Brakes::default(), start(), None);
        for time in times {
            now += minutes(time);
            let gate = Gate::PerHour { most: 10 };
            let is_news = brakes.is_news(&gate, now);
            prop_assert_eq!(is_news, last.is_none_or(|last| now.duration_since(last) >= minutes(60)));
            if is_news {
                brakes.note_told(&gate, now);
                last = Some(now);
            }
        }
    }
}

#[test]
fn the_breaker_opens_at_the_sixth_device_and_stays_open_until_a_person_closes_it() {
    let (mut brakes, limits) = (Brakes::default(), Limits::default());
    let mut now = start();
    for number in 1..=5 {
        let id = device(number);
        let wish = wish(&id, &[0], None);
        assert_eq!(brakes.gate(&wish, &limits, now), None, "device {number}");
        brakes.spend(&wish, now);
        now += minutes(5);
    }
    let (fifth, sixth) = (device(5), device(6));
    assert_eq!(brakes.gate(&wish(&fifth, &[0], None), &limits, now), None, "it is no further device");
    assert!(matches!(brakes.gate(&wish(&sixth, &[0], None), &limits, now), Some(Gate::Breaker { .. })));
    now += SignedDuration::from_hours(30);
    assert!(matches!(brakes.gate(&wish(&sixth, &[0], None), &limits, now), Some(Gate::Breaker { .. })));
    assert_eq!(brakes.gate(&wish(&sixth, &[1], None), &limits, now), None, "another detector is let through");
    assert!(brakes.close(CAUSES[0], now));
    assert_eq!(brakes.gate(&wish(&sixth, &[0], None), &limits, now), None);
}

#[test]
fn a_breaker_that_was_closed_opens_again_only_for_as_many_devices_more() {
    let (mut brakes, limits) = (Brakes::default(), Limits::default());
    let mut now = start();
    let mut through = 0;
    for number in 1..=10 {
        let id = device(number);
        let wish = wish(&id, &[0], None);
        if brakes.gate(&wish, &limits, now).is_some() {
            now += SignedDuration::from_secs(1);
            assert!(brakes.close(CAUSES[0], now));
            assert_eq!(brakes.gate(&wish, &limits, now), None);
        }
        brakes.spend(&wish, now);
        through += 1;
    }
    assert_eq!(through, 10);
    let eleventh = device(11);
    let gate = brakes.gate(&wish(&eleventh, &[0], None), &Limits { per_hour: 99, ..limits }, now);
    assert!(matches!(gate, Some(Gate::Breaker { .. })), "{gate:?}");
}

/// A notice that has the id of one before is told to nobody.
#[test]
fn no_two_tellings_of_a_gate_have_the_same_turn() {
    let (limit, cause) = (Gate::PerHour { most: 10 }, CAUSES[0].to_owned());
    let breaker = Gate::Breaker { cause };
    let (mut brakes, mut now, mut turns) = (Brakes::default(), start() + minutes(7), BTreeSet::new());
    for hours in [0, 2, 3, 30, 24, 25, 24 * 40] {
        now += SignedDuration::from_hours(hours);
        for gate in [&limit, &breaker] {
            if brakes.is_news(gate, now) {
                assert!(turns.insert((gate.key(), brakes.turn(gate, now))), "after {hours} h: {gate:?}");
                brakes.note_told(gate, now);
            }
        }
        // It is closed, and opens again at once.
        brakes.open.push(ports::Breaker { cause: CAUSES[0].to_owned(), since: now });
        now += minutes(1);
        assert!(brakes.close(CAUSES[0], now));
        now += minutes(1);
        assert!(turns.insert((breaker.key(), brakes.turn(&breaker, now))), "closed after {hours} h");
        assert!(brakes.is_news(&breaker, now));
        brakes.note_told(&breaker, now);
    }
    assert!(turns.len() > 14, "{turns:?}");
}

#[test]
fn a_day_of_as_many_isolations_as_may_ever_be_fits_into_the_row() {
    let mut brakes = Brakes::default();
    let title = "\u{55b6}".repeat(300);
    let group = "\u{55b6}".repeat(32);
    for number in 0..usize::try_from(Limits::MOST).unwrap() {
        let mut alert: model::Alert =
            serde_json::from_str(r#"{"id":"a","title":"","techniques":[],"evidence":[]}"#).unwrap();
        alert.title = format!("{number} {title}");
        alert.detector_id = Some(format!("{number} {title}"));
        let id = device(number);
        let causes = Wish::causes_of(&alert);
        brakes.spend(&Wish { device: &id, group: Some(&group), causes, fleet: None }, start());
    }
    let size = serde_json::to_vec(&brakes).unwrap().len();
    assert!(size <= MAX_VALUE_BYTES, "{size} bytes");
}
