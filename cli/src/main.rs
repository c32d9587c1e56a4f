//! `cordon`: the operator's tool and the local host in one binary.
//!
//! This file reads the command line, hands over to one file per command, and turns the outcome into an exit
//! code: 0 done, 1 something needs attention, 2 bad usage or settings. It is one of the two places that read the
//! clock; everything below takes `now` as an argument.

mod clock;
mod commands;
mod settings;
mod show;
mod summary;

use clap::{Args, Parser, Subcommand};
use credentials::Vars;
use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

const AFTER_HELP: &str = "\
Settings are environment variables (or NAME=value lines of the file given with --env-file):
  DEFENDER_TENANT_ID, DEFENDER_CLIENT_ID, DEFENDER_CLIENT_SECRET   the app registration that reads
  DEFENDER_ACTOR_CLIENT_ID, DEFENDER_ACTOR_CLIENT_SECRET           the one that acts, if it is another
  DEFENDER_CLOUD            commercial (default), gcc, gcc-high, dod
  DEFENDER_API_URL, DEFENDER_LOGIN_URL, DEFENDER_AUDIENCE          overrides; http:// for loopback only
  CORDON_PLAYBOOK           folder of the playbook; default `playbook`
  CORDON_MODE               `observe` always wins; `enforce` overrides the playbook; unset: the playbook decides
  CORDON_STATE              the SQLite file; default `cordon.db`
  CORDON_LOOKBACK           how far back the very first poll reaches; default 15m
  RUST_LOG                  what to log to standard error, such as `info` or `respond=debug`

Exit codes: 0 done, 1 something needs attention, 2 bad usage or settings.

Start with `cordon demo`: it needs no settings and touches nothing but the folder that it names.";

#[derive(Debug, Parser)]
#[command(name = "cordon", version, about = "Automated response for Microsoft Defender for Endpoint", after_help = AFTER_HELP)]
struct Cli {
    /// Read settings that the environment does not hold from this file (NAME=value lines)
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole pipeline at work on a simulated tenant; needs no settings
    Demo(commands::demo::Demo),
    /// Run the pipeline on this machine
    Run(commands::run::Run),
    /// Check settings, playbook and credentials; changes nothing anywhere
    Check(commands::check::Check),
    /// Tell the life of one alert: seen, enriched, decided, done, told
    Explain(commands::explain::Explain),
}

/// Options of every command that reports.
#[derive(Debug, Clone, Copy, Args)]
struct Reporting {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// How a command ended.
#[derive(Debug)]
enum Ending {
    Done,
    /// What needs attention, a sentence each.
    Attention(Vec<String>),
    /// What is wrong with the settings or the usage, a sentence each.
    Settings(Vec<String>),
}

impl Ending {
    fn attention(what: impl Into<String>) -> Ending {
        Ending::Attention(vec![what.into()])
    }

    fn settings(what: impl Into<String>) -> Ending {
        Ending::Settings(vec![what.into()])
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut vars = Vars::from_process();
    if let Some(file) = &cli.env_file {
        let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
        match read.and_then(|text| Vars::parse_file(&text)) {
            Ok(more) => vars.add_defaults(more),
            Err(why) => return report(Ending::settings(format!("--env-file {}: {why}", file.display()))),
        }
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Ending::attention(format!("cannot start: {error}"))),
    };
    let default_log = match &cli.command {
        Command::Run(run) if !run.once => "info",
        _ => "off",
    };
    start_logging(&vars, default_log);
    report(runtime.block_on(async {
        match cli.command {
            Command::Demo(demo) => demo.run().await,
            Command::Run(run) => Box::pin(run.run(&vars)).await,
            Command::Check(check) => check.run(&vars).await,
            Command::Explain(explain) => explain.run(&vars).await,
        }
    }))
}

/// Logs go to standard error: standard output belongs to what a command reports.
fn start_logging(vars: &Vars, default: &str) {
    let filter = tracing_subscriber::EnvFilter::new(vars.get("RUST_LOG").unwrap_or(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn report(ending: Ending) -> ExitCode {
    let (code, sentences) = match ending {
        Ending::Done => (0, Vec::new()),
        Ending::Attention(sentences) => (1, sentences),
        Ending::Settings(sentences) => (2, sentences),
    };
    for sentence in sentences {
        show::error(&format!("cordon: {sentence}"));
    }
    ExitCode::from(code)
}
