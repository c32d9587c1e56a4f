//! `cordon held`: what a limit, a breaker or a pause holds back, the most severe first; and what a person does with it.
//!
//! To let a case go on is an order, by which respond judges it anew. To drop it is written here, and nothing else.

use crate::{
    Ending, Reporting, clock,
    commands::release::{give, not_after},
    desk::{At, Desk},
    person::{ByHand, Waiting},
    show,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::{AlertId, Cause, EffectRequested, Wanted, one_line};
use ports::{CaseRow, Held as HeldRow, Stored};
use serde::Serialize;

/// How often a case is tried that somebody else is writing.
const TRIES: u32 = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon held
  cordon held run da637308392288907382_-880718168 --comment \"real, go on\"
  cordon held run --all --comment \"limits raised, real incident\"
  cordon held drop --all --comment \"the detection rule was wrong\"

A held case is judged anew before it goes on, and is held again where a limit, a breaker or a pause still stands against
it: see `cordon limits` and `cordon resume`. After 24 hours it lapses, and people are told.")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Held {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let held cases go on: each is judged anew first
    #[command(after_help = "\
Examples:
  cordon held run da637308392288907382_-880718168 --comment \"real, go on\"
  cordon held run --all --comment \"limits raised, real incident\"

The limits, breakers and the pause stand against it as before: raise or close those first.")]
    Run(Go),
    /// Give held cases up: nothing is done about them, and nobody is told
    #[command(after_help = "\
Examples:
  cordon held drop da637308392288907382_-880718168 --comment \"false positive\"
  cordon held drop --all --comment \"the detection rule was wrong\"

Who dropped a case and why is kept with it: `cordon explain ALERT_ID`.")]
    Drop(Give),
}

#[derive(Debug, Args)]
struct Go {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Args)]
struct Give {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The alerts whose cases are meant
    #[arg(value_name = "ALERT_ID")]
    alerts: Vec<AlertId>,
    /// Every case that is held now
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    held: Vec<HeldRow>,
}

#[derive(Debug, Serialize)]
struct Dropped {
    dropped: Vec<HeldRow>,
}

impl Held {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        match self.what {
            None => list(at, self.reporting).await,
            Some(What::Run(go)) => Box::pin(go.run(at)).await,
            Some(What::Drop(give)) => give.run(at).await,
        }
    }
}

/// All that is held, the most severe first.
pub(crate) async fn all(desk: &Desk, now: Timestamp) -> Result<Vec<HeldRow>, Ending> {
    let rows = desk.state.query_all::<HeldRow>(&HeldRow::partition(&desk.tenant), "held#", now).await?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

async fn list(at: &At<'_>, reporting: Reporting) -> Result<Ending, Ending> {
    let desk = at.look().await?;
    let now = clock::now();
    let held = all(&desk, now).await?;
    if reporting.json {
        show::json(&Listed { held });
        return Ok(Ending::Done);
    }
    if held.is_empty() {
        show::line("Nothing is held.");
        return Ok(Ending::Done);
    }
    let rows: Vec<[String; 6]> = held.iter().map(|held| row(held, now)).collect();
    show::table(["SEVERITY", "HELD FOR", "DEVICE", "DEVICE ID", "ALERT", "TITLE"], &rows);
    let mut gates: Vec<&str> = held.iter().map(|held| held.gate.as_str()).collect();
    gates.sort_unstable();
    gates.dedup();
    show::line("");
    for gate in gates {
        let count = held.iter().filter(|held| held.gate == gate).count();
        show::line(&format!("{count} held back: {}", one_line(gate, 300)));
    }
    show::line("`cordon held run ALERT_ID --comment …` lets one go on, `cordon held drop …` gives it up.");
    Ok(Ending::Done)
}

fn row(held: &HeldRow, now: Timestamp) -> [String; 6] {
    let severity = held.severity.as_ref().map_or("unknown", |severity| severity.as_str());
    [
        one_line(severity, 14),
        show::span(now.duration_since(held.since)),
        one_line(held.device_name.as_deref().unwrap_or("without a name"), 40),
        held.device.to_string(),
        held.alert.to_string(),
        one_line(&held.title, 60),
    ]
}

impl Which {
    /// The cases that are meant. Fails, with nothing done, where one of the alerts is not held.
    async fn find(&self, desk: &Desk, now: Timestamp) -> Result<Vec<HeldRow>, Ending> {
        let held = all(desk, now).await?;
        if self.all {
            return Ok(held);
        }
        let is_held = |alert: &&AlertId| held.iter().any(|held| held.alert == **alert);
        let not: Vec<String> = self
            .alerts
            .iter()
            .filter(|alert| !is_held(alert))
            .map(|alert| {
                format!(
                    "no case of the alert `{alert}` is held: nothing was done; `cordon held` lists what is, and \
                     `cordon explain {alert}` says what became of this one"
                )
            })
            .collect();
        if !not.is_empty() {
            return Err(Ending::Attention(not));
        }
        Ok(held.into_iter().filter(|held| self.alerts.contains(&held.alert)).collect())
    }
}

impl Go {
    async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let now = clock::now();
        let desk = at.act().await?;
        let held = self.which.find(&desk, now).await?;
        if held.is_empty() && !self.reporting.json {
            show::line("Nothing is held.");
            return Ok(Ending::Done);
        }
        let by = self.by_hand.who(at.vars);
        let order = |held: HeldRow| EffectRequested {
            wanted: Wanted::Isolate { isolation_type: None, even_so: false },
            device: held.device,
            cause: Cause::Held,
            alert: Some(held.alert),
            claim: None,
            by: by.clone(),
            why: self.by_hand.comment.clone(),
            not_after: not_after(now),
        };
        give(at, &desk, held.into_iter().map(order).collect(), self.waiting, self.reporting, now).await
    }
}

impl Give {
    async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.act().await?;
        let now = clock::now();
        let note = format!("dropped by {}: {}", self.by_hand.who(at.vars), self.by_hand.comment);
        let mut dropped = Vec::new();
        for held in self.which.find(&desk, now).await? {
            if drop_case(&desk, &held, &note, now).await? {
                dropped.push(held);
            }
        }
        if self.reporting.json {
            show::json(&Dropped { dropped });
            return Ok(Ending::Done);
        }
        for held in &dropped {
            let name = one_line(held.device_name.as_deref().unwrap_or("without a name"), 80);
            show::line(&format!("dropped: {} on {name} ({})", held.alert, held.device));
        }
        show::line(&format!("{} case(s) dropped.", dropped.len()));
        Ok(Ending::Done)
    }
}

/// Gives one case up. False where it went on meanwhile.
async fn drop_case(desk: &Desk, held: &HeldRow, note: &str, now: Timestamp) -> Result<bool, Ending> {
    let key = CaseRow::key(&desk.tenant, &held.alert, Some(&held.device));
    for _ in 0..TRIES {
        let before: Option<Stored<CaseRow>> = desk.state.get(&key, now).await?;
        let Some(before) = before.filter(|case| case.value.held.is_some()) else { return Ok(false) };
        // Nobody is told: a person has decided it.
        let row = before.value.given_up(note.to_owned(), now);
        let writes = row.writes(&desk.tenant, Some(&before), now)?;
        if desk.commit(&writes, now).await? {
            return Ok(true);
        }
    }
    Err(Ending::attention(format!("the case of `{}` is being written all the time: try again", held.alert)))
}
