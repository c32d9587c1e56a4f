//! `cordon pause` and `cordon resume`: the lever that stops every isolation at once.
//!
//! They write the row that is checked in the same commit that lets an isolation through, so that nothing slips past.
//! Releases and cancellations are never stopped.

use crate::{Ending, Reporting, clock, commands::held, desk::At, person::ByHand, show};
use clap::Args;
use model::{Topic, one_line};
use ports::Said;
use serde::Serialize;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon pause --comment \"the new detection rule fires on every laptop\"
  cordon pause --comment \"maintenance\" --by \"Alice, on call\"
  cordon pause --stack cordon --comment \"drill\"

From then on nothing is isolated: cases are held, and `cordon held` shows them. Releases still go through. People are
told. `cordon resume` ends it; nothing ends it by itself.")]
pub(crate) struct Pause {
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon resume --comment \"the rule is mended\"
  cordon resume --comment \"drill over\" --json

What was held meanwhile stays held: `cordon held` shows it, `cordon held run` lets it go on, judged anew.")]
pub(crate) struct Resume {
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    reporting: Reporting,
}

/// How it stands after either command.
#[derive(Debug, Serialize)]
struct Report {
    paused: bool,
    /// Whether this command made it so.
    changed: bool,
    /// Who has paused it, when and why: also where that is over now.
    pause: Option<Said>,
    held: usize,
}

impl Pause {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.act().await?;
        let now = clock::now();
        let said = self.by_hand.said(at.vars, now);
        let before = desk
            .change_brakes(now, |brakes| {
                let before = brakes.pause.clone();
                brakes.pause.get_or_insert_with(|| said.clone());
                Ok(before)
            })
            .await?;
        let changed = before.is_none();
        let pause = before.unwrap_or(said);
        if changed {
            desk.tell(Topic::Paused, vec![of(&pause, "paused")], "it is paused", now).await?;
        }
        let held = held::all(&desk, now).await?.len();
        if self.reporting.json {
            show::json(&Report { paused: true, changed, pause: Some(pause), held });
        } else {
            let already = if changed { "" } else { "Nothing was changed: it is paused already. " };
            show::line(&format!("{already}{}", of(&pause, "paused")));
            show::line("No isolation goes through; releases do. `cordon resume --comment …` ends it.");
            show::line(&format!("{held} case(s) are held (`cordon held`)."));
        }
        Ok(Ending::Done)
    }
}

impl Resume {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.act().await?;
        let now = clock::now();
        let said = self.by_hand.said(at.vars, now);
        let pause = desk.change_brakes(now, |brakes| Ok(brakes.pause.take())).await?;
        let held = held::all(&desk, now).await?.len();
        let waiting =
            format!("{held} case(s) are held, and stay so until a person lets them go on: `cordon held`.");
        if let Some(pause) = &pause {
            let facts = vec![of(&said, "resumed"), of(pause, "it had been paused"), waiting.clone()];
            desk.tell(Topic::Resumed, facts, "it is resumed", now).await?;
        }
        if self.reporting.json {
            show::json(&Report { paused: false, changed: pause.is_some(), pause, held });
            return Ok(Ending::Done);
        }
        match &pause {
            Some(pause) => show::line(&format!("Resumed. {}", of(pause, "it had been paused"))),
            None => show::line("Nothing was changed: it is not paused."),
        }
        show::line(&waiting);
        Ok(Ending::Done)
    }
}

/// Who said something, when and why, in a sentence that begins with what was done.
pub(crate) fn of(said: &Said, done: &str) -> String {
    let mut words = done.chars();
    let done: String =
        words.next().map(|first| first.to_uppercase().chain(words).collect()).unwrap_or_default();
    format!("{done} {}", hand(said))
}

/// Who, when and why.
pub(crate) fn hand(said: &Said) -> String {
    format!("by {} at {}: {}", one_line(&said.by, 80), show::time(said.at), one_line(&said.why, 300))
}
