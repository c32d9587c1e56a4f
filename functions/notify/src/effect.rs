//! What is said of an effect that was asked for, or may have been: each state of an isolation and of a release in
//! its own words. One place, so that no state is ever told in better words than it deserves.
//!
//! Whether it was decided for an alert or ordered by a person is not known here.

use crate::line::Line;
use model::{AlertId, DeviceId, Effect, EffectState, IsolationType};

/// What the words are about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    /// What to call the device: a stranger's text, which stands in the headline and nowhere else.
    pub(crate) device: &'a str,
    /// Its id, where there is one to give to a command.
    pub(crate) id: Option<&'a DeviceId>,
    /// The alert on whose account, where there is one.
    pub(crate) alert: Option<&'a AlertId>,
    /// How much of the network the isolation takes, where that is known.
    pub(crate) kind: Option<IsolationType>,
}

/// What is said of it.
#[derive(Debug)]
pub(crate) struct Words {
    /// A sentence.
    pub(crate) headline: String,
    pub(crate) meaning: String,
    pub(crate) next: Vec<Line>,
    pub(crate) undo: Vec<Line>,
}

pub(crate) const STILL_CONNECTED: &str = "Treat the device as connected.";
const STILL_CUT_OFF: &str = "Treat the device as cut off until its release is reported.";

/// Whether a person has to look at it, or to decide: it did not come about, perhaps did not, or waits for somebody.
pub(crate) fn calls_for_a_person(state: EffectState) -> bool {
    use EffectState::{Cancelled, Failed, Held, Proposed, Refused, TimedOut, Unknown};
    matches!(state, Cancelled | Failed | Held | Proposed | Refused | TimedOut | Unknown)
}

/// What the isolation's type takes from the device.
pub(crate) fn reach(kind: IsolationType) -> &'static str {
    match kind {
        IsolationType::Full => "everything but the connection to Defender",
        IsolationType::Selective => "everything but the connection to Defender, Outlook, Teams and Skype",
    }
}

pub(crate) fn words(effect: Effect, state: EffectState, about: About<'_>) -> Words {
    match effect {
        Effect::Isolate => isolation(state, about),
        Effect::Release => release(state, about),
    }
}

fn isolation(state: EffectState, about: About<'_>) -> Words {
    let (headline, meaning) = isolation_told(state, about);
    let next = match state {
        EffectState::Requesting => vec![
            STILL_CONNECTED.into(),
            "Look at the device's action center before you isolate it by hand.".into(),
        ],
        EffectState::Requested => vec![
            "Look at the alert and at the device. Do not count on the isolation before it is reported as \
             succeeded."
                .into(),
        ],
        EffectState::Pending => {
            vec![STILL_CONNECTED.into(), "If it has to be cut off now, do it on the network.".into()]
        }
        EffectState::Succeeded => {
            vec!["Tell whoever works with the device. Investigate, and release it when it is clean.".into()]
        }
        EffectState::Failed => again(
            about,
            "Look for the reason in the device's action center.",
            "in the portal (device page: \"Isolate device\") or cut it off on the network",
        ),
        EffectState::TimedOut => again(
            about,
            "It is not asked for again by itself.",
            "in the portal (device page: \"Isolate device\") or keep it off the network",
        ),
        EffectState::Cancelled => again(
            about,
            "The device's action center says who cancelled it.",
            "in the portal (device page: \"Isolate device\")",
        ),
        EffectState::Adopted => {
            vec!["Look at the device's action center for who asked for it and how far it has come.".into()]
        }
        EffectState::Unknown => vec![
            "Do not isolate it again by hand before looking at the device's action center.".into(),
            "Until then, treat the device as connected.".into(),
        ],
        EffectState::Held => let_go_on(about),
        EffectState::Released => vec![
            "Make sure that it is clean.".into(),
            "If a person released it, Cordon only asks before it isolates it again, for 24 hours unless the \
             playbook says otherwise."
                .into(),
        ],
        EffectState::Claimed | EffectState::Refused | EffectState::Observed | EffectState::Proposed => {
            vec![STILL_CONNECTED.into()]
        }
    };
    let undo = match state {
        EffectState::Succeeded => release_it(about),
        EffectState::Requesting
        | EffectState::Requested
        | EffectState::Pending
        | EffectState::Adopted
        | EffectState::Unknown => {
            let cancel =
                "As long as the isolation is pending, cancel it in the device's action center instead.";
            release_it(about).into_iter().chain([cancel.into()]).collect()
        }
        EffectState::Released => isolate_it(about, "To cut the device off again, isolate it:"),
        EffectState::Claimed
        | EffectState::Failed
        | EffectState::TimedOut
        | EffectState::Cancelled
        | EffectState::Refused
        | EffectState::Observed
        | EffectState::Proposed
        | EffectState::Held => vec![],
    };
    Words { headline, meaning, next, undo }
}

/// The headline of an isolation, and what it means.
fn isolation_told(state: EffectState, about: About<'_>) -> (String, String) {
    let device = about.device;
    let lost = about.kind.map_or("its network", reach);
    let (headline, meaning) = match state {
        EffectState::Claimed => (
            format!("Cordon is about to ask for the isolation of {device}. Nothing was asked yet."),
            "It has reserved the device for this, nothing more.",
        ),
        EffectState::Requesting => (
            format!("Cordon is asking for the isolation of {device}. There is no answer yet."),
            "The request may be under way.",
        ),
        EffectState::Requested => {
            return (
                format!("Cordon asked for the isolation of {device}, and Defender accepted the request."),
                format!(
                    "Accepted is not isolated: the device is cut off only once its sensor has carried this out. \
                     It will then lose {lost}."
                ),
            );
        }
        EffectState::Pending => (
            format!("The isolation of {device} is still pending: it is not known to be cut off."),
            "Defender has the request, and the device has not carried it out. It may be switched off or offline; \
             Defender gives up after about three days.",
        ),
        EffectState::Succeeded => {
            let kind = about.kind.map_or_else(String::new, |kind| format!(" ({} isolation)", kind.as_str()));
            return (
                format!("{device} is isolated: Defender reports that the isolation succeeded."),
                format!("The device has lost {lost}{kind}."),
            );
        }
        EffectState::Failed => {
            let meaning = "It was not carried out; what is noted here says why, where that is known.";
            (format!("The isolation of {device} failed."), meaning)
        }
        EffectState::TimedOut => (
            format!("The isolation of {device} timed out: Defender has given up."),
            "Usually the device was offline all the time. It is not isolated when it comes back.",
        ),
        EffectState::Cancelled => (
            format!("The isolation of {device} was cancelled."),
            "Somebody cancelled the machine action before it was carried out.",
        ),
        EffectState::Adopted => (
            format!("Cordon asked for nothing: an isolation of {device} is open or in force already."),
            "It was not asked for this time; what is noted here says whose it is, where that is known. Open is \
             not isolated: it may not be carried out yet.",
        ),
        EffectState::Unknown => (
            format!("It is unknown whether the isolation of {device} was asked for."),
            "The request may or may not have reached Defender. Cordon settles this by reading the device's \
             actions, never by blindly asking again.",
        ),
        EffectState::Held => (
            format!("The isolation of {device} is held: nothing was asked, and the device is connected."),
            "A limit, an open breaker or a pause stands against it. It waits for a person, for 24 hours; after \
             that it is given up, and people are told.",
        ),
        EffectState::Released => (
            format!("{device} is released: Defender reports that its isolation has ended."),
            "The device has its network back.",
        ),
        EffectState::Refused => (
            format!("Cordon did not isolate {device}: the isolation was refused."),
            "Nothing was asked. What is noted here says why.",
        ),
        EffectState::Observed => (
            format!("Cordon did not isolate {device}: it is observing."),
            "In observe mode nothing is asked for, also where a person orders it.",
        ),
        EffectState::Proposed => (
            format!("Cordon asks whether to isolate {device}. Nobody has acted."),
            "The policy leaves this to a person.",
        ),
    };
    (headline, meaning.to_owned())
}

fn release(state: EffectState, about: About<'_>) -> Words {
    let (headline, meaning) = release_told(state, about.device);
    let next = match state {
        EffectState::Released | EffectState::Succeeded => vec![
            "Make sure that it is clean, and tell whoever works with the device.".into(),
            "If a person released it, Cordon only asks before it isolates it again, for 24 hours unless the \
             playbook says otherwise."
                .into(),
        ],
        EffectState::Failed => release_again(about, "Look for the reason in the device's action center."),
        EffectState::TimedOut => release_again(about, "It is not asked for again by itself."),
        EffectState::Cancelled => release_again(about, "The device's action center says who cancelled it."),
        EffectState::Refused => {
            release_again(about, "Read why, and change that first if it has to be released all the same.")
        }
        EffectState::Unknown | EffectState::Requesting => vec![
            STILL_CUT_OFF.into(),
            "Look at the device's action center before you release it by hand.".into(),
        ],
        EffectState::Pending => vec![
            STILL_CUT_OFF.into(),
            "If it is needed now, see that it is switched on and reaches Defender.".into(),
        ],
        EffectState::Claimed
        | EffectState::Requested
        | EffectState::Adopted
        | EffectState::Observed
        | EffectState::Proposed
        | EffectState::Held => vec![STILL_CUT_OFF.into()],
    };
    let undo = match state {
        EffectState::Released | EffectState::Succeeded => {
            isolate_it(about, "To cut the device off again, isolate it:")
        }
        EffectState::Requesting
        | EffectState::Requested
        | EffectState::Pending
        | EffectState::Adopted
        | EffectState::Unknown => {
            let cancel = "As long as the release is pending, cancel it in the device's action center; the device stays \
                 cut off.";
            vec![cancel.into()]
        }
        EffectState::Claimed
        | EffectState::Failed
        | EffectState::TimedOut
        | EffectState::Cancelled
        | EffectState::Refused
        | EffectState::Observed
        | EffectState::Proposed
        | EffectState::Held => vec![],
    };
    Words { headline, meaning, next, undo }
}

/// The headline of a release, and what it means.
fn release_told(state: EffectState, device: &str) -> (String, String) {
    let (headline, meaning) = match state {
        EffectState::Claimed => (
            format!("Cordon is about to ask for the release of {device}. Nothing was asked yet."),
            "It has reserved the device for this, nothing more.",
        ),
        EffectState::Requesting => (
            format!("Cordon is asking for the release of {device}. There is no answer yet."),
            "The request may be under way.",
        ),
        EffectState::Requested => (
            format!("Cordon asked for the release of {device}, and Defender accepted the request."),
            "Accepted is not released: the device has its network back only once its sensor has carried this \
             out.",
        ),
        EffectState::Pending => (
            format!("The release of {device} is still pending: it is not known to have its network back."),
            "Defender has the request, and the device has not carried it out. It may be switched off or offline; \
             Defender gives up after about three days.",
        ),
        EffectState::Succeeded | EffectState::Released => (
            format!("{device} is released: Defender reports that its isolation has ended."),
            "The device has its network back.",
        ),
        EffectState::Failed => {
            (format!("The release of {device} failed."), "It was not carried out: the device stays cut off.")
        }
        EffectState::TimedOut => (
            format!("The release of {device} timed out: Defender has given up."),
            "Usually the device was offline all the time. It is still cut off when it comes back.",
        ),
        EffectState::Cancelled => (
            format!("The release of {device} was cancelled."),
            "Somebody cancelled the machine action before it was carried out: the device stays cut off.",
        ),
        EffectState::Adopted => (
            format!("Cordon asked for nothing: a release of {device} is open already."),
            "Open is not released: it may not be carried out yet.",
        ),
        EffectState::Unknown => (
            format!("It is unknown whether the release of {device} was asked for."),
            "The request may or may not have reached Defender. Cordon settles this by reading the device's \
             actions, never by blindly asking again.",
        ),
        EffectState::Refused => (
            format!("Cordon did not release {device}: the release was refused."),
            "Nothing was asked. What is noted here says why.",
        ),
        EffectState::Observed => (
            format!("Cordon did not release {device}: it is observing."),
            "In observe mode nothing is asked for.",
        ),
        EffectState::Proposed => (
            format!("Cordon asks whether to release {device}. Nobody has acted."),
            "This is left to a person.",
        ),
        EffectState::Held => (
            format!("The release of {device} is held: nothing was asked."),
            "No limit holds a release; what is noted here says why.",
        ),
    };
    (headline, meaning.to_owned())
}

/// How to ask once more for an isolation that came to nothing.
fn again(about: About<'_>, first: &str, by_hand: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![STILL_CONNECTED.into(), first.into()];
    match about.id {
        Some(id) => {
            lines.push("If the device still has to be cut off, have Cordon ask once more:".into());
            lines.push(Line::Command(format!("cordon isolate {id} --reissue --comment \"…\"")));
            lines.push(format!("Or isolate it {by_hand}.").into());
        }
        None => lines.push(format!("If the device still has to be cut off, isolate it {by_hand}.").into()),
    }
    lines
}

/// How to let a held isolation go on.
fn let_go_on(about: About<'_>) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![
        STILL_CONNECTED.into(),
        "See what is held and why, the most severe first:".into(),
        Line::command("cordon held"),
    ];
    lines.extend(open_the_gate());
    match about.alert {
        Some(alert) => {
            lines.push("Then let it go on; it is judged anew:".into());
            lines.push(Line::Command(format!("cordon held run {} --comment \"…\"", safe_id(alert))));
        }
        None => lines.extend(isolate_it(about, "Then give the order again:")),
    }
    lines
}

/// How to take away what holds isolations back. What it is stands in the notes, or in the facts.
pub(crate) fn open_the_gate() -> Vec<Line> {
    vec![
        "If a limit holds it back, raise the limit for a while:".into(),
        Line::command("cordon limits raise --to N --for 1h --comment \"…\""),
        "If a breaker is open, look at its alerts first, then close it by the name that `cordon limits` gives:".into(),
        Line::command("cordon limits close \"BREAKER\" --comment \"…\""),
        "If Cordon is paused:".into(),
        Line::command("cordon resume --comment \"…\""),
    ]
}

/// How to give a device its network back.
fn release_it(about: About<'_>) -> Vec<Line> {
    let portal = "open the device page and choose \"Release from isolation\".";
    match about.id {
        Some(id) => vec![
            "Have Cordon release the device:".into(),
            Line::Command(format!("cordon release {id} --comment \"…\"")),
            format!("Or in the portal: {portal}").into(),
        ],
        None => vec![format!("In the portal, {portal}").into()],
    }
}

fn release_again(about: About<'_>, first: &str) -> Vec<Line> {
    let lines = [STILL_CUT_OFF.into(), first.into()];
    lines.into_iter().chain(release_it(about)).collect()
}

fn isolate_it(about: About<'_>, first: &str) -> Vec<Line> {
    match about.id {
        Some(id) => vec![first.into(), Line::Command(format!("cordon isolate {id} --comment \"…\""))],
        None => vec![],
    }
}

/// How to isolate a device that Cordon has only asked about.
pub(crate) fn isolate_for(id: &DeviceId, alert: &AlertId) -> Line {
    Line::Command(format!("cordon isolate {id} --alert {} --comment \"…\"", safe_id(alert)))
}

/// An alert's id as it may stand in a command that people copy into a shell; one that could do something there is
/// left for them to fill in.
fn safe_id(alert: &AlertId) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let id = alert.as_str();
    if id.chars().all(plain) && !id.starts_with('-') { id } else { "ALERT_ID" }
}
