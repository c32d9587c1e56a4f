//! `policy.cedar` and `guarantees.cedar`: loading policies so strictly that whatever loads can be trusted, and asking
//! them.
//!
//! Cedar skips a policy that errs, a `forbid` included, and may then allow. So every error is handed on with
//! the ruling, and nothing here decides what an answer means.

use crate::{
    Case, annotations,
    asked::asked_for,
    facts::Facts,
    mistakes,
    problems::{Source, told},
    tokens::tokens,
};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId,
    PolicySet, Request, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;
use model::{Answer, IsolationType, PolicyNote};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

/// What `schema.cedarschema` says, as JSON, which Cedar reads faster: a Lambda function reads it at every start. A test
/// holds the two together.
pub(crate) const SCHEMA: &str = include_str!("schema.json");

/// Whether a policy speaks for or against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    Permit,
    Forbid,
}

/// What is worth knowing of one policy without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its `@id`.
    pub id: String,
    pub effect: Effect,
    /// Its `@reason`.
    pub reason: String,
    /// Whether it is annotated `@mode("observe")`: it cannot cause action by itself.
    pub observe_only: bool,
    /// Its `@isolationType`.
    pub isolation_type: Option<IsolationType>,
    /// Where it stands in the file, counted from one.
    pub line: usize,
}

impl Rule {
    pub(crate) fn note(&self) -> PolicyNote {
        PolicyNote { id: self.id.clone(), reason: self.reason.clone() }
    }
}

/// Which of the two files it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Policy,
    /// Nothing but forbids.
    Guarantees,
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Kind::Policy => crate::POLICY,
            Kind::Guarantees => crate::GUARANTEES,
        }
    }
}

/// The policies of one file, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// What they ask for. Found out when it is needed, and not at every start of a function.
    asked: OnceLock<BTreeSet<String>>,
    by_id: BTreeMap<String, usize>,
    policies: PolicySet,
    permits: PolicySet,
    vocabulary: Arc<Vocabulary>,
}

/// The schema, and the names of it that code needs.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    schema: Schema,
    names: Names,
}

impl Vocabulary {
    /// An error is a sentence.
    pub(crate) fn new() -> Result<Vocabulary, String> {
        let names = Names::new().ok_or("Cordon's own names for its actions cannot be read")?;
        let schema = Schema::from_json_str(SCHEMA)
            .map_err(|error| format!("Cordon's own schema cannot be read: {}", told(&error)))?;
        Ok(Vocabulary { schema, names })
    }
}

#[derive(Debug)]
struct Names {
    cordon: EntityUid,
    alert: EntityTypeName,
    isolate: EntityUid,
    propose_isolate: EntityUid,
    notify: EntityUid,
}

impl Names {
    /// From parts: reading a whole name such as `Action::"isolate"` makes Cedar build one more parser.
    fn new() -> Option<Names> {
        let action: EntityTypeName = "Action".parse().ok()?;
        let action = |id| EntityUid::from_type_name_and_id(action.clone(), EntityId::new(id));
        Some(Names {
            cordon: EntityUid::from_type_name_and_id("Cordon".parse().ok()?, EntityId::new("cordon")),
            alert: "Alert".parse().ok()?,
            isolate: action("isolate"),
            propose_isolate: action("proposeIsolate"),
            notify: action("notify"),
        })
    }
}

/// What the policies say about one action.
#[derive(Debug)]
pub(crate) struct Ruling<'a> {
    pub(crate) allowed: bool,
    /// The permits that are satisfied, whatever stands against them. By id.
    pub(crate) permits: Vec<&'a Rule>,
    /// The forbids that are satisfied. By id.
    pub(crate) forbids: Vec<&'a Rule>,
}

/// What the policies say about a case.
#[derive(Debug)]
pub(crate) struct Rulings<'a> {
    pub(crate) isolate: Ruling<'a>,
    pub(crate) propose: Ruling<'a>,
    pub(crate) notify: Ruling<'a>,
    /// Every policy that could not be evaluated, with its error.
    pub(crate) errors: BTreeSet<String>,
}

/// A case in Cedar's terms, to be put to policies.
#[derive(Debug)]
pub(crate) struct Put {
    alert: EntityUid,
    context: Context,
    entities: Entities,
}

impl Rules {
    pub(crate) fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether one of them asks for an attribute, by its path such as `context.hour`.
    pub(crate) fn asks_for(&self, path: &str) -> bool {
        self.asked.get_or_init(|| asked_for(self.policies.policies())).contains(path)
    }

    pub(crate) fn cedar(&self) -> &PolicySet {
        &self.policies
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.vocabulary.schema
    }

    /// Puts a case into Cedar's terms. An error is a sentence: it cannot be put to policies at all.
    pub(crate) fn put(&self, case: &Case<'_>, facts: &Facts<'_>) -> Result<Put, String> {
        let alert = EntityUid::from_type_name_and_id(
            self.vocabulary.names.alert.clone(),
            EntityId::new(case.alert.id.as_str()),
        );
        let entity =
            Entity::new(alert.clone(), facts.alert()?, Default::default()).map_err(|e| e.to_string())?;
        let entities =
            Entities::from_entities([entity], Some(&self.vocabulary.schema)).map_err(|e| told(&e))?;
        Ok(Put { alert, context: facts.context()?, entities })
    }

    /// Asks the policies about a case. An error is a sentence.
    pub(crate) fn judge(&self, put: &Put) -> Result<Rulings<'_>, String> {
        let mut errors = BTreeSet::new();
        let mut ask = |action: &EntityUid| self.ask(action, put, &mut errors);
        let isolate = ask(&self.vocabulary.names.isolate)?;
        let propose = ask(&self.vocabulary.names.propose_isolate)?;
        let notify = ask(&self.vocabulary.names.notify)?;
        Ok(Rulings { isolate, propose, notify, errors })
    }

    /// The guarantees that forbid an action, and what could not be evaluated. An error is a sentence.
    pub(crate) fn forbids(
        &self,
        answer: Answer,
        put: &Put,
    ) -> Result<(Vec<&Rule>, BTreeSet<String>), String> {
        let action = match answer {
            Answer::Isolate => &self.vocabulary.names.isolate,
            Answer::Propose => &self.vocabulary.names.propose_isolate,
            Answer::None | Answer::Refused => return Ok((Vec::new(), BTreeSet::new())),
        };
        let mut errors = BTreeSet::new();
        let ruling = self.ask(action, put, &mut errors)?;
        Ok((ruling.forbids, errors))
    }

    fn ask(
        &self,
        action: &EntityUid,
        put: &Put,
        errors: &mut BTreeSet<String>,
    ) -> Result<Ruling<'_>, String> {
        let (cordon, context) = (self.vocabulary.names.cordon.clone(), put.context.clone());
        let request =
            Request::new(cordon, action.clone(), put.alert.clone(), context, Some(&self.vocabulary.schema))
                .map_err(|error| error.to_string())?;
        let authorizer = Authorizer::new();
        let whole = authorizer.is_authorized(&request, &self.policies, &put.entities);
        for error in whole.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            errors.insert(format!(
                "policy `{}` could not be evaluated: {}",
                error.policy_id(),
                error.inner()
            ));
        }
        let allowed = whole.decision() == Decision::Allow;
        // Cedar gives as the reason of a "yes" the permits that were satisfied, of a "no" the forbids. Which permits stood
        // against these only the permits by themselves can tell.
        let reasons = self.rules_of(whole.diagnostics().reason());
        if allowed {
            return Ok(Ruling { allowed, permits: reasons, forbids: Vec::new() });
        }
        let permits = if reasons.is_empty() {
            Vec::new()
        } else {
            let permits = authorizer.is_authorized(&request, &self.permits, &put.entities);
            self.rules_of(permits.diagnostics().reason())
        };
        Ok(Ruling { allowed, permits, forbids: reasons })
    }

    fn rules_of<'p>(&self, ids: impl Iterator<Item = &'p PolicyId>) -> Vec<&Rule> {
        let ids: BTreeSet<&str> = ids.map(AsRef::as_ref).collect();
        ids.into_iter().filter_map(|id| self.rules.get(*self.by_id.get(id)?)).collect()
    }
}

/// Reads the file; what is wrong with it is added to `problems`. None only where nothing can be asked at all.
pub(crate) fn parse(
    kind: Kind,
    text: &str,
    vocabulary: &Arc<Vocabulary>,
    problems: &mut Vec<String>,
) -> Option<Rules> {
    let source = Source::new(kind.file(), text);
    if let Some((at, what, hint)) = too_deep(text) {
        problems.push(source.pointed_problem(&(at..at + 1), what, None, Some(hint)));
        return None;
    }
    let parsed: PolicySet = match text.parse() {
        Ok(parsed) => parsed,
        Err(errors) => {
            let errors: cedar_policy::ParseErrors = errors;
            problems.extend(errors.iter().map(|error| mistakes::unreadable(source, error)));
            return None;
        }
    };
    for template in parsed.templates() {
        let at = source.find(&template.to_cedar(), 0);
        problems.push(source.pointed_problem(
            &at,
            "a template cannot stand here: a slot is never filled",
            None,
            None,
        ));
    }

    let mut rules: Vec<Rule> = Vec::new();
    let (mut policies, mut permits) = (PolicySet::new(), PolicySet::new());
    let mut from = 0;
    for policy in in_order(&parsed) {
        let at = source.find(&policy.to_cedar().unwrap_or_default(), from);
        from = at.end;
        let rule = annotations::read(kind, source, policy, &at, &rules, problems);
        // A policy without an id is validated all the same, under a name that says where it stands.
        let name =
            rule.as_ref().map_or_else(|| format!("line {}", source.line(at.start)), |rule| rule.id.clone());
        let named = policy.new_id(PolicyId::new(&name));
        let is_permit = named.effect() == cedar_policy::Effect::Permit;
        let mut added = policies.add(named.clone());
        if is_permit && added.is_ok() {
            added = permits.add(named);
        }
        if let Err(error) = added {
            problems.push(source.pointed_problem(&source.first_line(&at), error, None, None));
        }
        rules.extend(rule);
    }

    let result = Validator::new(vocabulary.schema.clone()).validate(&policies, ValidationMode::Strict);
    let errors = result.validation_errors().map(|error| error as &dyn Diagnostic);
    // A warning says that a policy can never apply, or does not say what it seems to say.
    let warnings = result.validation_warnings().map(|warning| warning as &dyn Diagnostic);
    problems.extend(mistakes::invalid(source, errors.chain(warnings)));

    let by_id = rules.iter().enumerate().map(|(i, rule)| (rule.id.clone(), i)).collect();
    Some(Rules {
        rules,
        asked: OnceLock::new(),
        by_id,
        policies,
        permits,
        vocabulary: Arc::clone(vocabulary),
    })
}

/// How deep a policy may be nested. Cedar calls itself for each level, and a process whose stack is full ends without a
/// word about why.
const MAX_DEPTH: usize = 100;

/// How many `&&`, `||` and other signs between two things a policy may have: for Cedar each is a level as well. Where the
/// stack is small it would give up while deciding, which is a refusal, but not on every machine alike.
const MAX_SIGNS: usize = 200;

/// Where the text is nested deeper than that, by its brackets, by an `if` within an `if`, or by one condition behind
/// another; with what is wrong there, and a way out. What stands in quotes and in comments does not count.
fn too_deep(text: &str) -> Option<(usize, String, &'static str)> {
    let (mut brackets, mut ifs, mut halves) = (0_usize, 0_usize, 0_usize);
    for (at, token) in tokens(text) {
        match token {
            "(" | "[" | "{" => brackets += 1,
            ")" | "]" | "}" => brackets = brackets.saturating_sub(1),
            "if" => ifs += 1,
            "&" | "|" => halves += 1,
            "+" | "-" | "*" => halves += 2,
            ";" => (ifs, halves) = (0, 0),
            _ => {}
        }
        if brackets > MAX_DEPTH || ifs > MAX_DEPTH {
            return Some((at, format!("it is nested deeper than {MAX_DEPTH} levels"), "split the policy"));
        }
        if halves > 2 * MAX_SIGNS {
            let hint = "split the policy, or ask whether a list holds it: [\"…\", \"…\"].contains(…)";
            return Some((at, format!("a policy has at most {MAX_SIGNS} conditions in a row"), hint));
        }
    }
    None
}

/// The policies in the order of the file, which Cedar numbers `policy0`, `policy1`, ….
fn in_order(parsed: &PolicySet) -> Vec<&Policy> {
    let mut policies: Vec<&Policy> = parsed.policies().collect();
    policies.sort_by_key(|policy| {
        let id: &str = policy.id().as_ref();
        id.trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
    });
    policies
}
