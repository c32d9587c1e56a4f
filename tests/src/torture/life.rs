//! A life: the plan of a seed played through. Workers run the real steps; whoever drives them chooses at every call to the
//! outside who goes on, what fails and who dies, and moves the one clock.
//!
//! No two workers ever run at the same moment: what is drawn is the order of their calls, which is all that the outside
//! can see. Whether it all ended well is `judge`'s business.

use super::{
    chronicle::Chronicle,
    memory::Memory,
    outside::{Door, Fate, Log, Op, Outside, Pair},
    plan::{Event, Ground, Limit, PERSON, Plan},
};
use crate::{connection, device, hours, minutes, seconds, shipped_playbook, stage};
use credentials::{Problems, Vars};
use defender::connect;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use local::{Host, Parts, Store};
use model::{Cause, EffectRequested, Envelope, Limits, Mode, TenantId, Wanted};
use policy::{Channel, ChannelKind, Playbook};
use ports::{Brakes, Count, Held, Out, QueueName, Raised, Said, State, Stored};
use simulator::{Reached, Simulator, Stop};
use std::{
    cell::Cell,
    collections::BTreeMap,
    future::poll_fn,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::Poll,
};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

/// How often the tenant is asked for alerts, and the open isolations are looked after.
const INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// The same while nothing is expected to happen any more.
const SELDOM: SignedDuration = SignedDuration::from_hours(1);

/// No function runs for longer: whoever does is killed.
const MOST: SignedDuration = SignedDuration::from_secs(120);

/// How much likelier a crash is while a device is asked for, and trouble with a batch, than elsewhere.
const DELICATE: f64 = 5.0;

/// How long before the end devices that went offline come back.
const BACK_BEFORE: SignedDuration = SignedDuration::from_hours(12);

/// How long after its end a life goes on for messages that were sent just before it.
const DRAIN: SignedDuration = SignedDuration::from_hours(2);

/// How many milliseconds later, at most, the service comes to a request of somebody who has died.
const LINGERS: i64 = 60_000;

/// More decisions than any life needs: beyond that, something goes round in circles.
const DECISIONS: usize = 400_000;

thread_local! {
    /// The time after a step; a host asks for it by a plain function.
    static CLOCK: Cell<Timestamp> = const { Cell::new(Timestamp::UNIX_EPOCH) };
}

fn clock() -> Timestamp {
    CLOCK.get()
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Duty {
    Poll,
    Track,
    Consume(QueueName),
}

/// A process, or a part of one, and what it is at.
struct Worker {
    duty: Duty,
    /// None before its first start and after a crash.
    host: Option<Arc<Host>>,
    door: Arc<Door>,
    job: Option<Job>,
}

struct Job {
    future: Pin<Box<dyn Future<Output = Done>>>,
    began: Timestamp,
    at: At,
}

/// Where a job stands.
enum At {
    Start,
    Door(Op),
    Request(Stop),
    Asleep(Timestamp),
}

/// What came of a job.
enum Done {
    Polled(bool),
    Tracked(Option<Timestamp>),
    Consumed,
}

/// Why a job stands still.
enum Halt {
    Done(Done),
    Door(Op),
    Request(Stop),
    Dead,
}

/// What went wrong on purpose, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrongs {
    pub crashes: u64,
    /// By kind: those of the queue and the state here, those of the tenant in the simulator's journal.
    pub troubles: BTreeMap<&'static str, u64>,
    /// Crashes and troubles just after a channel was told, before that was written down.
    pub forgotten_tellings: u64,
}

/// What is left of a life for the judge.
#[derive(Debug)]
pub struct Ended {
    pub plan: Plan,
    pub simulator: Arc<Simulator>,
    pub pair: Pair,
    pub log: Arc<Mutex<Log>>,
    pub chronicle: Chronicle,
    pub wrongs: Wrongs,
    pub told: u64,
    pub doubled: u64,
    pub tenant: TenantId,
    pub now: Timestamp,
    pub folder: TempDir,
    /// What happened, in order: the same for the same seed.
    pub story: Vec<String>,
    /// Why it did not come to rest, and what failed when nothing went wrong any more.
    pub failures: Vec<String>,
}

impl Ended {
    pub fn state(&self) -> State {
        State::new(self.pair.state())
    }

    pub fn mail_folder(&self) -> PathBuf {
        self.folder.path().join("mail")
    }
}

struct Life {
    plan: Plan,
    rng: Rng,
    simulator: Arc<Simulator>,
    stops: UnboundedReceiver<Stop>,
    pair: Pair,
    log: Arc<Mutex<Log>>,
    chronicle: Chronicle,
    workers: Vec<Worker>,
    tenant: TenantId,
    folder: TempDir,
    now: Timestamp,
    next_poll: Timestamp,
    next_track: Timestamp,
    /// Everything is dead until then.
    dead_until: Timestamp,
    /// What fails when nothing goes wrong any more.
    late_failures: Vec<String>,
    /// Requests of the dead that the service has not come to yet, and when it does.
    lingering: Vec<(Timestamp, Stop)>,
    events: std::vec::IntoIter<(Timestamp, Event)>,
    upcoming: Option<(Timestamp, Event)>,
    is_healed: bool,
    is_back: bool,
    wrongs: Wrongs,
    told: u64,
    orders: u64,
    story: Vec<String>,
}

/// Plays a plan to its end.
pub async fn live(plan: Plan) -> Ended {
    fastrand::seed(plan.seed);
    CLOCK.set(plan.world.now);
    let simulator = Arc::new(Simulator::start(plan.world.clone()).await.unwrap());
    let stops = simulator.stop_requests();
    let pair = match plan.ground {
        Ground::Local => Pair::Local(Store::in_memory().unwrap()),
        Ground::Cloud => Pair::Cloud(Arc::new(Memory::new(plan.seed, plan.temper))),
    };
    let now = plan.world.now;
    let copies = match plan.ground {
        Ground::Local => 1,
        Ground::Cloud => 2,
    };
    let duties = QueueName::ALL.map(Duty::Consume).into_iter().chain([Duty::Poll, Duty::Track]);
    let workers = duties
        .flat_map(|duty| (0..copies).map(move |_| duty))
        .map(|duty| Worker { duty, host: None, door: Arc::default(), job: None })
        .collect();
    let mut events = plan.events.clone().into_iter();
    let upcoming = events.next();
    let mut life = Life {
        rng: Rng::with_seed(plan.seed ^ 0x5eed),
        chronicle: Chronicle::of(&plan.world),
        simulator,
        stops,
        pair,
        log: Arc::default(),
        workers,
        tenant: plan.world.tenant.parse().unwrap(),
        folder: scratch(),
        now,
        next_poll: now,
        next_track: now,
        dead_until: now,
        lingering: Vec::new(),
        late_failures: Vec::new(),
        events,
        upcoming,
        is_healed: false,
        is_back: false,
        wrongs: Wrongs::default(),
        told: 0,
        orders: 0,
        story: Vec::new(),
        plan,
    };
    let restless = life.play().await.err();
    life.late_failures.extend(restless);
    life.end()
}

/// In memory where the machine has such a folder: every mail is written to the disk before it counts.
fn scratch() -> TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm).unwrap() } else { tempfile::tempdir().unwrap() }
}

impl Life {
    async fn play(&mut self) -> Result<(), String> {
        for _ in 0..DECISIONS {
            self.happen().await;
            self.linger().await;
            if !self.is_healed && self.now >= self.plan.heals_at {
                self.heal();
            }
            if !self.is_back && self.now >= self.plan.heals_at + self.plan.rest - BACK_BEFORE {
                self.bring_back();
            }
            let able = self.able();
            if let Some(index) = self.rng.choice(able) {
                self.go_on(index).await;
                continue;
            }
            match self.next_time().filter(|next| *next <= self.over_at()) {
                Some(next) => self.set_now(next),
                None if self.redrive().await => {}
                None => return Ok(()),
            }
        }
        Err(format!("{DECISIONS} decisions, and it goes on at {}", self.now))
    }

    /// When it is over: a little later where messages are still under way.
    fn over_at(&self) -> Timestamp {
        let end = self.plan.heals_at + self.plan.rest;
        let is_busy = QueueName::ALL.iter().any(|queue| self.pair.next_due(*queue, self.now).is_some());
        if is_busy { end + DRAIN } else { end }
    }

    /// Whatever is due in the tenant happens.
    async fn happen(&mut self) {
        while let Some((at, event)) = self.upcoming.take_if(|(at, _)| *at <= self.now) {
            self.upcoming = self.events.next();
            self.tell(|| format!("{at} {event:?}"));
            self.apply(event).await;
        }
    }

    /// The service comes to what the dead have asked for. Nobody hears its answer.
    async fn linger(&mut self) {
        while let Some(index) = self.lingering.iter().position(|(at, _)| *at <= self.now) {
            let (_, stop) = self.lingering.swap_remove(index);
            let line = format!("{} the service comes to {} of somebody dead", self.now, stop.route);
            self.tell(|| line);
            stop.go();
            drop(self.stops.recv().await);
        }
    }

    fn heal(&mut self) {
        self.is_healed = true;
        self.simulator.with(|world| {
            world.chaos = None;
            world.faults.clear();
        });
        if let Pair::Cloud(memory) = &self.pair {
            memory.calm();
        }
        self.tell(|| "everything is kind from now on".to_owned());
    }

    /// Half a day before the end every device is there: the timer orders a release anew for as long as one is not.
    fn bring_back(&mut self) {
        self.is_back = true;
        self.simulator.with(|world| {
            let all: Vec<String> = world.machines.iter().map(|machine| machine.id.clone()).collect();
            let offline = |id: &String| {
                world
                    .find_machine(id)
                    .is_some_and(|machine| machine.behaviour == simulator::Behaviour::Offline)
            };
            let gone: Vec<String> = all.into_iter().filter(offline).collect();
            gone.iter().for_each(|id| world.bring_online(id));
        });
    }

    /// The workers that could do something now.
    fn able(&self) -> Vec<usize> {
        let all = self.ready().into_iter().enumerate();
        all.filter(|(_, at)| at.is_some_and(|at| at <= self.now)).map(|(index, _)| index).collect()
    }

    /// When each worker could do something next; none where only something else can bring it work.
    fn ready(&self) -> Vec<Option<Timestamp>> {
        let messages: BTreeMap<QueueName, Option<Timestamp>> =
            QueueName::ALL.map(|queue| (queue, self.pair.next_due(queue, self.now))).into();
        let ready = |worker: &Worker| match (&worker.job, worker.duty) {
            (Some(Job { at: At::Asleep(until), .. }), _) => Some(*until),
            (Some(_), _) => Some(self.now),
            (None, Duty::Poll) => Some(self.next_poll),
            (None, Duty::Track) => Some(self.next_track),
            (None, Duty::Consume(queue)) => messages.get(&queue).copied().flatten(),
        };
        let alive = |at: Timestamp| at.max(self.dead_until);
        self.workers.iter().map(|worker| ready(worker).map(alive)).collect()
    }

    /// When something can happen next.
    fn next_time(&self) -> Option<Timestamp> {
        let ours = self.ready().into_iter().flatten().min();
        let theirs = self.upcoming.as_ref().map(|(at, _)| *at);
        let heals = (!self.is_healed).then_some(self.plan.heals_at);
        // A queue keeps its times to the microsecond only.
        let lingering = self.lingering.iter().map(|(at, _)| *at).min();
        let next = [ours, theirs, heals, lingering].into_iter().flatten().min()?;
        Some(next.max(self.now + SignedDuration::from_micros(1)))
    }

    fn set_now(&mut self, now: Timestamp) {
        self.now = now;
        CLOCK.set(now);
        self.simulator.set_now(now);
    }

    /// One step of one worker, and whatever befalls it.
    async fn go_on(&mut self, index: usize) {
        if !self.is_healed && self.chance(self.plan.unkind.haste) {
            let passed = SignedDuration::from_millis(self.rng.i64(1..8_000));
            self.set_now(self.now + passed);
        }
        let Some(at) = self.take_up(index) else { return };
        let is_late = self.job(index).is_some_and(|job| self.now.duration_since(job.began) > MOST);
        let delicate = matches!(&at, At::Request(stop) if stop.route.starts_with("POST") && stop.route.ends_with("isolate"));
        let crash = self.plan.unkind.crash * if delicate { DELICATE } else { 1.0 };
        if is_late || (!self.is_healed && self.chance(crash)) {
            return self.crash(index, at, is_late).await;
        }
        match at {
            At::Start | At::Asleep(_) => {
                if matches!(at, At::Asleep(_)) {
                    self.answer(index, Fate::Happens);
                }
            }
            At::Door(Op::Pause(how_long)) => {
                // Until it wakes, others go on.
                self.stand(index, At::Asleep(self.now + how_long));
                return;
            }
            At::Door(op) => {
                let fate = self.fate(op);
                self.note(index, || format!("{op:?} {fate:?}"));
                self.answer(index, fate);
            }
            At::Request(stop) => {
                if stop.reached == Reached::Arrival {
                    self.note(index, || stop.route.clone());
                }
                stop.go();
            }
        }
        self.run(index).await;
    }

    /// What a worker stands at, a new job where it had none; none where there is nothing to do.
    fn take_up(&mut self, index: usize) -> Option<At> {
        let needs_job = self.workers.get(index)?.job.is_none();
        if needs_job {
            self.begin(index);
        }
        let job = self.workers.get_mut(index)?.job.as_mut()?;
        Some(std::mem::replace(&mut job.at, At::Start))
    }

    fn job(&self, index: usize) -> Option<&Job> {
        self.workers.get(index)?.job.as_ref()
    }

    fn stand(&mut self, index: usize, at: At) {
        if let Some(job) = self.workers.get_mut(index).and_then(|worker| worker.job.as_mut()) {
            job.at = at;
        }
    }

    fn answer(&self, index: usize, fate: Fate) {
        if let Some(worker) = self.workers.get(index) {
            worker.door.answer(fate);
        }
    }

    fn begin(&mut self, index: usize) {
        let now = self.now;
        let Some(duty) = self.workers.get(index).map(|worker| worker.duty) else { return };
        let pace = if self.is_healed { SELDOM } else { INTERVAL };
        match duty {
            Duty::Poll => self.next_poll = now + pace,
            Duty::Track => self.next_track = now + pace,
            Duty::Consume(_) => {}
        }
        let host = match self.workers.get(index).and_then(|worker| worker.host.clone()) {
            Some(host) => host,
            None => self.start(index),
        };
        let future: Pin<Box<dyn Future<Output = Done>>> = Box::pin(async move {
            match duty {
                Duty::Poll => Done::Polled(host.poll(now).await.is_ok()),
                Duty::Track => Done::Tracked(host.track(now).await.ok().and_then(|done| done.next_look)),
                Duty::Consume(queue) => {
                    // A queue that fails is looked into again with the next message.
                    let _ = host.consume(queue, now).await;
                    Done::Consumed
                }
            }
        });
        if let Some(worker) = self.workers.get_mut(index) {
            worker.job = Some(Job { future, began: now, at: At::Start });
        }
        self.note(index, || "begins".to_owned());
    }

    /// A cold start: nothing is known but what stands in queue and state.
    fn start(&mut self, index: usize) -> Arc<Host> {
        let door = Arc::new(Door::default());
        let outside =
            Arc::new(Outside { pair: self.pair.clone(), door: door.clone(), log: self.log.clone() });
        let connection = connection(&self.simulator.url(), &[]);
        let mut problems = Problems::default();
        let folder = ChannelKind::Folder { path: self.folder.path().join("mail") };
        let channel = Channel::new("mail", folder);
        let channels = notify::open(&[channel], &Vars::default(), None, &mut problems);
        let (reader, responder, _) = connect(&connection, door.clone()).unwrap();
        let host = Arc::new(Host::new(Parts {
            tenant: connection.tenant.clone(),
            reader,
            responder,
            playbook: playbook(&self.plan),
            hunts: Vec::new(),
            environment_mode: Some(Mode::Enforce),
            lookback: minutes(15),
            channels,
            templates: notify::Templates::shipped(),
            portal: connection.endpoints.portal.clone(),
            queue: outside.clone(),
            state: outside,
            clock: Some(clock),
        }));
        if let Some(worker) = self.workers.get_mut(index) {
            (worker.host, worker.door) = (Some(host.clone()), door);
        }
        host
    }

    fn fate(&mut self, op: Op) -> Fate {
        // Batches are rare, and a part of one is the trouble that only they have.
        let likelier = if op == (Op::Send { several: true }) { DELICATE } else { 1.0 };
        if self.is_healed || !self.chance(self.plan.unkind.trouble * likelier) {
            return Fate::Happens;
        }
        let fates: &[Fate] = match op {
            Op::Read | Op::Receive => &[Fate::Fails],
            Op::Settle => &[Fate::Fails, Fate::Unheard],
            Op::Send { several: false } => &[Fate::Fails, Fate::Unheard],
            Op::Send { several: true } => &[Fate::Fails, Fate::Unheard, Fate::Partly, Fate::Partly],
            Op::Commit | Op::Remember => &[Fate::Fails, Fate::Unheard, Fate::Contended],
            Op::Pause(_) => &[Fate::Happens],
        };
        let fate = self.rng.choice(fates).copied().unwrap_or(Fate::Happens);
        let word = match (op, fate) {
            (_, Fate::Happens | Fate::ThenDies) => return fate,
            (Op::Read, _) => "a read fails",
            (Op::Receive | Op::Settle, _) => "receiving or settling fails",
            (Op::Send { .. }, Fate::Partly) => "a batch is sent in part",
            (Op::Send { .. }, _) => "a message may have been sent",
            (_, Fate::Contended) => "a commit is contended",
            (_, Fate::Fails | Fate::Unheard | Fate::Partly) => "a commit may have happened",
        };
        *self.wrongs.troubles.entry(word).or_default() += 1;
        self.wrongs.forgotten_tellings += u64::from(op == Op::Remember);
        fate
    }

    /// Dies before or just after what it was about to do; on one machine, everything dies with it.
    async fn crash(&mut self, index: usize, at: At, is_late: bool) {
        self.wrongs.crashes += 1;
        if self.job(index).is_some_and(|job| job.began >= self.plan.heals_at) {
            self.late_failures.push(format!("a worker takes too long at {}, when all is kind", self.now));
        }
        let happens = self.rng.bool();
        self.wrongs.forgotten_tellings += u64::from(matches!(at, At::Door(Op::Remember)));
        self.note(index, || match is_late {
            true => "is killed, because it takes too long".to_owned(),
            false => format!("dies, {}", if happens { "after all" } else { "before anything" }),
        });
        match at {
            At::Door(op) if happens && !matches!(op, Op::Pause(_)) => {
                self.answer(index, Fate::ThenDies);
                self.run(index).await;
            }
            At::Request(stop) if stop.reached == Reached::Arrival && self.rng.bool() => {
                let later = self.now + SignedDuration::from_millis(self.rng.i64(0..LINGERS));
                self.lingering.push((later, stop));
            }
            At::Request(stop) if happens && stop.reached == Reached::Arrival => {
                stop.go();
                self.run(index).await;
            }
            At::Start | At::Door(_) | At::Request(_) | At::Asleep(_) => {}
        }
        match self.plan.ground {
            Ground::Local => self.kill_all(),
            Ground::Cloud => self.kill(index),
        }
    }

    fn kill_all(&mut self) {
        (0..self.workers.len()).for_each(|index| self.kill(index));
    }

    fn kill(&mut self, index: usize) {
        let Some(worker) = self.workers.get_mut(index) else { return };
        let job = worker.job.take();
        self.wrongs.forgotten_tellings +=
            u64::from(job.is_some_and(|job| matches!(job.at, At::Door(Op::Remember))));
        if let Some(host) = worker.host.take() {
            self.told += host.tally().get(Count::NotificationsSent);
        }
    }

    /// Runs a job until it stands still again.
    async fn run(&mut self, index: usize) {
        let Some(worker) = self.workers.get_mut(index) else { return };
        let Some(job) = worker.job.as_mut() else { return };
        let (door, stops) = (&worker.door, &mut self.stops);
        let halt = poll_fn(|cx| {
            if let Poll::Ready(done) = job.future.as_mut().poll(cx) {
                return Poll::Ready(Halt::Done(done));
            }
            if door.is_dead() {
                return Poll::Ready(Halt::Dead);
            }
            if let Some(op) = door.asked() {
                return Poll::Ready(Halt::Door(op));
            }
            match stops.poll_recv(cx) {
                Poll::Ready(Some(stop)) => Poll::Ready(Halt::Request(stop)),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match halt {
            Halt::Door(op) => job.at = At::Door(op),
            Halt::Request(stop) => job.at = At::Request(stop),
            Halt::Dead => {}
            Halt::Done(done) => {
                let began = job.began;
                worker.job = None;
                match done {
                    Done::Polled(true) => self.chronicle.polls.push(began),
                    Done::Consumed => {}
                    // The next minute's poll goes on where this one was.
                    Done::Polled(false) => {
                        self.next_poll = self.next_poll.min(self.now + INTERVAL);
                        if began >= self.plan.heals_at {
                            self.late_failures
                                .push(format!("a poll fails at {}, when all is kind", self.now));
                        }
                    }
                    Done::Tracked(next) => {
                        let next = next.unwrap_or(self.next_track).max(self.now + seconds(1));
                        self.next_track = self.next_track.min(next);
                    }
                }
            }
        }
    }

    /// What a person does with dead letters in the end: each goes back once. False where there are none to put back.
    async fn redrive(&mut self) -> bool {
        let queue = self.pair.queue();
        let mut put_back = false;
        for letter in stage::dead_letters(&*queue).await {
            let is_known = self.chronicle.redriven.iter().any(|known| known.body == letter.body);
            if !is_known && queue.redrive(letter.queue, &letter.id, self.now).await.unwrap_or(false) {
                self.tell(|| format!("put back into {}: {}", letter.queue, letter.reason));
                self.chronicle.redriven.push(letter);
                put_back = true;
            }
        }
        put_back
    }

    async fn apply(&mut self, event: Event) {
        let now = self.now;
        let machine = |number: u32| device(number).to_string();
        match event {
            Event::Appears(alert) => self.simulator.with(|world| world.alerts.push(*alert)),
            Event::Raised(id) => self.change(&id, |alert| alert.severity = "High".to_owned()),
            Event::Resolved(id) => self.change(&id, |alert| alert.status = "Resolved".to_owned()),
            Event::Triaged(id) => self.change(&id, |alert| alert.assigned_to = Some(PERSON.to_owned())),
            Event::MoreEvidence(id, account) => self.change(&id, |alert| {
                alert.evidence.push(simulator::Evidence::user(now, "CONTOSO", account.clone()));
            }),
            Event::PersonIsolates(number) => self.simulator.with(|world| {
                let id = machine(number);
                let is_open = |action: &&simulator::MachineAction| !action.status.is_final();
                // The portal offers it only where nothing is under way.
                if !world.is_isolated(&id) && !world.actions_of(&id).iter().any(is_open) {
                    world.isolate_by_person(&id, PERSON);
                }
            }),
            Event::PersonReleases(number) => self.simulator.with(|world| {
                let id = machine(number);
                if world.is_isolated(&id) {
                    world.release_by_person(&id, PERSON);
                }
            }),
            Event::PersonCancels(number) => self.simulator.with(|world| {
                let open =
                    world.actions_of(&machine(number)).into_iter().rfind(|action| !action.status.is_final());
                if let Some(id) = open.map(|action| action.id.clone()) {
                    world.cancel(&id, PERSON);
                }
            }),
            Event::Tagged(number) => self.simulator.with(|world| {
                if let Some(machine) = world.machine_mut(&machine(number)) {
                    machine.machine_tags.push("cordon-exclude".to_owned());
                }
            }),
            Event::GoesOffline(number) => {
                self.simulator.with(|world| world.take_offline(&machine(number)));
                self.plan.rest = self.plan.rest.max(hours(100));
            }
            Event::ComesOnline(number) => self.simulator.with(|world| world.bring_online(&machine(number))),
            Event::TokensRevoked => self.simulator.with(simulator::World::revoke_tokens),
            Event::OrderIsolate(number) => {
                let wanted = Wanted::Isolate { isolation_type: None, even_so: false };
                self.order(wanted, number, None).await;
            }
            Event::OrderRelease(number) => self.order(Wanted::Release, number, None).await,
            Event::RunHeld => self.run_held().await,
            Event::Pause => self.brake(|brakes, said| brakes.pause = Some(said)).await,
            Event::Resume => self.brake(|brakes, _| brakes.pause = None).await,
            Event::Raise(to) => {
                let until = now + hours(1);
                self.chronicle.raised.push((now, until, to));
                self.brake(|brakes, said| brakes.raised = Some(Raised { to, until, said })).await;
            }
            Event::CloseBreakers => {
                self.brake(|brakes, said| {
                    let causes: Vec<String> = brakes.open.iter().map(|open| open.cause.clone()).collect();
                    for cause in causes {
                        brakes.close(&cause, said.at);
                    }
                })
                .await;
            }
            Event::Outage(how_long) => {
                self.kill_all();
                self.wrongs.crashes += 1;
                self.dead_until = self.dead_until.max(now + how_long);
            }
        }
        let world = self.simulator.with(|world| world.clone());
        self.chronicle.note(&world, now);
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut simulator::Alert)) {
        self.simulator.with(|world| world.change_alert(id, change));
    }

    async fn order(&mut self, wanted: Wanted, number: u32, held: Option<&Held>) {
        self.orders += 1;
        let order = EffectRequested {
            wanted,
            device: held.map_or_else(|| device(number), |held| held.device.clone()),
            cause: if held.is_some() { Cause::Held } else { Cause::Operator },
            alert: held.map(|held| held.alert.clone()),
            claim: None,
            by: crate::OPERATOR.to_owned(),
            why: "because I say so".to_owned(),
            not_after: self.now + EffectRequested::HOLDS,
        };
        let number = self.orders.to_string();
        let message = Envelope::new(&self.tenant, &["order", &number], "an-order", self.now, order.clone());
        self.chronicle.orders.push((self.now, message.id.clone(), order));
        let out = Out { body: message.encode().unwrap(), delay: SignedDuration::ZERO };
        for sent in self.pair.queue().send(QueueName::EffectsRequested, &[out], self.now).await {
            sent.unwrap();
        }
    }

    async fn run_held(&mut self) {
        let state = State::new(self.pair.state());
        let held: Vec<Stored<Held>> =
            state.query_all(&Held::partition(&self.tenant), "held#", self.now).await.unwrap();
        for held in held {
            let wanted = Wanted::Isolate { isolation_type: None, even_so: false };
            self.order(wanted, 0, Some(&held.value)).await;
        }
    }

    /// Changes the brakes as the operator's commands do.
    async fn brake(&mut self, change: impl FnOnce(&mut Brakes, Said)) {
        let state = State::new(self.pair.state());
        let said = stage::said(self.now);
        let change = |brakes: &mut Brakes| change(brakes, said);
        let brakes = stage::change_brakes(&state, &self.tenant, self.now, change).await;
        self.chronicle.paused(brakes.pause.is_some(), self.now);
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.f64() < probability
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        let line = line();
        self.story.push(line);
    }

    fn note(&mut self, index: usize, what: impl FnOnce() -> String) {
        let duty = self.workers.get(index).map(|worker| worker.duty);
        let name = match duty {
            Some(Duty::Poll) => "poll".to_owned(),
            Some(Duty::Track) => "track".to_owned(),
            Some(Duty::Consume(queue)) => queue.to_string(),
            None => String::new(),
        };
        let line = format!("{} {name}/{index} {}", self.now, what());
        self.story.push(line);
    }

    fn end(mut self) -> Ended {
        self.kill_all();
        drop(self.stops);
        let doubled = match &self.pair {
            Pair::Cloud(memory) => memory.doubled(),
            Pair::Local(_) => 0,
        };
        Ended {
            plan: self.plan,
            simulator: self.simulator,
            pair: self.pair,
            log: self.log,
            chronicle: self.chronicle,
            wrongs: self.wrongs,
            told: self.told,
            doubled,
            tenant: self.tenant,
            now: self.now,
            folder: self.folder,
            story: self.story,
            failures: self.late_failures,
        }
    }
}

/// The shipped playbook with the plan's settings. Reading one takes longer than many a life, so each is read once.
fn playbook(plan: &Plan) -> Arc<Playbook> {
    type Kept = Mutex<BTreeMap<(Limit, bool, bool), Arc<Playbook>>>;
    static KEPT: OnceLock<Kept> = OnceLock::new();
    let mut kept = KEPT.get_or_init(Kept::default).lock().unwrap_or_else(PoisonError::into_inner);
    let read = || {
        let mut playbook = Playbook::read(&shipped_playbook()).unwrap();
        let settings = &mut playbook.settings;
        settings.limits = limits(plan.limit);
        settings.isolation.comment_on_alert = plan.comments;
        settings.isolation.release_after = plan.release_after.then(|| hours(2));
        Arc::new(playbook)
    };
    kept.entry((plan.limit, plan.comments, plan.release_after)).or_insert_with(read).clone()
}

pub fn limits(limit: Limit) -> Limits {
    let most = Limits::MOST;
    match limit {
        Limit::Shipped => Limits::default(),
        Limit::Tight => Limits { per_hour: 2, per_day: 4, breaker_devices: 2, ..Limits::default() },
        Limit::Narrow => Limits { standing_least: 2, ..Limits::default() },
        Limit::Wide => Limits {
            per_hour: most,
            per_day: most,
            standing_least: most,
            breaker_devices: most,
            ..Limits::default()
        },
    }
}
