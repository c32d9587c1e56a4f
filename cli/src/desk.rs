//! Where the operator's commands work: the queue and the state of this machine's host or of a deployed stack, the same
//! to every command.
//!
//! It reads settings, writes the one row of the brakes, and gives orders. What an order does is respond's business.

use crate::{Ending, clock, commands::run, settings, show};
use credentials::Vars;
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use local::{Host, Store};
use model::{
    Cause, DeviceId, EffectRequested, Envelope, MessageId, Mode, Notice, TenantId, Topic, Wanted, one_line,
};
use ports::{
    Answered, Brakes, CommitError, DeadLetter, DeviceRow, Queue, QueueError, QueueName, State, StateError,
    Stored, Write,
};
use serde::Serialize;
use std::sync::Arc;

/// How often a conditional write is tried that somebody else was faster than.
const TRIES: u32 = 20;

/// How long it rests in between, and between two looks for an answer.
const REST: SignedDuration = SignedDuration::from_millis(100);

/// Each look at a stack is a call that costs money.
const REST_OF_A_STACK: SignedDuration = SignedDuration::from_secs(1);

/// At whose state a command works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) vars: &'a Vars,
    /// The deployed stack that `--stack` names; none for this machine.
    pub(crate) stack: Option<&'a str>,
}

/// The queue and the state that a command works with.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) tenant: TenantId,
    pub(crate) queue: Queue,
    pub(crate) state: State,
    /// The state file; none for a stack.
    pub(crate) store: Option<Store>,
    /// In which mode a stack was deployed; none for this machine.
    pub(crate) deployed: Option<Mode>,
}

impl At<'_> {
    /// For commands that only look.
    pub(crate) async fn look(&self) -> Result<Desk, Ending> {
        self.open(Store::open_to_read).await
    }

    /// For commands that write.
    pub(crate) async fn act(&self) -> Result<Desk, Ending> {
        self.open(Store::open_beside).await
    }

    async fn open(
        &self,
        open: impl Fn(&std::path::Path) -> Result<Store, local::OpenError>,
    ) -> Result<Desk, Ending> {
        if let Some(name) = self.stack {
            return stack(name, self.vars).await;
        }
        let tenant = tenant(self.vars)?;
        let store = open(&settings::state_file(self.vars)).map_err(|error| settings_at_fault(&error))?;
        Ok(Desk {
            tenant,
            queue: Queue::new(Arc::new(store.clone())),
            state: State::new(Arc::new(store.clone())),
            store: Some(store),
            deployed: None,
        })
    }
}

fn tenant(vars: &Vars) -> Result<TenantId, Ending> {
    let Some(tenant) = vars.get("DEFENDER_TENANT_ID") else {
        return Err(Ending::settings("DEFENDER_TENANT_ID is not set"));
    };
    tenant.parse().map_err(|error| Ending::settings(format!("DEFENDER_TENANT_ID: {error}")))
}

fn settings_at_fault(error: &dyn std::error::Error) -> Ending {
    Ending::settings(run::chain(error))
}

/// The desk of a deployed stack. It knows its tenant: one that is named here as well has to be the same.
#[cfg(feature = "aws")]
async fn stack(name: &str, vars: &Vars) -> Result<Desk, Ending> {
    let stack = Box::pin(aws::stack::open(name, vars)).await;
    let stack = stack.map_err(|error| Ending::settings(format!("--stack {name}: {}", run::chain(&error))))?;
    if vars.get("DEFENDER_TENANT_ID").is_some() && tenant(vars)? != stack.tenant {
        return Err(Ending::settings(format!(
            "DEFENDER_TENANT_ID names another tenant than the stack `{name}`, whose tenant is {}",
            stack.tenant
        )));
    }
    Ok(Desk {
        tenant: stack.tenant,
        queue: stack.queue,
        state: stack.state,
        store: None,
        deployed: Some(stack.mode),
    })
}

#[cfg(not(feature = "aws"))]
async fn stack(_: &str, _: &Vars) -> Result<Desk, Ending> {
    Err(Ending::settings(
        "--stack: this `cordon` was built without the part that talks to AWS: \
         `cargo build --release -p cordon --features aws` builds one with it",
    ))
}

fn too_busy() -> Ending {
    Ending::attention("the state is being written all the time: nothing was changed; try again")
}

impl Desk {
    /// What is known of a device; none where it is not in the cache.
    pub(crate) async fn device(
        &self,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<Option<DeviceRow>, StateError> {
        let row: Option<Stored<DeviceRow>> =
            self.state.get(&DeviceRow::key(&self.tenant, device), now).await?;
        Ok(row.map(|row| row.value))
    }

    /// A device as people know it: its name, where there is one, and its id.
    pub(crate) async fn name_of(&self, device: &DeviceId, now: Timestamp) -> Result<String, StateError> {
        let row = self.device(device, now).await?;
        let name = row.and_then(|row| row.device.name);
        Ok(name.map_or_else(|| device.to_string(), |name| format!("{} ({device})", one_line(&name, 80))))
    }

    pub(crate) async fn brakes(&self, now: Timestamp) -> Result<Brakes, StateError> {
        let row: Option<Stored<Brakes>> = self.state.get(&Brakes::key(&self.tenant), now).await?;
        Ok(row.map(|row| row.value).unwrap_or_default())
    }

    /// Changes the brakes as they stand: read, changed and written on the condition that nobody was faster, again and
    /// again. Where `change` fails or changes nothing, nothing is written.
    pub(crate) async fn change_brakes<T>(
        &self,
        now: Timestamp,
        change: impl Fn(&mut Brakes) -> Result<T, Ending>,
    ) -> Result<T, Ending> {
        let key = Brakes::key(&self.tenant);
        for _ in 0..TRIES {
            let before: Option<Stored<Brakes>> = self.state.get(&key, now).await?;
            let old = before.as_ref().map(|before| before.value.clone()).unwrap_or_default();
            let mut brakes = old.clone();
            let said = change(&mut brakes)?;
            if brakes == old {
                return Ok(said);
            }
            let write = Write::put(key.clone(), &brakes, Stored::expected(before.as_ref()), None)?;
            if self.commit(&[write], now).await? {
                return Ok(said);
            }
        }
        Err(too_busy())
    }

    /// Whether it was written. Where not, somebody else was faster, and it is to be read anew.
    pub(crate) async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<bool, Ending> {
        match self.state.commit(writes, now).await {
            Ok(()) => Ok(true),
            Err(CommitError::Refused(_) | CommitError::Contended) => {
                clock::wait(REST).await;
                Ok(false)
            }
            Err(error @ CommitError::Unavailable { maybe_written: true, .. }) => {
                Err(Ending::attention(format!(
                    "{}; it may or may not have been written: `cordon status` and `cordon held` show it",
                    run::chain(&error)
                )))
            }
            Err(error @ CommitError::Unavailable { .. }) => {
                Err(Ending::attention(format!("nothing was changed: {}", run::chain(&error))))
            }
        }
    }

    /// Writes what nobody else writes: only contention makes it try again.
    pub(crate) async fn must_commit(&self, writes: &[Write], now: Timestamp) -> Result<(), Ending> {
        for _ in 0..TRIES {
            if self.commit(writes, now).await? {
                return Ok(());
            }
        }
        Err(too_busy())
    }

    /// Tells people what a person has done. `what` is done already when this fails, and stands in the complaint.
    pub(crate) async fn tell(
        &self,
        topic: Topic,
        facts: Vec<String>,
        what: &str,
        now: Timestamp,
    ) -> Result<(), Ending> {
        let word = format!("{topic:?}");
        let asked_at = now.as_nanosecond().to_string();
        let notice = Notice { topic, device: None, device_name: None, facts, table: None };
        let trace = format!("operator-{}", now.as_millisecond());
        let message = Envelope::new(&self.tenant, &[&word, &asked_at], &trace, now, notice);
        self.queue.send_one(QueueName::ActionsTaken, &message, now).await.map_err(|error| {
            Ending::attention(format!("{what}, but people may not be told: {}", run::chain(&error)))
        })
    }

    /// The dead letters of every queue. All are asked at once: on a stack, each look takes a second.
    pub(crate) async fn all_dead(&self) -> Result<Vec<(QueueName, Vec<DeadLetter>)>, QueueError> {
        let letters = try_join_all(QueueName::ALL.map(|queue| self.dead(queue))).await?;
        Ok(QueueName::ALL.into_iter().zip(letters).collect())
    }

    /// Every dead letter of a queue.
    async fn dead(&self, queue: QueueName) -> Result<Vec<DeadLetter>, QueueError> {
        let mut all = Vec::new();
        let mut next = None;
        loop {
            let page = self.queue.dead(queue, next.as_deref()).await?;
            all.extend(page.letters);
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }
}

/// An order that was given, and what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct Given {
    /// The message that carries it: its answer is found under this id.
    pub(crate) order: MessageId,
    #[serde(flatten)]
    pub(crate) wants: EffectRequested,
    /// The device as people know it.
    pub(crate) device_name: String,
    /// None while nobody has taken it in hand.
    pub(crate) answered: Option<Answered>,
    /// Why it may not have been given at all.
    pub(crate) trouble: Option<String>,
}

impl Given {
    /// Whether it was given, and nobody has answered it yet.
    pub(crate) fn is_open(&self) -> bool {
        self.answered.is_none() && self.trouble.is_none()
    }
}

/// Who gives orders: where they go, and who carries them out.
#[derive(Debug)]
pub(crate) struct Orders<'a> {
    desk: &'a Desk,
    /// The host of this machine, where the settings for the tenant are there: it carries an order out at once, also
    /// beside a `cordon run`, because every write of a step is conditional.
    host: Option<Host>,
    /// Why it does not, for whoever waits in vain.
    why_not: Option<String>,
}

impl<'a> Orders<'a> {
    pub(crate) fn new(at: &At<'_>, desk: &'a Desk) -> Orders<'a> {
        match carrier(at, desk) {
            Ok(host) => Orders { desk, host, why_not: None },
            Err(why) => Orders { desk, host: None, why_not: Some(why) },
        }
    }

    /// Gives orders. Each invocation gives orders of its own, because the time of asking is part of their ids.
    pub(crate) async fn give(
        &self,
        wanted: Vec<EffectRequested>,
        now: Timestamp,
    ) -> Result<Vec<Given>, Ending> {
        let messages: Vec<_> = wanted.iter().map(|order| self.message(order, now)).collect();
        // Before sending: what fails after it must not look as if nothing had been ordered.
        let mut names = Vec::new();
        for order in &wanted {
            names.push(self.desk.name_of(&order.device, now).await?);
        }
        let sent = self.desk.queue.send(QueueName::EffectsRequested, &messages, now).await;
        let mut given = Vec::new();
        for (((wants, message), sent), device_name) in wanted.into_iter().zip(messages).zip(sent).zip(names) {
            let trouble = sent.err().map(|error| run::chain(&error));
            given.push(Given { order: message.id, wants, device_name, answered: None, trouble });
        }
        Ok(given)
    }

    fn message(&self, order: &EffectRequested, now: Timestamp) -> Envelope<EffectRequested> {
        let asked_at = now.as_nanosecond().to_string();
        let alert = order.alert.as_ref().map_or("none", |alert| alert.as_str());
        let cause = cause_word(order.cause);
        let identity = [wanted_word(&order.wanted), order.device.as_str(), cause, alert, &asked_at];
        let trace = format!("operator-{}", now.as_millisecond());
        Envelope::new(&self.desk.tenant, &identity, &trace, now, order.clone())
    }

    /// Waits until every order is answered, or for so long.
    pub(crate) async fn wait(&self, given: &mut [Given], patience: SignedDuration) -> Result<(), Ending> {
        let begun = clock::now();
        loop {
            let now = clock::now();
            let carried_out = match &self.host {
                Some(host) => host.consume(QueueName::EffectsRequested, now).await.map_err(|error| {
                    Ending::attention(format!(
                        "{}; the order stands, and a `cordon run` carries it out",
                        run::chain(&error)
                    ))
                })?,
                None => 0,
            };
            self.look(given, now).await.map_err(|error| {
                Ending::attention(format!(
                    "whether the order was carried out cannot be read: {}; it stands",
                    run::chain(&error)
                ))
            })?;
            let open = given.iter().filter(|one| one.is_open()).count();
            let waited = clock::now().duration_since(begun);
            if open == 0 || waited >= patience {
                show::progress("");
                return Ok(());
            }
            show::progress(&format!("waiting for {open} answer(s), {} s …", waited.as_secs()));
            if carried_out == 0 {
                let rest = if self.desk.store.is_some() { REST } else { REST_OF_A_STACK };
                clock::wait(rest.min(patience)).await;
            }
        }
    }

    /// Looks for the answers that are missing.
    async fn look(&self, given: &mut [Given], now: Timestamp) -> Result<(), StateError> {
        let mut open: Vec<&mut Given> = given.iter_mut().filter(|one| one.is_open()).collect();
        let keys: Vec<_> = open.iter().map(|one| Answered::key(&self.desk.tenant, &one.order)).collect();
        let answers = self.desk.state.batch_get::<Answered>(&keys, now).await?;
        for (one, answer) in open.iter_mut().zip(answers) {
            one.answered = answer.map(|answer| answer.value);
        }
        Ok(())
    }

    /// What has to be said of an order that nobody has answered.
    pub(crate) fn unanswered(&self) -> String {
        match (&self.why_not, &self.host, &self.desk.store) {
            (Some(why), _, _) => {
                format!("this command could not carry it out itself ({why}); a `cordon run` does")
            }
            (None, Some(_), _) => "it has to wait, for a quota or an outage perhaps: \
                                   a `cordon run` goes on with it"
                .to_owned(),
            (None, None, Some(_)) => {
                "a `cordon run` carries it out; is one running? With the settings for the \
                                      tenant this command does so itself"
                    .to_owned()
            }
            (None, None, None) => "the function `respond` carries it out: look at its log and at \
                                   `cordon dead-letters`"
                .to_owned(),
        }
    }
}

/// The host that carries orders out here; none where it is elsewhere, or the settings for the tenant are.
fn carrier(at: &At<'_>, desk: &Desk) -> Result<Option<Host>, String> {
    let Some(store) = &desk.store else { return Ok(None) };
    if at.vars.get("DEFENDER_CLIENT_ID").is_none() {
        return Ok(None);
    }
    let settings = settings::Settings::from_vars(at.vars)
        .map_err(|problems| problems.iter().collect::<Vec<_>>().join("; "))?;
    let (host, _) = run::host(settings, store.clone()).map_err(|error| run::chain(&*error))?;
    Ok(Some(host))
}

fn wanted_word(wanted: &Wanted) -> &'static str {
    match wanted {
        Wanted::Isolate { .. } => "isolate",
        Wanted::Release => "release",
        Wanted::Comment { .. } => "comment",
        Wanted::CreateAlert(_) => "create alert",
    }
}

/// Why an effect was asked for, as people read it.
pub(crate) fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Held => "held",
        Cause::Timer => "timer",
        Cause::Operator => "operator",
        Cause::Reissue => "reissue",
        Cause::Report => "report",
        Cause::Hunt => "hunt",
    }
}
