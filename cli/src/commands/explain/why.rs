//! How the last decision about a case came about: who spoke, what they could see, how every gate stood, and what would
//! have changed it. From the state and the playbook here; nothing is asked of the tenant.

use super::gates::{self, Gate};
use crate::show;
use jiff::{SignedDuration, Timestamp};
use model::{Answer, Decision, FirstSeen, Input, Mode, Side, one_line};
use policy::{Case, Playbook};
use ports::CaseRow;
use serde::Serialize;

/// So many changes are told.
const MOST_CHANGES: usize = 3;

#[derive(Debug, Serialize)]
pub(super) struct Why {
    decided_at: Timestamp,
    /// The digest of the playbook that decided; none for what was recorded before there was one.
    playbook: Option<String>,
    playbook_here: Here,
    gates: Vec<Gate>,
    spoke: Vec<Said>,
    inputs: Vec<Saw>,
    what_if: Vec<Would>,
    /// Why no change was looked for.
    no_what_if: Option<String>,
}

/// How the playbook that can be read here stands to the one that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Here {
    Same,
    Changed,
    /// There is none that can be read, or none was recorded.
    Unknown,
}

/// A policy that spoke.
#[derive(Debug, Serialize)]
struct Said {
    action: String,
    side: Side,
    policy: String,
    /// None where neither the decision nor the playbook here knows it.
    reason: Option<String>,
}

/// Something that the policies could see.
#[derive(Debug, Serialize)]
struct Saw {
    #[serde(flatten)]
    input: Input,
    /// How old it was when it was decided upon.
    age_seconds: Option<i64>,
}

/// What would have been decided otherwise.
#[derive(Debug, Serialize)]
struct Would {
    change: String,
    answer: Answer,
    mode: Mode,
}

impl Why {
    pub(super) fn of(row: &CaseRow, first_seen: FirstSeen, playbook: Option<&Playbook>) -> Why {
        let decision = &row.last.decision;
        let decided_at = decided_at(row);
        let by = &decision.reasoning.playbook;
        let playbook_here = match playbook {
            Some(here) if here.digest() == by => Here::Same,
            Some(_) if !by.is_empty() => Here::Changed,
            _ => Here::Unknown,
        };
        let same = playbook.filter(|_| playbook_here == Here::Same);
        let would = match same {
            Some(playbook) => what_if(playbook, row, first_seen, decided_at),
            None => Err(why_not(by, playbook_here)),
        };
        let (what_if, no_what_if) = match would {
            Ok(would) => (would, None),
            Err(why) => (Vec::new(), Some(why.to_owned())),
        };
        Why {
            decided_at,
            playbook: Some(by.clone()).filter(|by| !by.is_empty()),
            playbook_here,
            gates: gates::of(row),
            spoke: spoke(decision, same),
            inputs: decision.reasoning.inputs.iter().map(|input| saw(input, decided_at)).collect(),
            what_if,
            no_what_if,
        }
    }

    pub(super) fn tell(&self) {
        let here = match (&self.playbook, self.playbook_here) {
            (None, _) => "recorded without its reasoning",
            (_, Here::Same) => "by the playbook here",
            (_, Here::Changed) => "by another playbook than the one here: it has changed since",
            (_, Here::Unknown) => "by a playbook that cannot be read here (CORDON_PLAYBOOK)",
        };
        row("why", &format!("{}  {here}", show::time(self.decided_at)));
        rows("gates", self.gates.iter().map(Gate::line));
        rows("spoke", self.spoke.iter().map(Said::line));
        rows("inputs", self.inputs.iter().map(Saw::line));
        rows("what if", self.what_if.iter().map(Would::line));
        match &self.no_what_if {
            Some(why) if self.playbook.is_some() => row("what if", &format!("not looked for: {why}")),
            None if self.what_if.is_empty() => {
                row("what if", "no change that was tried makes a difference, nor two of them together");
            }
            _ => {}
        }
    }
}

impl Said {
    fn line(&self) -> String {
        let side = match self.side {
            Side::Permit => "for",
            Side::Forbid => "against",
            Side::Guarantee => "guarantee",
        };
        let reason = self.reason.as_deref().unwrap_or("its reason is not known here");
        let (action, policy) = (one_line(&self.action, 40), one_line(&self.policy, 80));
        format!("{action:<16}{side:<11}{} ({policy})", one_line(reason, 200))
    }
}

impl Saw {
    fn line(&self) -> String {
        let Input { name, value, source, .. } = &self.input;
        let value = value.as_ref().map_or("not known".to_owned(), |value| one_line(value, 120));
        let age = self.age_seconds.map(|age| show::span(SignedDuration::from_secs(age)));
        let age = age.map_or(String::new(), |age| format!(", {age} old"));
        format!("{} = {value}  [{}{age}]", one_line(name, 60), one_line(source, 60))
    }
}

impl Would {
    fn line(&self) -> String {
        let mode = if self.answer == Answer::Isolate {
            format!(" (mode `{}`)", self.mode.as_str())
        } else {
            String::new()
        };
        format!("{}: {}{mode}", one_line(&self.change, 200), self.answer.as_str())
    }
}

fn rows(word: &str, lines: impl Iterator<Item = String>) {
    for (number, line) in lines.enumerate() {
        row(if number == 0 { word } else { "" }, &line);
    }
}

fn row(word: &str, text: &str) {
    show::line(&format!("  {word:<10}{text}"));
}

/// When the last decision was made: its first entry in the history. Later ones repeat it for what came of it.
fn decided_at(row: &CaseRow) -> Timestamp {
    let last = &row.last;
    let is_same = |decision: &Decision| {
        let gist = |decision: &Decision| {
            let Decision { answer, mode, permitted_by, forbidden_by, doubts, .. } = decision.clone();
            (answer, mode, permitted_by, forbidden_by, doubts)
        };
        gist(decision) == gist(&last.decision)
    };
    let of_revision = row.history.iter().filter(|entry| entry.revision == last.revision);
    let mut same = of_revision.filter(|entry| is_same(&entry.decision));
    same.next().map_or(row.decided_at, |entry| entry.at)
}

fn spoke(decision: &Decision, same: Option<&Playbook>) -> Vec<Said> {
    let noted = || decision.permitted_by.iter().chain(&decision.forbidden_by);
    let rules =
        || same.into_iter().flat_map(|playbook| playbook.policies().iter().chain(playbook.guarantees()));
    let reason = |policy: &str| {
        let noted = noted().find(|note| note.id == policy).map(|note| note.reason.clone());
        noted.or_else(|| rules().find(|rule| rule.id == policy).map(|rule| rule.reason.clone()))
    };
    let spoke = decision.reasoning.spoke.iter();
    spoke
        .map(|spoke| Said {
            action: spoke.action.clone(),
            side: spoke.side,
            policy: spoke.policy.clone(),
            reason: reason(&spoke.policy),
        })
        .collect()
}

fn saw(input: &Input, decided_at: Timestamp) -> Saw {
    let age = input.read_at.map(|at| decided_at.duration_since(at).as_secs());
    Saw { input: input.clone(), age_seconds: age }
}

fn why_not(by: &str, here: Here) -> &'static str {
    match here {
        _ if by.is_empty() => "the decision was recorded without its reasoning",
        Here::Changed => "the playbook here is not the one that decided",
        Here::Same | Here::Unknown => "no playbook can be read here (CORDON_PLAYBOOK)",
    }
}

/// What would have changed the decision, where deciding once more on what the state keeps comes to the same.
fn what_if(
    playbook: &Playbook,
    row: &CaseRow,
    first_seen: FirstSeen,
    now: Timestamp,
) -> Result<Vec<Would>, &'static str> {
    let decision = &row.last.decision;
    if gates::is_by_hand(decision) {
        return Err("a person has ordered it");
    }
    let case = Case {
        alert: &row.last.alert,
        device: &row.last.device,
        first_seen,
        environment_mode: Some(decision.reasoning.mode.unwrap_or(decision.mode)),
        surroundings: decision.reasoning.surroundings,
        now,
    };
    let again = playbook.decide(&case);
    if again.permitted_by != decision.permitted_by || again.forbidden_by != decision.forbidden_by {
        return Err("the state keeps too little of what was known then to decide once more");
    }
    if (again.answer, again.mode) != (decision.answer, decision.mode) {
        return Err("it was not the policy that had the last word: see the gates");
    }
    let changes = playbook.what_if(&case).into_iter().take(MOST_CHANGES);
    Ok(changes.map(|it| Would { change: it.change, answer: it.answer, mode: it.mode }).collect())
}
