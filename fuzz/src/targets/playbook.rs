//! The playbook's files but the guarantees, which are read as policies are, each with the others as they ship; and the
//! cases that test it.

use super::{SECRET, Target, assert_sayable, assert_silent};
use crate::seeds;
use jiff::Timestamp;
use model::{Alert, Answer, DeviceFact, FirstSeen, Limits, Mode};
use policy::{AssetList, Case, Decoders, Playbook, Problems, Settings, Surroundings, Texts};
use serde_json::json;
use std::{collections::BTreeSet, path::Path, sync::LazyLock};

pub(super) const TARGETS: [Target; 4] = [
    Target { name: "playbook", check: settings, seeds: seeds::playbooks, words: &PLAYBOOK_WORDS, cost: 1 },
    Target { name: "assets", check: assets, seeds: seeds::assets, words: &ASSET_WORDS, cost: 1 },
    Target { name: "cases", check: cases, seeds: seeds::cases, words: &CASE_WORDS, cost: 20 },
    Target { name: "policy", check: policy, seeds: seeds::policies, words: &POLICY_WORDS, cost: 40 },
];

const PLAYBOOK_WORDS: [&str; 14] = [
    "mode",
    "[limits]",
    "[[channels]]",
    "per_hour",
    "[limits.per_group]",
    "\"4h\"",
    "0x7fffffff",
    "-1",
    "1e400",
    "\"\"\"",
    "kind = \"smtp\"",
    "to = []",
    "'",
    "password = \"tk~8Q~Pl4nted.Secret_that-nobody-May-Read\"",
];
const ASSET_WORDS: [&str; 7] =
    ["[[lists]]", "name", "review_by", "2027-03-31", "9999-12-31", "devices = []", "0000-00-00"];
const CASE_WORDS: [&str; 14] = [
    "[[cases]]",
    "[[lists]]",
    "name",
    "expect = \"none\"",
    "alert = {",
    "device = \"unknown\"",
    "\"5h ago\"",
    "\"99999d ahead\"",
    "at = 9999-12-31T23:59:59Z",
    "at = 0000-01-01T00:00:00Z",
    "\"\"",
    "evidence = [{ kind = \"File\" }]",
    "-1",
    "by = [\"isolate-high\"]",
];
const POLICY_WORDS: [&str; 14] = [
    "permit",
    "forbid",
    "(principal, action, resource)",
    "when",
    "unless",
    "@id(\"x\")",
    "@reason(\"x\")",
    "resource.severity",
    "context.hour",
    "has",
    "&&",
    "!",
    "-9223372036854775808",
    "?principal",
];

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// The most problems that one file is said to have, and the one that says how many more there are.
const MOST: usize = 51;

fn assert_problems(problems: &Problems, most_chars: usize) {
    let problems: Vec<&str> = problems.iter().collect();
    assert!(!problems.is_empty() && problems.len() <= MOST, "{} problems", problems.len());
    for problem in problems {
        // One about a policy shows the line with a caret under the place.
        problem.split('\n').for_each(|line| assert_sayable_line(line, most_chars));
    }
}

fn assert_sayable_line(line: &str, most_chars: usize) {
    if line.contains(SECRET) {
        // The secret may have become a key or another value; see `assert_password_is_not_told`.
        assert_sayable(&line.replace(SECRET, ""), most_chars);
    } else {
        assert_sayable(line, most_chars);
    }
}

/// A password that somebody has written where none belongs is a problem that does not repeat it.
fn assert_password_is_not_told(text: &str, problems: &Problems) {
    let is_a_password = text.contains(&format!("\npassword = \"{SECRET}\"\n"));
    if is_a_password && text.matches(SECRET).count() == 1 {
        problems.iter().for_each(assert_silent);
    }
}

fn settings(input: &[u8]) {
    let text = text(input);
    match Settings::parse(&text) {
        Ok(settings) => assert_settings(&settings),
        Err(problems) => {
            assert_problems(&problems, 400);
            assert_password_is_not_told(&text, &problems);
        }
    }
}

fn assert_settings(settings: &Settings) {
    let Limits { per_hour, per_day, standing_percent, standing_least, per_group, breaker_devices, .. } =
        &settings.limits;
    let numbers = [per_hour, per_day, standing_percent, standing_least, breaker_devices];
    assert!(numbers.into_iter().chain(per_group.values()).all(|number| *number <= Limits::MOST));
    let (second, day) = (jiff::SignedDuration::from_secs(1), jiff::SignedDuration::from_hours(24));
    let isolation = &settings.isolation;
    let times = [
        settings.poll.interval,
        settings.poll.overlap,
        settings.limits.breaker_window,
        isolation.act_within,
        isolation.hands_off_after_release,
        isolation.release_after.unwrap_or(day),
    ];
    assert!(times.iter().all(|time| *time >= second && *time <= day * 30), "{times:?}");
    assert_sayable(&isolation.comment, 200);
    let names: BTreeSet<&str> = settings.channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names.len(), settings.channels.len(), "two channels of one name");
}

fn assets(input: &[u8]) {
    match AssetList::parse(&text(input)) {
        Ok(lists) => {
            let names: BTreeSet<&str> = lists.iter().map(|list| list.name.as_str()).collect();
            assert_eq!(names.len(), lists.len(), "two lists of one name");
            for list in &lists {
                assert!(list.entries() > 0 && !list.owner.is_empty(), "{list:?}");
                let _ = (list.is_stale(Timestamp::MIN), list.is_stale(Timestamp::MAX));
            }
        }
        Err(problems) => assert_problems(&problems, 400),
    }
}

/// Whatever a case says, it is read and decided, or every line of what is wrong can be said.
fn cases(input: &[u8]) {
    static SHIPPED: LazyLock<Playbook> = LazyLock::new(|| {
        let [playbook, policy, guarantees, assets] = seeds::shipped_playbook();
        let texts = Texts { playbook: &playbook, policy: &policy, guarantees: &guarantees, assets: &assets };
        Playbook::parse(&texts).unwrap()
    });
    const NO_RECORD: Decoders =
        Decoders { alert: |_| Err("no record".to_owned()), device: |_| Err("no record".to_owned()) };
    match SHIPPED.parse_cases("cases/x.toml", &text(input), Path::new("/nowhere"), &NO_RECORD) {
        Ok(cases) => {
            let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            assert_eq!(names.len(), cases.len(), "two cases of one name");
            for case in cases.iter().take(5) {
                let tried = SHIPPED.try_case(case);
                let what: BTreeSet<&str> = tried.differences.iter().map(|found| found.what).collect();
                assert_eq!(what.len(), tried.differences.len(), "each thing differs once: {what:?}");
            }
        }
        Err(problems) => assert_problems(&problems, 601),
    }
}

fn policy(input: &[u8]) {
    let [playbook, _, guarantees, assets] = seeds::shipped_playbook();
    let policy = text(input);
    let texts = Texts { playbook: &playbook, policy: &policy, guarantees: &guarantees, assets: &assets };
    match Playbook::parse(&texts) {
        Ok(playbook) => assert_decides(&playbook),
        Err(problems) => assert_problems(&problems, 1_000),
    }
}

/// Whatever a policy says, a decision comes out of it that stands by its own rules.
fn assert_decides(playbook: &Playbook) {
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let alert: Alert = serde_json::from_value(json!({
        "id": "a", "title": "A title", "severity": "High", "status": "New", "techniques": ["T1486"],
        "evidence": [], "created": now, "last_event": now, "updated": now, "detection_source": "WindowsDefenderAtp",
        "device": {"id": "1e5bc9d7e413ddd7902c2932e418702b84d0cc07"},
    }))
    .unwrap();
    let known = json!({"known": {"id": "1e5bc9d7e413ddd7902c2932e418702b84d0cc07", "tags": [],
        "os_platform": "Windows11"}});
    let unknown = json!({"unknown": {"why": "the service does not know it"}});
    for device in [known, unknown] {
        let device: DeviceFact = serde_json::from_value(device).unwrap();
        let first_seen = FirstSeen { at: now, mode: Mode::Enforce };
        let case = Case {
            alert: &alert,
            device: &device,
            first_seen,
            environment_mode: Some(Mode::Enforce),
            surroundings: Surroundings::default(),
            now,
        };
        let decision = playbook.decide(&case);
        if decision.answer == Answer::Isolate {
            assert!(device.known().is_some() && decision.doubts.is_empty(), "{decision:?}");
            assert!(!decision.permitted_by.is_empty() && decision.forbidden_by.is_empty(), "{decision:?}");
        }
        let mut ids: Vec<&str> = playbook.policies().iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        assert!(decision.permitted_by.iter().all(|note| ids.binary_search(&note.id.as_str()).is_ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_read_but_for_the_one_with_a_password() {
        let read = |seeds: Vec<Vec<u8>>, is_read: &dyn Fn(&str) -> bool| -> Vec<bool> {
            seeds.iter().map(|seed| is_read(&text(seed))).collect()
        };
        let settings = read(seeds::playbooks(), &|text| Settings::parse(text).is_ok());
        assert_eq!(settings.iter().filter(|is_read| !**is_read).count(), 1, "{settings:?}");
        let assets = read(seeds::assets(), &|text| AssetList::parse(text).is_ok());
        assert_eq!(assets.iter().filter(|is_read| !**is_read).count(), 0, "{assets:?}");
        let read_cases = |text: &str| {
            cases(text.as_bytes());
            text.contains("[[cases]]")
        };
        assert!(read(seeds::cases(), &read_cases).iter().filter(|is_read| **is_read).count() > 3);
        let policies = read(seeds::policies(), &|text| {
            Playbook::parse(&Texts { policy: text, ..Texts::default() }).is_ok()
        });
        assert!(policies.len() > 10 && policies.iter().all(|is_read| *is_read), "{policies:?}");
    }

    #[test]
    fn a_very_long_policy_is_judged() {
        let all = vec!["resource.severity == \"High\""; 20_000].join(" && ");
        let head = "@id(\"a\")\n@reason(\"b\")\npermit (principal, action == Action::\"isolate\", resource)";
        policy(format!("{head}\nwhen {{ {all} }};").as_bytes());
    }
}
