//! One claim, and any events in any order.

use crate::{device, minutes, start, tenant};
use jiff::Timestamp;
use model::{ActionId, Effect, EffectState, IsolationType};
use ports::{Claim, Ending, Event, NewClaim};
use proptest::prelude::*;

fn action(number: u8) -> ActionId {
    format!("action-{number}").parse().unwrap()
}

fn any_event() -> impl Strategy<Value = Event> {
    let ending = prop_oneof![
        Just(Ending::Succeeded),
        Just(Ending::Failed),
        Just(Ending::TimedOut),
        Just(Ending::Cancelled)
    ];
    prop_oneof![
        3 => Just(Event::Asked { quiet: start() + minutes(5) }),
        2 => any::<u8>().prop_map(|n| Event::Accepted { action: action(n), look: start() + minutes(1) }),
        1 => Just(Event::Unanswered),
        1 => Just(Event::NotReached { not_before: Timestamp::UNIX_EPOCH }),
        1 => Just(Event::Rejected),
        1 => any::<u8>().prop_map(|n| Event::Adopted { action: action(n) }),
        1 => Just(Event::GivenUp),
        1 => Just(Event::Waiting { look: start() + minutes(2) }),
        2 => ending.prop_map(Event::Ended),
        1 => Just(Event::Free),
    ]
}

/// An event for the claim that stands, or the next generation with this effect.
fn any_step() -> impl Strategy<Value = Result<Event, Effect>> {
    prop_oneof![
        9 => any_event().prop_map(Ok),
        1 => prop_oneof![Just(Err(Effect::Isolate)), Just(Err(Effect::Release))],
    ]
}

pub(crate) fn claim(before: Option<&Claim>, number: usize, effect: Effect, now: Timestamp) -> Claim {
    let isolation_type = IsolationType::Full;
    let new = NewClaim { device: device(number), effect, alert: None, order: None, isolation_type };
    Claim::new(&tenant(), before, new, now)
}

/// What an isolation may have led to at the service so far: nothing, perhaps something, or surely a machine action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Led {
    Nothing,
    Maybe,
    Surely,
}

proptest! {
    #[test]
    fn a_generation_is_asked_for_again_only_after_it_was_surely_not_reached(
        steps in prop::collection::vec(any_step(), 1..60)
    ) {
        let mut claim = claim(None, 1, Effect::Isolate, start());
        let mut led = Led::Nothing;
        for (step, now) in steps.into_iter().zip((0..).map(|minute| start() + minutes(minute))) {
            let event = match step {
                Ok(event) => event,
                Err(effect) => {
                    claim = crate::claims::claim(Some(&claim), 1, effect, now);
                    led = Led::Nothing;
                    continue;
                }
            };
            let before = claim.clone();
            let Ok(moved) = claim.after(&tenant(), event.clone(), now) else { continue };
            claim = moved.claim;
            match event {
                Event::Asked { .. } => {
                    prop_assert_eq!(led, Led::Nothing, "it was asked for twice: {:?}", before);
                    led = Led::Maybe;
                }
                Event::Accepted { .. } => {
                    // It may show although it was taken for not reached.
                    prop_assert!(led != Led::Surely && before.attempt > 0, "{:?}", before);
                    led = Led::Surely;
                }
                Event::NotReached { .. } => {
                    prop_assert_eq!(led, Led::Maybe, "{:?}", before);
                    led = Led::Nothing;
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_event_keeps_the_counts_and_the_marks(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut claim = claim(None, 1, Effect::Isolate, start());
        let (mut standing, mut spent, mut generation) = (0, 0, 1);
        for (step, now) in steps.into_iter().zip((0..).map(|minute| start() + minutes(minute))) {
            let before = claim.clone();
            match step {
                Err(effect) => {
                    claim = crate::claims::claim(Some(&before), 1, effect, now);
                    generation += 1;
                    spent = 0;
                    prop_assert_ne!(&claim.id, &before.id);
                }
                Ok(event) => match before.after(&tenant(), event.clone(), now) {
                    Ok(moved) => {
                        claim = moved.claim;
                        standing += moved.standing;
                        spent += i32::from(moved.spends) - i32::from(moved.gives_back);
                        if matches!(event, Event::Asked { .. }) {
                            prop_assert_eq!(claim.attempt, before.attempt + 1);
                            prop_assert_ne!(&claim.id, &before.id, "each attempt has a mark of its own");
                        } else {
                            prop_assert_eq!(&claim.id, &before.id);
                        }
                    }
                    Err(impossible) => {
                        prop_assert_eq!(&claim, &before);
                        prop_assert!(impossible.to_string().contains(before.state.word()));
                    }
                },
            }
            prop_assert_eq!(claim.generation, generation);
            prop_assert_eq!(standing, i32::from(claim.counted));
            prop_assert_eq!(spent, i32::from(claim.spent), "a generation is counted once");
            let waits = claim.state == EffectState::Claimed && claim.attempt > 0;
            let is_unsettled = claim.state.is_open() || claim.state.is_unanswered() || waits;
            prop_assert_eq!(claim.is_unsettled(), is_unsettled);
            if claim.counted {
                prop_assert!(claim.is_cut_off() || claim.state == EffectState::Claimed, "{:?}", claim);
            }
            if claim.state == EffectState::Released {
                prop_assert!(!claim.counted && claim.isolation.is_none() && !claim.is_cut_off());
            }
            let text = serde_json::to_string(&claim).unwrap();
            prop_assert_eq!(serde_json::from_str::<Claim>(&text).unwrap(), claim.clone());
        }
    }
}
