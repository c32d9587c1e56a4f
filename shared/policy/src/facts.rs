//! A case as the policies see it: its words, numbers and times as Cedar's values.
//!
//! What is missing stays absent, never a default: the schema makes every policy ask first.

use crate::{AssetList, Case, assets::listed};
use cedar_policy::{Context, RestrictedExpression as Value};
use jiff::{SignedDuration, Timestamp, Zoned, civil::Weekday, tz::TimeZone};
use model::{Alert, Device, Hunted, Input, Mode, Severity, one_line};
use std::collections::{BTreeSet, HashMap};

/// What the policies may know.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    case: &'a Case<'a>,
    mode: Mode,
    act_within: SignedDuration,
    time_zone: &'a TimeZone,
    /// The names of the asset lists on which the device stands.
    listed: Vec<&'a str>,
    /// Everybody whom alert and evidence name, in the spellings that policies use.
    users: BTreeSet<String>,
    /// The names of the asset lists on which one of them stands.
    users_listed: Vec<&'a str>,
}

/// One fact, by the name that policies use.
struct Fact {
    name: &'static str,
    known: Option<Known>,
}

/// What is known, as the schema's types have it.
enum Known {
    Text(String),
    Texts(Vec<String>),
    Long(i64),
    Flag(bool),
    Time(Timestamp),
    Duration(SignedDuration),
}

/// Whose word a fact is, and when it was read there.
#[derive(Clone, Copy)]
struct Origin {
    source: &'static str,
    read_at: Option<Timestamp>,
}

/// The longest that one input is quoted for later, in characters.
const MAX_SAID: usize = 120;

impl<'a> Facts<'a> {
    pub(crate) fn new(
        case: &'a Case<'a>,
        mode: Mode,
        settings: &'a crate::Settings,
        lists: &'a [AssetList],
    ) -> Facts<'a> {
        let users = users(case.alert);
        let users_listed = lists.iter().filter(|list| list.names_user(&users));
        Facts {
            case,
            mode,
            act_within: settings.isolation.act_within,
            time_zone: &settings.time_zone,
            listed: case.device.known().map_or_else(Vec::new, |device| listed(lists, device)),
            users_listed: users_listed.map(|list| list.name.as_str()).collect(),
            users,
        }
    }

    pub(crate) fn context(&self) -> Result<Context, String> {
        Context::from_pairs(present(self.circumstances())).map_err(|error| error.to_string())
    }

    pub(crate) fn alert(&self) -> Result<HashMap<String, Value>, String> {
        let mut pairs = present(self.about_alert());
        pairs.insert("evidence".to_owned(), record(self.about_evidence())?);
        if let Some(hunted) = &self.case.alert.hunted {
            pairs.insert("hunt".to_owned(), record(about_hunt(hunted))?);
        }
        if let Some(user) = &self.case.alert.user {
            pairs.insert("user".to_owned(), record(about_user(user))?);
        }
        if let Some(device) = self.case.device.known() {
            pairs.insert("device".to_owned(), record(self.about_device(device))?);
        }
        Ok(pairs)
    }

    /// What is asked for, by its path, in the order of the schema. A hunt, user or device that there is not stands for all
    /// that would be asked of it.
    pub(crate) fn inputs(&self, asks_for: &dyn Fn(&str) -> bool) -> Vec<Input> {
        let known = &self.case.surroundings;
        let hunted = self.case.alert.hunted.as_ref();
        let alert_source = if hunted.is_some() { "the hunt's row" } else { "Defender's alert" };
        let alert = Origin { source: alert_source, read_at: known.alert_read };
        let device = Origin { source: "Defender's device", read_at: known.device_read };
        let mut all: Vec<(&str, Fact, Origin)> = Vec::new();
        all.extend(self.about_alert().into_iter().map(|fact| ("resource", fact, alert)));
        match hunted {
            Some(hunted) => all.extend(about_hunt(hunted).map(|fact| ("resource.hunt", fact, alert))),
            None => all.push(("resource", Fact::text("hunt", None), alert)),
        }
        let evidence = self.about_evidence().into_iter();
        all.extend(evidence.map(|fact| ("resource.evidence", fact, alert)));
        match &self.case.alert.user {
            Some(user) => all.extend(about_user(user).map(|fact| ("resource.user", fact, alert))),
            None => all.push(("resource", Fact::text("user", None), alert)),
        }
        match self.case.device.known() {
            Some(found) => {
                all.extend(self.about_device(found).map(|fact| ("resource.device", fact, device)));
            }
            None => all.push(("resource", Fact::text("device", None), device)),
        }
        all.extend(self.circumstances().into_iter().map(|fact| ("context", fact, alert)));
        let named =
            all.into_iter().map(|(of, fact, origin)| (format!("{of}.{}", fact.name), of, fact, origin));
        named
            .filter(|(path, ..)| asks_for(path))
            .map(|(name, of, fact, origin)| {
                let own = source_of(of, fact.name);
                Input {
                    name,
                    source: own.unwrap_or(origin.source).to_owned(),
                    read_at: origin.read_at.filter(|_| own.is_none()),
                    value: fact.known.map(|known| one_line(&known.said(), MAX_SAID)),
                }
            })
            .collect()
    }

    fn circumstances(&self) -> [Fact; 10] {
        let known = &self.case.surroundings;
        let utc = self.case.now.to_zoned(TimeZone::UTC);
        let local = self.case.now.to_zoned(self.time_zone.clone());
        let hour = |name, at: &Zoned| Fact::long(name, Some(at.hour().into()));
        let day = |name, at: &Zoned| Fact::text(name, Some(weekday(at.weekday())));
        [
            Fact::time("now", Some(self.case.now)),
            Fact { name: "actWithin", known: Some(Known::Duration(self.act_within)) },
            hour("hour", &utc),
            day("weekday", &utc),
            hour("localHour", &local),
            day("localWeekday", &local),
            Fact::text("mode", Some(self.mode.as_str())),
            Fact::long("isolationsLastHour", known.isolations_last_hour.map(Into::into)),
            Fact::long("isolationsLastDay", known.isolations_last_day.map(Into::into)),
            Fact::flag("openIsolation", known.open_isolation),
        ]
    }

    fn about_alert(&self) -> [Fact; 22] {
        let Alert {
            id,
            incident_id,
            severity,
            status,
            classification,
            determination,
            category,
            detection_source,
            detector_id,
            title,
            description: _,
            created,
            first_event,
            last_event,
            updated,
            device: _,
            device_name: _,
            device_group,
            threat_family,
            threat_name,
            techniques,
            user: _,
            evidence: _,
            evidence_truncated: _,
            unreadable: _,
            hunted: _,
        } = self.case.alert;
        let rank = severity.as_ref().and_then(Severity::rank);
        [
            Fact::text("id", Some(id.as_str())),
            Fact::text("title", Some(title)),
            Fact::text("severity", Some(severity.as_ref().map_or("", Severity::as_str))),
            Fact::long("severityLevel", rank.map(Into::into)),
            Fact::text("status", status.as_ref().map(model::AlertStatus::as_str)),
            Fact::text("classification", classification.as_ref().map(model::Classification::as_str)),
            Fact::text("determination", determination.as_deref()),
            Fact::text("category", category.as_deref()),
            Fact::text("source", detection_source.as_deref().map(source_word)),
            Fact::text("detector", detector_id.as_deref()),
            Fact::texts("techniques", techniques.iter().map(String::as_str)),
            Fact::text("incident", incident_id.as_deref()),
            Fact::text("threatFamily", threat_family.as_deref()),
            Fact::text("threatName", threat_name.as_deref()),
            Fact::text("deviceGroup", device_group.as_deref()),
            Fact::time("created", *created),
            Fact::time("firstEvent", *first_event),
            Fact::time("lastEvent", *last_event),
            Fact::time("updated", *updated),
            Fact::flag("firstSeenObserving", Some(self.case.first_seen.mode == Mode::Observe)),
            Fact::texts("users", self.users.iter().map(String::as_str)),
            Fact::texts("usersListed", self.users_listed.iter().copied()),
        ]
    }

    fn about_evidence(&self) -> [Fact; 8] {
        let alert = self.case.alert;
        let all = |name, of: fn(&model::Evidence) -> Option<&str>| {
            let words: BTreeSet<String> =
                alert.evidence.iter().filter_map(of).map(|word| word.trim().to_lowercase()).collect();
            Fact::texts(name, words.iter().map(String::as_str))
        };
        [
            Fact::flag("truncated", Some(alert.evidence_truncated)),
            all("kinds", |evidence| Some(&evidence.kind)),
            all("sha1", |evidence| evidence.sha1.as_deref()),
            all("sha256", |evidence| evidence.sha256.as_deref()),
            all("fileNames", |evidence| evidence.file_name.as_deref()),
            all("addresses", |evidence| evidence.ip_address.as_deref()),
            all("urls", |evidence| evidence.url.as_deref()),
            all("statuses", |evidence| evidence.detection_status.as_deref()),
        ]
    }

    fn about_device(&self, device: &Device) -> [Fact; 17] {
        let tags: Option<BTreeSet<String>> =
            device.tags.as_ref().map(|tags| tags.iter().map(|tag| tag.trim().to_lowercase()).collect());
        [
            Fact::text("id", Some(device.id.as_str())),
            Fact::text("name", device.name.as_deref()),
            Fact::text("class", device.class().map(model::DeviceClass::as_str)),
            Fact::text("osPlatform", device.os_platform.as_deref()),
            Fact::text("osVersion", device.os_version.as_deref()),
            tags.map_or_else(
                || Fact::text("tags", None),
                |tags| Fact::texts("tags", tags.iter().map(String::as_str)),
            ),
            Fact::text("group", device.group.as_deref()),
            Fact::text("value", device.value.as_deref()),
            Fact::text("health", device.health.as_deref()),
            Fact::text("risk", device.risk.as_deref()),
            Fact::text("exposure", device.exposure.as_deref()),
            Fact::text("onboarding", device.onboarding.as_ref().map(model::Onboarding::as_str)),
            Fact::flag("merged", Some(device.merged_into.is_some())),
            Fact::time("firstSeen", device.first_seen),
            Fact::time("lastSeen", device.last_seen),
            Fact::texts("listed", self.listed.iter().copied()),
            Fact::time("readAt", self.case.surroundings.device_read),
        ]
    }
}

/// In lower case, as are all names of users for the policies.
fn about_user(user: &model::User) -> [Fact; 2] {
    let domain = user.domain.as_deref().map(str::to_lowercase);
    [Fact::text("name", Some(&user.name.to_lowercase())), Fact::text("domain", domain.as_deref())]
}

fn about_hunt(hunted: &Hunted) -> [Fact; 2] {
    [Fact::text("name", Some(&hunted.hunt)), Fact::flag("mayIsolate", Some(hunted.may_isolate))]
}

/// Whose word it is, where that is not what it stands with.
fn source_of(of: &str, name: &str) -> Option<&'static str> {
    match (of, name) {
        (_, "listed" | "usersListed") => Some("assets.toml"),
        ("resource.hunt", _) => Some("the hunt's file"),
        (_, "firstSeenObserving" | "readAt") => Some("Cordon's state"),
        ("context", "isolationsLastHour" | "isolationsLastDay" | "openIsolation") => Some("Cordon's state"),
        ("context", "actWithin" | "mode") => Some("playbook and environment"),
        ("context", _) => Some("the clock"),
        _ => None,
    }
}

/// Everybody whom an alert and its evidence name: by name, with the domain, and by principal name; in lower case.
fn users(alert: &Alert) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut add = |name: Option<&str>, domain: Option<&str>| {
        let Some(name) = name.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()) else {
            return;
        };
        if let Some(domain) = domain.map(str::trim).filter(|domain| !domain.is_empty()) {
            all.insert(format!("{}\\{name}", domain.to_lowercase()));
        }
        all.insert(name);
    };
    if let Some(user) = &alert.user {
        add(Some(&user.name), user.domain.as_deref());
    }
    for evidence in &alert.evidence {
        add(evidence.account_name.as_deref(), evidence.account_domain.as_deref());
        add(evidence.user_principal_name.as_deref(), None);
    }
    all
}

/// Microsoft's word for what raised an alert. Its interfaces disagree about case, blanks and even the word
/// (`CustomerTI`, `customTi`, `Custom TI`), and a policy that asks for one must not miss the others.
fn source_word(found: &str) -> &str {
    const SAME: [(&str, &str); 12] = [
        ("windowsdefenderatp", "WindowsDefenderAtp"),
        ("windowsdefenderav", "WindowsDefenderAv"),
        ("windowsdefendersmartscreen", "WindowsDefenderSmartScreen"),
        ("customdetection", "CustomDetection"),
        ("customerti", "CustomerTI"),
        ("customti", "CustomerTI"),
        ("automatedinvestigation", "AutomatedInvestigation"),
        ("threatexperts", "ThreatExperts"),
        ("officeatp", "OfficeATP"),
        ("azureatp", "AzureATP"),
        ("mcas", "MCAS"),
        ("mtp", "MTP"),
    ];
    let plain: String = found.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SAME.iter().find(|(spelling, _)| *spelling == plain).map_or(found, |(_, word)| word)
}

impl Fact {
    fn text(name: &'static str, text: Option<&str>) -> Fact {
        Fact { name, known: text.map(|text| Known::Text(text.to_owned())) }
    }

    fn texts<'t>(name: &'static str, texts: impl Iterator<Item = &'t str>) -> Fact {
        Fact { name, known: Some(Known::Texts(texts.map(str::to_owned).collect())) }
    }

    fn long(name: &'static str, number: Option<i64>) -> Fact {
        Fact { name, known: number.map(Known::Long) }
    }

    fn flag(name: &'static str, flag: Option<bool>) -> Fact {
        Fact { name, known: flag.map(Known::Flag) }
    }

    fn time(name: &'static str, at: Option<Timestamp>) -> Fact {
        Fact { name, known: at.map(Known::Time) }
    }
}

impl Known {
    /// For Cedar. Times are cut to milliseconds, which is as fine as Cedar's are.
    fn value(self) -> Value {
        match self {
            Known::Text(text) => Value::new_string(text),
            Known::Texts(texts) => Value::new_set(texts.into_iter().map(Value::new_string)),
            Known::Long(number) => Value::new_long(number),
            Known::Flag(flag) => Value::new_bool(flag),
            Known::Time(at) => Value::new_datetime(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()),
            Known::Duration(duration) => Value::new_duration(format!("{}ms", duration.as_millis())),
        }
    }

    /// For people.
    fn said(&self) -> String {
        match self {
            Known::Text(text) => text.clone(),
            Known::Texts(texts) if texts.is_empty() => "none".to_owned(),
            Known::Texts(texts) => texts.join(", "),
            Known::Long(number) => number.to_string(),
            Known::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Known::Time(at) => at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            Known::Duration(duration) => format!("{duration:#}"),
        }
    }
}

fn present(facts: impl IntoIterator<Item = Fact>) -> HashMap<String, Value> {
    facts.into_iter().filter_map(|fact| Some((fact.name.to_owned(), fact.known?.value()))).collect()
}

fn record(facts: impl IntoIterator<Item = Fact>) -> Result<Value, String> {
    Value::new_record(present(facts)).map_err(|error| error.to_string())
}

fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_one_name_however_it_is_spelt() {
        for spelling in ["CustomerTI", "customTi", "Custom TI", "customerti"] {
            assert_eq!(source_word(spelling), "CustomerTI", "{spelling}");
        }
        assert_eq!(source_word("Custom detection"), "CustomDetection");
        assert_eq!(source_word("Something New"), "Something New");
    }
}
