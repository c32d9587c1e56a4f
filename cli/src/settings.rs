//! The settings of the local host, read once: `DEFENDER_…` by `credentials`, `CORDON_…` here, the playbook by
//! `policy`. Everything that is wrong is listed at once.

use credentials::{Connection, Problems, Vars, lookback, mode};
use jiff::SignedDuration;
use model::Mode;
use policy::{Hunt, Playbook};
use std::path::{Path, PathBuf};

/// Everything that a run needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) connection: Connection,
    pub(crate) playbook: Playbook,
    pub(crate) hunts: Vec<Hunt>,
    pub(crate) playbook_folder: PathBuf,
    /// What `CORDON_MODE` says.
    pub(crate) environment_mode: Option<Mode>,
    pub(crate) lookback: SignedDuration,
    pub(crate) channels: Vec<notify::Channel>,
    pub(crate) templates: notify::Templates,
    pub(crate) state: PathBuf,
}

impl Settings {
    pub(crate) fn from_vars(vars: &Vars) -> Result<Settings, Problems> {
        let mut problems = Problems::default();
        let connection = Connection::from_vars(vars, None, &mut problems);
        let environment_mode = mode(vars, &mut problems);
        let lookback = lookback(vars, &mut problems);
        let playbook_folder = playbook_folder(vars);
        let playbook = read_playbook(&playbook_folder, &mut problems);
        let hunts = read_hunts(&playbook_folder, &mut problems);
        let channels = playbook
            .as_ref()
            .map(|playbook| notify::open(&playbook.settings.channels, vars, None, &mut problems));
        let templates = read_templates(&playbook_folder, &mut problems);
        match (connection, playbook, hunts, lookback, channels, templates) {
            (
                Some(connection),
                Some(playbook),
                Some(hunts),
                Some(lookback),
                Some(channels),
                Some(templates),
            ) if problems.is_empty() => {
                let state = state_file(vars);
                Ok(Settings {
                    connection,
                    playbook,
                    hunts,
                    playbook_folder,
                    environment_mode,
                    lookback,
                    channels,
                    templates,
                    state,
                })
            }
            _ => Err(problems),
        }
    }

    /// The mode that holds.
    pub(crate) fn mode(&self) -> Mode {
        self.environment_mode.unwrap_or(self.playbook.settings.mode)
    }
}

/// `CORDON_PLAYBOOK`.
pub(crate) fn playbook_folder(vars: &Vars) -> PathBuf {
    PathBuf::from(vars.get("CORDON_PLAYBOOK").unwrap_or("playbook"))
}

/// The playbook of a folder; what is wrong with it is added to `problems`.
pub(crate) fn read_playbook(folder: &Path, problems: &mut Problems) -> Option<Playbook> {
    let read = Playbook::read(folder);
    if let Err(found) = &read {
        problems.add_all(&format!("CORDON_PLAYBOOK `{}`", folder.display()), found.iter());
    }
    read.ok()
}

/// The hunts of the playbook of a folder; what is wrong with them is added to `problems`.
pub(crate) fn read_hunts(folder: &Path, problems: &mut Problems) -> Option<Vec<Hunt>> {
    let read = Hunt::read_all(folder);
    if let Err(found) = &read {
        problems.add_all(&format!("CORDON_PLAYBOOK `{}`", folder.display()), found.iter());
    }
    read.ok()
}

/// How mails look by the playbook of a folder; what is wrong with its templates is added to `problems`.
pub(crate) fn read_templates(folder: &Path, problems: &mut Problems) -> Option<notify::Templates> {
    let read = notify::Templates::read(folder);
    if let Err(found) = &read {
        problems
            .add_all(&format!("CORDON_PLAYBOOK `{}`", folder.display()), found.iter().map(String::as_str));
    }
    read.ok()
}

/// `CORDON_STATE`.
pub(crate) fn state_file(vars: &Vars) -> PathBuf {
    PathBuf::from(vars.get("CORDON_STATE").unwrap_or("cordon.db"))
}

/// The setting at fault where Entra refused to sign in, or the API the token; known by the code in the answer.
/// `prefix` is that of the app: `DEFENDER_` or `DEFENDER_ACTOR_`.
pub(crate) fn refused(why: &str, prefix: &str) -> String {
    let said = |code| why.contains(code);
    if said("AADSTS90002") {
        "DEFENDER_TENANT_ID".to_owned()
    } else if said("AADSTS700016") {
        format!("{prefix}CLIENT_ID")
    } else if said("AADSTS500011") || said("the token was rejected") {
        "DEFENDER_AUDIENCE or DEFENDER_CLOUD".to_owned()
    } else {
        format!("{prefix}CLIENT_SECRET")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAYBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../playbook");

    fn read(more: &[(&str, &str)]) -> Result<Settings, String> {
        let good = [
            ("DEFENDER_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
            ("DEFENDER_CLIENT_ID", "app"),
            ("DEFENDER_CLIENT_SECRET", "hunter2"),
            ("CORDON_PLAYBOOK", PLAYBOOK),
        ];
        let all = good.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::from_vars(&all.collect()).map_err(|problems| problems.iter().collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn without_a_mode_the_shipped_playbook_observes() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.mode(), Mode::Observe);
        assert_eq!(settings.lookback, SignedDuration::from_mins(15));
        assert_eq!(settings.state, PathBuf::from("cordon.db"));
    }

    #[test]
    fn to_enforce_has_to_be_said() {
        assert_eq!(read(&[("CORDON_MODE", "enforce")]).unwrap().mode(), Mode::Enforce);
    }

    #[test]
    fn every_bad_setting_is_listed_at_once() {
        let error = read(&[
            ("CORDON_MODE", "maybe"),
            ("CORDON_LOOKBACK", "-5m"),
            ("CORDON_PLAYBOOK", "/nowhere"),
            ("DEFENDER_TENANT_ID", "contoso"),
        ]);
        let error = error.unwrap_err();
        for name in ["CORDON_MODE", "CORDON_LOOKBACK", "CORDON_PLAYBOOK", "DEFENDER_TENANT_ID"] {
            assert!(error.contains(name), "{name} in {error}");
        }
    }
}
