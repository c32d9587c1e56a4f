//! A folder, a simulated tenant and the settings to reach it; `cordon` as a child process with nothing else in its
//! environment. No assertions about the product but one: it never panics.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::json;
use simulator::{Alert, Clock, Machine, Pace, Simulator, Table, World};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) const CORDON: &str = env!("CARGO_BIN_EXE_cordon");
pub(crate) const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../playbook");

/// The device and the alert of [`one_high`].
pub(crate) const DEVICE: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const ALERT: &str = "da637472900382838869_1364969609";

/// Longer than anything here takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

#[expect(clippy::disallowed_methods, reason = "the process under test lives by the computer's clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "how long a process takes is what is measured")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Looks until it is so; fails when that takes too long.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = instant();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Minutes before now.
pub(crate) fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

/// A workstation on which actions succeed at once.
pub(crate) fn workstation(id: &str) -> Machine {
    let at_once = Pace { in_progress_after: SignedDuration::ZERO, finished_after: SignedDuration::ZERO };
    Machine::new(id, "pc1.contoso.com", "Windows11", ago(5)).pace(at_once)
}

/// One High alert, a few minutes old, on one workstation.
pub(crate) fn one_high() -> World {
    let pc = workstation(DEVICE);
    World::new(now()).alert(Alert::new(ALERT, "", ago(3)).on(&pc)).machine(pc)
}

/// So many High alerts, each on a workstation of its own.
pub(crate) fn many_high(count: usize) -> World {
    let mut world = World::new(now()).without_quotas();
    for number in 0..count {
        let pc = workstation(&format!("{number:040x}"));
        let created = ago(3) + SignedDuration::from_millis(i64::try_from(number).unwrap());
        world = world.alert(Alert::new(format!("da{number:018}_1"), "", created).on(&pc)).machine(pc);
    }
    world
}

/// A hunt as a file of `hunts/` has it, with these lines at its head.
pub(crate) fn hunt_file(head: &str) -> String {
    format!(
        "description = \"Remote management tools\"\n{head}\nevery = \"10m\"\nlook_back = \"1h\"\n\
         identity = [\"DeviceId\", \"ReportId\", \"Timestamp\"]\nquery = '''\n// simulated: remote-tools\n\
         DeviceProcessEvents\n| where Timestamp >= CordonFrom and Timestamp < CordonTo\n\
         | project Timestamp, DeviceId, DeviceName, ReportId, FileName\n'''\n\n\
         [alert]\ntitle = \"{{FileName}} was started on {{DeviceName}}\"\nseverity = \"High\"\n"
    )
}

/// The table that the query of [`hunt_file`] is answered from, without a row.
pub(crate) fn remote_tools() -> Table {
    let columns = [
        ("Timestamp", "DateTime"),
        ("DeviceId", "String"),
        ("DeviceName", "String"),
        ("ReportId", "Int64"),
        ("FileName", "String"),
    ];
    columns
        .into_iter()
        .fold(Table::new("simulated: remote-tools"), |table, (name, kind)| table.column(name, kind))
}

/// A tenant with a workstation, and that many rows about it, one a minute back from four minutes ago.
pub(crate) fn found(rows: i64) -> World {
    let row = |table: Table, number: i64| {
        let values = json!({
            "DeviceId": DEVICE, "DeviceName": "pc1.contoso.com", "ReportId": number, "FileName": "remoting.exe"
        });
        table.row(ago(4 + number), values)
    };
    World::new(now()).machine(workstation(DEVICE)).table((0..rows).fold(remote_tools(), row))
}

pub(crate) fn tenant() -> model::TenantId {
    simulator::DEFAULT_TENANT.parse().unwrap()
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) simulator: Simulator,
    vars: BTreeMap<String, String>,
}

impl Site {
    /// The settings to reach this world, by the computer's clock; the shipped playbook; everything else unset.
    pub(crate) fn new(mut world: World) -> Site {
        world.clock = Clock::System;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let simulator = runtime.block_on(Simulator::start(world)).unwrap();
        let ours = [("CORDON_PLAYBOOK", SHIPPED.to_owned()), ("CORDON_LOOKBACK", "1h".to_owned())];
        let vars = simulator.settings().into_iter().chain(ours);
        let vars = vars.map(|(name, value)| (name.to_owned(), value)).collect();
        Site { folder: TempDir::new().unwrap(), simulator, vars }
    }

    /// Without a single setting.
    pub(crate) fn bare() -> Site {
        Site { vars: BTreeMap::new(), ..Site::new(World::new(now())) }
    }

    pub(crate) fn enforcing(self) -> Site {
        self.with("CORDON_MODE", "enforce")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Site {
        self.set(name, value);
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.vars.remove(name);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes one file of a playbook of the site's own; the others are the shipped ones.
    pub(crate) fn write_playbook(&mut self, file: &str, text: &str) {
        let own = self.path("own-playbook");
        if !own.exists() {
            fs::create_dir(&own).unwrap();
            for file in ["playbook.toml", "policy.cedar", "guarantees.cedar", "assets.toml"] {
                fs::copy(Path::new(SHIPPED).join(file), own.join(file)).unwrap();
            }
        }
        let file = own.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self.set("CORDON_PLAYBOOK", "own-playbook");
    }

    /// Under these limits, as playbook.toml has them; everything else as shipped.
    pub(crate) fn limited(mut self, limits: &str) -> Site {
        let shipped = fs::read_to_string(Path::new(SHIPPED).join("playbook.toml")).unwrap();
        self.write_playbook(
            "playbook.toml",
            &shipped.replace("[limits]\n", &format!("[limits]\n{limits}\n")),
        );
        self
    }

    /// Under limits that nothing reaches.
    pub(crate) fn unlimited(self) -> Site {
        self.limited("per_hour = 1000\nper_day = 1000\nat_one_time_least = 1000\nbreaker_devices = 1000")
    }

    /// The state file as the program itself sees it.
    pub(crate) fn state(&self) -> ports::State {
        ports::State::new(Arc::new(local::Store::open_beside(&self.path("cordon.db")).unwrap()))
    }

    /// Writes one row of the state.
    pub(crate) fn put<T: serde::Serialize>(&self, key: ports::Key, value: &T) {
        let write = ports::Write::put(key, value, ports::Expect::Any, None).unwrap();
        block_on(self.state().commit(&[write], now())).unwrap();
    }

    /// One row of the state.
    pub(crate) fn get<T: serde::de::DeserializeOwned>(&self, key: &ports::Key) -> Option<T> {
        block_on(self.state().get(key, now())).unwrap().map(|row| row.value)
    }

    /// The message bodies that wait in a queue, in the order in which they were sent.
    pub(crate) fn waiting(&self, queue: &str) -> Vec<Value> {
        let state = rusqlite::Connection::open(self.path("cordon.db")).unwrap();
        let mut rows = state.prepare("SELECT body FROM messages WHERE queue = ?1 ORDER BY id").unwrap();
        let bodies = rows.query_map([queue], |row| row.get::<_, String>(0)).unwrap();
        bodies.map(|body| serde_json::from_str(&body.unwrap()).unwrap()).collect()
    }

    /// This program within the site: its folder, its settings and nothing else.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.vars).current_dir(self.folder.path());
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(CORDON);
        command.args(arguments);
        Running::new(command)
    }

    pub(crate) fn cordon(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).wait()
    }

    /// What was asked of the service other than reads, but for tokens.
    pub(crate) fn effects(&self) -> Vec<String> {
        let effect = |route: &str| route != "POST token" && !route.starts_with("GET ");
        self.simulator.journal().into_iter().map(|entry| entry.route).filter(|route| effect(route)).collect()
    }

    /// Nothing was asked that a correct client never asks.
    pub(crate) fn assert_well_behaved(&self) {
        assert_eq!(self.simulator.violations(), Vec::<String>::new());
        assert!(self.simulator.unexpected().is_empty(), "{:?}", self.simulator.unexpected());
    }

    /// The names of what lies in the site's folder, sorted.
    pub(crate) fn listing(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Every mail in the folder, as it lies there.
    pub(crate) fn mails(&self, folder: &str) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|kind| kind == "eml"))
            .map(|path| fs::read(path).unwrap())
            .collect()
    }

    /// A number from the state file.
    pub(crate) fn query(&self, sql: &str) -> i64 {
        let state = rusqlite::Connection::open(self.path("cordon.db")).unwrap();
        state.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// Ended well, without a word of complaint. What it reported.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// Ended with this code, and a complaint that holds all of these.
    #[track_caller]
    pub(crate) fn complains(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` in {}", self.stderr);
        }
    }

    /// The complaint, without what was logged.
    pub(crate) fn complaints(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("cordon: ")).collect()
    }

    /// The one JSON object that standard output consists of.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert!(value.is_object(), "{value}");
        value
    }
}

/// A process that runs; it is ended with this value.
pub(crate) struct Running {
    child: Child,
    stdout: Reading,
    stderr: Reading,
    start: Instant,
}

impl Running {
    pub(crate) fn new(mut command: Command) -> Running {
        let start = instant();
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Reading::start(child.stdout.take().unwrap());
        let stderr = Reading::start(child.stderr.take().unwrap());
        Running { child, stdout, stderr, start }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has logged this.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(text, || self.stderr.so_far().contains(text));
    }

    /// Asks it to stop (SIGTERM).
    pub(crate) fn terminate(&self) {
        let sent = Command::new("/bin/sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(sent.unwrap().success());
    }

    /// The code with which it has ended; none while it runs.
    pub(crate) fn has_ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        wait_until("the end of the process", || self.child.try_wait().unwrap().is_some());
        let took = self.start.elapsed();
        let status = self.child.wait().unwrap();
        let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
        assert!(!stderr.contains("panicked"), "{stderr}");
        let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {status}; {stderr}"));
        Ended { code, stdout, stderr, took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe as it fills, so that the process never waits for us.
struct Reading {
    text: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    fn start(mut pipe: impl Read + Send + 'static) -> Reading {
        let text = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                filled.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Reading { text, thread: Some(thread) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn finish(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}
