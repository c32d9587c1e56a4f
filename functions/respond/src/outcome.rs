//! Records what became of an alert on a device and announces it: record first, so that whoever comes after a
//! crash announces the same thing again under the same id.

use crate::{Respond, Stop, Work, orders::Ordered};
use jiff::Timestamp;
use model::{
    ActionTaken, AlertEnriched, AlertId, Answer, Body, Decision, DeviceId, EffectState, Envelope, Mode,
    Notice, Severity, Topic,
};
use ports::{
    Announced, Brakes, CaseRow, Claim, ClaimError, Count, DeviceRow, Event, Gate, Held, HistoryEntry, News,
    QueueName, StateError, Stored, Write,
};

impl Respond {
    /// This revision is judged: remembers and announces the outcome.
    pub(crate) async fn finish(&self, work: &mut Work, mut outcome: ActionTaken) -> Result<(), Stop> {
        // Who was told that it is not known, or not asked for yet, hears the end of it, whatever that is.
        let meanwhile = |state| matches!(state, Some(EffectState::Unknown | EffectState::Claimed));
        outcome.decision.tell |= work.case.as_ref().is_some_and(|case| meanwhile(case.value.last.state));
        let decision = outcome.decision.clone();
        self.record(work, outcome, Judged::Yes).await?;
        self.count_decision(&decision);
        self.announce_again(work).await
    }

    /// The outcome is not final, but people must know it now.
    pub(crate) async fn announce_meanwhile(&self, work: &mut Work, outcome: ActionTaken) -> Result<(), Stop> {
        let same = work.case.as_ref().is_some_and(|case| {
            case.value.last.state == outcome.state && case.value.last.revision == outcome.revision
        });
        if !same {
            self.record(work, outcome, Judged::NotYet).await?;
        }
        self.announce_again(work).await
    }

    /// A revision that brings nothing to act upon: it is judged, and nobody hears of it, unless it is the first
    /// outcome.
    pub(crate) async fn record_triage(&self, work: &mut Work, decision: Decision) -> Result<(), Stop> {
        let Some(case) = work.case.clone() else { return Ok(()) };
        let mut row = case.value.clone();
        let note = "a triage edit: neither a raised severity nor new evidence".to_owned();
        let mut outcome = work.outcome(decision, row.last.state, vec![note]);
        outcome.action = row.last.action.clone();
        remember(&mut row, &outcome, work, Judged::Yes);
        self.write_case(work, row, Some(&case)).await
    }

    /// What was judged of an alert before cannot be read, so that nothing can be recorded either: people are told
    /// instead. The row is left as it is, for whoever finds out what has happened to it.
    pub(crate) async fn tell_undecided(
        &self,
        message: &Envelope<AlertEnriched>,
        error: &StateError,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let body = &message.body;
        let (alert, device) = (&body.found.alert, body.about.as_ref().and_then(|about| about.id()));
        let notice = Notice {
            topic: Topic::Stuck,
            device: device.cloned(),
            device_name: body.device.known().and_then(|device| device.name.clone()),
            facts: vec![format!(
                "nothing was decided about alert {}, \"{}\": {error}",
                alert.id,
                model::one_line(&alert.title, 120)
            )],
            table: None,
        };
        let identity = ["undecided", alert.id.as_str(), body.found.revision.as_str()];
        let notice = Envelope::new(&self.tenant, &identity, &message.trace, now, notice);
        self.send(QueueName::ActionsTaken, &notice, now).await
    }

    /// Announces the recorded outcome, under the id that it has had from the start.
    pub(crate) async fn announce_again(&self, work: &Work) -> Result<(), Stop> {
        let Some(case) = &work.case else { return Ok(()) };
        self.announce(&case.value, &work.message.trace, work.now).await
    }

    /// Tells people of a case's last outcome, and has it written on the alert where that is wanted.
    async fn announce(&self, case: &CaseRow, trace: &str, now: Timestamp) -> Result<(), Stop> {
        self.send(QueueName::ActionsTaken, &case.announcement(&self.tenant, trace), now).await?;
        let says_something = matches!(
            case.last.state,
            Some(
                EffectState::Requested
                    | EffectState::Failed
                    | EffectState::Cancelled
                    | EffectState::Released
                    | EffectState::Succeeded
            )
        );
        if self.playbook.settings.isolation.comment_on_alert
            && says_something
            && let Some(report) = case.report(&self.tenant, trace, now)
        {
            self.send(QueueName::EffectsRequested, &report, now).await?;
        }
        Ok(())
    }

    pub(crate) async fn send<B: Body>(
        &self,
        queue: QueueName,
        message: &Envelope<B>,
        now: Timestamp,
    ) -> Result<(), Stop> {
        Ok(self.queue.send_one(queue, message, now).await?)
    }

    /// Tells people how a claim stands that moved on by an order: on its alert's case where it has one.
    pub(crate) async fn tell_claim(
        &self,
        claim: &Claim,
        device_name: Option<String>,
        notes: Vec<String>,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let Some(case) = self.case_of(claim, now).await? else {
            return self.notice_of(claim, device_name, notes, now).await;
        };
        let row = told(&case, claim, notes, now);
        self.state.commit(&row.writes(&self.tenant, Some(&case), now)?, now).await?;
        self.announce(&row, &format!("{}-order", claim.id), now).await
    }

    /// Tells people how a claim stands that no alert has led to.
    async fn notice_of(
        &self,
        claim: &Claim,
        device_name: Option<String>,
        notes: Vec<String>,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let topic = Topic::Ordered { effect: claim.effect, state: claim.state };
        let identity = ["ordered", claim.id.as_str(), claim.state.word()];
        let device_name = match device_name {
            None => self.device_name(&claim.device, now).await?,
            name => name,
        };
        let notice =
            Notice { topic, device: Some(claim.device.clone()), device_name, facts: notes, table: None };
        let trace = format!("{}-order", claim.id);
        let notice = Envelope::new(&self.tenant, &identity, &trace, now, notice);
        self.send(QueueName::ActionsTaken, &notice, now).await
    }

    /// A claim comes to its end by an order, without the service being asked for more. Told first and written then, claim
    /// and case in one commit: a crash in between tells the same under the same id.
    pub(crate) async fn end_claim(
        &self,
        order: &Ordered,
        held: &Stored<Claim>,
        event: Event,
        said: &str,
    ) -> Result<(), Stop> {
        let now = order.now;
        let claim = held.value.after(&self.tenant, event.clone(), now).map_err(ClaimError::from)?.claim;
        let notes = vec![order.order().note(), said.to_owned()];
        let case = self.case_of(&claim, now).await?;
        let also = match &case {
            Some(case) => {
                let row = told(case, &claim, notes, now);
                self.announce(&row, &format!("{}-order", claim.id), now).await?;
                row.writes(&self.tenant, Some(case), now)?
            }
            None => {
                self.notice_of(&claim, None, notes, now).await?;
                Vec::new()
            }
        };
        self.claims().after(held, event, also, now).await?;
        self.answer(order, Some(claim.state), said.to_owned()).await
    }

    pub(crate) async fn case_of(
        &self,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Option<Stored<CaseRow>>, Stop> {
        let Some(alert) = &claim.alert else { return Ok(None) };
        // Without a case people are told by a notice.
        Ok(self.state.get_readable(&CaseRow::key(&self.tenant, alert, Some(&claim.device)), now).await?)
    }

    pub(crate) async fn device_name(
        &self,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<Option<String>, Stop> {
        let row: Option<Stored<DeviceRow>> =
            self.state.get(&DeviceRow::key(&self.tenant, device), now).await?;
        Ok(row.and_then(|row| row.value.device.name))
    }

    /// People hear that a gate holds cases back: told first and remembered then.
    pub(crate) async fn tell_holding(
        &self,
        gate: &Gate,
        news: News,
        device: &DeviceId,
        alert: Option<&AlertId>,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let topic = match gate {
            Gate::Breaker { .. } => Topic::BreakerOpen,
            Gate::Paused(_)
            | Gate::PerHour { .. }
            | Gate::PerDay { .. }
            | Gate::Standing { .. }
            | Gate::Group { .. } => Topic::Holding,
        };
        let first = alert.map_or_else(
            || format!("the first that it holds back: an order by hand for the device {device}"),
            |alert| format!("the first that it holds back: alert {alert} on the device {device}"),
        );
        let notice = Notice {
            topic,
            device: None,
            device_name: None,
            facts: vec![gate.to_string(), first],
            table: None,
        };
        let identity = ["holding", &gate.key(), &news.turn];
        let notice = Envelope::new(&self.tenant, &identity, &gate.key(), now, notice);
        self.send(QueueName::ActionsTaken, &notice, now).await?;
        let write = Write::put(Brakes::key(&self.tenant), &news.brakes, news.expect, None)?;
        Ok(self.state.commit(&[write], now).await?)
    }

    async fn record(&self, work: &mut Work, outcome: ActionTaken, judged: Judged) -> Result<(), Stop> {
        let before = work.case.clone();
        let mut row = before.as_ref().map_or_else(
            || CaseRow {
                about: work.device_id().cloned(),
                last: outcome.clone(),
                decided_at: work.now,
                judged: Vec::new(),
                severity: None,
                evidence: Default::default(),
                updated: None,
                told: 0,
                held: None,
                history: Vec::new(),
            },
            |before| before.value.clone(),
        );
        remember(&mut row, &outcome, work, judged);
        // People are told when the outcome changes: the same one under the id that it had is no news.
        if before.is_none() || is_news(&row.last, &outcome) {
            row.decided_at = work.now;
            row.told += 1;
        }
        row.held = held(&row, &outcome, work);
        row.last = outcome;
        self.write_case(work, row, before.as_ref()).await
    }

    async fn write_case(
        &self,
        work: &mut Work,
        row: CaseRow,
        before: Option<&Stored<CaseRow>>,
    ) -> Result<(), Stop> {
        let key = CaseRow::key(&self.tenant, &work.message.body.found.alert.id, work.device_id());
        self.state.commit(&row.writes(&self.tenant, before, work.now)?, work.now).await?;
        // What is announced is what was written here, whoever has written since.
        let stored: Option<Stored<CaseRow>> = self.state.get(&key, work.now).await?;
        work.case = stored.map(|stored| Stored { value: row, version: stored.version });
        Ok(())
    }

    fn count_decision(&self, decision: &Decision) {
        self.tally.one(match decision.answer {
            Answer::Isolate => Count::DecidedIsolate,
            Answer::Propose => Count::DecidedPropose,
            Answer::None => Count::DecidedNone,
            Answer::Refused => Count::DecidedRefused,
        });
        if decision.answer == Answer::Isolate && decision.mode == Mode::Observe {
            self.tally.one(Count::DecidedObserved);
        }
    }
}

/// Whether a revision is judged for good, or its outcome still open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    Yes,
    NotYet,
}

/// Whether an outcome says anything that the one before it did not.
fn is_news(before: &ActionTaken, after: &ActionTaken) -> bool {
    let gist = |outcome: &ActionTaken| {
        let decision = &outcome.decision;
        (decision.answer, decision.mode, outcome.state, decision.doubts.clone(), outcome.action.clone())
    };
    gist(before) != gist(after)
}

fn remember(row: &mut CaseRow, outcome: &ActionTaken, work: &Work, judged: Judged) {
    let found = &work.message.body.found;
    if judged == Judged::Yes {
        if !row.judged.contains(&found.revision) {
            row.judged.push(found.revision.clone());
        }
        let excess = row.judged.len().saturating_sub(Announced::MAX_REVISIONS);
        row.judged.drain(..excess);
        let rank = |severity: &Option<Severity>| severity.as_ref().and_then(Severity::rank);
        if rank(&found.alert.severity) > rank(&row.severity) {
            row.severity = found.alert.severity.clone();
        }
        row.evidence.extend(found.evidence.iter().cloned());
        while row.evidence.len() > Announced::MAX_EVIDENCE {
            row.evidence.pop_first();
        }
        row.updated = row.updated.max(found.alert.updated);
    }
    row.push(HistoryEntry {
        at: work.now,
        revision: found.revision.clone(),
        decision: outcome.decision.in_short(),
        effect: outcome.effect,
        state: outcome.state,
        notes: outcome.notes.clone(),
        action: outcome.action.clone(),
    });
}

/// The case after its claim has moved on by an order, to be told.
fn told(case: &Stored<CaseRow>, claim: &Claim, notes: Vec<String>, now: Timestamp) -> CaseRow {
    let mut row = case.value.moved_on(claim, notes, now);
    row.last.decision.tell = true;
    (row.decided_at, row.told) = (now, row.told + 1);
    row
}

/// What holds the case back, where it is held: since it was first held back.
fn held(row: &CaseRow, outcome: &ActionTaken, work: &Work) -> Option<Held> {
    let device = row.about.clone().filter(|_| outcome.state == Some(EffectState::Held))?;
    Some(Held {
        alert: outcome.alert.id.clone(),
        device,
        device_name: outcome.device.known().and_then(|device| device.name.clone()),
        title: model::one_line(&outcome.alert.title, 200),
        severity: outcome.alert.severity.clone(),
        gate: outcome.notes.first().cloned().unwrap_or_default(),
        since: row.held.as_ref().map_or(work.now, |held| held.since),
    })
}
