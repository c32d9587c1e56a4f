//! From what the policies say and what is doubtful to one answer.
//!
//! The policies permit; the guarantees and Cordon's own doubts, here in code, can only take away: no policy can allow
//! what a guarantee forbids, or acting on data that are missing, stale or contradictory.

use crate::{
    AssetList, Case, Playbook,
    facts::Facts,
    rules::{Put, Rule, Ruling, Rulings},
};
use model::{
    Alert, AlertStatus, Answer, Classification, Decision, DeviceFact, DeviceRef, IsolationType, Mode,
    Onboarding, PolicyNote, Reasoning, Side, Spoke, one_line,
};
use std::collections::BTreeMap;

/// `lists`: those of the playbook, or what stands in for them.
pub(crate) fn decide(playbook: &Playbook, lists: &[AssetList], case: &Case<'_>) -> Decision {
    let mode = case.environment_mode.unwrap_or(playbook.settings.mode);
    let facts = Facts::new(case, mode, &playbook.settings, lists);
    let reasoning = Reasoning {
        policies: None,
        mode: Some(mode),
        of_guarantees: Vec::new(),
        of_lists: Vec::new(),
        surroundings: case.surroundings,
        spoke: Vec::new(),
        inputs: facts.inputs(&|path| playbook.asks_for(path)),
        guarantees: playbook.guarantees.all().len(),
        playbook: playbook.digest.clone(),
    };
    let put = playbook.rules.put(case, &facts);
    match put.and_then(|put| Ok((playbook.rules.judge(&put)?, put))) {
        Ok((rulings, put)) => decide_by(playbook, lists, case, mode, &rulings, &put, reasoning),
        Err(error) => {
            let error = format!("the case could not be put to the policies: {}", one_line(&error, 300));
            Decision {
                answer: Answer::Refused,
                mode,
                isolation_type: playbook.settings.isolation.isolation_type,
                permitted_by: Vec::new(),
                forbidden_by: Vec::new(),
                doubts: [vec![error], severity_doubts(case.alert), doubts(case)].concat(),
                tell: true,
                reasoning,
            }
        }
    }
}

fn decide_by(
    playbook: &Playbook,
    lists: &[AssetList],
    case: &Case<'_>,
    mode: Mode,
    rulings: &Rulings<'_>,
    put: &Put,
    reasoning: Reasoning,
) -> Decision {
    let said = Said::of(rulings, mode);
    let mode = said.mode(mode);
    let (isolation_type, conflict) = said.isolation_type(mode, playbook.settings.isolation.isolation_type);
    let acts = matches!(said.answer, Answer::Isolate | Answer::Propose);

    let errors = rulings.errors.iter().map(|error| one_line(error, 300));
    let mut own: Vec<String> = errors.chain(severity_doubts(case.alert)).collect();
    // Where nothing permits anything, most doubts do not matter. But where the severity is unknown or a policy erred,
    // that nothing permits is itself in doubt.
    if said.answer != Answer::None || !own.is_empty() {
        own.extend(doubts(case));
    }
    own.extend(conflict.filter(|_| acts));
    own.extend(hunt_doubt(case.alert).filter(|_| said.answer == Answer::Isolate));
    let of_lists = if acts { overdue(lists, case) } else { Vec::new() };
    let (guarantees, of_guarantees) = guaranteed(playbook, said.answer, put);
    let doubts = [own, of_lists.clone(), of_guarantees.clone()].concat();

    let answer = if doubts.is_empty() { said.answer } else { Answer::Refused };
    let tell = match answer {
        Answer::Isolate | Answer::Propose => true,
        Answer::Refused => !doubts.is_empty() || rulings.notify.allowed,
        Answer::None => rulings.notify.allowed,
    };
    let mut spoke = spoke(rulings);
    spoke.extend(guarantees.iter().map(|rule| Spoke {
        action: word(said.answer).to_owned(),
        side: Side::Guarantee,
        policy: rule.id.clone(),
    }));
    let reasoning = Reasoning { policies: Some(said.answer), of_guarantees, of_lists, spoke, ..reasoning };
    Decision {
        answer,
        mode,
        isolation_type,
        permitted_by: said.permits.values().map(|rule| rule.note()).collect(),
        forbidden_by: said.forbidden_by().into_iter().chain(guarantees.iter().map(|r| r.note())).collect(),
        doubts,
        tell,
        reasoning,
    }
}

/// Lists that nobody has looked through in time: whether the device is special cannot be told.
fn overdue(lists: &[AssetList], case: &Case<'_>) -> Vec<String> {
    let lists = lists.iter().filter(|list| list.is_stale(case.now));
    lists
        .map(|list| {
            let (name, due) = (&list.name, list.review_by);
            format!("the asset list `{name}` was due for review on {due}; review it and set a new date")
        })
        .collect()
}

/// The second gate: the guarantees that forbid what the policies permit, and what has to be said about it.
fn guaranteed<'p>(playbook: &'p Playbook, answer: Answer, put: &Put) -> (Vec<&'p Rule>, Vec<String>) {
    match playbook.guarantees.forbids(answer, put) {
        Ok((forbids, errors)) => {
            let broken = forbids.iter().map(|rule| {
                format!(
                    "the policy permits what the guarantee `{}` forbids; `cordon prove` shows how to mend it",
                    rule.id
                )
            });
            let said = broken.chain(errors.iter().map(|error| one_line(error, 300))).collect();
            (forbids, said)
        }
        Err(error) => {
            let said = format!("the case could not be put to the guarantees: {}", one_line(&error, 300));
            (Vec::new(), vec![said])
        }
    }
}

/// The action behind an answer, as the schema names it.
fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Isolate => "isolate",
        Answer::Propose => "proposeIsolate",
        Answer::None | Answer::Refused => "none",
    }
}

/// Every policy that spoke, for every action that was asked about.
fn spoke(rulings: &Rulings<'_>) -> Vec<Spoke> {
    let asked = [
        (word(Answer::Isolate), &rulings.isolate),
        (word(Answer::Propose), &rulings.propose),
        ("notify", &rulings.notify),
    ];
    let mut spoke = Vec::new();
    for (action, ruling) in asked {
        let permits = ruling.permits.iter().map(|rule| (Side::Permit, rule));
        for (side, rule) in permits.chain(ruling.forbids.iter().map(|rule| (Side::Forbid, rule))) {
            spoke.push(Spoke { action: action.to_owned(), side, policy: rule.id.clone() });
        }
    }
    spoke
}

/// What the policies say, doubts aside.
struct Said<'a> {
    answer: Answer,
    /// The permits that spoke for it, by id.
    permits: BTreeMap<&'a str, &'a Rule>,
    /// The forbids that stood against what was permitted, by id.
    forbids: BTreeMap<&'a str, &'a Rule>,
}

impl<'a> Said<'a> {
    fn of(rulings: &Rulings<'a>, mode: Mode) -> Said<'a> {
        let Rulings { isolate, propose, .. } = rulings;
        let in_force = |ruling: &Ruling<'_>| ruling.permits.iter().any(|rule| !rule.observe_only);
        // An isolation that is only tried out must not take the place of a question that is in force.
        let only_tried = mode == Mode::Enforce && !in_force(isolate) && propose.allowed && in_force(propose);
        // Forbids count only where something was permitted that they could take away.
        let taken =
            |ruling: &Ruling<'a>| if ruling.permits.is_empty() { Vec::new() } else { ruling.forbids.clone() };

        if isolate.allowed && !only_tried {
            Said::new(Answer::Isolate, [&isolate.permits], [])
        } else if propose.allowed {
            Said::new(Answer::Propose, [&propose.permits], [&taken(isolate)])
        } else if isolate.permits.is_empty() && propose.permits.is_empty() {
            Said::new(Answer::None, [], [])
        } else {
            Said::new(
                Answer::Refused,
                [&isolate.permits, &propose.permits],
                [&taken(isolate), &taken(propose)],
            )
        }
    }

    fn new<const P: usize, const F: usize>(
        answer: Answer,
        permits: [&Vec<&'a Rule>; P],
        forbids: [&Vec<&'a Rule>; F],
    ) -> Said<'a> {
        let by_id =
            |rules: &[&Vec<&'a Rule>]| rules.iter().copied().flatten().map(|r| (r.id.as_str(), *r)).collect();
        Said { answer, permits: by_id(&permits), forbids: by_id(&forbids) }
    }

    fn forbidden_by(&self) -> Vec<PolicyNote> {
        self.forbids.values().map(|rule| rule.note()).collect()
    }

    /// The strictest mode: enforcing needs a permit that is not there to be observed only.
    fn mode(&self, mode: Mode) -> Mode {
        let only_tried = !self.permits.is_empty() && self.permits.values().all(|rule| rule.observe_only);
        if only_tried { Mode::Observe } else { mode }
    }

    /// The kind of isolation that the permits name, or a doubt where they name different ones. A permit that
    /// is only tried out has no say where others are in force.
    fn isolation_type(&self, mode: Mode, otherwise: IsolationType) -> (IsolationType, Option<String>) {
        let counts = |rule: &&&Rule| mode == Mode::Observe || !rule.observe_only;
        let naming: Vec<(&Rule, IsolationType)> = self
            .permits
            .values()
            .filter(counts)
            .filter_map(|rule| Some((*rule, rule.isolation_type?)))
            .collect();
        let Some((first, kind)) = naming.first() else { return (otherwise, None) };
        let conflict = naming.iter().find(|(_, other)| other != kind).map(|(second, other)| {
            let ((one, other), (kind, second)) = ((&first.id, other.as_str()), (kind.as_str(), &second.id));
            format!(
                "the policies `{one}` and `{second}` name different kinds of isolation: {kind} and {other}"
            )
        });
        (if conflict.is_some() { otherwise } else { *kind }, conflict)
    }
}

/// Without a severity that is understood, not even "nothing permits this" can be concluded.
fn severity_doubts(alert: &Alert) -> Vec<String> {
    let doubt = match &alert.severity {
        None => Some("the alert has no severity".to_owned()),
        Some(severity) if severity.rank().is_none() => {
            Some(format!("the alert's severity `{}` is not known", one_line(severity.as_str(), 60)))
        }
        Some(_) => None,
    };
    doubt.into_iter().collect()
}

/// A row cuts off a device only where its hunt says so, whatever the policies say.
fn hunt_doubt(alert: &Alert) -> Option<String> {
    let hunt = alert.hunted.as_ref().filter(|hunted| !hunted.may_isolate)?;
    let name = one_line(&hunt.hunt, 60);
    Some(format!(
        "the hunt `{name}` does not say that its rows may cut off a device: set `may_isolate = true` in hunts/{name}.toml, or \
         have the policy ask a person"
    ))
}

/// A status or a classification that is not understood may be one that forbids acting.
fn word_doubts(alert: &Alert) -> Vec<String> {
    let mut doubts = Vec::new();
    match &alert.status {
        None => doubts.push("the alert has no status".to_owned()),
        Some(AlertStatus::Other(word)) => {
            doubts.push(format!("the alert's status `{}` is not known", one_line(word, 60)));
        }
        Some(AlertStatus::Unknown | AlertStatus::New | AlertStatus::InProgress | AlertStatus::Resolved) => {}
    }
    if let Some(Classification::Other(word)) = &alert.classification {
        doubts.push(format!("the alert's classification `{}` is not known", one_line(word, 60)));
    }
    doubts
}

/// What else about alert and device forbids acting on them.
fn doubts(case: &Case<'_>) -> Vec<String> {
    let mut doubts = Vec::new();
    if !case.alert.unreadable.is_empty() {
        doubts.push(format!("the alert could not be read in full: {}", unreadable(&case.alert.unreadable)));
    }
    doubts.extend(word_doubts(case.alert));
    let device = match case.device {
        DeviceFact::Known(device) => device,
        DeviceFact::Unknown { why } => {
            doubts.push(format!("the device is not known: {}", one_line(why, 300)));
            return doubts;
        }
    };
    match &case.alert.device {
        Some(DeviceRef::Id(id)) if *id == device.id => {}
        Some(DeviceRef::Id(id)) => {
            doubts.push(format!("the alert names the device `{id}`, but `{}` was looked up", device.id));
        }
        Some(DeviceRef::Unusable(text)) => {
            doubts.push(format!(
                "the alert names its device by `{}`, which is no machine id",
                one_line(text, 80)
            ));
        }
        None => doubts.push("the alert names no device".to_owned()),
    }
    if !device.unreadable.is_empty() {
        doubts.push(format!("the device could not be read in full: {}", unreadable(&device.unreadable)));
    }
    if device.tags.is_none() {
        doubts.push("the device's tags are not known".to_owned());
    }
    if device.class().is_none() {
        doubts.push(match &device.os_platform {
            Some(platform) => format!("the device's platform `{}` is not known", one_line(platform, 60)),
            None => "the device has no platform".to_owned(),
        });
    }
    match &device.onboarding {
        None | Some(Onboarding::Onboarded) => {}
        Some(
            other @ (Onboarding::CanBeOnboarded
            | Onboarding::Unsupported
            | Onboarding::InsufficientInfo
            | Onboarding::Other(_)),
        ) => doubts.push(format!("the device is not onboarded: `{}`", one_line(other.as_str(), 60))),
    }
    if let Some(other) = &device.merged_into {
        doubts.push(format!("the device was merged into `{}`", one_line(other, 60)));
    }
    doubts
}

fn unreadable(fields: &[String]) -> String {
    one_line(&fields.join("; "), 300)
}
