//! Runs one hunt: reads its window, in parts where that is too much at once, the earliest first, and keeps what was made
//! known after each part.
//!
//! What a row means stands in `rows.rs`, what becomes of it in `announce.rs`.

use crate::{
    Hunting, HuntingError, HuntsRun,
    due::{DAY, Plan, Standing},
    later, on_tick,
    rows::{Kept, missing},
};
use defender::{ApiError, Call, Column, HuntAnswer, HuntError, Row};
use jiff::{SignedDuration, Timestamp};
use policy::{Hunt, Span};
use ports::{HuntRest, HuntRun};
use std::time::{Duration, Instant};

/// The most calls of one run of the step, over all hunts: it runs every minute, and the tenant's quota is 45 a minute, for
/// people and other tools as well.
const CALLS: u32 = 12;

/// The most of them for one hunt while others are due.
const SHARE: u32 = CALLS / 2;

/// How often one after the other a window is halved because no answer came in time. Where the service is ailing, that helps
/// nothing.
const SLOW_HALVINGS: usize = 3;

/// After so long no call is begun. With the one that is under way then, less than the five minutes that a function has.
const BEGINS_UNTIL: Duration = Duration::from_secs(50);

/// How long one query may take: the service gives up after 200 seconds. Source: Microsoft's page "Advanced hunting API".
const CALL_BUDGET: SignedDuration = SignedDuration::from_secs(200);

/// A window of so little is not halved.
const SMALLEST: SignedDuration = SignedDuration::from_secs(1);

/// What one run of the step has done so far.
pub(crate) struct Round {
    pub(crate) done: HuntsRun,
    /// Until when nothing may be asked.
    pub(crate) rest: Option<HuntRest>,
    /// Whether another hunt is due that has not had its turn.
    pub(crate) others_wait: bool,
    calls: u32,
    started: Instant,
}

impl Round {
    pub(crate) fn begin(rest: Option<HuntRest>) -> Round {
        Round { done: HuntsRun::default(), rest, others_wait: false, calls: 0, started: instant() }
    }

    /// Whether another call may be begun.
    pub(crate) fn may_ask(&self) -> bool {
        self.rest.is_none() && self.calls < CALLS && self.started.elapsed() < BEGINS_UNTIL
    }

    /// Whether a hunt that has made so many calls in this run may make another.
    fn may_ask_again(&self, calls: u32) -> bool {
        self.may_ask() && !(self.others_wait && calls >= SHARE)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long calls really took bounds their number; nothing is decided by it"
)]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// How a run of one hunt ended.
enum Ended {
    /// Everything was read and made known.
    Whole,
    /// The calls or the time of this run of the step, or the hunt's share of them, are used up.
    Stopped,
    /// More was found than one run makes known.
    Crowded,
    /// The service did not answer, or not in time.
    Failed(String),
    /// The query, or what it answers, cannot be used.
    Broken(String),
    /// A quota is used up.
    UsedUp(HuntRest),
    /// Another run of the step has this hunt.
    Lost,
}

impl Hunting {
    /// Runs a hunt; false where another run of the step has it.
    pub(crate) async fn pursue(
        &self,
        standing: &mut Standing<'_>,
        round: &mut Round,
        now: Timestamp,
    ) -> Result<bool, HuntingError> {
        if !self.take(standing, now).await? {
            return Ok(false);
        }
        let mut plan = self.plan(standing, now);
        let hunt = standing.hunt;
        if let Some(lost) = plan.lost {
            let why = if hunt.divisible {
                "the service keeps them for 30 days"
            } else {
                "the service keeps them for 30 days, and a hunt that is not divisible, and was broken, begins anew with a \
                 window of its usual length"
            };
            self.tell_lost(hunt, lost, why, now).await?;
        }
        let Span { from, to } = plan.window;
        let mut run = HuntRun { at: now, from, to, rows: 0, new: 0, calls: 0, took_ms: 0 };
        let ended = self.read(standing, &mut plan, &mut run, round, now).await?;
        if matches!(ended, Ended::Lost) {
            return Ok(false);
        }
        let (rows, new, calls) = (run.rows, run.new, run.calls);
        tracing::info!(hunt = hunt.name, %from, %to, rows, new, calls, "hunted");
        if run.calls > 0 {
            round.done.ran += 1;
            standing.row.last = Some(run);
        }
        standing.row.left = plan.left();
        match ended {
            Ended::Whole => self.succeeded(standing, &plan),
            // It is still due, behind those that are due already.
            Ended::Stopped => standing.row.next = now,
            Ended::Crowded => self.crowded(standing, new, now).await?,
            Ended::Failed(why) => self.failed(standing, &why, now),
            Ended::Broken(why) => self.broken(standing, &why, now).await?,
            Ended::UsedUp(rest) => {
                standing.row.next = now;
                // Also where it cannot be written down, nobody asks any more in this run.
                round.rest = Some(rest.clone());
                self.rest(&rest, now).await?;
            }
            Ended::Lost => {}
        }
        self.save(standing, now).await
    }

    fn succeeded(&self, standing: &mut Standing<'_>, plan: &Plan) {
        let row = &mut standing.row;
        row.cursor = row.cursor.max(Some(plan.window.to));
        row.trouble = None;
        row.crowded_told = false;
        row.overdue_told = false;
        // As if it had been read at its end, also where that was runs ago: it may be due at once.
        row.last_success = Some(plan.window.to);
        row.next = self.after(standing.hunt, plan.window.to);
    }

    /// Reads all parts of a window, as far as it goes. What is left stays in the plan.
    async fn read(
        &self,
        standing: &mut Standing<'_>,
        plan: &mut Plan,
        run: &mut HuntRun,
        round: &mut Round,
        now: Timestamp,
    ) -> Result<Ended, HuntingError> {
        let hunt = standing.hunt;
        let (mut announced, mut is_answered) = (0, false);
        // Why the last questions were not answered in time, without an answer in between.
        let mut slow: Vec<String> = Vec::new();
        while let Some(part) = plan.parts.pop() {
            if !round.may_ask_again(run.calls) {
                plan.parts.push(part);
                let why = slow.last().filter(|_| !is_answered);
                return Ok(why.map_or(Ended::Stopped, |why| Ended::Failed(too_slow(part, why))));
            }
            let mut kept = Kept::of(hunt);
            let answer = self.ask(hunt, part, now, &mut |row| kept.take(row)).await;
            round.calls += 1;
            run.calls += 1;
            run.took_ms += answer.took_ms;
            let answer = match answer.given {
                Ok(answer) => kept.too_many().map_or(Ok(answer), Err),
                refused => refused,
            };
            if let Err(HuntError::TookTooLong { why }) = &answer {
                slow.push(why.clone());
            } else {
                slow.clear();
            }
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => match self.unanswered(hunt, part, error, slow.len(), now) {
                    Unanswered::Parts(first, second) => {
                        plan.parts.extend([second, first]);
                        continue;
                    }
                    Unanswered::Passes(why) => {
                        self.tell_lost(hunt, part, &why, now).await?;
                        if !self.has_read(standing, plan, part, now).await? {
                            return Ok(Ended::Lost);
                        }
                        continue;
                    }
                    Unanswered::Ends(ended) => {
                        plan.parts.push(part);
                        return Ok(ended);
                    }
                },
            };
            is_answered = true;
            let HuntAnswer { columns, rows, unreadable, .. } = answer;
            if let Some(why) = missing(hunt, &columns, &kept.rows) {
                plan.parts.push(part);
                return Ok(Ended::Broken(why));
            }
            if unreadable > 0 {
                self.tell_unreadable(hunt, part, unreadable, now).await?;
            }
            let allowed = hunt.most.saturating_sub(announced);
            let made = self.make_known(standing, part, &columns, kept.rows, allowed, now).await?;
            announced += made.announced;
            round.done.announced += made.announced;
            run.rows += rows as u64;
            run.new += made.new as u64;
            if made.announced < made.new {
                plan.parts.push(part);
                return Ok(Ended::Crowded);
            }
            if !self.has_read(standing, plan, part, now).await? {
                return Ok(Ended::Lost);
            }
        }
        Ok(Ended::Whole)
    }

    /// Moves past a part; false where another run of the step has the hunt.
    async fn has_read(
        &self,
        standing: &mut Standing<'_>,
        plan: &mut Plan,
        part: Span,
        now: Timestamp,
    ) -> Result<bool, HuntingError> {
        standing.row.cursor = standing.row.cursor.max(Some(part.to));
        plan.go_on_after(part);
        standing.row.left = plan.left();
        Ok(plan.parts.is_empty() || self.save(standing, now).await?)
    }

    /// What follows from a question that was not answered. `slow`: how many were not answered in time, one after the other.
    fn unanswered(
        &self,
        hunt: &Hunt,
        part: Span,
        error: HuntError,
        slow: usize,
        now: Timestamp,
    ) -> Unanswered {
        if let Some((first, second)) = smaller(hunt, part, &error, slow) {
            tracing::info!(hunt = hunt.name, from = %part.from, to = %part.to, why = %error, "asked for in halves");
            return Unanswered::Parts(first, second);
        }
        match error {
            // That may be the query's fault or the service's: it is tried again soon, and nobody is told to change the file
            // before it is overdue.
            HuntError::TookTooLong { why } => Unanswered::Ends(Ended::Failed(too_slow(part, &why))),
            HuntError::TooMuch { why } if hunt.divisible => Unanswered::Passes(why),
            HuntError::TooMuch { why } => Unanswered::Ends(Ended::Broken(too_much(part, &why))),
            HuntError::Broken(answer) => Unanswered::Ends(Ended::Broken(answer.to_string())),
            HuntError::UsedUp { retry_after, why } => Unanswered::Ends(used_up(retry_after, &why, now)),
            HuntError::Api(ApiError::RateLimited { retry_after }) => {
                Unanswered::Ends(used_up(retry_after, "the service says that there were too many calls", now))
            }
            HuntError::Api(error @ ApiError::Forbidden(_)) => {
                Unanswered::Ends(Ended::Failed(format!("{error}. {PERMISSION}")))
            }
            HuntError::Api(error) => Unanswered::Ends(Ended::Failed(error.to_string())),
        }
    }

    /// Asks for one part of a window, once.
    pub(crate) async fn ask(
        &self,
        hunt: &Hunt,
        part: Span,
        now: Timestamp,
        row: &mut (dyn FnMut(Row) + Send),
    ) -> Asked {
        let query = hunt.asks(part, &self.lists);
        let begun = instant();
        let given = self.reader.hunt(&query, Call { now, budget: CALL_BUDGET }, row).await;
        let took = match &given {
            Ok(answer) if answer.took.is_positive() => answer.took.as_millis(),
            _ => i128::try_from(begun.elapsed().as_millis()).unwrap_or(i128::MAX),
        };
        Asked { given, took_ms: u64::try_from(took).unwrap_or(u64::MAX) }
    }
}

/// What came of a question, and how long the service was at work on it.
pub(crate) struct Asked {
    pub(crate) given: Result<HuntAnswer, HuntError>,
    pub(crate) took_ms: u64,
}

enum Unanswered {
    Parts(Span, Span),
    /// A moment holds more than any answer: whoever floods it must not keep the hunt from what comes after it.
    Passes(String),
    Ends(Ended),
}

/// Which permission hunting needs.
const PERMISSION: &str = "Hunting needs the application permission ThreatHunting.Read.All of Microsoft Graph, or, with \
                          DEFENDER_HUNTING_API=defender, AdvancedQuery.Read.All of WindowsDefenderATP";

fn used_up(retry_after: SignedDuration, why: &str, now: Timestamp) -> Ended {
    let wait = retry_after.max(SignedDuration::from_secs(1)).min(DAY);
    Ended::UsedUp(HuntRest { until: later(now, wait), why: model::one_line(why, 300) })
}

/// What to ask for instead of a part that was not answered; none where less of it would not help, or is not to be asked for.
/// `slow`: how many were not answered in time, one after the other.
pub(crate) fn smaller(hunt: &Hunt, part: Span, error: &HuntError, slow: usize) -> Option<(Span, Span)> {
    match error {
        HuntError::TooMuch { .. } => halves(hunt, part),
        HuntError::TookTooLong { .. } => halves(hunt, part).filter(|_| slow <= SLOW_HALVINGS),
        HuntError::Broken(_) | HuntError::UsedUp { .. } | HuntError::Api(_) => None,
    }
}

/// The two halves of a window that is too much for one answer; none where it is not to be halved.
fn halves(hunt: &Hunt, part: Span) -> Option<(Span, Span)> {
    let length = part.to.duration_since(part.from);
    if !hunt.divisible || length <= SMALLEST {
        return None;
    }
    let middle = on_tick(later(part.from, length / 2));
    let first = Span { from: part.from, to: middle };
    (part.from < middle && middle < part.to).then_some((first, Span { from: middle, to: part.to }))
}

/// What to tell people of a window that is too much and must not be halved.
pub(crate) fn too_much(part: Span, why: &str) -> String {
    let Span { from, to } = part;
    format!(
        "the answer for {from} to {to} is too much ({why}): have the query find less, or shorten overlap, or, if it does not \
         count or compare over its whole window, take `divisible = false` out"
    )
}

/// What to tell people of a window that is not answered in time.
pub(crate) fn too_slow(part: Span, why: &str) -> String {
    let Span { from, to } = part;
    format!(
        "the events from {from} to {to} were not answered in time ({why}): the service may be ailing; if other queries are \
         answered, have this one read less"
    )
}

/// Whether a name stands among the columns.
pub(crate) fn names(columns: &[Column], name: &str) -> bool {
    columns.iter().any(|column| column.name == name)
}
