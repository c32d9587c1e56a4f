//! What time does: held cases expire, the timer releases, the fleet is counted.

use crate::{Track, TrackError, call, later};
use defender::ApiError;
use jiff::{SignedDuration, Timestamp};
use model::{
    Alert, AlertStatus, Cause, Effect, EffectRequested, EffectState, Envelope, Onboarding, Severity, Topic,
    Wanted,
};
use ports::{Brakes, CaseRow, Claim, Expect, Fleet, Held, Once, QueueName, Stored, Write};

/// How long before the timer releases people are told.
const WARNING: SignedDuration = SignedDuration::from_hours(1);

/// How often the timer's order is given anew while it is not carried out.
const AGAIN: SignedDuration = SignedDuration::from_mins(30);

/// How often the fleet is counted.
const COUNT_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// How many expired cases one notice names.
const NAMED: usize = 20;

/// What an alert's incident says about releasing what the alert has had isolated.
enum Incident {
    /// It has no other open High alert.
    Calm,
    Goes,
    /// Nobody can tell, and that will not pass by itself.
    Unknown(String),
}

impl Track {
    /// Gives up held cases that nobody has let go on in time, and says so in one notice.
    pub(crate) async fn give_up_expired(&self, now: Timestamp) -> Result<(), TrackError> {
        let held: Vec<Stored<Held>> =
            self.state.query_all(&Held::partition(&self.tenant), "held#", now).await?;
        let expired: Vec<Stored<Held>> =
            held.into_iter().filter(|held| now.duration_since(held.value.since) >= Held::EXPIRES).collect();
        if expired.is_empty() {
            return Ok(());
        }
        let mut facts: Vec<String> = expired
            .iter()
            .take(NAMED)
            .map(|held| {
                let held = &held.value;
                let name = held.device_name.as_deref().unwrap_or(held.device.as_str());
                format!("alert {} on {name}: {}", held.alert, held.title)
            })
            .collect();
        if expired.len() > NAMED {
            facts.push(format!("and {} more", expired.len() - NAMED));
        }
        // All of them: when the next round finds others, that is another notice.
        let all: Vec<String> = expired
            .iter()
            .map(|held| format!("{} {} {}", held.value.alert, held.value.device, held.value.since))
            .collect();
        let identity = ["held-expired", &all.join("; ")];
        self.tell(&identity, Topic::HeldExpired, None, facts, now).await?;
        for held in expired {
            self.give_up(&held, now).await?;
        }
        Ok(())
    }

    async fn give_up(&self, pointer: &Stored<Held>, now: Timestamp) -> Result<(), TrackError> {
        let held = &pointer.value;
        let key = CaseRow::key(&self.tenant, &held.alert, Some(&held.device));
        let case: Option<Stored<CaseRow>> = self.state.get(&key, now).await?;
        let Some(case) = case.filter(|case| case.value.held.as_ref() == Some(held)) else {
            // The case has moved on, or is gone: the pointer alone is left.
            let write = Write::Delete { key: held.key(&self.tenant), expect: Expect::Is(pointer.version) };
            return Ok(self.state.commit(&[write], now).await?);
        };
        let note = format!("held for {} h, and nobody let it go on", Held::EXPIRES.as_hours());
        let row = case.value.given_up(note, now);
        Ok(self.state.commit(&row.writes(&self.tenant, Some(&case), now)?, now).await?)
    }

    /// Releases, after `release_after`, what Cordon isolated by itself: told an hour before, ordered when it is due,
    /// and put off while the incident has another open High alert. What was isolated on account of a hunt, be it that the
    /// hunt only joined, is not released. That one device cannot be seen to keeps nobody from seeing to the others.
    pub(crate) async fn release_in_time(&self, now: Timestamp) -> Result<(), TrackError> {
        let Some(release_after) = self.release_after else { return Ok(()) };
        let mut first_failure = Ok(());
        for claim in self.claims().cut_off(now).await?.into_iter().map(|stored| stored.value) {
            let due = later(claim.changed_at, release_after);
            first_failure = first_failure.and(self.see_to(&claim, due, now).await);
        }
        first_failure
    }

    /// One device that is cut off, and is to be released at `due`.
    async fn see_to(&self, claim: &Claim, due: Timestamp, now: Timestamp) -> Result<(), TrackError> {
        // What a person has ordered, a person releases; what somebody else isolated, too.
        let by_itself = claim.order.as_ref().is_none_or(|order| order.cause == Cause::Held);
        let stands = claim.effect == Effect::Isolate && claim.state == EffectState::Succeeded;
        if !by_itself || !stands || claim.isolation.is_none() {
            return Ok(());
        }
        if now < due.checked_sub(WARNING).unwrap_or(due) {
            return Ok(());
        }
        let Some(case) = self.case_of(claim, now).await? else { return Ok(()) };
        if claim.hunted || case.value.last.alert.hunted.is_some() {
            if now < due {
                return Ok(());
            }
            let why = "a hunt has found something on it, and Defender has no such alert whose incident could be looked at";
            return self.leave_to_people(claim, why, now).await;
        }
        if now >= due {
            return self.release(claim, &case.value, due, now).await;
        }
        let warned = format!("warned#{}", claim.id);
        if self.was_done(&warned, now).await? {
            return Ok(());
        }
        let facts = vec![format!(
            "isolated since {:.0}; to be released at {due:.0}, unless the incident has another open High alert then",
            claim.changed_at
        )];
        let identity = ["release-soon", claim.id.as_str()];
        self.tell(&identity, Topic::ReleaseSoon, Some(&claim.device), facts, now).await?;
        self.done(&warned, now).await
    }

    /// Nobody can see at Defender whether the case is open: the device stays cut off, and people are told that once.
    async fn leave_to_people(&self, claim: &Claim, why: &str, now: Timestamp) -> Result<(), TrackError> {
        let once = format!("left-to-people#{}", claim.id);
        if self.was_done(&once, now).await? {
            return Ok(());
        }
        let fact = format!(
            "isolated since {:.0}: `release_after` has passed, and Cordon does not release it by itself, because {}. It stays \
             cut off until a person releases it",
            claim.changed_at,
            model::one_line(why, 300)
        );
        let topic = Topic::Ordered { effect: Effect::Release, state: EffectState::Refused };
        self.tell(&["left-to-people", claim.id.as_str()], topic, Some(&claim.device), vec![fact], now)
            .await?;
        self.done(&once, now).await
    }

    async fn release(
        &self,
        claim: &Claim,
        case: &CaseRow,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), TrackError> {
        let turn = now.duration_since(due).as_secs() / AGAIN.as_secs();
        let once = format!("timer#{}#{turn}", claim.id);
        if self.was_done(&once, now).await? {
            return Ok(());
        }
        match self.incident_of(&case.last.alert, now).await? {
            Incident::Calm => {}
            Incident::Goes => {
                tracing::info!(device = %claim.device, "the timer waits: the incident has another open High alert");
                return Ok(());
            }
            Incident::Unknown(why) => {
                let why = format!(
                    "it is not known whether the alert's incident has another open High alert: {why}"
                );
                return self.leave_to_people(claim, &why, now).await;
            }
        }
        let order = EffectRequested {
            wanted: Wanted::Release,
            device: claim.device.clone(),
            cause: Cause::Timer,
            alert: claim.alert.clone(),
            claim: Some(claim.id.clone()),
            by: "cordon".to_owned(),
            why: format!("isolated since {:.0}, and `release_after` has passed", claim.changed_at),
            not_after: later(now, EffectRequested::HOLDS),
        };
        let identity = ["timer", claim.id.as_str(), &turn.to_string()];
        let message = Envelope::new(&self.tenant, &identity, &format!("{}-timer", claim.id), now, order);
        self.send(QueueName::EffectsRequested, &message, now).await?;
        self.done(&once, now).await
    }

    pub(crate) async fn was_done(&self, what: &str, now: Timestamp) -> Result<bool, TrackError> {
        let done: Option<Stored<Once>> = self.state.get(&Once::key(&self.tenant, what), now).await?;
        Ok(done.is_some())
    }

    /// Remembers what was done: after it, so that a crash in between does the same again under the same id.
    pub(crate) async fn done(&self, what: &str, now: Timestamp) -> Result<(), TrackError> {
        let key = Once::key(&self.tenant, what);
        let write = Write::put(key, &Once { at: now }, Expect::Any, Once::expires(now))?;
        Ok(self.state.commit(&[write], now).await?)
    }

    /// How it stands with the incident that the alert is in now, which may be another than when it was judged. An alert
    /// without an incident has no others beside it. An alert that does not say how severe it is may be High.
    async fn incident_of(&self, alert: &Alert, now: Timestamp) -> Result<Incident, TrackError> {
        let unknown = |error: ApiError| match error.passes_in() {
            Some(_) => Err(error.into()),
            None => Ok(Incident::Unknown(error.to_string())),
        };
        let current = match self.reader.alert(&alert.id, call(now)).await {
            Ok(current) => current.incident_id,
            Err(error) => return unknown(error),
        };
        let Some(incident) = current.as_ref().or(alert.incident_id.as_ref()) else {
            return Ok(Incident::Calm);
        };
        let Ok(number) = incident.parse() else {
            return Ok(Incident::Unknown(format!("the incident {incident} has no number")));
        };
        let alerts = match self.reader.alerts_of_incident(number, call(now)).await {
            Ok(alerts) => alerts,
            Err(error) => return unknown(error),
        };
        if !alerts.iter().any(|other| other.id == alert.id) {
            return Ok(Incident::Unknown(format!(
                "the incident {number} does not list the alert {}",
                alert.id
            )));
        }
        let may_be_high = |severity: Option<&Severity>| {
            severity.is_none_or(|severity| *severity == Severity::High || severity.rank().is_none())
        };
        let goes = alerts.iter().any(|other| {
            let is_open = other.status != Some(AlertStatus::Resolved);
            other.id != alert.id && is_open && may_be_high(other.severity.as_ref())
        });
        Ok(if goes { Incident::Goes } else { Incident::Calm })
    }

    /// Counts the onboarded devices, once a day while so many are isolated that the share of the fleet may matter soon.
    pub(crate) async fn count_fleet(&self, now: Timestamp) -> Result<(), TrackError> {
        let brakes: Option<Stored<Brakes>> = self.state.get(&Brakes::key(&self.tenant), now).await?;
        if brakes.is_none_or(|brakes| brakes.value.standing < self.count_fleet_from) {
            return Ok(());
        }
        let key = Fleet::key(&self.tenant);
        let known: Option<Stored<Fleet>> = self.state.get(&key, now).await?;
        let is_fresh = |fleet: &Stored<Fleet>| now.duration_since(fleet.value.counted_at) < COUNT_EVERY;
        if known.as_ref().is_some_and(is_fresh) {
            return Ok(());
        }
        let mut onboarded: u64 = 0;
        let mut skip = Some(0);
        while let Some(from) = skip {
            let page = self.reader.machines(from, call(now)).await?;
            let counted = page.devices.iter().filter(|d| d.onboarding == Some(Onboarding::Onboarded)).count();
            onboarded += counted as u64;
            skip = page.next_skip;
        }
        let write = Write::put(key, &Fleet { onboarded, counted_at: now }, Expect::Any, None)?;
        Ok(self.state.commit(&[write], now).await?)
    }
}
