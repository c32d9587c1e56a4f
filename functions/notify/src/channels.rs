//! Where people are told: opened channels, one file per kind. What is told and when is not their business.

mod folder;
mod smtp;

use crate::letter::Letter;
use credentials::{Problems, Vars};
use folder::Folder;
use smtp::Smtp;

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
        };
        delivered.map_err(|why| Undelivered { channel: self.name.clone(), why })
    }
}

/// Opens the channels of a playbook. What is wrong is added to `problems`, all of it; a channel with a problem is
/// left out. Reads passwords and certificates, never the network.
pub fn open(channels: &[policy::Channel], vars: &Vars, problems: &mut Problems) -> Vec<Channel> {
    let mut opened = Vec::new();
    for channel in channels {
        let name = channel.name().to_owned();
        let kind = match channel {
            policy::Channel::Folder { path, .. } => Some(Kind::Folder(Folder::new(path.clone()))),
            policy::Channel::Smtp { .. } => {
                Smtp::open(channel, vars, problems).map(|smtp| Kind::Smtp(Box::new(smtp)))
            }
        };
        opened.extend(kind.map(|kind| Channel { name, kind }));
    }
    opened
}
