//! Where people are told: opened channels, one file per kind. What is told and when is not their business.

mod card;
mod folder;
mod graph;
mod http;
mod ses;
mod slack;
mod smtp;
mod smtp_login;
mod sns;
mod teams;
mod webhook;

use crate::{digest::Room, letter::Letter};
use credentials::{Problems, Secret, SecretStore, Vars};
use folder::Folder;
use graph::Graph;
use jiff::Timestamp;
use lettre::message::Mailbox;
use policy::{ChannelKind, HostKind, Route, SecretName};
use ports::{MailBackend, TopicBackend, Unsent};
use ses::Ses;
use slack::Slack;
use smtp::Smtp;
use sns::Sns;
use std::{borrow::Cow, sync::Arc};
use teams::Teams;
use webhook::Webhook;

/// The most rows of a table that a mail shows.
pub(crate) const MOST_ROWS: usize = 50;

/// A channel that is ready to take messages.
#[derive(Debug)]
pub struct Channel {
    name: String,
    pub(crate) route: Route,
    pub(crate) command_lines: bool,
    pub(crate) digest_after: Option<u32>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Folder(Folder),
    Smtp(Box<Smtp>),
    Graph(Box<Graph>),
    Teams(Teams),
    Slack(Slack),
    Webhook(Webhook),
    Ses(Ses),
    Sns(Sns),
}

/// What the AWS host brings.
#[derive(Debug, Clone)]
pub struct OnAws {
    pub mail: Arc<dyn MailBackend>,
    pub topics: Arc<dyn TopicBackend>,
    /// The deployment's secret for channels, where it has one.
    pub secret: Option<KeptSecret>,
}

/// A secret with fields, by its name or ARN, and where it is read.
#[derive(Debug, Clone)]
pub struct KeptSecret {
    pub store: Arc<dyn SecretStore>,
    pub name: String,
}

impl Channel {
    /// Its name in the playbook.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether somebody is told by it: see [`policy::Channel::reaches_people`].
    pub(crate) fn reaches_people(&self) -> bool {
        !matches!(self.kind, Kind::Folder(_))
    }

    /// How much of a digest fits into one message of this kind.
    pub(crate) fn room(&self) -> Room {
        match &self.kind {
            Kind::Folder(_) | Kind::Smtp(_) | Kind::Ses(_) | Kind::Graph(_) => {
                Room { lines: 1_000, bytes: 1_000_000 }
            }
            Kind::Sns(_) | Kind::Webhook(_) => Room { lines: 1_000, bytes: 150_000 },
            // Teams takes 28 KB of card, Slack 13,000 characters of blocks.
            Kind::Teams(_) | Kind::Slack(_) => Room { lines: 60, bytes: 8_000 },
        }
    }

    /// How many rows of a table a message of this kind shows. A program gets all of them beside the text.
    pub(crate) fn rows(&self) -> usize {
        match &self.kind {
            Kind::Folder(_) | Kind::Smtp(_) | Kind::Ses(_) | Kind::Graph(_) => MOST_ROWS,
            Kind::Teams(_) | Kind::Slack(_) | Kind::Sns(_) | Kind::Webhook(_) => 10,
        }
    }

    pub(crate) async fn deliver(&self, letter: &Letter, now: Timestamp) -> Result<(), Unsent> {
        match &self.kind {
            Kind::Folder(folder) => folder.deliver(letter).await,
            Kind::Smtp(smtp) => smtp.deliver(letter, now).await,
            Kind::Ses(ses) => ses.deliver(letter).await,
            Kind::Sns(sns) => sns.deliver(letter).await,
            Kind::Graph(graph) => graph.deliver(letter, now).await,
            Kind::Teams(teams) => teams.deliver(letter, now).await,
            Kind::Slack(slack) => slack.deliver(letter, now).await,
            Kind::Webhook(webhook) => webhook.deliver(letter, now).await,
        }
    }
}

/// Opens the channels of a playbook. What is wrong is added to `problems`, all of it; a channel with a problem is
/// left out, and so is one that only the other host has, as long as one remains. Reads passwords and certificates,
/// never the network. `aws`: what the AWS host brings; none on one machine.
pub fn open(
    channels: &[policy::Channel],
    vars: &Vars,
    aws: Option<&OnAws>,
    problems: &mut Problems,
) -> Vec<Channel> {
    let host = if aws.is_some() { HostKind::Aws } else { HostKind::Local };
    let elsewhere = |channel: &policy::Channel| channel.only_on().is_some_and(|only| only != host);
    if !channels.is_empty() && channels.iter().all(elsewhere) {
        let names: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
        problems.add(format!(
            "playbook.toml: no channel is left on {}: {} cannot be there, so nobody would be told; add another",
            host.as_str(),
            names.join(", ")
        ));
    }
    let mut opened = Vec::new();
    for settings in channels {
        if elsewhere(settings) {
            tracing::debug!(channel = settings.name, host = host.as_str(), "this channel is left out here");
            continue;
        }
        let mut opening = Opening { name: &settings.name, vars, aws, problems };
        let kind = match &settings.kind {
            ChannelKind::Folder { path } => Some(Kind::Folder(Folder::new(path.clone()))),
            ChannelKind::Smtp(smtp) => Smtp::open(smtp, &mut opening).map(|smtp| Kind::Smtp(Box::new(smtp))),
            ChannelKind::Ses { to } => Ses::open(to, &mut opening).map(Kind::Ses),
            ChannelKind::Sns => Sns::open(&mut opening).map(Kind::Sns),
            ChannelKind::Graph(graph) => {
                Graph::open(graph, &mut opening).map(|graph| Kind::Graph(Box::new(graph)))
            }
            ChannelKind::Teams { url } => Teams::open(url, &mut opening).map(Kind::Teams),
            ChannelKind::Slack { url } => Slack::open(url, &mut opening).map(Kind::Slack),
            ChannelKind::Webhook { url, key } => Webhook::open(url, key, &mut opening).map(Kind::Webhook),
        };
        opened.extend(kind.map(|kind| Channel {
            name: settings.name.clone(),
            route: settings.route.clone(),
            command_lines: settings.command_lines,
            digest_after: settings.digest_after,
            kind,
        }));
    }
    opened
}

/// One channel being opened.
struct Opening<'a> {
    name: &'a str,
    vars: &'a Vars,
    aws: Option<&'a OnAws>,
    problems: &'a mut Problems,
}

impl Opening<'_> {
    fn problem(&mut self, why: &str) {
        self.problems.add(format!("channel `{}`: {why}", self.name));
    }

    /// The good part of a result; its error is a problem.
    fn keep<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.problem(&why)).ok()
    }

    /// A secret of the channel; what it is (`password`, `url`) stands in what is said where it is missing.
    fn secret(&mut self, what: &str, named: &SecretName) -> Option<Secret> {
        let found = secret(what, named, self.vars, self.aws);
        self.keep(found)
    }

    /// A secret that is at hand and can be checked at once; none where a store keeps it.
    fn given(&self, named: &SecretName) -> Option<&str> {
        if self.aws.is_some() && named.field.is_some() {
            return None;
        }
        named.env.as_deref().and_then(|name| self.vars.get(name))
    }

    /// Where a secret is kept: the name of a variable or a field.
    fn kept_in(&self, named: &SecretName) -> String {
        let field = named.field.as_ref().filter(|_| self.aws.is_some());
        field.or(named.env.as_ref()).cloned().unwrap_or_default()
    }
}

fn secret(what: &str, named: &SecretName, vars: &Vars, aws: Option<&OnAws>) -> Result<Secret, String> {
    if let (Some(aws), Some(field)) = (aws, &named.field) {
        return match &aws.secret {
            Some(kept) => Ok(Secret::kept(kept.store.clone(), &kept.name, field)),
            None => Err(format!(
                "`{what}_field`: the deployment has no secret for channels; deploy it with ChannelsSecret=create"
            )),
        };
    }
    let Some(name) = &named.env else {
        return Err(format!("`{what}_field` is for AWS; on one machine name a variable in `{what}_env`"));
    };
    vars.secret(name).map(Secret::given).ok_or_else(|| match aws {
        None => format!("{} is not set (the {} of the channel)", sayable(what, name), what.replace('_', " ")),
        Some(_) => format!(
            "{} is not set; on AWS name a field of the deployment's secret for channels in `{what}_field`",
            sayable(what, name)
        ),
    })
}

/// The name of a variable; one that does not look like a name may be the secret itself.
fn sayable<'a>(what: &str, name: &'a str) -> Cow<'a, str> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if is_name { name.into() } else { format!("the variable that `{what}_env` names").into() }
}

fn mailbox(setting: &str, text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|_| format!("{setting}: `{}` is not a mail address", model::one_line(text, 80)))
}

fn mailboxes<'t>(setting: &str, to: impl IntoIterator<Item = &'t str>) -> Result<Vec<Mailbox>, String> {
    let to: Result<Vec<Mailbox>, String> = to.into_iter().map(|text| mailbox(setting, text)).collect();
    if to.as_ref().is_ok_and(Vec::is_empty) {
        return Err(format!("{setting}: nobody is named"));
    }
    to
}
