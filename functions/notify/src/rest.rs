//! How a channel fares, as a pure function of what has happened to it: when it rests, for how long, and whether it is told
//! so much at once that the rest has to be gathered.
//!
//! It reads and writes nothing: whoever tells does that.

use jiff::{SignedDuration, Timestamp};
use ports::{ChannelRow, Failing, Gathered, Telling, Unsent};

/// How long a channel rests after its first failure; twice as long after each that follows, up to the longest.
const FIRST_REST: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(15);

/// The longest that a service may ask to be left alone: whoever says "in a year" is asked again all the same.
const LONGEST_ASKED: SignedDuration = SignedDuration::from_hours(6);

/// After so long people are told, on the other channels.
const SPEAKS_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// In what time messages are counted, from the first of them on.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// How long a message waits that a channel has refused on the message's own account, by how often it has. After that it is
/// given up.
const AFTER_REFUSALS: [SignedDuration; 4] = [
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(8),
    SignedDuration::from_mins(30),
];

/// How far another worker's time may be ahead. What is further ahead was written by a clock that was wrong then, and is not
/// gone by.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

/// The longest that anything is put off for, by a rest or a refusal.
const LONGEST_WAIT: SignedDuration = LONGEST_ASKED;

fn is_credible(at: Timestamp, now: Timestamp) -> bool {
    at <= later(now, SKEW)
}

/// What stands beside a message and a channel, as far as one may go by it now.
pub(crate) fn credible(telling: Telling, one_try: SignedDuration, now: Timestamp) -> Telling {
    let is_past = telling.set_aside.is_some_and(|at| now.duration_since(at).abs() >= Telling::COPIES);
    if is_past {
        return Telling { channel: telling.channel, ..Telling::default() };
    }
    // Without a reason it is a worker that is about it.
    let longest = if telling.why.is_none() { one_try } else { LONGEST_WAIT };
    let until = if telling.until > later(later(now, longest), SKEW) { now } else { telling.until };
    let since = telling.since.filter(|since| is_credible(*since, now));
    let digest = telling.digest.filter(|begin| *begin <= later(now, Gathered::EVERY));
    Telling { until, since, digest, ..telling }
}

pub(crate) fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(now)
}

/// The channel after it has taken nothing.
pub(crate) fn failed(row: ChannelRow, unsent: &Unsent, now: Timestamp) -> ChannelRow {
    let credible = row.failing.as_ref().filter(|failing| is_credible(failing.since, now));
    let (since, before, told) =
        credible.map_or((now, 0, false), |failing| (failing.since, failing.tries, failing.told));
    let tries = before.saturating_add(1);
    let rest = FIRST_REST.saturating_mul(1 << before.min(10)).min(LONGEST_REST);
    let mut rests_until = later(now, rest);
    let speaks_at = later(since, SPEAKS_AFTER);
    // The try that people are told of is not put off by a rest that happens to be long.
    if !told && speaks_at > now {
        rests_until = rests_until.min(speaks_at);
    }
    let rests_until = rests_until.max(asked(unsent, now));
    let failing = Failing { since, tries, rests_until, why: unsent.why.clone(), told };
    ChannelRow { failing: Some(failing), ..row }
}

/// Until when the service wants to be left alone.
fn asked(unsent: &Unsent, now: Timestamp) -> Timestamp {
    unsent.after.map_or(now, |after| later(now, after.min(LONGEST_ASKED)))
}

/// The channel after it has taken a message. `counts`: whether it was one of those that a digest could have held.
pub(crate) fn took(row: ChannelRow, counts: bool, now: Timestamp) -> ChannelRow {
    let row = ChannelRow { failing: None, ..row };
    if !counts {
        return row;
    }
    match row.counted_from {
        Some(from) if in_window(from, now) => ChannelRow { counted: row.counted.saturating_add(1), ..row },
        _ => ChannelRow { counted_from: Some(now), counted: 1, ..row },
    }
}

fn in_window(from: Timestamp, now: Timestamp) -> bool {
    is_credible(from, now) && now.duration_since(from) < WINDOW
}

/// Whether the channel was told so much lately that what follows is gathered.
pub(crate) fn is_storm(row: &ChannelRow, digest_after: Option<u32>, now: Timestamp) -> bool {
    let counted = row.counted_from.filter(|from| in_window(*from, now)).map_or(0, |_| row.counted);
    digest_after.is_some_and(|most| counted >= most)
}

/// The failure of a channel that is left alone just now.
pub(crate) fn resting(row: &ChannelRow, now: Timestamp) -> Option<&Failing> {
    let longest = later(later(now, LONGEST_WAIT), SKEW);
    row.failing.as_ref().filter(|failing| failing.rests_until > now && failing.rests_until <= longest)
}

/// The failure that people have to hear of.
pub(crate) fn unspoken(row: &ChannelRow, now: Timestamp) -> Option<&Failing> {
    let is_long = |failing: &Failing| now.duration_since(failing.since) >= SPEAKS_AFTER;
    row.failing.as_ref().filter(|failing| !failing.told && is_long(failing))
}

/// When to try a message again that was refused so often on its own account; none when it is given up.
pub(crate) fn after_refusal(refused: u32, unsent: &Unsent, now: Timestamp) -> Option<Timestamp> {
    let nth = usize::try_from(refused.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = AFTER_REFUSALS.get(nth)?;
    Some(later(now, *wait).max(asked(unsent, now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    #[test]
    fn a_channel_rests_twice_as_long_after_each_failure_and_never_longer_than_a_quarter_of_an_hour() {
        let (mut row, mut now, mut rests) = (ChannelRow::default(), at(0), Vec::new());
        for _ in 0..40 {
            row = failed(row, &Unsent::channel("gone"), now);
            let failing = row.failing.as_mut().unwrap();
            failing.told = true;
            rests.push(failing.rests_until.duration_since(now).as_secs());
            now = failing.rests_until;
        }
        assert_eq!(rests[..7], [30, 60, 120, 240, 480, 900, 900]);
        assert!(rests[7..].iter().all(|rest| *rest == 900), "{rests:?}");
        assert_eq!(row.failing.unwrap().since, at(0));
    }

    #[test]
    fn the_try_that_people_hear_of_comes_after_ten_minutes() {
        let (mut row, mut now) = (ChannelRow::default(), at(0));
        while unspoken(&row, now).is_none() {
            row = failed(row, &Unsent::channel("gone"), now);
            now = row.failing.as_ref().unwrap().rests_until;
        }
        assert_eq!(now, at(600));
    }

    #[test]
    fn what_a_service_asks_for_is_a_floor_with_an_end() {
        let asks = |hours| Unsent {
            after: Some(SignedDuration::from_hours(hours)),
            ..Unsent::channel("too many requests")
        };
        let rests =
            |unsent: &Unsent| failed(ChannelRow::default(), unsent, at(0)).failing.unwrap().rests_until;
        assert_eq!(rests(&asks(1)), at(3_600));
        assert_eq!(rests(&asks(100_000)), at(6 * 3_600));
        assert_eq!(rests(&asks(0)), at(30));
        assert_eq!(after_refusal(1, &asks(1), at(0)), Some(at(3_600)));
    }

    #[test]
    fn a_channel_that_takes_a_message_fails_no_more() {
        let row = failed(ChannelRow::default(), &Unsent::channel("gone"), at(0));
        assert!(resting(&row, at(29)).is_some() && resting(&row, at(30)).is_none());
        assert_eq!(took(row, false, at(31)).failing, None);
    }

    #[test]
    fn a_refused_message_is_tried_four_times_more() {
        let refusal = Unsent::message("no");
        let waits: Vec<i64> = (1..)
            .map_while(|nth| after_refusal(nth, &refusal, at(0)))
            .map(|until| until.duration_since(at(0)).as_secs())
            .collect();
        assert_eq!(waits, [30, 120, 480, 1_800]);
    }

    #[test]
    fn what_a_clock_has_written_that_was_ahead_is_not_gone_by() {
        let hours = |hours: i64| at(hours * 3_600);
        let of = |now: Timestamp| {
            let row = failed(took(ChannelRow::default(), true, now), &Unsent::channel("gone"), now);
            let telling = Telling {
                until: later(now, SignedDuration::from_secs(45)),
                since: Some(now),
                digest: Some(now),
                ..Telling::default()
            };
            (row, telling)
        };
        let one_try = SignedDuration::from_secs(45);
        let (row, telling) = of(hours(24));
        assert!(resting(&row, hours(24)).is_some() && resting(&row, hours(0)).is_none());
        assert!(is_storm(&row, Some(1), hours(24)) && !is_storm(&row, Some(1), hours(0)));
        assert_eq!(failed(row, &Unsent::channel("gone"), hours(0)).failing.unwrap().since, hours(0));
        let told = credible(telling, one_try, hours(0));
        assert_eq!((told.until, told.since, told.digest), (hours(0), None, None));
        // Another worker's time may be a little ahead.
        let (row, telling) = of(at(30));
        assert!(resting(&row, at(0)).is_some() && is_storm(&row, Some(1), at(0)));
        assert_eq!(credible(telling.clone(), one_try, at(0)), telling);
    }

    #[test]
    fn what_was_set_aside_begins_anew_when_no_copy_of_it_is_expected_any_more() {
        let aside = Telling {
            given_up: true,
            tries: 5,
            set_aside: Some(at(0)),
            why: Some("no".into()),
            ..Telling::default()
        };
        let one_try = SignedDuration::from_secs(45);
        assert!(credible(aside.clone(), one_try, at(599)).given_up);
        assert_eq!(credible(aside, one_try, at(600)), Telling::default());
    }

    #[test]
    fn a_storm_is_more_than_so_many_within_ten_minutes_of_the_first() {
        let mut row = ChannelRow::default();
        for second in 0..3 {
            assert!(!is_storm(&row, Some(3), at(second)));
            row = took(row, true, at(second));
        }
        assert!(is_storm(&row, Some(3), at(3)) && is_storm(&row, Some(3), at(599)));
        assert!(
            !is_storm(&row, Some(3), at(600))
                && !is_storm(&row, Some(4), at(3))
                && !is_storm(&row, None, at(3))
        );
        assert!(!is_storm(&took(row, true, at(600)), Some(3), at(601)));
    }
}
