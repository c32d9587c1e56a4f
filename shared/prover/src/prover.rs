//! What is asked of the solver, question by question, and what its answers mean.

use crate::{
    ASSUMPTIONS, Progress,
    ask::{Asking, Claim, NoAnswer, NoSolver, Solver, Verdict},
    example::{Example, Input},
    proof::{Finding, Named, Proof, Spare},
    recast::{self, Assumption},
};
use cedar_policy::{Decision, Policy, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::{
    Asserts, CompiledPolicy, CompiledPolicySet, Env, disjoint_asserts, never_errors_asserts,
    never_matches_asserts, term::Term,
};
use policy::{Effect, Playbook, Rule};
use std::sync::Arc;

/// What an ordinary alert is: for examples only.
const ORDINARY: &str = include_str!("ordinary.cedar");

const POLICY: &str = "policy.cedar";
const GUARANTEES: &str = "guarantees.cedar";

/// How much is to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    All,
    Guarantees,
}

/// Cedar walks through a policy by calling itself, and a stack that is full ends the process. The memory is only taken
/// where it is needed.
const STACK: usize = 256 << 20;

pub(crate) fn prove(
    playbook: &Playbook,
    what: What,
    solver: &Solver,
    progress: &mut Progress<'_>,
) -> Result<Proof, NoSolver> {
    std::thread::scope(|scope| {
        // A runtime of its own, from beginning to end: whoever waits here may be within another one.
        let proving = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|why| NoSolver::because(solver, why))?;
            runtime.block_on(Box::pin(prove_here(playbook, what, solver, progress)))
        };
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, proving);
        let thread = thread.map_err(|why| NoSolver::because(solver, why))?;
        // A panic is the prover's own fault, and nothing is proved.
        thread.join().unwrap_or_else(|_| {
            let mut found = Found::default();
            found.open("the playbook as a whole", "the prover itself failed");
            Ok(found.proof(playbook, 0))
        })
    })
}

async fn prove_here(
    playbook: &Playbook,
    what: What,
    solver: &Solver,
    progress: &mut Progress<'_>,
) -> Result<Proof, NoSolver> {
    let mut asking = Asking::new(solver)?;
    let mut found = Found::default();
    let proved = match Subject::new(playbook) {
        Ok(subject) => subject.all(what, &mut asking, progress, &mut found).await,
        Err(why) => Err(why.into()),
    };
    match proved {
        Ok(()) => {}
        Err(NoAnswer::NoSolver(why)) => return Err(why),
        Err(NoAnswer::Unknown(why)) => found.open("the playbook as a whole", why),
    }
    Ok(found.proof(playbook, asking.asked))
}

#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    spare: Vec<Spare>,
}

impl Found {
    fn open(&mut self, claim: impl Into<String>, why: impl Into<String>) {
        self.findings.push(Finding::Open { claim: claim.into(), why: why.into() });
    }

    fn proof(self, playbook: &Playbook, questions: usize) -> Proof {
        Proof {
            proved: self.findings.is_empty(),
            guarantees: playbook.guarantees().len(),
            policies: playbook.policies().len(),
            questions,
            findings: self.findings,
            spare: self.spare,
        }
    }
}

/// One rule of the playbook, and its policy as Cedar has it.
struct Part<'p> {
    rule: &'p Rule,
    policy: Policy,
    file: &'static str,
}

/// One action about which policies can be asked.
struct Action {
    name: String,
    env: RequestEnv,
    /// What is permitted of all inputs that there can be.
    permitted: CompiledPolicySet,
}

/// What is to be proved of.
struct Subject<'p> {
    schema: &'p Schema,
    permitting: &'p PolicySet,
    guaranteeing: &'p PolicySet,
    parts: Vec<Part<'p>>,
    assumed: Vec<Assumption>,
    ordinary: Vec<Assumption>,
    actions: Vec<Action>,
}

/// A question that cannot even be put: a fault of the prover, and never taken for a proof.
impl From<String> for NoAnswer {
    fn from(why: String) -> NoAnswer {
        NoAnswer::Unknown(why)
    }
}

impl<'p> Subject<'p> {
    fn new(playbook: &'p Playbook) -> Result<Subject<'p>, String> {
        let (permitting, guaranteeing, schema) = playbook.cedar();
        let assumed = recast::assumptions(ASSUMPTIONS)?;
        let ordinary = recast::assumptions(ORDINARY)?;
        let mut parts = Vec::new();
        for (rules, set, file) in
            [(playbook.policies(), permitting, POLICY), (playbook.guarantees(), guaranteeing, GUARANTEES)]
        {
            for rule in rules {
                let policy = set.policy(&cedar_policy::PolicyId::new(&rule.id));
                let policy =
                    policy.ok_or_else(|| format!("`{}` is not among the policies", rule.id))?.clone();
                parts.push(Part { rule, policy, file });
            }
        }
        let mut subject =
            Subject { schema, permitting, guaranteeing, parts, assumed, ordinary, actions: Vec::new() };
        for env in schema.request_envs() {
            let name: &str = env.action().id().as_ref();
            let permitted = subject.compile(&subject.policies(), &env)?;
            subject.actions.push(Action { name: name.to_owned(), env, permitted });
        }
        subject.actions.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(subject)
    }

    fn of_file(&self, file: &'static str) -> impl Iterator<Item = &Part<'p>> {
        self.parts.iter().filter(move |part| part.file == file)
    }

    /// All policies of policy.cedar.
    fn policies(&self) -> Vec<&Policy> {
        self.of_file(POLICY).map(|part| &part.policy).collect()
    }

    /// The assumptions about what these policies ask for. Others cannot matter: each can be met without regard to them.
    fn about<'a>(&'a self, policies: &[&Policy]) -> impl Iterator<Item = &'a Assumption> + use<'a, 'p> {
        let asked = policy::asked_for(policies.iter().copied());
        self.assumed.iter().filter(move |one| one.about.is_empty() || !one.about.is_disjoint(&asked))
    }

    /// What these policies allow of all inputs that there can be.
    fn compile(&self, policies: &[&Policy], env: &RequestEnv) -> Result<CompiledPolicySet, String> {
        let forbids = self.about(policies).map(|assumption| &assumption.forbid);
        let all = recast::set(policies.iter().copied().chain(forbids))?;
        CompiledPolicySet::compile(&all, env, self.schema).map_err(|error| error.to_string())
    }

    /// A policy for all inputs that there can be.
    fn compile_assumed(&self, policy: &Policy, env: &RequestEnv) -> Result<CompiledPolicy, String> {
        self.compile_one(&recast::under(self.about(&[policy]), policy)?, env)
    }

    fn compile_one(&self, policy: &Policy, env: &RequestEnv) -> Result<CompiledPolicy, String> {
        CompiledPolicy::compile(policy, env, self.schema).map_err(|error| error.to_string())
    }

    async fn all(
        &self,
        what: What,
        asking: &mut Asking<'_>,
        progress: &mut Progress<'_>,
        found: &mut Found,
    ) -> Result<(), NoAnswer> {
        for part in self.of_file(GUARANTEES) {
            progress(&format!("does the guarantee `{}` hold?", part.rule.id));
            for action in &self.actions {
                let claim = format!("that the guarantee `{}` holds for `{}`", part.rule.id, action.name);
                note(self.holds(part, action, asking).await, claim, found)?;
            }
        }
        if what == What::Guarantees {
            return Ok(());
        }
        for part in &self.parts {
            progress(&format!("can `{}` err?", part.rule.id));
            for action in &self.actions {
                let claim = format!("that `{}` cannot err for `{}`", part.rule.id, action.name);
                note(self.errs(part, action, asking).await, claim, found)?;
            }
        }
        for part in &self.parts {
            // What errs says nothing: it has to be mended first.
            if is_found(&part.rule.id, &found.findings) {
                continue;
            }
            progress(&format!("is `{}` there in vain?", part.rule.id));
            let claim = format!("that `{}` can apply, and have an effect", part.rule.id);
            note(self.is_in_vain(part, asking).await, claim, found)?;
        }
        for part in self.of_file(POLICY) {
            if is_found(&part.rule.id, &found.findings) {
                continue;
            }
            progress(&format!("would anything change without `{}`?", part.rule.id));
            // What is not known here is no failure: it is said of policies only that they could be left out.
            if self.is_spare(part, asking).await? {
                found.spare.push(Spare::of(part.rule, part.file));
            }
        }
        Ok(())
    }

    /// Whether the guarantee forbids nothing that the policies permit.
    async fn holds(
        &self,
        part: &Part<'p>,
        action: &Action,
        asking: &mut Asking<'_>,
    ) -> Result<Option<Finding>, NoAnswer> {
        let forbidden = self.compile(&[&recast::as_permit(&part.policy)?], &action.env)?;
        let Some(found) = found(asking.ask(Claim::Disjoint(&action.permitted, &forbidden)).await?)? else {
            return Ok(None);
        };
        let about = [self.policies(), vec![&part.policy]].concat();
        let plain = self.example(Hole::Permits(&forbidden), found, &about, action, asking).await?;
        let input = Input::new(&plain.found, self.schema)?;
        let response = input.judge(self.permitting);
        let permits: Vec<&Part<'_>> = if response.decision() == Decision::Allow {
            let by: Vec<&str> = response.diagnostics().reason().map(AsRef::as_ref).collect();
            self.of_file(POLICY).filter(|part| by.contains(&part.rule.id.as_str())).collect()
        } else {
            Vec::new()
        };
        let guarantee = input.judge(self.guaranteeing);
        let forbids = guarantee.diagnostics().reason().any(|id| AsRef::<str>::as_ref(id) == part.rule.id);
        let disagreement = match (permits.is_empty(), forbids) {
            (true, _) => Some("Cedar says that the policies do not permit this example".to_owned()),
            (_, false) => Some("Cedar says that the guarantee does not forbid this example".to_owned()),
            _ => None,
        };
        let asked: Vec<&Policy> = permits.iter().map(|part| &part.policy).chain([&part.policy]).collect();
        Ok(Some(Finding::Violated {
            guarantee: Named::of(part.rule, part.file),
            action: action.name.clone(),
            permitted_by: permits.iter().map(|part| Named::of(part.rule, part.file)).collect(),
            example: plain.shown(&input, &asked),
            disagreement,
        }))
    }

    /// Whether the policy can be evaluated on every input that there can be.
    async fn errs(
        &self,
        part: &Part<'p>,
        action: &Action,
        asking: &mut Asking<'_>,
    ) -> Result<Option<Finding>, NoAnswer> {
        // Most policies do not reckon: that they cannot err is plain without a solver.
        if !self.may_err(part, action)? {
            return Ok(None);
        }
        let policy = self.compile_assumed(&part.policy, &action.env)?;
        let Some(found) = found(asking.ask(Claim::NeverErrs(&policy)).await?)? else { return Ok(None) };
        let hole = Hole::Errs { policy: &part.policy, assumed: &policy };
        let plain = self.example(hole, found, &[&part.policy], action, asking).await?;
        let input = Input::new(&plain.found, self.schema)?;
        let error = input.error_of(&part.policy);
        let disagreement =
            error.is_none().then(|| "Cedar says that the policy does not err on this example".to_owned());
        Ok(Some(Finding::Errs {
            policy: Named::of(part.rule, part.file),
            action: action.name.clone(),
            error,
            example: plain.shown(&input, &[&part.policy]),
            disagreement,
        }))
    }

    /// An input that goes through the hole, and is as ordinary as such a one can be. `asked` are the policies that it is
    /// about.
    async fn example<'a>(
        &'a self,
        hole: Hole<'_>,
        found: Env,
        asked: &[&Policy],
        action: &Action,
        asking: &mut Asking<'_>,
    ) -> Result<Plain<'a>, NoAnswer> {
        let asked = policy::asked_for(asked.iter().copied());
        let matters = |one: &&Assumption| one.about.is_empty() || !one.about.is_disjoint(&asked);
        let (kept, mut others): (Vec<_>, Vec<_>) = self.assumed.iter().partition(matters);
        let (wanted, rest): (Vec<_>, Vec<_>) = self.ordinary.iter().partition(matters);
        others.extend(rest);
        let mut plain = Plain { found, kept, given_up: Vec::new() };

        let through = match hole {
            Hole::Permits(forbidden) => disjoint_asserts(&action.permitted, forbidden),
            Hole::Errs { assumed, .. } => never_errors_asserts(assumed),
        };
        let mut sure: Vec<Term> = through.asserts().to_vec();
        let mut open = vec![self.formulas(wanted, action)?];
        while let Some(mut wanted) = open.pop() {
            let formulas = wanted.iter().flat_map(|(_, formulas)| formulas.iter());
            let with = Arc::new(sure.iter().chain(formulas).cloned().collect());
            match asking.ask(Claim::Impossible(&with, through.symenv())).await {
                Ok(Verdict::Broken(_)) => {
                    sure.clone_from(&with);
                    plain.kept.extend(wanted.into_iter().map(|(one, _)| one));
                }
                Err(NoAnswer::NoSolver(why)) => return Err(NoAnswer::NoSolver(why)),
                // Each half is tried by itself, the first one first.
                _ if wanted.len() > 1 => {
                    let second = wanted.split_off(wanted.len() / 2);
                    open.extend([second, wanted]);
                }
                _ => plain.given_up.extend(wanted.into_iter().map(|(one, _)| one)),
            }
        }
        // What does not matter is there for those who want to see all attributes.
        let all = [plain.kept.as_slice(), others.as_slice()].concat();
        if let Ok(Verdict::Broken(Some(found))) = self.look(hole, &all, action, asking).await {
            plain.found = *found;
        }
        Ok(plain)
    }

    /// Each of these with formulas that say that it is so.
    fn formulas<'a>(
        &self,
        all: Vec<&'a Assumption>,
        action: &Action,
    ) -> Result<Vec<(&'a Assumption, Asserts)>, String> {
        let compiled = all.into_iter().map(|one| {
            let holds = self.compile_one(&one.permit, &action.env)?;
            Ok((one, never_matches_asserts(&holds).asserts().clone()))
        });
        compiled.collect()
    }

    /// Looks for an input that goes through the hole where all of this is so.
    async fn look(
        &self,
        hole: Hole<'_>,
        with: &[&Assumption],
        action: &Action,
        asking: &mut Asking<'_>,
    ) -> Result<Verdict, NoAnswer> {
        match hole {
            Hole::Permits(forbidden) => {
                let forbids = with.iter().map(|assumption| &assumption.forbid);
                let policies = recast::set(self.policies().into_iter().chain(forbids))?;
                let permitted = CompiledPolicySet::compile(&policies, &action.env, self.schema);
                let permitted = permitted.map_err(|error| error.to_string())?;
                asking.ask(Claim::Disjoint(&permitted, forbidden)).await
            }
            Hole::Errs { policy, .. } => {
                let policy = recast::under(with.iter().copied(), policy)?;
                asking.ask(Claim::NeverErrs(&self.compile_one(&policy, &action.env)?)).await
            }
        }
    }

    /// Whether the policy's formula leaves it open that it errs.
    fn may_err(&self, part: &Part<'p>, action: &Action) -> Result<bool, String> {
        let policy = self.compile_one(&part.policy, &action.env)?;
        let errs = never_errors_asserts(&policy);
        Ok(!errs.asserts().iter().any(|assert| *assert == false.into()))
    }

    /// Whether the policy applies to no input; or, a permit, only where a forbid stands against it.
    async fn is_in_vain(
        &self,
        part: &Part<'p>,
        asking: &mut Asking<'_>,
    ) -> Result<Option<Finding>, NoAnswer> {
        let is_permit = part.rule.effect == Effect::Permit;
        let mut applies = false;
        for action in &self.actions {
            if is_permit && self.takes_effect(part, action, asking).await? {
                return Ok(None);
            }
            let policy = self.compile_assumed(&part.policy, &action.env)?;
            applies |= matches!(asking.ask(Claim::NeverApplies(&policy)).await?, Verdict::Broken(_));
            if applies && !is_permit {
                return Ok(None);
            }
        }
        let policy = Named::of(part.rule, part.file);
        Ok(Some(if applies { Finding::Shadowed { policy } } else { Finding::Dead { policy } }))
    }

    /// Whether the permit alone, with all forbids against it, lets anything through.
    async fn takes_effect(
        &self,
        part: &Part<'p>,
        action: &Action,
        asking: &mut Asking<'_>,
    ) -> Result<bool, NoAnswer> {
        let forbids = self.of_file(POLICY).filter(|part| part.rule.effect == Effect::Forbid);
        let alone: Vec<&Policy> = forbids.map(|part| &part.policy).chain([&part.policy]).collect();
        let alone = self.compile(&alone, &action.env)?;
        Ok(matches!(asking.ask(Claim::AlwaysDenies(&alone)).await?, Verdict::Broken(_)))
    }

    /// Whether every answer would be the same without the policy.
    async fn is_spare(&self, part: &Part<'p>, asking: &mut Asking<'_>) -> Result<bool, NoAnswer> {
        // A permit that is only tried out, or names a kind of isolation, says more than yes: it is not spare, and no
        // other is on its account.
        let says_more = |rule: &Rule| rule.observe_only || rule.isolation_type.is_some();
        if says_more(part.rule) {
            return Ok(false);
        }
        let is_permit = part.rule.effect == Effect::Permit;
        let mut deciding = Vec::new();
        for other in self.of_file(POLICY) {
            let is_other = other.rule.id != part.rule.id;
            match (is_permit, other.rule.effect) {
                // Is there what this permit lets through, and no other would?
                (true, Effect::Permit) if is_other && says_more(other.rule) => {}
                (true, Effect::Permit) if is_other => deciding.push(recast::as_forbid(&other.policy)?),
                // Is there what would be let through if it were not for this forbid?
                (false, Effect::Forbid) if !is_other => {}
                _ => deciding.push(other.policy.clone()),
            }
        }
        for action in &self.actions {
            let rest = self.compile(&deciding.iter().collect::<Vec<_>>(), &action.env)?;
            let verdict = if is_permit {
                asking.ask(Claim::AlwaysDenies(&rest)).await
            } else {
                let stopped = self.compile(&[&recast::as_permit(&part.policy)?], &action.env)?;
                asking.ask(Claim::Disjoint(&rest, &stopped)).await
            };
            match verdict {
                Ok(Verdict::Holds) => {}
                Ok(Verdict::Broken(_)) | Err(NoAnswer::Unknown(_)) => return Ok(false),
                Err(no_solver) => return Err(no_solver),
            }
        }
        Ok(true)
    }
}

/// The input that breaks a claim, where it is broken.
fn found(verdict: Verdict) -> Result<Option<Env>, NoAnswer> {
    match verdict {
        Verdict::Holds => Ok(None),
        Verdict::Broken(Some(found)) => Ok(Some(*found)),
        Verdict::Broken(None) => Err("the solver named no input".to_owned().into()),
    }
}

/// What the solver is to find an input for.
#[derive(Clone, Copy)]
enum Hole<'a> {
    /// The policies permit what this permits: what a guarantee forbids.
    Permits(&'a CompiledPolicySet),
    /// This policy cannot be evaluated.
    Errs { policy: &'a Policy, assumed: &'a CompiledPolicy },
}

/// An example that is made as ordinary as it can be.
struct Plain<'a> {
    found: Env,
    kept: Vec<&'a Assumption>,
    given_up: Vec<&'a Assumption>,
}

impl<'a> Plain<'a> {
    fn shown(&self, input: &Input, asked: &[&Policy]) -> Example {
        let telling = self.given_up.iter().flat_map(|one| &one.about);
        input.shown(asked, &telling.cloned().collect())
    }
}

/// Adds what was found. That the solver does not know is a finding; that there is none ends the proof.
fn note(answer: Result<Option<Finding>, NoAnswer>, claim: String, found: &mut Found) -> Result<(), NoAnswer> {
    match answer {
        Ok(finding) => found.findings.extend(finding),
        Err(NoAnswer::Unknown(why)) => found.open(claim, why),
        Err(no_solver) => return Err(no_solver),
    }
    Ok(())
}

/// Whether something was found of this policy already.
fn is_found(id: &str, findings: &[Finding]) -> bool {
    findings.iter().any(|finding| match finding {
        Finding::Dead { policy } | Finding::Shadowed { policy } | Finding::Errs { policy, .. } => {
            policy.id == id
        }
        Finding::Violated { .. } | Finding::Open { .. } => false,
    })
}
