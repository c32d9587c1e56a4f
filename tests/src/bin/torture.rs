//! Tortures Cordon with lives drawn from seeds, and says what was done to it and what came of that.
//!
//! Only arguments and the order of work stand here.

use clap::Parser;
use scenarios::torture::{judge::judge, killed, life::live, plan::Plan, summary::Summary};
use std::{
    panic::catch_unwind,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};

/// Tortures Cordon: crashes, lost answers, duplicates and people, by seed
#[derive(Debug, Parser)]
struct Arguments {
    /// How many lives
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Go on with further seeds until so many minutes have passed
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Only this life, with its whole story
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "first", "minutes", "jobs", "failures", "lives_only"])]
    seed: Option<u64>,
    /// Do not kill the built program afterwards
    #[arg(long)]
    lives_only: bool,
    /// How many lives at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Stop after so many lives in which something did not hold
    #[arg(long, default_value_t = 10)]
    failures: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(seed);
    }
    let summary = many(&arguments);
    say(&summary.to_string());
    let killed_well = arguments.lives_only || killed(arguments.first);
    ExitCode::from(u8::from(summary.failed > 0 || !killed_well))
}

/// The built program, killed; whether everything held.
fn killed(seed: u64) -> bool {
    complain("the built program, killed sixty times: a minute or two");
    let Some(runtime) = runtime() else { return false };
    let outcome = runtime.block_on(Box::pin(killed::run(killed::Options::long(seed))));
    say(&outcome.to_string());
    outcome.wrong.is_empty()
}

fn runtime() -> Option<Runtime> {
    Builder::new_current_thread().enable_all().build().map_err(|error| complain(&error.to_string())).ok()
}

/// One life, told.
fn one(seed: u64) -> ExitCode {
    let mut summary = Summary::default();
    let (story, complaints) = life(seed, &mut summary);
    story.iter().for_each(|line| say(line));
    say(&summary.to_string());
    complaints.iter().for_each(|complaint| say(&format!("seed {seed}: {complaint}")));
    ExitCode::from(u8::from(!complaints.is_empty()))
}

fn many(arguments: &Arguments) -> Summary {
    #[expect(clippy::disallowed_methods, reason = "how long to go on is in the world's minutes")]
    let started = Instant::now();
    let until = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let next = AtomicU64::new(arguments.first);
    let all = Mutex::new(Summary::default());
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let is_over = seed >= arguments.first.saturating_add(arguments.seeds)
            && until.is_none_or(|until| started.elapsed() >= until);
        if is_over || all.lock().unwrap_or_else(PoisonError::into_inner).failed >= arguments.failures {
            return;
        }
        let mut summary = Summary::default();
        let (story, complaints) = life(seed, &mut summary);
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(&summary);
        for complaint in complaints {
            say(&format!("seed {seed}: {complaint}"));
        }
        if summary.failed > 0 {
            keep(seed, &story);
        }
        if all.lives.is_multiple_of(100) {
            let seconds = started.elapsed().as_secs();
            complain(&format!("{} lives, {} failed, {seconds} s", all.lives, all.failed));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(work);
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Where the story of a life is kept in which something did not hold. Calls go over real sockets: however unlikely, one
/// that took too long may not take as long again.
fn keep(seed: u64, story: &[String]) {
    let file = std::env::temp_dir().join(format!("torture-{seed}.txt"));
    let kept = std::fs::write(&file, story.join("\n")).map(|()| format!(", and in {}", file.display()));
    say(&format!("its whole story: scripts/torture --seed {seed}{}", kept.unwrap_or_default()));
}

/// Plays and judges one life. Its story, and what did not hold.
fn life(seed: u64, summary: &mut Summary) -> (Vec<String>, Vec<String>) {
    let Some(runtime) = runtime() else { return (Vec::new(), vec!["no runtime".to_owned()]) };
    let lived = catch_unwind(|| {
        runtime.block_on(async {
            let ended = Box::pin(live(Plan::of(seed))).await;
            let verdict = Box::pin(judge(&ended)).await;
            (ended, verdict)
        })
    });
    match lived {
        Ok((ended, verdict)) => {
            summary.add_life(&ended, &verdict);
            (ended.story, verdict.complaints)
        }
        Err(_) => {
            (summary.lives, summary.failed) = (1, 1);
            (Vec::new(), vec!["the life itself panicked".to_owned()])
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report is what the program is asked for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "progress")]
fn complain(line: &str) {
    eprintln!("{line}");
}
