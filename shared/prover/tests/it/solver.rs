//! Solvers that are not there, do not know, die or hang: nothing of that is ever a proof.

use crate::guaranteed;
use prover::{Finding, Proof, Solver};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

/// The shipped guarantees over a policy that needs the solver, proved by a shell script.
fn proved_by(script: &str) -> Proof {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("cvc5");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let playbook = guaranteed(
        "@id(\"isolate-high\") @reason(\"High\")\n\
         permit (principal, action == Action::\"isolate\", resource) when { resource.severity == \"High\" };",
    );
    let solver = Solver { program: program.into(), time_out: Duration::from_millis(300) };
    prover::prove(&playbook, &solver, &mut |_| {}).unwrap()
}

/// Nothing is proved, and the first reason is this one.
#[track_caller]
fn assert_open(proof: &Proof, expected: &str) {
    assert!(!proof.proved && proof.spare.is_empty());
    assert!(proof.findings.len() > 8, "{:?}", proof.findings);
    let Some(Finding::Open { claim, why }) = proof.findings.first() else { panic!("{:?}", proof.findings) };
    assert!(claim.contains("only-known-workstations"), "{claim}");
    assert!(why.contains(expected), "{why}");
    let Some(Finding::Open { why, .. }) = proof.findings.last() else { panic!("{:?}", proof.findings) };
    assert!(why.contains("not asked"), "it is not asked for ever: {why}");
}

const ANSWERS: &str = "while read -r line; do case $line in *check-sat*) ANSWER;; esac; done";

#[test]
fn a_solver_that_does_not_know_has_proved_nothing() {
    assert_open(&proved_by(&ANSWERS.replace("ANSWER", "echo unknown")), "does not know");
}

#[test]
fn a_solver_that_hangs_is_given_up() {
    assert_open(&proved_by("exec sleep 60"), "not answered within");
}

#[test]
fn a_solver_that_dies_has_proved_nothing() {
    assert_open(&proved_by(&ANSWERS.replace("ANSWER", "exit 3")), "the solver failed");
}

#[test]
fn a_solver_that_talks_nonsense_has_proved_nothing() {
    assert_open(&proved_by(&ANSWERS.replace("ANSWER", "echo yes")), "the solver failed");
}

#[test]
fn without_a_solver_it_is_said_how_to_get_one() {
    let playbook = guaranteed("");
    let missing = prover::prove(&playbook, &Solver::named(Some("/nowhere/cvc5")), &mut |_| {});
    let said = missing.unwrap_err().to_string();
    for word in ["/nowhere/cvc5", "apt install cvc5", "https://github.com/cvc5/cvc5/releases", "CVC5"] {
        assert!(said.contains(word), "`{word}` in {said}");
    }
}
