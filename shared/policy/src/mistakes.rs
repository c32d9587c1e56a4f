//! Mistakes in a Cedar file, each with its place and the way out: the nearest word of the schema where Cedar knows none,
//! or the wrong one.
//!
//! Cedar finds them; the one that it does not find, a `has` that asks for what the schema does not know, is found here.
//! What merely follows from another mistake is left out.

use crate::{
    problems::{MOST_PROBLEMS, Source, hint},
    rules::SCHEMA,
    tokens::{is_word, tokens},
};
use miette::Diagnostic;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The schema's words, read when the first file is.
static WORDS: LazyLock<Words> = LazyLock::new(Words::new);

/// What Cedar can ask of values, by its manual.
const METHODS: [&str; 23] = [
    "contains",
    "containsAll",
    "containsAny",
    "isEmpty",
    "hasTag",
    "getTag",
    "durationSince",
    "offset",
    "toDate",
    "toTime",
    "toMilliseconds",
    "toSeconds",
    "toMinutes",
    "toHours",
    "toDays",
    "isIpv4",
    "isIpv6",
    "isLoopback",
    "isMulticast",
    "isInRange",
    "lessThan",
    "greaterThan",
    "greaterThanOrEqual",
];

/// What whoever comes from another language writes to look into a text.
const OF_TEXTS: [&str; 6] = ["startsWith", "endsWith", "includes", "matches", "toLowerCase", "toUpperCase"];

const VARIABLES: [&str; 4] = ["principal", "action", "resource", "context"];

/// The most mistakes of one file that are looked at.
const MOST_COMPARED: usize = 10 * MOST_PROBLEMS;

/// A mistake, placed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mistake {
    start: usize,
    end: usize,
    said: String,
    label: Option<String>,
    hint: Option<String>,
}

/// A file that is no Cedar.
pub(crate) fn unreadable(source: Source<'_>, error: &dyn Diagnostic) -> String {
    let mut mistake = Mistake::of(error);
    if let Some(better) = of_syntax(source, &mistake) {
        mistake.hint = Some(better);
    }
    mistake.told(source)
}

/// Policies that Cedar can read, and that do not hold against the schema.
pub(crate) fn invalid<'e>(
    source: Source<'_>,
    errors: impl Iterator<Item = &'e dyn Diagnostic>,
) -> Vec<String> {
    let mut mistakes: Vec<Mistake> = errors.map(|error| of_schema(source, Mistake::of(error))).collect();
    mistakes.extend(asked_in_vain(source));
    mistakes.sort();
    // The same mistake is found once for every action that a policy applies to.
    mistakes.dedup();
    // Each is compared with all, and few are said.
    mistakes.truncate(MOST_COMPARED);
    let all = mistakes.clone();
    mistakes.retain(|mistake| !all.iter().any(|other| mistake.follows_from(other)));
    mistakes.iter().take(MOST_PROBLEMS + 1).map(|mistake| mistake.told(source)).collect()
}

impl Mistake {
    fn of(error: &dyn Diagnostic) -> Mistake {
        let label = error.labels().and_then(|mut labels| labels.next());
        let (start, length) = label.as_ref().map_or((0, 0), |label| (label.offset(), label.len()));
        Mistake {
            start,
            end: start + length,
            said: error.to_string().replace("__cedar::internal::AnyEntity", "an entity"),
            label: label.as_ref().and_then(|label| label.label()).map(str::to_owned),
            hint: error.help().map(|help| help.to_string()),
        }
    }

    fn told(&self, source: Source<'_>) -> String {
        source.pointed_problem(
            &(self.start..self.end),
            &self.said,
            self.label.as_deref(),
            self.hint.as_deref(),
        )
    }

    /// Whether it is gone when another one is mended.
    fn follows_from(&self, other: &Mistake) -> bool {
        let says = |words: &[&str]| words.iter().any(|word| self.said.contains(word));
        let is_a_cause = [UNKNOWN, "unrecognized", "not found"].iter().any(|word| other.said.contains(word));
        let never = says(&["policy is impossible", NO_ACTION]);
        let no_action = says(&["policy is impossible"]) && other.said.contains(NO_ACTION);
        let is_within = (self.start..self.end).contains(&other.start);
        // Of `a.b.c` the hint on `c` says what has to be asked for `b` too.
        let is_longer = |of: &Mistake| attribute_of(&of.said).map_or(0, |path| path.len());
        let optional = "optional attribute";
        let both_optional = says(&[optional]) && other.said.contains(optional);
        (never && is_a_cause && is_within)
            || (no_action && is_within)
            || (both_optional && self.start == other.start && is_longer(other) > is_longer(self))
    }
}

/// Part of what Cedar says about a policy whose scope no action fits.
const NO_ACTION: &str = "unable to find an applicable action";

/// Part of what is said about a `has` that asks for nothing.
const UNKNOWN: &str = "is always answered with no";

/// The mistake with a better hint, if there is one.
fn of_schema(source: Source<'_>, mistake: Mistake) -> Mistake {
    let said = mistake.said.as_str();
    let marked = source.text.get(mistake.start..mistake.end).unwrap_or_default();
    let better = if let Some(path) = attribute_of(said) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if said.contains("optional attribute") {
            WORDS.guard(&path).map(|guard| format!("ask for it first: `{guard} && …`"))
        } else {
            path.split_last().map(|(word, record)| WORDS.nearest(record, word))
        }
    } else if let Some(action) = quoted(said, "unrecognized action `") {
        let word = action.trim_start_matches("Action::").trim_matches('"');
        Some(WORDS.nearest_action(word))
    } else if let Some(word) = quoted(said, "unrecognized entity type `") {
        Some(hint(word, &WORDS.entities()))
    } else if said.contains(NO_ACTION) {
        WORDS.of_group(marked)
    } else if said.ends_with("expected Long but saw String") && marked.ends_with(".severity") {
        Some("the severity as a number is `resource.severityLevel`, 0 to 4".to_owned())
    } else if said.contains("expected an entity but saw String") {
        Some(format!("write it the other way round: `[\"…\", \"…\"].contains({marked})`"))
    } else {
        None
    };
    Mistake { hint: better.or(mistake.hint.clone()), ..mistake }
}

/// A hint for what Cedar could not even read, where its own is none or no help.
fn of_syntax(source: Source<'_>, mistake: &Mistake) -> Option<String> {
    let said = mistake.said.as_str();
    let marked = source.text.get(mistake.start..mistake.end).unwrap_or_default();
    if let Some(word) = said.strip_suffix("is not a valid method").and_then(|said| quoted(said, "`")) {
        // Cedar knows what is meant by `durationsince`.
        return mistake.hint.is_none().then(|| of_method(word));
    }
    if let Some(word) = said.strip_prefix("invalid variable: ") {
        return WORDS.meant(word, marked).or_else(|| Some(format!("a text stands in quotes: \"{word}\"")));
    }
    if said.starts_with("invalid member access") {
        let (word, _) = marked.split_once('.')?;
        return WORDS.meant(word.trim(), marked);
    }
    if said.ends_with("cannot be used: has") {
        let set = "a set is asked with `.contains(\"…\")`";
        return Some(format!("{set}; `has` stands between blanks: `resource has device`"));
    }
    if !said.starts_with("unexpected token") {
        return None;
    }
    // It may also be what follows the word that Cedar does not expect.
    let before = source.text.get(..mistake.start).unwrap_or_default().trim_end();
    let last = before.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    of_operator(marked).or_else(|| of_operator(last)).map(str::to_owned)
}

fn of_method(word: &str) -> String {
    if OF_TEXTS.contains(&word) {
        "a text is compared with `==` or with `like`, where * stands for anything: like \"T1*\"".to_owned()
    } else {
        hint(word, &METHODS)
    }
}

/// What Cedar writes with signs and other languages with words.
fn of_operator(word: &str) -> Option<&'static str> {
    match word {
        "or" => Some("write `||` for or"),
        "and" => Some("write `&&` for and"),
        "not" => Some("write `!` for not: `!(…)`"),
        _ => None,
    }
}

/// What stands between an opening and the next backtick.
fn quoted<'s>(said: &'s str, opening: &str) -> Option<&'s str> {
    Some(said.split_once(opening)?.1.split_once('`')?.0)
}

/// The attribute that Cedar's sentence is about, as the path that leads to it.
fn attribute_of(said: &str) -> Option<Vec<String>> {
    let (_, rest) = said.split_once("attribute `")?;
    let (path, rest) = rest.split_once('`')?;
    let variable = if rest.starts_with(" in context") {
        "context"
    } else if rest.contains("`Alert`") {
        "resource"
    } else {
        "principal"
    };
    Some(std::iter::once(variable).chain(path.split('.')).map(str::to_owned).collect())
}

/// Every `has` that asks for an attribute of which the schema knows nothing. Cedar takes it for a plain no, and says
/// something only where the whole policy can then never apply.
fn asked_in_vain(source: Source<'_>) -> Vec<Mistake> {
    let tokens: Vec<(usize, &str)> =
        tokens(source.text).filter(|(_, token)| !token.starts_with("//")).collect();
    let mut found = Vec::new();
    for (i, _) in tokens.iter().enumerate().filter(|(_, (_, token))| *token == "has") {
        let (before, after) = tokens.split_at(i);
        let mut path = path_before(before);
        for (at, word) in path_after(after) {
            if path.is_empty() || WORDS.record(&path).is_none_or(|record| record.contains_key(word)) {
                path.push(word);
                continue;
            }
            let of = path.join(".");
            found.push(Mistake {
                start: at,
                end: at + word.len(),
                said: format!("`{of}` has no attribute `{word}`: the question {UNKNOWN}"),
                label: None,
                hint: Some(WORDS.nearest(&path, word)),
            });
            break;
        }
    }
    found
}

/// The path that these tokens end with, such as `resource.device`. Empty where it begins with anything but a variable.
fn path_before<'t>(tokens: &[(usize, &'t str)]) -> Vec<&'t str> {
    let mut path = Vec::new();
    let mut rest = tokens.iter().rev().map(|(_, token)| *token);
    while let Some(word) = rest.next().filter(|word| is_word(word)) {
        path.insert(0, word);
        if VARIABLES.contains(&word) {
            return path;
        }
        if rest.next() != Some(".") {
            break;
        }
    }
    Vec::new()
}

/// The words after `has`, which may be a path as well.
fn path_after<'t>(tokens: &[(usize, &'t str)]) -> Vec<(usize, &'t str)> {
    let mut path = Vec::new();
    let mut rest = tokens.iter().skip(1);
    while let Some((at, word)) = rest.next().filter(|(_, word)| is_word(word)) {
        path.push((*at, *word));
        if rest.next().is_none_or(|(_, sign)| *sign != ".") {
            break;
        }
    }
    path
}

/// The schema, to look words up in.
#[derive(Debug)]
struct Words(Value);

impl Words {
    fn new() -> Words {
        Words(serde_json::from_str(SCHEMA).unwrap_or_default())
    }

    /// The attributes of what a path from a variable leads to; none where that has none, or is unknown.
    fn record(&self, path: &[&str]) -> Option<&Map<String, Value>> {
        let (variable, rest) = path.split_first()?;
        let first = match *variable {
            "resource" => self.0.pointer("//entityTypes/Alert/shape"),
            "context" => self.0.pointer("//commonTypes/Circumstances"),
            _ => None,
        }?;
        let mut record = first.get("attributes")?.as_object()?;
        for word in rest {
            let kind = record.get(*word)?;
            let named = kind.get("name").and_then(Value::as_str);
            let common = named.and_then(|name| self.0.pointer("//commonTypes")?.get(name));
            record = common.unwrap_or(kind).get("attributes")?.as_object()?;
        }
        Some(record)
    }

    /// What has to be asked before an attribute may be used: one `has` for each step that may be absent.
    fn guard(&self, path: &[&str]) -> Option<String> {
        let mut steps = Vec::new();
        for end in 1..path.len() {
            let (before, word) = (path.get(..end)?, path.get(end)?);
            let attribute = self.record(before)?.get(*word)?;
            if attribute.get("required").and_then(Value::as_bool) == Some(false) {
                steps.push(format!("{} has {word}", before.join(".")));
            }
        }
        (!steps.is_empty()).then(|| steps.join(" && "))
    }

    /// What was probably meant by a word that a record does not have.
    fn nearest(&self, path: &[&str], word: &str) -> String {
        let elsewhere = self.elsewhere(word);
        if !elsewhere.is_empty() {
            return format!("did you mean {}?", elsewhere.join(" or "));
        }
        match self.record(path) {
            Some(record) => hint(word, &record.keys().map(String::as_str).collect::<Vec<_>>()),
            None => format!("`{}` has no attributes", path.join(".")),
        }
    }

    /// Every attribute of this name, by its whole path.
    fn elsewhere(&self, word: &str) -> Vec<String> {
        let places: [&[&str]; 6] = [
            &["resource"],
            &["resource", "device"],
            &["resource", "hunt"],
            &["resource", "user"],
            &["resource", "evidence"],
            &["context"],
        ];
        let has = |path: &&[&str]| self.record(path).is_some_and(|record| record.contains_key(word));
        places.into_iter().filter(has).map(|path| format!("`{}.{word}`", path.join("."))).collect()
    }

    /// What was probably meant by a word that stands where a variable should. `marked` is the whole expression.
    fn meant(&self, word: &str, marked: &str) -> Option<String> {
        let elsewhere = self.elsewhere(word);
        if !elsewhere.is_empty() {
            return Some(format!("did you mean {}?", elsewhere.join(" or ")));
        }
        let nearest = hint(word, &VARIABLES);
        (marked.contains('.') || nearest.starts_with("did you mean")).then_some(nearest)
    }

    fn nearest_action(&self, word: &str) -> String {
        let actions = self.names("//actions");
        let whole = |hint: String, action: &&str| {
            hint.replace(&format!("`{action}`"), &format!("`Action::\"{action}\"`"))
        };
        actions.iter().fold(hint(word, &actions), whole)
    }

    /// What to write instead of a group where an action should stand. `marked` is the policy.
    fn of_group(&self, marked: &str) -> Option<String> {
        let actions = self.0.pointer("//actions")?.as_object()?;
        let is_group = |action: &Value| {
            action.pointer("/appliesTo/principalTypes").and_then(Value::as_array).is_some_and(Vec::is_empty)
        };
        let mut groups = actions.iter().filter(|(_, action)| is_group(action)).map(|(name, _)| name);
        let group = groups.find(|group| marked.contains(&format!("Action::\"{group}\"")))?;
        let belongs = |action: &Value| {
            let of = action.get("memberOf").and_then(Value::as_array);
            of.into_iter().flatten().any(|of| of.get("id").and_then(Value::as_str) == Some(group))
        };
        Some(if actions.values().any(belongs) {
            format!("`{group}` is a group of actions: write `action in Action::\"{group}\"`")
        } else {
            format!("no action belongs to the group `{group}` yet")
        })
    }

    fn entities(&self) -> Vec<&str> {
        self.names("//entityTypes")
    }

    fn names(&self, pointer: &str) -> Vec<&str> {
        let all = self.0.pointer(pointer).and_then(Value::as_object);
        all.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }
}
