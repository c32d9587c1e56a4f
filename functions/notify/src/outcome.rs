//! What is said of the outcome of an alert: the words of the subject, the first line, what it means, what to do next.
//! What was asked of the service is `effect`'s business; here is what was only decided.

use crate::{
    effect::{About, STILL_CONNECTED, Words, calls_for_a_person, isolate_for, reach, words},
    line::Line,
};
use model::{ActionTaken, Answer, DeviceFact, DeviceId, DeviceRef, Effect, EffectState, Mode};

/// What people read about one outcome.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// In the subject.
    pub(crate) phrase: String,
    /// The first line: a sentence.
    pub(crate) headline: String,
    pub(crate) meaning: Vec<Line>,
    pub(crate) next: Vec<Line>,
    /// How to take an isolation or a release back, where there may be one.
    pub(crate) undo: Vec<Line>,
}

/// The outcome in words. `device` is what to call the device.
pub(crate) fn outcome(taken: &ActionTaken, device: &str) -> Outcome {
    let mut told = outcome_of_any(taken, device);
    if taken.alert.hunted.is_some() {
        told.meaning.push(
            "The alert is Cordon's own, made of what a hunt of the playbook has found: Defender shows no such alert.".into(),
        );
    }
    told
}

/// Whether Defender or a hunt has found it.
fn outcome_of_any(taken: &ActionTaken, device: &str) -> Outcome {
    let told = match taken.state {
        Some(state) if taken.effect == Effect::Release => return effect(taken, state, device),
        Some(EffectState::Observed) => observed(taken, device),
        Some(EffectState::Proposed) => proposed(taken, device),
        Some(EffectState::Refused) => refused(taken, device),
        Some(state) => return effect(taken, state, device),
        None => match taken.decision.answer {
            Answer::Isolate if taken.decision.mode == Mode::Observe => observed(taken, device),
            Answer::Isolate => decided(taken, device),
            Answer::Propose => proposed(taken, device),
            Answer::None => nothing(taken, device),
            Answer::Refused => refused(taken, device),
        },
    };
    match is_observing(taken) {
        true => Outcome {
            phrase: format!("{} (observing)", told.phrase),
            headline: format!("Nothing was done: Cordon is observing. {}", told.headline),
            ..told
        },
        false => told,
    }
}

/// The state that is told; none where nothing was to be done.
pub(crate) fn told_state(taken: &ActionTaken) -> Option<EffectState> {
    match (taken.state, taken.decision.answer) {
        (Some(state), _) => Some(state),
        (None, Answer::Propose) => Some(EffectState::Proposed),
        (None, Answer::Refused) => Some(EffectState::Refused),
        (None, Answer::Isolate) if taken.decision.mode == Mode::Observe => Some(EffectState::Observed),
        (None, Answer::Isolate) => Some(EffectState::Claimed),
        (None, Answer::None) => None,
    }
}

/// Whether it was only observed. What was asked of the service before stands as it is, whatever the mode is by now.
pub(crate) fn is_observing(taken: &ActionTaken) -> bool {
    match taken.state {
        Some(EffectState::Observed) => true,
        Some(EffectState::Proposed | EffectState::Refused) | None => taken.decision.mode == Mode::Observe,
        Some(_) => false,
    }
}

/// Whether somebody has to look now: something went wrong or waits for a decision, or a device is about to be cut off.
/// Whoever only observes is woken by nothing.
pub(crate) fn is_urgent(taken: &ActionTaken) -> bool {
    use EffectState::{Claimed, Pending, Requested, Requesting};
    let Some(state) = told_state(taken).filter(|_| !is_observing(taken)) else { return false };
    let is_about_to_be_cut_off =
        taken.effect == Effect::Isolate && matches!(state, Claimed | Requesting | Requested | Pending);
    calls_for_a_person(state) || is_about_to_be_cut_off
}

/// How a person isolates the device, after the condition for doing so.
fn by_hand(condition: &str, taken: &ActionTaken) -> Line {
    let how = match taken.device {
        DeviceFact::Known(_) => "open the device page and choose \"Isolate device\".",
        DeviceFact::Unknown { .. } if taken.alert.hunted.is_some() => {
            "Cordon does not know the device, so look for it by its name."
        }
        DeviceFact::Unknown { .. } => "Cordon does not know the device, so start from the alert.",
    };
    format!("{condition}, isolate the device in the portal: {how}").into()
}

/// What a person does who agrees with a proposal. While Cordon observes, it isolates nothing by hand either.
fn agree(taken: &ActionTaken) -> Vec<Line> {
    let observes = taken.decision.mode == Mode::Observe || taken.state == Some(EffectState::Observed);
    match taken.device.known().filter(|_| !observes) {
        Some(device) => vec![
            format!(
                "{AGREE}, have Cordon isolate the device (add --even-so for a server or a listed asset):"
            )
            .into(),
            isolate_for(&device.id, &taken.alert.id),
            "Or isolate it in the portal: open the device page and choose \"Isolate device\".".into(),
        ],
        None => vec![by_hand(AGREE, taken)],
    }
}

const AGREE: &str = "If you agree";
const MUST: &str = "If the device has to be cut off";

fn proposed(taken: &ActionTaken, device: &str) -> Outcome {
    Outcome {
        phrase: "asks whether to isolate".to_owned(),
        headline: format!("Cordon asks whether to isolate {device}. Nobody has acted."),
        meaning: vec![
            format!(
                "The policy leaves this to a person. The isolation would be {}: the device would lose {}.",
                taken.decision.isolation_type.as_str(),
                reach(taken.decision.isolation_type)
            )
            .into(),
        ],
        next: agree(taken)
            .into_iter()
            .chain(["If you do not agree, there is nothing to undo.".into()])
            .collect(),
        undo: vec![],
    }
}

fn observed(taken: &ActionTaken, device: &str) -> Outcome {
    match taken.decision.answer {
        Answer::Isolate => Outcome {
            phrase: "would isolate".to_owned(),
            headline: format!("It would have isolated {device}."),
            meaning: vec![format!(
                "In enforce mode Cordon would have asked for an isolation ({}): the device would lose {}.",
                taken.decision.isolation_type.as_str(),
                reach(taken.decision.isolation_type)
            )
            .into()],
            next: vec!["Nobody has acted. Judge the alert yourself.".into(), by_hand(AGREE, taken)],
            undo: vec![],
        },
        Answer::Propose => proposed(taken, device),
        Answer::Refused => refused(taken, device),
        Answer::None => nothing(taken, device),
    }
}

fn refused(taken: &ActionTaken, device: &str) -> Outcome {
    let decision = &taken.decision;
    let reason = decision
        .forbidden_by
        .first()
        .map(|note| &note.reason)
        .or(decision.doubts.first())
        .or(taken.notes.first());
    let reason = reason.map_or_else(|| "refused".to_owned(), |reason| model::one_line(reason, 48));
    let mut next = vec!["Nobody has acted, and the alert may still be a real one: look at it now.".into()];
    if !decision.doubts.is_empty() {
        next.push(
            "Cordon was not sure of its facts. Check the doubts under Why before you act on them.".into(),
        );
    }
    next.push(by_hand(MUST, taken));
    Outcome {
        phrase: format!("not isolated ({reason})"),
        headline: format!("Cordon did not isolate {device}: the isolation was refused."),
        meaning: vec!["Something would be permitted, but a prohibition or a doubt stands against it.".into()],
        next,
        undo: vec![],
    }
}

fn nothing(taken: &ActionTaken, device: &str) -> Outcome {
    Outcome {
        phrase: "not isolated (nothing permits it)".to_owned(),
        headline: format!("Cordon tells you of this alert and leaves {device} alone."),
        meaning: vec![
            "No policy permits an isolation here. You are told because a policy asks for that.".into(),
        ],
        next: vec!["Look at the alert.".into(), by_hand(MUST, taken)],
        undo: vec![],
    }
}

fn decided(taken: &ActionTaken, device: &str) -> Outcome {
    Outcome {
        phrase: "isolation decided, not asked for yet".to_owned(),
        headline: format!("Cordon decided to isolate {device} and has not asked for it yet."),
        meaning: vec![
            format!(
                "The isolation is to be {}: the device would lose {}.",
                taken.decision.isolation_type.as_str(),
                reach(taken.decision.isolation_type)
            )
            .into(),
        ],
        next: vec![format!("{STILL_CONNECTED} Look at the alert.").into()],
        undo: vec![],
    }
}

/// What was asked of the service, or may have been: told as it stands, whatever the mode is by now.
fn effect(taken: &ActionTaken, state: EffectState, device: &str) -> Outcome {
    let about = About {
        device,
        id: device_id(taken),
        alert: Some(&taken.alert.id),
        kind: Some(taken.decision.isolation_type),
    };
    let words = words(taken.effect, state, about);
    let Words { headline, meaning, next, undo } = words;
    Outcome { phrase: phrase(taken.effect, state), headline, meaning: vec![meaning.into()], next, undo }
}

/// The state in the subject. A device that is released is that, whichever effect has ended.
pub(crate) fn phrase(effect: Effect, state: EffectState) -> String {
    match state {
        EffectState::Released => state.to_string(),
        _ => format!("{} {state}", effect.word()),
    }
}

/// The device's id, also where the device could not be read.
fn device_id(taken: &ActionTaken) -> Option<&DeviceId> {
    let named = match &taken.alert.device {
        Some(DeviceRef::Id(id)) => Some(id),
        Some(DeviceRef::Unusable(_)) | None => None,
    };
    taken.device.known().map(|device| &device.id).or(named)
}
