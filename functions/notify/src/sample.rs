//! One marked sample, sent through one channel, for `cordon notify-test`.
//!
//! It is made and sent as any other message is, and nothing else: nothing is written into the state, no queue is asked,
//! and neither the channel's route, its rest nor its digests count.

use crate::{Channel, Letter, Story, Templates, letter, notice, page::Show};
use jiff::Timestamp;
use model::{MessageId, Notice, Topic};
use ports::Unsent;

/// What a channel has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The line by which people find it.
    pub subject: String,
}

/// The notice that asks for a sample of a channel.
pub fn sample_notice(channel: &str) -> Notice {
    let topic = Topic::Sample { channel: channel.to_owned() };
    Notice { topic, device: None, device_name: None, facts: Vec::new() }
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

/// A letter of its own each time: who asks twice finds two, in no story but their own.
fn sample(channel: &Channel, templates: &Templates, portal: &str, now: Timestamp) -> Letter {
    let notice = sample_notice(channel.name());
    let id = MessageId::of("sample", &[channel.name(), &now.as_nanosecond().to_string()]);
    let shown = Show { command_lines: channel.command_lines, follow_up: None };
    let page = notice::page(&notice, portal, now, &id, shown);
    letter(page, &id, Story { id: id.clone(), name: notice::story_name(&notice) }, now, templates)
}
