//! Watches the tenant's isolations and releases at large: what Cordon's own app did without Cordon, and what people
//! gave back themselves.

use crate::{Track, TrackError, call};
use jiff::{SignedDuration, Timestamp};
use model::{ActionKind, ActionStatus, Effect, EffectState, MachineAction, Topic, one_line};
use ports::{Brakes, Event, Expect, KnownAction, Said, Stored, Watch, Write};

/// How often the tenant's machine actions are listed.
const EVERY: SignedDuration = SignedDuration::from_mins(5);

/// How far back the list reaches: what was asked for before has ended, because the service gives up after three days.
const REACH: SignedDuration = SignedDuration::from_hours(96);

/// How old a machine action must be to be taken for one that Cordon does not know: whoever asked for it has written
/// it down by then, or its claim is settled.
const SETTLED: SignedDuration = SignedDuration::from_mins(20);

/// How many machine actions are remembered as told.
const MOST: usize = 1_000;

impl Track {
    /// One look at the list, when it is due. There is none while Cordon has isolated nothing.
    pub(crate) async fn watch(&self, now: Timestamp) -> Result<(), TrackError> {
        let stored: Option<Stored<Watch>> = self.state.get(&Watch::key(&self.tenant), now).await?;
        let Some(stored) = stored else { return Ok(()) };
        if now.duration_since(stored.value.looked_at) < EVERY {
            return Ok(());
        }
        let since = stored.value.since.max(now.checked_sub(REACH).unwrap_or(now));
        let actions = self.reader.actions_since(since, call(now)).await?;
        self.notice_releases(&actions, now).await?;
        let mut watch = stored.value.clone();
        for action in &actions {
            if self.is_alien(action, &watch, now).await? {
                self.alarm(action, now).await?;
                watch.alarmed.push(action.id.clone());
            }
        }
        let excess = watch.alarmed.len().saturating_sub(MOST);
        watch.alarmed.drain(..excess);
        watch.looked_at = now;
        let write = Write::put(Watch::key(&self.tenant), &watch, Expect::Is(stored.version), None)?;
        Ok(self.state.commit(&[write], now).await?)
    }

    pub(crate) async fn remember_requestor(&self, requestor: &str, now: Timestamp) -> Result<(), TrackError> {
        let key = Watch::key(&self.tenant);
        let stored: Option<Stored<Watch>> = self.state.get(&key, now).await?;
        if stored.as_ref().is_some_and(|stored| stored.value.requestor.as_deref() == Some(requestor)) {
            return Ok(());
        }
        let expect = Stored::expected(stored.as_ref());
        let mut watch = stored.map_or_else(
            || Watch { requestor: None, since: now, looked_at: now, alarmed: Vec::new() },
            |stored| stored.value,
        );
        watch.requestor = Some(requestor.to_owned());
        Ok(self.state.commit(&[Write::put(key, &watch, expect, None)?], now).await?)
    }

    async fn is_alien(
        &self,
        action: &MachineAction,
        watch: &Watch,
        now: Timestamp,
    ) -> Result<bool, TrackError> {
        let is_by_our_app = action.requestor.is_some() && action.requestor == watch.requestor;
        let is_settled = action.created.is_some_and(|created| now.duration_since(created) >= SETTLED);
        if !is_by_our_app || !is_settled || watch.alarmed.contains(&action.id) {
            return Ok(false);
        }
        let known: Option<Stored<KnownAction>> =
            self.state.get(&KnownAction::key(&self.tenant, &action.id), now).await?;
        Ok(known.is_none())
    }

    /// Somebody acts with the credential of Cordon's app, or Cordon has lost its memory: it stops acting, and people
    /// are told.
    async fn alarm(&self, action: &MachineAction, now: Timestamp) -> Result<(), TrackError> {
        let device =
            action.device.as_ref().map_or_else(|| "an unknown device".to_owned(), ToString::to_string);
        let what = format!(
            "machine action {} ({}, {}) on {device}, asked for at {}, with the comment \"{}\"",
            action.id,
            action.kind,
            action.status,
            action.created.map_or_else(String::new, |at| format!("{at:.0}")),
            one_line(action.comment.as_deref().unwrap_or(""), 200)
        );
        tracing::error!(what, "a machine action by Cordon's own app that Cordon did not ask for");
        let (mut brakes, expect) = self.claims().brakes(now).await?;
        if brakes.pause.is_none() {
            let why = format!("{what}, which Cordon did not ask for");
            brakes.pause = Some(Said { at: now, by: "cordon".to_owned(), why });
            let write = Write::put(Brakes::key(&self.tenant), &brakes, expect, None)?;
            self.state.commit(&[write], now).await?;
        }
        let identity = ["alien", action.id.as_str()];
        self.tell(&identity, Topic::AlienAction, action.device.as_ref(), vec![what], now).await
    }

    /// Devices that stand as isolated and that somebody else has released.
    async fn notice_releases(&self, actions: &[MachineAction], now: Timestamp) -> Result<(), TrackError> {
        for stored in self.claims().cut_off(now).await? {
            let claim = &stored.value;
            let Some(release) = last_release(actions, &claim.device) else { continue };
            // An isolation that is in force, or a release of Cordon's own that came to nothing.
            let stands = match claim.effect {
                Effect::Isolate => matches!(claim.state, EffectState::Succeeded | EffectState::Adopted),
                Effect::Release => matches!(
                    claim.state,
                    EffectState::Failed
                        | EffectState::TimedOut
                        | EffectState::Cancelled
                        | EffectState::Refused
                ),
            };
            if !stands || release.updated.or(release.created).is_none_or(|at| at < claim.claimed_at) {
                continue;
            }
            let who = one_line(release.requestor.as_deref().unwrap_or("somebody"), 80);
            let note = format!("released by {who}, not by Cordon (machine action {})", release.id);
            let case = self.case_of(claim, now).await?;
            self.end(&stored, Event::Free, case, vec![note], now).await?;
        }
        Ok(())
    }
}

/// The release that has succeeded, where it is the last thing that happened to the device.
fn last_release<'a>(actions: &'a [MachineAction], device: &model::DeviceId) -> Option<&'a MachineAction> {
    let about = actions.iter().filter(|action| action.device.as_ref() == Some(device));
    let mut about: Vec<&MachineAction> = about.collect();
    if about.iter().any(|action| action.is_open()) {
        return None;
    }
    about.retain(|action| action.status == ActionStatus::Succeeded);
    let last = about.into_iter().max_by_key(|action| action.updated.or(action.created))?;
    (last.kind == ActionKind::Unisolate).then_some(last)
}
