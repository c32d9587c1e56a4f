//! A case as the policies see it: its words, numbers and times as Cedar's values.
//!
//! What is missing stays absent, never a default: the schema makes every policy ask first.

use crate::Case;
use cedar_policy::{Context, RestrictedExpression as Value};
use jiff::{SignedDuration, Timestamp, civil::Weekday, tz::TimeZone};
use model::{Alert, Device, Mode, Severity};
use std::collections::HashMap;

/// What the policies may know.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    case: &'a Case<'a>,
    mode: Mode,
    act_within: SignedDuration,
    /// The names of the asset lists on which the device stands.
    listed: &'a [&'a str],
}

impl<'a> Facts<'a> {
    pub(crate) fn new(
        case: &'a Case<'a>,
        mode: Mode,
        act_within: SignedDuration,
        listed: &'a [&'a str],
    ) -> Facts<'a> {
        Facts { case, mode, act_within, listed }
    }

    pub(crate) fn context(&self) -> Result<Context, String> {
        let now = self.case.now.to_zoned(TimeZone::UTC);
        let pairs = [
            ("now", datetime(self.case.now)),
            ("actWithin", Value::new_duration(format!("{}ms", self.act_within.as_millis()))),
            ("hour", Value::new_long(now.hour().into())),
            ("weekday", text(weekday(now.weekday()))),
            ("mode", text(self.mode.as_str())),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
        Context::from_pairs(pairs).map_err(|error| error.to_string())
    }

    pub(crate) fn alert(&self) -> Result<HashMap<String, Value>, String> {
        let Alert {
            id,
            incident_id,
            severity,
            status,
            classification,
            determination: _,
            category,
            detection_source,
            detector_id: _,
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
            threat_name: _,
            techniques,
            user,
            evidence: _,
            evidence_truncated,
            unreadable: _,
        } = self.case.alert;
        let user = user.as_ref().map(|user| {
            record([("name", Some(text(&user.name))), ("domain", user.domain.as_deref().map(text))])
        });
        let device = self.case.device.known().map(|device| self.device(device));
        Ok(present([
            ("id", Some(text(id.as_str()))),
            ("title", Some(text(title))),
            ("severity", Some(text(severity.as_ref().map_or("", Severity::as_str)))),
            (
                "severityLevel",
                severity.as_ref().and_then(Severity::rank).map(|rank| Value::new_long(rank.into())),
            ),
            ("status", status.as_ref().map(|status| text(status.as_str()))),
            ("classification", classification.as_ref().map(|found| text(found.as_str()))),
            ("category", category.as_deref().map(text)),
            ("source", detection_source.as_deref().map(|source| text(source_word(source)))),
            ("techniques", Some(texts(techniques.iter().map(String::as_str)))),
            ("incident", incident_id.as_deref().map(text)),
            ("threatFamily", threat_family.as_deref().map(text)),
            ("deviceGroup", device_group.as_deref().map(text)),
            ("created", created.map(datetime)),
            ("firstEvent", first_event.map(datetime)),
            ("lastEvent", last_event.map(datetime)),
            ("updated", updated.map(datetime)),
            ("firstSeenObserving", Some(Value::new_bool(self.case.first_seen.mode == Mode::Observe))),
            ("evidenceTruncated", Some(Value::new_bool(*evidence_truncated))),
            ("user", user.transpose()?),
            ("device", device.transpose()?),
        ]))
    }

    fn device(&self, device: &Device) -> Result<Value, String> {
        let tags: Vec<String> = device.tags.iter().map(|tag| tag.trim().to_lowercase()).collect();
        record([
            ("id", Some(text(device.id.as_str()))),
            ("name", device.name.as_deref().map(text)),
            ("class", device.class().map(|class| text(class.as_str()))),
            ("osPlatform", device.os_platform.as_deref().map(text)),
            ("osVersion", device.os_version.as_deref().map(text)),
            ("tags", Some(texts(tags.iter().map(String::as_str)))),
            ("group", device.group.as_deref().map(text)),
            ("value", device.value.as_deref().map(text)),
            ("health", device.health.as_deref().map(text)),
            ("risk", device.risk.as_deref().map(text)),
            ("exposure", device.exposure.as_deref().map(text)),
            ("onboarding", device.onboarding.as_ref().map(|onboarding| text(onboarding.as_str()))),
            ("lastSeen", device.last_seen.map(datetime)),
            ("listed", Some(texts(self.listed.iter().copied()))),
        ])
    }
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

fn text(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

fn texts<'t>(texts: impl Iterator<Item = &'t str>) -> Value {
    Value::new_set(texts.map(text))
}

/// Cut to milliseconds, which is as fine as Cedar's times are.
fn datetime(at: Timestamp) -> Value {
    Value::new_datetime(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

fn present<const N: usize>(pairs: [(&str, Option<Value>); N]) -> HashMap<String, Value> {
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn record<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Result<Value, String> {
    Value::new_record(present(pairs)).map_err(|error| error.to_string())
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
