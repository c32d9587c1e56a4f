//! The local host: the same steps as everywhere, in one process, over one queue and one state.
//!
//! It has no clock of its own and never sleeps: whoever drives it passes `now` and decides when to come back. It knows
//! nothing of settings, nor that its queue and its state are a [`Store`]; its parts are built by the program.

use crate::Store;
use defender::{Reader, Responder};
use enrich::Enrich;
use hunt::{Hunting, HuntingError, HuntsRun};
use jiff::{SignedDuration, Timestamp};
use model::{Mode, TenantId};
use notify::Notify;
use policy::{Hunt, Playbook};
use poll::{Poll, PollError, Polled};
use ports::{
    Count, Queue, QueueBackend, QueueError, QueueName, Settled, State, StateBackend, Tally, dispatch, settle,
};
use respond::Respond;
use std::sync::Arc;
use track::{Track, TrackError, Tracked};

/// What a host is made of.
#[derive(Debug)]
pub struct Parts {
    pub tenant: TenantId,
    pub reader: Reader,
    pub responder: Responder,
    pub playbook: Arc<Playbook>,
    pub hunts: Vec<Hunt>,
    /// What `CORDON_MODE` says.
    pub environment_mode: Option<Mode>,
    pub lookback: SignedDuration,
    pub channels: Vec<notify::Channel>,
    pub templates: notify::Templates,
    /// Where people look at alerts and devices.
    pub portal: String,
    pub queue: Arc<dyn QueueBackend>,
    pub state: Arc<dyn StateBackend>,
    /// What the time is after a step; none where the clock stands still meanwhile.
    pub clock: Option<fn() -> Timestamp>,
}

/// The steps over one queue and one state.
#[derive(Debug)]
pub struct Host {
    poll: Poll,
    hunting: Hunting,
    enrich: Enrich,
    respond: Respond,
    track: Track,
    notify: Notify,
    tenant: TenantId,
    queue: Arc<dyn QueueBackend>,
    tally: Tally,
    clock: Option<fn() -> Timestamp>,
}

/// What a round did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worked {
    /// Messages that were handled, whatever became of them.
    pub messages: usize,
    pub tracked: Tracked,
}

impl Worked {
    /// When there is something to do next; none when only a poll can bring more.
    pub fn next_due(&self, store: &Store, now: Timestamp) -> Result<Option<Timestamp>, HostError> {
        let message = store.next_due(now)?;
        Ok([message, self.tracked.next_look].into_iter().flatten().min())
    }
}

/// Why a round could not be finished. What it was about comes again.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("a queue failed")]
    Queue(#[from] QueueError),
    #[error("following the open isolations failed")]
    Track(#[from] TrackError),
}

impl Host {
    pub fn new(parts: Parts) -> Host {
        let Parts {
            tenant,
            reader,
            responder,
            playbook,
            hunts,
            environment_mode,
            lookback,
            channels,
            templates,
            portal,
            queue: backend,
            state,
            clock,
        } = parts;
        let queue = Queue::new(backend.clone());
        let state = State::new(state);
        let tally = Tally::default();
        Host {
            poll: Poll {
                tenant: tenant.clone(),
                reader: reader.clone(),
                queue: queue.clone(),
                state: state.clone(),
                tally: tally.clone(),
                overlap: playbook.settings.poll.overlap,
                lookback,
                mode: environment_mode.unwrap_or(playbook.settings.mode),
            },
            hunting: Hunting {
                tenant: tenant.clone(),
                reader: reader.clone(),
                queue: queue.clone(),
                state: state.clone(),
                tally: tally.clone(),
                hunts: hunts.into(),
                lists: playbook.lists().into(),
                mode: environment_mode.unwrap_or(playbook.settings.mode),
                time_zone: playbook.settings.time_zone.clone(),
            },
            enrich: Enrich {
                tenant: tenant.clone(),
                reader: reader.clone(),
                queue: queue.clone(),
                state: state.clone(),
                tally: tally.clone(),
            },
            track: Track {
                tenant: tenant.clone(),
                reader: reader.clone(),
                queue: queue.clone(),
                state: state.clone(),
                tally: tally.clone(),
                release_after: playbook.settings.isolation.release_after,
                comment_on_alert: playbook.settings.isolation.comment_on_alert,
                count_fleet_from: playbook.settings.limits.count_fleet_from(),
            },
            tenant: tenant.clone(),
            respond: Respond {
                tenant,
                reader,
                responder: Arc::new(responder),
                playbook,
                environment_mode,
                queue: queue.clone(),
                state: state.clone(),
                tally: tally.clone(),
            },
            notify: Notify { channels, templates, queue, state, tally: tally.clone(), portal },
            queue: backend,
            tally,
            clock,
        }
    }

    /// What has happened since this host was made.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// One poll of the tenant.
    pub async fn poll(&self, now: Timestamp) -> Result<Polled, PollError> {
        let polled = self.poll.run(now).await?;
        self.tally.add(Count::DeadLetters, polled.set_aside as u64);
        Ok(polled)
    }

    /// The hunts that are due.
    pub async fn hunt(&self, now: Timestamp) -> Result<HuntsRun, HuntingError> {
        self.hunting.run(now).await
    }

    /// One round: a message of every queue, and a look at every open isolation that is due.
    pub async fn step(&self, now: Timestamp) -> Result<Worked, HostError> {
        let mut messages = 0;
        // What a person wants comes first, then acting, then finding out more, and telling last.
        let in_turn = [
            QueueName::EffectsRequested,
            QueueName::AlertsEnriched,
            QueueName::AlertsFound,
            QueueName::ActionsTaken,
        ];
        for queue in in_turn {
            messages += self.consume(queue, now).await?;
        }
        let tracked = self.track(now).await?;
        Ok(Worked { messages, tracked })
    }

    /// Rounds until nothing is left to do at this instant.
    pub async fn run_until_idle(&self, now: Timestamp) -> Result<Worked, HostError> {
        let mut all = Worked::default();
        loop {
            let round = self.step(now).await?;
            all.messages += round.messages;
            all.tracked = round.tracked;
            if round.messages == 0 {
                return Ok(all);
            }
        }
    }

    /// A look at every open isolation that is due.
    pub async fn track(&self, now: Timestamp) -> Result<Tracked, HostError> {
        Ok(self.track.run(now).await?)
    }

    /// Takes one message of a queue through its step, if there is one; how many there were. One at a time, so
    /// that each is handled at a `now` that is its own: what a step derives from it must not be over already.
    pub async fn consume(&self, queue: QueueName, now: Timestamp) -> Result<usize, HostError> {
        let deliveries = self.queue.receive(queue, 1, now).await?;
        let count = deliveries.len();
        let tenant = &self.tenant;
        for delivery in deliveries {
            let body = &delivery.body;
            let disposition = match queue {
                QueueName::AlertsFound => {
                    dispatch(tenant, body, now, |found| self.enrich.handle(found, now)).await
                }
                QueueName::AlertsEnriched | QueueName::EffectsRequested => {
                    self.respond.take(queue, body, now).await
                }
                QueueName::ActionsTaken => self.notify.take(tenant, body, now).await,
            };
            let after = self.clock.map_or(now, |clock| clock());
            match settle(&*self.queue, queue, &delivery, disposition, now, after).await? {
                Settled::Acknowledge => self.queue.done(queue, &delivery.receipt).await?,
                Settled::SetAside => self.tally.one(Count::DeadLetters),
                Settled::Again => {}
            }
        }
        Ok(count)
    }
}
