//! Where people are told: opened channels, one file per kind. What is told and when is not their business.

mod folder;
mod ses;
mod smtp;

use crate::letter::Letter;
use credentials::{Problems, Vars};
use folder::Folder;
use lettre::message::Mailbox;
use policy::HostKind;
use ports::MailBackend;
use ses::Ses;
use smtp::Smtp;
use std::sync::Arc;

/// A channel that is ready to take messages.
#[derive(Debug)]
pub struct Channel {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Folder(Folder),
    Smtp(Box<Smtp>),
    Ses(Ses),
}

/// A channel did not take a message, or may not have. Never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("channel `{channel}`: {why}")]
pub(crate) struct Undelivered {
    channel: String,
    why: String,
}

impl Channel {
    /// Its name in the playbook.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn deliver(&self, letter: &Letter) -> Result<(), Undelivered> {
        let delivered = match &self.kind {
            Kind::Folder(folder) => folder.deliver(letter).await,
            Kind::Smtp(smtp) => smtp.deliver(letter).await,
            Kind::Ses(ses) => ses.deliver(letter).await,
        };
        delivered.map_err(|why| Undelivered { channel: self.name.clone(), why })
    }
}

/// Opens the channels of a playbook. What is wrong is added to `problems`, all of it; a channel with a problem is
/// left out, and so is one that only the other host has, as long as one remains. Reads passwords and certificates,
/// never the network. `mail`: the mail service of the AWS host; none on one machine.
pub fn open(
    channels: &[policy::Channel],
    vars: &Vars,
    mail: Option<&Arc<dyn MailBackend>>,
    problems: &mut Problems,
) -> Vec<Channel> {
    let host = if mail.is_some() { HostKind::Aws } else { HostKind::Local };
    let elsewhere = |channel: &policy::Channel| channel.only_on().is_some_and(|only| only != host);
    if !channels.is_empty() && channels.iter().all(elsewhere) {
        let names: Vec<&str> = channels.iter().map(policy::Channel::name).collect();
        problems.add(format!(
            "playbook.toml: no channel is left on {}: {} cannot be there, so nobody would be told; add another",
            host.as_str(),
            names.join(", ")
        ));
    }
    let mut opened = Vec::new();
    for channel in channels {
        let name = channel.name().to_owned();
        let kind = match (channel, mail) {
            (policy::Channel::Folder { path, .. }, None) => Some(Kind::Folder(Folder::new(path.clone()))),
            (policy::Channel::Smtp { .. }, _) => {
                Smtp::open(channel, vars, problems).map(|smtp| Kind::Smtp(Box::new(smtp)))
            }
            (policy::Channel::Ses { name, to }, Some(mail)) => {
                Ses::open(name, to, mail.clone(), vars, problems).map(Kind::Ses)
            }
            (policy::Channel::Folder { .. }, Some(_)) | (policy::Channel::Ses { .. }, None) => {
                tracing::debug!(channel = name, host = host.as_str(), "this channel is left out here");
                None
            }
        };
        opened.extend(kind.map(|kind| Channel { name, kind }));
    }
    opened
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
