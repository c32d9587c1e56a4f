//! Many alerts, and many weeks: what they cost, and that it stays so.
//!
//! Measured is what does not depend on the machine: calls, writes, rows, bytes, memory; never time. A storm and a soak
//! run over a state file, as `cordon run` does, by a clock that is moved.

mod rules;
mod soak;
mod storm;

pub use rules::{RETENTION_WEEKS, growing, growing_memory};
pub use soak::{Soak, Week, soak, week_head};
pub use storm::{Storm, Stormed, storm};

use crate::{Scene, Setup, minutes};
use jiff::SignedDuration;
use local::{Store, Worked};
use ports::QueueName;
use rusqlite::{Connection, OpenFlags};
use simulator::{Chaos, FaultKind, World};
use std::{collections::BTreeMap, path::PathBuf};
use tempfile::TempDir;

/// A scene over a state file, and what can be read of that file from beside it.
struct Filed {
    scene: Scene,
    file: PathBuf,
    _folder: TempDir,
}

impl Filed {
    async fn new(world: World, setup: Setup) -> Filed {
        // In memory where there is such a place: what a disk makes one wait for is not measured.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let file = folder.path().join("cordon.db");
        let scene = Scene::over(world, setup, Store::open(&file).unwrap()).await;
        Filed { scene, file, _folder: folder }
    }

    /// Every call to the tenant that the client has made so far, repeats and tokens among them.
    fn calls(&self) -> u64 {
        self.scene.calls.all().values().sum()
    }

    /// Polls until one poll ends well: under faults some do not.
    async fn poll(&mut self) {
        for _ in 0..100 {
            if self.scene.host.poll(self.scene.now).await.is_ok() {
                return;
            }
            self.scene.pass(minutes(1));
        }
        panic!("a hundred polls have failed, one after the other");
    }

    /// Works until nothing is due within `patience`, moving the clock from one thing that is due to the next. Like
    /// `cordon run`, and unlike [`Scene::settle`], it looks at what is open once at a time and not once per message.
    async fn settle(&mut self, patience: SignedDuration) {
        let end = self.scene.now + patience;
        for _ in 0..100_000 {
            let mut worked = Worked::default();
            while self.consume().await > 0 {}
            worked.tracked = self.scene.host.track(self.scene.now).await.unwrap();
            if self.consume().await > 0 {
                continue;
            }
            match worked.next_due(&self.scene.store, self.scene.now).unwrap() {
                Some(due) if due <= end => {
                    let wait = due.duration_since(self.scene.now).max(SignedDuration::from_millis(50));
                    self.scene.pass(wait);
                }
                _ => return,
            }
        }
        panic!("the host never came to rest");
    }

    /// A message of every queue; how many there were.
    async fn consume(&self) -> usize {
        let mut consumed = 0;
        for queue in QueueName::ALL {
            consumed += self.scene.host.consume(queue, self.scene.now).await.unwrap();
        }
        consumed
    }

    /// Not kept open: a reader that stays would keep SQLite from tidying its log up.
    fn read<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        look(&connection).unwrap()
    }

    fn number(&self, sql: &str) -> u64 {
        self.read(|connection| connection.query_row(sql, [], |row| row.get(0)))
    }

    /// How often an item was written so far: each write takes the next number.
    fn items_written(&self) -> u64 {
        self.number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'items'")
    }

    fn messages_sent(&self) -> u64 {
        self.number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages'")
    }

    /// What the file holds, without pages that are free to be used again.
    fn bytes_used(&self) -> u64 {
        let pages = self.number("PRAGMA page_count") - self.number("PRAGMA freelist_count");
        pages * self.number("PRAGMA page_size")
    }

    /// What the file takes on the disk, without SQLite's log beside it.
    fn bytes_on_disk(&self) -> u64 {
        self.number("PRAGMA page_count") * self.number("PRAGMA page_size")
    }

    /// How many rows there are of each kind: the first word of the sort key, but for records that were set aside.
    fn rows(&self) -> BTreeMap<String, u64> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT CASE WHEN partition LIKE '%#set-aside' THEN 'set-aside'
                             ELSE substr(sort, 1, instr(sort || '#', '#') - 1) END AS kind, count(*)
                   FROM items GROUP BY kind",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }
}

/// Has so many of a hundred requests go wrong, in every way that costs no real time.
fn spoil(world: &mut World, seed: u64, percent: u32) {
    let waits = |kind: &FaultKind| matches!(kind, FaultKind::Slow { .. } | FaultKind::ActsThenSlow { .. });
    let kinds = FaultKind::all().into_iter().filter(|kind| !waits(kind)).collect();
    world.chaos = Some(Chaos::new(seed, f64::from(percent) / 100.0).kinds(kinds));
}

fn heal(world: &mut World) {
    world.chaos = None;
}

/// A line of this process's status, in KB: `VmRSS`, `VmHWM`. Zero where there is no such file.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    let number = found.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

fn per(many: u64, each: u64) -> f64 {
    many as f64 / each.max(1) as f64
}
