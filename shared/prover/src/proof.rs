//! What a proof has found, as data and in words.
//!
//! Finding it is the business of `prover.rs`.

use crate::example::Example;
use policy::Rule;
use serde::Serialize;

/// A policy or guarantee, as people look for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: String,
    /// The file of the playbook in which it stands.
    pub file: &'static str,
    /// Where, counted from one.
    pub line: usize,
}

impl Named {
    pub(crate) fn of(rule: &Rule, file: &'static str) -> Named {
        Named { id: rule.id.clone(), reason: rule.reason.clone(), file, line: rule.line }
    }

    fn said(&self) -> String {
        format!("`{}` ({}, line {})", model::one_line(&self.id, 100), self.file, self.line)
    }

    fn because(&self) -> String {
        model::one_line(&self.reason, 300)
    }
}

/// What of a playbook is not as it has to be.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// A guarantee forbids what the policies permit.
    Violated {
        guarantee: Named,
        action: String,
        /// The permits that let it through.
        permitted_by: Vec<Named>,
        example: Example,
        /// What is wrong where Cedar itself, asked about the example, does not confirm it.
        disagreement: Option<String>,
    },
    /// A policy or guarantee cannot be evaluated on some input. Cordon then refuses, and asks people.
    Errs {
        policy: Named,
        action: String,
        /// Cedar's own words.
        error: Option<String>,
        example: Example,
        /// What is wrong where Cedar itself, asked about the example, does not confirm it.
        disagreement: Option<String>,
    },
    /// A policy or guarantee applies to no input, for any action that it names.
    Dead { policy: Named },
    /// A permit applies, but a forbid stands against it whenever it does.
    Shadowed { policy: Named },
    /// The solver gave no answer: nothing is known.
    Open {
        /// What was to be proved, as a sentence.
        claim: String,
        why: String,
    },
}

/// A policy without which no answer would change. No failure: two that say the same may both be wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spare {
    pub policy: Named,
}

/// What was proved, and what was not.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Whether everything is proved.
    pub proved: bool,
    /// How many guarantees there are.
    pub guarantees: usize,
    /// How many policies there are.
    pub policies: usize,
    /// How many questions the solver was asked.
    pub questions: usize,
    /// What is not as it has to be; nothing where everything is proved.
    pub findings: Vec<Finding>,
    /// What could be left out, each by itself.
    pub spare: Vec<Spare>,
}

impl Finding {
    /// One sentence.
    pub fn sentence(&self) -> String {
        match self {
            Finding::Violated { guarantee, action, permitted_by, .. } => format!(
                "the guarantee {} is violated: policy.cedar permits `{action}` where it forbids it, by {}",
                guarantee.said(),
                listed(permitted_by)
            ),
            Finding::Errs { policy, action, .. } => {
                format!("{} can err when it is asked about `{action}`", policy.said())
            }
            Finding::Dead { policy } => format!("{} can never apply", policy.said()),
            Finding::Shadowed { policy } => {
                format!(
                    "{} can never take effect: wherever it applies, a forbid stands against it",
                    policy.said()
                )
            }
            Finding::Open { claim, why } => format!("not proved: {claim}: {why}"),
        }
    }

    /// What people need to see what is wrong and to mend it, in lines.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.sentence()];
        match self {
            Finding::Violated { guarantee, action, permitted_by, example, disagreement } => {
                lines.push(format!("  it says: {}", guarantee.because()));
                lines.extend(disagreement.iter().map(|why| doubtful(why)));
                lines.push(format!("  for example, `{action}` is permitted for this alert and device:"));
                lines.extend(example.lines());
                let by = permitted_by.iter();
                lines.extend(by.map(|permit| format!("  permitted by {}: {}", permit.said(), permit.because())));
                lines.push(
                    "  narrow what permits it, or put back the forbid that stood against it; then prove again"
                        .to_owned(),
                );
            }
            Finding::Errs { error, example, disagreement, .. } => {
                lines.extend(error.iter().map(|error| format!("  Cedar says: {}", model::one_line(error, 300))));
                lines.extend(disagreement.iter().map(|why| doubtful(why)));
                lines.push("  for example, for this alert and device:".to_owned());
                lines.extend(example.lines());
                lines.push("  Cordon refuses such a case and asks people; a policy that errs says nothing".to_owned());
            }
            Finding::Dead { .. } => lines.push(
                "  no input satisfies its conditions: look for a misspelt word, or for two that exclude each other"
                    .to_owned(),
            ),
            Finding::Shadowed { .. } => {
                lines.push("  narrow the forbids, or remove it: as it stands it promises what never happens".to_owned());
            }
            Finding::Open { .. } => {}
        }
        lines
    }
}

impl Proof {
    /// What has to be looked at, a sentence each.
    pub fn attention(&self) -> Vec<String> {
        self.findings.iter().map(Finding::sentence).collect()
    }

    /// What was proved, in lines.
    pub fn proved_lines(&self) -> Vec<String> {
        let all = self.policies + self.guarantees;
        if !self.proved {
            let count = self.findings.len();
            let findings = if count == 1 { "finding" } else { "findings" };
            return vec![format!(
                "the playbook is not proved: {count} {findings} in {all} policies and guarantees"
            )];
        }
        let of_guarantees = match self.guarantees {
            0 => "there is no guarantee that a policy could break".to_owned(),
            1 => "proved: no policy permits what the guarantee forbids".to_owned(),
            many => format!("proved: no policy permits what one of the {many} guarantees forbids"),
        };
        vec![
            of_guarantees,
            format!("proved: none of the {all} policies and guarantees can err, and none is there in vain"),
        ]
    }

    /// What could be left out, in lines.
    pub fn spare_lines(&self) -> Vec<String> {
        let line = |spare: &Spare| {
            format!(
                "note: without {} no answer would change, as long as the others stay",
                spare.policy.said()
            )
        };
        self.spare.iter().map(line).collect()
    }
}

impl Spare {
    pub(crate) fn of(rule: &Rule, file: &'static str) -> Spare {
        Spare { policy: Named::of(rule, file) }
    }
}

fn doubtful(why: &str) -> String {
    format!("  BEWARE: {why}: solver and Cedar disagree, which is a fault of the prover; trust neither")
}

fn listed(all: &[Named]) -> String {
    let said: Vec<String> = all.iter().map(Named::said).collect();
    if said.is_empty() { "a policy that could not be named".to_owned() } else { said.join(" and ") }
}
