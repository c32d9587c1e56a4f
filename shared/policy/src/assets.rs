//! `assets.toml`: the devices and the people that Defender does not know to be special, by list.
//!
//! Which list earns what is the policy's business. A device stands on a list by its id, its group or a tag, never by
//! its name; a person by name or principal name.

use crate::{
    problems::{Problems, Source, read_file},
    section::{Reader, Section, name, table},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use model::{Device, DeviceId};
use std::{collections::BTreeSet, path::Path};
use toml::de::DeValue;

/// One list of devices and people with somebody who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetList {
    pub name: String,
    pub owner: String,
    /// The last day on which it counts as reviewed.
    pub review_by: Date,
    pub devices: Vec<DeviceId>,
    pub groups: Vec<String>,
    pub tags: Vec<String>,
    /// People: by name, with the domain before it (`contoso\ada`), or by principal name.
    pub users: Vec<String>,
}

impl AssetList {
    /// Reads `assets.toml` of a folder alone, for whoever needs no policy.
    pub fn read_all(folder: &Path) -> Result<Vec<AssetList>, Problems> {
        let text = read_file(folder, crate::ASSETS).map_err(|problem| Problems::new(vec![problem]))?;
        let mut problems = Vec::new();
        let lists = parse(&text, &mut problems);
        if problems.is_empty() { Ok(lists) } else { Err(Problems::new(problems)) }
    }

    /// Reads the text of `assets.toml` alone.
    pub fn parse(text: &str) -> Result<Vec<AssetList>, Problems> {
        let mut problems = Vec::new();
        let lists = parse(text, &mut problems);
        if problems.is_empty() { Ok(lists) } else { Err(Problems::new(problems)) }
    }

    /// How many devices, groups, tags and users it names.
    pub fn entries(&self) -> usize {
        self.devices.len() + self.groups.len() + self.tags.len() + self.users.len()
    }

    /// Whether the day of its review lies in the past (UTC).
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.to_zoned(TimeZone::UTC).date() > self.review_by
    }

    /// Whether a device stands on it. Groups and tags are compared whole and without case.
    pub(crate) fn names(&self, device: &Device) -> bool {
        let same = |one: &str, other: &str| one.trim().to_lowercase() == other.trim().to_lowercase();
        self.devices.contains(&device.id)
            || device.group.iter().any(|group| self.groups.iter().any(|listed| same(listed, group)))
            || device.tags.iter().flatten().any(|tag| self.tags.iter().any(|listed| same(listed, tag)))
    }

    /// Whether one of these people stands on it; they are in lower case.
    pub(crate) fn names_user(&self, users: &BTreeSet<String>) -> bool {
        self.users.iter().any(|listed| users.contains(&listed.trim().to_lowercase()))
    }
}

/// The names of the lists on which a device stands.
pub(crate) fn listed<'l>(lists: &'l [AssetList], device: &Device) -> Vec<&'l str> {
    lists.iter().filter(|list| list.names(device)).map(|list| list.name.as_str()).collect()
}

/// Reads the file; what is wrong with it is added to `problems`.
pub(crate) fn parse(text: &str, problems: &mut Vec<String>) -> Vec<AssetList> {
    let mut reader = Reader { source: Source::new(crate::ASSETS, text), problems: Vec::new() };
    let mut found = Vec::new();
    if let Some(table) = table(&mut reader) {
        let root = Section { table: &table, at: 0 };
        root.only(&mut reader, &["lists"]);
        found = lists(&mut reader, root, Upkeep::Owned);
    }
    problems.extend(reader.problems);
    found
}

/// Whether somebody has to answer for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upkeep {
    /// It names its owner and the day of its review.
    Owned,
    /// It stands in for a list in a test of the policy, and need not.
    MadeUp,
}

/// The lists of a file.
pub(crate) fn lists(reader: &mut Reader<'_>, root: Section<'_>, upkeep: Upkeep) -> Vec<AssetList> {
    let mut lists: Vec<AssetList> = Vec::new();
    for section in root.sections(reader, "lists") {
        let Some(list) = list(reader, section, upkeep) else { continue };
        if lists.iter().any(|other| other.name == list.name) {
            reader.problem(section.at, format!("there are two lists called `{}`", list.name));
        }
        lists.push(list);
    }
    lists
}

fn list(reader: &mut Reader<'_>, section: Section<'_>, upkeep: Upkeep) -> Option<AssetList> {
    section.only(reader, &["name", "owner", "review_by", "devices", "groups", "tags", "users"]);
    let name = name(reader, section);
    let is_owned = upkeep == Upkeep::Owned;
    let owner = if is_owned || section.get("owner").is_some() {
        section.needed(reader, "owner").map(|word| word.text.to_owned())
    } else {
        Some(String::new())
    };
    let review_by = if is_owned || section.get("review_by").is_some() {
        review_date(reader, section)
    } else {
        Some(Date::MAX)
    };
    let before = reader.problems.len();
    let mut devices = Vec::new();
    for word in section.texts(reader, "devices") {
        match word.text.parse() {
            Ok(id) => devices.push(id),
            Err(error) => {
                reader.problem(word.at, format!("{error}; take it from the device's page in the portal"))
            }
        }
    }
    let mut words = |key| section.texts(reader, key).iter().map(|word| word.text.to_owned()).collect();
    let (groups, tags, users) = (words("groups"), words("tags"), words("users"));
    let list = AssetList {
        name: name?.text.to_owned(),
        owner: owner?,
        review_by: review_by?,
        devices,
        groups,
        tags,
        users,
    };
    if list.entries() == 0 && reader.problems.len() == before {
        let what = "has no entries: name `devices`, `groups`, `tags` or `users`, or remove it";
        reader.problem(section.at, format!("the list `{}` {what}", list.name));
    }
    Some(list)
}

fn review_date(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Date> {
    let Some((value, at)) = section.get("review_by") else {
        reader.problem(section.at, "`review_by` is missing");
        return None;
    };
    let date = match value {
        DeValue::Datetime(at) if at.time.is_none() && at.offset.is_none() => at.date,
        DeValue::Datetime(_)
        | DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    };
    let date = date.and_then(|date| {
        Date::new(
            i16::try_from(date.year).ok()?,
            i8::try_from(date.month).ok()?,
            i8::try_from(date.day).ok()?,
        )
        .ok()
    });
    if date.is_none() {
        reader.problem(at, "`review_by` must be a date without quotes, such as 2027-03-31");
    }
    date
}
