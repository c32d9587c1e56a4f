//! Reads one window whole, page by page, its earliest part first, and keeps what was confirmed after each page.
//!
//! A window that the service cannot answer is asked for in lighter portions. Which windows there are is decided in
//! `lib.rs`, by what rule one is read whole in `defender::after`.

use crate::{Poll, PollError, Polled, Progress, devices, doubts::CLOCK_TOLERANCE, later};
use defender::{AlertPage, ApiError, Call, Next, PAGE, Portion, Reached, Window, after};
use jiff::{SignedDuration, Timestamp};

/// How long one read of the tenant may take, retries included: a minute, for which a quota asks as a rule, and some.
/// With what is asked for in lighter portions after it, less than the two minutes that a function has.
const READ_BUDGET: SignedDuration = SignedDuration::from_secs(70);

/// How long a lighter portion may take, which is asked for once; and the list of devices, without which alerts are announced
/// all the same.
const LIGHTER_BUDGET: SignedDuration = SignedDuration::from_secs(20);

/// After so many pages that have moved it forward a poll ends, and another goes on: 20,000 alerts, in which time a
/// clock has moved on, a deployment may want to stop, and a function comes to its end.
const PAGES: usize = 10;

/// What one poll has done and read so far.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) polled: Polled,
    pub(crate) fleet: devices::Fleet,
    /// Whether what is unannounced now became visible too late.
    pub(crate) is_late: bool,
    /// What the service could answer last. Without evidence, it stays so until the poll ends.
    pub(crate) portion: Portion,
    /// Whether something was read without its evidence.
    pub(crate) lacks_evidence: bool,
    /// The latest stamp that was read on the way ahead.
    pub(crate) newest: Option<Timestamp>,
    /// By how much the service's clock was ahead when it gave the first page.
    pub(crate) service_ahead: Option<SignedDuration>,
    pages: usize,
}

impl Round {
    /// The service's time, where it is far ahead of the clock here.
    pub(crate) fn service_time(&self, now: Timestamp) -> Option<Timestamp> {
        self.service_ahead.filter(|ahead| *ahead > CLOCK_TOLERANCE).map(|ahead| later(now, ahead))
    }
}

/// Where a window lies, and with it what moves when it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// At the cursor, which moves.
    Ahead,
    /// Behind the overlap: only what is left of the look back moves.
    Back,
}

impl Poll {
    /// Reads and announces a window; false where it stopped before the window's end, with its progress kept.
    pub(crate) async fn read(
        &self,
        window: Window,
        way: Way,
        progress: &mut Progress,
        round: &mut Round,
        now: Timestamp,
    ) -> Result<bool, PollError> {
        // The earliest window last, so that the cursor moves forward as windows are finished.
        let mut windows = vec![window];
        while let Some(window) = windows.pop() {
            let page = self.page(window, 0, round, now).await?;
            let next = after(window, &page);
            let read_until = match next {
                Next::Complete => Some(window.to),
                Next::From(stamp) => Some(stamp),
                Next::Parts(..) => None,
                Next::WithinTick(tick) => {
                    self.read_tick(tick, page.returned, now, round).await?;
                    Some(tick.to)
                }
            };
            let confirmed = self.announce(page, now, round).await?;
            if let Some(until) = read_until {
                progress.moved(way, until, confirmed, now);
                self.save(progress, now).await?;
            }
            match next {
                Next::Complete => {}
                Next::From(from) => windows.push(Window { from, ..window }),
                Next::WithinTick(tick) if tick.to < window.to => {
                    windows.push(Window { from: tick.to, ..window })
                }
                Next::WithinTick(_) => {}
                Next::Parts(first, second) => windows.extend([second, first]),
            }
            // Only what moves forward counts: the next poll begins with the overlap once more, and whatever that
            // holds, it must come further than this one.
            let has_moved = way == Way::Back || progress.cursor.stamp > progress.reached;
            round.pages += usize::from(read_until.is_some() && has_moved);
            if round.pages >= PAGES && !windows.is_empty() {
                tracing::info!(stamp = %progress.cursor.stamp, "more is left to read: another poll goes on");
                return Ok(false);
            }
        }
        Ok(true)
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
            let page = self.page(tick, skip, round, now).await?;
            let (returned, full) = (page.returned, page.full);
            self.announce(page, now, round).await?;
            if !full || returned == 0 {
                return Ok(());
            }
            skip += returned;
            if skip > 1_000 * PAGE {
                return Err(PollError::Read(ApiError::Unavailable {
                    why: "the pages of one instant do not end".to_owned(),
                    reached: Reached::Yes,
                }));
            }
        }
    }

    /// A page, in the largest portion that the service can answer. Where it answers none of them, as in an outage,
    /// the lighter ones have cost two calls.
    async fn page(
        &self,
        window: Window,
        skip: usize,
        round: &mut Round,
        now: Timestamp,
    ) -> Result<AlertPage, ApiError> {
        let whole = self.reader.alerts(window, skip, round.portion, call(now)).await;
        if round.service_ahead.is_none() {
            round.service_ahead = self.reader.service_ahead();
        }
        let error = match whole {
            Err(error) if may_be_too_heavy(&error) => error,
            answer => return note_newest(answer, round),
        };
        for portion in round.portion.lighter() {
            let once = lighter(now);
            if let Ok(page) = self.reader.trying_once().alerts(window, skip, *portion, once).await {
                tracing::warn!(?portion, %error, "alerts are read in lighter portions for the rest of this poll");
                round.portion = *portion;
                return note_newest(Ok(page), round);
            }
        }
        Err(error)
    }
}

/// Remembers the latest stamp of what is read on the way ahead, and whether it came without evidence.
fn note_newest(answer: Result<AlertPage, ApiError>, round: &mut Round) -> Result<AlertPage, ApiError> {
    if let Ok(page) = &answer {
        round.lacks_evidence |= !page.has_evidence;
        if !round.is_late {
            round.newest = page.alerts.iter().filter_map(|alert| alert.updated).chain(round.newest).max();
        }
    }
    answer
}

impl Progress {
    /// Everything in a window has been confirmed up to `until`.
    fn moved(&mut self, way: Way, until: Timestamp, confirmed: Option<Timestamp>, now: Timestamp) {
        match way {
            Way::Ahead => self.advance(confirmed.filter(|stamp| *stamp <= until), now),
            Way::Back => {
                if let Some(look) = &mut self.cursor.look_back {
                    look.from = look.from.max(until);
                }
            }
        }
    }
}

/// Whether the service may have been asked for too much: it was reached, and gave no usable answer. Not where it
/// refuses: asking otherwise would not help.
fn may_be_too_heavy(error: &ApiError) -> bool {
    match error {
        ApiError::Unavailable { reached, .. } => *reached != Reached::No,
        ApiError::Unreadable { .. } => true,
        ApiError::RateLimited { .. }
        | ApiError::Unauthorized { .. }
        | ApiError::Forbidden(_)
        | ApiError::NotFound(_)
        | ApiError::BadRequest(_) => false,
    }
}

/// A call for which nothing waits for long.
pub(crate) fn lighter(now: Timestamp) -> Call {
    Call { now, budget: LIGHTER_BUDGET }
}

pub(crate) fn call(now: Timestamp) -> Call {
    Call { now, budget: READ_BUDGET }
}
