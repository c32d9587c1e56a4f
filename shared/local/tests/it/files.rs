//! The file: who may open it, what is refused and in which words, and what outlives the process.

use jiff::{SignedDuration, Timestamp};
use local::{OpenError, Store};
use ports::{CommitError, Expect, Key, Out, QueueBackend, QueueError, QueueName, StateBackend, Write};
use rusqlite::Connection;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const QUEUE: QueueName = QueueName::AlertsFound;

fn now() -> Timestamp {
    "2026-03-01T08:00:00Z".parse().unwrap()
}

fn file() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cordon.db");
    (folder, path)
}

fn key() -> Key {
    Key { partition: "p".to_owned(), sort: "s".to_owned() }
}

fn put(value: &[u8]) -> [Write; 1] {
    [Write::Put { key: key(), value: value.to_vec(), expect: Expect::Any, expires: None }]
}

async fn send(store: &Store, body: &str) -> Result<(), QueueError> {
    let out = [Out { body: body.to_owned(), delay: SignedDuration::ZERO }];
    store.send(QUEUE, &out, now()).await.pop().unwrap()
}

/// What a person reads when the file is not opened, with its path as `FILE`.
fn refusal(opened: Result<Store, OpenError>, path: &Path) -> String {
    opened.map(drop).unwrap_err().to_string().replace(&path.display().to_string(), "FILE")
}

#[tokio::test]
async fn what_was_stored_outlives_the_process() {
    let (_folder, path) = file();
    let store = Store::open(&path).unwrap();
    send(&store, "{\"n\":1}").await.unwrap();
    send(&store, "{\"n\":2}").await.unwrap();
    let before = store.receive(QUEUE, 1, now()).await.unwrap().pop().unwrap();
    store.set_aside(QUEUE, "{}", "on purpose", now()).await.unwrap();
    store.commit(&put(b"kept"), now()).await.unwrap();
    let version = store.get(&key(), now()).await.unwrap().unwrap().version;
    drop(store);

    let store = Store::open(&path).unwrap();
    let item = store.get(&key(), now()).await.unwrap().unwrap();
    assert_eq!((item.value.as_slice(), item.version), (&b"kept"[..], version));
    assert_eq!(store.dead(QUEUE, None).await.unwrap().letters.len(), 1);
    let visible = store.receive(QUEUE, 10, now()).await.unwrap();
    assert_eq!(visible.len(), 1, "what was in flight still is");
    assert_eq!(visible[0].body, "{\"n\":2}");
    store.done(QUEUE, &before.receipt).await.unwrap();
    let later = store.receive(QUEUE, 10, now() + local::VISIBILITY).await.unwrap();
    assert_eq!(later.len(), 1, "a receipt is still good, too");
}

#[test]
fn a_second_run_on_the_same_file_is_refused() {
    let (folder, path) = file();
    let first = Store::open(&path).unwrap();
    assert_eq!(
        refusal(Store::open(&path), &path),
        "the state file `FILE` is in use by another `cordon run`: stop that one, or name another file with \
         CORDON_STATE"
    );
    #[cfg(unix)]
    {
        let alias = folder.path().join("alias.db");
        std::os::unix::fs::symlink(&path, &alias).unwrap();
        assert!(matches!(Store::open(&alias), Err(OpenError::InUse { .. })), "also by another name");
    }
    let clone = first.clone();
    drop(first);
    assert!(matches!(Store::open(&path), Err(OpenError::InUse { .. })), "a clone still has it");
    drop(clone);
    Store::open(&path).unwrap();
    drop(folder);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_what_is_created() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = file();
    let store = Store::open(&path).unwrap();
    send(&store, "{}").await.unwrap();
    let mut seen = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        seen.push((entry.file_name().into_string().unwrap(), mode));
    }
    seen.sort();
    let names = ["cordon.db", "cordon.db-shm", "cordon.db-wal", "cordon.db.lock"];
    assert_eq!(seen, names.map(|name| (name.to_owned(), 0o600)));
}

#[tokio::test]
async fn a_reader_sees_what_a_run_writes_and_writes_nothing() {
    let (_folder, path) = file();
    assert_eq!(
        refusal(Store::open_to_read(&path), &path),
        "there is no state in `FILE` yet: `cordon run` begins one; CORDON_STATE names the file"
    );
    let run = Store::open(&path).unwrap();
    let reader = Store::open_to_read(&path).unwrap();
    run.commit(&put(b"seen"), now()).await.unwrap();
    assert_eq!(reader.get(&key(), now()).await.unwrap().unwrap().value, b"seen");

    let refused = reader.commit(&put(b"forbidden"), now()).await.unwrap_err();
    assert!(
        matches!(&refused, CommitError::Unavailable { why, maybe_written: false } if why.contains("opened to be read"))
    );
    assert!(matches!(send(&reader, "{}").await, Err(QueueError::Unavailable(_))));
    assert!(reader.receive(QUEUE, 10, now()).await.is_err());
    assert!(reader.clean(now(), 10).is_err());
    assert_eq!(run.get(&key(), now()).await.unwrap().unwrap().value, b"seen");

    drop(run);
    assert_eq!(
        reader.get(&key(), now()).await.unwrap().unwrap().value,
        b"seen",
        "also when the run has ended"
    );
    drop(reader);
    Store::open_to_read(&path).unwrap();
    Store::open(&path).unwrap();
}

#[test]
fn an_empty_file_is_begun_by_a_run_and_not_by_a_reader() {
    let (_folder, path) = file();
    fs::write(&path, "").unwrap();
    assert!(matches!(Store::open_to_read(&path), Err(OpenError::Missing { .. })));
    Store::open(&path).unwrap();
    Store::open_to_read(&path).unwrap();
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let (_folder, path) = file();
    drop(Store::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    for opened in [Store::open(&path), Store::open_to_read(&path)] {
        assert_eq!(
            refusal(opened, &path),
            "the state file `FILE` was written by a newer Cordon (format 7, this one knows 1): use that version, \
             or name another file with CORDON_STATE"
        );
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (_folder, path) = file();
    let said =
        "`FILE` is not a state file of Cordon, and was left as it is: name another file with CORDON_STATE";

    fs::write(&path, "not a database\n".repeat(1_000)).unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(refusal(Store::open(&path), &path), said);
    assert_eq!(refusal(Store::open_to_read(&path), &path), said);
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE photos (id INTEGER)").unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(refusal(Store::open(&path), &path), said);
    assert_eq!(refusal(Store::open_to_read(&path), &path), said);
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Everything but the first page is overwritten: the file still opens, and whatever is asked of it fails.
#[tokio::test]
async fn a_damaged_file_says_so() {
    let (_folder, path) = file();
    let store = Store::open(&path).unwrap();
    send(&store, "{}").await.unwrap();
    store.commit(&put(b"lost"), now()).await.unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();

    let store = Store::open(&path).unwrap();
    let damaged = |why: &str| why.contains("is damaged") && why.contains("put back a copy");
    assert!(damaged(&store.get(&key(), now()).await.unwrap_err().to_string()));
    assert!(damaged(&send(&store, "{}").await.unwrap_err().to_string()));
    let refused = store.commit(&put(b"new"), now()).await.unwrap_err();
    assert!(
        matches!(&refused, CommitError::Unavailable { why, maybe_written: false } if damaged(why)),
        "{refused}"
    );
    drop(store);

    // The schema itself.
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    assert!(
        refusal(Store::open(&path), &path).starts_with("the state file `FILE` is damaged: put back a copy")
    );
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("nowhere").join("cordon.db");
    let said = refusal(Store::open(&path), &path);
    assert!(
        said.starts_with("the state file `FILE` (CORDON_STATE) cannot be opened: No such file"),
        "{said}"
    );
    let said = refusal(Store::open(folder.path()), folder.path());
    assert!(said.starts_with("the state file `FILE` (CORDON_STATE) cannot be opened:"), "{said}");
}

/// Somebody has the file open in another program, in the middle of a transaction.
#[tokio::test]
async fn a_file_locked_by_another_program_is_unavailable_until_it_lets_go() {
    let (_folder, path) = file();
    let store = Store::open(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.commit(&put(b"new"), now()).await.unwrap_err();
    assert!(
        matches!(&refused, CommitError::Unavailable { why, maybe_written: false } if why.contains("locked by another")),
        "{refused}"
    );
    assert_eq!(store.get(&key(), now()).await.unwrap(), None, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(&put(b"new"), now()).await.unwrap();
}
