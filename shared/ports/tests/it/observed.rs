//! The pointer to a case in which an isolation was only observed: when it is written, and where it is found.

use crate::{device, minutes, start, tenant};
use jiff::{Timestamp, civil::date};
use model::EffectState;
use ports::{CaseRow, Key, Observed, Stored, Version, Write};
use serde_json::json;

fn case(state: EffectState, decided_at: Timestamp) -> CaseRow {
    let device = device(1);
    let decision = json!({
        "answer": "isolate", "mode": "observe", "isolation_type": "Full", "forbidden_by": [], "doubts": [],
        "permitted_by": [{"id": "isolate-high", "reason": "the alert is High"}], "tell": true,
    });
    serde_json::from_value(json!({
        "about": device,
        "last": {
            "alert": {"id": "alert-1", "title": "Ransomware", "severity": "High", "techniques": [], "evidence": []},
            "revision": "revision-1", "device": {"known": {"id": device, "name": "pc1"}}, "decision": decision,
            "state": state, "notes": [],
        },
        "decided_at": decided_at, "judged": [], "evidence": [], "told": 1, "history": [],
    }))
    .unwrap()
}

fn written(row: &CaseRow, before: Option<&CaseRow>) -> Vec<Key> {
    let before = before.map(|before| Stored { value: before.clone(), version: Version(1) });
    let writes = row.writes(&tenant(), before.as_ref(), start() + minutes(60)).unwrap();
    let keys = writes.iter().map(|write| write.condition().0.clone());
    assert!(writes.iter().all(|write| matches!(write, Write::Put { expires: Some(_), .. })), "{writes:?}");
    keys.filter(|key| key.sort.starts_with("observed#")).collect()
}

#[test]
fn what_is_observed_is_found_by_the_day_on_which_it_was_decided() {
    let late = "2026-11-20T23:59:59.5Z".parse().unwrap();
    let keys = written(&case(EffectState::Observed, late), None);
    assert_eq!(keys.len(), 1);
    let key = &keys[0];
    assert_eq!(key.partition, Observed::partition(&tenant(), date(2026, 11, 20)));
    assert!(key.partition.ends_with("#observed#2026-11-20"), "{key}");
    assert!(key.sort.ends_with(&format!("#alert-1#{}", device(1))), "{key}");
}

#[test]
fn it_is_written_once_and_left_where_it_is() {
    let observed = case(EffectState::Observed, start());
    assert_eq!(written(&observed, Some(&observed)), [], "a triage edit decides nothing anew");
    let refused = case(EffectState::Refused, start() + minutes(10));
    assert_eq!(written(&refused, Some(&observed)), [], "what was decided stays so");
    let again = case(EffectState::Observed, start() + minutes(20));
    assert_eq!(written(&again, Some(&refused)).len(), 1);
    for state in [EffectState::Proposed, EffectState::Held, EffectState::Requested] {
        assert_eq!(written(&case(state, start()), None), [], "{state}");
    }
}
