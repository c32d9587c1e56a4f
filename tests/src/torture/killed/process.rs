//! The machine on which the built `cordon run` lives: its folder, its clock, its process, and how that ends.
//!
//! A machine that was cut off comes back minutes later: so that nobody waits for them, the process is started with a
//! clock that is ahead of this machine's (`clock.c`), and the simulated tenant's is moved with it. What the process did
//! is judged elsewhere.

use super::pause;
use crate::write_playbook;
use jiff::SignedDuration;
use local::Store;
use ports::QueueName;
use simulator::Simulator;
use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// How long a process that was asked to stop may take: longer than every call that may be in hand.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// How long what a killed process has sent may still be under way on this machine.
const UNDER_WAY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Machine {
    folder: TempDir,
    cordon: PathBuf,
    clock: PathBuf,
    vars: Vec<(&'static str, OsString)>,
    ahead: SignedDuration,
    starts: u32,
}

impl Machine {
    /// A folder with a playbook and everything that the process needs to know.
    pub(super) fn new(simulator: &Simulator) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        hurried_playbook(&folder.path().join("playbook"));
        let clock = compiled_clock(folder.path());
        let ours = [
            ("CORDON_PLAYBOOK", "playbook"),
            ("CORDON_MODE", "enforce"),
            ("CORDON_LOOKBACK", "1h"),
            ("RUST_LOG", "info"),
        ];
        let ours = ours.map(|(name, value)| (name, OsString::from(value)));
        let theirs = simulator.settings().map(|(name, value)| (name, OsString::from(value)));
        let vars = theirs.into_iter().chain(ours).collect();
        let (ahead, starts) = (SignedDuration::ZERO, 0);
        Machine { folder, cordon: cordon(), clock, vars, ahead, starts }
    }

    /// Starts `cordon run`. What it says is added to its log.
    pub(super) fn start(&mut self) -> Process {
        self.starts += 1;
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let child = Command::new(&self.cordon)
            .arg("run")
            .env_clear()
            .envs(self.vars.iter().map(|(name, value)| (name, value)))
            .env("LD_PRELOAD", &self.clock)
            .env("CORDON_TEST_AHEAD_MS", self.ahead.as_millis().to_string())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Process { child }
    }

    /// While no process runs, this much time passes for both sides.
    pub(super) async fn stands_still(&mut self, how_long: SignedDuration, simulator: &Simulator) {
        // What the last process has sent is dealt with in its own time, not after the pause.
        pause(UNDER_WAY).await;
        self.ahead += how_long;
        simulator.advance(how_long);
    }

    /// The state file, to look at; none before the first process has begun it.
    pub(super) fn store(&self) -> Option<Store> {
        Store::open_to_read(&self.folder.path().join("cordon.db")).ok()
    }

    /// How many messages were delivered to somebody who has not settled them.
    pub(super) fn in_hand(&self, simulator: &Simulator) -> u64 {
        let (Some(store), now) = (self.store(), simulator.with(|world| world.now)) else { return 0 };
        QueueName::ALL.iter().map(|queue| store.depth(*queue, now).unwrap().in_flight).sum()
    }

    /// The names of the mails in the folder, as far as they are whole.
    pub(super) fn mails(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("cordon-mail")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".eml")).collect()
    }

    /// Removes every mail that says that an isolation has succeeded.
    pub(super) fn lose_mails(&self) {
        for name in self.mails() {
            let path = self.folder.path().join("cordon-mail").join(name);
            if fs::read_to_string(&path).unwrap().contains("succeeded") {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// What all processes have said.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// How much time has passed in which no process ran, and how many processes there were.
    pub(super) fn past(&self) -> (SignedDuration, u32) {
        (self.ahead, self.starts)
    }

    /// Leaves the folder to whoever looks into it, and says where it is.
    pub(super) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("cordon.log")
    }
}

/// A `cordon run`. It is ended with this value.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Ends it at once, whatever it is doing (SIGKILL).
    pub(super) fn kill(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it had ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop (SIGTERM), and waits for it.
    pub(super) async fn stop(&mut self) -> ExitStatus {
        let command = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &command]).status().unwrap().success());
        let look = Duration::from_millis(20);
        for _ in 0..STOPS_WITHIN.as_millis() / look.as_millis() {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            pause(look).await;
        }
        panic!("asked to stop, it still runs after {STOPS_WITHIN:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has mostly ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The built program lies beside the program of the test, or one folder above.
fn cordon() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folders = this.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("cordon")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no `cordon` near {}: `cargo build -p cordon --bins`", this.display()))
}

fn compiled_clock(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, include_str!("clock.c")).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
    let compiled = compiled.unwrap_or_else(|error| panic!("cc: {error}; a C compiler is needed"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library
}

/// What is changed in the shipped playbook: it is in a hurry, and has room for everything.
const CHANGES: [(&str, &str); 2] = [
    ("[poll]\n", "[poll]\ninterval = \"10s\"\n"),
    (
        "[limits]\n",
        "[limits]\nper_hour = 1000\nper_day = 1000\nat_one_time_least = 1000\nbreaker_devices = 1000\n",
    ),
];

/// Writes that playbook into a new folder.
fn hurried_playbook(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let playbook = write_playbook(folder, |text| {
        CHANGES.into_iter().fold(text, |text, (from, to)| text.replace(from, to))
    });
    assert_eq!((playbook.settings.limits.per_hour, playbook.settings.poll.interval.as_secs()), (1_000, 10));
}
