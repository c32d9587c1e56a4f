//! What must hold when a life has come to rest. Everything is judged by the tenant's own account (the simulator's
//! world and journal, the chronicle), never by what Cordon believes, except where its beliefs are what is judged.

use super::{
    chronicle::Chronicle,
    life::{Ended, Wrongs, limits},
    plan::{Ground, PERSON},
    shipped::{asks_for_isolation, is_excluded, is_workstation},
};
use crate::{
    hours,
    stage::{cases, dead_letters, revision},
};
use defender::{RealPause, connect};
use jiff::{SignedDuration, Timestamp};
use model::{ActionTaken, AlertId, Answer, Body, Cause, Effect, Limits, Notice, Revision, TenantId, Wanted};
use ports::{
    Announced, Answered, Brakes, CaseRow, Claim, Claims, DeadLetter, HistoryEntry, QueueName, Stored, Told,
};
use serde_json::Value;
use simulator::{ActionStatus, ActionType, Alert, Entry, Machine, MachineAction, World};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

/// What is wrong, a sentence each, and the numbers of a life.
#[derive(Debug, Default)]
pub struct Verdict {
    pub complaints: Vec<String>,
    pub alerts: u64,
    pub owed: u64,
    pub accepted: u64,
    pub doubled: u64,
    pub lost: u64,
    pub notifications: u64,
    pub repeated: u64,
    pub dead_letters: u64,
}

/// For how long before a request what it goes by may have been read.
const SLACK: SignedDuration = SignedDuration::from_mins(4);

/// How far back an alert may reach to be acted upon; the shipped `act_within`.
const ACT_WITHIN: SignedDuration = SignedDuration::from_hours(4);

/// For how long a device is left alone after a person has released it; the shipped setting.
const HANDS_OFF: SignedDuration = SignedDuration::from_hours(24);

/// An alert that becomes visible so soon after its stamp is within every window's overlap, which ships as ten minutes.
const NOT_LATE: SignedDuration = SignedDuration::from_mins(9);

/// Judges a life that has ended.
pub async fn judge(ended: &Ended) -> Verdict {
    let world = ended.simulator.with(|world| world.clone());
    let mut judge = Judge {
        ended,
        world: &world,
        chronicle: &ended.chronicle,
        now: ended.now,
        tenant: &ended.tenant,
        dead: Vec::new(),
        verdict: Verdict::default(),
    };
    judge.rest().await;
    judge.alerts().await;
    judge.announcements().await;
    judge.isolations();
    judge.owed();
    judge.claims().await;
    judge.orders().await;
    judge.tellings().await;
    judge.requests();
    judge.verdict
}

struct Judge<'a> {
    ended: &'a Ended,
    world: &'a World,
    chronicle: &'a Chronicle,
    now: Timestamp,
    tenant: &'a TenantId,
    dead: Vec<DeadLetter>,
    verdict: Verdict,
}

impl Judge<'_> {
    fn complain(&mut self, what: impl Into<String>) {
        self.verdict.complaints.push(what.into());
    }

    /// Nothing lies in a queue, and what was set aside has its reason.
    async fn rest(&mut self) {
        self.ended.failures.iter().for_each(|failure| self.complain(failure.clone()));
        for queue in QueueName::ALL {
            if let Some(due) = self.ended.pair.next_due(queue, self.now) {
                self.complain(format!("{queue} is not empty in the end: a message is due at {due}"));
            }
        }
        self.dead = dead_letters(&*self.ended.pair.queue()).await;
        self.verdict.dead_letters = self.dead.len() as u64;
        let is_unkind = self.ended.wrongs != Wrongs::default();
        for letter in self.dead.clone().iter().chain(&self.chronicle.redriven) {
            // So many workers have died of it. Nothing else here may set a message aside.
            if !is_unkind || !letter.reason.contains("the last one was never settled") {
                self.complain(format!("a dead letter of {}: {}", letter.queue, letter.reason));
            }
        }
    }

    /// Every alert was decided in its last revision, or set aside; no revision twice.
    async fn alerts(&mut self) {
        let twice: Vec<String> = {
            let log = self.ended.log.lock().unwrap_or_else(PoisonError::into_inner);
            let twice = log.judged.iter().filter(|(_, times)| **times > 1);
            twice.map(|((case, _), times)| format!("a revision of {case} was judged {times} times")).collect()
        };
        twice.into_iter().for_each(|complaint| self.complain(complaint));
        let revisions = self.revisions().await;
        for alert in &self.world.alerts {
            self.verdict.alerts += 1;
            let rows = self.cases(&alert.id).await;
            let is_dead = self.dead.iter().any(|letter| letter.body.contains(&alert.id));
            if rows.is_empty() {
                if !is_dead {
                    self.verdict.lost += 1;
                    self.complain(format!("alert {} was lost: no decision, no dead letter", alert.id));
                }
                continue;
            }
            let Some(revision) = revisions.get(&alert.id) else { continue };
            for row in rows {
                if !row.judged.contains(revision) && !is_dead {
                    self.verdict.lost += 1;
                    self.complain(format!("the last revision of alert {} was never judged", alert.id));
                }
                // A revision that brings nothing leaves a note; one that was judged already must leave none.
                let noted =
                    |entry: &&HistoryEntry| entry.notes.iter().any(|note| note.contains("a triage edit"));
                for edit in row.history.iter().filter(noted) {
                    if row.history.iter().filter(|entry| entry.revision == edit.revision).count() > 1 {
                        self.complain(format!(
                            "a revision of alert {} was judged and judged again",
                            alert.id
                        ));
                    }
                }
                let judged = row.last.alert.severity.as_ref().map_or("", |severity| severity.as_str());
                if judged != alert.severity {
                    self.complain(format!(
                        "alert {} is {}, and was judged as {judged}",
                        alert.id, alert.severity
                    ));
                }
            }
        }
    }

    /// The first poll that ended well after an alert could be seen has announced it, if that was not later than the
    /// overlap reaches; and no revision was announced twice but where somebody died or something failed.
    async fn announcements(&mut self) {
        let state = self.ended.state();
        for alert in &self.world.alerts {
            let states = self.chronicle.alerts.get(&alert.id);
            let Some((appeared, first)) = states.and_then(|states| states.first()) else { continue };
            let seen = first.visible_at.unwrap_or(*appeared).max(*appeared);
            let is_late = seen.duration_since(first.last_update_time.unwrap_or(seen)) > NOT_LATE;
            let polled = self.chronicle.polls.iter().filter(|began| **began > seen).min();
            let Some(polled) = polled.copied().filter(|_| !is_late) else { continue };
            let id: AlertId = alert.id.parse().unwrap();
            let announced: Option<Stored<Announced>> =
                state.get(&Announced::key(self.tenant, &id), self.now).await.unwrap();
            let first_seen = announced.map(|announced| announced.value.first_seen.at);
            if first_seen.is_none_or(|first_seen| first_seen > polled) {
                self.complain(format!(
                    "alert {} could be seen from {seen} on, the poll at {polled} ended well, and it was announced {}",
                    alert.id,
                    first_seen.map_or("never".to_owned(), |at| format!("at {at}"))
                ));
            }
        }
        let wrongs = &self.ended.wrongs;
        let excuses = wrongs.crashes + wrongs.troubles.values().sum::<u64>();
        let found: u64 = {
            let log = self.ended.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.found.values().map(|times| u64::from(times.saturating_sub(1))).sum()
        };
        if excuses == 0 && self.ended.plan.ground == Ground::Local && found > 0 {
            self.complain(format!("{found} revisions were announced again, and nothing had gone wrong"));
        }
    }

    /// The last revision of every alert, as a client reads it now.
    async fn revisions(&mut self) -> BTreeMap<String, Revision> {
        let connection = crate::connection(&self.ended.simulator.url(), &[]);
        let (reader, _, _) = connect(&connection, Arc::new(RealPause)).unwrap();
        let mut revisions = BTreeMap::new();
        self.ended.simulator.with(|world| world.quotas = false);
        for alert in &self.world.alerts {
            let id: AlertId = alert.id.parse().unwrap();
            match revision(&reader, &id, self.now).await {
                Ok(revision) => _ = revisions.insert(alert.id.clone(), revision),
                Err(error) => self.complain(format!("alert {} cannot be read: {error}", alert.id)),
            }
        }
        revisions
    }

    async fn cases(&self, alert: &str) -> Vec<CaseRow> {
        cases(&self.ended.state(), self.tenant, &alert.parse().unwrap(), self.now).await
    }

    /// What was accepted from us: never a second while the first may be in force, and nothing that nobody permitted.
    fn isolations(&mut self) {
        let limit = limits(self.ended.plan.limit);
        self.at_one_time(&limit);
        let mut asked: Vec<Timestamp> = Vec::new();
        for machine in &self.world.machines {
            let actions = self.world.actions_of(&machine.id);
            for (index, action) in actions.iter().enumerate().filter(|(_, action)| is_ours(action)) {
                self.verdict.accepted += 1;
                asked.push(action.creation_date_time_utc);
                let earlier = actions.get(..index).unwrap_or_default();
                if let Some(in_force) = in_force(earlier, action.creation_date_time_utc) {
                    self.verdict.doubled += 1;
                    self.complain(format!(
                        "{} was isolated at {} ({}) while {} was in force",
                        machine.id, action.creation_date_time_utc, action.requestor_comment, in_force.id
                    ));
                }
                if let Err(why) = self.permitted(machine, action, earlier) {
                    self.complain(format!(
                        "{} was isolated at {} ({}), which nothing permits: {why}",
                        machine.id, action.creation_date_time_utc, action.requestor_comment
                    ));
                }
            }
        }
        asked.sort();
        for (span, most, words) in
            [(hours(1), limit.per_hour, "an hour"), (hours(24), limit.per_day, "a day")]
        {
            for at in &asked {
                let from = *at - span;
                let count = asked.iter().filter(|other| **other > from && *other <= at).count();
                if count > self.chronicle.most(most, *at - SLACK, *at) as usize {
                    self.complain(format!(
                        "{count} isolations within {words} before {at}, where {most} are let through"
                    ));
                }
            }
        }
    }

    /// Why an isolation must not have been asked for.
    fn permitted(
        &self,
        machine: &Machine,
        action: &MachineAction,
        earlier: &[&MachineAction],
    ) -> Result<(), String> {
        let at = action.creation_date_time_utc;
        let from = at - SLACK;
        if self.chronicle.was_paused_throughout(from, at) {
            return Err("it was paused".to_owned());
        }
        let by_hand = self.chronicle.orders.iter().any(|(given, _, order)| {
            order.device.as_str() == machine.id
                && order.cause == Cause::Operator
                && matches!(order.wanted, Wanted::Isolate { .. })
                && *given <= at
                && at <= order.not_after + SLACK
        });
        let states = self.chronicle.machine_between(&machine.id, from, at);
        // A person who names a device knows how it is tagged.
        if by_hand && states.iter().any(|machine| is_workstation(machine)) {
            return Ok(());
        }
        if !states.iter().any(|machine| is_workstation(machine) && !is_excluded(machine)) {
            return Err("it is no workstation that may be cut off".to_owned());
        }
        let alerts = self.chronicle.alerts.keys();
        let Some(alert) =
            alerts.filter(|id| action.requestor_comment.contains(id.as_str())).max_by_key(|id| id.len())
        else {
            return Err("no alert stands in its comment".to_owned());
        };
        let states = self.chronicle.alert_between(alert, from, at);
        if !states
            .iter()
            .any(|alert| alert.machine_id.as_deref() == Some(machine.id.as_str()) && is_actionable(alert, at))
        {
            return Err(format!("alert {alert} does not ask for it"));
        }
        // A case that a person lets go on is judged by the same rules, hands-off included. The timer is no person.
        let timed = |action: &MachineAction| action.requestor_comment.contains("release_after");
        let undone = earlier.iter().any(|action| match (action.kind, action.status) {
            (ActionType::Unisolate, ActionStatus::Succeeded) => {
                !timed(action) && (at - HANDS_OFF..from).contains(&action.creation_date_time_utc)
            }
            (ActionType::Isolate, ActionStatus::Cancelled) => {
                (at - HANDS_OFF..from).contains(&action.last_update_date_time_utc)
            }
            _ => false,
        });
        if undone {
            return Err("a person had released it".to_owned());
        }
        let held = self.chronicle.orders.iter().any(|(_, _, order)| {
            order.cause == Cause::Held && order.alert.as_ref().is_some_and(|held| held.as_str() == alert)
        });
        let again =
            |action: &&&MachineAction| is_ours(action) && action.requestor_comment.contains(alert.as_str());
        if !held && earlier.iter().any(|action| again(&action)) {
            return Err("the same alert had it isolated before".to_owned());
        }
        Ok(())
    }

    /// In a life in which nobody meddles, every device with an alert that asks for it was isolated.
    fn owed(&mut self) {
        let plan = &self.ended.plan;
        for machine in &self.world.machines {
            let wanted = self.world.alerts.iter().find(|alert| {
                let is_late =
                    self.now_found(alert).duration_since(alert.alert_creation_time.unwrap_or(self.now));
                alert.machine_id.as_deref() == Some(machine.id.as_str())
                    && is_actionable(alert, plan.heals_at + hours(2))
                    && is_late < hours(2)
            });
            let Some(alert) = wanted
                .filter(|_| is_workstation(machine) && !is_excluded(machine) && machine.can_be_isolated)
            else {
                continue;
            };
            // What was set aside comes too late: so many workers have died of it, and a person has read that.
            let was_set_aside = self.chronicle.redriven.iter().any(|letter| letter.body.contains(&alert.id));
            if plan.is_meddled_with(&machine.id) || was_set_aside {
                continue;
            }
            self.verdict.owed += 1;
            if !self.world.actions_of(&machine.id).iter().any(|action| is_ours(action)) {
                let id = &alert.id;
                self.complain(format!("{} was never isolated, and alert {id} asks for it", machine.id));
            }
        }
    }

    /// When an alert could be seen at the earliest.
    fn now_found(&self, alert: &Alert) -> Timestamp {
        alert.visible_at.or(alert.last_update_time).unwrap_or(self.now)
    }

    /// No claim waits for anybody, and what Cordon believes of a device is so.
    async fn claims(&mut self) {
        let state = self.ended.state();
        let claims = Claims { tenant: self.tenant, state: &state };
        for open in claims.unsettled(self.now).await.unwrap() {
            let claim = open.value;
            self.complain(format!("the claim on {} is left as `{}`", claim.device, claim.state));
        }
        let (brakes, _): (Brakes, _) = claims.brakes(self.now).await.unwrap();
        let mut counted = 0;
        for machine in &self.world.machines {
            let Ok(device) = machine.id.parse() else { continue };
            let Some(Stored { value: claim, .. }) = claims.read(&device, self.now).await.unwrap() else {
                continue;
            };
            counted += u32::from(claim.counted);
            self.claim_agrees(machine, &claim);
            self.case_agrees(&claim).await;
        }
        if counted != brakes.standing {
            self.complain(format!(
                "{counted} claims count as standing, and the brakes say {}",
                brakes.standing
            ));
        }
    }

    /// Whoever gives an order hears what became of it.
    async fn orders(&mut self) {
        let state = self.ended.state();
        for (given, message, order) in &self.chronicle.orders {
            let key = Answered::key(self.tenant, message);
            let answered: Option<Stored<Answered>> = state.get(&key, self.now).await.unwrap();
            let is_dead = self.dead.iter().any(|letter| letter.body.contains(message.as_str()));
            if answered.is_none() && !is_dead {
                let wanted = format!("{:?}", order.wanted);
                self.complain(format!("nobody answered the order of {given} for {}: {wanted}", order.device));
            }
        }
    }

    /// Never were more devices isolated by us at one time than may be.
    fn at_one_time(&mut self, limit: &Limits) {
        for asked in self.world.actions.iter().filter(|action| is_ours(action)) {
            let at = asked.creation_date_time_utc;
            let stands = |machine: &&Machine| {
                let actions = self.world.actions_of(&machine.id);
                let until: Vec<&MachineAction> =
                    actions.into_iter().filter(|action| action.creation_date_time_utc <= at).collect();
                in_force(&until, at).is_some_and(is_ours)
            };
            let standing = self.world.machines.iter().filter(stands).count();
            let most = self.chronicle.most(limit.standing_least, at - SLACK, at);
            if standing > most as usize {
                self.complain(format!("{standing} devices were isolated at {at}, where {most} may be"));
            }
        }
    }

    /// How Cordon holds the device to be is how it is, or a person has changed that since.
    fn claim_agrees(&mut self, machine: &Machine, claim: &Claim) {
        use model::EffectState::{Adopted, Cancelled, Failed, Refused, Released, Succeeded, TimedOut};
        let is_isolated = self.world.is_isolated(&machine.id);
        let says = match (claim.effect, claim.state) {
            (Effect::Isolate, Succeeded | Adopted) => Some(true),
            (_, Released) | (Effect::Isolate, Failed | Cancelled | TimedOut | Refused) => Some(false),
            _ => None,
        };
        let since = claim.claimed_at - SLACK;
        let actions = self.world.actions_of(&machine.id);
        let by_person = actions
            .iter()
            .any(|action| action.requestor == PERSON && action.last_update_date_time_utc >= since);
        if says.is_some_and(|says| says != is_isolated) && !by_person {
            self.complain(format!(
                "the claim on {} says `{}`, and isolated is {is_isolated}",
                machine.id, claim.state
            ));
        }
    }

    /// People read of an alert what its claim has come to.
    async fn case_agrees(&mut self, claim: &Claim) {
        let Some(alert) = &claim.alert else { return };
        let rows = self.cases(alert.as_str()).await;
        let Some(row) = rows.iter().find(|row| row.about.as_ref() == Some(&claim.device)) else { return };
        if row.last.claim.as_ref() == Some(&claim.id) && row.last.state != Some(claim.state) {
            let state = row.last.state.map(|state| state.to_string()).unwrap_or_default();
            self.complain(format!(
                "alert {alert} says `{state}` of {}, and its claim `{}`",
                claim.device, claim.state
            ));
        }
    }

    /// What people had to be told was told, and nothing twice but where somebody died in between.
    async fn tellings(&mut self) {
        let taken: Vec<Value> = {
            let log = self.ended.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.taken.values().cloned().collect()
        };
        let state = self.ended.state();
        let mut owed = BTreeSet::new();
        for message in &taken {
            let text =
                |path: &str| message.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let is_told = message.pointer("/body/decision/tell").and_then(Value::as_bool).unwrap_or(true);
            if !is_told || !owed.insert(text("/id")) {
                continue;
            }
            let Ok(message_id) = serde_json::from_value(Value::String(text("/id"))) else { continue };
            let key = match text("/kind").as_str() {
                Notice::KIND => Told::of_notice(self.tenant, &message_id, "mail"),
                ActionTaken::KIND => match text("/body/alert/id").parse() {
                    Ok(alert) => Told::key(self.tenant, &alert, &message_id, "mail"),
                    Err(_) => continue,
                },
                _ => continue,
            };
            let told: Option<Stored<Told>> = state.get(&key, self.now).await.unwrap();
            let is_dead = self.dead.iter().any(|letter| letter.body.contains(&text("/id")));
            if told.is_none() && !is_dead {
                self.complain(format!("nobody was told {} ({})", text("/id"), text("/kind")));
            }
        }
        for alert in &self.world.alerts {
            for row in self.cases(&alert.id).await {
                let id = row.announcement(self.tenant, "").id;
                let is_owed = row.last.decision.tell && row.told > 0;
                let was_sent = taken
                    .iter()
                    .any(|message| message.get("id").and_then(Value::as_str) == Some(id.as_str()));
                if is_owed && !was_sent && !self.dead.iter().any(|letter| letter.body.contains(&alert.id)) {
                    self.complain(format!("the last outcome of alert {} was never announced", alert.id));
                }
                if row.last.decision.answer == Answer::Isolate && row.last.state.is_none() {
                    self.complain(format!(
                        "alert {} was to isolate, and no state says what came of it",
                        alert.id
                    ));
                }
            }
        }
        let files =
            std::fs::read_dir(self.ended.mail_folder()).map(Iterator::count).unwrap_or_default() as u64;
        self.verdict.notifications = owed.len() as u64;
        self.verdict.repeated = self.ended.told.saturating_sub(files);
        if files < owed.len() as u64 && self.dead.is_empty() {
            self.complain(format!("{} messages were owed, and {files} mails are there", owed.len()));
        }
        if self.verdict.repeated > self.ended.wrongs.forgotten_tellings {
            self.complain(format!(
                "{} mails were sent again, where {} crashes or troubles fell between telling and writing it down",
                self.verdict.repeated, self.ended.wrongs.forgotten_tellings
            ));
        }
    }

    /// Nothing was asked of the tenant that it calls wrong.
    fn requests(&mut self) {
        let journal = self.ended.simulator.journal();
        for entry in &journal {
            if entry.malformed || entry.route == "unexpected" {
                self.complain(format!("an unexpected request: {} {}", entry.method, entry.path));
            }
            if let Some(violation) = entry.violation.as_ref().filter(|_| !self.is_excused(entry)) {
                self.complain(format!("the tenant complains at {}: {violation}", entry.at));
            }
        }
    }

    /// Two rules that nobody can keep to the moment: another worker does not hear of a throttle, and one that has heard
    /// counts from when it began; and a person may be faster by the moment between the last look and the request.
    fn is_excused(&self, entry: &Entry) -> bool {
        let violation = entry.violation.as_deref().unwrap_or_default();
        if violation.contains("Retry-After") {
            return true;
        }
        if !violation.contains("isolate") {
            return false;
        }
        let is_fresh = |action: &&MachineAction| {
            action.requestor == PERSON
                && action.creation_date_time_utc <= entry.at
                && action.creation_date_time_utc >= entry.at - SLACK
        };
        self.world.actions.iter().filter(is_fresh).any(|action| entry.path.contains(&action.machine_id))
    }
}

/// An isolation that was asked for through the interface.
fn is_ours(action: &MachineAction) -> bool {
    action.kind == ActionType::Isolate && action.request_source == "PublicApi"
}

/// The isolation among these that was open or in force at that time. What a person has asked for just before does not count:
/// nobody could know of it.
fn in_force<'a>(earlier: &[&'a MachineAction], at: Timestamp) -> Option<&'a MachineAction> {
    let mut standing: Option<&MachineAction> = None;
    for action in earlier {
        let ended = action.last_update_date_time_utc;
        match (action.kind, action.status) {
            (ActionType::Isolate, ActionStatus::Failed | ActionStatus::TimeOut | ActionStatus::Cancelled)
                if ended <= at => {}
            (ActionType::Isolate, _) => standing = Some(action),
            (ActionType::Unisolate, ActionStatus::Succeeded) if ended <= at => standing = None,
            _ => {}
        }
    }
    let by_person_just_now =
        |action: &&MachineAction| action.requestor == PERSON && action.creation_date_time_utc >= at - SLACK;
    standing.filter(|action| !by_person_just_now(action))
}

/// Whether the shipped policy isolates on account of an alert like this at that time.
fn is_actionable(alert: &Alert, at: Timestamp) -> bool {
    let is_fresh = |time: Option<Timestamp>| time.is_some_and(|time| at.duration_since(time) <= ACT_WITHIN);
    asks_for_isolation(alert) && is_fresh(alert.alert_creation_time) && is_fresh(alert.last_event_time)
}
