//! The prover by its results: what it proves of the shipped playbook, and what it finds in one that was weakened.
//!
//! Needs cvc5, by the environment variable CVC5 or on the PATH; `scripts/cvc5` gets it. Without it these tests fail: a
//! proof that is passed over in silence would be taken for one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod assumptions;
mod in_vain;
mod shipped;
mod solver;
mod weakened;

use policy::{Playbook, Texts};
use prover::{Finding, Proof, Solver};
use std::path::Path;

const SETTINGS: &str = "mode = \"enforce\"";

fn solver() -> Solver {
    let cvc5 = std::env::var_os("CVC5").map(|path| path.into_string().unwrap());
    Solver::named(cvc5.as_deref())
}

fn shipped_file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbook").join(name)).unwrap()
}

fn playbook(policy: &str, guarantees: &str) -> Playbook {
    let texts = Texts { playbook: SETTINGS, policy, guarantees, assets: "" };
    Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The shipped guarantees over this policy.
fn guaranteed(policy: &str) -> Playbook {
    playbook(policy, &shipped_file("guarantees.cedar"))
}

fn prove(playbook: &Playbook) -> Proof {
    prover::prove(playbook, &solver(), &mut |_| {}).unwrap_or_else(|why| panic!("{why}"))
}

fn prove_guarantees(playbook: &Playbook) -> Proof {
    let proof = prover::prove_guarantees(playbook, &solver(), &mut |_| {});
    proof.unwrap_or_else(|why| panic!("{why}"))
}

/// Everything that was found, as it is printed.
fn told(proof: &Proof) -> String {
    proof.findings.iter().flat_map(Finding::lines).collect::<Vec<_>>().join("\n")
}
