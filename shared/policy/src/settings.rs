//! `playbook.toml`: how Cordon runs. What it may do stands in the policy, not here.
//!
//! Only settings that something uses exist. No secret is ever read from this file.

use crate::{
    problems::{Problems, Source, read_file},
    section::{Bounds, Reader, Section, Word, name, table},
};
use jiff::{SignedDuration, tz::TimeZone};
use model::{IsolationType, Limits, Mode};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

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

/// One way to tell people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// Writes each mail into a folder, as a file.
    Folder { name: String, path: PathBuf },
    /// Sends mail.
    Smtp {
        name: String,
        host: String,
        /// Default: 587 for STARTTLS, 465 for TLS, 25 for plain.
        port: u16,
        security: SmtpSecurity,
        username: Option<String>,
        /// The environment variable that holds the password.
        password_env: Option<String>,
        from: String,
        to: Vec<String>,
        /// A certificate authority of your own, as PEM.
        ca_file: Option<PathBuf>,
    },
    /// Sends mail by Amazon SES, with the rights of the function that tells people.
    Ses {
        name: String,
        /// Where nobody is named, what the deployment says. The sender is always the deployment's.
        to: Vec<String>,
    },
}

impl Channel {
    pub fn name(&self) -> &str {
        match self {
            Channel::Folder { name, .. } | Channel::Smtp { name, .. } | Channel::Ses { name, .. } => name,
        }
    }

    /// The host that alone has such a channel, where there is one: a Lambda function has no disk to keep mail on,
    /// and one machine no right to send by SES. On another host the channel is left out.
    pub fn only_on(&self) -> Option<HostKind> {
        match self {
            Channel::Folder { .. } => Some(HostKind::Local),
            Channel::Ses { .. } => Some(HostKind::Aws),
            Channel::Smtp { .. } => None,
        }
    }
}

/// What the steps run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    Local,
    Aws,
}

impl HostKind {
    /// As it is said to people: "on …".
    pub fn as_str(self) -> &'static str {
        match self {
            HostKind::Local => "one machine",
            HostKind::Aws => "AWS",
        }
    }
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// Begins in plain and must turn to TLS before anything is said. The default.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// No protection: for a server on this machine only.
    Plain,
}

impl SmtpSecurity {
    fn default_port(self) -> u16 {
        match self {
            SmtpSecurity::Starttls => 587,
            SmtpSecurity::Tls => 465,
            SmtpSecurity::Plain => 25,
        }
    }
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
            && settings.channels.iter().any(|channel| channel.name() == word.text)
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

fn channel(reader: &mut Reader<'_>, section: Section<'_>, name: Option<Word<'_>>) -> Option<Channel> {
    let kind = section.needed(reader, "kind")?;
    match kind.text {
        "folder" => {
            section.only(reader, &["name", "kind", "path"]);
            let path = section.needed(reader, "path");
            Some(Channel::Folder { name: name?.text.to_owned(), path: path?.text.into() })
        }
        "smtp" => smtp(reader, section, name),
        "ses" => ses(reader, section, name),
        other => {
            let found = model::one_line(other, 60);
            reader.problem(
                kind.at,
                format!("there is no channel of kind `{found}`; known: `folder`, `smtp`, `ses`"),
            );
            None
        }
    }
}

fn ses(reader: &mut Reader<'_>, section: Section<'_>, name: Option<Word<'_>>) -> Option<Channel> {
    section.only(reader, &["name", "kind", "to"]);
    let to = addresses(reader, section, "to");
    Some(Channel::Ses { name: name?.text.to_owned(), to })
}

/// The mail addresses of a list.
fn addresses(reader: &mut Reader<'_>, section: Section<'_>, key: &str) -> Vec<String> {
    let words = section.texts(reader, key);
    let good = words.into_iter().filter(|word| is_address(reader, *word));
    good.map(|word| word.text.to_owned()).collect()
}

const SMTP_KEYS: [&str; 10] =
    ["name", "kind", "host", "port", "security", "username", "password_env", "from", "to", "ca_file"];

fn smtp(reader: &mut Reader<'_>, section: Section<'_>, name: Option<Word<'_>>) -> Option<Channel> {
    let literal_password = section.get("password");
    if let Some((_, at)) = literal_password {
        let what = "is never written here: name the environment variable that holds it in `password_env`";
        reader.problem(at, format!("`password` {what}"));
    }
    // The pointed words above are enough: `only` would add that the key is unknown.
    let known: Vec<&str> = SMTP_KEYS.into_iter().chain(literal_password.map(|_| "password")).collect();
    section.only(reader, &known);

    let securities =
        [("starttls", SmtpSecurity::Starttls), ("tls", SmtpSecurity::Tls), ("plain", SmtpSecurity::Plain)];
    let security = section.choice(reader, "security", SmtpSecurity::Starttls, &securities);
    let host = section.needed(reader, "host").filter(|word| is_host(reader, *word));
    if security == SmtpSecurity::Plain
        && let Some(word) = host
        && !is_loopback(word.text)
    {
        let what = "\"plain\" is for a server on this machine only (`localhost`, `127.0.0.1`, `::1`): everything \
                    else needs \"starttls\" or \"tls\"";
        reader.problem(word.at, format!("`security` = {what}"));
    }
    let port = port(reader, section).unwrap_or(security.default_port());
    let (username, password_env) = login(reader, section);
    let from = section.needed(reader, "from").filter(|word| is_address(reader, *word));
    let to = addresses(reader, section, "to");
    let to_is_empty = section
        .get("to")
        .is_none_or(|(value, _)| value.as_array().is_some_and(|addresses| addresses.is_empty()));
    if to_is_empty {
        reader.problem(section.at, "`to` is missing: whom should this channel tell?");
    }
    let ca_file = section.text(reader, "ca_file").map(|word| PathBuf::from(word.text));
    Some(Channel::Smtp {
        name: name?.text.to_owned(),
        host: host?.text.to_owned(),
        port,
        security,
        username,
        password_env,
        from: from?.text.to_owned(),
        to,
        ca_file,
    })
}

fn port(reader: &mut Reader<'_>, section: Section<'_>) -> Option<u16> {
    let (value, at) = section.get("port")?;
    let number = value
        .as_integer()
        .and_then(|number| u16::from_str_radix(number.as_str(), number.radix()).ok())
        .filter(|number| *number > 0);
    if number.is_none() {
        reader.problem(at, "`port` must be a number between 1 and 65535");
    }
    number
}

/// Username and password come together or not at all.
fn login(reader: &mut Reader<'_>, section: Section<'_>) -> (Option<String>, Option<String>) {
    let username = section.text(reader, "username");
    let variable = section.text(reader, "password_env");
    if let Some(word) = variable {
        let good = word.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !word.text.starts_with(|first: char| first.is_ascii_digit());
        // Not quoted: somebody may have written the password itself.
        if !good {
            let what = "must be the name of an environment variable: letters, digits and underscores";
            reader.problem(word.at, format!("`password_env` {what}"));
        }
        if section.get("username").is_none() {
            reader.problem(word.at, "`password_env` needs a `username` to go with it");
        }
    }
    if let Some(word) = username
        && section.get("password_env").is_none()
        && section.get("password").is_none()
    {
        reader.problem(word.at, "`username` needs a `password_env`: the variable that holds its password");
    }
    (username.map(|word| word.text.to_owned()), variable.map(|word| word.text.to_owned()))
}

fn is_host(reader: &mut Reader<'_>, word: Word<'_>) -> bool {
    let good = word.text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'));
    if !good {
        let found = model::one_line(word.text, 80);
        reader.problem(
            word.at,
            format!("`{found}` is not a host: its name or address alone, nothing around it"),
        );
    }
    good
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A plain look: what it really is, the mail server knows.
fn is_address(reader: &mut Reader<'_>, word: Word<'_>) -> bool {
    let parts = word.text.split_once('@');
    let good = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if !good {
        let found = model::one_line(word.text, 80);
        reader.problem(word.at, format!("`{found}` is not a mail address"));
    }
    good
}
