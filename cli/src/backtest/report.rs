//! What came of all alerts, counted. Of each alert only what is counted is kept.
//!
//! The object is the JSON that `--json` prints; how people read it is the business of `tables`, of the command and of `page`.

use super::{
    judge::{Judged, Verdict},
    simulate::{Fate, FateWord, day},
};
use jiff::{Timestamp, civil::Date};
use model::{Answer, DeviceId, one_line};
use serde::Serialize;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// So many of a kind are kept apart; what comes after that is counted as one.
const MAX_KINDS: usize = 2_000;
const OTHERS: &str = "others";

/// What was judged, and how.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Period {
    pub(crate) made_at: Timestamp,
    pub(crate) playbook: String,
    /// The digest of its four files.
    pub(crate) digest: String,
    /// In one sentence: where the alerts come from.
    pub(crate) source: String,
    /// `as each alert was new` or `as it stands now`.
    pub(crate) view: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
    /// How long a device stays isolated here, in hours.
    pub(crate) isolated_for_h: f64,
    pub(crate) devices: usize,
    pub(crate) left_out: usize,
    pub(crate) unreadable: usize,
    /// How many alerts came without their evidence.
    pub(crate) without_evidence: usize,
    /// What is missing, a sentence each; empty where nothing is.
    pub(crate) missing: Vec<String>,
}

/// What a playbook would have done.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) alerts: usize,
    /// By what the playbook answered.
    pub(crate) answers: BTreeMap<&'static str, usize>,
    /// By what would have become of it.
    pub(crate) fates: BTreeMap<FateWord, usize>,
    /// Every day on which there was an alert.
    #[serde(serialize_with = "as_list")]
    pub(crate) days: BTreeMap<Date, Day>,
    #[serde(serialize_with = "as_sorted_list")]
    pub(crate) isolated_devices: HashMap<DeviceId, OfDevice>,
    /// What permitted an isolation or a question.
    #[serde(serialize_with = "as_counts")]
    pub(crate) permitted_by: Kinds,
    /// What stood against one that was then refused: policies and guarantees.
    #[serde(serialize_with = "as_counts")]
    pub(crate) refused_by: Kinds,
    #[serde(serialize_with = "as_counts")]
    pub(crate) doubts: Kinds,
    /// What limits and breakers held.
    #[serde(serialize_with = "as_sorted_list")]
    pub(crate) held: HashMap<String, Held>,
    /// What no policy spoke to, by title and category.
    #[serde(serialize_with = "as_sorted_list")]
    pub(crate) silent: HashMap<(String, String), Silent>,
}

/// How often each of a kind occurred.
pub(crate) type Kinds = HashMap<String, usize>;

/// One day (UTC).
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Day {
    pub(crate) day: Date,
    pub(crate) alerts: usize,
    #[serde(flatten)]
    pub(crate) fates: BTreeMap<FateWord, usize>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct OfDevice {
    pub(crate) device: DeviceId,
    pub(crate) name: String,
    pub(crate) isolations: usize,
    pub(crate) joined: usize,
    pub(crate) held: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Held {
    pub(crate) gate: String,
    pub(crate) alerts: usize,
    pub(crate) first: Timestamp,
    pub(crate) devices: usize,
    #[serde(skip)]
    seen: BTreeSet<DeviceId>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Silent {
    pub(crate) title: String,
    pub(crate) category: String,
    pub(crate) alerts: usize,
}

impl Report {
    pub(crate) fn add(&mut self, judged: &Judged, verdict: &Verdict, fate: &Fate) {
        self.alerts += 1;
        *self.answers.entry(verdict.answer.as_str()).or_default() += 1;
        *self.fates.entry(fate.word()).or_default() += 1;
        let date = day(judged.at);
        let day = self.days.entry(date).or_insert_with(|| Day { day: date, ..Day::default() });
        day.alerts += 1;
        *day.fates.entry(fate.word()).or_default() += 1;
        match verdict.answer {
            Answer::Isolate | Answer::Propose => {
                verdict.permitted_by.iter().for_each(|id| count(&mut self.permitted_by, id));
            }
            Answer::Refused => {
                verdict.forbidden_by.iter().for_each(|id| count(&mut self.refused_by, id));
                verdict.doubts.iter().for_each(|doubt| count(&mut self.doubts, &general(doubt)));
            }
            Answer::None => self.add_silent(judged),
        }
        self.add_device(judged, fate);
        if let (Fate::Held(gate), Some(device)) = (fate, &judged.device) {
            let gate = gate.to_string();
            let key = if self.held.len() < MAX_KINDS { gate } else { OTHERS.to_owned() };
            let held = self.held.entry(key.clone()).or_insert_with(|| Held {
                gate: key,
                alerts: 0,
                first: judged.at,
                devices: 0,
                seen: BTreeSet::new(),
            });
            held.alerts += 1;
            held.devices += usize::from(held.seen.insert(device.clone()));
        }
    }

    fn add_silent(&mut self, judged: &Judged) {
        let mut key = (judged.title.clone(), judged.category.clone());
        if self.silent.len() >= MAX_KINDS && !self.silent.contains_key(&key) {
            key = (OTHERS.to_owned(), String::new());
        }
        let (title, category) = key.clone();
        self.silent.entry(key).or_insert(Silent { title, category, alerts: 0 }).alerts += 1;
    }

    fn add_device(&mut self, judged: &Judged, fate: &Fate) {
        let (true, Some(device)) =
            (matches!(fate, Fate::Isolated | Fate::Joined | Fate::Held(_)), &judged.device)
        else {
            return;
        };
        let of = self.isolated_devices.entry(device.clone()).or_insert_with(|| OfDevice {
            device: device.clone(),
            name: judged.name.clone(),
            isolations: 0,
            joined: 0,
            held: 0,
        });
        match fate {
            Fate::Isolated => of.isolations += 1,
            Fate::Joined => of.joined += 1,
            _ => of.held += 1,
        }
    }

    pub(crate) fn fate(&self, fate: FateWord) -> usize {
        self.fates.get(&fate).copied().unwrap_or_default()
    }
}

impl Day {
    pub(crate) fn fate(&self, fate: FateWord) -> usize {
        self.fates.get(&fate).copied().unwrap_or_default()
    }
}

/// Something that is listed with the most frequent first.
pub(crate) trait Ranked {
    /// Larger comes first; then the word.
    fn rank(&self) -> (Reverse<(usize, usize)>, &str);
}

impl Ranked for OfDevice {
    fn rank(&self) -> (Reverse<(usize, usize)>, &str) {
        (Reverse((self.isolations, self.joined + self.held)), self.device.as_str())
    }
}

impl Ranked for Held {
    fn rank(&self) -> (Reverse<(usize, usize)>, &str) {
        (Reverse((self.alerts, self.devices)), &self.gate)
    }
}

impl Ranked for Silent {
    fn rank(&self) -> (Reverse<(usize, usize)>, &str) {
        (Reverse((self.alerts, 0)), &self.title)
    }
}

pub(crate) fn ranked<'a, T: Ranked>(all: impl IntoIterator<Item = &'a T>) -> Vec<&'a T> {
    let mut all: Vec<&T> = all.into_iter().collect();
    all.sort_by(|a, b| a.rank().cmp(&b.rank()));
    all
}

/// The most frequent first.
pub(crate) fn ranked_kinds(kinds: &Kinds) -> Vec<(&str, usize)> {
    let mut all: Vec<(&str, usize)> = kinds.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    all.sort_by_key(|(kind, count)| (Reverse(*count), *kind));
    all
}

/// The days with the most isolations, and then the most questions, first.
pub(crate) fn ranked_days(report: &Report) -> Vec<&Day> {
    let mut days: Vec<&Day> = report.days.values().collect();
    days.sort_by_key(|day| {
        let [isolated, held, proposed] =
            [FateWord::Isolated, FateWord::Held, FateWord::Proposed].map(|fate| day.fate(fate));
        (Reverse((isolated, held, proposed, day.alerts)), day.day)
    });
    days
}

fn count(kinds: &mut Kinds, kind: &str) {
    let is_known = kinds.len() < MAX_KINDS || kinds.contains_key(kind);
    *kinds.entry(if is_known { kind } else { OTHERS }.to_owned()).or_default() += 1;
}

/// A doubt without what it says of one device or field only, so that those of one kind are counted together.
fn general(doubt: &str) -> String {
    let is_id = |word: &str| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = doubt.split(' ').map(|word| if is_id(word.trim_matches('`')) { "…" } else { word });
    one_line(&words.collect::<Vec<_>>().join(" "), 200)
}

fn as_list<K, V: Serialize, S: serde::Serializer>(map: &BTreeMap<K, V>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(map.values())
}

fn as_sorted_list<K, V: Ranked + Serialize, S: serde::Serializer>(
    map: &HashMap<K, V>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(ranked(map.values()))
}

fn as_counts<S: serde::Serializer>(kinds: &Kinds, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Counted<'a> {
        what: &'a str,
        alerts: usize,
    }
    to.collect_seq(ranked_kinds(kinds).into_iter().map(|(what, alerts)| Counted { what, alerts }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_of_one_kind_are_counted_together() {
        let of = |id: char| format!("the service does not know the device {}", id.to_string().repeat(40));
        assert_eq!(general(&of('a')), general(&of('b')));
        assert_eq!(general("the alert has no severity"), "the alert has no severity");
    }

    #[test]
    fn a_storm_of_kinds_ends_in_one_for_all_others() {
        let mut kinds = Kinds::new();
        (0..MAX_KINDS + 10).for_each(|number| count(&mut kinds, &number.to_string()));
        assert_eq!((kinds.len(), kinds.get(OTHERS)), (MAX_KINDS + 1, Some(&10)));
    }
}
