//! The file in which a backtest keeps what it has read of a tenant, so that nothing is asked for twice: one JSON object a
//! line, each page of alerts followed by the span that has been read with it.
//!
//! It holds alerts as `model` has them, command lines and all: where it is created only its owner may read it.

use defender::Window;
use jiff::Timestamp;
use model::{Alert, Device, TenantId};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What is to be read of which tenant: the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) tenant: TenantId,
    pub(crate) days: u16,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a line is written or read, and gone")]
pub(crate) enum Line<'a> {
    Begin(Order),
    Alert(Cow<'a, Alert>),
    Read(Span),
    Device(Cow<'a, Device>),
    /// A page of the device list was read: where the list goes on, if it does, and how many could not be read.
    Devices {
        next: Option<usize>,
        #[serde(default)]
        unreadable: usize,
    },
    /// Everything was read; when.
    Done(Timestamp),
}

/// A span of `lastUpdateTime` that has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// How many of its alerts came without their evidence, because the service could not give it.
    pub(crate) bare: usize,
    /// How many of its records could not be read.
    pub(crate) unreadable: usize,
}

/// The file and what it says of itself.
#[derive(Debug)]
pub(crate) struct Kept {
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) order: Order,
    pub(crate) spans: Vec<Span>,
    /// Where the device list is to be read on; none when it has been read.
    pub(crate) next_devices: Option<usize>,
    /// How many devices could not be read.
    pub(crate) unreadable_devices: usize,
    pub(crate) done: Option<Timestamp>,
}

impl Kept {
    /// Opens the file, or creates it for this order. A sentence where it cannot be used.
    pub(crate) fn open(path: &Path, order: &Order, fresh: bool) -> Result<Kept, String> {
        let told = |what: &str, why: &dyn std::fmt::Display| format!("{what} {}: {why}", path.display());
        let mut file = private().open(path).map_err(|error| told("cannot open", &error))?;
        if fresh {
            // What somebody else keeps there under this name by mistake is not thrown away.
            let is_ours = begin(&file).map_err(|error| told("cannot read", &error))?;
            if is_ours.is_none() && file.metadata().is_ok_and(|data| data.len() > 0) {
                return Err(told("--keep", &"this file is none of `cordon backtest`; name another"));
            }
            file.set_len(0).map_err(|error| told("cannot write", &error))?;
        }
        let length = drop_torn_line(&mut file).map_err(|error| told("cannot write", &error))?;
        let mut kept = Kept {
            file,
            path: path.to_owned(),
            order: order.clone(),
            spans: Vec::new(),
            next_devices: Some(0),
            unreadable_devices: 0,
            done: None,
        };
        if length == 0 {
            kept.add(&[Line::Begin(order.clone())]).map_err(|error| told("cannot write", &error))?;
            return Ok(kept);
        }
        let found = begin(&kept.file).map_err(|error| told("cannot read", &error))?;
        let Some(found) = found else {
            return Err(told("--keep", &"this file is none of `cordon backtest`; name another"));
        };
        if (&found.tenant, found.days) != (&order.tenant, order.days) {
            let holds = format!("it holds {} days of the tenant {}", found.days, found.tenant);
            return Err(told(
                "--keep",
                &format!(
                    "{holds}; --fresh reads anew, --keep names another file, --days {} uses it",
                    found.days
                ),
            ));
        }
        kept.order = found;
        kept.read_marks().map_err(|error| told("cannot read", &error))?;
        Ok(kept)
    }

    /// Writes lines, and returns when they are with the operating system.
    pub(crate) fn add(&mut self, lines: &[Line<'_>]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(&text)?;
        lines.iter().for_each(|line| self.mark(line));
        Ok(())
    }

    /// What is still to be read, from the beginning.
    pub(crate) fn unread(&self) -> Vec<Window> {
        let mut spans = self.spans.clone();
        spans.sort_by_key(|span| span.from);
        let (mut from, mut unread) = (self.order.from, Vec::new());
        for span in spans {
            if span.from > from {
                unread.push(Window { from, to: span.from.min(self.order.to) });
            }
            from = from.max(span.to);
        }
        if from < self.order.to {
            unread.push(Window { from, to: self.order.to });
        }
        unread.retain(|window| window.from < window.to);
        unread
    }

    fn read_marks(&mut self) -> io::Result<()> {
        for line in BufReader::new(File::open(&self.path)?).split(b'\n') {
            let line = line?;
            // The records themselves are read when they are judged.
            let is_record = line.starts_with(b"{\"alert\"") || line.starts_with(b"{\"device\"");
            if !is_record && let Ok(mark) = serde_json::from_slice::<Line<'_>>(&line) {
                self.mark(&mark);
            }
        }
        Ok(())
    }

    fn mark(&mut self, line: &Line<'_>) {
        match line {
            Line::Read(span) => self.spans.push(*span),
            Line::Devices { next, unreadable } => {
                self.next_devices = *next;
                self.unreadable_devices += unreadable;
            }
            Line::Done(at) => self.done = Some(*at),
            Line::Begin(_) | Line::Alert(_) | Line::Device(_) => {}
        }
    }
}

fn private() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The order in the first line; none where there is none.
fn begin(file: &File) -> io::Result<Option<Order>> {
    let mut first = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    // A file of somebody else's may be one line that never ends.
    BufReader::new(file.take(4_096)).read_until(b'\n', &mut first)?;
    match serde_json::from_slice(&first) {
        Ok(Line::Begin(order)) => Ok(Some(order)),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Takes away what a process that was ended has left behind the last whole line. How long the file is then.
fn drop_torn_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut buffer = vec![0; 64 * 1024];
    while end > 0 {
        let from = end.saturating_sub(buffer.len() as u64);
        let part = buffer.get_mut(..usize::try_from(end - from).unwrap_or_default()).unwrap_or_default();
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            end = from + at as u64 + 1;
            break;
        }
        end = from;
    }
    // A file without a single whole line may be somebody else's: only our own beginning is taken away.
    let mut start = [0; 9];
    file.seek(SeekFrom::Start(0))?;
    let is_ours = file
        .read(&mut start)
        .is_ok_and(|read| b"{\"begin\":".starts_with(start.get(..read).unwrap_or_default()));
    if end > 0 || is_ours {
        file.set_len(end)?;
    }
    file.seek(SeekFrom::End(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn order() -> Order {
        let tenant = "11111111-2222-3333-4444-555555555555".parse().unwrap();
        Order { tenant, days: 30, from: at(0), to: at(100) }
    }

    fn span(from: i64, to: i64) -> Line<'static> {
        Line::Read(Span { from: at(from), to: at(to), bare: 0, unreadable: 0 })
    }

    fn unread(kept: &Kept) -> Vec<(i64, i64)> {
        let seconds = |at: Timestamp| at.as_second() - 1_700_000_000;
        kept.unread().iter().map(|window| (seconds(window.from), seconds(window.to))).collect()
    }

    #[test]
    fn what_was_read_is_not_read_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("kept.jsonl");
        let mut kept = Kept::open(&path, &order(), false).unwrap();
        assert_eq!(unread(&kept), [(0, 100)]);
        kept.add(&[span(0, 20), span(50, 60), Line::Devices { next: Some(7), unreadable: 2 }]).unwrap();
        let again = Kept::open(&path, &Order { to: at(500), ..order() }, false).unwrap();
        assert_eq!(unread(&again), [(20, 50), (60, 100)], "the period stays the one that was begun");
        assert_eq!((again.next_devices, again.unreadable_devices, again.done), (Some(7), 2, None));
        let mut again = Kept::open(&path, &order(), false).unwrap();
        again.add(&[span(10, 120), Line::Done(at(130))]).unwrap();
        assert_eq!((unread(&again), again.done), (vec![], Some(at(130))));
        assert_eq!(unread(&Kept::open(&path, &order(), true).unwrap()), [(0, 100)]);
    }

    #[test]
    fn a_torn_last_line_is_forgotten() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("kept.jsonl");
        Kept::open(&path, &order(), false).unwrap().add(&[span(0, 20)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"read\":{\"from\":"].concat()).unwrap();
        let mut kept = Kept::open(&path, &order(), false).unwrap();
        assert_eq!(unread(&kept), [(20, 100)]);
        kept.add(&[span(20, 100)]).unwrap();
        assert_eq!(unread(&Kept::open(&path, &order(), false).unwrap()), []);
        std::fs::write(&path, b"{\"begin").unwrap();
        assert_eq!(unread(&Kept::open(&path, &order(), false).unwrap()), [(0, 100)]);
    }

    #[test]
    fn another_tenants_file_and_a_strangers_file_stay_as_they_are() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("kept.jsonl");
        Kept::open(&path, &order(), false).unwrap();
        let error = Kept::open(&path, &Order { days: 7, ..order() }, false).unwrap_err();
        assert!(error.contains("30 days") && error.contains("--fresh"), "{error}");
        for text in ["my notes", "my notes\n", "{\"alert\":1}\n"] {
            std::fs::write(&path, text).unwrap();
            for fresh in [false, true] {
                let error = Kept::open(&path, &order(), fresh).unwrap_err();
                assert!(error.contains("name another"), "{error}");
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::TempDir::new().unwrap();
        let kept = Kept::open(&folder.path().join("kept.jsonl"), &order(), false).unwrap();
        assert_eq!(kept.file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
