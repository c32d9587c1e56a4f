//! `playbook.toml`: how Cordon runs. What it may do stands in the policy, not here.
//!
//! Only settings that something uses exist. No secret is ever read from this file.

use crate::{
    channels::{Channel, channel},
    problems::{Problems, Source, read_file},
    section::{Bounds, Reader, Section, name, table},
};
use jiff::{SignedDuration, tz::TimeZone};
use model::{IsolationType, Limits, Mode};
use std::path::Path;

/// Everything that `playbook.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether decisions are carried out, where the environment does not say. Default: observe.
    pub mode: Mode,
    /// Where `context.localHour` is told. Default: UTC.
    pub time_zone: TimeZone,
    pub poll: PollSettings,
    pub isolation: IsolationSettings,
    /// How many devices may be isolated before people are asked.
    pub limits: Limits,
    /// Where people are told.
    pub channels: Vec<Channel>,
}

/// How alerts are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollSettings {
    /// How often. Default: one minute.
    pub interval: SignedDuration,
    /// How far each poll reaches back behind the last, for what the service shows late. Default: ten minutes.
    pub overlap: SignedDuration,
}

/// How devices are isolated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationSettings {
    /// The kind, where the policy names none. Default: full.
    pub isolation_type: IsolationType,
    /// Stands before Cordon's marker in the machine action's comment. Default: `Isolated by Cordon`.
    pub comment: String,
    /// How old an alert may be to be acted upon. Default: four hours.
    pub act_within: SignedDuration,
    /// How long a device is left to people after one of them released it. Default: 24 hours.
    pub hands_off_after_release: SignedDuration,
    /// After how long Cordon releases by itself what it isolated by itself. Default: never.
    pub release_after: Option<SignedDuration>,
    /// Whether what was done is written on the alert as a comment, which needs a permission of its own. Default: no.
    pub comment_on_alert: bool,
}

const INTERVAL: Bounds = Bounds {
    default: SignedDuration::from_secs(60),
    least: SignedDuration::from_secs(10),
    most: SignedDuration::from_hours(1),
};
const OVERLAP: Bounds = Bounds {
    default: SignedDuration::from_mins(10),
    least: SignedDuration::from_mins(1),
    most: SignedDuration::from_hours(24),
};
const ACT_WITHIN: Bounds = Bounds {
    default: SignedDuration::from_hours(4),
    least: SignedDuration::from_mins(1),
    most: SignedDuration::from_hours(7 * 24),
};
const HANDS_OFF: Bounds = Bounds {
    default: SignedDuration::from_hours(24),
    least: SignedDuration::from_mins(1),
    most: SignedDuration::from_hours(30 * 24),
};
const RELEASE_AFTER: Bounds = Bounds {
    default: SignedDuration::from_hours(24),
    least: SignedDuration::from_hours(2),
    most: SignedDuration::from_hours(30 * 24),
};
const BREAKER_WINDOW: Bounds = Bounds {
    default: SignedDuration::from_mins(30),
    least: SignedDuration::from_mins(1),
    most: SignedDuration::from_hours(24),
};
const COMMENT: &str = "Isolated by Cordon";
const MAX_COMMENT: usize = 200;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mode: Mode::Observe,
            time_zone: TimeZone::UTC,
            poll: PollSettings { interval: INTERVAL.default, overlap: OVERLAP.default },
            isolation: IsolationSettings {
                isolation_type: IsolationType::Full,
                comment: COMMENT.to_owned(),
                act_within: ACT_WITHIN.default,
                hands_off_after_release: HANDS_OFF.default,
                release_after: None,
                comment_on_alert: false,
            },
            limits: Limits::default(),
            channels: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads `playbook.toml` of a folder alone, for whoever needs no policy.
    pub fn read(folder: &Path) -> Result<Settings, Problems> {
        let text = read_file(folder, crate::PLAYBOOK).map_err(|problem| Problems::new(vec![problem]))?;
        Settings::parse(&text)
    }

    /// Reads the text of `playbook.toml` alone.
    pub fn parse(text: &str) -> Result<Settings, Problems> {
        let mut problems = Vec::new();
        let settings = parse(text, &mut problems);
        if problems.is_empty() { Ok(settings) } else { Err(Problems::new(problems)) }
    }
}

/// Reads the file; what is wrong with it is added to `problems`.
pub(crate) fn parse(text: &str, problems: &mut Vec<String>) -> Settings {
    let mut reader = Reader { source: Source::of_keys(crate::PLAYBOOK, text), problems: Vec::new() };
    let mut settings = Settings::default();
    if let Some(table) = table(&mut reader) {
        read(&mut reader, Section { table: &table, at: 0 }, &mut settings);
    }
    problems.extend(reader.problems);
    settings
}

fn read(reader: &mut Reader<'_>, root: Section<'_>, settings: &mut Settings) {
    root.only(reader, &["mode", "time_zone", "poll", "isolation", "limits", "channels"]);
    let modes = [Mode::Observe, Mode::Enforce].map(|mode| (mode.as_str(), mode));
    settings.mode = root.choice(reader, "mode", settings.mode, &modes);
    settings.time_zone = time_zone(reader, root).unwrap_or(TimeZone::UTC);
    if let Some(section) = root.section(reader, "poll") {
        section.only(reader, &["interval", "overlap"]);
        settings.poll.interval = section.duration(reader, "interval", INTERVAL);
        settings.poll.overlap = section.duration(reader, "overlap", OVERLAP);
    }
    if let Some(section) = root.section(reader, "isolation") {
        isolation(reader, section, &mut settings.isolation);
    }
    if let Some(section) = root.section(reader, "limits") {
        limits(reader, section, &mut settings.limits);
    }
    for section in root.sections(reader, "channels") {
        let name = name(reader, section);
        if let Some(word) = name
            && settings.channels.iter().any(|channel| channel.name == word.text)
        {
            reader.problem(word.at, format!("there are two channels called `{}`", word.text));
        }
        settings.channels.extend(channel(reader, section, name));
    }
}

fn time_zone(reader: &mut Reader<'_>, root: Section<'_>) -> Option<TimeZone> {
    let word = root.text(reader, "time_zone")?;
    // Never the machine's own files: both hosts must decide alike.
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(word.text).ok();
    if zone.is_none() {
        let found = model::one_line(word.text, 60);
        reader.problem(
            word.at,
            format!("there is no time zone `{found}`; it is a name such as \"Europe/Berlin\" or \"UTC\""),
        );
    }
    zone
}

fn isolation(reader: &mut Reader<'_>, section: Section<'_>, settings: &mut IsolationSettings) {
    section.only(
        reader,
        &["type", "comment", "act_within", "hands_off_after_release", "release_after", "comment_on_alert"],
    );
    let types = [IsolationType::Full, IsolationType::Selective].map(|kind| (kind.as_str(), kind));
    settings.isolation_type = section.choice(reader, "type", settings.isolation_type, &types);
    if let Some(word) = section.text(reader, "comment") {
        if word.text.chars().count() > MAX_COMMENT {
            reader.problem(word.at, format!("`comment` must have at most {MAX_COMMENT} characters"));
        }
        settings.comment = word.text.to_owned();
    }
    settings.act_within = section.duration(reader, "act_within", ACT_WITHIN);
    settings.hands_off_after_release = section.duration(reader, "hands_off_after_release", HANDS_OFF);
    let is_never = section.get("release_after").is_none_or(|(value, _)| value.as_str() == Some("never"));
    settings.release_after = (!is_never).then(|| section.duration(reader, "release_after", RELEASE_AFTER));
    settings.comment_on_alert = section.flag(reader, "comment_on_alert", settings.comment_on_alert);
}

fn limits(reader: &mut Reader<'_>, section: Section<'_>, limits: &mut Limits) {
    section.only(
        reader,
        &[
            "per_hour",
            "per_day",
            "at_one_time_percent",
            "at_one_time_least",
            "per_group",
            "breaker_devices",
            "breaker_window",
        ],
    );
    limits.per_hour = section.number(reader, "per_hour", limits.per_hour, Limits::MOST);
    limits.per_day = section.number(reader, "per_day", limits.per_day, Limits::MOST);
    limits.standing_percent = section.number(reader, "at_one_time_percent", limits.standing_percent, 100);
    limits.standing_least = section.number(reader, "at_one_time_least", limits.standing_least, Limits::MOST);
    limits.breaker_devices = section.number(reader, "breaker_devices", limits.breaker_devices, Limits::MOST);
    limits.breaker_window = section.duration(reader, "breaker_window", BREAKER_WINDOW);
    let Some(groups) = section.section(reader, "per_group") else { return };
    for key in groups.table.keys() {
        let group = key.get_ref().to_string();
        let most = groups.number(reader, &group, 0, Limits::MOST);
        limits.per_group.insert(group, most);
    }
}
