//! `cordon dead-letters`: what was set aside and why, and the way back into its queue.
//!
//! To redrive is safe at any time: whatever is worked on late is judged anew. What is dropped is gone but for a record of
//! who dropped it and why. Command lines are left out of what is printed, as everywhere.

use crate::{
    Ending, Reporting, clock,
    desk::{At, Desk},
    person::ByHand,
    show,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::one_line;
use ports::{DeadLetter, Dropped, Expect, MAX_COMMIT, QueueError, QueueName, RedriveError, Telling, Write};
use serde::Serialize;
use serde_json::Value;

/// How many of those that were dropped are shown.
const LAST: usize = 50;

/// The most of a dead letter's reason that its record keeps, in characters.
const MAX_REASON: usize = 1_000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon dead-letters
  cordon dead-letters show 17
  cordon dead-letters redrive 17 18
  cordon dead-letters redrive --all
  cordon dead-letters drop 17 --comment \"a record of a test tenant\"
  cordon dead-letters --dropped        who has dropped which, and why

Find out why first: the reason stands with each. On a stack, each look hides them from others for a moment.")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    what: Option<What>,
    /// Those that were dropped in the last 200 days instead: the last 50, who dropped them, and why
    #[arg(long)]
    dropped: bool,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show one with its reason and what it says
    #[command(after_help = "\
Examples:
  cordon dead-letters show 17
  cordon dead-letters show 17 --json")]
    Show(Show),
    /// Put some back into their queues
    #[command(after_help = "\
Examples:
  cordon dead-letters redrive 17 18
  cordon dead-letters redrive --all

It is safe at any time: what is worked on late is judged anew, and an order that has lapsed does nothing.")]
    Redrive(Redrive),
    /// Drop some for good
    #[command(after_help = "\
Examples:
  cordon dead-letters drop 17 --comment \"a record of a test tenant\"
  cordon dead-letters drop 17 18 --comment \"looked at, nothing in them\"

They are gone then, but for who dropped them and why: `cordon dead-letters --dropped`. `cordon dead-letters show ID >FILE`
keeps a copy.")]
    Drop(Drop),
}

#[derive(Debug, Args)]
struct Show {
    /// The dead letter's id, as `cordon dead-letters` gives it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Args)]
struct Redrive {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Their ids, as `cordon dead-letters` gives them
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All that can go back
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct Drop {
    /// Their ids, as `cordon dead-letters` gives them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    reporting: Reporting,
}

/// A dead letter as it is shown.
#[derive(Debug, Serialize)]
struct Letter {
    id: String,
    queue: &'static str,
    since: Timestamp,
    reason: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Report {
    dead_letters: Vec<Letter>,
}

#[derive(Debug, Serialize)]
struct Gone {
    dropped: Vec<Dropped>,
}

/// What was done with which, by their ids.
#[derive(Debug, Default, Serialize)]
struct Done {
    redriven: Vec<String>,
    dropped: Vec<String>,
    left: Vec<String>,
}

impl DeadLetters {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        match self.what {
            None if self.dropped => list_dropped(at, self.reporting).await,
            None => list(at, self.reporting).await,
            Some(What::Show(show)) => show.run(at).await,
            Some(What::Redrive(redrive)) => redrive.run(at).await,
            Some(What::Drop(drop)) => drop.run(at).await,
        }
    }
}

/// Every dead letter of every queue.
async fn all(desk: &Desk) -> Result<Vec<DeadLetter>, QueueError> {
    Ok(desk.all_dead().await?.into_iter().flat_map(|(_, letters)| letters).collect())
}

/// Those with these ids. Fails, with nothing done, where one of them is not there.
async fn these(desk: &Desk, ids: &[String]) -> Result<Vec<DeadLetter>, Ending> {
    let letters = all(desk).await?;
    let is_there = |id: &&String| letters.iter().any(|letter| letter.id == **id);
    let not: Vec<String> = ids
        .iter()
        .filter(|id| !is_there(id))
        .map(|id| {
            format!(
                "there is no dead letter `{}`: nothing was done; `cordon dead-letters` lists them",
                one_line(id, 80)
            )
        })
        .collect();
    if !not.is_empty() {
        return Err(Ending::Attention(not));
    }
    Ok(letters.into_iter().filter(|letter| ids.contains(&letter.id)).collect())
}

async fn list(at: &At<'_>, reporting: Reporting) -> Result<Ending, Ending> {
    let desk = at.look().await?;
    let letters = all(&desk).await?;
    let shown: Vec<Letter> = letters.iter().map(|letter| shown(letter, false)).collect();
    if reporting.json {
        show::json(&Report { dead_letters: shown });
    } else if shown.is_empty() {
        show::line("Nothing was set aside.");
    } else {
        let row = |letter: &Letter| {
            let Letter { id, queue, since, reason, kind, .. } = letter;
            [id.clone(), (*queue).to_owned(), show::time(*since), one_line(kind, 20), one_line(reason, 160)]
        };
        show::table(["ID", "QUEUE", "SINCE", "KIND", "REASON"], &shown.iter().map(row).collect::<Vec<_>>());
    }
    Ok(Ending::Done)
}

/// What was dropped, the latest first.
async fn list_dropped(at: &At<'_>, reporting: Reporting) -> Result<Ending, Ending> {
    let desk = at.look().await?;
    let partition = Dropped::partition(&desk.tenant);
    let rows = desk.state.query_all::<Dropped>(&partition, "dropped#", clock::now()).await?;
    let dropped: Vec<Dropped> = rows.into_iter().rev().take(LAST).map(|row| row.value).collect();
    if reporting.json {
        show::json(&Gone { dropped });
    } else if dropped.is_empty() {
        show::line("Nothing was dropped.");
    } else {
        let row = |gone: &Dropped| {
            let [queue, letter, by] = [&gone.queue, &gone.letter, &gone.by].map(|text| one_line(text, 80));
            [show::time(gone.at), queue, letter, by, one_line(&gone.why, 300), one_line(&gone.reason, 160)]
        };
        let head = ["DROPPED", "QUEUE", "ID", "BY", "WHY", "REASON"];
        show::table(head, &dropped.iter().map(row).collect::<Vec<_>>());
    }
    Ok(Ending::Done)
}

fn shown(letter: &DeadLetter, with_body: bool) -> Letter {
    let body: Value =
        serde_json::from_str(&letter.body).unwrap_or_else(|_| Value::String(letter.body.clone()));
    let kind = body.get("kind").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    Letter {
        id: letter.id.clone(),
        queue: letter.queue.as_str(),
        since: letter.since,
        reason: letter.reason.clone(),
        kind,
        body: with_body.then(|| without_command_lines(body)),
    }
}

impl Show {
    async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.look().await?;
        for letter in these(&desk, std::slice::from_ref(&self.id)).await? {
            let letter = shown(&letter, true);
            if self.reporting.json {
                show::json(&letter);
            } else {
                tell(&letter);
            }
        }
        Ok(Ending::Done)
    }
}

fn tell(letter: &Letter) {
    show::line(&format!("Dead letter {}", one_line(&letter.id, 80)));
    show::line(&format!("  queue   {}", letter.queue));
    show::line(&format!("  since   {}", show::time(letter.since)));
    show::line(&format!("  reason  {}", one_line(&letter.reason, 1_000)));
    show::line("  body");
    // Pretty-printed JSON has its line breaks outside of strings; within them they are escaped.
    let body =
        letter.body.as_ref().and_then(|body| serde_json::to_string_pretty(body).ok()).unwrap_or_default();
    for line in body.lines() {
        let depth = line.chars().take_while(|c| *c == ' ').count();
        show::line(&format!("    {}{}", " ".repeat(depth), one_line(line, 2_000)));
    }
}

/// What is printed is copied into tickets, and command lines hold passwords. Text within text is looked through as well;
/// one that cannot be read is left out.
fn without_command_lines(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let is_command_line = name.to_ascii_lowercase().replace('_', "").contains("commandline");
                    let value = match value {
                        Value::String(text) if is_command_line => left_out(&text),
                        Value::String(text) if name == "body" => within(&text),
                        other => without_command_lines(other),
                    };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_command_lines).collect()),
        other => other,
    }
}

/// A record that never became a message, kept as it came.
fn within(text: &str) -> Value {
    serde_json::from_str(text).map_or_else(|_| left_out(text), without_command_lines)
}

fn left_out(text: &str) -> Value {
    Value::String(format!("[left out: {} characters]", text.chars().count()))
}

impl Redrive {
    async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.act().await?;
        let letters = if self.which.all { all(&desk).await? } else { these(&desk, &self.which.ids).await? };
        let mut done = Done::default();
        let mut attention = Vec::new();
        for letter in letters {
            if letter.queue == QueueName::ActionsTaken {
                let now = clock::now();
                let writes = Telling::forgetting(&desk.state, &desk.tenant, &letter.body, now).await?;
                for some in writes.chunks(MAX_COMMIT) {
                    desk.must_commit(some, now).await?;
                }
            }
            match desk.queue.redrive(letter.queue, &letter.id, clock::now()).await {
                Ok(true) => done.redriven.push(letter.id),
                // Somebody else was faster.
                Ok(false) => {}
                // Who asks for all of them means all that can go back.
                Err(RedriveError::NeverAMessage) if self.which.all => done.left.push(letter.id),
                Err(error) => {
                    let id = one_line(&letter.id, 80);
                    attention.push(format!("`{id}`: {}", super::run::chain(&error)));
                    done.left.push(letter.id);
                }
            }
        }
        report(&done, self.reporting);
        Ok(Ending::of(attention))
    }
}

impl Drop {
    async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.act().await?;
        let mut done = Done::default();
        for letter in these(&desk, &self.ids).await? {
            if self.drop_one(at, &desk, &letter).await? {
                done.dropped.push(letter.id);
            }
        }
        report(&done, self.reporting);
        Ok(Ending::Done)
    }

    /// The record is written first: between the two lies a record of what is still there, never a letter that is gone
    /// without a trace. False where somebody else was faster; then it is theirs to record.
    async fn drop_one(&self, at: &At<'_>, desk: &Desk, letter: &DeadLetter) -> Result<bool, Ending> {
        let now = clock::now();
        let record = self.record(at, letter, now);
        let key = record.key(&desk.tenant);
        let write = Write::put(key.clone(), &record, Expect::Any, Dropped::expires(now))?;
        desk.must_commit(&[write], now).await?;
        let why = format!("{}: {}", record.by, record.why);
        let is_dropped = desk.queue.drop_dead(letter.queue, &letter.id, &why, now).await?;
        if !is_dropped {
            desk.must_commit(&[Write::Delete { key, expect: Expect::Any }], now).await?;
        }
        Ok(is_dropped)
    }

    fn record(&self, at: &At<'_>, letter: &DeadLetter, now: Timestamp) -> Dropped {
        Dropped {
            at: now,
            by: self.by_hand.who(at.vars),
            why: self.by_hand.comment.clone(),
            reason: one_line(&letter.reason, MAX_REASON),
            queue: letter.queue.to_string(),
            letter: letter.id.clone(),
        }
    }
}

fn report(done: &Done, reporting: Reporting) {
    if reporting.json {
        return show::json(done);
    }
    let said = [("put back into its queue", &done.redriven), ("dropped", &done.dropped)];
    for (what, ids) in said {
        ids.iter().for_each(|id| show::line(&format!("{}: {what}", one_line(id, 80))));
    }
    for id in &done.left {
        let id = one_line(id, 80);
        show::line(&format!("{id}: left where it is (`cordon dead-letters show {id}`)"));
    }
    if done.redriven.is_empty() && done.dropped.is_empty() && done.left.is_empty() {
        show::line("There was nothing to do.");
    }
}
