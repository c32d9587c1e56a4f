//! What may be wrong although polls succeed, and that people hear of it: alerts that came too late, a clock that is
//! wrong, a cursor that stands still, evidence that cannot be listed.
//!
//! Nothing here changes what is read.

use crate::{Poll, PollError, Progress, announce::News, on_tick, read::Round};
use jiff::{SignedDuration, Timestamp};
use model::{Envelope, Notice, Topic};
use ports::{Expect, Once, QueueName, Stored, Write};

/// How far the two clocks may be apart. A poll takes a while, and so does the service; far less than this.
pub(crate) const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// How long people are not told the same again.
const SILENCE: SignedDuration = SignedDuration::from_hours(24);

/// How many late alerts a notice names.
const NAMED: usize = 5;

impl Poll {
    /// Tells people of alerts that the overlap has missed. Before they are announced and remembered: after a crash in
    /// between they are found once more, and the same notice has the same id.
    pub(crate) async fn tell_late(&self, late: &[&News], now: Timestamp) -> Result<(), PollError> {
        if late.is_empty() {
            return Ok(());
        }
        let mut ids: Vec<&str> = late.iter().map(|news| news.message.id.as_str()).collect();
        ids.sort_unstable();
        let mut facts = vec![format!(
            "{} alert(s) became visible too late for poll.overlap, which is {} minutes",
            late.len(),
            self.overlap.as_mins()
        )];
        facts.extend(late.iter().take(NAMED).map(|news| {
            let alert = &news.message.body.alert;
            let updated = alert.updated.map_or("at no known time".to_owned(), |at| at.to_string());
            format!("alert {}, last updated {updated}, was found {now}", alert.id)
        }));
        tracing::error!(late = late.len(), "alerts became visible later than poll.overlap");
        self.tell(&[&["late"], ids.as_slice()].concat(), Topic::LateAlerts, facts, now).await
    }

    /// What this poll has found wrong with polling itself.
    pub(crate) async fn tell_doubts(
        &self,
        round: &Round,
        progress: &Progress,
        now: Timestamp,
    ) -> Result<(), PollError> {
        if let Some(why) = clock(round, now) {
            self.doubt("clock", Some(Topic::ClockWrong), why, now).await?;
        }
        if let Some(why) = cursor(round, progress, now) {
            self.doubt("cursor", Some(Topic::Stuck), why, now).await?;
        }
        if round.lacks_evidence {
            let why = "alerts could only be read without their evidence: the service gives no answer with it";
            self.doubt("evidence", None, why.to_owned(), now).await?;
        }
        Ok(())
    }

    /// Says what is wrong: in the log and for `cordon status` each time, to people once a day.
    async fn doubt(
        &self,
        name: &str,
        topic: Option<Topic>,
        why: String,
        now: Timestamp,
    ) -> Result<(), PollError> {
        tracing::error!(name, why, "something is wrong with polling");
        self.note(name, &why, now).await?;
        let Some(topic) = topic else { return Ok(()) };
        let key = Once::key(&self.tenant, &format!("poll#{name}"));
        let told: Option<Stored<Once>> = self.state.get(&key, now).await?;
        // A time in the future was written by a clock that was wrong.
        if told.is_some_and(|told| told.value.at <= now && now.duration_since(told.value.at) < SILENCE) {
            return Ok(());
        }
        let day = now.strftime("%Y-%m-%d").to_string();
        self.tell(&["poll", name, &day], topic, vec![why], now).await?;
        let write = Write::put(key, &Once { at: now }, Expect::Any, Once::expires(now))?;
        Ok(self.state.commit(&[write], now).await?)
    }

    /// `identity`: the same again is the same notice.
    async fn tell(
        &self,
        identity: &[&str],
        topic: Topic,
        facts: Vec<String>,
        now: Timestamp,
    ) -> Result<(), PollError> {
        let trace = model::one_line(&format!("poll {}", identity.join(" ")), 100);
        let notice = Notice { topic, device: None, device_name: None, facts, table: None };
        let message = Envelope::new(&self.tenant, identity, &trace, now, notice);
        let sent = self.queue.send_one(QueueName::ActionsTaken, &message, now).await;
        sent.map_err(|first| PollError::Send { failed: 1, all: 1, first })
    }
}

fn clock(round: &Round, now: Timestamp) -> Option<String> {
    let ahead = round.service_ahead.filter(|ahead| ahead.abs() > CLOCK_TOLERANCE)?;
    let word = if ahead.is_positive() { "behind" } else { "ahead of" };
    let minutes = ahead.abs().as_mins();
    Some(format!("the clock here says {now}, which is {minutes} minutes {word} Defender's"))
}

/// Whether alerts were read whose stamps lie beyond the cursor as it stands in the state: it should have moved there.
/// What lies in the future by the clock here is left out, because the cursor does not go there, and so is a round that
/// has not read everything.
fn cursor(round: &Round, progress: &Progress, now: Timestamp) -> Option<String> {
    let newest = round.newest.filter(|_| !round.polled.more)?.min(on_tick(now));
    (newest > progress.written).then(|| {
        format!(
            "alerts up to {newest} were read, and yet the cursor stands at {}: the same alerts will be read again \
             and again",
            progress.written
        )
    })
}
