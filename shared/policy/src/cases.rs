//! Tests of the policy as data: `cases/*.toml` beside the policy, each an alert on a device and what has to be decided
//! about it.
//!
//! A case is decided by the very code that decides in earnest. Records as Defender's API gives them are read by whoever
//! knows that API; limits and claims are not part of a decision, and of no case.

mod fields;
mod given;
mod read;

use crate::{
    AssetList, Case, Playbook, Problems, Rule, Surroundings,
    assets::{Upkeep, lists},
    decide::decide,
    problems::{Source, files, read_file},
    section::{Reader, Section, table},
};
use jiff::Timestamp;
use model::{Alert, Answer, Decision, Device, DeviceFact, FirstSeen, IsolationType, Mode, PolicyNote, Side};
use read::Records;
use std::{collections::BTreeSet, fmt::Display, path::Path};

/// The folder of the cases, within that of the playbook.
pub const CASES: &str = "cases";

/// How records are read that stand in files of their own, as Defender's API gives them. An error is a sentence.
#[derive(Debug, Clone, Copy)]
pub struct Decoders {
    pub alert: fn(&str) -> Result<Alert, String>,
    pub device: fn(&str) -> Result<Device, String>,
}

/// One case: what is given, and what has to come of it.
#[derive(Debug, Clone)]
pub struct PolicyCase {
    /// Such as `cases/servers.toml`.
    pub file: String,
    /// Where it begins in the file, counted from one.
    pub line: usize,
    /// A sentence.
    pub name: String,
    given: Given,
    expected: Expected,
}

#[derive(Debug, Clone)]
struct Given {
    alert: Alert,
    device: DeviceFact,
    first_seen: Mode,
    environment_mode: Option<Mode>,
    surroundings: Surroundings,
    at: Timestamp,
    /// What stands in for the lists of `assets.toml`.
    lists: Option<Vec<AssetList>>,
}

/// What is none is not compared.
#[derive(Debug, Clone)]
struct Expected {
    answer: Answer,
    by: Option<BTreeSet<String>>,
    against: Option<BTreeSet<String>>,
    doubts: Vec<String>,
    told: Option<bool>,
    acts_in: Option<Mode>,
    isolation_type: Option<IsolationType>,
}

/// A case, what was decided about it, and in what that is not what was expected.
#[derive(Debug, Clone)]
pub struct Tried<'c> {
    pub case: &'c PolicyCase,
    pub decision: Decision,
    /// Empty where the case passed.
    pub differences: Vec<Difference>,
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// As the cases file calls it, such as `expect` or `by`.
    pub what: &'static str,
    pub expected: String,
    pub was: String,
    /// Which policies are missing, and which too many, with their reasons: a sentence each.
    pub notes: Vec<String>,
}

impl Playbook {
    /// Reads every `cases/*.toml` of a playbook's folder, by name; none where there is no such folder.
    pub fn read_cases(&self, folder: &Path, decoders: &Decoders) -> Result<Vec<PolicyCase>, Problems> {
        let (mut cases, mut problems) = (Vec::new(), Vec::new());
        match files(&folder.join(CASES)) {
            Ok(files) => {
                for file in files {
                    let name = format!("{CASES}/{file}");
                    match read_file(folder, &name) {
                        Ok(text) => match self.parse_cases(&name, &text, folder, decoders) {
                            Ok(found) => cases.extend(found),
                            Err(found) => problems.extend(found.iter().map(str::to_owned)),
                        },
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
        if problems.is_empty() { Ok(cases) } else { Err(Problems::new(problems)) }
    }

    /// Reads the text of one file of cases. Records that it names are looked for beside it: `file` is its path within
    /// `folder`.
    pub fn parse_cases(
        &self,
        file: &str,
        text: &str,
        folder: &Path,
        decoders: &Decoders,
    ) -> Result<Vec<PolicyCase>, Problems> {
        let mut reader = Reader { source: Source::new(file, text), problems: Vec::new() };
        let mut cases: Vec<PolicyCase> = Vec::new();
        if let Some(table) = table(&mut reader) {
            let root = Section { table: &table, at: 0 };
            root.only(&mut reader, &["lists", "cases"]);
            let made_up = lists(&mut reader, root, Upkeep::MadeUp);
            let lists = root.get("lists").is_some().then_some(made_up);
            let records = folder.join(file);
            let records = Records { beside: records.parent().unwrap_or(folder), decoders };
            for section in root.sections(&mut reader, "cases") {
                let Some(case) = read::case(self, &mut reader, section, &lists, &records) else { continue };
                if let Some(twin) = cases.iter().find(|other| other.name == case.name) {
                    let what = format!("there are two cases of this name: line {} has it too", twin.line);
                    let at = section.get("name").map_or(section.at, |(_, at)| at);
                    reader.hinted(at, what, "a name says what is so only here");
                }
                cases.push(case);
            }
        }
        if reader.problems.is_empty() { Ok(cases) } else { Err(Problems::new(reader.problems)) }
    }

    /// Decides a case, and compares.
    pub fn try_case<'c>(&self, case: &'c PolicyCase) -> Tried<'c> {
        let Given { alert, device, first_seen, environment_mode, surroundings, at, lists } = &case.given;
        let given = Case {
            alert,
            device,
            first_seen: FirstSeen { at: *at, mode: *first_seen },
            environment_mode: *environment_mode,
            surroundings: *surroundings,
            now: *at,
        };
        let decision = decide(self, lists.as_ref().unwrap_or(&self.lists), &given);
        let differences = self.differences(&case.expected, &decision);
        Tried { case, decision, differences }
    }

    /// The policies and the guarantees that none of these cases made speak.
    pub fn unheard(&self, tried: &[Tried<'_>]) -> (Vec<&Rule>, Vec<&Rule>) {
        let spoke = || tried.iter().flat_map(|tried| &tried.decision.reasoning.spoke);
        let heard = |is_guarantee: bool| -> BTreeSet<&str> {
            let of_file = spoke().filter(|spoke| (spoke.side == Side::Guarantee) == is_guarantee);
            of_file.map(|spoke| spoke.policy.as_str()).collect()
        };
        let (policies, guarantees) = (heard(false), heard(true));
        (
            self.policies().iter().filter(|rule| !policies.contains(rule.id.as_str())).collect(),
            self.guarantees().iter().filter(|rule| !guarantees.contains(rule.id.as_str())).collect(),
        )
    }

    fn differences(&self, expected: &Expected, decision: &Decision) -> Vec<Difference> {
        let mut all = Vec::new();
        let mut compare = |what, expected: &dyn Display, was: &dyn Display| {
            let (expected, was) = (expected.to_string(), was.to_string());
            if expected != was {
                all.push(Difference { what, expected, was, notes: Vec::new() });
            }
        };
        compare("expect", &expected.answer.as_str(), &decision.answer.as_str());
        if let Some(told) = expected.told {
            compare("told", &told, &decision.tell);
        }
        if let Some(mode) = expected.acts_in {
            compare("acts_in", &mode.as_str(), &decision.mode.as_str());
        }
        if let Some(kind) = expected.isolation_type {
            compare("isolation_type", &kind.as_str(), &decision.isolation_type.as_str());
        }
        all.extend(self.policies_differ("by", expected.by.as_ref(), &decision.permitted_by));
        all.extend(self.policies_differ("against", expected.against.as_ref(), &decision.forbidden_by));
        let is_there = |part: &&String| decision.doubts.iter().any(|doubt| doubt.contains(part.as_str()));
        let missing: Vec<&str> =
            expected.doubts.iter().filter(|part| !is_there(part)).map(String::as_str).collect();
        if !missing.is_empty() {
            let was = or_none(decision.doubts.iter().map(String::as_str), "; ");
            let expected = missing.join("; ");
            all.push(Difference { what: "doubts", expected, was, notes: Vec::new() });
        }
        all
    }

    fn policies_differ(
        &self,
        what: &'static str,
        expected: Option<&BTreeSet<String>>,
        was: &[PolicyNote],
    ) -> Option<Difference> {
        let expected = expected?;
        let spoke: BTreeSet<&str> = was.iter().map(|note| note.id.as_str()).collect();
        let missing = expected.iter().filter(|id| !spoke.contains(id.as_str()));
        let missing = missing.map(|id| format!("missing: `{id}` ({})", self.reason(id)));
        let unexpected = was.iter().filter(|note| !expected.contains(&note.id));
        let unexpected = unexpected.map(|note| format!("unexpected: `{}` ({})", note.id, note.reason));
        let notes: Vec<String> = missing.chain(unexpected).collect();
        (!notes.is_empty()).then(|| Difference {
            what,
            expected: or_none(expected.iter().map(String::as_str), ", "),
            was: or_none(spoke.into_iter(), ", "),
            notes,
        })
    }

    fn reason(&self, id: &str) -> &str {
        let mut all = self.policies().iter().chain(self.guarantees());
        all.find(|rule| rule.id == id).map_or("", |rule| rule.reason.as_str())
    }
}

fn or_none<'t>(words: impl Iterator<Item = &'t str>, between: &str) -> String {
    let words: Vec<&str> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(between) }
}
