//! The step that finds alerts which are new or changed and announces each one.
//!
//! It reads the tenant in windows of `lastUpdateTime`, announces what was not announced before, and moves its
//! cursor only past what the queue has confirmed: a crash anywhere yields duplicates, never gaps. It judges
//! nothing.

mod announce;
mod devices;
mod doubts;
mod read;

use defender::{ApiError, Reader, Window, on_tick};
use jiff::{SignedDuration, Timestamp};
use model::{Mode, TenantId};
use ports::{
    CommitError, Cursor, Expect, LookBack, Queue, QueueError, State, StateError, Stored, Tally, Trouble,
    Write,
};
use read::{Round, Way};

/// How far a poll reaches past its own clock: the service's clock may be ahead. Less than any overlap.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// The step with all that it needs.
#[derive(Debug, Clone)]
pub struct Poll {
    pub tenant: TenantId,
    pub reader: Reader,
    pub queue: Queue,
    pub state: State,
    pub tally: Tally,
    /// How far each window reaches back before the cursor, for alerts that become visible late.
    pub overlap: SignedDuration,
    /// How far back the very first poll reaches.
    pub lookback: SignedDuration,
    /// The mode that holds now: what is first seen while observing is never acted upon.
    pub mode: Mode,
}

/// What a poll did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Polled {
    /// Alerts that were announced.
    pub announced: usize,
    /// Records that were set aside because they have no usable id.
    pub set_aside: usize,
    /// How many of the announced had become visible too late for the overlap.
    pub late: usize,
    /// Whether it stopped before everything was read, so as not to go on for too long: another goes on there.
    pub more: bool,
}

/// Why a poll stopped before its end. The next one goes on where this one was confirmed.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    #[error("the alerts could not be read")]
    Read(#[from] ApiError),
    #[error("the state could not be read")]
    State(#[from] StateError),
    #[error("the state could not be written")]
    Commit(#[from] CommitError),
    #[error("{failed} of {all} announcements were not confirmed")]
    Send {
        failed: usize,
        all: usize,
        #[source]
        first: QueueError,
    },
}

impl Poll {
    /// One poll, up to `now`. Why one failed is remembered for `cordon status`.
    pub async fn run(&self, now: Timestamp) -> Result<Polled, PollError> {
        let polled = self.poll(now).await;
        if let Err(error) = &polled {
            let why = std::error::Error::source(error)
                .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            if let Err(error) = self.note("poll", &why, now).await {
                tracing::warn!(%error, "why the poll failed was not written down");
            }
        }
        polled
    }

    async fn poll(&self, now: Timestamp) -> Result<Polled, PollError> {
        let stored: Option<Stored<Cursor>> = self.state.get(&Cursor::key(&self.tenant), now).await?;
        let is_first = stored.is_none();
        let mut progress = self.start(stored, now);
        if is_first {
            // Where the first poll began must outlive its failure: the next one would begin later.
            self.save(&mut progress, now).await?;
        }
        let mut round = Round::default();
        let from = back(progress.cursor.stamp, self.overlap).max(progress.cursor.floor);
        progress.plan_to_look_back(from, now);
        let mut is_read = self.read_ahead(from, &mut progress, &mut round, now).await?;
        progress.cursor.last_success = Some(now);
        self.save(&mut progress, now).await?;
        // What is new comes first: a look back that fails must not hold it up.
        self.tell_doubts(&round, &progress, now).await?;
        if is_read && let Some(window) = progress.left_of_look_back() {
            round.is_late = true;
            is_read = self.read(window, Way::Back, &mut progress, &mut round, now).await?;
        }
        round.polled.more = !is_read;
        Ok(round.polled)
    }

    /// Reads what is new, up to the later of both clocks; false where it stopped before that.
    async fn read_ahead(
        &self,
        from: Timestamp,
        progress: &mut Progress,
        round: &mut Round,
        now: Timestamp,
    ) -> Result<bool, PollError> {
        let to = later(on_tick(now).max(progress.cursor.stamp), SKEW);
        let is_read = self.read(Window { from, to }, Way::Ahead, progress, round, now).await?;
        match round.service_time(now).map(|time| later(time, SKEW)) {
            // What is new there lies in the future here, and would wait for this clock.
            Some(end) if is_read && end > to => {
                // The cursor stays behind the clock, so that every poll reads this again: that more is left of it than
                // one poll reads is no reason to go on at once.
                self.read(Window { from: to, to: end }, Way::Ahead, progress, round, now).await?;
                Ok(true)
            }
            _ => Ok(is_read),
        }
    }

    fn start(&self, stored: Option<Stored<Cursor>>, now: Timestamp) -> Progress {
        let expect = Stored::expected(stored.as_ref());
        let begin = on_tick(back(now, self.lookback));
        let first = Cursor {
            stamp: begin,
            floor: begin,
            last_success: None,
            look_back: Some(LookBack { began: now, from: begin, to: begin }),
        };
        let mut cursor = stored.map_or(first, |stored| stored.value);
        let latest = later(now, SKEW);
        if cursor.stamp > latest || cursor.floor > latest {
            tracing::error!(
                stamp = %cursor.stamp, floor = %cursor.floor, %begin,
                "the cursor lies in the future: the clock was wrong, or is; reading begins anew"
            );
            // A floor that lies in the past holds: what came before it was never to be read.
            if cursor.floor > latest {
                cursor.floor = begin;
            }
            cursor.stamp = cursor.stamp.min(begin).max(cursor.floor);
        }
        Progress { reached: cursor.stamp, written: cursor.stamp, cursor, expect }
    }

    async fn save(&self, progress: &mut Progress, now: Timestamp) -> Result<(), PollError> {
        let key = Cursor::key(&self.tenant);
        let write = Write::put(key.clone(), &progress.cursor, progress.expect, None)?;
        self.state.commit(&[write], now).await?;
        let stored: Option<Stored<Cursor>> = self.state.get(&key, now).await?;
        progress.expect = Stored::expected(stored.as_ref());
        progress.written = stored.map_or(Timestamp::MIN, |stored| stored.value.stamp);
        Ok(())
    }

    /// Writes down what is wrong, for `cordon status`.
    async fn note(&self, step: &str, why: &str, now: Timestamp) -> Result<(), PollError> {
        let trouble = Trouble { at: now, why: model::one_line(why, 1_000) };
        let write = Write::put(Trouble::key(&self.tenant, step), &trouble, Expect::Any, None)?;
        Ok(self.state.commit(&[write], now).await?)
    }
}

/// The cursor while it moves, and what its next write must find.
struct Progress {
    cursor: Cursor,
    expect: Expect,
    /// Where the cursor stood when the poll began.
    reached: Timestamp,
    /// Where it stands in the state.
    written: Timestamp,
}

impl Progress {
    /// Moves the cursor to the latest stamp that was confirmed; never back, and never past the clock.
    fn advance(&mut self, confirmed: Option<Timestamp>, now: Timestamp) {
        if let Some(stamp) = confirmed {
            self.cursor.stamp = self.cursor.stamp.max(stamp.min(on_tick(now)));
        }
    }

    /// Every hour there is a look further back than the overlap, up to where this poll begins: what is found there
    /// unannounced became visible too late. After an outage the poll itself reaches as far, and nothing is left to
    /// look at.
    fn plan_to_look_back(&mut self, from: Timestamp, now: Timestamp) {
        if self.cursor.look_back.is_none_or(|last| last.is_over(now)) {
            let begin = on_tick(back(now, LookBack::REACH)).max(self.cursor.floor);
            self.cursor.look_back = Some(LookBack { began: now, from: begin, to: from });
        }
    }

    fn left_of_look_back(&self) -> Option<Window> {
        let left = self.cursor.look_back.filter(|look| !look.is_read())?;
        Some(Window { from: left.from, to: left.to })
    }
}

fn back(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
