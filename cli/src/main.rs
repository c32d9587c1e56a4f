//! `cordon`: the operator's tool and the local host in one binary.
//!
//! This file reads the command line, hands over to one file per command, and turns the outcome into an exit
//! code: 0 done, 1 something needs attention, 2 bad usage or settings. It is one of the two places that read the
//! clock; everything below takes `now` as an argument.

mod backtest;
mod clock;
mod commands;
mod desk;
mod person;
mod settings;
mod show;
mod summary;
mod walk;

use clap::{Args, Parser, Subcommand};
use credentials::Vars;
use desk::At;
use ports::{QueueError, StateError};
use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

const AFTER_HELP: &str = "\
Settings are environment variables (or NAME=value lines of the file given with --env-file):
  DEFENDER_TENANT_ID, DEFENDER_CLIENT_ID, DEFENDER_CLIENT_SECRET   the app registration that reads
  DEFENDER_ACTOR_CLIENT_ID, DEFENDER_ACTOR_CLIENT_SECRET           the one that acts, if it is another
  DEFENDER_CLOUD            commercial (default), gcc, gcc-high, dod
  DEFENDER_ALERTS_API       where alerts are read: defender (default), graph
  DEFENDER_HUNTING_API      where hunting queries are run: graph (default), defender (ends on 2027-02-01)
  DEFENDER_API_URL, DEFENDER_LOGIN_URL, DEFENDER_AUDIENCE,
  GRAPH_API_URL             overrides; http:// for loopback only
  CORDON_PLAYBOOK           folder of the playbook; default `playbook`
  CORDON_MODE               `observe` always wins; `enforce` overrides the playbook; unset: the playbook decides
  CORDON_STATE              the SQLite file; default `cordon.db`
  CORDON_LOOKBACK           how far back the very first poll reaches; default 15m
  RUST_LOG                  what to log to standard error, such as `info` or `respond=debug`

--stack NAME looks at a deployed stack, or acts through it, instead of this machine's state file. It takes a build with
`--features aws` and AWS's own variables, which may stand in the file as well:
  AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (no profile is read)

Exit codes: 0 done, 1 something needs attention, 2 bad usage or settings.

Start with `cordon demo`: it needs no settings and touches nothing but the folder that it names.";

#[derive(Debug, Parser)]
#[command(name = "cordon", version, about = "Automated response for Microsoft Defender for Endpoint", after_help = AFTER_HELP)]
struct Cli {
    /// Read settings that the environment does not hold from this file (NAME=value lines)
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Look at, and act through, a deployed stack instead of this machine's state file
    #[arg(long, global = true, value_name = "NAME")]
    stack: Option<String>,
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
    /// Decide the cases of the playbook, and say what is not as they expect; changes nothing anywhere
    TestPlaybook(commands::test_playbook::TestPlaybook),
    /// Prove for every possible alert that the playbook keeps its guarantees; changes nothing anywhere
    Prove(commands::prove::Prove),
    /// What the playbook would have done with alerts of the past
    Backtest(commands::backtest::Backtest),
    /// How things stand, on one screen
    Status(commands::status::Status),
    /// Tell the life of one alert: seen, enriched, decided, done, told
    Explain(commands::explain::Explain),
    /// Send a marked sample through a channel, and say what came of it
    NotifyTest(commands::notify_test::NotifyTest),
    /// The playbook's hunting queries: when each ran and runs next, what it found and cost
    Hunts(commands::hunts::Hunts),
    /// Run one hunting query by hand, and print its rows; makes nothing of them
    Hunt(commands::hunt::HuntCommand),
    /// Where what Cordon would have done and what people did in Defender differ
    Shadow(commands::shadow::ShadowCommand),
    /// Who is cut off, since when, why and by whom
    Isolated(commands::isolated::Isolated),
    /// Isolate a device by hand, under the same claims and limits
    Isolate(commands::isolate::Isolate),
    /// Give devices their network back
    Release(commands::release::Release),
    /// Stop every isolation; releases still go through
    Pause(commands::pause::Pause),
    /// End a pause
    Resume(commands::pause::Resume),
    /// What limits, breakers or a pause hold back, and the way through
    Held(commands::held::Held),
    /// How many devices may be isolated, and how to let more through for a while
    Limits(commands::limits::LimitsCommand),
    /// What was set aside and why
    DeadLetters(commands::dead_letters::DeadLetters),
}

impl Command {
    /// Whether it has anything to do with a deployed stack.
    fn knows_stacks(&self) -> bool {
        !matches!(
            self,
            Command::Backtest(_)
                | Command::Demo(_)
                | Command::Hunt(_)
                | Command::Prove(_)
                | Command::Run(_)
                | Command::TestPlaybook(_)
        )
    }
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

    /// Done, unless something needs attention.
    fn of(attention: Vec<String>) -> Ending {
        if attention.is_empty() { Ending::Done } else { Ending::Attention(attention) }
    }
}

impl From<StateError> for Ending {
    fn from(error: StateError) -> Ending {
        Ending::attention(commands::run::chain(&error))
    }
}

impl From<QueueError> for Ending {
    fn from(error: QueueError) -> Ending {
        Ending::attention(commands::run::chain(&error))
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
    if cli.stack.is_some() && !cli.command.knows_stacks() {
        return report(Ending::settings(
            "--stack is for the commands that look at or act through a deployment",
        ));
    }
    let at = At { vars: &vars, stack: cli.stack.as_deref() };
    let ended = runtime.block_on(Box::pin(run(cli.command, at)));
    report(ended.unwrap_or_else(|ending| ending))
}

/// A command; both sides of the answer are how it ended.
async fn run(command: Command, at: At<'_>) -> Result<Ending, Ending> {
    match command {
        Command::Demo(demo) => Ok(demo.run().await),
        Command::Run(run) => Ok(Box::pin(run.run(at.vars)).await),
        Command::Check(check) => Box::pin(check.run(&at)).await,
        Command::TestPlaybook(test) => test.run(&at),
        Command::Prove(prove) => prove.run(&at),
        Command::Backtest(backtest) => Box::pin(backtest.run(&at)).await,
        Command::Status(status) => Box::pin(status.run(&at)).await,
        Command::Explain(explain) => explain.run(&at).await,
        Command::NotifyTest(test) => Box::pin(test.run(&at)).await,
        Command::Hunts(hunts) => hunts.run(&at).await,
        Command::Hunt(hunt) => Box::pin(hunt.run(&at)).await,
        Command::Shadow(shadow) => Box::pin(shadow.run(&at)).await,
        Command::Isolated(isolated) => isolated.run(&at).await,
        Command::Isolate(isolate) => Box::pin(isolate.run(&at)).await,
        Command::Release(release) => Box::pin(release.run(&at)).await,
        Command::Pause(pause) => pause.run(&at).await,
        Command::Resume(resume) => resume.run(&at).await,
        Command::Held(held) => Box::pin(held.run(&at)).await,
        Command::Limits(limits) => limits.run(&at).await,
        Command::DeadLetters(letters) => letters.run(&at).await,
    }
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
