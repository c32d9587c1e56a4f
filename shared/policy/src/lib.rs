//! The playbook: settings, policy and asset lists in, a decision with its reasons out.
//!
//! Two gates stand one behind the other: what `policy.cedar` permits must not be what `guarantees.cedar` forbids.
//!
//! Deciding is pure: it reads no clock, knows no store and no network, and never fails, because an error while
//! deciding is a doubt, and doubt means no. Reading the folder is the only I/O. Limits, claims and whether a
//! device is already isolated are the business of whoever acts.

mod annotations;
mod asked;
mod assets;
mod cases;
mod channels;
mod decide;
mod facts;
mod hunts;
mod mistakes;
mod problems;
mod rules;
mod section;
mod settings;
mod tokens;
mod what_if;

pub use asked::asked_for;
pub use assets::AssetList;
pub use cases::{CASES, Decoders, Difference, PolicyCase, Tried};
pub use channels::{
    Channel, ChannelKind, GraphSettings, HostKind, NOTHING, Notices, OAuthSettings, OUTCOMES, Route,
    SecretName, SmtpLogin, SmtpProof, SmtpSecurity, SmtpSettings, taken_by_none,
};
pub use hunts::{
    AlertMapping, Cron, DefenderAlert, EvidenceField, EvidenceMapping, HUNTS, Hunt, Outcome, Parameter,
    Schedule, SeverityOf, Span, Template,
};
pub use model::Surroundings;
pub use problems::Problems;
pub use rules::{Effect, Rule};
pub use settings::{IsolationSettings, PollSettings, Settings};
pub use what_if::Change;

use jiff::Timestamp;
use model::{Alert, Decision, DeviceFact, FirstSeen, Mode};
use std::{path::Path, sync::Arc};

const PLAYBOOK: &str = "playbook.toml";
const POLICY: &str = "policy.cedar";
const GUARANTEES: &str = "guarantees.cedar";
const ASSETS: &str = "assets.toml";

/// A playbook without a fault: its policies are valid, its settings within bounds.
#[derive(Debug, Clone)]
pub struct Playbook {
    pub settings: Settings,
    rules: rules::Rules,
    guarantees: rules::Rules,
    lists: Vec<AssetList>,
    digest: String,
}

/// The texts of the playbook's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// `playbook.toml`
    pub playbook: &'a str,
    /// `policy.cedar`
    pub policy: &'a str,
    /// `guarantees.cedar`
    pub guarantees: &'a str,
    /// `assets.toml`
    pub assets: &'a str,
}

/// One alert on one device, and what else a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub alert: &'a Alert,
    pub device: &'a DeviceFact,
    pub first_seen: FirstSeen,
    /// What the environment says; none leaves it to the playbook.
    pub environment_mode: Option<Mode>,
    pub surroundings: Surroundings,
    pub now: Timestamp,
}

impl Playbook {
    /// Reads the four files of a folder.
    pub fn read(folder: &Path) -> Result<Playbook, Problems> {
        let files = [PLAYBOOK, POLICY, GUARANTEES, ASSETS].map(|file| problems::read_file(folder, file));
        match &files {
            [Ok(playbook), Ok(policy), Ok(guarantees), Ok(assets)] => {
                Playbook::parse(&Texts { playbook, policy, guarantees, assets })
            }
            _ => Err(Problems::new(files.into_iter().filter_map(Result::err).collect())),
        }
    }

    /// Reads the texts of the four files.
    pub fn parse(texts: &Texts<'_>) -> Result<Playbook, Problems> {
        let mut problems = Vec::new();
        let settings = settings::parse(texts.playbook, &mut problems);
        let vocabulary = match rules::Vocabulary::new() {
            Ok(vocabulary) => Arc::new(vocabulary),
            Err(problem) => return Err(Problems::new(vec![problem])),
        };
        let mut read = |kind, text| rules::parse(kind, text, &vocabulary, &mut problems);
        let rules = read(rules::Kind::Policy, texts.policy);
        let guarantees = read(rules::Kind::Guarantees, texts.guarantees);
        let lists = assets::parse(texts.assets, &mut problems);
        let digest = model::digest(&[texts.playbook, texts.policy, texts.guarantees, texts.assets]);
        match (rules, guarantees) {
            (Some(rules), Some(guarantees)) if problems.is_empty() => {
                Ok(Playbook { settings, rules, guarantees, lists, digest })
            }
            _ => Err(Problems::new(problems)),
        }
    }

    /// What is to be done about a case, and why. An error while deciding is a doubt in the decision.
    pub fn decide(&self, case: &Case<'_>) -> Decision {
        decide::decide(self, &self.lists, case)
    }

    /// The names of the asset lists on which a device stands.
    pub fn listed(&self, device: &model::Device) -> Vec<&str> {
        assets::listed(&self.lists, device)
    }

    /// The asset lists, in the order of the file.
    pub fn lists(&self) -> &[AssetList] {
        &self.lists
    }

    /// The policies, in the order of the file.
    pub fn policies(&self) -> &[Rule] {
        self.rules.all()
    }

    /// The guarantees, in the order of the file.
    pub fn guarantees(&self) -> &[Rule] {
        self.guarantees.all()
    }

    /// Whether policies or guarantees ask for an attribute, by its path such as `context.isolationsLastHour`.
    pub fn asks_for(&self, path: &str) -> bool {
        self.rules.asks_for(path) || self.guarantees.asks_for(path)
    }

    /// A digest of the four files: a decision carries it, so that one made by another playbook can be told.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Policies, guarantees and schema as Cedar has them, for whoever proves something about them. Each policy's
    /// Cedar id is its `@id`.
    pub fn cedar(&self) -> (&cedar_policy::PolicySet, &cedar_policy::PolicySet, &cedar_policy::Schema) {
        (self.rules.cedar(), self.guarantees.cedar(), self.rules.schema())
    }
}
