//! The built program, killed again and again: a part of the torture that is bounded enough for every run of the tests.
//! `CORDON_TEST_SEED` names another seed, and `CORDON_TEST_KILLS` more kills.

use credentials::Vars;
use scenarios::torture::killed::{Options, run, run_and_spoil};

#[tokio::test]
async fn a_run_that_is_killed_again_and_again_loses_nothing_and_isolates_nothing_twice() {
    let vars = Vars::from_process();
    let number = |name: &str| vars.get(name).map(|text| text.parse::<u64>().unwrap());
    let mut options = Options::bounded(number("CORDON_TEST_SEED").unwrap_or(1));
    if let Some(kills) = number("CORDON_TEST_KILLS") {
        options.kills = usize::try_from(kills).unwrap();
        options.alerts = options.kills * 8;
        options.devices = u32::try_from(options.kills * 4).unwrap();
    }
    let outcome = run(options).await;
    println!("{outcome}");
    assert!(
        outcome.wrong.is_empty(),
        "to repeat: CORDON_TEST_SEED={} cargo test -p scenarios --test it killed -- --nocapture\n{outcome}",
        outcome.options.seed
    );
    assert!(outcome.cut_short > 0, "nothing was in hand when it was killed\n{outcome}");
    assert!(outcome.accepted > 0 && outcome.in_doubt * 4 <= outcome.owed, "{outcome}");
}

#[tokio::test]
async fn what_is_lost_or_done_twice_is_noticed() {
    let outcome = run_and_spoil(Options { kills: 1, alerts: 12, devices: 4, ..Options::bounded(2) }).await;
    for wrong in ["was never announced", "nobody was told of", "isolated more than once"] {
        assert!(outcome.wrong.iter().any(|line| line.contains(wrong)), "`{wrong}` in {outcome}");
    }
    assert_eq!((outcome.lost, outcome.doubled), (1, 1), "{outcome}");
    let kept = outcome.wrong.last().and_then(|line| line.split_once(" are in ")).unwrap().1;
    std::fs::remove_dir_all(kept).unwrap();
}
