//! How a device stands, read from its machine actions: the service keeps no "is isolated" flag, so the last
//! completed isolate or release tells, and anything open comes before that.

use jiff::Timestamp;
use model::{ActionKind, ActionStatus, MachineAction};

/// Whether a device may be cut off, as far as its machine actions tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Nothing is open and nothing in force.
    Free,
    /// An isolation is open: a second one could wedge the device.
    Isolating(&'a MachineAction),
    /// An isolation is in force.
    Isolated(&'a MachineAction),
    /// A release is open, or the last thing that happened was one, at this time.
    Released(Timestamp),
    /// Nothing is in force, and the last thing that happened is that an isolation was cancelled, at this time.
    Cancelled(Timestamp),
    /// The actions cannot be put in order.
    Unclear,
}

/// Reads how the device stands. `now` is when a release that is still open counts as having happened.
pub fn standing(actions: &[MachineAction], now: Timestamp) -> Standing<'_> {
    let mut about: Vec<&MachineAction> = actions
        .iter()
        .filter(|action| matches!(action.kind, ActionKind::Isolate | ActionKind::Unisolate))
        .collect();
    if about.iter().any(|action| action.created.is_none()) {
        return Standing::Unclear;
    }
    about.sort_by_key(|action| action.created);
    if about.iter().any(|action| action.is_open() && action.kind == ActionKind::Unisolate) {
        return Standing::Released(now);
    }
    if let Some(open) = about.iter().rev().find(|action| action.is_open()) {
        return Standing::Isolating(open);
    }
    // By when each ended, not by when it was asked for: one that hung may have been overtaken.
    let ended = |action: &MachineAction| action.updated.or(action.created);
    about.sort_by_key(|action| ended(action));
    let mut cancelled = None;
    for action in about.into_iter().rev() {
        let at = ended(action).unwrap_or(now);
        match (&action.kind, &action.status) {
            (ActionKind::Isolate, ActionStatus::Succeeded) => return Standing::Isolated(action),
            (ActionKind::Unisolate, ActionStatus::Succeeded) => {
                return cancelled.map_or(Standing::Released(at), Standing::Cancelled);
            }
            // It says that somebody does not want the isolation, but takes none back that is in force.
            (ActionKind::Isolate, ActionStatus::Cancelled) => cancelled = cancelled.or(Some(at)),
            // What failed, timed out or was a cancelled release has changed nothing.
            _ => {}
        }
    }
    cancelled.map_or(Standing::Free, Standing::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn action(kind: &str, status: &str, seconds: i64) -> MachineAction {
        MachineAction {
            id: format!("{kind}-{seconds}").parse().unwrap(),
            kind: kind.into(),
            status: status.into(),
            scope: None,
            requestor: None,
            comment: None,
            device: None,
            created: Some(at(seconds)),
            updated: Some(at(seconds + 1)),
        }
    }

    #[test]
    fn the_last_completed_isolate_or_release_tells() {
        let isolate = action("Isolate", "Succeeded", 0);
        let release = action("Unisolate", "Succeeded", 10);
        let again = action("Isolate", "Succeeded", 20);
        assert_eq!(standing(&[], at(99)), Standing::Free);
        assert_eq!(standing(std::slice::from_ref(&isolate), at(99)), Standing::Isolated(&isolate));
        // Order in the list means nothing.
        assert_eq!(standing(&[release.clone(), isolate.clone()], at(99)), Standing::Released(at(11)));
        assert_eq!(standing(&[again.clone(), release, isolate], at(99)), Standing::Isolated(&again));
    }

    #[test]
    fn whatever_is_open_comes_first() {
        let done = action("Isolate", "Succeeded", 0);
        let open = action("Isolate", "Pending", 5);
        assert_eq!(standing(&[done.clone(), open.clone()], at(99)), Standing::Isolating(&open));
        let strange = action("Isolate", "SomethingNew", 5);
        assert_eq!(standing(std::slice::from_ref(&strange), at(99)), Standing::Isolating(&strange));
        let releasing = action("Unisolate", "InProgress", 6);
        assert_eq!(standing(&[done, open, releasing], at(99)), Standing::Released(at(99)));
    }

    #[test]
    fn what_failed_or_timed_out_has_changed_nothing() {
        for status in ["Failed", "TimeOut"] {
            assert_eq!(standing(&[action("Isolate", status, 0)], at(99)), Standing::Free, "{status}");
        }
        let scan = action("RunAntiVirusScan", "Pending", 0);
        assert_eq!(standing(&[scan], at(99)), Standing::Free);
        assert_eq!(standing(&[action("Isolate", "Cancelled", 3)], at(99)), Standing::Cancelled(at(4)));
    }

    #[test]
    fn a_cancelled_isolation_takes_none_back_that_is_in_force() {
        let (done, cancelled) = (action("Isolate", "Succeeded", 0), action("Isolate", "Cancelled", 5));
        assert_eq!(standing(&[done.clone(), cancelled.clone()], at(99)), Standing::Isolated(&done));
        let released = action("Unisolate", "Succeeded", 3);
        assert_eq!(standing(&[done, released, cancelled], at(99)), Standing::Cancelled(at(6)));
    }

    #[test]
    fn an_isolation_that_ended_after_the_release_is_in_force() {
        let hung = MachineAction { updated: Some(at(20)), ..action("Isolate", "Succeeded", 5) };
        let released = action("Unisolate", "Succeeded", 10);
        assert_eq!(standing(&[hung.clone(), released], at(99)), Standing::Isolated(&hung));
    }

    #[test]
    fn actions_without_a_time_cannot_be_put_in_order() {
        let timeless = MachineAction { created: None, ..action("Isolate", "Succeeded", 0) };
        assert_eq!(standing(&[timeless], at(99)), Standing::Unclear);
    }
}
