//! What the shipped policy says in its comments, the examples beside it, and the guide's vocabulary: all of it is true.
//!
//! What the policies decide about one alert after another stands in `playbook/cases` and the examples' own `cases`.

use crate::{
    SETTINGS, Story, ids,
    schema::{Attribute, attributes},
    shipped_file,
};
use jiff::Timestamp;
use model::{Answer, Mode};
use policy::{Decoders, Playbook, Rule, Texts};
use std::{collections::BTreeSet, path::PathBuf};

/// What stands before each line of an example that is switched off.
const MARK: &str = "//:";

/// The shipped policy with these of its examples switched on, counted from zero, under `enforce`.
fn switched_on(examples: &[usize]) -> Playbook {
    let (policy, guarantees) = (shipped_file("policy.cedar"), shipped_file("guarantees.cedar"));
    let (mut text, mut example, mut was_marked) = (String::new(), 0, false);
    for line in policy.lines() {
        let marked = line.strip_prefix(MARK);
        example += usize::from(was_marked && marked.is_none());
        was_marked = marked.is_some();
        let line = match marked {
            Some(rest) if examples.contains(&example) => rest.strip_prefix(' ').unwrap_or(rest),
            Some(_) | None => line,
        };
        text = text + line + "\n";
    }
    let texts = Texts { playbook: SETTINGS, policy: &text, guarantees: &guarantees, assets: "" };
    Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{examples:?}: {problems}"))
}

/// A High alert of that moment, on a device with that tag.
fn at(moment: &str, tag: &str) -> (Story, Timestamp) {
    let at: Timestamp = moment.parse().unwrap();
    let story = Story::new()
        .alert(|alert| {
            alert.created = Some(at);
            alert.last_event = Some(at);
        })
        .device(|device| device.tags = Some(vec![tag.into()]));
    (story, at)
}

/// Answer, the policies for it and those against it.
fn said(playbook: &Playbook, moment: &str, tag: &str) -> (Answer, Vec<String>, Vec<String>) {
    let (story, now) = at(moment, tag);
    let decision = story.at(playbook, now);
    assert_eq!(decision.doubts, Vec::<String>::new(), "{moment}");
    let owned = |notes| ids(notes).into_iter().map(str::to_owned).collect();
    (decision.answer, owned(&decision.permitted_by), owned(&decision.forbidden_by))
}

const FRIDAY_NOON: &str = "2026-11-20T12:00:00Z";
const FRIDAY_NIGHT: &str = "2026-11-20T23:00:00Z";

#[test]
fn the_policy_ships_two_examples_and_they_are_off() {
    let policies = |examples| switched_on(examples).policies().len();
    let without = policies(&[]);
    assert_eq!((policies(&[0]), policies(&[1]), policies(&[0, 1])), (without + 2, without + 2, without + 4));
}

#[test]
fn in_business_hours_the_first_example_asks_and_otherwise_it_acts() {
    for examples in [&[0][..], &[0, 1]] {
        let playbook = switched_on(examples);
        let asks = (
            Answer::Propose,
            vec!["ask-in-business-hours".to_owned()],
            vec!["business-hours-need-a-person".to_owned()],
        );
        let acts = (Answer::Isolate, vec!["isolate-high".to_owned()], Vec::new());
        for (moment, expected) in [
            (FRIDAY_NOON, &asks),
            ("2026-11-20T08:00:00Z", &asks),
            ("2026-11-20T17:59:59Z", &asks),
            ("2026-11-23T08:00:00Z", &asks),
            ("2026-11-20T07:59:59Z", &acts),
            ("2026-11-20T18:00:00Z", &acts),
            (FRIDAY_NIGHT, &acts),
            ("2026-11-21T12:00:00Z", &acts),
            ("2026-11-22T12:00:00Z", &acts),
        ] {
            assert_eq!(said(&playbook, moment, "finance"), *expected, "{moment}");
        }
    }
}

#[test]
fn at_night_the_second_example_leaves_a_vip_alone_and_calls() {
    let asks = (
        Answer::Propose,
        vec!["call-about-vip-at-night".to_owned()],
        vec!["vip-at-night-needs-a-call".to_owned()],
    );
    let acts = (Answer::Isolate, vec!["isolate-high".to_owned()], Vec::new());
    let playbook = switched_on(&[1]);
    for (moment, tag, expected) in [
        (FRIDAY_NIGHT, "vip", &asks),
        (FRIDAY_NIGHT, " VIP ", &asks),
        ("2026-11-20T20:00:00Z", "vip", &asks),
        ("2026-11-20T06:59:59Z", "vip", &asks),
        ("2026-11-22T03:00:00Z", "vip", &asks),
        ("2026-11-20T07:00:00Z", "vip", &acts),
        ("2026-11-20T19:59:59Z", "vip", &acts),
        (FRIDAY_NOON, "vip", &acts),
        (FRIDAY_NIGHT, "not-vip", &acts),
    ] {
        assert_eq!(said(&playbook, moment, tag), *expected, "{moment} {tag}");
    }
    assert_eq!(said(&switched_on(&[0, 1]), FRIDAY_NIGHT, "vip"), asks);

    let (story, night) = at(FRIDAY_NIGHT, "vip");
    let medium = story.severity("Medium").at(&playbook, night);
    assert_eq!((medium.answer, ids(&medium.permitted_by)), (Answer::Propose, vec!["propose-medium"]));
}

/// As the comment says: whoever has no known tags may be a VIP.
#[test]
fn at_night_a_device_of_unknown_tags_is_left_alone_without_the_second_example_saying_so() {
    let (story, night) = at(FRIDAY_NIGHT, "vip");
    let decision = story.device(|device| device.tags = None).at(&switched_on(&[1]), night);
    assert_eq!((decision.answer, decision.tell), (Answer::Refused, true));
    assert_eq!(ids(&decision.forbidden_by), ["device-not-known"]);
}

#[test]
fn the_examples_go_by_the_playbooks_own_clock() {
    let (policy, guarantees) = (shipped_file("policy.cedar"), shipped_file("guarantees.cedar"));
    let policy = policy.replace("//: ", "").replace(MARK, "");
    let playbook = "mode = \"enforce\"\ntime_zone = \"Asia/Tokyo\"";
    let texts = Texts { playbook, policy: &policy, guarantees: &guarantees, assets: "" };
    let playbook = Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        said(&playbook, FRIDAY_NOON, "vip").1,
        ["call-about-vip-at-night"],
        "it is 21 o'clock in Tokyo"
    );
    assert_eq!(said(&playbook, FRIDAY_NIGHT, "finance").0, Answer::Isolate, "it is Saturday in Tokyo");
}

const EXAMPLES: [&str; 5] = ["night-shift", "noisy-detector", "privileged-user", "ransomware", "test-ring"];

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../playbook/examples")
}

#[test]
fn every_example_is_a_playbook_of_its_own() {
    let folders = std::fs::read_dir(examples()).unwrap();
    let mut found: Vec<String> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, EXAMPLES);
    for name in EXAMPLES {
        let playbook =
            Playbook::read(&examples().join(name)).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let only_rings_act = if name == "test-ring" { Mode::Enforce } else { Mode::Observe };
        assert_eq!(playbook.settings.mode, only_rings_act, "{name}");
        let resolved = Story::new().alert(|alert| alert.status = Some("Resolved".into())).by(&playbook);
        assert_eq!((resolved.answer, resolved.tell), (Answer::Refused, false), "{name}");
    }
}

/// The folder of a playbook, and how many cases it has at least.
fn playbooks() -> Vec<(PathBuf, usize)> {
    let shipped = examples().parent().map(PathBuf::from).unwrap();
    let examples = EXAMPLES.iter().map(|name| (examples().join(name), 5));
    std::iter::once((shipped, 40)).chain(examples).collect()
}

#[test]
fn the_shipped_playbook_and_every_example_pass_their_own_cases() {
    let decoders = Decoders { alert: |_| Err("unused".into()), device: |_| Err("unused".into()) };
    for (folder, least) in playbooks() {
        let name = folder.display();
        let playbook = Playbook::read(&folder).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let cases =
            playbook.read_cases(&folder, &decoders).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert!(cases.len() >= least, "{name}: {} cases", cases.len());
        let tried: Vec<_> = cases.iter().map(|case| playbook.try_case(case)).collect();
        let failed: Vec<String> = tried
            .iter()
            .filter(|tried| !tried.differences.is_empty())
            .map(|tried| format!("{}: {:#?}", tried.case.name, tried.differences))
            .collect();
        assert!(failed.is_empty(), "{name}: {failed:#?}");
        let (unheard, _) = playbook.unheard(&tried);
        let unheard: Vec<&str> = unheard.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(unheard, Vec::<&str>::new(), "{name}: a policy that no case has made speak");
    }
}

fn of_example(name: &str, file: &str) -> String {
    std::fs::read_to_string(examples().join(name).join(file)).unwrap()
}

/// Whoever starts from an example has every guarantee that the shipped playbook has.
#[test]
fn every_example_keeps_the_shipped_guarantees() {
    let shipped = shipped_file("guarantees.cedar");
    for name in EXAMPLES {
        let differs = of_example(name, "guarantees.cedar") != shipped;
        assert!(!differs, "{name}: guarantees.cedar differs from the shipped one");
    }
}

/// Each example is whole by itself, so what all of them leave alone stands in each.
#[test]
fn every_example_has_the_same_cases_of_what_it_leaves_alone() {
    let file = "cases/guardrails.toml";
    for name in EXAMPLES {
        let differs = of_example(name, file) != of_example(EXAMPLES[0], file);
        assert!(!differs, "{name}: {file} differs from that of {}", EXAMPLES[0]);
    }
}

/// The rows of the guide's tables that are about an attribute.
fn rows(guide: &str) -> BTreeSet<Attribute> {
    let is_attribute = |path: &str| path.starts_with("resource.") || path.starts_with("context.");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().trim_matches('`'));
        let path = cells.next().filter(|path| is_attribute(path))?;
        Some((path.to_owned(), cells.next()?.to_owned(), cells.next()? == "yes"))
    };
    guide.lines().filter_map(row).collect()
}

pub(crate) fn guide() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/PLAYBOOK.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_guide_has_the_whole_vocabulary() {
    let (guide, schema) = (rows(&guide()), attributes());
    let missing: Vec<&Attribute> = schema.difference(&guide).collect();
    let made_up: Vec<&Attribute> = guide.difference(&schema).collect();
    assert!(
        missing.is_empty() && made_up.is_empty(),
        "missing: {missing:#?}\nnot in the schema: {made_up:#?}"
    );
    assert!(schema.len() > 50, "the schema was understood");
}

/// The guide's blocks of one kind that have this in them.
fn blocks<'g>(guide: &'g str, kind: &str, part: &str) -> Vec<&'g str> {
    let blocks = guide.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(kind)).filter(|block| block.contains(part)).collect()
}

/// The shipped playbook with this at the end of its policy, as the guide has it.
fn with_the_guides(rule: &str) -> Result<Playbook, policy::Problems> {
    let (policy, guarantees) = (shipped_file("policy.cedar"), shipped_file("guarantees.cedar"));
    let policy = policy + rule;
    let playbook = "time_zone = \"Europe/Berlin\"";
    Playbook::parse(&Texts { playbook, policy: &policy, guarantees: &guarantees, assets: "" })
}

#[test]
fn the_guide_walks_through_what_really_happens() {
    let guide = guide();
    let [wrong, right] = blocks(&guide, "cedar", "vip-at-night-needs-a-call")[..] else { panic!("{guide}") };
    let problems = with_the_guides(wrong).unwrap_err();
    for problem in problems.iter() {
        assert!(guide.contains(problem), "the guide does not show this:\n{problem}");
    }
    let playbook = with_the_guides(right).unwrap_or_else(|problems| panic!("{problems}"));
    let cases = blocks(&guide, "toml", "[[cases]]").concat();
    let decoders = Decoders { alert: |_| Err("unused".into()), device: |_| Err("unused".into()) };
    let cases = playbook.parse_cases("cases/guide.toml", &cases, &examples(), &decoders);
    let cases = cases.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(cases.len(), 4);
    let promise =
        shipped_file("guarantees.cedar") + blocks(&guide, "cedar", "never-a-vip-at-night").concat().as_str();
    let texts = Texts { guarantees: &promise, ..Texts::default() };
    assert!(Playbook::parse(&texts).is_ok_and(|playbook| playbook.guarantees().len() == 9));
    for case in &cases {
        assert_eq!(playbook.try_case(case).differences, [], "{}", case.name);
    }
}

#[test]
fn the_guide_counts_the_policies_and_names_their_lines_as_they_are() {
    let guide = guide();
    let [_, rule] = blocks(&guide, "cedar", "vip-at-night-needs-a-call")[..] else { panic!("{guide}") };
    let playbook = with_the_guides(rule).unwrap_or_else(|problems| panic!("{problems}"));
    let all = playbook.policies().len() + playbook.guarantees().len();
    let line = |file: &str, rules: &[Rule], id: &str| {
        let rule = rules.iter().find(|rule| rule.id == id).unwrap();
        format!("`{id}` ({file}, line {})", rule.line)
    };
    for said in [
        format!("my-playbook, {} policies", switched_on(&[]).policies().len()),
        format!("one of the {} guarantees forbids", playbook.guarantees().len()),
        format!("none of the {all} policies and guarantees can err"),
        format!("2 findings in {all} policies and guarantees"),
        line("policy.cedar", playbook.policies(), "isolate-high"),
        line("policy.cedar", playbook.policies(), "server-needs-a-person"),
        line("guarantees.cedar", playbook.guarantees(), "only-known-workstations"),
    ] {
        assert!(guide.contains(&said), "the guide does not say: {said}");
    }
}
