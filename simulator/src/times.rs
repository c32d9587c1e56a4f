//! Times as Microsoft prints them: UTC, up to seven fraction digits (100-ns ticks), no trailing zeros.
//!
//! Does not read a clock.

use jiff::Timestamp;
use serde::Serializer;

/// The same instant with everything below one tick (100 ns) cut off.
pub(crate) fn to_ticks(time: Timestamp) -> Timestamp {
    let nanoseconds = time.as_nanosecond().div_euclid(100) * 100;
    Timestamp::from_nanosecond(nanoseconds).unwrap_or(time)
}

pub(crate) fn time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&to_ticks(*time))
}

pub(crate) fn maybe<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&to_ticks(*time)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_as_many_digits_as_it_needs_and_seven_at_most() {
        let cases = [
            ("2021-01-26T20:33:57.722023999Z", "2021-01-26T20:33:57.7220239Z"),
            ("2021-01-26T20:33:59.200Z", "2021-01-26T20:33:59.2Z"),
            ("2021-01-26T20:33:59Z", "2021-01-26T20:33:59Z"),
        ];
        for (given, printed) in cases {
            let given: Timestamp = given.parse().unwrap();
            assert_eq!(to_ticks(given).to_string(), printed);
        }
    }
}
