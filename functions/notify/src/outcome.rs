//! What is said of each answer and each state: the words of the subject, the first line, what it means, what to
//! do next. One place, so that no state is ever told in better words than it deserves.

use model::{ActionTaken, Answer, DeviceFact, EffectState, IsolationType, Mode};

/// What people read about one outcome.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// In the subject.
    pub(crate) phrase: String,
    /// The first line: a sentence.
    pub(crate) headline: String,
    pub(crate) meaning: Vec<String>,
    pub(crate) next: Vec<String>,
    /// How to take an isolation back, where there may be one.
    pub(crate) undo: Vec<String>,
}

/// The outcome in words. `device` is what to call the device.
pub(crate) fn outcome(taken: &ActionTaken, device: &str) -> Outcome {
    let told = match taken.state {
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
    let mode = if taken.state == Some(EffectState::Observed) { Mode::Observe } else { taken.decision.mode };
    match mode {
        Mode::Observe => Outcome {
            phrase: format!("{} (observing)", told.phrase),
            headline: format!("Nothing was done: Cordon is observing. {}", told.headline),
            ..told
        },
        Mode::Enforce => told,
    }
}

/// What the isolation's type takes from the device.
fn reach(kind: IsolationType) -> &'static str {
    match kind {
        IsolationType::Full => "everything but the connection to Defender",
        IsolationType::Selective => "everything but the connection to Defender, Outlook, Teams and Skype",
    }
}

/// How a person isolates the device, after the condition for doing so.
fn by_hand(condition: &str, taken: &ActionTaken) -> String {
    let how = match taken.device {
        DeviceFact::Known(_) => "open the device page (below) and choose \"Isolate device\".",
        DeviceFact::Unknown { .. } => "Cordon does not know the device, so start from the alert (below).",
    };
    format!("{condition}, isolate the device in the portal: {how}")
}

const AGREE: &str = "If you agree";
const MUST: &str = "If the device has to be cut off";
const STILL_CONNECTED: &str = "Treat the device as connected.";

fn proposed(taken: &ActionTaken, device: &str) -> Outcome {
    Outcome {
        phrase: "asks whether to isolate".to_owned(),
        headline: format!("Cordon asks whether to isolate {device}. Nobody has acted."),
        meaning: vec![format!(
            "The policy leaves this to a person. The isolation would be {}: the device would lose {}.",
            taken.decision.isolation_type.as_str(),
            reach(taken.decision.isolation_type)
        )],
        next: vec![by_hand(AGREE, taken), "If you do not agree, there is nothing to undo.".to_owned()],
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
            )],
            next: vec!["Nobody has acted. Judge the alert yourself.".to_owned(), by_hand(AGREE, taken)],
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
    let mut next =
        vec!["Nobody has acted, and the alert may still be a real one: look at it now.".to_owned()];
    if !decision.doubts.is_empty() {
        next.push(
            "Cordon was not sure of its facts. Check the doubts above before you act on them.".to_owned(),
        );
    }
    next.push(by_hand(MUST, taken));
    Outcome {
        phrase: format!("not isolated ({reason})"),
        headline: format!("Cordon did not isolate {device}: the isolation was refused."),
        meaning: vec![
            "Something would be permitted, but a prohibition or a doubt stands against it.".to_owned(),
        ],
        next,
        undo: vec![],
    }
}

fn nothing(taken: &ActionTaken, device: &str) -> Outcome {
    Outcome {
        phrase: "not isolated (nothing permits it)".to_owned(),
        headline: format!("Cordon tells you of this alert and leaves {device} alone."),
        meaning: vec![
            "No policy permits an isolation here. You are told because a policy asks for that.".to_owned(),
        ],
        next: vec!["Look at the alert.".to_owned(), by_hand(MUST, taken)],
        undo: vec![],
    }
}

fn decided(taken: &ActionTaken, device: &str) -> Outcome {
    Outcome {
        phrase: "isolation decided, not asked for yet".to_owned(),
        headline: format!("Cordon decided to isolate {device} and has not asked for it yet."),
        meaning: vec![format!(
            "The isolation is to be {}: the device would lose {}.",
            taken.decision.isolation_type.as_str(),
            reach(taken.decision.isolation_type)
        )],
        next: vec![STILL_CONNECTED.to_owned() + " Look at the alert."],
        undo: vec![],
    }
}

/// What was asked of the service, or may have been: told as it stands, whatever the mode is by now.
fn effect(taken: &ActionTaken, state: EffectState, device: &str) -> Outcome {
    let kind = taken.decision.isolation_type;
    let (headline, meaning, next) = match state {
        EffectState::Claimed => (
            format!("Cordon is about to ask for the isolation of {device}. Nothing was asked yet."),
            "It has reserved the device for this, nothing more.".to_owned(),
            vec![STILL_CONNECTED],
        ),
        EffectState::Requesting => (
            format!("Cordon is asking for the isolation of {device}. There is no answer yet."),
            "The request may be under way.".to_owned(),
            vec![STILL_CONNECTED, "Look at the device's action center before you isolate it by hand."],
        ),
        EffectState::Requested => (
            format!("Cordon asked for the isolation of {device}, and Defender accepted the request."),
            format!(
                "Accepted is not isolated: the device is cut off only once its sensor has carried this out. It \
                 will then lose {}.",
                reach(kind)
            ),
            vec![
                "Look at the alert and at the device. Do not count on the isolation before it is reported as \
                 succeeded.",
            ],
        ),
        EffectState::Pending => (
            format!("The isolation of {device} is still pending: it is not known to be cut off."),
            "Defender has the request, and the device has not carried it out. It may be switched off or \
             offline; Defender gives up after about three days."
                .to_owned(),
            vec![STILL_CONNECTED, "If it has to be cut off now, do it on the network."],
        ),
        EffectState::Succeeded => (
            format!("{device} is isolated: Defender reports that the isolation succeeded."),
            format!("The device has lost {} ({} isolation).", reach(kind), kind.as_str()),
            vec!["Tell whoever works with the device. Investigate, and release it when it is clean."],
        ),
        EffectState::Failed => (
            format!("The isolation of {device} failed."),
            "Defender reports that it was not carried out.".to_owned(),
            vec![
                STILL_CONNECTED,
                "Look for the reason in the device's action center. If the device has to be cut off, isolate it \
                 in the portal (device page, below: \"Isolate device\") or cut it off on the network.",
            ],
        ),
        EffectState::TimedOut => (
            format!("The isolation of {device} timed out: Defender has given up."),
            "Usually the device was offline all the time. It is not isolated when it comes back.".to_owned(),
            vec![
                STILL_CONNECTED,
                "If the device still has to be cut off, isolate it in the portal (device page, below: \"Isolate \
                 device\") or keep it off the network.",
            ],
        ),
        EffectState::Cancelled => (
            format!("The isolation of {device} was cancelled."),
            "Somebody cancelled the machine action before it was carried out.".to_owned(),
            vec![
                STILL_CONNECTED,
                "The device's action center says who cancelled it. If that was not meant, isolate the device in \
                 the portal (device page, below: \"Isolate device\").",
            ],
        ),
        EffectState::Adopted => (
            format!("Cordon asked for nothing: an isolation of {device} is open or in force already."),
            "It was not asked for on account of this alert; the notes below say whose it is, where that is \
             known. Open is not isolated: it may not be carried out yet."
                .to_owned(),
            vec!["Look at the device's action center for who asked for it and how far it has come."],
        ),
        EffectState::Unknown => (
            format!("It is unknown whether the isolation of {device} was asked for."),
            "The request may or may not have reached Defender. Cordon settles this by reading the device's \
             actions, never by blindly asking again."
                .to_owned(),
            vec![
                "Do not isolate it again by hand before looking at the device's action center.",
                "Until then, treat the device as connected.",
            ],
        ),
        // These are not effects and never come here; should they, the bare word is the truth.
        EffectState::Refused | EffectState::Observed | EffectState::Proposed => {
            (format!("Isolation of {device}: {state}."), String::new(), vec![STILL_CONNECTED])
        }
    };
    let release = "In the portal, open the device page (below) and choose \"Release from isolation\".";
    let cancel = "As long as the isolation is pending, cancel it in the device's action center instead.";
    let undo = match state {
        EffectState::Succeeded => vec![release],
        EffectState::Requesting
        | EffectState::Requested
        | EffectState::Pending
        | EffectState::Adopted
        | EffectState::Unknown => vec![release, cancel],
        EffectState::Claimed
        | EffectState::Failed
        | EffectState::TimedOut
        | EffectState::Cancelled
        | EffectState::Refused
        | EffectState::Observed
        | EffectState::Proposed => vec![],
    };
    Outcome {
        phrase: format!("isolation {state}"),
        headline,
        meaning: vec![meaning],
        next: next.into_iter().map(str::to_owned).collect(),
        undo: undo.into_iter().map(str::to_owned).collect(),
    }
}
