//! The part of OData that the Defender API documents: query options, filters, order.
//!
//! Strict on purpose: what the documentation does not promise is refused, so that a client that passes here
//! relies on nothing else. Knows properties by name and kind, not the entities themselves.

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value;

/// How a property is written in a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In single quotes.
    Text,
    /// In single quotes, compared without case, `eq` and `ne` only.
    Enum,
    /// A bare date-time.
    Time,
    /// A bare number.
    Number,
    /// Bare or quoted: the documentation shows the property as both.
    NumberOrText,
    /// `machineTags/any(tag: tag eq 'x')`.
    Tags,
}

/// A property that may stand in `$filter` and `$orderby`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

const fn property(name: &'static str, kind: Kind) -> Property {
    Property { name, kind }
}

/// One of the lists: its name in `@odata.context`, what filters, what it is made of.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) name: &'static str,
    pub(crate) filterable: &'static [Property],
    /// Everything `$select` may name.
    pub(crate) selectable: &'static [&'static str],
    pub(crate) expands_evidence: bool,
    /// Graph's rules: smaller pages, no order to ask for, links that go on by `$skiptoken`.
    pub(crate) graph: bool,
    /// What the default order goes by.
    pub(crate) ordered_by: &'static Property,
}

const LAST_UPDATE: Property = property("lastUpdateTime", Kind::Time);
const LAST_SEEN: Property = property("lastSeen", Kind::Time);
const CREATION: Property = property("creationDateTimeUtc", Kind::Time);
const CREATED: Property = property("createdDateTime", Kind::Time);

pub(crate) static ALERTS: Collection = Collection {
    name: "Alerts",
    filterable: &[
        property("alertCreationTime", Kind::Time),
        LAST_UPDATE,
        property("incidentId", Kind::Number),
        property("investigationId", Kind::Number),
        property("id", Kind::Text),
        property("assignedTo", Kind::Text),
        property("detectionSource", Kind::Enum),
        property("lastEventTime", Kind::Time),
        property("status", Kind::Enum),
        property("severity", Kind::Enum),
        property("category", Kind::Enum),
    ],
    selectable: &[
        "id",
        "incidentId",
        "investigationId",
        "assignedTo",
        "severity",
        "status",
        "classification",
        "determination",
        "investigationState",
        "detectionSource",
        "detectorId",
        "category",
        "threatFamilyName",
        "title",
        "description",
        "alertCreationTime",
        "firstEventTime",
        "lastEventTime",
        "lastUpdateTime",
        "resolvedTime",
        "machineId",
        "computerDnsName",
        "rbacGroupName",
        "aadTenantId",
        "threatName",
        "mitreTechniques",
        "relatedUser",
        "comments",
        "evidence",
    ],
    expands_evidence: true,
    graph: false,
    ordered_by: &LAST_UPDATE,
};

pub(crate) static MACHINES: Collection = Collection {
    name: "Machines",
    filterable: &[
        property("computerDnsName", Kind::Text),
        property("id", Kind::Text),
        property("version", Kind::Text),
        property("deviceValue", Kind::Enum),
        property("aadDeviceId", Kind::Text),
        property("machineTags", Kind::Tags),
        LAST_SEEN,
        property("exposureLevel", Kind::Enum),
        property("onboardingStatus", Kind::Enum),
        property("lastIpAddress", Kind::Text),
        property("healthStatus", Kind::Enum),
        property("osPlatform", Kind::Text),
        property("riskScore", Kind::Enum),
        property("rbacGroupId", Kind::NumberOrText),
    ],
    // A user found `$select=onboardingStatus` refused, although it filters.
    selectable: &[
        "id",
        "computerDnsName",
        "firstSeen",
        "lastSeen",
        "osPlatform",
        "version",
        "osProcessor",
        "osArchitecture",
        "lastIpAddress",
        "lastExternalIpAddress",
        "osBuild",
        "healthStatus",
        "rbacGroupId",
        "rbacGroupName",
        "riskScore",
        "exposureLevel",
        "isAadJoined",
        "aadDeviceId",
        "deviceValue",
        "machineTags",
        "ipAddresses",
    ],
    expands_evidence: false,
    graph: false,
    ordered_by: &LAST_SEEN,
};

pub(crate) static MACHINE_ACTIONS: Collection = Collection {
    name: "MachineActions",
    filterable: &[
        property("id", Kind::Text),
        property("status", Kind::Enum),
        property("machineId", Kind::Text),
        property("type", Kind::Enum),
        property("requestor", Kind::Text),
        CREATION,
    ],
    selectable: &[
        "id",
        "type",
        "title",
        "scope",
        "requestor",
        "requestorComment",
        "requestSource",
        "externalId",
        "status",
        "machineId",
        "computerDnsName",
        "creationDateTimeUtc",
        "lastUpdateDateTimeUtc",
        "cancellationDateTimeUtc",
        "cancellationRequestor",
        "cancellationComment",
        "relatedFileInfo",
        "commands",
        "errorHResult",
    ],
    expands_evidence: false,
    graph: false,
    ordered_by: &CREATION,
};

/// Source of what filters: Graph's page "List `alerts_v2`", which also promises the most recent first and does not say by
/// which of its times.
pub(crate) static GRAPH_ALERTS: Collection = Collection {
    name: "security/alerts_v2",
    filterable: &[
        property("assignedTo", Kind::Text),
        property("classification", Kind::Enum),
        property("determination", Kind::Enum),
        CREATED,
        property("lastUpdateDateTime", Kind::Time),
        property("severity", Kind::Enum),
        property("serviceSource", Kind::Enum),
        property("status", Kind::Enum),
    ],
    selectable: &[],
    expands_evidence: false,
    graph: true,
    ordered_by: &CREATED,
};

/// A property's value in one record; `Null` also for what cannot be read.
#[derive(Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Null,
    Text(Cow<'a, str>),
    Time(Timestamp),
    Number(i64),
    Tags(Vec<&'a str>),
}

impl<'a> Field<'a> {
    pub(crate) fn text(text: &'a str) -> Field<'a> {
        Field::Text(Cow::Borrowed(text))
    }

    pub(crate) fn maybe_text(text: Option<&'a String>) -> Field<'a> {
        text.map_or(Field::Null, |text| Field::text(text))
    }

    pub(crate) fn maybe_time(time: Option<Timestamp>) -> Field<'a> {
        time.map_or(Field::Null, |time| Field::Time(crate::times::to_ticks(time)))
    }

    /// What can be read of a raw record, whatever else is wrong with it.
    pub(crate) fn of_raw(record: &'a Value, property: &Property) -> Field<'a> {
        let Some(value) = record.get(property.name) else { return Field::Null };
        match property.kind {
            Kind::Text | Kind::Enum => value.as_str().map_or(Field::Null, Field::text),
            Kind::Time => Field::maybe_time(value.as_str().and_then(|text| text.parse().ok())),
            Kind::Number => value.as_i64().map_or(Field::Null, Field::Number),
            Kind::NumberOrText => match value {
                Value::Number(number) => Field::Text(Cow::Owned(number.to_string())),
                Value::String(text) => Field::text(text),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Field::Null,
            },
            Kind::Tags => value
                .as_array()
                .map_or(Field::Null, |tags| Field::Tags(tags.iter().filter_map(Value::as_str).collect())),
        }
    }

    /// Null sorts before everything.
    pub(crate) fn order(&self, other: &Field<'_>) -> Ordering {
        match (self, other) {
            (Field::Text(a), Field::Text(b)) => a.as_ref().cmp(b.as_ref()),
            (Field::Time(a), Field::Time(b)) => a.cmp(b),
            (Field::Number(a), Field::Number(b)) => a.cmp(b),
            (Field::Null, Field::Null) => Ordering::Equal,
            (Field::Null, _) => Ordering::Less,
            (_, Field::Null) => Ordering::Greater,
            (_, _) => Ordering::Equal,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Compare { property: &'static Property, operator: Operator, value: Field<'static> },
    StartsWith { property: &'static Property, prefix: String },
    HasTag { property: &'static Property, tag: String },
}

impl Filter {
    pub(crate) fn accepts<'a>(&self, field: &impl Fn(&Property) -> Field<'a>) -> bool {
        match self {
            Filter::All(parts) => parts.iter().all(|part| part.accepts(field)),
            Filter::Any(parts) => parts.iter().any(|part| part.accepts(field)),
            Filter::Not(part) => !part.accepts(field),
            Filter::Compare { property, operator, value } => {
                compare(&field(property), *operator, value, property.kind)
            }
            Filter::StartsWith { property, prefix } => match field(property) {
                Field::Text(text) => {
                    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
                }
                Field::Null | Field::Time(_) | Field::Number(_) | Field::Tags(_) => false,
            },
            Filter::HasTag { property, tag } => match field(property) {
                Field::Tags(tags) => tags.contains(&tag.as_str()),
                Field::Null | Field::Text(_) | Field::Time(_) | Field::Number(_) => false,
            },
        }
    }
}

fn compare(left: &Field<'_>, operator: Operator, right: &Field<'_>, kind: Kind) -> bool {
    let same = match (left, right) {
        (Field::Text(a), Field::Text(b)) if kind == Kind::Enum => a.eq_ignore_ascii_case(b),
        (left, right) => left == right,
    };
    let some = *left != Field::Null && *right != Field::Null;
    match operator {
        Operator::Eq => same,
        Operator::Ne => !same,
        Operator::Gt => some && left.order(right) == Ordering::Greater,
        Operator::Ge => some && left.order(right) != Ordering::Less,
        Operator::Lt => some && left.order(right) == Ordering::Less,
        Operator::Le => some && left.order(right) != Ordering::Greater,
    }
}

/// What is wrong with a query, in words, and whether the mistake is the classic one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadQuery {
    pub(crate) message: String,
    pub(crate) violation: Option<String>,
}

fn bad<T>(message: impl Into<String>) -> Result<T, BadQuery> {
    Err(BadQuery { message: message.into(), violation: None })
}

/// The query options of a request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) filter: Option<Filter>,
    pub(crate) top: Option<usize>,
    pub(crate) skip: usize,
    /// Property and whether descending.
    pub(crate) order: Vec<(&'static Property, bool)>,
    pub(crate) expand_evidence: bool,
    pub(crate) count: bool,
    pub(crate) select: Option<Vec<&'static str>>,
}

/// Source: the pages of Defender's lists.
const MAX_TOP: usize = 10_000;
/// Reported of Graph's alerts by those who asked for more.
const GRAPH_MAX_TOP: usize = 1_000;
const GRAPH_MAX_SKIP: usize = 500;

/// Reads the query string. Names without `$` mean nothing to the service and are passed over.
pub(crate) fn options(query: &str, collection: &'static Collection) -> Result<Options, BadQuery> {
    let mut options = Options::default();
    let max_top = if collection.graph { GRAPH_MAX_TOP } else { MAX_TOP };
    let mut token = 0;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = value.trim();
        match name.as_ref() {
            "$filter" => options.filter = Some(filter(value, collection)?),
            "$top" => {
                let top = number("$top", value)?;
                if top > max_top {
                    return bad(format!(
                        "The limit of '{max_top}' for Top query has been exceeded. The value from the incoming request is '{top}'."
                    ));
                }
                options.top = Some(top);
            }
            "$skip" => {
                options.skip = number("$skip", value)?;
                if collection.graph && options.skip > GRAPH_MAX_SKIP {
                    return bad(format!(
                        "The limit of '{GRAPH_MAX_SKIP}' for Skip query has been exceeded. The value from the incoming request is '{}'.",
                        options.skip
                    ));
                }
            }
            "$skiptoken" if collection.graph => token = number("$skiptoken", value)?,
            "$orderby" if collection.graph => {
                return bad("The query parameter '$orderby' is not supported.");
            }
            "$orderby" => options.order = order(value, collection)?,
            "$expand" => match value {
                "evidence" if collection.expands_evidence => options.expand_evidence = true,
                _ => return bad(format!("Could not find a property named '{value}' to expand.")),
            },
            "$count" => match value {
                "true" => options.count = true,
                "false" => options.count = false,
                _ => return bad(format!("Invalid value '{value}' for $count query option found.")),
            },
            "$select" => options.select = Some(select(value, collection)?),
            name if name.starts_with('$') => {
                return bad(format!("The query parameter '{name}' is not supported."));
            }
            _ => {}
        }
    }
    options.skip = options.skip.saturating_add(token);
    Ok(options)
}

fn number(name: &str, value: &str) -> Result<usize, BadQuery> {
    value.parse().or_else(|_| bad(format!("Invalid value '{value}' for {name} query option found.")))
}

fn order(text: &str, collection: &'static Collection) -> Result<Vec<(&'static Property, bool)>, BadQuery> {
    text.split(',')
        .map(|part| {
            let mut words = part.split_whitespace();
            let property = find(words.next().unwrap_or_default(), collection)?;
            let descending = match words.next() {
                None | Some("asc") => false,
                Some("desc") => true,
                Some(word) => return bad(format!("Syntax error in $orderby at '{word}'.")),
            };
            match words.next() {
                None => Ok((property, descending)),
                Some(word) => bad(format!("Syntax error in $orderby at '{word}'.")),
            }
        })
        .collect()
}

fn select(text: &str, collection: &'static Collection) -> Result<Vec<&'static str>, BadQuery> {
    text.split(',')
        .map(|name| {
            let name = name.trim();
            let known = collection.selectable.iter().copied().find(|known| known.eq_ignore_ascii_case(name));
            known.map_or_else(|| bad(format!("Could not find a property named '{name}' to select.")), Ok)
        })
        .collect()
}

fn find(name: &str, collection: &'static Collection) -> Result<&'static Property, BadQuery> {
    let found = collection.filterable.iter().find(|property| property.name.eq_ignore_ascii_case(name));
    found.map_or_else(|| bad(format!("The property '{name}' cannot be used in the query option.")), Ok)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Comma,
    Quoted(String),
    Word(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, BadQuery> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            '\'' => {
                let mut quoted = String::new();
                loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            quoted.push('\'');
                        }
                        Some('\'') => break,
                        Some(other) => quoted.push(other),
                        None => return bad("There is an unterminated string literal in the filter."),
                    }
                }
                tokens.push(Token::Quoted(quoted));
            }
            space if space.is_whitespace() => {}
            first => {
                let mut word = String::from(first);
                while let Some(more) =
                    chars.next_if(|next| !next.is_whitespace() && !matches!(next, '(' | ')' | ',' | '\''))
                {
                    word.push(more);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

/// Parentheses and `not` deeper than this are refused.
const MAX_DEPTH: usize = 50;

pub(crate) fn filter(text: &str, collection: &'static Collection) -> Result<Filter, BadQuery> {
    let mut parser = Parser { tokens: tokens(text)?.into_iter().peekable(), collection, depth: 0 };
    let filter = parser.any()?;
    match parser.tokens.next() {
        None => Ok(filter),
        Some(token) => bad(format!("Syntax error in the filter at {}.", show(&token))),
    }
}

fn show(token: &Token) -> String {
    match token {
        Token::Open => "'('".to_owned(),
        Token::Close => "')'".to_owned(),
        Token::Comma => "','".to_owned(),
        Token::Quoted(text) | Token::Word(text) => format!("'{text}'"),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    collection: &'static Collection,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Filter, BadQuery> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.eat("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Filter::Any))
    }

    fn all(&mut self) -> Result<Filter, BadQuery> {
        let first = self.one()?;
        let mut parts = vec![first];
        while self.eat("and") {
            parts.push(self.one()?);
        }
        Ok(one_or(parts, Filter::All))
    }

    fn one(&mut self) -> Result<Filter, BadQuery> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return bad("The filter is nested too deeply.");
        }
        let filter = if self.eat("not") {
            Filter::Not(Box::new(self.one()?))
        } else {
            match self.tokens.next() {
                Some(Token::Open) => {
                    let inner = self.any()?;
                    self.expect(&Token::Close)?;
                    inner
                }
                Some(Token::Word(word)) => self.term(&word)?,
                Some(token) => return bad(format!("Syntax error in the filter at {}.", show(&token))),
                None => return bad("Syntax error: the filter ends too early."),
            }
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn term(&mut self, word: &str) -> Result<Filter, BadQuery> {
        let is_call = self.tokens.peek() == Some(&Token::Open);
        match word.strip_suffix("/any") {
            Some(name) if is_call => self.has_tag(name),
            Some(_) | None if is_call && word == "startswith" => self.starts_with(),
            Some(_) | None if is_call => {
                bad(format!("The function '{word}' is not supported in the filter."))
            }
            Some(_) | None => self.comparison(word),
        }
    }

    fn comparison(&mut self, name: &str) -> Result<Filter, BadQuery> {
        let property = find(name, self.collection)?;
        let operator = match self.word()?.as_str() {
            "eq" => Operator::Eq,
            "ne" => Operator::Ne,
            "gt" => Operator::Gt,
            "ge" => Operator::Ge,
            "lt" => Operator::Lt,
            "le" => Operator::Le,
            other => return bad(format!("The operator '{other}' is not supported in the filter.")),
        };
        let value = match self.tokens.next() {
            Some(token) => literal(property, operator, token)?,
            None => return bad("Syntax error: the filter ends too early."),
        };
        Ok(Filter::Compare { property, operator, value })
    }

    fn starts_with(&mut self) -> Result<Filter, BadQuery> {
        self.expect(&Token::Open)?;
        let name = self.word()?;
        let property = find(&name, self.collection)?;
        if property.kind != Kind::Text {
            return bad(format!("'startswith' cannot be used on '{name}'."));
        }
        self.expect(&Token::Comma)?;
        let prefix = self.quoted()?;
        self.expect(&Token::Close)?;
        Ok(Filter::StartsWith { property, prefix })
    }

    fn has_tag(&mut self, name: &str) -> Result<Filter, BadQuery> {
        let property = find(name, self.collection)?;
        if property.kind != Kind::Tags {
            return bad(format!("'any' cannot be used on '{name}'."));
        }
        self.expect(&Token::Open)?;
        let variable = self.word()?;
        let again = self.word()?;
        let operator = self.word()?;
        if variable.strip_suffix(':') != Some(again.as_str()) || operator != "eq" {
            return bad(format!("Syntax error in '{name}/any'; known form: {name}/any(tag: tag eq 'x')."));
        }
        let tag = self.quoted()?;
        self.expect(&Token::Close)?;
        Ok(Filter::HasTag { property, tag })
    }

    fn eat(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(found) if found == word)).is_some()
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), BadQuery> {
        match self.tokens.next() {
            Some(found) if found == *wanted => Ok(()),
            Some(found) => bad(format!("Syntax error in the filter at {}.", show(&found))),
            None => bad("Syntax error: the filter ends too early."),
        }
    }

    fn word(&mut self) -> Result<String, BadQuery> {
        match self.tokens.next() {
            Some(Token::Word(word)) => Ok(word),
            Some(found) => bad(format!("Syntax error in the filter at {}.", show(&found))),
            None => bad("Syntax error: the filter ends too early."),
        }
    }

    fn quoted(&mut self) -> Result<String, BadQuery> {
        match self.tokens.next() {
            Some(Token::Quoted(text)) => Ok(text),
            Some(found) => bad(format!("Syntax error in the filter at {}.", show(&found))),
            None => bad("Syntax error: the filter ends too early."),
        }
    }
}

fn one_or(mut parts: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

fn literal(property: &Property, operator: Operator, token: Token) -> Result<Field<'static>, BadQuery> {
    let name = property.name;
    if property.kind == Kind::Enum && !matches!(operator, Operator::Eq | Operator::Ne) {
        return bad(format!("'{name}' can only be compared with eq and ne."));
    }
    let mismatch = |quoted: bool, violation: Option<String>| {
        let (found, wanted) = if quoted { ("String", "bare value") } else { ("bare value", "String") };
        Err(BadQuery {
            message: format!(
                "A binary operator with incompatible types was detected: '{name}' wants a {wanted}, found a {found}."
            ),
            violation,
        })
    };
    match (property.kind, token) {
        (_, Token::Word(word)) if word == "null" => Ok(Field::Null),
        (Kind::Text | Kind::Enum | Kind::NumberOrText, Token::Quoted(text)) => {
            Ok(Field::Text(Cow::Owned(text)))
        }
        (Kind::Text | Kind::Enum, Token::Word(_)) => mismatch(false, None),
        (Kind::Time, Token::Quoted(_)) => {
            mismatch(true, Some(format!("`{name}` is compared with a quoted time")))
        }
        (Kind::Number, Token::Quoted(_)) => mismatch(true, None),
        (Kind::Time, Token::Word(word)) => match word.parse() {
            Ok(time) => Ok(Field::Time(time)),
            Err(_) => bad(format!("Unrecognized date-time '{word}' in the filter.")),
        },
        (Kind::Number, Token::Word(word)) => match word.parse() {
            Ok(number) => Ok(Field::Number(number)),
            Err(_) => bad(format!("Unrecognized number '{word}' in the filter.")),
        },
        (Kind::NumberOrText, Token::Word(word)) => match word.parse::<i64>() {
            Ok(_) => Ok(Field::Text(Cow::Owned(word))),
            Err(_) => bad(format!("Unrecognized number '{word}' in the filter.")),
        },
        (Kind::Tags, Token::Quoted(_) | Token::Word(_)) => {
            bad(format!("'{name}' is a list; known form: {name}/any(tag: tag eq 'x')."))
        }
        (_, token @ (Token::Open | Token::Close | Token::Comma)) => {
            bad(format!("Syntax error in the filter at {}.", show(&token)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accepts(filter_text: &str, record: &Value, collection: &'static Collection) -> bool {
        let filter = filter(filter_text, collection).unwrap();
        filter.accepts(&|property: &Property| Field::of_raw(record, property))
    }

    #[test]
    fn documented_filters_select_what_they_say() {
        let alert = json!({
            "id": "da1_-2", "severity": "High", "status": "New", "incidentId": 7, "assignedTo": null,
            "lastUpdateTime": "2026-03-01T12:00:00.1234567Z", "alertCreationTime": 5,
        });
        let cases = [
            ("severity eq 'High'", true),
            ("severity eq 'high'", true),
            ("severity ne 'High'", false),
            ("severity eq 'Low' or severity eq 'High' and status eq 'New'", true),
            ("(severity eq 'Low' or severity eq 'High') and status eq 'Resolved'", false),
            ("not (status eq 'Resolved')", true),
            ("lastUpdateTime ge 2026-03-01T12:00:00.1234567Z", true),
            ("lastUpdateTime gt 2026-03-01T12:00:00.1234567Z", false),
            (
                "lastUpdateTime lt 2026-03-01T12:00:00.1234568Z and lastUpdateTime ge 2026-03-01T12:00:00Z",
                true,
            ),
            ("incidentId eq 7", true),
            ("InvestigationId eq null", true),
            ("assignedTo eq null", true),
            ("assignedTo ne null", false),
            ("assignedTo eq 'O''Neil'", false),
            ("id eq 'da1_-2'", true),
            ("alertCreationTime ge 2020-01-01T00:00:00Z", false),
        ];
        for (text, expected) in cases {
            assert_eq!(accepts(text, &alert, &ALERTS), expected, "{text}");
        }
    }

    #[test]
    fn machines_filter_by_name_prefix_tag_and_group() {
        let machine = json!({
            "computerDnsName": "mymachine1.contoso.com", "machineTags": ["a", 5, "b"], "rbacGroupId": 140,
            "onboardingStatus": "onboarded",
        });
        let cases = [
            ("startswith(computerDnsName,'mymachine')", true),
            ("startswith(computerDnsName, 'other')", false),
            ("machineTags/any(tag: tag eq 'b')", true),
            ("machineTags/any(tag: tag eq 'c')", false),
            ("rbacGroupId eq 140", true),
            ("rbacGroupId eq '140'", true),
            ("onboardingStatus eq 'Onboarded'", true),
        ];
        for (text, expected) in cases {
            assert_eq!(accepts(text, &machine, &MACHINES), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_documented_is_refused() {
        let deep = format!("{}severity eq 'High'{}", "(".repeat(60), ")".repeat(60));
        let cases = [
            "machineId eq 'x'",
            "title eq 'x'",
            "severity eq High",
            "severity gt 'Low'",
            "severity has 'High'",
            "severity in ('High')",
            "contains(id,'x')",
            "startswith(lastUpdateTime,'x')",
            "incidentId eq '7'",
            "lastUpdateTime ge yesterday",
            "severity eq 'High",
            "severity eq",
            "(severity eq 'High'",
            "severity eq 'High' status eq 'New'",
            "",
            deep.as_str(),
        ];
        for text in cases {
            filter(text, &ALERTS).expect_err(text);
        }
    }

    #[test]
    fn a_quoted_time_is_refused_and_named() {
        let error = filter("lastUpdateTime ge '2026-03-01T12:00:00Z'", &ALERTS).unwrap_err();
        assert_eq!(error.violation.unwrap(), "`lastUpdateTime` is compared with a quoted time");
    }

    #[test]
    fn options_are_read_and_wrong_ones_refused() {
        let read = options(
            "$filter=severity+eq+'High'&$top=10&%24skip=5&$orderby=lastUpdateTime+desc&$expand=evidence&$count=true&$select=id,Title",
            &ALERTS,
        )
        .unwrap();
        assert_eq!((read.top, read.skip, read.expand_evidence, read.count), (Some(10), 5, true, true));
        assert_eq!(read.select.unwrap(), ["id", "title"]);
        assert_eq!(read.order[0].0.name, "lastUpdateTime");
        for wrong in [
            "$top=10001",
            "$top=-1",
            "$skip=x",
            "$orderby=title",
            "$orderby=id up",
            "$expand=user",
            "$search=x",
            "$count=maybe",
            "$select=nothing",
        ] {
            options(wrong, &ALERTS).expect_err(wrong);
        }
        options("$expand=evidence", &MACHINES).unwrap_err();
        options("$top=1000&$skip=500", &GRAPH_ALERTS).unwrap();
        assert_eq!(options("$skiptoken=1500", &GRAPH_ALERTS).unwrap().skip, 1_500);
        for wrong in ["$top=1001", "$skip=501", "$orderby=createdDateTime", "$select=id", "$expand=evidence"]
        {
            options(wrong, &GRAPH_ALERTS).expect_err(wrong);
        }
        assert_eq!(options("top=5", &ALERTS).unwrap(), Options::default());
    }
}
