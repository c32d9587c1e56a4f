//! What "stays so" means over many weeks: when cost, size or memory count as growing.
//!
//! Weeks are compared with weeks of the same run that had as many alerts. The first quarter is left out, because
//! everything is new then: the first claim on each device, the first look at the tenant, an empty file.

use super::{Week, per};

/// From this week on as much is forgotten as is new: rows about an alert stay for 200 days.
pub const RETENTION_WEEKS: usize = 30;

/// By how much of a hundred the later weeks may be above the earlier ones.
const LEEWAY: u64 = 10;

/// By how much memory may wander without growing, in KB: what an allocator keeps for later.
const MEMORY_LEEWAY_KB: u64 = 4 * 1024;

/// Rows that never expire and of which there is one for the whole tenant: cursor, brakes, fleet, watch and the troubles
/// of two steps.
const SINGLE_ROWS: u64 = 6;

/// Rows that never expire for a device that was ever isolated: its claim, and two pointers while something is open.
const ROWS_PER_DEVICE: u64 = 3;

/// What grows that must not, in sentences; none where all stays flat.
///
/// - Calls, rows written and messages per alert: the last quarter of the weeks may be at most a tenth above the second.
/// - Bytes of the file per row: the same; and once 200 days are over, rows and bytes themselves.
/// - Rows past their expiry: none. Rows without one: at most three per device, and six more.
pub fn growing(weeks: &[Week], devices: u64) -> Vec<String> {
    let (Some(before), Some(after)) = (quarter(weeks, 1), quarter(weeks, 3)) else {
        return vec!["four weeks or more are needed to tell whether anything grows".to_owned()];
    };
    let mut problems = Vec::new();
    let mut compare = |what: &str, before: f64, after: f64| {
        if after > before * per(100 + LEEWAY, 100) {
            problems.push(format!(
                "{what}: {before:.2} in the second quarter of the weeks, {after:.2} in the last"
            ));
        }
    };
    let cost = |cost: fn(&Week) -> u64| {
        (mean(before, cost, |week| week.alerts), mean(after, cost, |week| week.alerts))
    };
    for (what, (before, after)) in [
        ("calls per alert", cost(|week| week.calls)),
        ("rows written per alert", cost(|week| week.items_written)),
        ("messages per alert", cost(|week| week.messages_sent)),
    ] {
        compare(what, before, after);
    }
    compare(
        "bytes per row",
        mean(before, |week| week.bytes, Week::all_rows),
        mean(after, |week| week.bytes, Week::all_rows),
    );
    if let Some((first, last)) = weeks.get(RETENTION_WEEKS).zip(weeks.last()) {
        compare("rows, after 200 days", per(first.all_rows(), 1), per(last.all_rows(), 1));
        compare("bytes in use, after 200 days", per(first.bytes, 1), per(last.bytes, 1));
        compare("bytes on the disk, after 200 days", per(first.bytes_on_disk, 1), per(last.bytes_on_disk, 1));
    }
    let most = ROWS_PER_DEVICE * devices + SINGLE_ROWS;
    for week in weeks {
        if week.expired > 0 {
            problems.push(format!("week {}: {} rows are past their expiry", week.number, week.expired));
        }
        if week.without_expiry > most {
            let found = week.without_expiry;
            problems.push(format!("week {}: {found} rows never expire, where {most} may", week.number));
        }
        if week.messages_left > 0 {
            problems.push(format!("week {}: {} messages are left over", week.number, week.messages_left));
        }
    }
    problems
}

/// Whether memory grows: at its highest in the last quarter of the weeks it may be at most a tenth and 4 MB above the
/// second quarter. Only a process that does nothing else can be judged by it.
pub fn growing_memory(weeks: &[Week]) -> Option<String> {
    let highest = |weeks: &[Week]| weeks.iter().map(|week| week.memory_kb).max();
    let before = quarter(weeks, 1).and_then(highest)?;
    let after = quarter(weeks, 3).and_then(highest)?;
    (after > before + before * LEEWAY / 100 + MEMORY_LEEWAY_KB)
        .then(|| format!("memory: {before} KB in the second quarter of the weeks, {after} KB in the last"))
}

/// A quarter of the weeks, counted from zero.
fn quarter(weeks: &[Week], number: usize) -> Option<&[Week]> {
    let size = weeks.len() / 4;
    // What is left over by dividing belongs to the beginning.
    let begin = weeks.len() - (4 - number) * size;
    weeks.get(begin..begin + size).filter(|quarter| !quarter.is_empty())
}

fn mean(weeks: &[Week], what: impl Fn(&Week) -> u64, by: impl Fn(&Week) -> u64) -> f64 {
    per(weeks.iter().map(what).sum(), weeks.iter().map(by).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// As many weeks in which nothing grows but what is remembered of alerts, for 200 days.
    fn flat(count: usize) -> Vec<Week> {
        let week = |number: usize| {
            let rows = 400 * number.min(29) as u64;
            Week {
                number,
                alerts: 100,
                calls: 900,
                items_written: 1_200,
                messages_sent: 300,
                mails: 20,
                faults: 5,
                rows: BTreeMap::from([("case".to_owned(), rows)]),
                expired: 0,
                without_expiry: 40,
                messages_left: 0,
                bytes: 1_000 * rows + 50_000,
                bytes_on_disk: 1_000 * rows + 80_000,
                memory_kb: 50_000 + (number as u64 % 3) * 1_000,
            }
        };
        (1..=count).map(week).collect()
    }

    /// Every week a little more than the one before.
    fn spoilt(count: usize, spoil: impl Fn(&mut Week, u64)) -> Vec<String> {
        let mut weeks = flat(count);
        weeks.iter_mut().enumerate().for_each(|(n, week)| spoil(week, n as u64));
        growing(&weeks, 20)
    }

    #[test]
    fn what_stays_flat_is_no_problem() {
        for count in [8, 26, 40, 104] {
            assert_eq!(growing(&flat(count), 20), Vec::<String>::new(), "{count} weeks");
            assert_eq!(growing_memory(&flat(count)), None);
        }
    }

    #[test]
    fn a_cost_that_grows_is_found() {
        assert!(spoilt(26, |week, n| week.calls += 10 * n)[0].contains("calls per alert"));
        assert!(spoilt(26, |week, n| week.items_written += 15 * n)[0].contains("rows written"));
        assert!(spoilt(26, |week, n| week.messages_sent += 4 * n)[0].contains("messages per alert"));
    }

    #[test]
    fn a_file_that_grows_is_found_before_and_after_200_days() {
        assert!(spoilt(26, |week, n| week.bytes += 8_000 * n * n)[0].contains("bytes per row"));
        let more_rows = |week: &mut Week, n| _ = week.rows.insert("leak".to_owned(), 100 * n);
        assert!(spoilt(60, more_rows)[0].contains("rows, after 200 days"));
        assert!(spoilt(60, |week, n| week.bytes_on_disk += 60_000 * n)[0].contains("on the disk"));
    }

    #[test]
    fn rows_that_stay_for_ever_and_rows_past_their_expiry_are_found() {
        assert!(spoilt(8, |week, n| week.without_expiry += 10 * n)[0].contains("never expire"));
        assert!(spoilt(8, |week, n| week.expired = n / 7)[0].contains("past their expiry"));
        assert!(spoilt(8, |week, n| week.messages_left = n / 7)[0].contains("left over"));
    }

    #[test]
    fn memory_that_grows_is_found() {
        let mut weeks = flat(26);
        weeks.iter_mut().enumerate().for_each(|(n, week)| week.memory_kb += 1_000 * n as u64);
        assert!(growing_memory(&weeks).unwrap().contains("memory"));
    }

    #[test]
    fn three_weeks_tell_nothing() {
        assert_eq!(growing(&flat(3), 20).len(), 1);
    }
}
