//! The service's rules, without HTTP: machine actions that move as the clock advances, repeats, quotas.
//!
//! Everything here is a function of the world and its `now`; nothing reads a clock or waits.

use jiff::{SignedDuration, Timestamp};

use crate::entities::{ActionStatus, ActionType, Behaviour, MachineAction, Pace};
use crate::times::to_ticks;
use crate::world::World;

/// Moves every action to where it belongs at `world.now`.
pub(crate) fn settle(world: &mut World) {
    // One pass may finish the release for which another action waits; a status only ever goes forward, so
    // this ends.
    loop {
        let moves: Vec<(usize, ActionStatus, Timestamp)> = world
            .actions
            .iter()
            .enumerate()
            .filter_map(|(index, action)| next(world, action).map(|(status, at)| (index, status, at)))
            .collect();
        if moves.is_empty() {
            return;
        }
        for (index, status, at) in moves {
            if let Some(action) = world.actions.get_mut(index) {
                action.status = status;
                action.last_update_date_time_utc = to_ticks(at);
            }
        }
    }
}

/// Where the action goes next and when it did, if it is due.
fn next(world: &World, action: &MachineAction) -> Option<(ActionStatus, Timestamp)> {
    if action.status.is_final() {
        return None;
    }
    let machine = world.find_machine(&action.machine_id);
    let behaviour = machine.map_or(Behaviour::Online, |machine| machine.behaviour);
    let pace = machine.and_then(|machine| machine.pace).unwrap_or(world.pace);
    let online_since = machine.and_then(|machine| machine.online_since);
    let created = action.creation_date_time_utc;
    let free_since = if action.wedged { released_since(world, action) } else { Some(created) };
    let gives_up = created + world.times_out_after;
    let timed_out = (world.now >= gives_up).then_some((ActionStatus::TimeOut, gives_up));
    let Some(free_since) = free_since else { return timed_out };
    let start = online_since.map_or(free_since, |since| since.max(free_since)).max(created);
    match behaviour {
        Behaviour::Offline => timed_out,
        Behaviour::Online => moving(world.now, action, start, pace, ActionStatus::Succeeded),
        Behaviour::Fails => moving(world.now, action, start, pace, ActionStatus::Failed),
    }
}

fn moving(
    now: Timestamp,
    action: &MachineAction,
    start: Timestamp,
    pace: Pace,
    end: ActionStatus,
) -> Option<(ActionStatus, Timestamp)> {
    let (begins, ends) = (start + pace.in_progress_after, start + pace.finished_after);
    if now >= ends {
        Some((end, ends))
    } else if now >= begins && action.status == ActionStatus::Pending {
        Some((ActionStatus::InProgress, begins))
    } else {
        None
    }
}

/// When a release asked for after this action succeeded: what a wedged action waits for.
fn released_since(world: &World, action: &MachineAction) -> Option<Timestamp> {
    let position = world.actions.iter().position(|other| other.id == action.id)?;
    world
        .actions
        .iter()
        .skip(position)
        .filter(|other| {
            other.machine_id == action.machine_id
                && other.kind == ActionType::Unisolate
                && other.status == ActionStatus::Succeeded
        })
        .map(|other| other.last_update_date_time_utc)
        .min()
}

pub(crate) fn is_isolated(world: &World, machine_id: &str) -> bool {
    world
        .actions
        .iter()
        .filter(|action| action.machine_id == machine_id && action.status == ActionStatus::Succeeded)
        .filter(|action| matches!(action.kind, ActionType::Isolate | ActionType::Unisolate))
        // Of two that ended together the later one counts: `max_by_key` gives the last.
        .max_by_key(|action| action.last_update_date_time_utc)
        .is_some_and(|action| action.kind == ActionType::Isolate)
}

/// The action of this type that is under way on the machine.
pub(crate) fn open_action<'a>(
    world: &'a World,
    machine_id: &str,
    kind: ActionType,
) -> Option<&'a MachineAction> {
    world
        .actions
        .iter()
        .find(|action| action.machine_id == machine_id && action.kind == kind && !action.status.is_final())
}

pub(crate) fn new_action(
    world: &mut World,
    kind: ActionType,
    machine_id: &str,
    requestor: &str,
    source: &str,
    scope: Option<&str>,
    comment: &str,
) -> MachineAction {
    let computer_dns_name =
        world.find_machine(machine_id).and_then(|machine| machine.computer_dns_name.clone());
    let now = to_ticks(world.now);
    MachineAction {
        id: world.guid(),
        kind,
        title: None,
        scope: scope.map(str::to_owned),
        requestor: requestor.to_owned(),
        requestor_comment: comment.to_owned(),
        request_source: source.to_owned(),
        external_id: None,
        status: ActionStatus::Pending,
        machine_id: machine_id.to_owned(),
        computer_dns_name,
        creation_date_time_utc: now,
        last_update_date_time_utc: now,
        cancellation_date_time_utc: None,
        cancellation_requestor: None,
        cancellation_comment: None,
        related_file_info: None,
        commands: Vec::new(),
        error_h_result: 0,
        wedged: false,
    }
}

/// Takes the action into the world and gives its id.
pub(crate) fn add(world: &mut World, action: MachineAction) -> String {
    let id = action.id.clone();
    world.actions.push(action);
    settle(world);
    id
}

/// False when the action had ended or does not exist.
pub(crate) fn cancel(world: &mut World, action_id: &str, who: &str, comment: &str) -> bool {
    let now = to_ticks(world.now);
    let action = world
        .actions
        .iter_mut()
        .find(|action| action.id.eq_ignore_ascii_case(action_id) && !action.status.is_final());
    action.is_some_and(|action| {
        action.status = ActionStatus::Cancelled;
        action.last_update_date_time_utc = now;
        action.cancellation_date_time_utc = Some(now);
        action.cancellation_requestor = Some(who.to_owned());
        action.cancellation_comment = Some(comment.to_owned());
        true
    })
}

/// Calls per minute and per hour, by the journal's name. Sources: each call's page of Microsoft's; Graph's pages name
/// no limit for alerts and incidents, which have the common one here.
fn documented_quota(route: &str) -> (u64, u64) {
    match route {
        "POST advancedqueries" => (45, 1_500),
        "POST runHuntingQuery" => (45, u64::MAX),
        "POST create alert" => (15, u64::MAX),
        _ => (100, 1_500),
    }
}

const MINUTE: SignedDuration = SignedDuration::from_secs(60);
const HOUR: SignedDuration = SignedDuration::from_secs(3_600);

/// Refused for now: what the quota is, and the seconds until a call fits again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OverQuota {
    pub(crate) limit: u64,
    pub(crate) window: &'static str,
    pub(crate) retry_after: u64,
}

/// Counts one call of the app on the route, or refuses it. A refused call is not counted. What is counted for the whole
/// tenant has the tenant's name in place of an app's.
pub(crate) fn spend(world: &mut World, app: &str, route: &'static str) -> Result<(), OverQuota> {
    if !world.quotas {
        return Ok(());
    }
    let now = world.now;
    let (per_minute, per_hour) =
        world.quota_overrides.get(route).copied().unwrap_or_else(|| documented_quota(route));
    let calls = world.calls.entry((app.to_owned(), route)).or_default();
    while calls.front().is_some_and(|call| now.duration_since(*call) >= HOUR) {
        calls.pop_front();
    }
    let last_minute: Vec<Timestamp> =
        calls.iter().copied().filter(|call| now.duration_since(*call) < MINUTE).collect();
    let full = |limit: u64, count: usize| u64::try_from(count).unwrap_or(u64::MAX) >= limit;
    let (oldest, length, limit, window) = if full(per_hour, calls.len()) {
        (calls.front().copied(), HOUR, per_hour, "01:00:00")
    } else if full(per_minute, last_minute.len()) {
        (last_minute.first().copied(), MINUTE, per_minute, "00:01:00")
    } else {
        calls.push_back(now);
        return Ok(());
    };
    let left = length - now.duration_since(oldest.unwrap_or(now));
    let seconds = left.as_secs() + i64::from(left.subsec_nanos() > 0);
    Err(OverQuota { limit, window, retry_after: u64::try_from(seconds).unwrap_or(0).max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::Machine;

    const DEVICE: &str = "0123456789abcdef0123456789abcdef01234567";

    fn world() -> World {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        World::new(now).machine(Machine::new(DEVICE, "pc1.contoso.com", "Windows11", now))
    }

    fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    fn status(world: &World, id: &str) -> ActionStatus {
        world.action(id).unwrap().status
    }

    #[test]
    fn an_action_goes_from_pending_over_in_progress_to_succeeded() {
        let mut world = world();
        let id = world.isolate_by_person(DEVICE, "a@contoso.com");
        assert_eq!(status(&world, &id), ActionStatus::Pending);
        world.advance(seconds(1));
        assert_eq!(status(&world, &id), ActionStatus::InProgress);
        assert!(!world.is_isolated(DEVICE));
        world.advance(seconds(2));
        assert_eq!(status(&world, &id), ActionStatus::Succeeded);
        assert!(world.is_isolated(DEVICE));
        world.release_by_person(DEVICE, "a@contoso.com");
        world.advance(seconds(3));
        assert!(!world.is_isolated(DEVICE));
    }

    #[test]
    fn on_an_offline_machine_an_action_waits_three_days_and_times_out() {
        let mut world = world();
        world.take_offline(DEVICE);
        let id = world.isolate_by_person(DEVICE, "a@contoso.com");
        world.advance(SignedDuration::from_hours(71));
        assert_eq!(status(&world, &id), ActionStatus::Pending);
        world.advance(SignedDuration::from_hours(1));
        assert_eq!(status(&world, &id), ActionStatus::TimeOut);
    }

    #[test]
    fn a_machine_that_comes_back_takes_what_was_pending() {
        let mut world = world();
        world.take_offline(DEVICE);
        let id = world.isolate_by_person(DEVICE, "a@contoso.com");
        world.advance(SignedDuration::from_hours(5));
        world.bring_online(DEVICE);
        world.advance(seconds(2));
        assert_eq!(status(&world, &id), ActionStatus::InProgress);
        world.advance(seconds(1));
        assert_eq!(status(&world, &id), ActionStatus::Succeeded);
    }

    #[test]
    fn on_a_failing_machine_an_action_fails_and_a_cancelled_one_stays_cancelled() {
        let mut world = world();
        world.machine_mut(DEVICE).unwrap().behaviour = Behaviour::Fails;
        let failing = world.isolate_by_person(DEVICE, "a@contoso.com");
        let cancelled = world.isolate_by_person(DEVICE, "a@contoso.com");
        assert!(world.cancel(&cancelled, "b@contoso.com"));
        world.advance(seconds(10));
        assert_eq!(status(&world, &failing), ActionStatus::Failed);
        assert_eq!(status(&world, &cancelled), ActionStatus::Cancelled);
        assert!(!world.cancel(&failing, "b@contoso.com"));
    }

    #[test]
    fn a_wedged_isolation_runs_only_after_a_later_release() {
        let mut world = world();
        world.isolate_by_person(DEVICE, "a@contoso.com");
        world.advance(seconds(3));
        let id = world.isolate_by_person(DEVICE, "a@contoso.com");
        world.actions.last_mut().unwrap().wedged = true;
        world.advance(seconds(3_600));
        assert_eq!(status(&world, &id), ActionStatus::Pending);
        world.release_by_person(DEVICE, "a@contoso.com");
        world.advance(seconds(3));
        assert!(!world.is_isolated(DEVICE));
        world.advance(seconds(3));
        assert!(world.is_isolated(DEVICE), "the stuck isolation ran after the release");
    }

    #[test]
    fn the_minute_and_the_hour_are_counted_per_app_and_route() {
        let mut world = world();
        for _ in 0..100 {
            spend(&mut world, "app", "GET alerts").unwrap();
        }
        let refused = spend(&mut world, "app", "GET alerts").unwrap_err();
        assert_eq!(refused, OverQuota { limit: 100, window: "00:01:00", retry_after: 60 });
        spend(&mut world, "app", "GET machines").unwrap();
        spend(&mut world, "other", "GET alerts").unwrap();
        for _ in 1..15 {
            world.advance(seconds(60));
            for _ in 0..100 {
                spend(&mut world, "app", "GET alerts").unwrap();
            }
        }
        world.advance(seconds(60));
        let refused = spend(&mut world, "app", "GET alerts").unwrap_err();
        assert_eq!(refused, OverQuota { limit: 1_500, window: "01:00:00", retry_after: 45 * 60 });
    }
}
