//! A part of the torture in every run: some lives, the same ones each time. `scripts/torture` plays as many as one likes.

use ports::conformance;
use scenarios::torture::{
    judge::judge,
    life::live,
    memory::{Memory, Temper},
    plan::{Ground, Plan},
    summary::Summary,
};
use std::collections::BTreeSet;

/// Few enough for every run; the same mix of everything as any other hundred.
const LIVES: u64 = 100;

async fn lives(seeds: impl Iterator<Item = u64>) {
    let mut failed = Vec::new();
    let mut summary = Summary::default();
    for seed in seeds {
        let ended = Box::pin(live(Plan::of(seed))).await;
        let verdict = Box::pin(judge(&ended)).await;
        summary.add_life(&ended, &verdict);
        let complaints = verdict.complaints.into_iter();
        failed.extend(complaints.map(|complaint| format!("seed {seed}: {complaint}")));
    }
    assert!(failed.is_empty(), "scripts/torture --seed SEED tells a life\n{failed:#?}");
    assert!(summary.crashes > 100 && summary.duplicates > 10, "{summary}");
    assert!(summary.owed > 10 && summary.accepted > summary.owed && summary.repeated > 0, "{summary}");
    // Six that the queue and the state play, and ten of the tenant's.
    assert!(summary.faults.len() == 16 && summary.faults.values().all(|times| *times > 0), "{summary}");
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_happens_twice_in_any_of_a_hundred_lives() {
    lives(0..LIVES / 2).await;
}

#[tokio::test]
async fn nor_in_the_other_half_of_them() {
    lives(LIVES / 2..LIVES).await;
}

#[tokio::test]
async fn one_seed_is_one_life() {
    for ground in [Ground::Local, Ground::Cloud] {
        let is_rough =
            |plan: &Plan| plan.ground == ground && plan.unkind.crash > 0.0 && plan.world.chaos.is_some();
        let seed = (0..LIVES).find(|seed| is_rough(&Plan::of(*seed))).unwrap();
        let first = Box::pin(live(Plan::of(seed))).await;
        let second = Box::pin(live(Plan::of(seed))).await;
        assert_eq!(first.story, second.story, "seed {seed}");
        assert!(first.story.len() > 100, "seed {seed} is hardly a life");
    }
}

#[test]
fn the_seeds_of_every_run_cover_what_a_plan_can_draw() {
    let plans: Vec<Plan> = (0..LIVES).map(Plan::of).collect();
    let grounds: BTreeSet<bool> = plans.iter().map(|plan| plan.ground == Ground::Local).collect();
    let limits: BTreeSet<_> = plans.iter().map(|plan| plan.limit).collect();
    assert_eq!((grounds.len(), limits.len()), (2, 4));
    for (what, is_there) in [
        ("crashes", plans.iter().any(|plan| plan.unkind.crash > 0.0)),
        ("troubles", plans.iter().any(|plan| plan.unkind.trouble > 0.0)),
        ("faults of the tenant", plans.iter().any(|plan| plan.world.chaos.is_some())),
        ("duplicates", plans.iter().any(|plan| plan.temper.doubles > 0.0)),
        ("comments", plans.iter().any(|plan| plan.comments)),
        ("the timer", plans.iter().any(|plan| plan.release_after)),
    ] {
        assert!(is_there, "no plan has {what}");
    }
}

#[tokio::test]
async fn the_pair_in_memory_keeps_what_every_backend_must() {
    conformance::queue(async || Memory::new(1, Temper::default())).await;
    conformance::state(async || Memory::new(1, Temper::default())).await;
}
