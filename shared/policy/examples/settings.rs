//! Reads the settings of a playbook and nothing else: what `decide` beside it is compared with in size. Run by
//! `scripts/bench-policy`.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "playbook".to_owned());
    match policy::Settings::read(Path::new(&folder)) {
        Ok(settings) => ExitCode::from(u8::from(settings.channels.is_empty())),
        Err(_) => ExitCode::FAILURE,
    }
}
