//! Walks through the alerts and devices of a tenant at half of its quota, page by page, for the commands that read more
//! than a poll does.
//!
//! What becomes of a page is the command's business. `poll` has a way of its own: it announces, moves a cursor, may use
//! the whole quota, and comes to its end within a function's time. By what rule a window is read whole is told once, in
//! `defender::after`.

mod pace;

use crate::{clock, show};
use defender::{AlertPage, ApiError, Call, MachinePage, Next, PAGE, Portion, Reader, Window, after};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use pace::Pace;
use std::io;

/// How long a call may take.
const BUDGET: SignedDuration = SignedDuration::from_secs(70);

/// The longest window that is asked for at once: what cannot be read takes no more with it.
const WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often a page is asked for that the service cannot give, and for how long the quota is waited for.
const TRIES: u32 = 4;
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// After so many records of one instant nobody believes any more that they end.
const MOST_OF_A_TICK: usize = 1_000 * PAGE;

/// Why reading ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error(transparent)]
    Service(#[from] ApiError),
    #[error("what was read cannot be kept: {0}")]
    File(#[from] io::Error),
}

/// What of a window is not whole.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lack {
    /// How many alerts came without their evidence.
    pub(crate) bare: usize,
    /// How many records could not be read.
    pub(crate) unreadable: usize,
}

/// Who takes what comes.
pub(crate) trait Collect {
    /// A page has come.
    fn take(&mut self, page: AlertPage) -> io::Result<()>;
    /// Everything in the window has been taken, but for what it lacks.
    fn has_read(&mut self, window: Window, lack: Lack) -> io::Result<()>;
}

/// A way through a tenant.
#[derive(Debug)]
pub(crate) struct Walk {
    reader: Reader,
    alerts: Pace,
    devices: Pace,
    /// The most that is asked for at once, and what the next page is asked for in.
    most: Portion,
    portion: Portion,
    /// The windows that could not be read, a sentence each.
    pub(crate) missed: Vec<String>,
    /// How many alerts have come.
    count: usize,
}

impl Walk {
    /// `most`: how much to ask for as long as the service can give it.
    pub(crate) fn new(reader: &Reader, most: Portion) -> Walk {
        Walk {
            // It tries again itself, so that every call counts.
            reader: reader.trying_once(),
            alerts: Pace::default(),
            devices: Pace::default(),
            most,
            portion: most,
            missed: Vec::new(),
            count: 0,
        }
    }

    /// A page of the devices, past the first `skip`.
    pub(crate) async fn devices(&mut self, skip: usize) -> Result<MachinePage, ApiError> {
        let mut patience = Patience::default();
        loop {
            rest(&mut self.devices).await;
            show::progress("reading devices …");
            match self.reader.machines(skip, call()).await {
                Ok(page) => return Ok(page),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    /// Reads windows, the earliest first. What of them cannot be read is left for another time; an error where asking on
    /// is of no use.
    pub(crate) async fn alerts(
        &mut self,
        windows: Vec<Window>,
        to: &mut impl Collect,
    ) -> Result<(), Stopped> {
        for piece in windows.into_iter().flat_map(cut) {
            self.portion = self.most;
            let mut left = vec![piece];
            while let Some(window) = left.pop() {
                match self.window(window, to).await {
                    Ok(more) => left.extend(more),
                    Err(Stopped::Service(error)) if may_be_too_heavy(&error) => self.miss(window, &error),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn miss(&mut self, window: Window, error: &ApiError) {
        let (from, to) = (show::time(window.from), show::time(window.to));
        self.missed.push(format!("the alerts last updated from {from} to {to} could not be read: {error}"));
    }

    /// Reads a page, or a tick, of a window. What is left of it, the earliest last.
    async fn window(&mut self, window: Window, to: &mut impl Collect) -> Result<Vec<Window>, Stopped> {
        let page = self.page(window, 0).await?;
        let (next, returned) = (after(window, &page), page.returned);
        let read = match next {
            Next::Parts(first, second) => return Ok(vec![second, first]),
            Next::Complete => window,
            Next::From(stamp) => Window { to: stamp, ..window },
            Next::WithinTick(tick) => Window { to: tick.to, ..window },
        };
        let mut lack = Lack::of(&page, read);
        to.take(page)?;
        if let Next::WithinTick(tick) = next {
            lack = lack.and(self.rest_of_tick(tick, returned, to).await?);
        }
        to.has_read(read, lack)?;
        Ok((read.to < window.to).then_some(Window { from: read.to, ..window }).into_iter().collect())
    }

    /// Reads what is left of a tick that filled a page, by skipping; what it lacks.
    async fn rest_of_tick(
        &mut self,
        tick: Window,
        first: usize,
        to: &mut impl Collect,
    ) -> Result<Lack, Stopped> {
        let (mut skip, mut lack) = (first.max(1), Lack::default());
        while skip <= MOST_OF_A_TICK {
            let page = self.page(tick, skip).await?;
            let (returned, is_full) = (page.returned, page.full);
            lack = lack.and(Lack::of(&page, tick));
            to.take(page)?;
            if !is_full || returned == 0 {
                return Ok(lack);
            }
            skip += returned;
        }
        Err(Stopped::Service(ApiError::Unreadable { why: "the pages of one instant do not end".to_owned() }))
    }

    /// A page, asked for until it comes or that is of no use: after two tries, less of it.
    async fn page(&mut self, window: Window, skip: usize) -> Result<AlertPage, Stopped> {
        let mut patience = Patience::default();
        let mut portion = self.portion;
        loop {
            rest(&mut self.alerts).await;
            let reached = window.from.to_zoned(TimeZone::UTC).date();
            show::progress(&format!("reading alerts: {} so far, at {reached} …", self.count));
            match self.reader.alerts(window, skip, portion, call()).await {
                Ok(page) => {
                    self.note(&page, portion);
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

    /// That few alerts are asked for at once is remembered; that they came without evidence, where evidence is wanted, is
    /// not: the next page may have it again.
    fn note(&mut self, page: &AlertPage, portion: Portion) {
        self.count += page.alerts.len();
        let wants_evidence = self.most != Portion::Bare;
        self.portion = if portion == Portion::Bare && wants_evidence { Portion::Small } else { portion };
    }
}

impl Lack {
    /// What a page lacks of the window that has been read with it. What lies behind the window comes once more.
    fn of(page: &AlertPage, read: Window) -> Lack {
        let is_in = |updated: Option<Timestamp>| updated.is_none_or(|updated| updated < read.to);
        let inside = page.alerts.iter().filter(|alert| is_in(alert.updated)).count();
        let bare = if page.has_evidence { 0 } else { inside };
        Lack { bare, unreadable: page.unreadable.len() }
    }

    fn and(self, other: Lack) -> Lack {
        Lack { bare: self.bare + other.bare, unreadable: self.unreadable + other.unreadable }
    }
}

/// A call that waits for no longer than it may.
pub(crate) fn call() -> Call {
    Call { now: clock::now(), budget: BUDGET }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::reader_of;
    use credentials::{Connection, Problems, Vars};
    use serde_json::json;
    use simulator::{Alert, Fault, FaultKind, Simulator, World};

    /// What was collected.
    #[derive(Default)]
    struct Collected {
        alerts: usize,
        read: Vec<(Window, Lack)>,
    }

    impl Collect for Collected {
        fn take(&mut self, page: AlertPage) -> io::Result<()> {
            self.alerts += page.alerts.len();
            Ok(())
        }

        fn has_read(&mut self, window: Window, lack: Lack) -> io::Result<()> {
            self.read.push((window, lack));
            Ok(())
        }
    }

    fn at(hours: i64) -> Timestamp {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(hours)
    }

    /// So many alerts, all of them last updated at the same instant, and behind them one that nobody can read.
    fn one_instant(count: usize) -> World {
        let world = (0..count).fold(World::new(at(24)).without_quotas(), |world, number| {
            world.alert(Alert::new(format!("da{number:018}_1"), "", at(1)))
        });
        world.raw_alert(json!({"id": 5, "lastUpdateTime": at(1).to_string()}))
    }

    fn reader(simulator: &Simulator) -> Reader {
        let vars = Vars::from_iter(simulator.settings().map(|(name, value)| (name.to_owned(), value)));
        let connection = Connection::from_vars(&vars, None, &mut Problems::default()).unwrap();
        reader_of(&connection).unwrap_or_else(|ending| panic!("{ending:?}"))
    }

    #[tokio::test]
    async fn what_an_instant_lacks_is_counted_page_by_page_as_each_has_come() {
        let simulator = Simulator::start(one_instant(150)).await.unwrap();
        // The second page comes only where its evidence is not asked for.
        let fault = Fault::once("GET alerts", FaultKind::ServerError(503)).after(1).times(2);
        simulator.with(|world| world.faults.push(fault));
        let mut walk = Walk::new(&reader(&simulator), Portion::Small);
        let mut collected = Collected::default();
        let tick = Window { from: at(1), to: at(1) + defender::TICK };
        walk.alerts(vec![tick], &mut collected).await.unwrap();
        assert_eq!((collected.alerts, walk.missed.len()), (150, 0));
        assert_eq!(collected.read, [(tick, Lack { bare: 50, unreadable: 1 })]);
        assert_eq!(walk.portion, Portion::Small, "the next page may have its evidence again");
    }

    #[tokio::test]
    async fn an_instant_that_fills_a_page_is_read_to_its_end_and_then_what_follows_it() {
        let mut world = one_instant(PAGE + 1);
        world.raw_alerts.clear();
        let simulator = Simulator::start(world.alert(Alert::new("da9_9", "", at(2)))).await.unwrap();
        let mut walk = Walk::new(&reader(&simulator), Portion::Bare);
        let mut collected = Collected::default();
        let window = Window { from: at(1), to: at(3) };
        walk.alerts(vec![window], &mut collected).await.unwrap();
        let tick = Window { to: at(1) + defender::TICK, ..window };
        let lacks = |bare| Lack { bare, unreadable: 0 };
        let rest = Window { from: tick.to, ..window };
        assert_eq!(collected.read, [(tick, lacks(PAGE + 1)), (rest, lacks(1))]);
        assert_eq!(simulator.count("GET alerts"), 3);
    }

    #[tokio::test]
    async fn every_call_waits_for_its_turn() {
        const SECOND: SignedDuration = SignedDuration::from_secs(1);
        let simulator = Simulator::start(World::new(at(24))).await.unwrap();
        let mut walk = Walk::new(&reader(&simulator), Portion::Bare);
        (walk.alerts, walk.devices) = (Pace::of(&[(SECOND, 2)]), Pace::of(&[(SECOND, 2)]));
        let took = |start: Timestamp| clock::now().duration_since(start);
        let start = clock::now();
        let weeks = Window { from: at(0), to: at(3 * 7 * 24) };
        walk.alerts(vec![weeks], &mut Collected::default()).await.unwrap();
        assert_eq!(simulator.count("GET alerts"), 3);
        assert!(took(start) >= SECOND, "{:?}", took(start));
        let start = clock::now();
        for _ in 0..3 {
            walk.devices(0).await.unwrap();
        }
        assert!(took(start) >= SECOND, "{:?}", took(start));
    }
}
