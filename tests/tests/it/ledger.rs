//! The ledger, the limits and the operator's hand over the whole pipeline. What a single isolation goes through stands
//! in `isolation`: crashes at every write, lost answers, adoption, what people undo in the portal, counted calls.

mod again;
mod breaker;
mod comments;
mod crashed;
mod limits;
mod ordered;
mod paused;
mod released;
mod settled;
mod stale;
mod timer;
mod unreadable;
mod watch;

use crate::isolation::{hours, one_alert, outcome, raise, told};
use jiff::SignedDuration;
use model::{EffectState, MessageId, Wanted};
use scenarios::{Scene, high, minutes, noon, workstation};
use simulator::{Alert, World};

/// A High alert that has nothing in common with the others.
fn story(number: u32) -> Alert {
    let mut alert = high(&format!("a{number}"), number).title(format!("Story {number}"));
    alert.detector_id = Some(format!("detector-{number}"));
    alert.incident_id = Some(i64::from(number));
    alert
}

/// As many devices, each with a story of its own.
fn stories(devices: u32) -> World {
    (1..=devices)
        .fold(World::new(noon()), |world, number| world.machine(workstation(number)).alert(story(number)))
}

/// A new story on a device, at this instant.
fn tell_story(scene: &mut Scene, alert: &str, number: u32) {
    raise(scene, alert, number);
    scene.simulator.with(|world| {
        world.change_alert(alert, |new| {
            new.title = format!("Story {alert}");
            new.detector_id = Some(format!("detector-{alert}"));
        });
    });
}

/// Lets time pass, and works on what has become due by it, without a poll.
async fn wait(scene: &mut Scene, time: SignedDuration) {
    scene.pass(time);
    scene.settle(minutes(1)).await;
}

fn isolate() -> Wanted {
    Wanted::Isolate { isolation_type: None, even_so: false }
}

/// Orders it for a device alone, and works until nothing is due for a while.
async fn carry_out(scene: &mut Scene, wanted: Wanted, number: u32) -> MessageId {
    let order = scene.ordered(wanted, number);
    let id = scene.order(order).await;
    scene.settle(minutes(20)).await;
    id
}

/// In which state an order was answered, and the words.
async fn answer(scene: &Scene, order: &MessageId) -> (Option<EffectState>, String) {
    let answered = scene.answered(order).await.unwrap();
    (answered.state, answered.said)
}

/// How many of these alerts ended in a state.
async fn count(scene: &Scene, alerts: impl Iterator<Item = u32>, state: EffectState) -> usize {
    let mut count = 0;
    for number in alerts {
        count += usize::from(outcome(scene, &format!("a{number}")).await.1 == Some(state));
    }
    count
}
