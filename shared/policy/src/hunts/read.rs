//! One file of `hunts/*.toml`, read key by key: every problem in it is found, each with its place and a way out.

use super::{
    AlertMapping, Cron, DefenderAlert, EvidenceField, EvidenceMapping, HUNTS, Hunt, Outcome, Parameter,
    Schedule, SeverityOf, Template, is_column, kql, schedule::MOST_OFTEN,
};
use crate::{
    problems::{Source, hint, listed, read_file},
    section::{Bounds, Reader, Section, Word, kind, table},
};
use jiff::SignedDuration;
use model::Severity;
use std::{
    collections::BTreeMap,
    path::{Component, Path},
};
use toml::de::DeValue;

const KEYS: [&str; 17] = [
    "description",
    "enabled",
    "techniques",
    "noise",
    "query",
    "query_file",
    "parameters",
    "every",
    "cron",
    "look_back",
    "overlap",
    "divisible",
    "identity",
    "most",
    "alert",
    "table",
    "defender_alert",
];

/// It stands in ids and keys of the state.
const MAX_NAME: usize = 40;
/// In characters, without what is put before it.
const MAX_QUERY: usize = 10_000;
/// All parameters of a hunt together, in characters.
const MAX_PARAMETERS: usize = 20_000;

const EVERY: Bounds = Bounds {
    default: SignedDuration::from_hours(1),
    least: MOST_OFTEN,
    most: SignedDuration::from_hours(7 * 24),
};
/// The service keeps 30 days (Microsoft's pages "security: runHuntingQuery" and "Advanced hunting API").
const LOOK_BACK: Bounds = Bounds {
    default: SignedDuration::from_hours(24),
    least: SignedDuration::from_mins(1),
    most: SignedDuration::from_hours(30 * 24),
};
const OVERLAP: Bounds = Bounds {
    default: SignedDuration::from_hours(1),
    least: SignedDuration::ZERO,
    most: SignedDuration::from_hours(7 * 24),
};
const MOST: u32 = 50;
const MOST_MOST: u32 = 500;

/// The categories that Defender takes for an alert that is made by reference. Microsoft's page "Create alert API".
const CATEGORIES: [&str; 16] = [
    "General",
    "CommandAndControl",
    "Collection",
    "CredentialAccess",
    "DefenseEvasion",
    "Discovery",
    "Exfiltration",
    "Exploit",
    "Execution",
    "InitialAccess",
    "LateralMovement",
    "Malware",
    "Persistence",
    "PrivilegeEscalation",
    "Ransomware",
    "SuspiciousActivity",
];

const EVIDENCE_KINDS: [&str; 6] = ["Process", "File", "Ip", "Url", "User", "Registry"];

/// Reads a file of the folder `hunts`. What is wrong with it is added to `problems`.
pub(super) fn file(folder: &Path, file: &str, problems: &mut Vec<String>) -> Option<Hunt> {
    match read_file(folder, file) {
        Ok(text) => hunt(Some(folder), file, &text, problems),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

/// `folder`: where a query in a file of its own is looked for.
pub(super) fn hunt(
    folder: Option<&Path>,
    file: &str,
    text: &str,
    problems: &mut Vec<String>,
) -> Option<Hunt> {
    let path = format!("{HUNTS}/{file}");
    let mut reader = Reader { source: Source::new(&path, text), problems: Vec::new() };
    let name = file.strip_suffix(".toml").unwrap_or(file);
    let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(of_name) {
        let what = "the file's name is the hunt's: small letters, digits and hyphens only, at most";
        reader.problem(0, format!("{what} {MAX_NAME} before `.toml`"));
    }
    let hunt = table(&mut reader)
        .and_then(|table| whole(&mut reader, Section { table: &table, at: 0 }, folder, name, text));
    let is_sound = reader.problems.is_empty();
    problems.extend(reader.problems);
    hunt.filter(|_| is_sound)
}

/// None where something that is needed is missing, which is then a problem.
fn whole(
    reader: &mut Reader<'_>,
    root: Section<'_>,
    folder: Option<&Path>,
    name: &str,
    text: &str,
) -> Option<Hunt> {
    root.only(reader, &KEYS);
    let description = root.needed(reader, "description");
    let enabled = root.flag(reader, "enabled", true);
    let techniques = techniques(reader, root);
    let noise = root.text(reader, "noise").map(|word| word.text.to_owned());
    let query = query(reader, root, folder);
    let parameters = parameters(reader, root);
    if let Some((query, at)) = &query {
        check_query(reader, query, *at, &parameters);
    }
    let schedule = schedule(reader, root);
    let by_schedule = match &schedule {
        Some(Schedule::Every(every)) => *every,
        Some(Schedule::Cron(_)) | None => LOOK_BACK.default,
    };
    let look_back = root.duration(reader, "look_back", Bounds { default: by_schedule, ..LOOK_BACK });
    let overlap = root.duration(reader, "overlap", OVERLAP);
    let divisible = root.flag(reader, "divisible", true);
    let identity = identity(reader, root);
    let most = most(reader, root);
    let outcome = outcome(reader, root);
    let (query, _) = query?;
    Some(Hunt {
        name: name.to_owned(),
        enabled,
        description: description?.text.to_owned(),
        techniques,
        noise,
        digest: model::digest(&[text, &query]),
        query,
        parameters: parameters.into_iter().map(|(name, (value, _))| (name, value)).collect(),
        schedule: schedule?,
        look_back,
        overlap,
        divisible,
        identity,
        outcome: outcome?,
        most,
    })
}

fn techniques(reader: &mut Reader<'_>, root: Section<'_>) -> Vec<String> {
    let words = root.texts(reader, "techniques");
    for word in &words {
        let (technique, sub) = word.text.split_once('.').unwrap_or((word.text, "000"));
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        if !technique.strip_prefix('T').is_some_and(|number| digits(number, 4)) || !digits(sub, 3) {
            let found = model::one_line(word.text, 60);
            let what = format!("`{found}` is no ATT&CK technique");
            reader.hinted(word.at, what, "an id such as T1219 or T1003.001");
        }
    }
    words.iter().map(|word| word.text.to_owned()).collect()
}

/// The query, and where the file speaks of it.
fn query(reader: &mut Reader<'_>, root: Section<'_>, folder: Option<&Path>) -> Option<(String, usize)> {
    match (root.get("query"), root.get("query_file")) {
        (Some(_), Some((_, at))) => {
            reader.hinted(at, "there are two queries", "write `query`, or name a file in `query_file`");
            None
        }
        (None, None) => {
            let way = "write the KQL into `query`, between three quotes on each side, or name a file in `query_file`";
            reader.hinted(root.at, "there is no query", way);
            None
        }
        (Some((value, at)), None) => {
            let text = value.as_str();
            if text.is_none() {
                reader.problem(at, format!("`query` must be a text in quotes, not {}", kind(value)));
            }
            Some((text?.to_owned(), at))
        }
        (None, Some((_, at))) => {
            let word = root.text(reader, "query_file")?;
            Some((query_file(reader, word, folder)?, at))
        }
    }
}

fn query_file(reader: &mut Reader<'_>, word: Word<'_>, folder: Option<&Path>) -> Option<String> {
    let path = Path::new(word.text);
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_below || path.extension().is_none_or(|extension| extension != "kql") {
        let way = "a file such as \"lsass-dump.kql\" beside this one, or in a folder beside it";
        reader.hinted(word.at, "`query_file` must name a file that ends in .kql, below this folder", way);
        return None;
    }
    let Some(folder) = folder else {
        reader.problem(word.at, "`query_file` names a file, and there is no folder to look in");
        return None;
    };
    match read_file(folder, word.text) {
        Ok(text) => Some(text),
        Err(problem) => {
            reader.problem(word.at, problem);
            None
        }
    }
}

type Parameters = BTreeMap<String, (Parameter, usize)>;

/// What of a query can be told without the service.
fn check_query(reader: &mut Reader<'_>, query: &str, at: usize, parameters: &Parameters) {
    let length = query.chars().count();
    if query.trim().is_empty() {
        reader.problem(at, "the query is empty");
        return;
    }
    if length > MAX_QUERY {
        let what = format!("the query has {length} characters, and may have {MAX_QUERY}");
        reader.hinted(at, what, "long lists belong into [parameters] or assets.toml; make two hunts of it");
        return;
    }
    let words = kql::words(query);
    for name in [kql::FROM, kql::TO] {
        if !words.contains(&name) {
            let what =
                format!("the query does not name `{name}`: every run would read all that the service keeps");
            let way = "| where Timestamp >= CordonFrom and Timestamp < CordonTo";
            reader.hinted(at, what, way);
        }
    }
    let own =
        words.iter().zip(words.iter().skip(1)).filter(|(word, _)| **word == "let").map(|(_, name)| *name);
    for name in own {
        if [kql::FROM, kql::TO, kql::ASSETS].contains(&name) {
            let way = "Cordon sets it before each run; give yours another name";
            reader.hinted(at, format!("the query sets `{name}` by itself"), way);
        } else if let Some((_, at)) = parameters.get(name) {
            let way = "take the `let` out of the query, or the name out of [parameters]";
            reader.hinted(*at, format!("the query sets `{name}` by itself"), way);
        }
    }
    for (name, (_, at)) in parameters {
        if !words.contains(&name.as_str()) {
            let near = hint(name, &words.iter().copied().filter(|word| word.len() > 2).collect::<Vec<_>>());
            let near = if near.starts_with("did") { near } else { "use it, or take it out".to_owned() };
            reader.hinted(*at, format!("the query never names the parameter `{name}`"), &near);
        }
    }
}

fn parameters(reader: &mut Reader<'_>, root: Section<'_>) -> Parameters {
    let mut found = Parameters::new();
    let Some(section) = root.section(reader, "parameters") else { return found };
    let mut length = 0;
    for (key, value) in section.table.iter() {
        let (name, at) = (key.get_ref().as_ref(), value.span().start);
        if let Some(why) = kql::wrong_name(name) {
            let name = model::one_line(name, 60);
            reader
                .problem(key.span().start, format!("`{name}` {why}: a parameter has a name that KQL takes"));
            continue;
        }
        let Some(parameter) = parameter(value.get_ref()) else {
            let what = format!(
                "`{name}` must be a text, a whole number, or a list of texts, not {}",
                kind(value.get_ref())
            );
            reader.hinted(at, what, "such as Allowed = [\"a.exe\", \"b.exe\"]");
            continue;
        };
        length += match &parameter {
            Parameter::Text(text) => text.chars().count(),
            Parameter::Number(_) => 0,
            Parameter::Texts(texts) => texts.iter().map(|text| text.chars().count()).sum(),
        };
        found.insert(name.to_owned(), (parameter, key.span().start));
    }
    if length > MAX_PARAMETERS {
        let what = format!("the parameters have {length} characters together, and may have {MAX_PARAMETERS}");
        reader.problem(section.at, what);
    }
    found
}

/// Any text: it is a literal in the query.
fn parameter(value: &DeValue<'_>) -> Option<Parameter> {
    match value {
        DeValue::String(text) => Some(Parameter::Text(text.to_string())),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(Parameter::Number)
        }
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map(Parameter::Texts)
        }
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn schedule(reader: &mut Reader<'_>, root: Section<'_>) -> Option<Schedule> {
    match (root.get("every"), root.get("cron")) {
        (Some(_), Some((_, at))) => {
            reader.hinted(at, "there are two schedules", "write `every` or `cron`");
            None
        }
        (None, None) => {
            let way = "write every = \"1h\", or cron = \"0 6 * * Mon-Fri\"";
            reader.hinted(root.at, "there is no schedule", way);
            None
        }
        (Some(_), None) => Some(Schedule::Every(root.duration(reader, "every", EVERY))),
        (None, Some(_)) => {
            let word = root.text(reader, "cron")?;
            match Cron::parse(word.text) {
                Ok(cron) => Some(Schedule::Cron(Box::new(cron))),
                Err((what, way)) => {
                    reader.hinted(word.at, what, way);
                    None
                }
            }
        }
    }
}

fn identity(reader: &mut Reader<'_>, root: Section<'_>) -> Vec<String> {
    let words = root.texts(reader, "identity");
    if words.is_empty() {
        let way =
            "the columns whose values together tell one row from another, such as [\"DeviceId\", \"SHA256\"]";
        reader.hinted(root.get("identity").map_or(root.at, |(_, at)| at), "`identity` is missing", way);
    }
    let mut found: Vec<String> = Vec::new();
    for word in words {
        if found.iter().any(|other| other == word.text) {
            reader
                .problem(word.at, format!("`{}` stands twice in `identity`", model::one_line(word.text, 60)));
        }
        found.extend(checked_column(reader, word));
    }
    found
}

fn most(reader: &mut Reader<'_>, root: Section<'_>) -> usize {
    let most = root.number(reader, "most", MOST, MOST_MOST);
    if most == 0 {
        let way = "to switch the hunt off, write enabled = false";
        reader.hinted(root.get("most").map_or(root.at, |(_, at)| at), "`most` must be 1 at least", way);
    }
    usize::try_from(most).unwrap_or_default()
}

fn outcome(reader: &mut Reader<'_>, root: Section<'_>) -> Option<Outcome> {
    const NAMES: [&str; 3] = ["alert", "table", "defender_alert"];
    let found: Vec<(&str, usize)> =
        NAMES.iter().filter_map(|name| root.get(name).map(|(_, at)| (*name, at))).collect();
    match found.as_slice() {
        [] => {
            let way = "add [alert] for an alert that the policy judges, [table] for a table that people are sent, or \
                       [defender_alert] for an alert in Defender";
            reader.hinted(root.at, "the file does not say what a row leads to", way);
            None
        }
        [("alert", _)] => {
            let section = root.section(reader, "alert")?;
            alert(reader, section).map(|alert| Outcome::Alert(Box::new(alert)))
        }
        [("table", _)] => {
            root.section(reader, "table")?.only(reader, &[]);
            Some(Outcome::Table)
        }
        [(_, _)] => {
            let section = root.section(reader, "defender_alert")?;
            defender_alert(reader, section).map(|alert| Outcome::DefenderAlert(Box::new(alert)))
        }
        [_, (_, at), ..] => {
            let what = "a row leads to one thing: keep one of";
            reader.problem(
                *at,
                format!("{what} {}", listed(&found.iter().map(|(name, _)| *name).collect::<Vec<_>>())),
            );
            None
        }
    }
}

fn alert(reader: &mut Reader<'_>, section: Section<'_>) -> Option<AlertMapping> {
    const KEYS: [&str; 11] = [
        "title",
        "severity",
        "severity_column",
        "category",
        "device",
        "device_name",
        "time",
        "user",
        "user_domain",
        "may_isolate",
        "evidence",
    ];
    section.only(reader, &KEYS);
    let title = title(reader, section);
    let severity = severity_of(reader, section);
    let category = section.text(reader, "category").map(|word| word.text.to_owned());
    let mut of = |key, default: &str| column(reader, section, key).unwrap_or_else(|| default.to_owned());
    // What stands in these may cut a device off: which one, and whether at all.
    const DECIDING: [&str; 3] = ["device", "time", "severity_column"];
    let (device, device_name, time) =
        (of("device", "DeviceId"), of("device_name", "DeviceName"), of("time", "Timestamp"));
    let (user, user_domain) = (column(reader, section, "user"), column(reader, section, "user_domain"));
    if let (None, Some((_, at))) = (section.get("user"), section.get("user_domain")) {
        reader.hinted(at, "`user_domain` needs a `user` to go with it", "such as user = \"AccountName\"");
    }
    let may_isolate = section.flag(reader, "may_isolate", false);
    for key in DECIDING.into_iter().filter(|_| may_isolate) {
        if let Some(word) = section.text(reader, key).filter(|word| word.text.contains('.')) {
            let what = format!("with `may_isolate`, `{key}` cannot be a part of a column");
            let way = "such parts are written by whoever did the deed, who would choose what is isolated: take one of \
                       the service's own columns, such as DeviceId, Timestamp; or leave may_isolate out";
            reader.hinted(word.at, what, way);
        }
    }
    let evidence =
        section.sections(reader, "evidence").into_iter().filter_map(|each| evidence(reader, each)).collect();
    Some(AlertMapping {
        device,
        device_name,
        time,
        user,
        user_domain,
        severity: severity?,
        title: title?,
        category,
        evidence,
        may_isolate,
    })
}

fn severity_of(reader: &mut Reader<'_>, section: Section<'_>) -> Option<SeverityOf> {
    match (section.get("severity"), section.get("severity_column")) {
        (Some(_), Some((_, at))) => {
            reader.hinted(at, "there are two severities", "write `severity` or `severity_column`");
            None
        }
        (None, None) => {
            let way =
                "write severity = \"High\", or severity_column = \"Severity\" for a column of the query";
            reader.hinted(section.at, "there is no severity", way);
            None
        }
        (None, Some(_)) => column(reader, section, "severity_column").map(SeverityOf::Column),
        (Some(_), None) => {
            let known = [Severity::High, Severity::Medium, Severity::Low, Severity::Informational];
            severity(reader, section, &known).map(SeverityOf::Always)
        }
    }
}

fn severity(reader: &mut Reader<'_>, section: Section<'_>, known: &[Severity]) -> Option<Severity> {
    let word = section.needed(reader, "severity")?;
    let found = known.iter().find(|severity| severity.as_str() == word.text);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(Severity::as_str).collect();
        let said = model::one_line(word.text, 60);
        reader.problem(word.at, format!("`severity` cannot be `{said}`: it is one of {}", listed(&names)));
    }
    found.cloned()
}

fn title(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Template> {
    let word = section.needed(reader, "title")?;
    match Template::parse(word.text) {
        Ok(title) => {
            if let Some(column) = title.columns().find(|column| holds_command_lines(column)) {
                let what = format!("`title` shows `{column}`, a column of command lines");
                reader.hinted(word.at, what, OF_COMMAND_LINES);
            }
            Some(title)
        }
        Err(why) => {
            let way = "a column stands in braces, as in \"{FileName} was started\"; a brace that is meant stands twice";
            reader.hinted(word.at, format!("`title` {why}"), way);
            None
        }
    }
}

fn evidence(reader: &mut Reader<'_>, section: Section<'_>) -> Option<EvidenceMapping> {
    let fields = EvidenceField::ALL.map(EvidenceField::as_str);
    section.only(reader, &[&["kind"], fields.as_slice()].concat());
    let word = section.needed(reader, "kind")?;
    if !EVIDENCE_KINDS.contains(&word.text) {
        let found = model::one_line(word.text, 60);
        let way = hint(&found, &EVIDENCE_KINDS);
        reader.hinted(word.at, format!("there is no evidence of kind `{found}`"), &way);
    }
    let columns: BTreeMap<EvidenceField, String> = EvidenceField::ALL
        .into_iter()
        .filter_map(|field| Some((field, column(reader, section, field.as_str())?)))
        .collect();
    let takes_them =
        |field: &EvidenceField| matches!(field, EvidenceField::CommandLine | EvidenceField::RegistryValue);
    for (field, column) in columns.iter().filter(|(field, _)| !takes_them(field)) {
        if holds_command_lines(column) {
            let field = field.as_str();
            let at = section.get(field).map_or(section.at, |(_, at)| at);
            let what = format!("`{field}` shows `{column}`, a column of command lines");
            reader.hinted(at, what, OF_COMMAND_LINES);
        }
    }
    if fields.iter().all(|field| section.get(field).is_none()) {
        let way = "such as file_name = \"FileName\"";
        reader.hinted(section.at, "a piece of evidence names no column", way);
    }
    Some(EvidenceMapping { kind: word.text.to_owned(), columns })
}

fn defender_alert(reader: &mut Reader<'_>, section: Section<'_>) -> Option<DefenderAlert> {
    section.only(reader, &["title", "severity", "category", "recommended_action"]);
    let title = title(reader, section);
    let severity = severity(reader, section, &[Severity::High, Severity::Medium, Severity::Low]);
    let category = section.needed(reader, "category");
    if let Some(word) = category.filter(|word| !CATEGORIES.contains(&word.text)) {
        let found = model::one_line(word.text, 60);
        let way = hint(&found, &CATEGORIES);
        reader.hinted(word.at, format!("Defender takes no category `{found}`"), &way);
    }
    let recommended_action = section.needed(reader, "recommended_action");
    Some(DefenderAlert {
        severity: severity?,
        title: title?,
        recommended_action: recommended_action?.text.to_owned(),
        category: category?.text.to_owned(),
    })
}

/// The way out where a column of command lines stands where anybody may read it.
const OF_COMMAND_LINES: &str = "command lines may hold passwords, and people are shown this everywhere; `command_line` of a \
                                piece of evidence is the place for them";

/// Whether a column's name, or that of the field within it, says that it holds command lines.
fn holds_command_lines(column: &str) -> bool {
    let name = column.rsplit('.').next().unwrap_or(column).to_ascii_lowercase();
    name.contains("commandline") || name.contains("command_line")
}

/// The column that a key names; none where it is absent.
fn column(reader: &mut Reader<'_>, section: Section<'_>, key: &str) -> Option<String> {
    let word = section.text(reader, key)?;
    checked_column(reader, word)
}

fn checked_column(reader: &mut Reader<'_>, word: Word<'_>) -> Option<String> {
    if !is_column(word.text) {
        let found = model::one_line(word.text, 60);
        let way =
            "the name of a column of the answer, such as DeviceId; of a part of it, AdditionalFields.Key";
        reader.hinted(word.at, format!("`{found}` is no column"), way);
        return None;
    }
    Some(word.text.to_owned())
}
