//! What respond and track do with the ledger and the brakes, one small step at a time and in any order: several
//! workers on several devices, crashes between any two steps, people who act beside it, an operator.
//!
//! A call can only be under way until its quiet time is over: the time-outs of the steps promise that, and it is
//! taken for granted here.

use crate::{claims::claim, device, minutes, said, start, tenant};
use jiff::{SignedDuration, Timestamp};
use model::{ActionId, ClaimId, Effect, EffectState, Limits};
use ports::{Brakes, Claim, Ending, Event, Gate, Moved, Raised, Wish};
use proptest::prelude::*;
use std::collections::BTreeMap;

const DEVICES: usize = 3;
const WORKERS: usize = 3;
const DAY: SignedDuration = SignedDuration::from_hours(24);
const QUIET: SignedDuration = SignedDuration::from_mins(5);

/// How long a claim that is to be asked for once more waits for its message.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

#[derive(Debug, Clone, Copy)]
enum Op {
    /// An alert says that the device is to be isolated.
    Alert(usize),
    /// The operator's order.
    Order(usize, Effect),
    /// A worker takes a case and reads all that it needs.
    Take(usize, usize),
    /// A worker goes one step on; the call, if it is made now, meets this fate.
    Step(usize, Fate),
    /// A worker dies; its message comes again.
    Crash(usize),
    Track(usize),
    /// An open machine action of the device ends.
    End(usize, bool),
    /// A person acts in the portal.
    Person(usize, Effect),
    Pass(i64),
    Pause(bool),
    Raise(u32),
    CloseBreaker,
    /// The operator lets what is held go on.
    RunHeld,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Acts,
    ActsUnheard,
    NeverArrives,
    /// Surely not reached.
    NotReached,
    Refuses,
}

fn any_op() -> impl Strategy<Value = Op> {
    let (device, worker) = (0..DEVICES, 0..WORKERS);
    let effect = || prop_oneof![3 => Just(Effect::Isolate), 2 => Just(Effect::Release)];
    let fate = prop_oneof![
        6 => Just(Fate::Acts),
        2 => Just(Fate::ActsUnheard),
        1 => Just(Fate::NeverArrives),
        1 => Just(Fate::NotReached),
        1 => Just(Fate::Refuses),
    ];
    prop_oneof![
        5 => device.clone().prop_map(Op::Alert),
        2 => (device.clone(), effect()).prop_map(|(device, effect)| Op::Order(device, effect)),
        10 => (worker.clone(), 0..8_usize).prop_map(|(worker, case)| Op::Take(worker, case)),
        24 => (worker.clone(), fate).prop_map(|(worker, fate)| Op::Step(worker, fate)),
        2 => worker.prop_map(Op::Crash),
        6 => device.clone().prop_map(Op::Track),
        5 => (device.clone(), any::<bool>()).prop_map(|(device, well)| Op::End(device, well)),
        2 => (device, effect()).prop_map(|(device, effect)| Op::Person(device, effect)),
        4 => (1..7_i64).prop_map(Op::Pass),
        1 => (20..600_i64).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Pause),
        1 => (0..6_u32).prop_map(Op::Raise),
        1 => Just(Op::CloseBreaker),
        2 => Just(Op::RunHeld),
    ]
}

/// A machine action as the tenant has it.
#[derive(Debug, Clone)]
struct Action {
    id: ActionId,
    effect: Effect,
    mark: Option<ClaimId>,
    /// Open while none; else when it ended, in order, and whether it succeeded.
    end: Option<(usize, bool)>,
}

/// How a device stands by its machine actions.
#[derive(Debug, Clone, PartialEq)]
enum Standing {
    Free,
    /// A release is open: whoever would isolate it asks a person instead.
    Releasing,
    CutOff(ActionId),
}

fn standing(actions: &[Action]) -> Standing {
    let open =
        |effect| actions.iter().rev().find(move |action| action.end.is_none() && action.effect == effect);
    if open(Effect::Release).is_some() {
        return Standing::Releasing;
    }
    if let Some(action) = open(Effect::Isolate) {
        return Standing::CutOff(action.id.clone());
    }
    let succeeded = actions.iter().filter(|action| action.end.is_some_and(|(_, well)| well));
    match succeeded.max_by_key(|action| action.end) {
        Some(action) if action.effect == Effect::Isolate => Standing::CutOff(action.id.clone()),
        _ => Standing::Free,
    }
}

/// Whether the device's last isolation or release that succeeded is this one.
fn is_in_force(actions: &[Action], id: Option<&ActionId>) -> bool {
    let succeeded = actions.iter().filter(|action| action.end.is_some_and(|(_, well)| well));
    succeeded.max_by_key(|action| action.end).is_some_and(|action| Some(&action.id) == id)
}

/// A message: it goes from the queue into a worker's hands, and is held, or done, or comes again.
#[derive(Debug, Clone)]
struct Case {
    device: usize,
    effect: Effect,
    by_alert: bool,
}

#[derive(Debug, Clone)]
struct Row<T> {
    value: T,
    version: u64,
}

#[derive(Debug)]
struct Worker {
    case: Case,
    phase: Phase,
}

/// What a worker has read.
#[derive(Debug)]
struct Seen {
    claim: Option<Row<Claim>>,
    brakes: Row<Brakes>,
    actions: Vec<Action>,
    at: Timestamp,
}

/// How far a worker has come. Each version is what its next commit must find.
#[derive(Debug)]
enum Phase {
    Read(Box<Seen>),
    Asking { claim: Row<Claim> },
    Answered { claim: Row<Claim>, event: Event },
}

/// One isolation that was let through.
#[derive(Debug)]
struct Through {
    at: Timestamp,
    device: usize,
    by_alert: bool,
}

#[derive(Debug)]
struct Service {
    now: Timestamp,
    limits: Limits,
    claims: BTreeMap<usize, Row<Claim>>,
    brakes: Row<Brakes>,
    tenant: Vec<Vec<Action>>,
    queue: Vec<Case>,
    held: Vec<(Case, Gate)>,
    workers: Vec<Option<Worker>>,
    cases: usize,
    done: usize,
    ended: usize,
    /// Every isolation that was asked for, by its mark.
    marks: BTreeMap<ClaimId, (usize, u32)>,
    through: Vec<Through>,
    closed_at: Option<Timestamp>,
}

impl Service {
    fn new(limits: Limits) -> Service {
        Service {
            now: start(),
            limits,
            claims: BTreeMap::new(),
            brakes: Row { value: Brakes::default(), version: 0 },
            tenant: vec![Vec::new(); DEVICES],
            queue: Vec::new(),
            held: Vec::new(),
            workers: (0..WORKERS).map(|_| None).collect(),
            cases: 0,
            done: 0,
            ended: 0,
            marks: BTreeMap::new(),
            through: Vec::new(),
            closed_at: None,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Alert(device) => self.enqueue(Case { device, effect: Effect::Isolate, by_alert: true }),
            Op::Order(device, effect) => self.enqueue(Case { device, effect, by_alert: false }),
            Op::Take(worker, case) => self.take(worker, case),
            Op::Step(worker, fate) => self.step(worker, fate),
            Op::Crash(worker) => {
                let lost = self.workers[worker].take();
                self.queue.extend(lost.map(|worker| worker.case));
            }
            Op::Track(device) => self.track(device),
            Op::End(device, well) => self.end(device, well),
            Op::Person(device, effect) => {
                self.act(device, effect, None);
            }
            Op::Pass(time) => self.now += minutes(time),
            Op::Pause(paused) => {
                let pause = paused.then(|| said(self.now));
                self.operate(|brakes, _| brakes.pause = pause);
            }
            Op::Raise(to) => self.operate(|brakes, now| {
                brakes.raised = Some(Raised { to, until: now + minutes(60), said: said(now) });
            }),
            Op::CloseBreaker => {
                let open = self.brakes.value.open.first().map(|open| open.cause.clone());
                if let Some(cause) = open {
                    self.closed_at = Some(self.now);
                    self.operate(|brakes, now| assert!(brakes.close(&cause, now)));
                }
            }
            Op::RunHeld => {
                let held = std::mem::take(&mut self.held);
                self.queue.extend(held.into_iter().map(|(case, _)| case));
            }
        }
    }

    fn enqueue(&mut self, case: Case) {
        self.cases += 1;
        self.queue.push(case);
    }

    fn operate(&mut self, change: impl FnOnce(&mut Brakes, Timestamp)) {
        change(&mut self.brakes.value, self.now);
        self.brakes.version += 1;
    }

    fn take(&mut self, worker: usize, case: usize) {
        if self.workers[worker].is_some() || self.queue.is_empty() {
            return;
        }
        let case = self.queue.remove(case % self.queue.len());
        let seen = Seen {
            claim: self.claims.get(&case.device).cloned(),
            brakes: self.brakes.clone(),
            actions: self.tenant[case.device].clone(),
            at: self.now,
        };
        let phase = Phase::Read(Box::new(seen));
        self.workers[worker] = Some(Worker { case, phase });
    }

    fn step(&mut self, worker: usize, fate: Fate) {
        let Some(Worker { case, phase }) = self.workers[worker].take() else { return };
        let next = match phase {
            Phase::Read(seen) => self.go_on(&case, &seen),
            Phase::Asking { claim } if self.now < claim.value.due => {
                let event = self.call(&case, &claim.value, fate);
                Next::Phase(Box::new(Phase::Answered { claim, event }))
            }
            // It was killed long before.
            Phase::Asking { .. } => Next::Again,
            Phase::Answered { claim, event } => {
                let ends = !matches!(event, Event::Unanswered | Event::NotReached { .. });
                let recorded = self.change(case.device, &claim, event);
                if recorded.is_some() && ends { Next::Done } else { Next::Again }
            }
        };
        match next {
            Next::Phase(phase) => self.workers[worker] = Some(Worker { case, phase: *phase }),
            Next::Again => self.queue.push(case),
            Next::Held(gate) => self.held.push((case, gate)),
            Next::Done => self.done += 1,
        }
    }

    /// The worker decides on what it has read, and commits the first thing that follows.
    fn go_on(&mut self, case: &Case, seen: &Seen) -> Next {
        let (actions, brakes) = (&seen.actions, &seen.brakes);
        let standing = standing(actions);
        let Some(row) = &seen.claim else {
            return match (case.effect, standing) {
                (_, Standing::Releasing) | (Effect::Release, Standing::Free) => Next::Done,
                (Effect::Isolate, Standing::CutOff(theirs)) => self.adopt(case, None, theirs),
                _ => self.begin(case, None, brakes),
            };
        };
        let state = row.value.state;
        if state.is_open() {
            return self.meet_open(case, row);
        }
        if state.is_unanswered() {
            self.settle(case.device, row, actions, seen.at, Event::NotReached { not_before: seen.at });
            return Next::Again;
        }
        match (case.effect, standing) {
            (_, Standing::Releasing) => Next::Done,
            // Somebody else's on top of ours takes ours not back.
            (Effect::Isolate, Standing::CutOff(_)) if is_in_force(actions, row.value.isolation.as_ref()) => {
                Next::Done
            }
            (Effect::Isolate, Standing::CutOff(theirs)) => self.adopt(case, Some(row), theirs),
            (Effect::Release, Standing::Free) => {
                if matches!(state, EffectState::Succeeded | EffectState::Adopted) {
                    self.change(case.device, row, Event::Free);
                }
                Next::Done
            }
            (Effect::Isolate, Standing::Free) | (Effect::Release, Standing::CutOff(_)) => {
                if state == EffectState::Claimed && row.value.effect == case.effect {
                    self.ask(case, row, brakes)
                } else {
                    self.begin(case, Some(row), brakes)
                }
            }
        }
    }

    /// An isolation joins what is open; a release cancels it.
    fn meet_open(&mut self, case: &Case, row: &Row<Claim>) -> Next {
        if row.value.effect == case.effect {
            return Next::Done;
        }
        let action = row.value.action.clone().unwrap();
        let action = self.tenant[case.device].iter_mut().find(|known| known.id == action).unwrap();
        if case.effect == Effect::Release && action.end.is_none() {
            self.ended += 1;
            action.end = Some((self.ended, false));
        }
        Next::Again
    }

    /// A claim is made, and nothing else yet. It comes again to be asked for, as if its owner had died.
    fn begin(&mut self, case: &Case, before: Option<&Row<Claim>>, brakes: &Row<Brakes>) -> Next {
        let value = claim(before.map(|row| &row.value), case.device, case.effect, self.now);
        match self.commit(case.device, before, value, 0) {
            Some(row) => self.ask(case, &row, brakes),
            None => Next::Again,
        }
    }

    fn adopt(&mut self, case: &Case, before: Option<&Row<Claim>>, action: ActionId) -> Next {
        let value = match before {
            Some(row) if row.value.state == EffectState::Adopted => return Next::Done,
            Some(row) if row.value.state == EffectState::Claimed && row.value.effect == Effect::Isolate => {
                row.value.clone()
            }
            before => claim(before.map(|row| &row.value), case.device, Effect::Isolate, self.now),
        };
        let moved = value.after(&tenant(), Event::Adopted { action }, self.now).unwrap();
        match self.record(case.device, before, moved) {
            Some(_) => Next::Done,
            None => Next::Again,
        }
    }

    /// Checks the brakes and moves the claim to `requesting`, in one commit.
    fn ask(&mut self, case: &Case, row: &Row<Claim>, seen: &Row<Brakes>) -> Next {
        if seen.version != self.brakes.version {
            return Next::Again;
        }
        let mut brakes = seen.value.clone();
        let id = device(case.device);
        let causes = if case.by_alert { vec!["detector a".to_owned()] } else { Vec::new() };
        let wish = Wish { device: &id, group: None, causes, fleet: None };
        if case.effect == Effect::Isolate {
            let gate = match &brakes.pause {
                Some(said) if row.value.spent => Some(Gate::Paused(said.clone())),
                _ if row.value.spent => None,
                _ => brakes.gate(&wish, &self.limits, self.now),
            };
            if let Some(gate) = gate {
                if brakes != self.brakes.value {
                    self.brakes = Row { value: brakes, version: self.brakes.version + 1 };
                }
                // What was counted already keeps its place.
                let is_free = row.value.spent || self.change(case.device, row, Event::GivenUp).is_some();
                return if is_free { Next::Held(gate) } else { Next::Again };
            }
        }
        if self.claims.get(&case.device).map(|row| row.version) != Some(row.version) {
            return Next::Again;
        }
        let asked = Event::Asked { quiet: self.now + QUIET };
        let moved = row.value.after(&tenant(), asked, self.now).unwrap();
        if moved.spends {
            brakes.spend(&wish, self.now);
            self.note(case);
        }
        if case.effect == Effect::Isolate {
            assert!(self.brakes.value.pause.is_none(), "asked for while paused");
            self.marks.insert(moved.claim.id.clone(), (case.device, moved.claim.generation));
        }
        self.brakes = Row { value: brakes, version: self.brakes.version + 1 };
        let standing = moved.standing;
        let row = self.commit(case.device, Some(row), moved.claim, standing).unwrap();
        Next::Phase(Box::new(Phase::Asking { claim: row }))
    }

    /// Notes what is let through, and that no limit is overrun by it.
    fn note(&mut self, case: &Case) {
        self.through.push(Through { at: self.now, device: case.device, by_alert: case.by_alert });
        let now = self.now;
        let raised = self.brakes.value.raised.as_ref().filter(|raised| now < raised.until);
        let most = |own: u32| usize::try_from(raised.map_or(own, |raised| raised.to.max(own))).unwrap();
        let within = |span| self.through.iter().filter(move |through| now.duration_since(through.at) < span);
        assert!(within(minutes(60)).count() <= most(self.limits.per_hour), "{:?}", self.through);
        assert!(within(minutes(24 * 60)).count() <= most(self.limits.per_day), "{:?}", self.through);
        assert!(self.brakes.value.open.is_empty() || !case.by_alert, "the breaker is open");
        let mut devices: Vec<usize> = within(self.limits.breaker_window)
            .filter(|through| through.by_alert && self.closed_at.is_none_or(|closed| through.at >= closed))
            .map(|through| through.device)
            .collect();
        devices.sort_unstable();
        devices.dedup();
        assert!(devices.len() <= usize::try_from(self.limits.breaker_devices).unwrap() || !case.by_alert);
    }

    /// How many were let through in so long.
    fn used(&self, span: SignedDuration) -> usize {
        self.through.iter().filter(|through| self.now.duration_since(through.at) < span).count()
    }

    fn call(&mut self, case: &Case, claim: &Claim, fate: Fate) -> Event {
        let acts = matches!(fate, Fate::Acts | Fate::ActsUnheard);
        let open = |action: &&Action| action.end.is_none() && action.effect == case.effect;
        if let Some(open) = self.tenant[case.device].iter().find(open) {
            let action = open.id.clone();
            return match (fate, case.effect) {
                (Fate::NotReached, _) => Event::NotReached { not_before: self.now },
                (Fate::Acts, Effect::Isolate) => Event::Adopted { action },
                (Fate::Acts, Effect::Release) => Event::Accepted { action, look: self.now },
                _ => Event::Unanswered,
            };
        }
        let action = acts.then(|| self.act(case.device, case.effect, Some(claim.id.clone())));
        match (fate, action) {
            (Fate::Acts, Some(action)) => Event::Accepted { action, look: self.now + minutes(1) },
            (Fate::NotReached, _) => Event::NotReached { not_before: self.now },
            (Fate::Refuses, _) => Event::Rejected,
            _ => Event::Unanswered,
        }
    }

    fn act(&mut self, device: usize, effect: Effect, mark: Option<ClaimId>) -> ActionId {
        let number: usize = self.tenant.iter().map(Vec::len).sum();
        let id: ActionId = format!("action-{number}").parse().unwrap();
        self.tenant[device].push(Action { id: id.clone(), effect, mark, end: None });
        id
    }

    fn end(&mut self, device: usize, well: bool) {
        self.ended += 1;
        let ended = self.ended;
        if let Some(action) = self.tenant[device].iter_mut().find(|action| action.end.is_none()) {
            action.end = Some((ended, well));
        }
    }

    /// Finds what was asked for under this claim, or, after its quiet time, that nothing was.
    fn settle(&mut self, device: usize, row: &Row<Claim>, actions: &[Action], at: Timestamp, none: Event) {
        let claim = &row.value;
        let marks: Vec<ClaimId> =
            (1..=claim.attempt).map(|attempt| claim.id_of(&tenant(), attempt)).collect();
        let own = actions.iter().find(|action| action.mark.as_ref().is_some_and(|mark| marks.contains(mark)));
        if let Some(own) = own {
            self.change(device, row, Event::Accepted { action: own.id.clone(), look: at });
        } else if at >= claim.due {
            self.change(device, row, none);
        }
    }

    fn track(&mut self, device: usize) {
        let Some(row) = self.claims.get(&device).cloned() else { return };
        let actions = self.tenant[device].clone();
        let claim = &row.value;
        if claim.state.is_unanswered() {
            return self.settle(device, &row, &actions, self.now, Event::Rejected);
        }
        if claim.state.is_open() {
            let action = actions.iter().find(|action| Some(&action.id) == claim.action.as_ref()).unwrap();
            let event = match action.end {
                None => Event::Waiting { look: self.now + minutes(1) },
                Some((_, true)) => Event::Ended(Ending::Succeeded),
                Some((_, false)) => Event::Ended(Ending::Failed),
            };
            self.change(device, &row, event);
            return;
        }
        let stands = claim.effect == Effect::Release || claim.state != EffectState::Claimed;
        if claim.is_cut_off() && stands && standing(&actions) == Standing::Free {
            self.change(device, &row, Event::Free);
        } else if claim.is_unsettled() && self.now >= claim.due + PATIENCE {
            self.change(device, &row, Event::Rejected);
        }
    }

    /// Moves a claim, with the count of what stands in the same commit. None where somebody was faster.
    fn change(&mut self, device: usize, row: &Row<Claim>, event: Event) -> Option<Row<Claim>> {
        let moved = row.value.after(&tenant(), event, self.now).unwrap();
        assert!(!moved.spends);
        self.record(device, Some(row), moved)
    }

    fn record(&mut self, device: usize, expected: Option<&Row<Claim>>, moved: Moved) -> Option<Row<Claim>> {
        let row = self.commit(device, expected, moved.claim, moved.standing)?;
        if moved.gives_back {
            let id = crate::device(device);
            self.operate(|brakes, _| brakes.give_back(&id));
            let last = self.through.iter().rposition(|through| through.device == device);
            if let Some(last) = last {
                self.through.remove(last);
            }
        }
        Some(row)
    }

    fn commit(
        &mut self,
        device: usize,
        expected: Option<&Row<Claim>>,
        value: Claim,
        standing: i32,
    ) -> Option<Row<Claim>> {
        if self.claims.get(&device).map(|row| row.version) != expected.map(|row| row.version) {
            return None;
        }
        let row = Row { value, version: expected.map_or(1, |row| row.version + 1) };
        self.claims.insert(device, row.clone());
        if standing != 0 {
            self.operate(|brakes, _| brakes.count(standing));
        }
        Some(row)
    }

    /// What holds after every step.
    fn check(&self) {
        let counted = self.claims.values().filter(|row| row.value.counted).count();
        assert_eq!(usize::try_from(self.brakes.value.standing).unwrap(), counted);
        let spent = self.brakes.value.spent.len();
        assert!(spent <= self.through.len() && spent >= self.used(DAY), "{spent}: {:?}", self.through);
        let at_work = self.workers.iter().flatten().count();
        assert_eq!(self.queue.len() + at_work + self.held.len() + self.done, self.cases, "a case is lost");
        for (device, actions) in self.tenant.iter().enumerate() {
            self.check_device(device, actions);
        }
        for worker in self.workers.iter().flatten() {
            if let Phase::Asking { claim } | Phase::Answered { claim, .. } = &worker.phase {
                let row = &self.claims[&worker.case.device];
                assert!(row.version != claim.version || row.value.is_unsettled(), "nobody would come back");
            }
        }
    }

    fn check_device(&self, device: usize, actions: &[Action]) {
        let isolations = actions.iter().filter(|action| action.effect == Effect::Isolate);
        let mut generations: Vec<u32> =
            isolations.filter_map(|action| Some(self.marks[action.mark.as_ref()?].1)).collect();
        let all = generations.len();
        generations.sort_unstable();
        generations.dedup();
        assert_eq!(generations.len(), all, "two isolations in one generation: {actions:?}");
        let Some(row) = self.claims.get(&device) else { return };
        let is_ours = |id: &ActionId| {
            actions
                .iter()
                .any(|action| action.id == *id && action.mark.is_some() && action.effect == Effect::Isolate)
        };
        if let Standing::CutOff(id) = standing(actions)
            && is_ours(&id)
        {
            assert!(row.value.is_cut_off(), "isolated by us, and not listed: {row:?}, {actions:?}");
            assert!(row.value.counted, "isolated by us, and not counted: {row:?}, {actions:?}");
        }
        for action in actions.iter().filter(|action| action.end.is_none()) {
            if let Some(mark) = &action.mark {
                let listed = row.value.is_unsettled();
                assert!(listed, "nobody looks at {action:?} with the mark {mark}: {row:?}");
            }
        }
    }

    /// Everything heals, the operator lets everything go on, and every case comes to its end.
    fn finish(&mut self) {
        for worker in 0..WORKERS {
            self.apply(Op::Crash(worker));
        }
        self.apply(Op::Pause(false));
        self.limits.breaker_devices = 100;
        for _ in 0..200 {
            self.apply(Op::CloseBreaker);
            self.apply(Op::Raise(100));
            self.apply(Op::RunHeld);
            self.apply(Op::Take(0, 0));
            for _ in 0..3 {
                self.apply(Op::Step(0, Fate::Acts));
                self.check();
            }
            for device in 0..DEVICES {
                self.apply(Op::End(device, true));
                self.apply(Op::Track(device));
                self.check();
            }
            self.apply(Op::Pass(6));
        }
        assert_eq!(self.done, self.cases, "{self:#?}");
        assert!(self.claims.values().all(|row| !row.value.is_unsettled()), "{self:#?}");
    }
}

/// What becomes of a worker's case.
enum Next {
    Phase(Box<Phase>),
    /// The message comes again.
    Again,
    Held(Gate),
    Done,
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (1..4_u32, 1..6_u32, 1..4_u32, 1..3_u32).prop_map(|(hour, day, standing, breaker)| Limits {
        per_hour: hour,
        per_day: day,
        standing_least: standing,
        breaker_devices: breaker,
        ..Limits::default()
    })
}

proptest! {
    #[test]
    fn no_order_of_events_isolates_twice_overspends_or_loses_a_case(
        limits in any_limits(),
        ops in prop::collection::vec(any_op(), 0..250),
    ) {
        let mut service = Service::new(limits);
        for op in ops {
            service.apply(op);
            service.check();
        }
        service.finish();
    }
}
