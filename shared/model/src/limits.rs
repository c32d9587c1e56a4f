//! How many devices Cordon may isolate before it asks: the numbers alone. They are read by `policy` and held by
//! `ports::Brakes`.

use jiff::SignedDuration;
use std::collections::BTreeMap;

/// The limits on isolations. Each is the most that is let through; what is beyond is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub per_hour: u32,
    pub per_day: u32,
    /// Isolated by Cordon at one time, in percent of the onboarded devices, but never less than `standing_least`,
    /// which is also what holds while the size of the fleet is not known.
    pub standing_percent: u32,
    pub standing_least: u32,
    /// Devices of one device group in a day, by the group's name.
    pub per_group: BTreeMap<String, u32>,
    /// The breaker: devices that one detector or one title may have isolated within `breaker_window`.
    pub breaker_devices: u32,
    pub breaker_window: SignedDuration,
}

impl Limits {
    /// The most to which any number may be set or raised: every isolation of a day is kept in one row of the state.
    pub const MOST: u32 = 1_000;

    /// From how many isolated devices on the size of the fleet is of interest: half of what holds without it.
    pub fn count_fleet_from(&self) -> u32 {
        (self.standing_least / 2).max(1)
    }

    /// How many devices may be isolated at one time in a fleet of that many onboarded devices.
    pub fn standing(&self, fleet: Option<u64>) -> u32 {
        let share = fleet.unwrap_or(0).saturating_mul(self.standing_percent.into()) / 100;
        u32::try_from(share).unwrap_or(u32::MAX).max(self.standing_least)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            per_hour: 10,
            per_day: 25,
            standing_percent: 5,
            standing_least: 10,
            per_group: BTreeMap::new(),
            breaker_devices: 5,
            breaker_window: SignedDuration::from_mins(30),
        }
    }
}
