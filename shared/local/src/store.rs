//! The SQLite file: who may open it, its schema, how its writes become durable and what its errors mean.
//!
//! It knows nothing of messages and items (`queue` and `state` do), and it never repairs or replaces a file: what
//! it does not understand it leaves alone.

use jiff::{SignedDuration, Timestamp};
use ports::{CommitError, QueueError, StateError};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Marks a SQLite file as ours ("Cord"), so that somebody else's is never written to.
const APPLICATION: i64 = 0x436f_7264;

/// What leads from each version of the schema to the next; the file's `user_version` counts them. Only ever
/// appended to.
const MIGRATIONS: [&str; 1] = [include_str!("schema-v1.sql")];

/// The version of the schema that this build writes.
const KNOWN: i64 = MIGRATIONS.len() as i64;

/// How long a call waits for another program that is writing to the file. Short: everything else waits with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// More than there are statements, so that none is prepared twice.
const STATEMENTS: usize = 64;

/// Queue and state in one SQLite file. Clones share it; its calls are short and do not yield.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// What messages to people call the file.
    name: String,
    connection: Mutex<Connection>,
    /// Held as long as the connection is (fields are dropped in this order).
    _lock: Option<File>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

/// Why a state file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the state file `{}` is in use by another `cordon run`: stop that one, or name another file with \
         CORDON_STATE", path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "the state file `{}` was written by a newer Cordon (format {found}, this one knows {known}): use that \
         version, or name another file with CORDON_STATE", path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error(
        "there is no state in `{}` yet: `cordon run` begins one; CORDON_STATE names the file", path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "`{}` is not a state file of Cordon, and was left as it is: name another file with CORDON_STATE",
        path.display()
    )]
    NotOurs { path: PathBuf },
    #[error(
        "the state file `{}` is damaged: put back a copy, or name another file with CORDON_STATE, which begins \
         without any memory of what was done", path.display()
    )]
    Damaged { path: PathBuf },
    #[error("the state file `{}` (CORDON_STATE) cannot be opened: {why}", path.display())]
    CannotOpen { path: PathBuf, why: String },
}

impl Store {
    /// Opens the file for a run, and creates it if need be. It stays locked until the last clone is dropped.
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        create(path).map_err(|error| cannot_open(path, &error))?;
        // One lock for one file, by whichever of its names it is opened.
        let real = path.canonicalize().map_err(|error| cannot_open(path, &error))?;
        let lock = lock(path, &real)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            Connection::open_with_flags(&real, flags).map_err(|error| not_opened(path, &error))?;
        if is_read_only(&connection) {
            return Err(cannot_open(path, &"its permissions forbid writing to it"));
        }
        let found = version(&connection, path)?;
        prepare(&mut connection, found).map_err(|error| not_opened(path, &error))?;
        Ok(Store::new(path.display().to_string(), connection, Some(lock)))
    }

    /// Opens the file to look at it, also while a run goes on. Whatever would write is refused.
    pub fn open_to_read(path: &Path) -> Result<Store, OpenError> {
        Store::open_existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens the file for a person's command, which writes, also while a run goes on: whatever either writes is one
    /// short transaction under conditions of its own, so that neither spoils what the other does.
    pub fn open_beside(path: &Path) -> Result<Store, OpenError> {
        let store = Store::open_existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if is_read_only(&store.connection()) {
            return Err(cannot_open(path, &"its permissions forbid writing to it"));
        }
        Ok(store)
    }

    /// Without the lock that a run holds, and only a file of this version: a command brings nothing up to date.
    fn open_existing(path: &Path, access: OpenFlags) -> Result<Store, OpenError> {
        let real = path.canonicalize().map_err(|error| match error.kind() {
            ErrorKind::NotFound => OpenError::Missing { path: path.to_owned() },
            _ => cannot_open(path, &error),
        })?;
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&real, flags).map_err(|error| not_opened(path, &error))?;
        connection.busy_timeout(PATIENCE).map_err(|error| not_opened(path, &error))?;
        match version(&connection, path)? {
            KNOWN => Ok(Store::new(path.display().to_string(), connection, None)),
            0 => Err(OpenError::Missing { path: path.to_owned() }),
            _ => Err(cannot_open(path, &"an older Cordon wrote it; `cordon run` brings it up to date")),
        }
    }

    /// A store that is gone with its last clone: for the demo and tests.
    pub fn in_memory() -> Result<Store, OpenError> {
        let path = Path::new("in memory");
        let mut connection = Connection::open_in_memory().map_err(|error| not_opened(path, &error))?;
        prepare(&mut connection, 0).map_err(|error| not_opened(path, &error))?;
        Ok(Store::new("in memory".to_owned(), connection, None))
    }

    fn new(name: String, connection: Connection, lock: Option<File>) -> Store {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Store { inner: Arc::new(Inner { name, connection: Mutex::new(connection), _lock: lock }) }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic in the middle of a write has rolled it back: the connection is as good as before.
        self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        work(&self.connection()).map_err(|error| self.unavailable(&error, false))
    }

    /// All or nothing: what `work` wrote is kept if it returns, and only then.
    pub(crate) fn write<T>(
        &self,
        survives: Survives,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        let mut connection = self.connection();
        // SQLite itself would only mind once something is really written.
        if is_read_only(&connection) {
            let why = format!("`{}` was opened to be read, not to be written", self.inner.name);
            return Err(Unavailable { why, maybe_written: false });
        }
        let nothing_written = |error| self.unavailable(&error, false);
        connection.pragma_update(None, "synchronous", survives.synchronous()).map_err(nothing_written)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(nothing_written)?;
        let answer = work(&transaction).map_err(nothing_written)?;
        // When COMMIT fails, the log may already hold the whole transaction: this process goes on without it,
        // but the next one, recovering, would find it. Only when it was merely busy is nothing there.
        transaction.commit().map_err(|error| {
            let busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            self.unavailable(&error, !busy)
        })?;
        Ok(answer)
    }

    fn unavailable(&self, error: &rusqlite::Error, maybe_written: bool) -> Unavailable {
        Unavailable { why: explain(&self.inner.name, error), maybe_written }
    }
}

/// What a write must survive once it has returned.
///
/// Everything survives the end of the process, however sudden. The log is written in order and a later
/// [`Survives::PowerLoss`] carries along all that went before it, so a power loss takes back a last stretch, never
/// something from the middle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Survives {
    /// On the disk before the call returns (`synchronous = FULL`). For the state and for messages that are sent:
    /// a claim is moved to `requesting` just before the call that acts, and were it gone afterwards, the call
    /// would be made again.
    PowerLoss,
    /// On the disk a little later (`synchronous = NORMAL`). For settling messages: where a power loss takes that
    /// back, a message comes once more, which it may at any time. Spares two waits for the disk per message.
    Crash,
}

impl Survives {
    fn synchronous(self) -> &'static str {
        match self {
            Survives::PowerLoss => "FULL",
            Survives::Crash => "NORMAL",
        }
    }
}

/// SQLite could not do it.
#[derive(Debug)]
pub(crate) struct Unavailable {
    pub(crate) why: String,
    /// True where the writes may have happened all the same.
    pub(crate) maybe_written: bool,
}

impl From<Unavailable> for QueueError {
    fn from(unavailable: Unavailable) -> QueueError {
        QueueError::Unavailable(unavailable.why)
    }
}

impl From<Unavailable> for StateError {
    fn from(unavailable: Unavailable) -> StateError {
        StateError::Unavailable(unavailable.why)
    }
}

impl From<Unavailable> for CommitError {
    fn from(Unavailable { why, maybe_written }: Unavailable) -> CommitError {
        CommitError::Unavailable { why, maybe_written }
    }
}

/// A time as the file has it.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A time somewhat later, as the file has it: never before it, so that what waits does not come early.
pub(crate) fn micros_after(time: Timestamp, after: SignedDuration) -> i64 {
    let later = time.as_nanosecond().saturating_add(after.as_nanos());
    let micros = if after.is_zero() { later.div_euclid(1_000) } else { (later + 999).div_euclid(1_000) };
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// Creates an empty file that only its owner may read, unless there is something already.
///
/// What exists is not even opened: closing a second handle would release the locks that SQLite holds on the file
/// in this process.
fn create(path: &Path) -> std::io::Result<()> {
    match private().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created.map(drop),
    }
}

/// Takes `<file>.lock`, which ends with the process however it ends. The lock's file stays: removing it would let
/// two processes each hold a lock of that name.
fn lock(path: &Path, real: &Path) -> Result<File, OpenError> {
    let mut name = real.as_os_str().to_owned();
    name.push(".lock");
    let file =
        private().create(true).truncate(false).open(name).map_err(|error| cannot_open(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(cannot_open(path, &error)),
    }
}

/// To write to a file that, where it is created, only its owner may read. SQLite gives its own files beside the
/// database the same mode.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The version of the schema in a file of ours; 0 for an empty file.
fn version(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let number = |sql: &str| {
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| not_opened(path, &error))
    };
    let application = number("PRAGMA application_id")?;
    let found = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, found, tables) {
        (0, 0, 0) => Ok(0),
        (APPLICATION, ..=0, _) => Err(OpenError::NotOurs { path: path.to_owned() }),
        (APPLICATION, ..=KNOWN, _) => Ok(found),
        (APPLICATION, _, _) => Err(OpenError::Newer { path: path.to_owned(), found, known: KNOWN }),
        _ => Err(OpenError::NotOurs { path: path.to_owned() }),
    }
}

/// Also where it was opened to write, and its permissions allow reading only.
fn is_read_only(connection: &Connection) -> bool {
    connection.is_readonly(rusqlite::MAIN_DB).unwrap_or(true)
}

/// Settings of the connection, and whatever the schema lacks.
fn prepare(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    // A log beside the file, so that `cordon explain` can read while a run writes.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // macOS: a sync that reaches the disk, not only the drive's cache. Elsewhere it means nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "synchronous", Survives::PowerLoss.synchronous())?;
    if found == KNOWN {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()
}

fn cannot_open(path: &Path, why: &dyn fmt::Display) -> OpenError {
    OpenError::CannotOpen { path: path.to_owned(), why: why.to_string() }
}

fn not_opened(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotOurs { path: path.to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path: path.to_owned() },
        _ => cannot_open(path, &explain(&path.display().to_string(), error)),
    }
}

/// What happened and what to do about it, in one sentence.
fn explain(name: &str, error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            format!("the disk is full, `{name}` cannot grow: free some space, and it goes on by itself")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("`{name}` is locked by another program: close whatever has it open to write")
        }
        Some(ErrorCode::ReadOnly) => {
            format!("`{name}` may not be written ({error}): look at its permissions and its folder's")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("`{name}` is damaged ({error}): stop, and put back a copy")
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!(
                "`{name}` cannot be read or written ({error}): look at the disk and at the file's permissions"
            )
        }
        _ => format!("`{name}`: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::{Expect, Key, Out, QueueBackend, QueueName, StateBackend, Write};

    fn now() -> Timestamp {
        "2026-03-01T08:00:00Z".parse().unwrap()
    }

    fn key(n: usize) -> Key {
        Key { partition: "p".to_owned(), sort: n.to_string() }
    }

    fn puts(value: &[u8]) -> Vec<Write> {
        let put = |n| Write::Put { key: key(n), value: value.to_vec(), expect: Expect::Any, expires: None };
        (0..3).map(put).collect()
    }

    /// SQLite's own limit stands in for the disk's: it is met in the same places and with the same error.
    fn limit_pages(store: &Store, pages: u32) {
        store.connection().pragma_update(None, "max_page_count", pages).unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable_with_nothing_half_written() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("cordon.db");
        let store = Store::open(&path).unwrap();
        store.commit(&puts(b"before"), now()).await.unwrap();
        // Room for the first two values, not for the third.
        limit_pages(&store, 20 + 2 * 25);

        let refused = store.commit(&puts(&[b'x'; 100_000]), now()).await.unwrap_err();
        let CommitError::Unavailable { why, maybe_written: false } = refused else { panic!("{refused:?}") };
        assert!(why.contains("the disk is full") && why.contains("cordon.db"), "{why}");
        for n in 0..3 {
            assert_eq!(store.get(&key(n), now()).await.unwrap().unwrap().value, b"before");
        }
        let out = [(); 3].map(|()| Out { body: "x".repeat(100_000), delay: SignedDuration::ZERO });
        let results = store.send(QueueName::AlertsFound, &out, now()).await;
        assert!(results.iter().all(Result::is_err), "none is stored: {results:?}");
        assert_eq!(store.depth(QueueName::AlertsFound, now()).unwrap().visible, 0);

        limit_pages(&store, 1_000_000);
        store.commit(&puts(b"afterwards"), now()).await.unwrap();
        assert_eq!(store.get(&key(2), now()).await.unwrap().unwrap().value, b"afterwards");
    }

    #[tokio::test]
    async fn a_panic_within_a_write_undoes_it_and_spoils_nothing() {
        let store = Store::in_memory().unwrap();
        let panicking = store.clone();
        std::thread::spawn(move || {
            let _ = panicking.write(Survives::Crash, |transaction| -> rusqlite::Result<()> {
                transaction
                    .execute("INSERT INTO items (partition, sort, value) VALUES ('p', '0', x'00')", [])?;
                panic!("on purpose")
            });
        })
        .join()
        .unwrap_err();
        assert_eq!(store.get(&key(0), now()).await.unwrap(), None);
        store.commit(&puts(b"goes on"), now()).await.unwrap();
    }

    #[test]
    fn commits_wait_for_the_disk_and_settling_does_not() {
        let store = Store::in_memory().unwrap();
        for (survives, expected) in [(Survives::PowerLoss, 2), (Survives::Crash, 1), (Survives::PowerLoss, 2)]
        {
            let level = store.write(survives, |transaction| {
                transaction.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0))
            });
            assert_eq!(level.unwrap(), expected, "{survives:?}");
        }
    }
}
