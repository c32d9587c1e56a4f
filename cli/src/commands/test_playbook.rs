//! `cordon test-playbook`: decides the cases of the playbook, and says what is not as they expect.
//!
//! It calls nobody, and reads no clock and no state: a case brings along what its decision depends on.

use crate::{
    Ending, Reporting,
    desk::At,
    settings::{playbook_folder, read_playbook},
    show,
};
use clap::Args;
use credentials::Problems;
use model::{Decision, Input, one_line};
use policy::{CASES, Decoders, Playbook, PolicyCase, Rule, Tried};
use serde_json::{Value, json};
use std::path::Path;

/// The most of a text of the playbook's that is printed, in characters.
const MOST: usize = 400;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon test-playbook                  every case of CORDON_PLAYBOOK, default `playbook`
  cordon test-playbook server           those whose name or file has the word
  CORDON_PLAYBOOK=playbook/examples/night-shift cordon test-playbook

A case is a few lines in a file of the folder `cases`, such as playbook/cases/vip.toml:

  [[cases]]
  name = \"a device of a VIP is not cut off at night, and people are asked\"
  at = 2026-11-20T22:30:00Z
  alert = { severity = \"High\" }
  device = { tags = [\"vip\"] }
  expect = \"propose\"                # isolate, propose, none or refused
  against = [\"vip-at-night\"]        # exactly the policies that stood against it

What it does not say is a High alert of a minute ago on a healthy workstation, and the mode `enforce`. The names of fields
are those of docs/PLAYBOOK.md; a time may be \"5h ago\"; an empty text takes a field away. `cordon check` runs them too.

Exit codes: 0 every case passed, 1 some did not, 2 playbook or cases cannot be read.")]
pub(crate) struct TestPlaybook {
    /// Only the cases whose name or file has this in it
    #[arg(value_name = "NAME_PART")]
    part: Option<String>,
    #[command(flatten)]
    reporting: Reporting,
}

impl TestPlaybook {
    pub(crate) fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let mut problems = Problems::default();
        let folder = playbook_folder(at.vars);
        let playbook = read_playbook(&folder, &mut problems);
        let cases = playbook.as_ref().map(|playbook| read(playbook, &folder, &mut problems));
        let (Some(playbook), Some(mut cases), true) = (playbook, cases, problems.is_empty()) else {
            return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
        };
        if cases.is_empty() {
            let folder = folder.join(CASES);
            return Ok(Ending::attention(format!(
                "there is no case in `{}`: `cordon test-playbook --help` shows how to write one",
                folder.display()
            )));
        }
        if let Some(part) = &self.part {
            cases.retain(|case| is_about(case, part));
            if cases.is_empty() {
                let part = one_line(part, 80);
                return Err(Ending::settings(format!("no case has `{part}` in its name or its file's")));
            }
        }
        let tried: Vec<Tried<'_>> = cases.iter().map(|case| playbook.try_case(case)).collect();
        // Of a part of the cases it says nothing that a policy is not among them.
        let unheard = if self.part.is_none() { playbook.unheard(&tried) } else { Default::default() };
        if self.reporting.json {
            show::json(&report(&tried, &unheard));
        } else {
            print(&tried, &unheard);
        }
        let failed = failed(&tried).len();
        let cases = if failed == 1 { "a case does" } else { "some cases do" };
        Ok(if failed == 0 { Ending::Done } else { Ending::attention(format!("{cases} not hold")) })
    }
}

/// The cases of a playbook; what is wrong with them is added to `problems`.
pub(crate) fn read(playbook: &Playbook, folder: &Path, problems: &mut Problems) -> Vec<PolicyCase> {
    let read = playbook.read_cases(folder, &DECODERS);
    if let Err(found) = &read {
        problems.add_all(&format!("CORDON_PLAYBOOK `{}`", folder.display()), found.iter());
    }
    read.unwrap_or_default()
}

/// The cases that did not pass, a sentence each.
pub(crate) fn failed(tried: &[Tried<'_>]) -> Vec<String> {
    let failed = tried.iter().filter(|tried| !tried.differences.is_empty());
    failed
        .map(|tried| {
            let (case, first) = (tried.case, tried.differences.first());
            let what = first.map_or(String::new(), |first| {
                format!(": `{}` should be {}, and is {}", first.what, first.expected, first.was)
            });
            let (name, what) = (one_line(&case.name, MOST), one_line(&what, MOST));
            format!("{}:{}: the case \"{name}\" failed{what}", case.file, case.line)
        })
        .collect()
}

/// `47 cases passed, 1 failed`
pub(crate) fn summary(tried: &[Tried<'_>]) -> String {
    let failed = tried.iter().filter(|tried| !tried.differences.is_empty()).count();
    let passed = tried.len() - failed;
    let cases = if passed == 1 { "case" } else { "cases" };
    format!("{passed} {cases} passed, {failed} failed")
}

const DECODERS: Decoders = Decoders {
    alert: |text| defender::bodies::alert(text.as_bytes()).map_err(|error| error.to_string()),
    device: |text| defender::bodies::machine(text.as_bytes()).map_err(|error| error.to_string()),
};

fn is_about(case: &PolicyCase, part: &str) -> bool {
    let part = part.to_lowercase();
    case.name.to_lowercase().contains(&part) || case.file.to_lowercase().contains(&part)
}

/// Policies and guarantees that no case made speak.
type Unheard<'p> = (Vec<&'p Rule>, Vec<&'p Rule>);

fn print(tried: &[Tried<'_>], (policies, guarantees): &Unheard<'_>) {
    for tried in tried.iter().filter(|tried| !tried.differences.is_empty()) {
        print_failed(tried);
    }
    if !policies.is_empty() {
        show::line(&format!("no case makes these policies speak: {}", ids(policies).join(", ")));
    }
    if !guarantees.is_empty() {
        let ids = ids(guarantees).join(", ");
        show::line(&format!(
            "no case makes these guarantees speak (they do only where the policies permit what they forbid): {ids}"
        ));
    }
    show::line(&summary(tried));
}

fn print_failed(tried: &Tried<'_>) {
    let Tried { case, decision, differences } = tried;
    show::line(&format!("FAILED  {}", one_line(&case.name, MOST)));
    show::line(&format!("  {}:{}", case.file, case.line));
    for difference in differences {
        let said = |text: &str| one_line(text, MOST);
        show::line(&format!("  {}", difference.what));
        show::line(&format!("    expected  {}", said(&difference.expected)));
        show::line(&format!("    was       {}", said(&difference.was)));
        for note in &difference.notes {
            show::line(&format!("      {}", said(note)));
        }
    }
    show::line("  how it came about");
    for line in came_about(decision) {
        show::line(&format!("    {}", one_line(&line, MOST)));
    }
    show::line("");
}

/// Which policies spoke, the doubts, and what the policies could see of what they ask for.
fn came_about(decision: &Decision) -> Vec<String> {
    let notes = |word: &'static str, notes: &[model::PolicyNote]| -> Vec<String> {
        notes.iter().map(|note| format!("{word} {}: {}", note.id, note.reason)).collect()
    };
    let doubts = decision.doubts.iter().map(|doubt| format!("doubt: {doubt}"));
    let seen = |input: &Input| match &input.value {
        Some(value) => format!("{} = {value}", input.name),
        None => format!("{} is absent", input.name),
    };
    let mut lines = notes("for", &decision.permitted_by);
    lines.extend(notes("against", &decision.forbidden_by));
    lines.extend(doubts);
    lines.extend(decision.reasoning.inputs.iter().map(seen));
    lines
}

fn ids<'p>(rules: &[&'p Rule]) -> Vec<&'p str> {
    rules.iter().map(|rule| rule.id.as_str()).collect()
}

fn report(tried: &[Tried<'_>], (policies, guarantees): &Unheard<'_>) -> Value {
    let failed = tried.iter().filter(|tried| !tried.differences.is_empty()).count();
    json!({
        "passed": tried.len() - failed,
        "failed": failed,
        "cases": tried.iter().map(report_case).collect::<Vec<_>>(),
        "unheard": { "policies": ids(policies), "guarantees": ids(guarantees) },
    })
}

fn report_case(tried: &Tried<'_>) -> Value {
    let Tried { case, decision, differences } = tried;
    let differences: Vec<Value> = differences
        .iter()
        .map(|found| {
            json!({"what": found.what, "expected": found.expected, "was": found.was, "notes": found.notes})
        })
        .collect();
    json!({
        "name": case.name, "file": case.file, "line": case.line, "passed": differences.is_empty(),
        "differences": differences, "decision": decision,
    })
}
