//! Mutations: bytes that look like an input that means something, and mean something else. The same ones for the same
//! state of the generator.
//!
//! Written here rather than drawn with proptest, because what matters is not a value of a type but what stands in a
//! text: keys that occur twice, numbers that no type holds, half a character.

use fastrand::Rng;
use serde_json::Value;
use simulator::generate::hostile_strings;

/// The longest input, in bytes: more than the largest of the service's fields, and little enough for many cases.
const LONGEST: usize = 200_000;

/// One of the seeds after one to four mutations.
pub(crate) fn mutated(rng: &mut Rng, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = rng.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..rng.usize(1..=4) {
        input = match serde_json::from_slice::<Value>(&input) {
            Ok(value) if rng.u8(..4) > 0 => json(rng, value, words).into_bytes(),
            _ if rng.bool() => lines(rng, &input, seeds, words),
            _ => bytes(rng, input, seeds, words),
        };
    }
    input.truncate(LONGEST);
    input
}

/// Changes that know nothing of what they change.
fn bytes(rng: &mut Rng, mut input: Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let (from, to) = span(rng, input.len());
    match rng.u8(..8) {
        0 => input.truncate(from),
        1 => drop(input.drain(from..to)),
        2 => {
            let copy: Vec<u8> = input.iter().copied().skip(from).take(to - from).collect();
            input.splice(from..from, copy);
        }
        3 => {
            let word = rng.choice(words).copied().unwrap_or_default();
            input.splice(from..from, word.bytes());
        }
        4 => {
            let other = rng.choice(seeds).map(Vec::as_slice).unwrap_or_default();
            let (start, end) = span(rng, other.len());
            input.splice(from..to, other.iter().copied().skip(start).take(end - start));
        }
        5 => {
            input.splice(from..from, odd(rng).into_bytes());
        }
        _ => {
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..=input.len());
                if let Some(byte) = input.get_mut(at) {
                    *byte = if rng.bool() { *byte ^ (1 << rng.u8(..8)) } else { rng.u8(..) };
                }
            }
        }
    }
    input
}

/// A part of something of that length; mostly a small one.
fn span(rng: &mut Rng, length: usize) -> (usize, usize) {
    let from = rng.usize(..=length);
    let most = if rng.u8(..4) == 0 { length - from } else { (length - from).min(16) };
    (from, from + rng.usize(..=most))
}

/// Changes to a text of lines.
fn lines(rng: &mut Rng, input: &[u8], seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let text = String::from_utf8_lossy(input);
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let (one, other) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
    match rng.u8(..6) {
        0 => drop(lines.remove(one)),
        1 => {
            let copy = lines.get(other).cloned().unwrap_or_default();
            lines.insert(one, copy);
        }
        2 => lines.swap(one, other),
        3 => {
            let foreign = rng.choice(seeds).map(|seed| String::from_utf8_lossy(seed)).unwrap_or_default();
            let foreign: Vec<&str> = foreign.split('\n').collect();
            lines.insert(one, rng.choice(foreign).unwrap_or_default().to_owned());
        }
        4 => {
            // What stands behind a `=` or a blank is another word.
            let word = rng.choice(words).copied().unwrap_or_default().to_owned();
            let new = if rng.bool() { word } else { odd(rng) };
            if let Some(line) = lines.get_mut(one) {
                let keep = line.find(['=', ' ']).map_or(0, |at| at + 1);
                line.truncate(keep);
                line.push_str(&new);
            }
        }
        _ => lines.insert(one, rng.choice(words).copied().unwrap_or_default().to_owned()),
    }
    lines.join("\n").into_bytes()
}

/// Texts that are hard on readers.
fn odd(rng: &mut Rng) -> String {
    let deep = [30, 200, 5_000, 40_000];
    match rng.u8(..7) {
        0 => rng
            .choice(["[", "{", "(", "\"", "{\"a\":", "!", "a.", "[["])
            .unwrap_or_default()
            .repeat(rng.choice(deep).unwrap_or(1)),
        1 => rng
            .choice(["\0", "\u{1b}[2J", "\r\n", "\u{202e}", "\u{200b}", "\u{feff}", "\u{fffe}", "é", "😀"])
            .unwrap_or_default()
            .to_owned(),
        2 => rng.choice(hostile_strings()).unwrap_or_default(),
        3 => {
            rng.choice(["a", "9", "\\", "\n", "\u{10ffff}"]).unwrap_or_default().repeat(rng.usize(1..30_000))
        }
        4 => rng.choice(NUMBERS).unwrap_or_default().to_owned(),
        5 => rng.choice(TIMES).unwrap_or_default().to_owned(),
        _ => rng.char(..).to_string(),
    }
}

const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1e999",
    "-1e999",
    "1e-999",
    "18446744073709551616",
    "-9223372036854775809",
    "4294967296",
    "-0",
    "0.1",
    "1E+2",
    "123456789012345678901234567890",
];

const TIMES: [&str; 9] = [
    "9999-12-31T23:59:59.9999999Z",
    "-009999-01-01T00:00:00Z",
    "0001-01-01T00:00:00",
    "2016-12-31T23:59:60Z",
    "2026-02-30T00:00:00Z",
    "2026-11-20T12:00:00.12345678901234567890Z",
    "2026-11-20T12:00:00+25:99",
    "2026-11-20T12:00:00Z[Europe/Berlin]",
    "20261120T120000",
];

/// Marks what no JSON value can hold, until it is text: what stands between two of them stands there as it is.
const RAW: char = '\u{f8ff}';
/// Half a character.
const HALF: char = '\u{f8fe}';
/// What makes a key a second one of the same name.
const TWICE: char = '\u{f8fd}';

/// Changes to one place of a JSON text.
fn json(rng: &mut Rng, mut value: Value, words: &[&str]) -> String {
    let mut places = Vec::new();
    pointers(&value, String::new(), &mut places);
    let place = rng.choice(&places).cloned().unwrap_or_default();
    let other = rng.choice(&places).and_then(|place| value.pointer(place)).cloned().unwrap_or_default();
    let word = rng.choice(words).copied().unwrap_or_default().to_owned();
    match rng.u8(..12) {
        0 | 1 => remove(&mut value, &place),
        2 => put_beside(&mut value, &place, |key| format!("{key}{TWICE}"), other),
        3 => put_beside(&mut value, &place, |_| word, other),
        4 => put_beside(&mut value, &place, |_| odd(rng), Value::Null),
        5 => change(&mut value, &place, |_| other),
        6 => change(&mut value, &place, |old| match old {
            Value::String(text) => format!("{text}{HALF}").into(),
            _ => HALF.to_string().into(),
        }),
        7 => change(&mut value, &place, |_| raw(rng.choice(NUMBERS).unwrap_or_default())),
        8 => {
            let (open, close) = rng.choice([("[", "]"), ("[[", "]]")]).unwrap_or_default();
            let depth = rng.choice([50, 130, 3_000, 30_000]).unwrap_or(1);
            change(&mut value, &place, |_| raw(&format!("{}{}", open.repeat(depth), close.repeat(depth))));
        }
        9 => change(&mut value, &place, |_| rng.choice(TIMES).unwrap_or_default().into()),
        10 => change(&mut value, &place, |old| match old.as_str() {
            Some(text) if rng.bool() => inserted(rng, text).into(),
            _ => odd(rng).into(),
        }),
        _ => change(&mut value, &place, |_| simple(rng, word)),
    }
    finished(&value)
}

/// The text with something odd in the middle.
fn inserted(rng: &mut Rng, text: &str) -> String {
    let at = rng.usize(..=text.chars().count());
    let (before, after): (String, String) =
        (text.chars().take(at).collect(), text.chars().skip(at).collect());
    format!("{before}{}{after}", odd(rng))
}

fn simple(rng: &mut Rng, word: String) -> Value {
    match rng.u8(..9) {
        0 => Value::Null,
        1 => rng.bool().into(),
        2 => 0.into(),
        3 => (-1).into(),
        4 => "".into(),
        5 => Value::Array(Vec::new()),
        6 => Value::Object(serde_json::Map::new()),
        7 => Value::Array(vec![word.into(); rng.usize(1..3_000)]),
        _ => word.into(),
    }
}

fn raw(text: &str) -> Value {
    format!("{RAW}{text}{RAW}").into()
}

fn finished(value: &Value) -> String {
    let text = value.to_string();
    let text = text.replace(&format!("\"{RAW}"), "").replace(&format!("{RAW}\""), "");
    text.replace(HALF, "\\ud83d").replace(TWICE, "")
}

/// The places of a value as JSON pointers, the whole of it first.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            pointers(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), all);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| {
            pointers(item, format!("{at}/{n}"), all);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all.push(at);
}

/// What a place stands in, and its key there.
fn parent<'v>(value: &'v mut Value, place: &str) -> Option<(&'v mut Value, String)> {
    let (parent, key) = place.rsplit_once('/')?;
    Some((value.pointer_mut(parent)?, key.replace("~1", "/").replace("~0", "~")))
}

fn remove(value: &mut Value, place: &str) {
    match parent(value, place) {
        Some((Value::Object(map), key)) => drop(map.remove(&key)),
        Some((Value::Array(items), key)) => {
            if let Ok(n) = key.parse::<usize>() {
                items.remove(n);
            }
        }
        _ => *value = Value::Null,
    }
}

fn put_beside(value: &mut Value, place: &str, name: impl FnOnce(&str) -> String, new: Value) {
    match parent(value, place) {
        Some((Value::Object(map), key)) => drop(map.insert(name(&key), new)),
        Some((Value::Array(items), _)) => items.push(new),
        _ => *value = new,
    }
}

fn change(value: &mut Value, place: &str, new: impl FnOnce(&Value) -> Value) {
    if let Some(old) = value.pointer_mut(place) {
        *old = new(old);
    }
}
