//! One hunt, run by a person: every row to the caller, and nothing written or announced anywhere.

use crate::{
    Hunting, on_tick,
    read::{smaller, too_much, too_slow},
};
use defender::{Column, HuntError, Row};
use jiff::{SignedDuration, Timestamp};
use policy::{Hunt, Span};

/// The most calls of one hunt by hand: as many as the tenant has in a minute, for people and other tools as well. Source:
/// Microsoft's pages "runHuntingQuery" and "Advanced hunting API".
const CALLS: u32 = 45;

/// What a hunt by hand has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByHand {
    /// Rows that were given to the caller.
    pub rows: usize,
    /// Rows of the answers that could not be read.
    pub unreadable: usize,
    /// Calls of the service.
    pub calls: u32,
    /// How long the service was at work on them.
    pub took: SignedDuration,
    /// In how many parts the window was answered: more than one where it was too much at once.
    pub parts: usize,
    /// From where the window was not read, because that takes more calls than one hunt by hand makes; none where all of it was.
    pub unread_from: Option<Timestamp>,
}

impl Hunting {
    /// Runs a hunt over a window with the query and the halving of its schedule, whether it is enabled or not. Each row is
    /// given with the columns of its answer, earlier parts of the window first; a row may come twice if the query finds it
    /// twice. After an error, the rows of the parts before it have been given.
    pub async fn by_hand(
        &self,
        hunt: &Hunt,
        span: Span,
        now: Timestamp,
        on_row: &mut (dyn FnMut(&[Column], Row) + Send),
    ) -> Result<ByHand, HuntError> {
        let mut done = ByHand::default();
        // The earliest part last.
        let mut parts = vec![Span { from: on_tick(span.from), to: on_tick(span.to) }];
        let mut slow = 0;
        while let Some(part) = parts.pop() {
            if done.calls >= CALLS {
                done.unread_from = Some(part.from);
                break;
            }
            // An answer that turns out to be cut off is of no use, and one has its columns at its end perhaps.
            let mut rows = Vec::new();
            let asked = self.ask(hunt, part, now, &mut |row| rows.push(row)).await;
            done.calls += 1;
            let took = i64::try_from(asked.took_ms).unwrap_or(i64::MAX);
            done.took = done.took.saturating_add(SignedDuration::from_millis(took));
            slow = if matches!(asked.given, Err(HuntError::TookTooLong { .. })) { slow + 1 } else { 0 };
            match asked.given {
                Ok(answer) => {
                    done.rows += rows.len();
                    done.unreadable += answer.unreadable;
                    done.parts += 1;
                    rows.into_iter().for_each(|row| on_row(&answer.columns, row));
                }
                Err(error) => match (smaller(hunt, part, &error, slow), error) {
                    (Some((first, second)), _) => parts.extend([second, first]),
                    (None, HuntError::TooMuch { why }) => {
                        return Err(HuntError::TooMuch { why: too_much(part, &why) });
                    }
                    (None, HuntError::TookTooLong { why }) => {
                        return Err(HuntError::TookTooLong { why: too_slow(part, &why) });
                    }
                    (None, error) => return Err(error),
                },
            }
        }
        Ok(done)
    }
}
