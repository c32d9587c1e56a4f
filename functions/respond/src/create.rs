//! Alerts of Defender's own about what a hunt has found, by order: nothing on a device is changed, and so neither its
//! claim nor a limit is asked. A pause is: while it lasts the order waits.
//!
//! Asking twice is harmless where once may have been enough: an open alert on the same device with the same title takes
//! the new one in. Source: Microsoft's "Create alert from event API" page. Nobody waits for the answer of such an order:
//! that an alert was made is seen when it comes by the next poll, that none was made people are told, once.

use crate::{Respond, Stop, later, orders::Ordered};
use defender::{ApiError, Failed, Reached};
use jiff::{SignedDuration, Timestamp};
use model::{Cause, EffectState, Envelope, NewAlert, Notice, Topic, Wanted, one_line};
use ports::{Brakes, Expect, Once, QueueName, StateError, Stored, Write};

/// How soon it is looked again whether a pause is over.
const PAUSED: SignedDuration = SignedDuration::from_mins(1);

/// When the service is asked once more after an answer that says nothing: a minute after the first such answer, two
/// minutes after it, and four. Then it is left at that.
const AGAIN: SignedDuration = SignedDuration::from_mins(1);
const LAST: SignedDuration = SignedDuration::from_mins(4);

impl Respond {
    /// Has Defender make an alert of an event that a hunt has found.
    pub(crate) async fn make_alert(&self, order: &Ordered, alert: &NewAlert) -> Result<(), Stop> {
        let now = order.now;
        if let Some(why) = self.waits_for_people(now).await? {
            return Err(Stop::Defer { until: later(now, PAUSED), why });
        }
        match self.responder.create_alert(order.device(), alert, now).await {
            Ok(made) => {
                tracing::info!(device = %order.device(), alert = %made, "an alert was made of what a hunt has found");
                self.answer(order, None, format!("Defender has the alert {made}")).await
            }
            // It was made, and only its id could not be read.
            Err(Failed { reached: Reached::Yes, error }) => {
                self.answer(order, None, format!("Defender has the alert; its id is not known: {error}"))
                    .await
            }
            Err(Failed { reached: Reached::Maybe, error }) => self.ask_once_more(order, &error).await,
            Err(Failed { reached: Reached::No, error }) => match error.passes_in() {
                Some(wait) => Err(Stop::Defer { until: later(now, wait), why: error.to_string() }),
                None => {
                    let said = format!("{error}{}", hint(&error));
                    self.answer_people(order, Some(EffectState::Refused), said).await
                }
            },
        }
    }

    /// What keeps Cordon from acting for now: a pause, or that it cannot be known whether there is one.
    async fn waits_for_people(&self, now: Timestamp) -> Result<Option<String>, Stop> {
        match self.state.get::<Brakes>(&Brakes::key(&self.tenant), now).await {
            Ok(brakes) => {
                let pause = brakes.and_then(|brakes| brakes.value.pause);
                Ok(pause.map(|said| format!("Cordon is paused by {}", one_line(&said.by, 80))))
            }
            Err(error @ StateError::Unreadable { .. }) => Ok(Some(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// The service may have made the alert or not. When that was first so is remembered, because a deferred message
    /// does not change.
    async fn ask_once_more(&self, order: &Ordered, error: &ApiError) -> Result<(), Stop> {
        let now = order.now;
        let key = Once::key(&self.tenant, &format!("create#{}", order.message.id));
        let first: Option<Stored<Once>> = self.state.get(&key, now).await?;
        let waited = match &first {
            Some(first) => now.duration_since(first.value.at),
            None => {
                let write = Write::put(key, &Once { at: now }, Expect::Absent, Once::expires(now))?;
                self.state.commit(&[write], now).await?;
                SignedDuration::ZERO
            }
        };
        if waited < LAST {
            return Err(Stop::Defer { until: later(now, waited.max(AGAIN)), why: error.to_string() });
        }
        let said = format!("it is not known whether the alert was made: {error}");
        self.answer_people(order, Some(EffectState::Unknown), said).await
    }

    /// Answers an order that came to nothing. Where no person has given it and so nobody reads the answer, people are told:
    /// told first and answered then, so that a crash in between tells the same under the same id.
    pub(crate) async fn answer_people(
        &self,
        order: &Ordered,
        state: Option<EffectState>,
        said: String,
    ) -> Result<(), Stop> {
        let body = &order.message.body;
        if let (Cause::Hunt, Wanted::CreateAlert(alert)) = (body.cause, &body.wanted) {
            tracing::error!(device = %body.device, by = one_line(&body.by, 80), said, "no alert was made");
            self.tell_not_made(order, alert, &said).await?;
        }
        self.answer(order, state, said).await
    }

    async fn tell_not_made(&self, order: &Ordered, alert: &NewAlert, said: &str) -> Result<(), Stop> {
        let (now, body) = (order.now, &order.message.body);
        let notice = Notice {
            topic: Topic::HuntNotMade { hunt: hunt_of(&body.by).to_owned() },
            device: Some(body.device.clone()),
            device_name: self.device_name(&body.device, now).await?,
            facts: vec![
                format!("what was found: \"{}\"", one_line(&alert.title, 200)),
                format!("when: {}", one_line(&alert.event_time, 60)),
                format!("why there is no alert of it: {}", one_line(said, 300)),
            ],
            table: None,
        };
        let identity = ["not-made", order.message.id.as_str()];
        let notice = Envelope::new(&self.tenant, &identity, &order.message.trace, now, notice);
        self.send(QueueName::ActionsTaken, &notice, now).await
    }
}

/// The hunt's name, as its orders say by whom they are: `hunt remote-tools`.
fn hunt_of(by: &str) -> &str {
    by.strip_prefix("hunt ").unwrap_or(by)
}

/// What else may help with an error that will not pass by itself.
fn hint(error: &ApiError) -> &'static str {
    match error {
        ApiError::Forbidden(_) => "; does the app that acts hold Alert.ReadWrite.All?",
        _ => "",
    }
}
