//! What comes of the alerts under each playbook, as they are judged one after the other: simulated, counted, compared, and
//! written down where that is asked for.

use super::written::Written;
use crate::{
    Ending,
    backtest::{Changes, Devices, Fate, FateWord, Judged, Report, Simulation, Taking, Verdict},
};
use jiff::{SignedDuration, Timestamp};
use model::{Device, DeviceId, Onboarding};
use policy::{Playbook, Surroundings};
use serde::Serialize;
use std::{
    io::{self, Write},
    path::Path,
};

/// What comes of the alerts under each playbook: the new one first, then the old one, if there is one.
pub(super) struct Outcome<'a> {
    simulations: Vec<Simulation<'a>>,
    pub(super) reports: Vec<Report>,
    changes: Changes,
    decisions: Option<Written>,
}

/// A line of `--decisions`.
#[derive(Serialize)]
struct Decided<'a> {
    id: &'a str,
    device: Option<&'a DeviceId>,
    at: Timestamp,
    answer: &'static str,
    mode: &'static str,
    fate: FateWord,
    permitted_by: &'a [String],
    forbidden_by: &'a [String],
    doubts: &'a [String],
}

impl<'a> Outcome<'a> {
    pub(super) fn new(
        playbooks: &[&'a Playbook],
        devices: &Devices,
        isolated_for: SignedDuration,
        decisions: Option<Written>,
    ) -> Outcome<'a> {
        let is_onboarded = |device: &&Device| device.onboarding == Some(Onboarding::Onboarded);
        let fleet = devices.values().filter(is_onboarded).count() as u64;
        let simulation =
            |playbook: &&'a Playbook| Simulation::new(&playbook.settings.limits, fleet, isolated_for);
        Outcome {
            simulations: playbooks.iter().map(simulation).collect(),
            reports: playbooks.iter().map(|_| Report::default()).collect(),
            changes: Changes::default(),
            decisions,
        }
    }

    /// Puts what was written in its place.
    pub(super) fn finish(&mut self) -> Result<(), Ending> {
        self.decisions.take().map_or(Ok(()), Written::finish)
    }

    /// What the new playbook says otherwise, where there is an old one.
    pub(super) fn changes(&mut self, folder: Option<&Path>, old: Option<&Playbook>) -> Option<Changes> {
        let (folder, old) = (folder?, old?);
        let mut changes = std::mem::take(&mut self.changes);
        changes.against = folder.display().to_string();
        old.digest().clone_into(&mut changes.digest);
        if let [new, old] = self.reports.as_slice() {
            changes.count(old, new);
        }
        Some(changes)
    }
}

impl Taking for Outcome<'_> {
    fn surroundings(&mut self, device: Option<&DeviceId>, at: Timestamp) -> Vec<Surroundings> {
        self.simulations.iter_mut().map(|simulation| simulation.surroundings(device, at)).collect()
    }

    fn take(&mut self, judged: Judged) -> io::Result<()> {
        let fates: Vec<Fate> = self
            .simulations
            .iter_mut()
            .zip(&judged.verdicts)
            .map(|(simulation, verdict)| simulation.take(&judged, verdict))
            .collect();
        for ((report, verdict), fate) in self.reports.iter_mut().zip(&judged.verdicts).zip(&fates) {
            report.add(&judged, verdict, fate);
        }
        if let ([new, old], [new_fate, old_fate]) = (judged.verdicts.as_slice(), fates.as_slice()) {
            self.changes.add(&judged, (old, old_fate), (new, new_fate));
        }
        if let (Some(file), Some(verdict), Some(fate)) =
            (&mut self.decisions, judged.verdicts.first(), fates.first())
        {
            write_decision(file, &judged, verdict, fate)?;
        }
        Ok(())
    }
}

fn write_decision(to: &mut impl Write, judged: &Judged, verdict: &Verdict, fate: &Fate) -> io::Result<()> {
    let decided = Decided {
        id: judged.id.as_str(),
        device: judged.device.as_ref(),
        at: judged.at,
        answer: verdict.answer.as_str(),
        mode: verdict.mode.as_str(),
        fate: fate.word(),
        permitted_by: &verdict.permitted_by,
        forbidden_by: &verdict.forbidden_by,
        doubts: &verdict.doubts,
    };
    serde_json::to_writer(&mut *to, &decided)?;
    to.write_all(b"\n")
}
