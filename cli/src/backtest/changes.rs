//! What one playbook answers otherwise than another: counts before and after, and each alert whose answer differs.

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
    /// Each alert whose answer differs.
    pub(crate) alerts: Vec<Change>,
}

/// One alert whose answer differs.
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
        let answer = if self.mode == "observe" && self.answer == "isolate" {
            "isolate (observed)"
        } else {
            self.answer
        };
        if why.is_empty() { answer.to_owned() } else { format!("{answer} ({})", why.join("; ")) }
    }
}

impl Changes {
    /// Looks whether the two, old and new, say the same of an alert.
    pub(crate) fn add(&mut self, judged: &Judged, old: (&Verdict, &Fate), new: (&Verdict, &Fate)) {
        let said = |verdict: &Verdict| {
            (verdict.answer, verdict.answer == model::Answer::Isolate && verdict.mode == model::Mode::Observe)
        };
        if said(old.0) == said(new.0) {
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
