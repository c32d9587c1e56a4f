//! One marked sample, sent through one channel, for `cordon notify-test`: by this process, or by the function of a
//! deployed stack, which gets a notice that asks for it.
//!
//! It is made and sent as any other message is, once, and neither the channel's route, its rest nor its digests count: whoever
//! has just mended a channel wants to know now. It changes nothing of what is known of the channel.

use crate::{Channel, Letter, Notify, Story, Templates, letter, notice, page::Show};
use jiff::Timestamp;
use model::{Envelope, MessageId, Notice, Topic};
use ports::{CommitError, Disposition, Expect, State, Telling, Told, Unsent, Write};

/// What a channel has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The line by which people find it.
    pub subject: String,
}

/// The notice that asks for a sample of a channel.
pub fn sample_notice(channel: &str) -> Notice {
    let topic = Topic::Sample { channel: channel.to_owned() };
    Notice { topic, device: None, device_name: None, facts: Vec::new(), table: None }
}

/// Sends a sample through a channel, once. `portal`: the portal's address without a trailing slash.
pub async fn send_sample(
    channel: &Channel,
    templates: &Templates,
    portal: &str,
    now: Timestamp,
) -> Result<Sample, Unsent> {
    let letter = sample(channel, templates, portal, now);
    channel.deliver(&letter, now).await?;
    Ok(Sample { subject: letter.mail.subject })
}

impl Notify {
    /// Sends the sample that a notice asks for, and leaves what came of it for whoever waits. Not tried again: a sample that
    /// arrives tomorrow is of no use.
    pub(crate) async fn tell_sample(
        &self,
        message: &Envelope<Notice>,
        channel: &str,
        now: Timestamp,
    ) -> Disposition {
        let Some(channel) = self.channels.iter().find(|one| one.name() == channel) else {
            tracing::warn!(channel, id = %message.id, "a sample was asked for of a channel that is not here");
            return Disposition::Done;
        };
        let key = Told::of_notice(&message.tenant, &message.id, channel.name());
        match self.state.get_readable::<Told>(&key, now).await {
            Ok(None) => {}
            // It is there already, or it cannot be known whether it is: one sample too few is better than two.
            Ok(Some(_)) | Err(_) => return Disposition::Done,
        }
        let sent = send_sample(channel, &self.templates, &self.portal, now).await;
        if let Err(unsent) = &sent {
            tracing::warn!(channel = channel.name(), id = %message.id, why = unsent.why, "a sample was not taken");
        }
        let name = channel.name().to_owned();
        let write = match sent {
            Ok(Sample { subject }) => {
                Write::put(key, &Told { at: now, channel: name, subject }, Expect::Any, Told::expires(now))
            }
            Err(unsent) => {
                let telling = Telling {
                    until: now,
                    channel: name,
                    since: Some(now),
                    tries: 1,
                    why: Some(unsent.why),
                    given_up: true,
                    ..Telling::default()
                };
                Write::put(Telling::beside(&key), &telling, Expect::Any, Telling::expires(now))
            }
        };
        if let Err(error) = written(&self.state, write, now).await {
            tracing::warn!(id = %message.id, error, "what came of a sample could not be written down");
        }
        Disposition::Done
    }
}

async fn written(
    state: &State,
    write: Result<Write, ports::StateError>,
    now: Timestamp,
) -> Result<(), String> {
    let write = write.map_err(|error| error.to_string())?;
    state.commit(&[write], now).await.map_err(|error: CommitError| error.to_string())
}

/// A letter of its own each time: who asks twice finds two, in no story but their own.
fn sample(channel: &Channel, templates: &Templates, portal: &str, now: Timestamp) -> Letter {
    let notice = sample_notice(channel.name());
    let id = MessageId::of("sample", &[channel.name(), &now.as_nanosecond().to_string()]);
    let shown = Show { command_lines: channel.command_lines, follow_up: None, rows: 0 };
    let page = notice::page(&notice, portal, now, &id, shown);
    letter(page, &id, Story { id: id.clone(), name: notice::story_name(&notice) }, now, templates)
}
