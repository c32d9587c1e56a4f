//! The messages that cross queues: every kind, by the reader of every kind.

use super::{Target, assert_sayable};
use crate::seeds;
use model::{
    ActionTaken, AlertEnriched, AlertFound, Body, EffectRequested, Envelope, Notice, Undecodable, kind_of,
};
use ports::was_a_message;
use std::fmt::Debug;

pub(super) const TARGETS: [Target; 1] =
    [Target { name: "message", check: message, seeds: seeds::messages, words: &WORDS, cost: 2 }];

const WORDS: [&str; 12] = [
    "kind",
    "version",
    "body",
    "alert-found",
    "alert-enriched",
    "action-taken",
    "effect-requested",
    "notice",
    "evidence",
    "isolate",
    "unusable",
    "2026-11-20T10:00:00.1234567Z",
];

fn message(input: &[u8]) {
    kinds_of(input);
}

/// As which kinds the bytes can be read: at most one.
fn kinds_of(input: &[u8]) -> [bool; 5] {
    let text = String::from_utf8_lossy(input);
    let decoded = [
        decodes::<AlertFound>(&text),
        decodes::<AlertEnriched>(&text),
        decodes::<ActionTaken>(&text),
        decodes::<EffectRequested>(&text),
        decodes::<Notice>(&text),
    ];
    assert!(decoded.into_iter().filter(|is_decoded| *is_decoded).count() <= 1, "it is of two kinds");
    if decoded.contains(&true) {
        assert!(was_a_message(&text));
    }
    decoded
}

/// Whether it is a message of this kind; then it survives being sent on.
fn decodes<B: Body + PartialEq + Debug>(text: &str) -> bool {
    match Envelope::<B>::decode(text) {
        Ok(envelope) => {
            let sent = envelope.encode().unwrap();
            assert!(!sent.contains(['\u{fffe}', '\u{ffff}']), "a queue refuses it");
            assert_eq!(Envelope::<B>::decode(&sent).unwrap(), envelope);
            assert_eq!(kind_of(text).as_deref(), Some(B::KIND));
            assert!(envelope.version <= B::VERSION);
            true
        }
        Err(error) => {
            assert_sayable(&error.to_string(), 600);
            let is_newer = matches!(error, Undecodable::Newer { .. });
            assert!(!is_newer || kind_of(text).as_deref() == Some(B::KIND), "not this reader's: {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_from_one_of_the_seeds() {
        let kinds: Vec<[bool; 5]> = seeds::messages().iter().map(|seed| kinds_of(seed)).collect();
        for kind in 0..5 {
            assert!(kinds.iter().any(|kinds| kinds[kind]), "kind {kind}");
        }
    }
}
