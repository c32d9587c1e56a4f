//! How fast a route of the service may be asked: half of its quota, because the other half is a running Cordon's.
//!
//! It waits for nobody: it says how long to wait.

use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;

/// Half of the documented 100 calls a minute and 1,500 an hour.
const SPANS: &[(SignedDuration, usize)] =
    &[(SignedDuration::from_mins(1), 50), (SignedDuration::from_hours(1), 750)];

/// The calls of the last hour, and how many there may be within which time.
#[derive(Debug)]
pub(crate) struct Pace {
    made: VecDeque<Timestamp>,
    spans: &'static [(SignedDuration, usize)],
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { made: VecDeque::new(), spans: SPANS }
    }
}

impl Pace {
    /// A pace of a test's own, which cannot wait for minutes.
    #[cfg(test)]
    pub(crate) fn of(spans: &'static [(SignedDuration, usize)]) -> Pace {
        Pace { spans, ..Pace::default() }
    }

    /// How long to wait before the next call.
    pub(crate) fn wait(&self, now: Timestamp) -> SignedDuration {
        let waits = self.spans.iter().filter_map(|(span, most)| {
            // The call after which there is room once it is older than the span.
            let first = self.made.len().checked_sub(*most).and_then(|index| self.made.get(index))?;
            Some(span.saturating_sub(now.duration_since(*first)))
        });
        waits.max().unwrap_or_default().max(SignedDuration::ZERO)
    }

    /// A call is made.
    pub(crate) fn note(&mut self, now: Timestamp) {
        let counts = |made: &Timestamp| now.duration_since(*made) < SignedDuration::from_hours(1);
        while self.made.front().is_some_and(|first| !counts(first)) {
            self.made.pop_front();
        }
        self.made.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    /// Makes so many calls as fast as the pace lets it; how long that takes.
    fn takes(calls: usize) -> i64 {
        let (mut pace, mut now) = (Pace::default(), at(0));
        for _ in 0..calls {
            now += pace.wait(now);
            pace.note(now);
        }
        now.as_second() - at(0).as_second()
    }

    #[test]
    fn fifty_calls_go_at_once_and_the_next_waits_for_its_minute() {
        assert_eq!([takes(50), takes(51), takes(100), takes(101)], [0, 60, 60, 120]);
    }

    #[test]
    fn in_an_hour_there_are_at_most_half_of_the_quota() {
        assert_eq!(takes(750), 14 * 60);
        assert_eq!(takes(751), 3_600);
    }
}
