//! The playbook: settings, policy and asset lists in, a decision with its reasons out.
//!
//! Deciding is pure: it reads no clock, knows no store and no network, and never fails, because an error while
//! deciding is a doubt, and doubt means no. Reading the folder is the only I/O. Limits, claims and whether a
//! device is already isolated are the business of whoever acts.

mod assets;
mod decide;
mod facts;
mod problems;
mod rules;
mod section;
mod settings;

pub use assets::AssetList;
pub use problems::Problems;
pub use rules::{Effect, Rule};
pub use settings::{Channel, HostKind, IsolationSettings, PollSettings, Settings, SmtpSecurity};

use jiff::Timestamp;
use model::{Alert, Decision, DeviceFact, FirstSeen, Mode};
use std::path::Path;

const PLAYBOOK: &str = "playbook.toml";
const POLICY: &str = "policy.cedar";
const ASSETS: &str = "assets.toml";

/// A playbook without a fault: its policies are valid, its settings within bounds.
#[derive(Debug, Clone)]
pub struct Playbook {
    pub settings: Settings,
    rules: rules::Rules,
    lists: Vec<AssetList>,
}

/// One alert on one device, and what else a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub alert: &'a Alert,
    pub device: &'a DeviceFact,
    pub first_seen: FirstSeen,
    /// What the environment says; none leaves it to the playbook.
    pub environment_mode: Option<Mode>,
    pub now: Timestamp,
}

impl Playbook {
    /// Reads the three files of a folder.
    pub fn read(folder: &Path) -> Result<Playbook, Problems> {
        let files = [PLAYBOOK, POLICY, ASSETS].map(|file| problems::read_file(folder, file));
        match files {
            [Ok(playbook), Ok(policy), Ok(assets)] => Playbook::parse(&playbook, &policy, &assets),
            files => Err(Problems::new(files.into_iter().filter_map(Result::err).collect())),
        }
    }

    /// Reads the texts of the three files.
    pub fn parse(playbook_toml: &str, policy_cedar: &str, assets_toml: &str) -> Result<Playbook, Problems> {
        let mut problems = Vec::new();
        let settings = settings::parse(playbook_toml, &mut problems);
        let rules = rules::parse(policy_cedar, &mut problems);
        let lists = assets::parse(assets_toml, &mut problems);
        match rules {
            Some(rules) if problems.is_empty() => Ok(Playbook { settings, rules, lists }),
            Some(_) | None => Err(Problems::new(problems)),
        }
    }

    /// What is to be done about a case, and why. An error while deciding is a doubt in the decision.
    pub fn decide(&self, case: &Case<'_>) -> Decision {
        decide::decide(self, case)
    }

    /// The names of the asset lists on which a device stands.
    pub fn listed(&self, device: &model::Device) -> Vec<&str> {
        self.lists.iter().filter(|list| list.names(device)).map(|list| list.name.as_str()).collect()
    }

    /// The asset lists, in the order of the file.
    pub fn lists(&self) -> &[AssetList] {
        &self.lists
    }

    /// The policies, in the order of the file.
    pub fn policies(&self) -> &[Rule] {
        self.rules.all()
    }
}
