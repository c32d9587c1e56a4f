//! Records what became of an alert on a device and announces it: record first, so that whoever comes after a
//! crash announces the same thing again under the same id.

use crate::{Respond, Stop, Work};
use model::{ActionTaken, Answer, Decision, EffectState, Mode, Severity};
use ports::{Announced, CaseRow, Count, HistoryEntry, QueueName, Stored, Write};

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

    /// Announces the recorded outcome, under the id that it has had from the start.
    pub(crate) async fn announce_again(&self, work: &Work) -> Result<(), Stop> {
        let Some(case) = &work.case else { return Ok(()) };
        let message = case.value.announcement(&self.tenant, &work.message.trace);
        Ok(self.queue.send_one(QueueName::ActionsTaken, &message, work.now).await?)
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
        let write = Write::put(key.clone(), &row, Stored::expected(before), CaseRow::expires(work.now))?;
        self.state.commit(&[write], work.now).await?;
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
        row.judged.push(found.revision.clone());
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
    row.history.push(HistoryEntry {
        at: work.now,
        revision: found.revision.clone(),
        decision: outcome.decision.clone(),
        state: outcome.state,
        notes: outcome.notes.clone(),
        action: outcome.action.clone(),
    });
    let excess = row.history.len().saturating_sub(CaseRow::MAX_HISTORY);
    row.history.drain(..excess);
}
