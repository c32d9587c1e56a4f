//! How each hunt stands, when it is due, and which window it is to read: its row of the state, read and written.
//!
//! A row is written on condition that nobody else has written it: of two runs at once, one loses and stops.

use crate::{Hunting, HuntingError, back, later, on_tick};
use jiff::{SignedDuration, Timestamp};
use policy::{Hunt, Schedule, Span};
use ports::{CommitError, Expect, HuntLeft, HuntRow, Key, StateError, Stored, Write};

/// For how long the service keeps events. Source: Microsoft's page "Advanced hunting API".
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How soon a hunt is tried again that could not be answered, or that has more to make known.
const SOON: SignedDuration = SignedDuration::from_mins(5);

/// How soon a hunt is tried again whose query the service refuses.
pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// For how long a run has a hunt to itself: as long as a function may run. One that was killed is taken over then.
const OWNED: SignedDuration = SignedDuration::from_mins(5);

/// By how much the time at which a hunt is due may lie beyond what its schedule says.
const TOO_FAR: SignedDuration = SignedDuration::from_mins(10);

/// A hunt with its row, and what the row's next write must find.
pub(crate) struct Standing<'a> {
    pub(crate) hunt: &'a Hunt,
    pub(crate) row: HuntRow,
    expect: Expect,
}

/// What a run is to read.
pub(crate) struct Plan {
    pub(crate) window: Span,
    /// What is to be asked for, the earliest part last.
    pub(crate) parts: Vec<Span>,
    /// What nobody can or will read any more.
    pub(crate) lost: Option<Span>,
    /// Whether it is the rest of a window that was begun before.
    pub(crate) is_rest: bool,
}

impl Hunting {
    /// Every enabled hunt.
    pub(crate) async fn standing(&self, now: Timestamp) -> Result<Vec<Standing<'_>>, StateError> {
        let hunts: Vec<&Hunt> = self.hunts.iter().filter(|hunt| hunt.enabled).collect();
        let keys: Vec<Key> = hunts.iter().map(|hunt| HuntRow::key(&self.tenant, &hunt.name)).collect();
        let rows: Vec<(Option<Stored<HuntRow>>, Expect)> = self.state.batch_get_readable(&keys, now).await?;
        let standing = |(hunt, (row, expect)): (_, (Option<Stored<HuntRow>>, Expect))| {
            let row = row.map_or_else(
                || new(hunt, self.first(hunt, now), now),
                |row| self.put_right(row.value, hunt, now),
            );
            Standing { hunt, row, expect }
        };
        Ok(hunts.into_iter().zip(rows).map(standing).collect())
    }

    /// The row without what a clock that was wrong, or another version of the file, has left in it.
    fn put_right(&self, mut row: HuntRow, hunt: &Hunt, now: Timestamp) -> HuntRow {
        if row.identity != hunt.identity {
            // Under its new identity nothing that was found before is known again.
            let asked = row.last.iter().map(|last| last.to).chain(row.cursor).max();
            row.observed_until = row.observed_until.max(asked);
            row.identity.clone_from(&hunt.identity);
        }
        row.observed_until = row.observed_until.map(|at| at.min(now));
        if row.cursor.into_iter().chain(row.floor).chain(row.left.map(|left| left.to)).any(|at| at > now) {
            tracing::error!(hunt = hunt.name, "the cursor lies in the future: the clock was wrong, or is");
            row.floor = Some(back(now, hunt.look_back.max(hunt.overlap)));
            (row.cursor, row.left) = (None, None);
        }
        row.since = row.since.min(now);
        row.last_success = row.last_success.map(|at| at.min(now));
        let latest = if row.is_broken() { later(now, DAY) } else { self.after(hunt, now) };
        if row.digest != hunt.digest {
            let last = row.last.as_ref().map_or(row.since, |last| last.at).min(now);
            row.next = if row.is_broken() { now } else { self.after(hunt, last) };
            row.since = now;
            row.digest.clone_from(&hunt.digest);
            row.overdue_told = false;
            // What was begun in parts, and must not be any more, is read anew as a whole.
            if !hunt.divisible
                && let Some(left) = row.left.take()
            {
                row.cursor = row.cursor.map(|cursor| cursor.min(left.from));
            }
        } else if row.next > later(latest, TOO_FAR) {
            row.next = now;
        }
        row
    }

    /// The first time after this at which the hunt is due.
    pub(crate) fn after(&self, hunt: &Hunt, at: Timestamp) -> Timestamp {
        hunt.schedule.next(&hunt.name, at, &self.time_zone)
    }

    /// When a hunt runs for the first time.
    fn first(&self, hunt: &Hunt, now: Timestamp) -> Timestamp {
        match hunt.schedule {
            Schedule::Every(_) => now,
            Schedule::Cron(_) => self.after(hunt, now),
        }
    }

    /// When a hunt is due again that has not come to its end.
    pub(crate) fn soon(&self, hunt: &Hunt, now: Timestamp) -> Timestamp {
        self.after(hunt, now).min(later(now, SOON))
    }

    /// Takes the hunt for this run; false where another run has it.
    pub(crate) async fn take(
        &self,
        standing: &mut Standing<'_>,
        now: Timestamp,
    ) -> Result<bool, HuntingError> {
        standing.row.next = later(now, OWNED);
        self.save(standing, now).await
    }

    /// False where somebody else has written the row meanwhile: then nothing was written.
    pub(crate) async fn save(
        &self,
        standing: &mut Standing<'_>,
        now: Timestamp,
    ) -> Result<bool, HuntingError> {
        let key = HuntRow::key(&self.tenant, &standing.hunt.name);
        let write = Write::put(key.clone(), &standing.row, standing.expect, None)?;
        match self.state.commit(&[write], now).await {
            Ok(()) => {}
            Err(CommitError::Refused(_) | CommitError::Contended) => {
                tracing::info!(hunt = standing.hunt.name, "another run has this hunt in hand");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        let stored: Option<Stored<HuntRow>> = self.state.get(&key, now).await?;
        standing.expect = Stored::expected(stored.as_ref());
        Ok(stored.is_some_and(|stored| stored.value == standing.row))
    }

    /// What is to be read now.
    pub(crate) fn plan(&self, standing: &Standing<'_>, now: Timestamp) -> Plan {
        let Standing { hunt, row, .. } = standing;
        let mut oldest = back(now, KEPT);
        if let Some(left) = row.left {
            let from = left.from.max(oldest).min(left.to);
            let first = left.first.max(from).min(left.to);
            let window = Span { from, to: left.to };
            let parts = [Span { from: first, to: left.to }, Span { from, to: first }];
            let parts = parts.into_iter().filter(holds_something).collect();
            let lost = (left.from < from).then_some(Span { from: left.from, to: from });
            return Plan { window, parts, lost, is_rest: true };
        }
        // A query over its whole window that was too much for one answer must not grow with every day that it fails.
        if !hunt.divisible && row.is_broken() {
            let usual = hunt.schedule.longest(now, &self.time_zone);
            oldest = oldest.max(on_tick(back(back(now, hunt.overlap), usual)));
        }
        let floor = row.floor.unwrap_or_else(|| back(now, hunt.look_back));
        let reached = row.cursor.unwrap_or(floor);
        let from = row.cursor.map_or(floor, |cursor| back(cursor, hunt.overlap).max(floor));
        let lost = (reached < oldest).then_some(Span { from: reached, to: oldest });
        let window = Span { from: on_tick(from.max(oldest)).min(now), to: now };
        let parts = [window].into_iter().filter(holds_something).collect();
        Plan { window, parts, lost, is_rest: false }
    }
}

impl Plan {
    /// After a part that was not too much, the next one is at most twice as long: asking for all that is left would in most
    /// cases be too much once more.
    pub(crate) fn go_on_after(&mut self, part: Span) {
        let twice = part.to.duration_since(part.from).saturating_mul(2);
        if let Some(next) = self.parts.pop() {
            let end = on_tick(later(next.from, twice)).min(next.to);
            let parts = [Span { from: end, to: next.to }, Span { from: next.from, to: end }];
            self.parts.extend(parts.into_iter().filter(holds_something));
        }
    }

    /// What to remember of the parts that were not read; nothing where that is all of a new window.
    pub(crate) fn left(&self) -> Option<HuntLeft> {
        let next = self.parts.last().filter(|next| self.is_rest || **next != self.window)?;
        Some(HuntLeft { from: next.from, first: next.to, to: self.window.to })
    }
}

fn holds_something(part: &Span) -> bool {
    part.from < part.to
}

/// A hunt that has never run: it does so at once, unless its schedule names an hour.
fn new(hunt: &Hunt, first: Timestamp, now: Timestamp) -> HuntRow {
    HuntRow {
        hunt: hunt.name.clone(),
        digest: hunt.digest.clone(),
        identity: hunt.identity.clone(),
        observed_until: None,
        cursor: None,
        floor: Some(on_tick(back(now, hunt.look_back))),
        left: None,
        next: first,
        since: now,
        last_success: None,
        last: None,
        trouble: None,
        overdue_told: false,
        crowded_told: false,
    }
}
