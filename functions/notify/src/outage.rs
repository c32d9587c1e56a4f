//! What people are told of a channel that takes nothing: on the other channels, once per outage, through the queue like
//! everything else. That a channel fails is known elsewhere.

use crate::{Notify, deliver::News, evidence::time};
use jiff::Timestamp;
use model::{Envelope, MessageId, Notice, TenantId, Topic};
use ports::{Expect, Failing, Once, QueueError, QueueName, Write};

impl Notify {
    /// That a channel fails for long by now. The same outage is the same message, however often it is sent.
    pub(crate) async fn say_failing(
        &self,
        tenant: &TenantId,
        channel: &str,
        failing: &Failing,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let since = time(failing.since);
        let facts = vec![
            format!("It takes nothing since {since}. Tries that have failed: {}.", failing.tries),
            format!("The last time: {}", failing.why),
        ];
        let identity = ["channel-failing", channel, &failing.since.to_string()];
        self.say_of(tenant, channel, &identity, facts, now).await
    }

    /// That a channel was not told a message and will not be. Once per hour for each channel: what was set aside is listed
    /// with the dead letters. A message that is about a channel itself makes no other, so that two channels that both fail
    /// do not go on telling of each other.
    pub(crate) async fn say_given_up(
        &self,
        news: &News<'_>,
        channel: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        if news.is_about_a_channel {
            return Ok(());
        }
        let facts = vec![
            format!("It was not told of {} ({}), and will not be: {why}", news.story.name, news.id),
            "There may be more such messages: this is said once an hour.".to_owned(),
        ];
        let hour = now.as_second().div_euclid(3_600).to_string();
        let once = Once::key(news.tenant, &format!("channel-gave-up#{channel}#{hour}"));
        // Only spares the queue some hundred copies: where this row cannot be read or written, it is sent again.
        if matches!(self.state.get_readable::<Once>(&once, now).await, Ok(Some(_))) {
            return Ok(());
        }
        self.say_of(news.tenant, channel, &["channel-gave-up", channel, &hour], facts, now).await?;
        if let Ok(write) = Write::put(once, &Once { at: now }, Expect::Any, Once::expires(now)) {
            self.state.commit(&[write], now).await.ok();
        }
        Ok(())
    }

    async fn say_of(
        &self,
        tenant: &TenantId,
        channel: &str,
        identity: &[&str],
        facts: Vec<String>,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let facts: Vec<String> = facts.iter().map(|fact| model::one_line(fact, 400)).collect();
        tracing::error!(
            channel,
            facts = facts.join(" "),
            "a channel does not take what people are to be told"
        );
        if self.channels.iter().all(|other| other.name() == channel) {
            tracing::error!(channel, "there is no other channel to say so");
            return Ok(());
        }
        let topic = Topic::ChannelFailing { channel: channel.to_owned() };
        let notice = Notice { topic, device: None, device_name: None, facts, table: None };
        let trace = MessageId::of("channel", &[tenant.as_str(), channel]);
        let message = Envelope::new(tenant, identity, trace.as_str(), now, notice);
        self.queue.send_one(QueueName::ActionsTaken, &message, now).await
    }
}
