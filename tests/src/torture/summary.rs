//! The numbers of many lives, as a table. They are for people; whether a life is well is `judge`'s business.

use super::{judge::Verdict, life::Ended};
use std::{collections::BTreeMap, fmt};

/// Sums over lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub lives: u64,
    pub failed: u64,
    pub alerts: u64,
    pub lost: u64,
    pub faults: BTreeMap<String, u64>,
    pub crashes: u64,
    pub duplicates: u64,
    /// Devices that had to be isolated, counted where nobody meddled.
    pub owed: u64,
    pub accepted: u64,
    pub doubled: u64,
    pub notifications: u64,
    pub repeated: u64,
    pub put_back: u64,
    pub dead_letters: u64,
}

impl Summary {
    pub fn add_life(&mut self, ended: &Ended, verdict: &Verdict) {
        self.lives += 1;
        self.failed += u64::from(!verdict.complaints.is_empty());
        self.alerts += verdict.alerts;
        self.lost += verdict.lost;
        self.crashes += ended.wrongs.crashes;
        self.duplicates += ended.doubled;
        self.owed += verdict.owed;
        self.accepted += verdict.accepted;
        self.doubled += verdict.doubled;
        self.notifications += verdict.notifications;
        self.repeated += verdict.repeated;
        self.dead_letters += verdict.dead_letters;
        self.put_back += ended.chronicle.redriven.len() as u64;
        for (kind, times) in &ended.wrongs.troubles {
            *self.faults.entry((*kind).to_owned()).or_default() += times;
        }
        for fault in ended.simulator.journal().into_iter().filter_map(|entry| entry.fault) {
            *self.faults.entry(format!("the tenant: {fault}")).or_default() += 1;
        }
    }

    pub fn add(&mut self, other: &Summary) {
        self.lives += other.lives;
        self.failed += other.failed;
        self.alerts += other.alerts;
        self.lost += other.lost;
        self.crashes += other.crashes;
        self.duplicates += other.duplicates;
        self.owed += other.owed;
        self.accepted += other.accepted;
        self.doubled += other.doubled;
        self.notifications += other.notifications;
        self.repeated += other.repeated;
        self.put_back += other.put_back;
        self.dead_letters += other.dead_letters;
        for (kind, times) in &other.faults {
            *self.faults.entry(kind.clone()).or_default() += times;
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, number: u64| writeln!(f, "{name:<52}{number:>10}");
        row("lives", self.lives)?;
        row("lives in which something did not hold", self.failed)?;
        row("alerts", self.alerts)?;
        row("alerts lost", self.lost)?;
        row("crashes", self.crashes)?;
        row("duplicates delivered", self.duplicates)?;
        row("isolations owed (where nobody meddled)", self.owed)?;
        row("isolations accepted", self.accepted)?;
        row("isolations doubled", self.doubled)?;
        row("notifications owed", self.notifications)?;
        row("notifications sent again after a crash", self.repeated)?;
        row("dead letters put back by the operator", self.put_back)?;
        row("dead letters left, each with its reason", self.dead_letters)?;
        for (kind, times) in &self.faults {
            row(&format!("fault: {kind}"), *times)?;
        }
        Ok(())
    }
}
