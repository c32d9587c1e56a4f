//! Proves of a playbook, for every input that there can be, what tests show for a few: that no policy permits what a
//! guarantee forbids, that none can err, and that none is there in vain.
//!
//! The policies are turned into formulas by `cedar-policy-symcc`, and cvc5 looks for an input that breaks a rule. "Every
//! input" is bounded by `assumptions.cedar`: what Cordon itself can put before a policy. Whatever the solver does not
//! answer is not proved. Nothing is printed here, nothing is asked of a tenant, and no function of the pipeline links it.

mod ask;
mod example;
mod proof;
mod prover;
mod recast;
mod words;

pub use ask::{NoSolver, Solver};
pub use example::{Attribute, Example};
pub use proof::{Finding, Named, Proof, Spare};

use policy::Playbook;

/// What is taken for granted of every input, as Cedar: forbids of whatever cannot be.
pub const ASSUMPTIONS: &str = include_str!("assumptions.cedar");

/// Proves what can be proved of a playbook, and waits for it. What goes on is said to `progress`, a few words at a time.
/// An error only where there is no solver: whatever else goes wrong is a finding.
pub fn prove(playbook: &Playbook, solver: &Solver, progress: &mut Progress<'_>) -> Result<Proof, NoSolver> {
    prover::prove(playbook, prover::What::All, solver, progress)
}

/// Proves only that no policy permits what a guarantee forbids, which takes a fraction of the time.
pub fn prove_guarantees(
    playbook: &Playbook,
    solver: &Solver,
    progress: &mut Progress<'_>,
) -> Result<Proof, NoSolver> {
    prover::prove(playbook, prover::What::Guarantees, solver, progress)
}

/// Hears what is being proved.
pub type Progress<'a> = dyn FnMut(&str) + Send + 'a;
