//! The settings of the local host, read once: `DEFENDER_…` by `credentials`, `CORDON_…` here, the playbook by
//! `policy`. Everything that is wrong is listed at once.

use credentials::{Connection, Problems, Vars};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use model::{Mode, one_line};
use policy::Playbook;
use std::path::PathBuf;

/// Everything that a run needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) connection: Connection,
    pub(crate) playbook: Playbook,
    pub(crate) playbook_folder: PathBuf,
    /// What `CORDON_MODE` says.
    pub(crate) environment_mode: Option<Mode>,
    pub(crate) lookback: SignedDuration,
    pub(crate) channels: Vec<notify::Channel>,
    pub(crate) state: PathBuf,
}

impl Settings {
    pub(crate) fn from_vars(vars: &Vars) -> Result<Settings, Problems> {
        let mut problems = Problems::default();
        let connection = Connection::from_vars(vars, &mut problems);
        let environment_mode = mode(vars, &mut problems);
        let lookback = lookback(vars, &mut problems);
        let playbook_folder = PathBuf::from(vars.get("CORDON_PLAYBOOK").unwrap_or("playbook"));
        let playbook = match Playbook::read(&playbook_folder) {
            Ok(playbook) => Some(playbook),
            Err(found) => {
                for problem in found.iter() {
                    problems.add(format!("CORDON_PLAYBOOK `{}`: {problem}", playbook_folder.display()));
                }
                None
            }
        };
        let channels =
            playbook.as_ref().map(|playbook| notify::open(&playbook.settings.channels, vars, &mut problems));
        if let (Some(connection), Some(playbook)) = (&connection, &playbook) {
            refuse_to_enforce(connection, playbook, environment_mode, &mut problems);
        }
        match (connection, playbook, lookback, channels) {
            (Some(connection), Some(playbook), Some(lookback), Some(channels)) if problems.is_empty() => {
                let state = state_file(vars);
                Ok(Settings {
                    connection,
                    playbook,
                    playbook_folder,
                    environment_mode,
                    lookback,
                    channels,
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

fn mode(vars: &Vars, problems: &mut Problems) -> Option<Mode> {
    match vars.get("CORDON_MODE") {
        None => None,
        Some("observe") => Some(Mode::Observe),
        Some("enforce") => Some(Mode::Enforce),
        Some(other) => {
            problems
                .add(format!("CORDON_MODE: `{}` is neither `observe` nor `enforce`", one_line(other, 40)));
            None
        }
    }
}

fn lookback(vars: &Vars, problems: &mut Problems) -> Option<SignedDuration> {
    let text = vars.get("CORDON_LOOKBACK").unwrap_or("15m");
    let longest = SignedDuration::from_hours(24 * 30);
    // A span, not a duration, because only a span may be said in days.
    let days = SpanRelativeTo::days_are_24_hours();
    match text.parse::<Span>().and_then(|span| span.to_duration(days)) {
        Ok(lookback) if lookback >= SignedDuration::ZERO && lookback <= longest => Some(lookback),
        _ => {
            problems.add(format!(
                "CORDON_LOOKBACK: `{}` is not a time such as `15m`, `4h` or `2d 12h` of at most 30 days",
                one_line(text, 40)
            ));
            None
        }
    }
}

/// Until limits, pause and release exist, acting on a real tenant would be irresponsible.
fn refuse_to_enforce(
    connection: &Connection,
    playbook: &Playbook,
    environment_mode: Option<Mode>,
    problems: &mut Problems,
) {
    let (setting, mode) = match environment_mode {
        Some(mode) => ("CORDON_MODE", mode),
        None => ("`mode` in playbook.toml", playbook.settings.mode),
    };
    if mode == Mode::Enforce && !connection.endpoints.api_is_loopback {
        problems.add(format!(
            "{setting} says `enforce`: this version acts on a simulator on this machine only (DEFENDER_API_URL on \
             loopback), until limits, pause and release are built; set CORDON_MODE=observe"
        ));
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
    fn enforce_is_refused_unless_the_service_is_on_this_machine() {
        let error = read(&[("CORDON_MODE", "enforce")]).unwrap_err();
        assert!(error.contains("CORDON_MODE") && error.contains("loopback"), "{error}");
        read(&[("CORDON_MODE", "enforce"), ("DEFENDER_API_URL", "http://127.0.0.1:1")]).unwrap();
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
