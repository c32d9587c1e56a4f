//! The playbook that ships, and the examples beside it.

use crate::{prove, solver, told};
use policy::Playbook;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbook")
}

#[test]
fn the_shipped_playbook_is_proved() {
    let playbook = Playbook::read(&folder()).unwrap();
    let proof = prove(&playbook);
    assert!(proof.proved, "{}", told(&proof));
    assert!(proof.guarantees >= 8 && proof.policies >= 18 && proof.questions > 60, "{proof:?}");
    assert_eq!(proof.spare, Vec::new(), "a guardrail of the shipped policy does nothing");
}

#[test]
fn every_example_keeps_its_guarantees() {
    for example in std::fs::read_dir(folder().join("examples")).unwrap() {
        let example = example.unwrap().path();
        if !example.is_dir() {
            continue;
        }
        let playbook = Playbook::read(&example).unwrap_or_else(|problems| panic!("{problems}"));
        let proof = prover::prove_guarantees(&playbook, &solver(), &mut |_| {}).unwrap();
        assert!(proof.proved, "{}: {}", example.display(), told(&proof));
    }
}
