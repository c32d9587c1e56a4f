//! What comes out otherwise by one playbook than by another: counts before and after, and each alert that differs in its
//! answer, in the kind of isolation, or in what limits make of it.

use super::{
    judge::{Judged, Verdict},
    report::Report,
    simulate::{Fate, FateWord},
};
use jiff::Timestamp;
use model::{AlertId, DeviceId};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Changes {
    /// The folder of the old playbook, and the digest of its files.
    pub(crate) against: String,
    pub(crate) digest: String,
    /// By what would have become of it: old and new.
    pub(crate) fates: BTreeMap<FateWord, [usize; 2]>,
    /// Each alert that differs.
    pub(crate) alerts: Vec<Change>,
}

/// One alert that differs.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) id: AlertId,
    pub(crate) at: Timestamp,
    pub(crate) title: String,
    pub(crate) device: Option<DeviceId>,
    pub(crate) name: String,
    pub(crate) old: Side,
    pub(crate) new: Side,
}

/// What one of the two says.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) answer: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) isolation_type: &'static str,
    pub(crate) fate: FateWord,
    pub(crate) permitted_by: Vec<String>,
    pub(crate) forbidden_by: Vec<String>,
    pub(crate) doubts: Vec<String>,
}

impl Side {
    fn of(verdict: &Verdict, fate: &Fate) -> Side {
        Side {
            answer: verdict.answer.as_str(),
            mode: verdict.mode.as_str(),
            isolation_type: verdict.isolation_type.as_str(),
            fate: fate.word(),
            permitted_by: verdict.permitted_by.clone(),
            forbidden_by: verdict.forbidden_by.clone(),
            doubts: verdict.doubts.clone(),
        }
    }

    /// The answer and what spoke, in a few words.
    pub(crate) fn said(&self) -> String {
        let list =
            |label: &str, ids: &[String]| (!ids.is_empty()).then(|| format!("{label} {}", ids.join(", ")));
        let why = [
            list("for:", &self.permitted_by),
            list("against:", &self.forbidden_by),
            list("doubt:", &self.doubts),
        ];
        let why: Vec<String> = why.into_iter().flatten().collect();
        let kind = (self.answer == "isolate").then_some(self.isolation_type);
        let fate = match self.fate {
            FateWord::Held => Some("held by a limit"),
            FateWord::Joined => Some("isolated already"),
            FateWord::Observed => Some("only observed"),
            FateWord::NotAsked => Some("not asked: isolated already"),
            FateWord::Isolated | FateWord::Proposed | FateWord::Refused | FateWord::Nothing => None,
        };
        let parts: Vec<&str> = std::iter::once(self.answer).chain(kind).chain(fate).collect();
        let answer = parts.join(", ");
        if why.is_empty() { answer } else { format!("{answer} ({})", why.join("; ")) }
    }
}

impl Changes {
    /// Looks whether the same comes of an alert by the two, old and new.
    pub(crate) fn add(&mut self, judged: &Judged, old: (&Verdict, &Fate), new: (&Verdict, &Fate)) {
        let gist = |(verdict, fate): (&Verdict, &Fate)| {
            let isolates = verdict.answer == model::Answer::Isolate;
            (verdict.answer, isolates.then_some((verdict.mode, verdict.isolation_type)), fate.word())
        };
        if gist(old) == gist(new) {
            return;
        }
        self.alerts.push(Change {
            id: judged.id.clone(),
            at: judged.at,
            title: judged.title.clone(),
            device: judged.device.clone(),
            name: judged.name.clone(),
            old: Side::of(old.0, old.1),
            new: Side::of(new.0, new.1),
        });
    }

    pub(crate) fn count(&mut self, old: &Report, new: &Report) {
        self.fates = FateWord::ALL.map(|fate| (fate, [old.fate(fate), new.fate(fate)])).into();
    }
}
