//! What was true in the tenant and when, written down as it happened: an account that owes nothing to what Cordon
//! remembers. It judges nothing.

use jiff::Timestamp;
use model::{EffectRequested, MessageId};
use ports::DeadLetter;
use simulator::{Alert, Machine, World};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    /// Every state of an alert, with the time since which it holds.
    pub alerts: BTreeMap<String, Vec<(Timestamp, Alert)>>,
    pub machines: BTreeMap<String, Vec<(Timestamp, Machine)>>,
    /// From when to when it was paused.
    pub pauses: Vec<(Timestamp, Option<Timestamp>)>,
    /// From when to when the limits were raised, and to what.
    pub raised: Vec<(Timestamp, Timestamp, u32)>,
    pub orders: Vec<(Timestamp, MessageId, EffectRequested)>,
    /// When each poll began that ended well.
    pub polls: Vec<Timestamp>,
    /// Dead letters that were put back.
    pub redriven: Vec<DeadLetter>,
}

impl Chronicle {
    pub fn of(world: &World) -> Chronicle {
        let mut chronicle = Chronicle::default();
        chronicle.note(world, world.now);
        chronicle
    }

    /// Writes down what has changed.
    pub fn note(&mut self, world: &World, now: Timestamp) {
        for alert in &world.alerts {
            let known = self.alerts.entry(alert.id.clone()).or_default();
            if known.last().is_none_or(|(_, last)| last != alert) {
                known.push((now, alert.clone()));
            }
        }
        for machine in &world.machines {
            let known = self.machines.entry(machine.id.clone()).or_default();
            if known.last().is_none_or(|(_, last)| last != machine) {
                known.push((now, machine.clone()));
            }
        }
    }

    pub fn paused(&mut self, is_paused: bool, now: Timestamp) {
        match (self.pauses.last_mut(), is_paused) {
            (Some((_, until @ None)), false) => *until = Some(now),
            (Some((_, None)), true) | (None | Some((_, Some(_))), false) => {}
            (None | Some((_, Some(_))), true) => self.pauses.push((now, None)),
        }
    }

    /// The states of an alert that held at some moment between two times.
    pub fn alert_between(&self, id: &str, from: Timestamp, to: Timestamp) -> Vec<&Alert> {
        between(self.alerts.get(id), from, to)
    }

    pub fn machine_between(&self, id: &str, from: Timestamp, to: Timestamp) -> Vec<&Machine> {
        between(self.machines.get(id), from, to)
    }

    /// Whether it was paused all the time between two times.
    pub fn was_paused_throughout(&self, from: Timestamp, to: Timestamp) -> bool {
        self.pauses.iter().any(|(since, until)| *since <= from && until.is_none_or(|until| until >= to))
    }

    /// The most that a limit of so many may have let through between two times.
    pub fn most(&self, limit: u32, from: Timestamp, to: Timestamp) -> u32 {
        let raises = self.raised.iter().filter(|(since, until, _)| *since <= to && *until >= from);
        raises.map(|(_, _, to)| *to).fold(limit, u32::max)
    }
}

fn between<T>(states: Option<&Vec<(Timestamp, T)>>, from: Timestamp, to: Timestamp) -> Vec<&T> {
    let states = states.map(Vec::as_slice).unwrap_or_default();
    states
        .iter()
        .enumerate()
        .filter(|(index, (since, _))| {
            let until = states.get(index + 1).map(|(until, _)| *until);
            *since <= to && until.is_none_or(|until| until >= from)
        })
        .map(|(_, (_, state))| state)
        .collect()
}
