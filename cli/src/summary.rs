//! The numbers of a run, as JSON and as text.

use local::{HuntsRun, Worked};
use ports::{Count, Tally};
use serde::Serialize;
use std::collections::BTreeMap;

/// What `cordon run --once --json` prints. All but `isolations.pending` and `isolations.unknown`, which say how
/// things stand at the end, counts what happened in this run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) found: u64,
    enriched: u64,
    decisions: Decisions,
    pub(crate) isolations: Isolations,
    pub(crate) notifications: Notifications,
    pub(crate) dead_letters: u64,
    hunts: Hunts,
    defender_calls: BTreeMap<&'static str, u64>,
}

/// How many hunts asked the service for something, and how many rows were made known.
#[derive(Debug, Serialize)]
struct Hunts {
    ran: usize,
    announced: usize,
}

#[derive(Debug, Serialize)]
struct Decisions {
    isolate: u64,
    propose: u64,
    none: u64,
    refused: u64,
    /// How many isolations a limit, a breaker or a pause held back.
    held: u64,
    observed: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Isolations {
    requested: u64,
    adopted: u64,
    pub(crate) pending: u64,
    succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) unknown: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Notifications {
    sent: u64,
    pub(crate) failed: u64,
}

impl Summary {
    pub(crate) fn new(
        tally: &Tally,
        worked: &Worked,
        hunted: &HuntsRun,
        defender_calls: BTreeMap<&'static str, u64>,
    ) -> Summary {
        let get = |count| tally.get(count);
        Summary {
            found: get(Count::AlertsFound),
            enriched: get(Count::AlertsEnriched),
            decisions: Decisions {
                isolate: get(Count::DecidedIsolate),
                propose: get(Count::DecidedPropose),
                none: get(Count::DecidedNone),
                refused: get(Count::DecidedRefused),
                held: get(Count::DecidedHeld),
                observed: get(Count::DecidedObserved),
            },
            isolations: Isolations {
                requested: get(Count::IsolationsRequested),
                adopted: get(Count::IsolationsAdopted),
                pending: worked.tracked.pending.len() as u64,
                succeeded: get(Count::IsolationsSucceeded),
                failed: get(Count::IsolationsFailed) + get(Count::IsolationsCancelled),
                timed_out: get(Count::IsolationsTimedOut),
                unknown: worked.tracked.unknown.len() as u64,
            },
            notifications: Notifications {
                sent: get(Count::NotificationsSent),
                failed: get(Count::NotificationsFailed),
            },
            dead_letters: get(Count::DeadLetters),
            hunts: Hunts { ran: hunted.ran, announced: hunted.announced },
            defender_calls,
        }
    }

    /// How many isolations were held back.
    pub(crate) fn held(&self) -> u64 {
        self.decisions.held
    }

    /// The same for people.
    pub(crate) fn text(&self) -> Vec<String> {
        let Summary {
            found,
            enriched,
            decisions,
            isolations,
            notifications,
            dead_letters,
            hunts,
            defender_calls,
        } = self;
        let calls: Vec<String> =
            defender_calls.iter().map(|(route, count)| format!("{count} {route}")).collect();
        vec![
            format!("alerts         {found} found, {enriched} enriched"),
            format!(
                "decisions      {} isolate, {} propose, {} none, {} refused; {} held back, {} not carried out (observing)",
                decisions.isolate,
                decisions.propose,
                decisions.none,
                decisions.refused,
                decisions.held,
                decisions.observed
            ),
            format!(
                "isolations     {} requested, {} adopted, {} succeeded, {} failed, {} timed out; now {} pending, {} unknown",
                isolations.requested,
                isolations.adopted,
                isolations.succeeded,
                isolations.failed,
                isolations.timed_out,
                isolations.pending,
                isolations.unknown
            ),
            format!("notifications  {} sent, {} failed attempts", notifications.sent, notifications.failed),
            format!("dead letters   {dead_letters}"),
            format!("hunts          {} ran, {} row(s) made known", hunts.ran, hunts.announced),
            format!("calls          {}", calls.join(", ")),
        ]
    }
}
