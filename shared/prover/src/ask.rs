//! Asking the solver: one question at a time, with a time-out, and no answer is never taken for a good one.
//!
//! What the questions mean stands in `prover.rs`.

use cedar_policy_symcc::{
    Asserts, CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env, SymEnv,
    err::{Error, SolverError},
    solver::LocalSolver,
};
use std::{ffi::OsString, fmt, io, time::Duration};
use tokio::process::Command;

/// How many questions may stay without an answer until no more are asked: a solver that hangs would hold people up for
/// an hour.
const PATIENCE: usize = 5;

/// Which solver is asked, and how long it may take for one question.
#[derive(Debug, Clone)]
pub struct Solver {
    /// A path, or a name that is looked for on the PATH.
    pub program: OsString,
    pub time_out: Duration,
}

impl Solver {
    /// The program that the environment variable `CVC5` names, or `cvc5` on the PATH; a minute for each question.
    pub fn named(cvc5: Option<&str>) -> Solver {
        let program = cvc5.filter(|path| !path.is_empty()).unwrap_or("cvc5").into();
        Solver { program, time_out: Duration::from_secs(60) }
    }
}

/// There is no solver, so nothing can be said.
#[derive(Debug)]
pub struct NoSolver {
    program: OsString,
    why: io::Error,
}

impl NoSolver {
    pub(crate) fn because(solver: &Solver, why: io::Error) -> NoSolver {
        NoSolver { program: solver.program.clone(), why }
    }
}

impl fmt::Display for NoSolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the solver `{}` cannot be started: {}. Proving needs cvc5: `apt install cvc5` on Debian and Ubuntu, or a \
             binary from https://github.com/cvc5/cvc5/releases on the PATH or named by the environment variable CVC5",
            self.program.display(),
            self.why
        )
    }
}

impl std::error::Error for NoSolver {}

/// What is asked. Each is a claim; the answer is an input that breaks it, if there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Claim<'a> {
    /// The policy can be evaluated on every input.
    NeverErrs(&'a CompiledPolicy),
    /// No input is allowed by both.
    Disjoint(&'a CompiledPolicySet, &'a CompiledPolicySet),
    /// The policy applies to no input.
    NeverApplies(&'a CompiledPolicy),
    /// No input satisfies all of these formulas.
    Impossible(&'a Asserts, &'a SymEnv),
    /// No input is allowed.
    AlwaysDenies(&'a CompiledPolicySet),
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    NoSolver(NoSolver),
    /// A sentence's part.
    Unknown(String),
}

/// Whether a claim holds.
#[derive(Debug)]
pub(crate) enum Verdict {
    Holds,
    /// With the input that breaks it, for the claims that people want to see broken.
    Broken(Option<Box<Env>>),
}

type Compiler = CedarSymCompiler<LocalSolver>;

/// A solver that is asked one question after another.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    solver: &'a Solver,
    running: Option<Compiler>,
    pub(crate) asked: usize,
    unanswered: usize,
}

impl Asking<'_> {
    pub(crate) fn new(solver: &Solver) -> Result<Asking<'_>, NoSolver> {
        let running = Some(start(solver)?);
        Ok(Asking { solver, running, asked: 0, unanswered: 0 })
    }

    /// A solver that has not answered is not asked again: the next question goes to a new one.
    pub(crate) async fn ask(&mut self, claim: Claim<'_>) -> Result<Verdict, NoAnswer> {
        if self.unanswered >= PATIENCE {
            return Err(NoAnswer::Unknown(format!(
                "not asked, because the solver has left {PATIENCE} questions without an answer"
            )));
        }
        let mut compiler = match self.running.take() {
            Some(compiler) => compiler,
            None => start(self.solver).map_err(NoAnswer::NoSolver)?,
        };
        self.asked += 1;
        let why = match tokio::time::timeout(self.solver.time_out, put(&mut compiler, claim)).await {
            Ok(Ok(verdict)) => {
                self.running = Some(compiler);
                return Ok(verdict);
            }
            Ok(Err(error)) => told(&error),
            Err(_) => format!("the solver has not answered within {} s", self.solver.time_out.as_secs()),
        };
        self.unanswered += 1;
        Err(NoAnswer::Unknown(why))
    }
}

fn start(solver: &Solver) -> Result<Compiler, NoSolver> {
    let mut command = Command::new(&solver.program);
    // Without it cvc5 does not answer what `like` with a star at the front becomes.
    command.args(["--lang", "smt", "--strings-exp"]).kill_on_drop(true);
    let no_solver = |why| NoSolver::because(solver, why);
    let started = match LocalSolver::from_command(&mut command) {
        Ok(started) => started,
        Err(SolverError::Io(why)) => return Err(no_solver(why)),
        Err(other) => return Err(no_solver(io::Error::other(other))),
    };
    CedarSymCompiler::new(started).map_err(|why| no_solver(io::Error::other(why)))
}

async fn put(compiler: &mut Compiler, claim: Claim<'_>) -> Result<Verdict, Error> {
    let found = |input: Option<Env>| match input {
        Some(input) => Verdict::Broken(Some(Box::new(input))),
        None => Verdict::Holds,
    };
    let whether = |holds: bool| if holds { Verdict::Holds } else { Verdict::Broken(None) };
    match claim {
        Claim::NeverErrs(policy) => {
            compiler.check_never_errors_with_counterexample_opt(policy).await.map(found)
        }
        Claim::Disjoint(one, other) => {
            compiler.check_disjoint_with_counterexample_opt(one, other).await.map(found)
        }
        Claim::NeverApplies(policy) => compiler.check_never_matches_opt(policy).await.map(whether),
        Claim::Impossible(formulas, of) => compiler.check_unsat_raw(formulas.clone(), of).await.map(whether),
        Claim::AlwaysDenies(policies) => compiler.check_always_denies_opt(policies).await.map(whether),
    }
}

fn told(error: &Error) -> String {
    match error {
        Error::SolverUnknown => "the solver does not know".to_owned(),
        other => {
            let chain = std::iter::successors(Some(other as &dyn std::error::Error), |error| error.source());
            let chain: Vec<String> = chain.map(ToString::to_string).collect();
            format!("the solver failed: {}", model::one_line(&chain.join(": "), 300))
        }
    }
}
