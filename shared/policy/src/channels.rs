//! The channels of `playbook.toml`: where people are told, and which of it where.
//!
//! No secret is ever read from the file: it names the environment variable, or the field of the deployment's secret,
//! that holds one. Whether that is there is known when a channel is opened, not here.

use crate::section::{Reader, Section, Word};
use model::{Effect, EffectState, Severity};
use std::{net::IpAddr, path::PathBuf};
use url::Url;

/// One way to tell people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    pub name: String,
    pub kind: ChannelKind,
    /// What it is told of. Default: everything.
    pub route: Route,
    /// Whether it is told command lines: shortened, with secrets masked. Default: on mail yes, elsewhere no.
    pub command_lines: bool,
    /// How many messages within ten minutes are told one by one; those beyond are gathered into digests. None: never.
    /// Default: 10, and never for a webhook and a folder: no person is woken by those.
    pub digest_after: Option<u32>,
}

/// What a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelKind {
    /// Writes each mail into a folder, as a file.
    Folder { path: PathBuf },
    /// Sends mail by a mail server.
    Smtp(Box<SmtpSettings>),
    /// Sends mail by Amazon SES, with the rights of the function that tells people.
    Ses {
        /// Where nobody is named, what the deployment says. The sender is always the deployment's.
        to: Vec<String>,
    },
    /// Sends mail by Microsoft Graph, out of a mailbox of the tenant.
    Graph(Box<GraphSettings>),
    /// Posts to Microsoft Teams, by the webhook of a workflow.
    Teams { url: SecretName },
    /// Posts to Slack, by an incoming webhook.
    Slack { url: SecretName },
    /// Publishes to the deployment's topic of Amazon SNS, with the rights of the function that tells people.
    Sns,
    /// Posts JSON to any program, signed.
    Webhook { url: SecretName, key: SecretName },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpSettings {
    pub host: String,
    /// Default: 587 for STARTTLS, 465 for TLS, 25 for plain.
    pub port: u16,
    pub security: SmtpSecurity,
    pub login: Option<SmtpLogin>,
    pub from: String,
    pub to: Vec<String>,
    /// A certificate authority of your own, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// How Cordon proves to a mail server who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpLogin {
    pub username: String,
    pub proof: SmtpProof,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmtpProof {
    Password(SecretName),
    /// An access token (SASL XOAUTH2), as Outlook and Gmail want it.
    OAuth(Box<OAuthSettings>),
}

/// Where access tokens for a mail server come from: by a refresh token where there is one, else by the app's own
/// credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthSettings {
    pub token_url: String,
    pub client_id: String,
    pub client_secret: SecretName,
    pub scope: Option<String>,
    pub refresh_token: Option<SecretName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphSettings {
    /// The Entra tenant of the mailbox; none: the one whose alerts are read.
    pub tenant: Option<String>,
    /// The app registration that may send (`Mail.Send`).
    pub client_id: String,
    pub client_secret: SecretName,
    /// The mailbox that sends.
    pub from: String,
    pub to: Vec<String>,
}

/// Where a secret is kept; at least one of the two is there. On one machine `env` counts; on AWS `field`, or `env` where a
/// channel has no field and somebody has set the variable on the function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretName {
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The field that holds it in the deployment's secret for channels.
    pub field: Option<String>,
}

/// Which messages a channel is told. A list that is absent takes everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// Of the alert; a severity that Cordon does not know counts as `Unspecified`.
    pub severities: Option<Vec<Severity>>,
    pub actions: Option<Vec<Effect>>,
    /// Words of [`OUTCOMES`].
    pub outcomes: Option<Vec<String>>,
    pub notices: Notices,
}

/// Which notices a channel is told: what people have to know that is not the outcome of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Notices {
    #[default]
    All,
    /// Those alone that somebody has to look at now.
    Urgent,
    None,
}

const SEVERITIES: [Severity; 5] =
    [Severity::High, Severity::Medium, Severity::Low, Severity::Informational, Severity::Unspecified];

/// The word for the outcome of an alert that nothing was to be done about.
pub const NOTHING: &str = "nothing";

/// The outcomes that a route can name: the states of an effect that people hear of, and [`NOTHING`].
pub const OUTCOMES: [&str; 16] = [
    EffectState::Claimed.word(),
    EffectState::Requesting.word(),
    EffectState::Requested.word(),
    EffectState::Pending.word(),
    EffectState::Succeeded.word(),
    EffectState::Failed.word(),
    EffectState::TimedOut.word(),
    EffectState::Cancelled.word(),
    EffectState::Adopted.word(),
    EffectState::Unknown.word(),
    EffectState::Held.word(),
    EffectState::Refused.word(),
    EffectState::Observed.word(),
    EffectState::Proposed.word(),
    EffectState::Released.word(),
    NOTHING,
];

impl Route {
    /// Whether it takes the outcome of an alert. `outcome`: one of [`OUTCOMES`].
    pub fn takes(&self, severity: Option<&Severity>, action: Effect, outcome: &str) -> bool {
        let severity = match severity {
            None | Some(Severity::Other(_)) => &Severity::Unspecified,
            Some(known) => known,
        };
        self.severities.as_ref().is_none_or(|list| list.contains(severity))
            && self.actions.as_ref().is_none_or(|list| list.contains(&action))
            && self.outcomes.as_ref().is_none_or(|list| list.iter().any(|word| word == outcome))
    }

    pub fn takes_notice(&self, is_urgent: bool) -> bool {
        match self.notices {
            Notices::All => true,
            Notices::Urgent => is_urgent,
            Notices::None => false,
        }
    }
}

/// What no channel of this host takes, though it might be told: such a message goes to all of them. An example, or none.
/// A folder counts only where there is nothing else.
pub fn taken_by_none(channels: &[Channel], host: HostKind) -> Option<String> {
    let here: Vec<&Channel> =
        channels.iter().filter(|channel| channel.only_on().is_none_or(|only| only == host)).collect();
    let people: Vec<&Channel> = here.iter().copied().filter(|channel| channel.reaches_people()).collect();
    let here = if people.is_empty() { here } else { people };
    if here.is_empty() {
        return None;
    }
    for severity in &SEVERITIES {
        for action in [Effect::Isolate, Effect::Release] {
            let lonely = OUTCOMES.iter().find(|outcome| {
                !here.iter().any(|channel| channel.route.takes(Some(severity), action, outcome))
            });
            if let Some(outcome) = lonely {
                return Some(format!("{} · {} {outcome}", severity.as_str(), action.word()));
            }
        }
    }
    let notice = [(true, "an urgent notice"), (false, "a notice that is not urgent")];
    let lonely =
        notice.iter().find(|(urgent, _)| !here.iter().any(|channel| channel.route.takes_notice(*urgent)));
    lonely.map(|(_, words)| (*words).to_owned())
}

impl Channel {
    /// One of this kind with the defaults of its kind.
    pub fn new(name: &str, kind: ChannelKind) -> Channel {
        let is_mail = match kind {
            ChannelKind::Folder { .. }
            | ChannelKind::Smtp(_)
            | ChannelKind::Ses { .. }
            | ChannelKind::Graph(_) => true,
            ChannelKind::Teams { .. }
            | ChannelKind::Slack { .. }
            | ChannelKind::Sns
            | ChannelKind::Webhook { .. } => false,
        };
        let wakes_nobody = matches!(kind, ChannelKind::Webhook { .. } | ChannelKind::Folder { .. });
        Channel {
            name: name.to_owned(),
            kind,
            route: Route::default(),
            command_lines: is_mail,
            digest_after: (!wakes_nobody).then_some(DIGEST_AFTER),
        }
    }

    /// Where the secrets of the channel are kept.
    pub fn secrets(&self) -> Vec<&SecretName> {
        match &self.kind {
            ChannelKind::Folder { .. } | ChannelKind::Ses { .. } | ChannelKind::Sns => Vec::new(),
            ChannelKind::Smtp(smtp) => match smtp.login.as_ref().map(|login| &login.proof) {
                None => Vec::new(),
                Some(SmtpProof::Password(password)) => vec![password],
                Some(SmtpProof::OAuth(oauth)) => {
                    [Some(&oauth.client_secret), oauth.refresh_token.as_ref()].into_iter().flatten().collect()
                }
            },
            ChannelKind::Graph(graph) => vec![&graph.client_secret],
            ChannelKind::Teams { url } | ChannelKind::Slack { url } => vec![url],
            ChannelKind::Webhook { url, key } => vec![url, key],
        }
    }

    /// Whether somebody is told by it. What lies in a folder is read by whoever looks there.
    pub fn reaches_people(&self) -> bool {
        !matches!(self.kind, ChannelKind::Folder { .. })
    }

    /// The host that alone has such a channel, where there is one: a Lambda function has no disk to keep mail on,
    /// and one machine no right to send by SES or SNS. On another host the channel is left out.
    pub fn only_on(&self) -> Option<HostKind> {
        match self.kind {
            ChannelKind::Folder { .. } => Some(HostKind::Local),
            ChannelKind::Ses { .. } | ChannelKind::Sns => Some(HostKind::Aws),
            ChannelKind::Smtp(_)
            | ChannelKind::Graph(_)
            | ChannelKind::Teams { .. }
            | ChannelKind::Slack { .. }
            | ChannelKind::Webhook { .. } => None,
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

const DIGEST_AFTER: u32 = 10;
const MOST_DIGEST_AFTER: u32 = 1_000;

/// The keys that every channel has.
const COMMON: [&str; 8] =
    ["name", "kind", "severities", "actions", "outcomes", "notices", "command_lines", "digest_after"];

const KINDS: [&str; 8] = ["folder", "smtp", "ses", "graph", "teams", "slack", "sns", "webhook"];

/// A channel; what is wrong with it is a problem of the reader.
pub(crate) fn channel(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    name: Option<Word<'_>>,
) -> Option<Channel> {
    let word = section.needed(reader, "kind")?;
    let kind = match word.text {
        "folder" => folder(reader, section),
        "smtp" => smtp(reader, section),
        "ses" => ses(reader, section),
        "graph" => graph(reader, section),
        "teams" => only_url(reader, section).map(|url| ChannelKind::Teams { url }),
        "slack" => only_url(reader, section).map(|url| ChannelKind::Slack { url }),
        "sns" => {
            only(reader, section, &[], &[]);
            Some(ChannelKind::Sns)
        }
        "webhook" => webhook(reader, section),
        other => {
            let found = model::one_line(other, 60);
            let known = crate::problems::listed(&KINDS);
            reader.problem(word.at, format!("there is no channel of kind `{found}`; known: {known}"));
            return None;
        }
    };
    let route = route(reader, section);
    let plain = Channel::new(name?.text, kind?);
    let command_lines = section.flag(reader, "command_lines", plain.command_lines);
    let digest_after = digest_after(reader, section, plain.digest_after);
    Some(Channel { route, command_lines, digest_after, ..plain })
}

/// Every other key is a problem; the value of a secret that is written in the file is one with words of its own.
fn only(reader: &mut Reader<'_>, section: Section<'_>, known: &[&str], secrets: &[&str]) {
    let mut all: Vec<&str> = COMMON.iter().chain(known).copied().collect();
    for secret in secrets {
        if let Some((_, at)) = section.get(secret) {
            let what = "is never written here: name the environment variable that holds it in";
            reader.problem(at, format!("`{secret}` {what} `{secret}_env`"));
            // The pointed words above are enough: `only` would add that the key is unknown.
            all.push(secret);
        }
    }
    section.only(reader, &all);
}

fn route(reader: &mut Reader<'_>, section: Section<'_>) -> Route {
    let severities =
        [Severity::High, Severity::Medium, Severity::Low, Severity::Informational, Severity::Unspecified]
            .map(|severity| (severity.as_str().to_owned(), severity));
    let actions = [("isolate".to_owned(), Effect::Isolate), ("release".to_owned(), Effect::Release)];
    let outcomes = OUTCOMES.map(|word| (word.to_owned(), word.to_owned()));
    let notices = [("all", Notices::All), ("urgent", Notices::Urgent), ("none", Notices::None)];
    Route {
        severities: words(reader, section, "severities", &severities),
        actions: words(reader, section, "actions", &actions),
        outcomes: words(reader, section, "outcomes", &outcomes),
        notices: section.choice(reader, "notices", Notices::All, &notices),
    }
}

/// A list of known words; none where the key is absent. An empty list is a problem: it would take nothing.
fn words<T: Clone>(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    known: &[(String, T)],
) -> Option<Vec<T>> {
    let (value, at) = section.get(key)?;
    let mut found = Vec::new();
    for word in section.texts(reader, key) {
        match known.iter().find(|(name, _)| name == word.text) {
            Some((_, value)) => found.push(value.clone()),
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
                let what = model::one_line(word.text, 60);
                let names = crate::problems::listed(&names);
                reader.problem(word.at, format!("`{key}` cannot hold `{what}`: known are {names}"));
            }
        }
    }
    if value.as_array().is_some_and(|array| array.is_empty()) {
        reader.problem(at, format!("`{key}` is empty: leave it out to take everything"));
    }
    Some(found)
}

fn digest_after(reader: &mut Reader<'_>, section: Section<'_>, default: Option<u32>) -> Option<u32> {
    let Some((value, at)) = section.get("digest_after") else { return default };
    if value.as_str() == Some("never") {
        return None;
    }
    let number =
        value.as_integer().and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
    let number = number.filter(|number| (1..=MOST_DIGEST_AFTER).contains(number));
    if number.is_none() {
        let what = format!("must be a whole number between 1 and {MOST_DIGEST_AFTER}, or \"never\"");
        reader.problem(at, format!("`digest_after` {what}"));
    }
    number.or(default)
}

fn folder(reader: &mut Reader<'_>, section: Section<'_>) -> Option<ChannelKind> {
    only(reader, section, &["path"], &[]);
    let path = section.needed(reader, "path")?;
    Some(ChannelKind::Folder { path: path.text.into() })
}

fn ses(reader: &mut Reader<'_>, section: Section<'_>) -> Option<ChannelKind> {
    only(reader, section, &["to"], &[]);
    let to = addresses(reader, section, "to");
    Some(ChannelKind::Ses { to })
}

/// The one setting of a kind that needs no other.
fn only_url(reader: &mut Reader<'_>, section: Section<'_>) -> Option<SecretName> {
    only(reader, section, &["url_env", "url_field"], &["url"]);
    secret(reader, section, "url")
}

fn webhook(reader: &mut Reader<'_>, section: Section<'_>) -> Option<ChannelKind> {
    only(reader, section, &["url_env", "url_field", "key_env", "key_field"], &["url", "key"]);
    let (url, key) = (secret(reader, section, "url"), secret(reader, section, "key"));
    Some(ChannelKind::Webhook { url: url?, key: key? })
}

const GRAPH_KEYS: [&str; 6] =
    ["tenant_id", "client_id", "client_secret_env", "client_secret_field", "from", "to"];

fn graph(reader: &mut Reader<'_>, section: Section<'_>) -> Option<ChannelKind> {
    only(reader, section, &GRAPH_KEYS, &["client_secret"]);
    let tenant = section.text(reader, "tenant_id");
    let client_id = section.needed(reader, "client_id");
    let client_secret = secret(reader, section, "client_secret");
    let from = section.needed(reader, "from").filter(|word| is_address(reader, *word));
    let to = someone(reader, section);
    Some(ChannelKind::Graph(Box::new(GraphSettings {
        tenant: tenant.map(|word| word.text.to_owned()),
        client_id: client_id?.text.to_owned(),
        client_secret: client_secret?,
        from: from?.text.to_owned(),
        to,
    })))
}

const SMTP_KEYS: [&str; 17] = [
    "host",
    "port",
    "security",
    "auth",
    "username",
    "password_env",
    "password_field",
    "token_url",
    "client_id",
    "client_secret_env",
    "client_secret_field",
    "scope",
    "refresh_token_env",
    "refresh_token_field",
    "from",
    "to",
    "ca_file",
];

fn smtp(reader: &mut Reader<'_>, section: Section<'_>) -> Option<ChannelKind> {
    only(reader, section, &SMTP_KEYS, &["password", "client_secret", "refresh_token"]);
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
    let login = login(reader, section);
    let from = section.needed(reader, "from").filter(|word| is_address(reader, *word));
    let to = someone(reader, section);
    let ca_file = section.text(reader, "ca_file").map(|word| PathBuf::from(word.text));
    Some(ChannelKind::Smtp(Box::new(SmtpSettings {
        host: host?.text.to_owned(),
        port,
        security,
        login: login?,
        from: from?.text.to_owned(),
        to,
        ca_file,
    })))
}

#[derive(Clone, Copy, PartialEq)]
enum Auth {
    Password,
    XOAuth2,
}

impl Auth {
    const WORDS: [(&str, Auth); 2] = [("password", Auth::Password), ("xoauth2", Auth::XOAuth2)];

    /// The keys that only this way of logging in has.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Auth::Password => &["password_env", "password_field"],
            Auth::XOAuth2 => &[
                "token_url",
                "client_id",
                "client_secret_env",
                "client_secret_field",
                "scope",
                "refresh_token_env",
                "refresh_token_field",
            ],
        }
    }
}

/// How to log in, if at all. The outer none: it is not usable, which is a problem.
fn login(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Option<SmtpLogin>> {
    let auth = section.choice(reader, "auth", Auth::Password, &Auth::WORDS);
    for (word, other) in Auth::WORDS.iter().filter(|(_, other)| *other != auth) {
        for (key, at) in other.keys().iter().filter_map(|key| Some((key, section.get(key)?.1))) {
            reader.problem(at, format!("`{key}` belongs to `auth` = \"{word}\""));
        }
    }
    let proof = auth.keys().iter().find_map(|key| Some((*key, section.get(key)?.1)));
    let Some(username) = section.text(reader, "username") else {
        let named = proof.or_else(|| section.get("auth").map(|(_, at)| ("auth", at)));
        let Some((key, at)) = named else { return Some(None) };
        reader.problem(at, format!("`{key}` needs a `username` to go with it"));
        return None;
    };
    let proof = match auth {
        // The problem of a password that stands in the file is said already.
        Auth::Password if section.get("password").is_some() => None,
        Auth::Password if proof.is_none() => {
            let what = "`username` needs a `password_env`: the variable that holds its password";
            reader.problem(username.at, what);
            None
        }
        Auth::Password => secret(reader, section, "password").map(SmtpProof::Password),
        Auth::XOAuth2 => oauth(reader, section).map(|oauth| SmtpProof::OAuth(Box::new(oauth))),
    };
    Some(Some(SmtpLogin { username: username.text.to_owned(), proof: proof? }))
}

fn oauth(reader: &mut Reader<'_>, section: Section<'_>) -> Option<OAuthSettings> {
    let token_url = section.needed(reader, "token_url").filter(|word| is_url(reader, *word));
    let client_id = section.needed(reader, "client_id");
    let client_secret = secret(reader, section, "client_secret");
    let scope = section.text(reader, "scope").map(|word| word.text.to_owned());
    let refreshes = ["refresh_token_env", "refresh_token_field"].iter().any(|key| section.get(key).is_some());
    let refresh_token = refreshes.then(|| secret(reader, section, "refresh_token"));
    Some(OAuthSettings {
        token_url: token_url?.text.to_owned(),
        client_id: client_id?.text.to_owned(),
        client_secret: client_secret?,
        scope,
        refresh_token: match refresh_token {
            Some(named) => Some(named?),
            None => None,
        },
    })
}

/// Where the secret `key` is kept: `key_env`, `key_field`, or both. None of them is a problem, but for the one whose value
/// stands in the file, which is one already.
fn secret(reader: &mut Reader<'_>, section: Section<'_>, key: &str) -> Option<SecretName> {
    let (env, field) = (format!("{key}_env"), format!("{key}_field"));
    if [key, &env, &field].iter().all(|key| section.get(key).is_none()) {
        let what = format!("`{env}` is missing: the environment variable that holds it");
        let or = format!("or, on AWS, `{field}`: the field of the deployment's secret for channels");
        reader.problem(section.at, format!("{what}; {or}"));
        return None;
    }
    let named = SecretName {
        env: variable(reader, section, &env, "an environment variable"),
        field: variable(reader, section, &field, "a field"),
    };
    let is_named = |key: &str, found: &Option<String>| found.is_some() == section.get(key).is_some();
    let is_good = is_named(&env, &named.env) && is_named(&field, &named.field);
    (is_good && named != SecretName::default()).then_some(named)
}

/// The name of what holds a secret. It is not quoted where it is none: somebody may have written the secret itself.
fn variable(reader: &mut Reader<'_>, section: Section<'_>, key: &str, of: &str) -> Option<String> {
    let word = section.text(reader, key)?;
    let good = word.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !word.text.starts_with(|first: char| first.is_ascii_digit());
    if !good {
        let what = format!("must be the name of {of}: letters, digits and underscores");
        reader.problem(word.at, format!("`{key}` {what}"));
    }
    good.then(|| word.text.to_owned())
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

/// The mail addresses of a list.
fn addresses(reader: &mut Reader<'_>, section: Section<'_>, key: &str) -> Vec<String> {
    let words = section.texts(reader, key);
    let good = words.into_iter().filter(|word| is_address(reader, *word));
    good.map(|word| word.text.to_owned()).collect()
}

/// Whom a mail goes to: somebody at least.
fn someone(reader: &mut Reader<'_>, section: Section<'_>) -> Vec<String> {
    let to = addresses(reader, section, "to");
    let to_is_empty = section
        .get("to")
        .is_none_or(|(value, _)| value.as_array().is_some_and(|addresses| addresses.is_empty()));
    if to_is_empty {
        reader.problem(section.at, "`to` is missing: whom should this channel tell?");
    }
    to
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
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// An address that secrets are sent to: `https`, or `http` to this machine itself.
fn is_url(reader: &mut Reader<'_>, word: Word<'_>) -> bool {
    let url = Url::parse(word.text).ok();
    let good = url.is_some_and(|url| match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    });
    if !good {
        let found = model::one_line(word.text, 120);
        reader.problem(word.at, format!("`{found}` is not an address that begins with https://"));
    }
    good
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
