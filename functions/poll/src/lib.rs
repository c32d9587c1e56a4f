//! The step that finds alerts which are new or changed and announces each one.
//!
//! It reads the tenant in windows of `lastUpdateTime`, announces what was not announced before, and moves its
//! cursor only past what the queue has confirmed: a crash anywhere yields duplicates, never gaps. It judges
//! nothing.

mod announce;
mod devices;

use defender::{ApiError, Call, Next, PAGE, Reader, TICK, Window, after};
use jiff::{SignedDuration, Timestamp};
use model::{Mode, TenantId};
use ports::{
    CommitError, Cursor, Expect, Queue, QueueError, State, StateError, Stored, Tally, Trouble, Write,
};

/// How far a poll reaches past its own clock: the service's clock may be ahead. Less than any overlap.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// How long one read of the tenant may take, retries included.
const READ_BUDGET: SignedDuration = SignedDuration::from_secs(90);

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
}

/// What one poll has done and read so far.
#[derive(Debug, Default)]
struct Round {
    polled: Polled,
    fleet: devices::Fleet,
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
        let polled = self.read(now).await;
        if let Err(error) = &polled {
            let why = std::error::Error::source(error)
                .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            let trouble = Trouble { at: now, why: model::one_line(&why, 1_000) };
            let write = Write::put(Trouble::key(&self.tenant, "poll"), &trouble, Expect::Any, None)?;
            if let Err(error) = self.state.commit(&[write], now).await {
                tracing::warn!(%error, "why the poll failed was not written down");
            }
        }
        polled
    }

    async fn read(&self, now: Timestamp) -> Result<Polled, PollError> {
        let key = Cursor::key(&self.tenant);
        let stored: Option<Stored<Cursor>> = self.state.get(&key, now).await?;
        let is_first = stored.is_none();
        let mut progress = self.start(stored, now);
        if is_first {
            // Where the first poll began must outlive its failure: the next one would begin later.
            self.save(&mut progress, now).await?;
        }
        let mut round = Round::default();
        let from = back(progress.cursor.stamp, self.overlap).max(progress.cursor.floor);
        let to = later(on_tick(now).max(progress.cursor.stamp), SKEW);

        // The earliest window last, so that the cursor moves forward as windows are finished.
        let mut windows = vec![Window { from, to }];
        while let Some(window) = windows.pop() {
            let page = self.reader.alerts(window, 0, call(now)).await?;
            let next = after(window, &page);
            let read_until = match next {
                Next::Complete => Some(window.to),
                Next::From(stamp) => Some(stamp),
                Next::Halves(..) => None,
                Next::WithinTick(tick) => {
                    self.read_tick(tick, page.returned, now, &mut round).await?;
                    Some(tick.to)
                }
            };
            let confirmed = self.announce(page, now, &mut round).await?;
            if let Some(until) = read_until {
                progress.advance(confirmed.filter(|stamp| *stamp <= until), now);
                self.save(&mut progress, now).await?;
            }
            match next {
                Next::Complete => {}
                Next::From(from) => windows.push(Window { from, ..window }),
                Next::WithinTick(tick) if tick.to < window.to => {
                    windows.push(Window { from: tick.to, ..window })
                }
                Next::WithinTick(_) => {}
                Next::Halves(first, second) => windows.extend([second, first]),
            }
        }
        progress.cursor.last_success = Some(now);
        self.save(&mut progress, now).await?;
        Ok(round.polled)
    }

    fn start(&self, stored: Option<Stored<Cursor>>, now: Timestamp) -> Progress {
        let expect = Stored::expected(stored.as_ref());
        let begin = on_tick(back(now, self.lookback));
        let mut cursor =
            stored.map_or(Cursor { stamp: begin, floor: begin, last_success: None }, |stored| stored.value);
        let latest = later(now, SKEW);
        if cursor.stamp > latest || cursor.floor > latest {
            tracing::error!(
                stamp = %cursor.stamp, floor = %cursor.floor, %begin,
                "the cursor lies in the future: the clock was wrong, or is; reading begins anew"
            );
            (cursor.stamp, cursor.floor) = (cursor.stamp.min(begin), cursor.floor.min(begin));
        }
        Progress { cursor, expect }
    }

    /// Reads what is left of a tick that filled a page, by skipping: until a short page, or one that brings
    /// nothing more.
    async fn read_tick(
        &self,
        tick: Window,
        first: usize,
        now: Timestamp,
        round: &mut Round,
    ) -> Result<(), PollError> {
        let mut skip = first.max(1);
        loop {
            let page = self.reader.alerts(tick, skip, call(now)).await?;
            let (returned, full) = (page.returned, page.full);
            self.announce(page, now, round).await?;
            if !full || returned == 0 {
                return Ok(());
            }
            skip += returned;
            if skip > 1_000 * PAGE {
                return Err(PollError::Read(ApiError::Unavailable {
                    why: "the pages of one instant do not end".to_owned(),
                    reached: defender::Reached::Yes,
                }));
            }
        }
    }

    async fn save(&self, progress: &mut Progress, now: Timestamp) -> Result<(), PollError> {
        let key = Cursor::key(&self.tenant);
        let write = Write::put(key.clone(), &progress.cursor, progress.expect, None)?;
        self.state.commit(&[write], now).await?;
        let stored: Option<Stored<Cursor>> = self.state.get(&key, now).await?;
        progress.expect = Stored::expected(stored.as_ref());
        Ok(())
    }
}

/// The cursor while it moves, and what its next write must find.
struct Progress {
    cursor: Cursor,
    expect: Expect,
}

impl Progress {
    /// Moves the cursor to the latest stamp that was confirmed; never back, and never past the clock.
    fn advance(&mut self, confirmed: Option<Timestamp>, now: Timestamp) {
        if let Some(stamp) = confirmed {
            self.cursor.stamp = self.cursor.stamp.max(stamp.min(on_tick(now)));
        }
    }
}

fn call(now: Timestamp) -> Call {
    Call { now, budget: READ_BUDGET }
}

fn back(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The time cut to whole ticks.
fn on_tick(at: Timestamp) -> Timestamp {
    let nanos = at.as_nanosecond();
    Timestamp::from_nanosecond(nanos - nanos.rem_euclid(TICK.as_nanos())).unwrap_or(at)
}
