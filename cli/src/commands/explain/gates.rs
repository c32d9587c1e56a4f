//! How each gate stood to an isolation, in the order in which a case comes to them: read from the decision, the state and
//! the notes of the case. It asks nobody, and decides nothing.

use model::{Answer, Decision, EffectState, Mode, PolicyNote, Side, one_line};
use ports::CaseRow;
use serde::Serialize;

/// What a gate said to isolating the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Passed,
    /// It stood against it.
    Against,
    /// What came before stood against it already.
    NotReached,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Against => "against",
            Verdict::NotReached => "not reached",
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Gate {
    gate: &'static str,
    verdict: Verdict,
    /// How, in words; empty for one that was not reached.
    said: String,
}

impl Gate {
    pub(super) fn line(&self) -> String {
        let text = format!("{:<13}{:<13}{}", self.gate, self.verdict.as_str(), one_line(&self.said, 600));
        text.trim_end().to_owned()
    }
}

/// Whether a person has ordered what was done, so that the policy had no say.
pub(super) fn is_by_hand(decision: &Decision) -> bool {
    decision.permitted_by.iter().any(|note| note.id == model::BY_HAND)
}

/// Every gate's verdict on the last decision.
pub(super) fn of(row: &CaseRow) -> Vec<Gate> {
    let decision = &row.last.decision;
    let says = policy_says(decision);
    let by_hand = is_by_hand(decision);
    let is_permitted = matches!(says, Answer::Isolate | Answer::Propose) && !by_hand;
    let doubts = Doubts::of(decision);
    let isolates = says == Answer::Isolate && doubts.is_none;
    let acts = isolates && decision.mode == Mode::Enforce;
    let (held, hands_off) = (held(row), hands_off(row, says));
    let is_let_through = acts && held.is_none();
    let is_claimed = is_let_through && hands_off.is_none();
    vec![
        policy(decision, says),
        guarantees(decision, is_permitted),
        gate("doubts", is_permitted, doubts.own, "nothing about alert and device is doubtful"),
        gate("asset lists", is_permitted, doubts.lists, "none is overdue for its review"),
        gate("mode", isolates, observed(decision), "`enforce`"),
        gate("brakes", acts, held, "no pause, limit or breaker stood against it"),
        gate("hands off", is_let_through, hands_off, "nobody had lately given the device back"),
        gate("claim", is_claimed, adopted(row), &claimed(row)),
    ]
}

/// Passed, where it was reached and nothing stood against it.
fn gate(gate: &'static str, is_reached: bool, against: Option<String>, passed: &str) -> Gate {
    match against {
        Some(said) => Gate { gate, verdict: Verdict::Against, said },
        None if is_reached => Gate { gate, verdict: Verdict::Passed, said: passed.to_owned() },
        None => Gate { gate, verdict: Verdict::NotReached, said: String::new() },
    }
}

/// What the policies say by themselves. What came after them may have changed the answer.
fn policy_says(decision: &Decision) -> Answer {
    // Without its reasoning a decision says no more than its answer; and a person's word stands above the policies.
    let recorded = decision.reasoning.policies.filter(|_| !is_by_hand(decision));
    recorded.unwrap_or_else(|| {
        let only_doubted = decision.forbidden_by.is_empty() && !decision.permitted_by.is_empty();
        let is_refused = decision.answer == Answer::Refused;
        if is_refused && only_doubted { Answer::Isolate } else { decision.answer }
    })
}

fn policy(decision: &Decision, says: Answer) -> Gate {
    let ids = |notes: &[PolicyNote]| {
        let broken = broken(decision);
        let own: Vec<&str> = notes.iter().map(|note| &*note.id).filter(|id| !broken.contains(id)).collect();
        own.join(", ")
    };
    let (permits, forbids) = (ids(&decision.permitted_by), ids(&decision.forbidden_by));
    let against = match says {
        _ if is_by_hand(decision) => {
            let said = "not asked: a person has ordered it".to_owned();
            return Gate { gate: "policy", verdict: Verdict::NotReached, said };
        }
        Answer::Isolate => None,
        Answer::Propose if forbids.is_empty() => Some(format!("asks a person, by {permits}")),
        Answer::Propose => Some(format!("asks a person, by {permits}; isolating is forbidden by {forbids}")),
        _ if permits.is_empty() => Some("nothing permits anything".to_owned()),
        Answer::None | Answer::Refused => Some(format!("permitted by {permits}, forbidden by {forbids}")),
    };
    gate("policy", true, against, &format!("permitted by {permits}"))
}

/// The guarantees that stood against it.
fn broken(decision: &Decision) -> Vec<&str> {
    let spoke = decision.reasoning.spoke.iter().filter(|spoke| spoke.side == Side::Guarantee);
    spoke.map(|spoke| spoke.policy.as_str()).collect()
}

fn guarantees(decision: &Decision, is_permitted: bool) -> Gate {
    let (broken, reasoning) = (broken(decision), &decision.reasoning);
    let forbidden = (!broken.is_empty()).then(|| format!("forbidden by {}", broken.join(", ")));
    // What is said of a guarantee that forbids nothing is that it could not be evaluated.
    let against = forbidden.or_else(|| joined(&reasoning.of_guarantees.iter().collect::<Vec<_>>()));
    let asked = format!("none of {} stood against it", reasoning.guarantees);
    gate("guarantees", is_permitted && reasoning.policies.is_some(), against, &asked)
}

/// The sentences of a decision by the gate that they belong to.
struct Doubts {
    own: Option<String>,
    lists: Option<String>,
    is_none: bool,
}

impl Doubts {
    fn of(decision: &Decision) -> Doubts {
        let reasoning = &decision.reasoning;
        let is_own =
            |doubt: &&String| !reasoning.of_lists.contains(doubt) && !reasoning.of_guarantees.contains(doubt);
        Doubts {
            own: joined(&decision.doubts.iter().filter(is_own).collect::<Vec<_>>()),
            lists: joined(&reasoning.of_lists.iter().collect::<Vec<_>>()),
            is_none: decision.doubts.is_empty(),
        }
    }
}

fn joined(sentences: &[&String]) -> Option<String> {
    let all: Vec<String> = sentences.iter().map(|sentence| one_line(sentence, 300)).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn observed(decision: &Decision) -> Option<String> {
    if decision.answer != Answer::Isolate || decision.mode == Mode::Enforce {
        return None;
    }
    Some(match decision.reasoning.mode {
        Some(Mode::Enforce) => {
            let permits: Vec<&str> = decision.permitted_by.iter().map(|note| &*note.id).collect();
            format!("{} is only tried out: @mode(\"observe\")", permits.join(", "))
        }
        Some(Mode::Observe) => "`observe`, by playbook or environment: nothing is sent".to_owned(),
        None => "`observe`, by playbook, environment or @mode: nothing is sent".to_owned(),
    })
}

/// What holds the case back, or held it back until it was given up.
fn held(row: &CaseRow) -> Option<String> {
    let said = |notes: &[String]| one_line(notes.first().map_or("", |note| note), 300);
    match row.last.state {
        Some(EffectState::Held) => Some(said(&row.last.notes)),
        Some(EffectState::Refused) if row.last.decision.answer == Answer::Isolate => {
            let gate = row.history.iter().rev().find(|entry| entry.state == Some(EffectState::Held))?;
            Some(format!("{}; given up: {}", said(&gate.notes), said(&row.last.notes)))
        }
        _ => None,
    }
}

/// Why a person is asked although the policy permits to isolate: only what people have done leads to that.
fn hands_off(row: &CaseRow, says: Answer) -> Option<String> {
    let decision = &row.last.decision;
    let is_asked = says == Answer::Isolate && decision.answer == Answer::Propose;
    is_asked.then(|| one_line(row.last.notes.first().map_or("a person is asked", |note| note), 300))
}

fn adopted(row: &CaseRow) -> Option<String> {
    (row.last.state == Some(EffectState::Adopted))
        .then(|| "somebody else's isolation was open or in force: nothing was asked for".to_owned())
}

fn claimed(row: &CaseRow) -> String {
    let state = row.last.state.map_or("no state is recorded", EffectState::word);
    row.last.claim.as_ref().map_or_else(|| state.to_owned(), |claim| format!("{claim}: {state}"))
}
