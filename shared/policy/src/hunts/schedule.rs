//! When a hunt is due.
//!
//! Times of a `cron` are those of a clock on the wall, in the playbook's zone: an hour that is left out in spring is made up
//! for an hour later, and one that comes twice in autumn counts once.

use super::{Cron, Schedule};
use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

/// How often a hunt may run at most. Microsoft's own custom detections know nothing more frequent but the continuous ones
/// ("Create custom detection rules"), and every run costs a call of the tenant's quota.
pub(super) const MOST_OFTEN: SignedDuration = SignedDuration::from_mins(5);

/// So many runs of a `cron` are looked at for two that lie too near each other: a whole day of the most frequent one.
const LOOKED_AT: usize = 300;

/// An hour that comes twice holds no more runs than these.
const MOST_REPEATED: usize = 300;

impl Schedule {
    /// The first time after `after` at which a hunt of this name is due.
    pub fn next(&self, name: &str, after: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Schedule::Every(every) => next_of(every.as_secs().max(1), name, after),
            // What is never due again within four years would not have been read; a day is the way out at the end of time.
            Schedule::Cron(cron) => cron.next(after, zone).unwrap_or_else(|| later(after, 86_400)),
        }
    }

    /// How long it is at most from `after` to the next run, and between that one and the two that follow: for telling when
    /// one is overdue.
    pub fn longest(&self, after: Timestamp, zone: &TimeZone) -> SignedDuration {
        let Schedule::Cron(cron) = self else {
            let Schedule::Every(every) = self else { return SignedDuration::ZERO };
            return *every;
        };
        let runs = std::iter::successors(Some(after), |last| cron.next(*last, zone));
        let runs: Vec<Timestamp> = runs.take(4).collect();
        let gaps = runs.iter().zip(runs.iter().skip(1)).map(|(one, next)| next.duration_since(*one));
        gaps.max().unwrap_or(SignedDuration::from_hours(24))
    }
}

/// Seconds of which the remainder is the name's own.
fn next_of(every: i64, name: &str, after: Timestamp) -> Timestamp {
    let digest = model::digest(&[name]);
    let hash = digest.get(..8).and_then(|hash| u32::from_str_radix(hash, 16).ok()).unwrap_or_default();
    let phase = i64::from(hash).rem_euclid(every);
    let since = (after.as_second() - phase).rem_euclid(every);
    later(after, every - since)
}

fn later(after: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(after.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
}

impl Cron {
    /// An error is a sentence and a hint.
    pub(super) fn parse(text: &str) -> Result<Cron, (String, &'static str)> {
        const FIELDS: &str = "minute, hour, day of the month, month, day of the week: \"0 6 * * Mon-Fri\" is six \
                              o'clock on working days";
        let fields = text.split_whitespace().count();
        if fields != 5 {
            let hint = if fields == 6 {
                "the time zone is `time_zone` of playbook.toml, for all hunts; seconds there are none"
            } else {
                FIELDS
            };
            return Err((format!("`cron` must have five fields, not {fields}"), hint));
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let parsed = cronexpr::parse_crontab_with(text, options).map_err(|error| {
            let why = error.to_string();
            (format!("`cron` cannot be read: {}", why.rsplit("^ ").next().unwrap_or(&why)), FIELDS)
        })?;
        let cron = Cron { text: text.to_owned(), parsed };
        match cron.nearest() {
            None => {
                Err(("`cron` is never due".to_owned(), "there is no such day: look at the day and the month"))
            }
            Some(gap) if gap < MOST_OFTEN => Err((
                "`cron` must not be due more often than every 5 minutes".to_owned(),
                "every run costs a call of the quota that the whole tenant shares: \"*/5 * * * *\" is the most",
            )),
            Some(_) => Ok(cron),
        }
    }

    /// The shortest time between two runs; none where there is not even one.
    fn nearest(&self) -> Option<SignedDuration> {
        let begin: DateTime = jiff::civil::date(2027, 1, 1).at(0, 0, 0, 0);
        let mut last = self.after(begin)?;
        let end = last.checked_add(SignedDuration::from_hours(9 * 24)).ok()?;
        let mut nearest = SignedDuration::MAX;
        for _ in 0..LOOKED_AT {
            let Some(next) = self.after(last).filter(|next| *next < end) else { break };
            nearest = nearest.min(next.duration_since(last));
            last = next;
        }
        Some(nearest)
    }

    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut wall = after.to_zoned(zone.clone()).datetime();
        for _ in 0..MOST_REPEATED {
            wall = self.after(wall)?;
            // The first of two where an hour comes twice; as much later as is left out where one does not come at all.
            let at = zone.to_timestamp(wall).ok()?;
            if at > after {
                return Some(at);
            }
        }
        None
    }

    /// The next time that a clock shows, by a clock that knows no summer.
    fn after(&self, wall: DateTime) -> Option<DateTime> {
        let at = Offset::UTC.to_timestamp(wall).ok()?;
        self.parsed.find_next(MakeTimestamp(at)).ok().map(|next| next.datetime())
    }
}

/// Two of the same text are the same.
impl PartialEq for Cron {
    fn eq(&self, other: &Cron) -> bool {
        self.text == other.text
    }
}

/// Of another crate, and of no more use than its text.
pub(super) type Parsed = Crontab;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(text: &str) -> Schedule {
        Schedule::Cron(Box::new(Cron::parse(text).unwrap_or_else(|why| panic!("{text}: {why:?}"))))
    }

    fn zone(name: &str) -> TimeZone {
        jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap()
    }

    /// The runs after a time, as the clock in that zone shows them.
    fn runs(text: &str, in_zone: &str, after: &str, count: usize) -> Vec<String> {
        let (schedule, zone) = (cron(text), zone(in_zone));
        let next = |last: &Timestamp| Some(schedule.next("x", *last, &zone));
        let all = std::iter::successors(Some(at(after)), next).skip(1).take(count);
        all.map(|at| at.to_zoned(zone.clone()).strftime("%d. %H:%M").to_string()).collect()
    }

    #[test]
    fn hunts_of_one_rhythm_begin_at_different_times_by_their_names() {
        let every = Schedule::Every(SignedDuration::from_hours(1));
        let first = |name: &str| every.next(name, at("2026-11-20T10:00:00Z"), &TimeZone::UTC);
        let names = ["remote-management-tools", "lsass-dump", "browser-secrets", "shadow-copies"];
        let mut begins: Vec<Timestamp> = names.iter().map(|name| first(name)).collect();
        assert!(begins.iter().all(|begin| *begin <= at("2026-11-20T11:00:00Z")), "{begins:?}");
        begins.sort();
        begins.dedup();
        assert_eq!(begins.len(), names.len());
        let again = every.next("lsass-dump", first("lsass-dump"), &TimeZone::UTC);
        assert_eq!(again.duration_since(first("lsass-dump")), SignedDuration::from_hours(1));
        assert_eq!(every.longest(at("2026-11-20T10:00:00Z"), &TimeZone::UTC), SignedDuration::from_hours(1));
    }

    #[test]
    fn a_cron_goes_by_the_clock_of_the_playbook() {
        let working_days = runs("0 6 * * Mon-Fri", "Europe/Berlin", "2026-11-20T04:59:59Z", 3);
        assert_eq!(working_days, ["20. 06:00", "23. 06:00", "24. 06:00"]);
        let (schedule, berlin) = (cron("0 6 * * Mon-Fri"), zone("Europe/Berlin"));
        assert_eq!(schedule.next("x", at("2026-11-20T04:59:59Z"), &berlin), at("2026-11-20T05:00:00Z"));
        assert_eq!(schedule.next("x", at("2026-07-31T03:59:59Z"), &berlin), at("2026-07-31T04:00:00Z"));
        assert_eq!(
            runs("*/20 22 * * *", "Asia/Tokyo", "2026-11-20T13:20:00Z", 3),
            ["20. 22:40", "21. 22:00", "21. 22:20"]
        );
    }

    #[test]
    fn from_one_run_to_the_next_it_is_at_most_a_weekend() {
        let (schedule, utc) = (cron("0 6 * * Mon-Fri"), TimeZone::UTC);
        // Friday.
        assert_eq!(schedule.longest(at("2026-11-20T06:00:00Z"), &utc), SignedDuration::from_hours(72));
        assert_eq!(schedule.longest(at("2026-11-23T06:00:00Z"), &utc), SignedDuration::from_hours(24));
    }

    #[test]
    fn an_hour_that_is_left_out_in_spring_is_made_up_for_and_nothing_is_run_twice() {
        // On 2027-03-28 the clock in Berlin goes from 2 to 3 o'clock.
        let daily = runs("30 2 * * *", "Europe/Berlin", "2027-03-26T12:00:00Z", 3);
        assert_eq!(daily, ["27. 02:30", "28. 03:30", "29. 02:30"]);
        let often = runs("*/30 * * * *", "Europe/Berlin", "2027-03-28T00:00:00Z", 4);
        assert_eq!(often, ["28. 01:30", "28. 03:00", "28. 03:30", "28. 04:00"]);
    }

    #[test]
    fn an_hour_that_comes_twice_in_autumn_counts_once() {
        // On 2027-10-31 the clock in Berlin goes from 3 back to 2 o'clock.
        let daily = runs("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", 2);
        assert_eq!(daily, ["31. 02:30", "01. 02:30"]);
        let often = runs("*/30 * * * *", "Europe/Berlin", "2027-10-30T23:30:00Z", 4);
        assert_eq!(often, ["31. 02:00", "31. 02:30", "31. 03:00", "31. 03:30"]);
        let (schedule, berlin) = (cron("*/30 * * * *"), zone("Europe/Berlin"));
        let gap = schedule.longest(at("2027-10-31T00:30:00Z"), &berlin);
        assert_eq!(gap, SignedDuration::from_mins(90), "what is overdue is told by the longest gap");
    }

    #[test]
    fn a_cron_that_cannot_be_meant_is_refused_with_a_way_out() {
        for (bad, why) in [
            ("", "five fields"),
            ("6 * * *", "five fields, not 4"),
            ("0 6 * * * Europe/Berlin", "five fields, not 6"),
            ("0 25 * * *", "cannot be read"),
            ("0 6 * * Caturday", "cannot be read"),
            ("* * * * *", "more often than every 5 minutes"),
            ("0,4 6 * * *", "more often than every 5 minutes"),
            ("1,58 0,23 * * *", "more often than every 5 minutes"),
            ("0 6 31 2 *", "never due"),
        ] {
            let (said, hint) = Cron::parse(bad).unwrap_err();
            assert!(said.contains(why) && !said.contains('\n') && !hint.is_empty(), "{bad}: {said}");
        }
        for good in
            ["*/5 * * * *", "0 6 * * 1-5", "15 8-18/2 * Jan-Jun Mon,Wed", "0 0 29 2 *", "  0   6 1 * *  "]
        {
            assert!(Cron::parse(good).is_ok(), "{good}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_the_schedule_the_next_run_lies_ahead(
            after in 0..4_102_444_800_i64,
            nanosecond in 0..1_000_000_000_i32,
            every in 300..604_801_i64,
            name in "[a-z0-9-]{1,40}",
            minute in 0..60_u8,
            hour in 0..24_u8,
            day in 0..7_u8,
            zone_name in proptest::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]),
        ) {
            let (after, zone) = (Timestamp::new(after, nanosecond).unwrap(), zone(zone_name));
            let schedules = [
                (Schedule::Every(SignedDuration::from_secs(every)), SignedDuration::from_secs(every)),
                (cron(&format!("{minute} {hour} * * *")), SignedDuration::from_hours(50)),
                (cron(&format!("{minute} {hour} * * {day}")), SignedDuration::from_hours(8 * 24)),
                (cron(&format!("*/5 {hour} * * *")), SignedDuration::from_hours(50)),
            ];
            for (schedule, most) in schedules {
                let next = schedule.next(&name, after, &zone);
                prop_assert!(next > after && next.duration_since(after) <= most, "{:?} {} {}", schedule, after, next);
                prop_assert!(schedule.longest(after, &zone) >= next.duration_since(after) - SignedDuration::from_secs(1));
                prop_assert_eq!(schedule.next(&name, next - SignedDuration::from_nanos(1), &zone), next);
            }
        }

        #[test]
        fn no_text_whatever_upsets_the_reading_of_a_cron(text in "[-0-9*/,#LWH a-zA-Z]{0,20}|\\PC{0,20}") {
            if let Ok(read) = Cron::parse(&text) {
                let after = at("2026-11-20T10:00:00Z");
                prop_assert!(Schedule::Cron(Box::new(read)).next("x", after, &TimeZone::UTC) > after);
            }
        }
    }
}
