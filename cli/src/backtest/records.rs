//! Alerts and devices in a file: where each stands, so that a hundred thousand alerts can be judged in the order of time
//! without being held in memory.
//!
//! A file is of one of two kinds: what `kept` writes, or records as Defender's API gives them, one a line or in lists.
//! Those are decoded by the `defender` crate, as an answer of the service is.

use super::{
    judge::{Devices, View},
    kept::Line,
};
use defender::bodies;
use jiff::Timestamp;
use model::{Alert, AlertId, Device, Severity, one_line};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::{
    cmp::Reverse,
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

/// Where a record stands, and when it is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at: Timestamp,
    from: u64,
    pub(crate) length: usize,
}

/// Who has written a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `cordon backtest` itself.
    Kept,
    /// Defender's API, or whoever saved what it answered.
    Service,
}

/// A file of records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    pub(crate) path: &'a Path,
    pub(crate) kind: Kind,
}

/// The alerts of a file.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order in which they are judged.
    pub(crate) places: Vec<Place>,
    /// How many records could not be read.
    pub(crate) unreadable: usize,
    /// Why the first of them could not.
    pub(crate) problem: Option<String>,
    /// How many were created before the period.
    pub(crate) left_out: usize,
}

/// The devices of a file.
#[derive(Debug, Default)]
pub(crate) struct FoundDevices {
    pub(crate) devices: Devices,
    /// How many records could not be read, and why the first of them could not.
    pub(crate) unreadable: usize,
    pub(crate) problem: Option<String>,
}

/// What has to be known of an alert to put it in order. By the names of `model`, and of the service.
#[derive(Debug, Deserialize)]
struct Head {
    id: AlertId,
    severity: Option<Severity>,
    #[serde(alias = "alertCreationTime")]
    created: Option<Timestamp>,
    #[serde(alias = "lastUpdateTime")]
    updated: Option<Timestamp>,
}

/// The head of a kept alert. Everything else in the line is passed over.
#[derive(Deserialize)]
struct KeptHead {
    alert: Head,
}

impl Records<'_> {
    /// Finds the alerts, in the order in which they are judged. Where one comes more than once, what was updated last
    /// counts. `within`: those created before it, or not before its end, are left out. An error is a sentence.
    pub(crate) fn find(
        self,
        view: View,
        within: Option<&Range<Timestamp>>,
        now: Timestamp,
    ) -> Result<Found, String> {
        let mut found = Found::default();
        let mut latest: HashMap<AlertId, (Head, Place)> = HashMap::new();
        self.each(&mut |from, text| match self.head(text) {
            Ok(Some(head)) => {
                let at = view.at(head.created, head.updated, now);
                let known = latest.get(&head.id).is_some_and(|(known, _)| known.updated > head.updated);
                if !known {
                    latest.insert(head.id.clone(), (head, Place { at, from, length: text.len() }));
                }
            }
            Ok(None) => {}
            Err(why) => {
                found.unreadable += 1;
                found.problem.get_or_insert(why);
            }
        })?;
        let all = latest.len();
        let is_in = |head: &Head| {
            head.created.is_none_or(|created| within.is_none_or(|within| within.contains(&created)))
        };
        let mut alerts: Vec<(Head, Place)> = latest.into_values().filter(|(head, _)| is_in(head)).collect();
        found.left_out = all - alerts.len();
        // Of those that are judged at one time, the most severe first, as `poll` announces them.
        let rank = |head: &Head| head.severity.as_ref().and_then(Severity::rank);
        alerts.sort_by(|(a, at), (b, bt)| {
            (at.at, Reverse(rank(a)), a.updated, &a.id).cmp(&(bt.at, Reverse(rank(b)), b.updated, &b.id))
        });
        found.places = alerts.into_iter().map(|(_, place)| place).collect();
        Ok(found)
    }

    /// Finds the devices. An error is a sentence.
    pub(crate) fn devices(self) -> Result<FoundDevices, String> {
        let mut found = FoundDevices::default();
        self.each(&mut |_, text| match self.device(text) {
            Ok(device) => found.devices.extend(device.map(|device| (device.id.clone(), device))),
            Err(why) => {
                found.unreadable += 1;
                found.problem.get_or_insert(why);
            }
        })?;
        Ok(found)
    }

    /// The device that this is; none where a line keeps something else.
    fn device(self, text: &[u8]) -> Result<Option<Device>, String> {
        if self.kind == Kind::Service {
            let device = bodies::machine(text).map_err(|error| one_line(&error.to_string(), 200))?;
            return Ok(Some(device));
        }
        if !text.starts_with(b"{\"device\"") {
            return Ok(None);
        }
        match serde_json::from_slice(text) {
            Ok(Line::Device(device)) => Ok(Some(device.into_owned())),
            Ok(_) => Ok(None),
            Err(why) => Err(one_line(&why.to_string(), 200)),
        }
    }

    /// Reads the alert at a place.
    pub(crate) fn read(self, file: &mut File, place: Place) -> io::Result<Alert> {
        let mut text = vec![0; place.length];
        file.seek(SeekFrom::Start(place.from))?;
        file.read_exact(&mut text)?;
        let changed = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        match self.kind {
            Kind::Service => bodies::alert(&text).map_err(|error| changed(error.to_string())),
            Kind::Kept => match serde_json::from_slice(&text)? {
                Line::Alert(alert) => Ok(alert.into_owned()),
                _ => Err(changed("the file was changed while it was read".to_owned())),
            },
        }
    }

    fn head(self, text: &[u8]) -> Result<Option<Head>, String> {
        if self.kind == Kind::Service {
            // As a rule the four are there and well, and then the rest can wait.
            if let Ok(head) = serde_json::from_slice::<Head>(text)
                && head.created.is_some()
                && head.updated.is_some()
            {
                return Ok(Some(head));
            }
            let alert = bodies::alert(text).map_err(|error| one_line(&error.to_string(), 200))?;
            let Alert { id, severity, created, updated, .. } = alert;
            if severity.is_none() && created.is_none() && updated.is_none() {
                return Err("it says neither when it was created nor how severe it is".to_owned());
            }
            return Ok(Some(Head { id, severity, created, updated }));
        }
        if !text.starts_with(b"{\"alert\"") {
            return Ok(None);
        }
        let kept: KeptHead = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        Ok(Some(kept.alert))
    }

    /// Gives every record with its place in the file.
    fn each(self, take: &mut dyn FnMut(u64, &[u8])) -> Result<(), String> {
        let said = |error: io::Error| format!("cannot read {}: {error}", self.path.display());
        let file = File::open(self.path).map_err(said)?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut line = Vec::new();
        let mut from = 0_u64;
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(said)?;
            if read == 0 {
                return Ok(());
            }
            let is_first = from == 0;
            if is_first && self.kind == Kind::Service {
                check_encoding(&line).map_err(|why| format!("{}: {why}", self.path.display()))?;
                // Printed for people, an answer of the API is one list over many lines.
                if serde_json::from_slice::<IgnoredAny>(without_mark(&line).1).is_err() {
                    reader.read_to_end(&mut line).map_err(said)?;
                }
            }
            let (skipped, text) = if is_first { without_mark(&line) } else { (0, line.as_slice()) };
            if !text.trim_ascii().is_empty() {
                self.each_of(from + skipped, text, take);
            }
            from += line.len() as u64;
        }
    }

    /// Gives the records of a line: itself, or those of the list that it is.
    fn each_of(self, from: u64, text: &[u8], take: &mut dyn FnMut(u64, &[u8])) {
        let records = (self.kind == Kind::Service).then(|| list(text)).flatten();
        let Some((text, records)) = records else { return take(from, text) };
        for record in records {
            let offset = record.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
            take(from + offset as u64, record.get().as_bytes());
        }
    }
}

/// `{"value": […]}`, as the API gives a list, or the list alone.
fn list(text: &[u8]) -> Option<(&str, Vec<&RawValue>)> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        value: Vec<&'a RawValue>,
    }
    let start = text.trim_ascii_start();
    let may_be = start.starts_with(b"[") || (start.starts_with(b"{") && contains(start, b"\"value\""));
    let text = std::str::from_utf8(text).ok().filter(|_| may_be)?;
    let body = serde_json::from_str::<Body<'_>>(text).map(|body| body.value);
    Some((text, body.or_else(|_| serde_json::from_str(text)).ok()?))
}

/// Whether the member that makes a list of it stands in the first part of the text.
fn contains(text: &[u8], word: &[u8]) -> bool {
    let part = text.get(..1_000).unwrap_or(text);
    part.windows(word.len()).any(|window| window == word)
}

/// The text without the mark that some programs begin a file with, and how long that is.
fn without_mark(text: &[u8]) -> (u64, &[u8]) {
    text.strip_prefix(b"\xef\xbb\xbf").map_or((0, text), |text| (3, text))
}

fn check_encoding(text: &[u8]) -> Result<(), &'static str> {
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Err(
            "it is UTF-16, as Windows PowerShell writes it: save it as UTF-8 (`Out-File -Encoding utf8`)",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: &str, updated: &str) -> String {
        format!(
            r#"{{"id":"{id}","title":"A","severity":"High","alertCreationTime":"2026-03-01T10:00:00Z","lastUpdateTime":"{updated}"}}"#
        )
    }

    fn now() -> Timestamp {
        "2026-03-02T10:00:00Z".parse().unwrap()
    }

    fn view() -> View {
        View::AsNew { interval: jiff::SignedDuration::from_mins(1) }
    }

    /// What is found, and the ids in order.
    fn found(text: &[u8]) -> Result<(Found, Vec<String>), String> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("alerts.jsonl");
        std::fs::write(&path, text).unwrap();
        let records = Records { path: &path, kind: Kind::Service };
        let found = records.find(view(), None, now())?;
        let mut file = File::open(&path).unwrap();
        let ids = found.places.iter().map(|place| records.read(&mut file, *place).unwrap().id.to_string());
        let ids = ids.collect();
        Ok((found, ids))
    }

    #[test]
    fn records_are_found_one_a_line_in_lists_and_over_many_lines() {
        let (a, b, c) = (
            alert("da1_1", "2026-03-01T10:00:01Z"),
            alert("da2_2", "2026-03-01T10:00:02Z"),
            alert("da3_3", "2026-03-01T10:00:03Z"),
        );
        let pretty: serde_json::Value =
            serde_json::from_str(&format!("{{\"value\":[{a},{b},{c}]}}")).unwrap();
        for text in [
            format!("{a}\n{b}\r\n\n{c}"),
            format!("\u{feff}{a}\n{b}\n{c}\n"),
            format!("{{\"@odata.context\":\"x\",\"value\":[{a},{b}]}}\n{{\"value\":[{c}]}}\n"),
            format!("[{a}, {b}, {c}]"),
            format!("\u{feff}{}", serde_json::to_string_pretty(&pretty).unwrap()),
        ] {
            assert_eq!(found(text.as_bytes()).unwrap().1, ["da1_1", "da2_2", "da3_3"], "{text}");
        }
        assert_eq!(found(b"{\"value\":[]}").unwrap().1, Vec::<String>::new());
        assert_eq!(found(b"").unwrap().1, Vec::<String>::new());
    }

    #[test]
    fn what_was_updated_last_counts_and_what_cannot_be_read_is_counted() {
        let lines = [
            alert("da1_1", "2026-03-01T12:00:00Z"),
            alert("da1_1", "2026-03-01T11:00:00Z"),
            r#"{"title":"without an id"}"#.to_owned(),
            alert("da2_2", "2026-03-01T11:00:00Z"),
            r#"{"id":"torn","#.to_owned(),
        ];
        let (found, ids) = found(lines.join("\n").as_bytes()).unwrap();
        assert_eq!(ids, ["da2_2", "da1_1"]);
        assert_eq!(found.unreadable, 2);
        assert!(found.problem.unwrap().contains("id"));
    }

    #[test]
    fn what_is_no_device_is_counted_with_the_reason() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("machines.jsonl");
        let id = "a".repeat(40);
        std::fs::write(&path, format!("{{\"id\":\"{id}\"}}\nmy notes\n{{\"id\":\"PC1\"}}\n")).unwrap();
        let found = Records { path: &path, kind: Kind::Service }.devices().unwrap();
        assert_eq!((found.devices.len(), found.unreadable), (1, 2));
        assert!(found.problem.is_some());
    }

    #[test]
    fn a_file_in_another_encoding_is_named_with_the_way_out() {
        let error = found(b"\xff\xfe{\0}\0").unwrap_err();
        assert!(error.contains("UTF-16") && error.contains("-Encoding utf8"), "{error}");
    }
}
