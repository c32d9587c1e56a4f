//! The simulator as a program: a pretended tenant on a loopback address, on the computer's clock, until it is
//! interrupted. Only arguments are read here; what is served is the library's business.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use simulator::generate::{self, GenerateOptions};
use simulator::{Chaos, Clock, Fault, Simulator, World, demo_world};

/// A stand-in for the Defender for Endpoint API and Microsoft Graph, for trying things out without a tenant
#[derive(Debug, Parser)]
#[command(after_help = AFTER_HELP)]
struct Arguments {
    /// Where to listen; loopback addresses only; default 127.0.0.1:8765
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// The ten alerts of the demonstration, and rows for the hunts that ship (what happens, too, without --alerts)
    #[arg(long, conflicts_with_all = ["alerts", "devices", "hostile", "storm", "days", "write"])]
    demo: bool,

    /// So many generated alerts instead
    #[arg(long, value_name = "N")]
    alerts: Option<usize>,

    /// On so many generated devices
    #[arg(long, value_name = "N", default_value_t = 200, requires = "alerts")]
    devices: usize,

    /// The same seed gives the same tenant, and the same chaos
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Generated alerts of so many days instead of ten minutes
    #[arg(long, value_name = "N", requires = "alerts")]
    days: Option<u16>,

    /// Write the generated records into this folder and end: alerts.jsonl and machines.jsonl, one record a line
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "alerts",
        conflicts_with_all = ["listen", "no_quotas", "fault", "chaos"]
    )]
    write: Option<PathBuf>,

    /// Generate names, titles and command lines that attack whoever prints them
    #[arg(long, requires = "alerts")]
    hostile: bool,

    /// Make every generated alert New and High
    #[arg(long, requires = "alerts")]
    storm: bool,

    /// Answer any number of calls (default: 100 a minute and 1,500 an hour per app and route; fewer for hunting)
    #[arg(long)]
    no_quotas: bool,

    /// Something that goes wrong: ROUTE=KIND[(VALUE)][:TIMES]; may be repeated
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,

    /// Any fault on any route with this probability, 0 to 1
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    chaos: Option<f64>,
}

const AFTER_HELP: &str = "\
Routes are named as in the journal: `POST token`, `GET alerts`, `GET alert`,
`PATCH alert`, `GET machines`, `GET machine`, `GET machine alerts`,
`GET machineactions`, `GET machineaction`, `POST isolate`, `POST unisolate`,
`POST cancel`, `POST create alert`, `POST advancedqueries`,
`POST runHuntingQuery`, `GET incident`; `*` is all of them.

Kinds of faults, (VALUE) being seconds, status or milliseconds:
  throttle(30)         429 with Retry-After, without (VALUE) no header
  error(503)           that status, nothing done
  error-after(500)     done, then that status
  slow(2000)           waits, then does it
  acts-then-slow(2000) does it, then waits
  reset                hangs up, nothing done
  reset-after          does it, then hangs up
  truncated, not-json, empty   does it, answers badly
  html                 200 and a login page, nothing done
  not-found            404, nothing done
TIMES is a number or `always`; default 1.

Examples:
  simulator --demo
  simulator --alerts 10000 --devices 2000 --seed 7 --hostile
  simulator --alerts 100000 --days 30 --write /tmp/past
  simulator --demo --fault 'POST isolate=reset-after:1' --fault 'GET alerts=throttle(5):3'

The simulator prints the settings that a client needs and runs until interrupted (Ctrl-C).";

/// Where it listens unless it is told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8765);

fn probability(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|probability| (0.0..=1.0).contains(probability))
        .ok_or_else(|| "not a number from 0 to 1".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(folder) = &arguments.write {
        return match write(folder, &world(&arguments, now())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("cannot write into {}: {error}", folder.display()));
                ExitCode::from(2)
            }
        };
    }
    let listen = arguments.listen.unwrap_or(LISTEN);
    match run(&arguments, listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("cannot listen on {listen}: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments, listen: SocketAddr) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let simulator = Simulator::start_on(world(arguments, now()), listen).await?;
        say(&simulator);
        // An interrupt ends the process; there is nothing to put in order.
        std::future::pending::<()>().await;
        Ok(())
    })
}

/// Writes the records as the API prints them, alerts with their evidence; the folder is made where there is none.
fn write(folder: &Path, world: &World) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    write_lines(&folder.join("alerts.jsonl"), &world.alerts)?;
    write_lines(&folder.join("machines.jsonl"), &world.machines)
}

fn write_lines(path: &Path, records: &[impl serde::Serialize]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for record in records {
        serde_json::to_writer(&mut file, record)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

fn world(arguments: &Arguments, now: Timestamp) -> World {
    let mut world = match arguments.alerts {
        None => demo_world(now),
        Some(alerts) => World::new(now).generated(generate::tenant(
            arguments.seed,
            &GenerateOptions {
                alerts,
                devices: arguments.devices,
                spread: arguments.days.map_or(SignedDuration::from_mins(10), |days| {
                    SignedDuration::from_hours(24 * i64::from(days))
                }),
                hostile: arguments.hostile,
                all_new_high: arguments.storm,
                ..GenerateOptions::new(now)
            },
        )),
    };
    world.clock = Clock::System;
    world.quotas = !arguments.no_quotas;
    world.faults.clone_from(&arguments.fault);
    world.chaos = arguments.chaos.map(|probability| Chaos::new(arguments.seed, probability));
    world
}

#[expect(clippy::disallowed_methods, reason = "a program's main may read the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::print_stdout, reason = "the settings are what the program is asked for")]
fn say(simulator: &Simulator) {
    for (name, value) in simulator.settings() {
        println!("{name}={value}");
    }
}

#[expect(clippy::print_stderr, reason = "the reason why the program ends")]
fn complain(message: &str) {
    eprintln!("simulator: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(["simulator"].into_iter().chain(words.split(' ')))
    }

    #[test]
    fn records_are_written_into_a_folder_that_is_not_there_yet() {
        let folder = tempfile::TempDir::new().unwrap();
        let past = folder.path().join("a/past");
        let arguments = parsed("--alerts 3 --devices 2 --days 30").unwrap();
        write(&past, &world(&arguments, now())).unwrap();
        let lines = |file: &str| std::fs::read_to_string(past.join(file)).unwrap().lines().count();
        assert_eq!((lines("alerts.jsonl"), lines("machines.jsonl")), (3, 2));
    }

    #[test]
    fn what_writing_would_pass_over_is_refused() {
        assert!(parsed("--alerts 3 --write past --hostile --storm --seed 7").is_ok());
        for more in ["--listen 127.0.0.1:1", "--no-quotas", "--fault *=reset", "--chaos 0.5", "--demo"] {
            assert!(parsed(&format!("--alerts 3 --write past {more}")).is_err(), "{more}");
        }
    }
}
