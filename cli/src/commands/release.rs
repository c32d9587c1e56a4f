//! `cordon release DEVICE_ID…`: gives devices their network back.
//!
//! It gives orders and says what becomes of them; respond carries them out. No limit and no pause stands against a
//! release. That a release was requested does not mean that the device has its network.

use crate::{
    Ending, Reporting, clock,
    desk::{At, Desk, Given, Orders},
    person::{ByHand, Waiting, device},
    show,
};
use clap::Args;
use jiff::Timestamp;
use model::{Cause, DeviceId, Effect, EffectRequested, EffectState, Wanted, one_line};
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon release 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --comment \"false positive, ticket 4711\"
  cordon release ID1 ID2 ID3 --comment \"drill over\"
  cordon release ID --comment \"forensics done\" --no-wait

It works during a pause. An isolation that is still pending is cancelled. For 24 hours Cordon only proposes to isolate a
device again that a person has released. `requested` is a promise: `cordon isolated` shows the device until Defender
says that it has its network.")]
pub(crate) struct Release {
    /// The devices' machine ids: 40 hexadecimal digits each
    #[arg(value_name = "DEVICE_ID", required = true, value_parser = device)]
    devices: Vec<DeviceId>,
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    reporting: Reporting,
}

impl Release {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.act().await?;
        let now = clock::now();
        let by = self.by_hand.who(at.vars);
        let order = |device: DeviceId| EffectRequested {
            wanted: Wanted::Release,
            device,
            cause: Cause::Operator,
            alert: None,
            claim: None,
            by: by.clone(),
            why: self.by_hand.comment.clone(),
            not_after: not_after(now),
        };
        // Whoever names a device twice wants it released once.
        let devices: BTreeSet<DeviceId> = self.devices.into_iter().collect();
        give(at, &desk, devices.into_iter().map(order).collect(), self.waiting, self.reporting, now).await
    }
}

/// Until when an order of now holds.
pub(crate) fn not_after(now: Timestamp) -> Timestamp {
    now.checked_add(EffectRequested::HOLDS).unwrap_or(Timestamp::MAX)
}

/// What `--json` prints of orders.
#[derive(Debug, Serialize)]
struct Report<'a> {
    orders: &'a [Given],
}

/// Gives orders, waits for what becomes of them and says it.
pub(crate) async fn give(
    at: &At<'_>,
    desk: &Desk,
    wanted: Vec<EffectRequested>,
    waiting: Waiting,
    reporting: Reporting,
    now: Timestamp,
) -> Result<Ending, Ending> {
    let orders = Orders::new(at, desk);
    let mut given = orders.give(wanted, now).await?;
    if !waiting.no_wait {
        Box::pin(orders.wait(&mut given, waiting.wait)).await?;
    }
    if reporting.json {
        show::json(&Report { orders: &given });
    } else {
        given.iter().for_each(|one| tell(one, desk));
    }
    let mut attention: Vec<String> = given.iter().filter_map(at_fault).collect();
    let open = given.iter().filter(|one| one.is_open()).count();
    if open > 0 && !waiting.no_wait {
        attention.push(format!(
            "{open} order(s) are not carried out yet, after {}: {}; {} at the latest they lapse",
            show::span(waiting.wait),
            orders.unanswered(),
            show::time(not_after(now))
        ));
    }
    Ok(Ending::of(attention))
}

/// How an effect stands, in words that claim no more than is known.
pub(crate) fn words(effect: Effect, state: EffectState) -> String {
    match (effect, state) {
        (Effect::Isolate, EffectState::Adopted) => "isolation adopted (it is somebody else's)".to_owned(),
        (Effect::Isolate, EffectState::Released) => "released".to_owned(),
        (Effect::Isolate, EffectState::Unknown) => {
            "isolation unknown (it may or may not have been asked for)".to_owned()
        }
        (Effect::Isolate, state) => format!("isolation {state}"),
        (Effect::Release, EffectState::Released) => "released".to_owned(),
        (Effect::Release, state) => format!("release {state}; to be taken as cut off"),
    }
}

fn effect_of(wanted: &Wanted) -> Effect {
    match wanted {
        Wanted::Release => Effect::Release,
        Wanted::Isolate { .. } | Wanted::Comment { .. } | Wanted::CreateAlert(_) => Effect::Isolate,
    }
}

fn tell(given: &Given, desk: &Desk) {
    let what = format!("{} of {}", effect_of(&given.wants.wanted).word(), given.device_name);
    match (&given.answered, &given.trouble) {
        (Some(answered), _) => {
            let state = answered.state.map_or("nothing to do", EffectState::word);
            show::line(&format!("{what}: {state}"));
            if !answered.said.is_empty() {
                show::line(&format!("    {}", one_line(&answered.said, 400)));
            }
            if answered.state.is_some_and(|state| state.is_open() || state.is_unanswered()) {
                let follower = if desk.store.is_some() { "`cordon run`" } else { "the function `track`" };
                show::line(&format!(
                    "    This is not done yet: {follower} follows it, and `cordon isolated` shows how it stands."
                ));
            }
        }
        (None, Some(_)) => show::line(&format!("{what}: perhaps not ordered")),
        (None, None) => {
            show::line(&format!("{what}: ordered"));
            show::line(&format!(
                "    order {}, valid until {}; follow it with `cordon isolated`",
                given.order,
                show::time(given.wants.not_after)
            ));
        }
    }
}

/// What a person has to look at; none where the order went the way it should.
fn at_fault(given: &Given) -> Option<String> {
    let what = format!("{} of {}", effect_of(&given.wants.wanted).word(), given.device_name);
    if let Some(trouble) = &given.trouble {
        return Some(format!("the {what} may not have been ordered: {trouble}"));
    }
    let answered = given.answered.as_ref()?;
    let state = answered.state.filter(|state| !is_under_way(*state))?;
    let said = one_line(&answered.said, 400);
    Some(if said.is_empty() {
        format!("the {what} is {state}")
    } else {
        format!("the {what} is {state}: {said}")
    })
}

/// Whether an order is carried out, or on its way.
fn is_under_way(state: EffectState) -> bool {
    matches!(
        state,
        EffectState::Requested
            | EffectState::Pending
            | EffectState::Succeeded
            | EffectState::Adopted
            | EffectState::Released
    )
}
