//! Reads a tenant's alerts and devices into the file that keeps them, at half of the quota, page by page.
//!
//! A page that has come is written down before the next one is asked for: whatever ends the process, another one goes on
//! from there.

use super::{
    kept::{Kept, Line, Span},
    pace::Pace,
};
use crate::{clock, show};
use defender::{AlertPage, ApiError, Call, Next, PAGE, Portion, Reader, Window, after};
use jiff::{SignedDuration, Timestamp};
use std::{borrow::Cow, io};

/// How long a call may take.
const BUDGET: SignedDuration = SignedDuration::from_secs(70);

/// The longest window that is asked for at once: what cannot be read takes no more with it.
const WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often a page is asked for that the service cannot give, and for how long the quota is waited for.
const TRIES: u32 = 4;
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// How far the last window reaches past this clock: the service's may be ahead.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Why reading ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error(transparent)]
    Service(#[from] ApiError),
    #[error("what was read cannot be kept: {0}")]
    File(#[from] io::Error),
}

/// Reads what the file does not hold yet. The windows that could not be read, a sentence each; none when all is there.
/// An error where asking on is of no use.
pub(crate) async fn fetch(reader: &Reader, kept: &mut Kept) -> Result<Vec<String>, Stopped> {
    if kept.done.is_some() {
        return Ok(Vec::new());
    }
    let mut fetch = Fetch {
        // It tries again itself, so that every call counts.
        reader: reader.trying_once(),
        kept,
        alerts: Pace::default(),
        devices: Pace::default(),
        portion: Portion::default(),
        missed: Vec::new(),
        count: 0,
    };
    let read = fetch.all().await;
    show::progress("");
    read.map(|()| fetch.missed)
}

struct Fetch<'a> {
    reader: Reader,
    kept: &'a mut Kept,
    alerts: Pace,
    devices: Pace,
    portion: Portion,
    missed: Vec<String>,
    /// How many alerts have come.
    count: usize,
}

impl Fetch<'_> {
    async fn all(&mut self) -> Result<(), Stopped> {
        self.all_devices().await?;
        let unread = self.kept.unread();
        self.windows(unread).await?;
        // What was changed meanwhile has left the window in which it was looked for.
        let end = clock::now().checked_add(SKEW).unwrap_or(Timestamp::MAX);
        self.windows(vec![Window { from: self.kept.order.to, to: on_tick(end) }]).await?;
        if self.missed.is_empty() {
            self.kept.add(&[Line::Done(clock::now())])?;
        }
        Ok(())
    }

    async fn all_devices(&mut self) -> Result<(), Stopped> {
        while let Some(skip) = self.kept.next_devices {
            let mut patience = Patience::default();
            let page = loop {
                rest(&mut self.devices).await;
                show::progress("reading devices …");
                match self.reader.machines(skip, call()).await {
                    Ok(page) => break page,
                    Err(error) => patience.wait(error).await?,
                }
            };
            let devices = page.devices.iter().map(|device| Line::Device(Cow::Borrowed(device)));
            let lines: Vec<Line<'_>> = devices.chain([Line::Devices { next: page.next_skip }]).collect();
            self.kept.add(&lines)?;
        }
        Ok(())
    }

    /// Reads windows, the earliest first. One that cannot be read is left for another time.
    async fn windows(&mut self, windows: Vec<Window>) -> Result<(), Stopped> {
        for piece in windows.into_iter().flat_map(cut) {
            self.portion = Portion::Whole;
            let mut left = vec![piece];
            while let Some(window) = left.pop() {
                match self.window(window).await {
                    Ok(more) => left.extend(more),
                    Err(Stopped::Service(error)) if may_be_too_heavy(&error) => {
                        self.missed.push(format!(
                            "the alerts last updated from {} to {} could not be read: {error}",
                            show::time(window.from),
                            show::time(window.to)
                        ));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Reads a page, or a tick, of a window. What is left of it, the earliest last.
    async fn window(&mut self, window: Window) -> Result<Vec<Window>, Stopped> {
        let page = self.page(window, 0).await?;
        match after(window, &page) {
            Next::Complete => {
                self.keep(&page, window)?;
                Ok(Vec::new())
            }
            Next::From(stamp) => {
                self.keep(&page, Window { to: stamp, ..window })?;
                Ok(vec![Window { from: stamp, ..window }])
            }
            Next::Halves(first, second) => Ok(vec![second, first]),
            Next::WithinTick(tick) => {
                self.rest_of_tick(tick, page.returned).await?;
                self.keep(&page, Window { to: tick.to, ..window })?;
                Ok((tick.to < window.to).then_some(Window { from: tick.to, ..window }).into_iter().collect())
            }
        }
    }

    /// Reads what is left of a tick that filled a page, by skipping.
    async fn rest_of_tick(&mut self, tick: Window, first: usize) -> Result<(), Stopped> {
        let mut skip = first.max(1);
        while skip <= 1_000 * PAGE {
            let page = self.page(tick, skip).await?;
            self.write(&page, None)?;
            if !page.full || page.returned == 0 {
                return Ok(());
            }
            skip += page.returned;
        }
        Err(Stopped::Service(ApiError::Unreadable { why: "the pages of one instant do not end".to_owned() }))
    }

    /// A page, asked for until it comes or that is of no use: after two tries, less of it. That few alerts are asked for
    /// at once is remembered, that they came without evidence is not: the next page may have it again.
    async fn page(&mut self, window: Window, skip: usize) -> Result<AlertPage, Stopped> {
        let mut patience = Patience::default();
        let mut portion = if self.portion == Portion::Bare { Portion::Small } else { self.portion };
        loop {
            rest(&mut self.alerts).await;
            let reached = window.from.to_zoned(jiff::tz::TimeZone::UTC).date();
            show::progress(&format!("reading alerts: {} so far, at {reached} …", self.count));
            match self.reader.alerts(window, skip, portion, call()).await {
                Ok(page) => {
                    self.portion = portion;
                    return Ok(page);
                }
                Err(error) => {
                    let lighter = may_be_too_heavy(&error).then(|| portion.lighter().first()).flatten();
                    patience.wait(error).await?;
                    portion = lighter.copied().filter(|_| patience.failed > 1).unwrap_or(portion);
                }
            }
        }
    }

    fn keep(&mut self, page: &AlertPage, read: Window) -> io::Result<()> {
        self.write(page, Some(read))
    }

    /// Writes a page down, and what has been read with it.
    fn write(&mut self, page: &AlertPage, read: Option<Window>) -> io::Result<()> {
        let bare = if self.portion == Portion::Bare { page.alerts.len() } else { 0 };
        let mark = read.map(|window| {
            let Window { from, to } = window;
            Line::Read(Span { from, to, bare, unreadable: page.unreadable.len() })
        });
        let alerts = page.alerts.iter().map(|alert| Line::Alert(Cow::Borrowed(alert)));
        let lines: Vec<Line<'_>> = alerts.chain(mark).collect();
        self.count += page.alerts.len();
        self.kept.add(&lines)
    }
}

/// Whether the service may have been asked for too much, or is out of order for a while.
fn may_be_too_heavy(error: &ApiError) -> bool {
    matches!(error, ApiError::Unavailable { .. } | ApiError::Unreadable { .. })
}

/// How often something was asked for in vain, and for how long it was waited.
#[derive(Default)]
struct Patience {
    failed: u32,
    waited: SignedDuration,
}

impl Patience {
    /// Waits before the next try; the error where there is none.
    async fn wait(&mut self, error: ApiError) -> Result<(), ApiError> {
        let wait = match &error {
            ApiError::RateLimited { retry_after } => *retry_after,
            error if may_be_too_heavy(error) && self.failed + 1 < TRIES => {
                self.failed += 1;
                SignedDuration::from_secs(1) * (1 << (self.failed - 1).min(TRIES))
            }
            _ => return Err(error),
        };
        self.waited = self.waited.saturating_add(wait);
        if self.waited > PATIENCE {
            return Err(error);
        }
        show::progress(&format!("{error}; waiting {} …", show::span(wait)));
        clock::wait(wait).await;
        Ok(())
    }
}

/// Waits until a route may be asked.
async fn rest(pace: &mut Pace) {
    let wait = pace.wait(clock::now());
    if wait > SignedDuration::ZERO {
        show::progress(&format!("waiting {} for the quota's sake …", show::span(wait)));
        clock::wait(wait).await;
    }
    pace.note(clock::now());
}

fn call() -> Call {
    Call { now: clock::now(), budget: BUDGET }
}

/// A window in pieces that are not longer than [`WINDOW`].
fn cut(window: Window) -> Vec<Window> {
    let mut pieces = Vec::new();
    let mut from = window.from;
    while from < window.to {
        let to = from.checked_add(WINDOW).unwrap_or(window.to).min(window.to);
        pieces.push(Window { from, to });
        from = to;
    }
    pieces
}

/// The time cut to whole seconds, as the service's filter takes it.
fn on_tick(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
