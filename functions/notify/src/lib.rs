//! notify: tells people what became of an alert, and what else they have to know, once per channel, in the words of
//! the effect's state.
//!
//! It decides nothing and touches nothing in the tenant. A channel that has taken a message is remembered by its
//! `Told` row, so that a redelivery tells only those that were not told yet. That is at least once: a channel
//! that took a message just before the state failed is told again, under the same Message-ID where it keeps that. How
//! that is done, and why nothing is lost, stands in `deliver`.

mod channels;
mod defang;
mod deliver;
mod digest;
mod effect;
mod evidence;
mod example;
mod found;
mod letter;
mod line;
mod mask;
mod notice;
mod outage;
mod outcome;
mod page;
mod render;
mod rest;
mod sample;
mod story;
mod tags;
mod templates;
mod wrap;

pub use channels::{Channel, KeptSecret, OnAws, open};
pub use render::{Mail, render, render_follow_up, render_notice};
pub use sample::{Sample, sample_notice, send_sample};
pub use templates::Templates;

use deliver::News;
use jiff::Timestamp;
use letter::{Letter, Story};
use model::{ActionTaken, Body, Envelope, MessageId, Notice, TenantId, Topic};
use page::Show;
use ports::{Disposition, Queue, State, Tally, dispatch};

/// The step with what it needs.
#[derive(Debug)]
pub struct Notify {
    pub channels: Vec<Channel>,
    /// How mails look.
    pub templates: Templates,
    pub queue: Queue,
    pub state: State,
    pub tally: Tally,
    /// The portal's address without a trailing slash.
    pub portal: String,
}

impl Notify {
    /// One message of the queue, of whichever kind it says it is.
    pub async fn take(&self, tenant: &TenantId, body: &str, now: Timestamp) -> Disposition {
        if model::kind_of(body).as_deref() == Some(Notice::KIND) {
            return dispatch(tenant, body, now, |notice| self.handle_notice(notice, now)).await;
        }
        dispatch(tenant, body, now, |taken| self.handle(taken, now)).await
    }

    /// Tells what became of an alert, if people are to be told.
    pub async fn handle(&self, message: Envelope<ActionTaken>, now: Timestamp) -> Disposition {
        if !message.body.decision.tell {
            return Disposition::Done;
        }
        let (body, id) = (&message.body, &message.id);
        let word = page::outcome_word(body);
        let takes = |channel: &Channel| channel.route.takes(body.alert.severity.as_ref(), body.effect, word);
        let page = |shown: Show<'_>| page::page(body, &self.portal, message.occurred_at, id, shown);
        let news = News {
            tenant: &message.tenant,
            id,
            trace: &message.trace,
            occurred_at: message.occurred_at,
            story: story::of_outcome(&message),
            alert: Some(&body.alert.id),
            device: body.device.known().map(|device| &device.id),
            may_go_on: true,
            may_gather: true,
            is_about_a_channel: false,
            page: &page,
        };
        self.tell_all(&news, &self.routed(takes), now).await
    }

    /// Tells what is not the outcome of an alert.
    pub async fn handle_notice(&self, message: Envelope<Notice>, now: Timestamp) -> Disposition {
        let (notice, id) = (&message.body, &message.id);
        if let Topic::Sample { channel } = &notice.topic {
            return self.tell_sample(&message, channel, now).await;
        }
        let page = |shown: Show<'_>| notice::page(notice, &self.portal, message.occurred_at, id, shown);
        let is_of_device = notice.device.is_some();
        let news = News {
            tenant: &message.tenant,
            id,
            trace: &message.trace,
            occurred_at: message.occurred_at,
            story: story::of_notice(&self.state, &message, now).await,
            alert: None,
            device: notice.device.as_ref(),
            may_go_on: is_of_device,
            // What is about Cordon itself is never put off.
            may_gather: is_of_device || matches!(notice.topic, Topic::HuntFound { .. }),
            is_about_a_channel: matches!(notice.topic, Topic::ChannelFailing { .. }),
            page: &page,
        };
        let channels = match &notice.topic {
            Topic::ChannelFailing { channel } => self.all(|other| other.name() != channel),
            _ => {
                let is_urgent = page(Show::default()).gist.urgent;
                self.routed(|channel| channel.route.takes_notice(is_urgent))
            }
        };
        self.tell_all(&news, &channels, now).await
    }

    fn all(&self, wanted: impl Fn(&Channel) -> bool) -> Vec<&Channel> {
        self.channels.iter().filter(|channel| wanted(channel)).collect()
    }

    /// The channels whose route takes it. What none takes goes to every channel: routes choose among channels, never
    /// whether people are told. A folder is nobody, unless there is nothing but folders: it gets what its route takes.
    fn routed(&self, takes: impl Fn(&Channel) -> bool) -> Vec<&Channel> {
        let only_folders = !self.channels.iter().any(Channel::reaches_people);
        let counts = |channel: &Channel| only_folders || channel.reaches_people();
        let chosen = self.all(&takes);
        if chosen.iter().any(|channel| counts(channel)) {
            return chosen;
        }
        self.all(|channel| counts(channel) || takes(channel))
    }
}

fn letter(
    page: page::Page,
    id: &MessageId,
    story: Story,
    occurred_at: Timestamp,
    templates: &Templates,
) -> Letter {
    Letter { mail: templates.mail(&page), page, id: id.clone(), story, is_follow_up: false, occurred_at }
}
