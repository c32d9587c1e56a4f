//! Measures a soak of virtual weeks and a storm of 10,000 alerts, and fails where anything grows.
//!
//! The same, much shorter, is a test: `tests/tests/it/load.rs`. Memory is judged only here, because a test shares its
//! process with others.

#![expect(clippy::print_stdout, reason = "a program that prints what it measures")]

use clap::Parser;
use scenarios::load::{Soak, Storm, Week, growing, growing_memory, soak, storm, week_head};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// Virtual weeks of ordinary life, then a storm: what an alert costs, and whether anything grows
#[derive(Debug, Parser)]
struct Arguments {
    /// How many weeks
    #[arg(long, default_value_t = 40)]
    weeks: usize,
    /// Begin no further week after so many minutes
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// How many ordinary alerts in a week
    #[arg(long, default_value_t = 300)]
    alerts: u32,
    /// Leave the storm out
    #[arg(long)]
    no_storm: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Soak {
        weeks: arguments.weeks,
        alerts_per_week: arguments.alerts,
        devices: 200,
        rounds_per_week: 84,
        faults_in_percent: 3,
        seed: 1,
    };
    println!("A soak of {} virtual weeks; calls, writes and messages are per alert.", plan.weeks);
    println!("{}", week_head());
    let begun = instant();
    let weeks = Box::pin(soak(plan, |week| {
        println!("{week}");
        arguments.minutes.is_none_or(|minutes| begun.elapsed() < Duration::from_secs(60 * minutes))
    }))
    .await;
    println!("Rows at the end: {}.", weeks.last().map(Week::kinds).unwrap_or_default());
    let mut problems = growing(&weeks, u64::from(plan.devices) + 2);
    problems.extend(growing_memory(&weeks));
    problems.iter().for_each(|problem| println!("GROWS: {problem}"));
    if !arguments.no_storm {
        println!("\nA storm of 10,000 alerts on 2,000 devices, one request of twenty going wrong.");
        let plan = Storm { alerts: 10_000, devices: 2_000, limit: 100, faults_in_percent: 5, seed: 1 };
        println!("{}", Box::pin(storm(plan)).await);
    }
    println!("\n{} s. {} problem(s).", begun.elapsed().as_secs(), problems.len());
    ExitCode::from(u8::from(!problems.is_empty()))
}

#[expect(clippy::disallowed_methods, reason = "how long to go on is in the world's minutes")]
fn instant() -> Instant {
    Instant::now()
}
