//! Which change of what was known would have changed a decision, by policies written for it and by the shipped one.

use crate::{SETTINGS, Story, ago, now, own, shipped_with};
use jiff::SignedDuration;
use model::{AlertStatus, Answer, Classification, FirstSeen, Hunted, Mode};
use policy::{Case, Change, Playbook, Surroundings, Texts};

const PERMIT: &str =
    "@id(\"all\") @reason(\"all\") permit (principal, action == Action::\"isolate\", resource)";

/// By this playbook, in this story, these changes would have led to these answers.
type Row<'a> = (Playbook, Story, &'a [(&'a str, Answer)]);

fn what_if(playbook: &Playbook, story: &Story) -> Vec<Change> {
    playbook.what_if(&Case {
        alert: &story.alert,
        device: &story.device,
        first_seen: FirstSeen { at: now(), mode: story.first_seen },
        environment_mode: story.environment,
        surroundings: Surroundings::default(),
        now: now(),
    })
}

fn said(changes: &[Change]) -> Vec<(&str, Answer)> {
    changes.iter().map(|change| (change.change.as_str(), change.answer)).collect()
}

/// A policy that isolates when this holds.
fn when(condition: &str) -> Playbook {
    own(&format!("{PERMIT} when {{ {condition} }};"))
}

#[test]
fn each_single_change_that_matters_is_found_and_no_other() {
    use Answer::{Isolate, None as Nothing, Refused};
    let high = Story::new;
    let device = "resource has device && resource.device has";
    let table: Vec<Row<'_>> = vec![
        (when("resource.severity == \"High\""), high(), &[("if the alert were Medium", Nothing)]),
        (
            when("resource.severity == \"High\""),
            high().severity("Medium"),
            &[("if the alert were High", Isolate)],
        ),
        (
            when("resource.severity == \"Low\""),
            high().severity("Informational"),
            &[("if the alert were Low", Isolate)],
        ),
        (
            when("resource.severity == \"High\""),
            high().severity("Critical"),
            &[("if the alert were High", Isolate), ("if the alert were Medium", Nothing)],
        ),
        (
            when("resource.severity == \"High\""),
            high().source("hunt").alert(|alert| {
                alert.hunted = Some(Hunted { hunt: "lsass-dump".into(), may_isolate: false });
            }),
            &[
                ("if the alert came from WindowsDefenderAtp", Isolate),
                ("if the hunt said `may_isolate = true`", Isolate),
                ("if the alert were Medium", Nothing),
            ],
        ),
        (
            when("resource has status && resource.status == \"New\""),
            high().alert(|alert| alert.status = Some(AlertStatus::Resolved)),
            &[("if the alert's status were New", Isolate)],
        ),
        (
            when("!(resource has classification)"),
            high().alert(|alert| alert.classification = Some(Classification::FalsePositive)),
            &[("if nobody had classified the alert", Isolate)],
        ),
        (
            when("resource has source && resource.source == \"WindowsDefenderAtp\""),
            high().source("CustomDetection"),
            &[("if the alert came from WindowsDefenderAtp", Isolate)],
        ),
        (
            when(&format!("{device} class && resource.device.class == \"workstation\"")),
            high().platform("Linux"),
            &[("if the device were a workstation", Isolate)],
        ),
        (
            when(&format!("{device} class && resource.device.class == \"workstation\"")),
            high(),
            &[("if the device were a server", Nothing)],
        ),
        (
            when(&format!("{device} tags && !resource.device.tags.contains(\"finance\")")),
            high().device(|device| device.tags.get_or_insert_default().push("vip".into())),
            &[("if the device were not tagged finance", Isolate)],
        ),
        (
            when("resource has created && context.now.durationSince(resource.created) <= context.actWithin"),
            high().alert(|alert| alert.created = ago(5)),
            &[("if the alert and its last event were a minute old", Isolate)],
        ),
        (
            when("!resource.firstSeenObserving"),
            Story { first_seen: Mode::Observe, ..high() },
            &[("if the alert had first been seen in the mode `enforce`", Isolate)],
        ),
        (
            when("context.localHour < 8 || context.localHour >= 18"),
            high(),
            &[("if it were 21 h local time", Isolate)],
        ),
        (
            when("context.localWeekday == \"Saturday\" || context.localWeekday == \"Sunday\""),
            high(),
            &[("if it were the weekend", Isolate)],
        ),
        (
            when("true"),
            high().platform("TempleOS"),
            &[("if the device were a workstation", Isolate), ("if the device were a server", Isolate)],
        ),
        (when("resource.id == \"another\""), high(), &[]),
        (when("true"), high().alert(|alert| alert.unreadable = vec!["machineId: not a text".into()]), &[]),
        (when("true"), high().no_device(None), &[]),
    ];
    for (number, (playbook, story, expected)) in table.into_iter().enumerate() {
        let changes = what_if(&playbook, &story);
        assert_eq!(said(&changes), expected, "row {number}: {:#?}", story.by(&playbook));
    }
    let refused = high().alert(|alert| alert.status = Some("Paused".into()));
    assert_eq!(refused.by(&when("true")).answer, Refused);
    assert_eq!(said(&what_if(&when("true"), &refused)), [("if the alert's status were New", Isolate)]);
}

#[test]
fn what_is_observed_would_be_done_in_the_mode_enforce() {
    let both = Story { first_seen: Mode::Observe, environment: Some(Mode::Observe), ..Story::new() };
    let playbook = shipped_with(SETTINGS, "");
    let changes = what_if(&playbook, &both);
    let change = changes.iter().find(|change| change.mode == Mode::Enforce).unwrap();
    assert_eq!(change.answer, Answer::Isolate);
    assert_eq!(change.change, "if the mode were `enforce`, and had been when the alert was first seen");
    let once = Story { first_seen: Mode::Enforce, ..both };
    assert!(said(&what_if(&playbook, &once)).contains(&("if the mode were `enforce`", Answer::Isolate)));
    // Where nothing is isolated either way, the mode makes no difference.
    let low = once.severity("Informational");
    assert_eq!(said(&what_if(&playbook, &low)), []);
}

#[test]
fn pairs_are_tried_only_where_no_single_change_makes_a_difference() {
    let playbook = own(&format!(
        "{PERMIT} when {{ resource.severity == \"High\" && resource has status && resource.status == \"New\" }};"
    ));
    let story = Story::new().alert(|alert| alert.status = Some(AlertStatus::Resolved)).severity("Medium");
    let changes = what_if(&playbook, &story);
    assert_eq!(said(&changes), [("if the alert were High and the alert's status were New", Answer::Isolate)]);
}

#[test]
fn devices_users_and_reviews_of_the_asset_lists_are_among_what_is_tried() {
    let policy = format!(
        "{PERMIT} when {{ resource has device && resource.device.listed.isEmpty() && resource.usersListed.isEmpty() }};"
    );
    let with = |list: &str, review: &str| {
        let assets = format!("[[lists]]\nname = \"vips\"\nowner = \"soc\"\nreview_by = {review}\n{list}\n");
        let texts = Texts { playbook: SETTINGS, policy: &policy, assets: &assets, ..Texts::default() };
        Playbook::parse(&texts).unwrap()
    };
    let story = Story::new();
    let table = [
        (with("tags = [\"finance\"]", "2027-01-01"), "if the device were not tagged finance"),
        (with("groups = [\"clients\"]", "2027-01-01"), "if the device stood on no asset list"),
        (with("users = [\"ada\"]", "2027-01-01"), "if no user of the alert stood on an asset list"),
        (with("tags = [\"other\"]", "2026-11-19"), "if every asset list were within its review"),
    ];
    for (playbook, expected) in table {
        let changes = what_if(&playbook, &story);
        assert_eq!(said(&changes)[0], (expected, Answer::Isolate), "{changes:#?}");
    }
}

#[test]
fn another_time_leaves_everything_as_old_as_it_was() {
    // An alert that is almost too old stays so, and a list that is due tomorrow is not due because of another day.
    let policy = format!(
        "{PERMIT} when {{ context.weekday == \"Saturday\" && resource has created && \
         context.now.durationSince(resource.created) <= context.actWithin }};"
    );
    let assets = "[[lists]]\nname = \"dcs\"\nowner = \"soc\"\nreview_by = 2026-11-20\ntags = [\"dc\"]\n";
    let playbook =
        Playbook::parse(&Texts { playbook: SETTINGS, policy: &policy, assets, ..Texts::default() }).unwrap();
    let story = Story::new().alert(|alert| {
        alert.created = Some(now() - SignedDuration::from_mins(239));
    });
    assert_eq!(said(&what_if(&playbook, &story)), [("if it were the weekend", Answer::Isolate)]);
}
