//! A bounded storm and a short soak: what `scripts/soak` runs at length.

use scenarios::load::{Soak, Storm, growing, soak, storm, week_head};

#[tokio::test]
async fn a_storm_with_faults_is_decided_within_the_limits_and_told_once() {
    let plan = Storm { alerts: 2_000, devices: 400, limit: 50, faults_in_percent: 5, seed: 1 };
    let stormed = Box::pin(storm(plan)).await;
    let most = plan.alerts.into();
    assert!(stormed.calls < most, "held alerts cost the tenant nothing: {stormed}");
    assert!(stormed.items_written < 6 * most && stormed.messages_sent < 4 * most, "{stormed}");
    assert!(stormed.faults > 5, "{stormed}");
}

/// Longer than 200 days, so that rows are cleaned up.
#[tokio::test]
async fn over_many_weeks_neither_the_cost_of_an_alert_nor_the_file_grows() {
    let plan = Soak {
        weeks: 33,
        alerts_per_week: 10,
        devices: 20,
        rounds_per_week: 14,
        faults_in_percent: 3,
        seed: 1,
    };
    let mut lines = week_head();
    let weeks = Box::pin(soak(plan, |week| {
        lines = format!("{lines}\n{week}");
        true
    }))
    .await;
    let problems = growing(&weeks, u64::from(plan.devices) + 2);
    assert!(problems.is_empty(), "{problems:#?}\n{lines}\n{}", weeks.last().unwrap().kinds());
}
