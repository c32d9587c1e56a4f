//! `cordon explain ALERT_ID`: the life of one alert and how its last decision came about, told from the state alone.
//!
//! It asks the tenant nothing, and works while a `cordon run` has the state open. The playbook here is read for reasons and
//! for what would have changed the decision; without it the rest is told.

mod gates;
mod why;

use crate::{
    Ending, Reporting, clock,
    commands::{isolate::unknown_alert, isolated::ordered, release::words},
    desk::{At, Desk},
    settings::playbook_folder,
    show,
};
use clap::Args;
use jiff::Timestamp;
use model::{AlertId, Decision, Effect, EffectState, FirstSeen, one_line};
use policy::Playbook;
use ports::{
    Acted, Announced, CaseRow, Claim, DeviceRow, HistoryEntry, StateError, Stored, Telling, Told,
    alert_partition,
};
use serde::Serialize;
use why::Why;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon explain da637308392288907382_-880718168
  cordon explain --json da637308392288907382_-880718168
  cordon explain ALERT_ID --stack cordon

It tells of the last decision how every gate stood, which policies spoke, what they could see and how old that was, and the
smallest changes that would have changed it; the latter only where the playbook here (CORDON_PLAYBOOK) is the one that has
decided. It reads the state (CORDON_STATE) alone, also while a `cordon run` goes on, and asks the tenant nothing.")]
pub(crate) struct Explain {
    /// The alert's id, as Defender and the mails give it; `hunt-…` for what a hunt has found
    #[arg(value_name = "ALERT_ID", allow_hyphen_values = true)]
    alert: AlertId,
    #[command(flatten)]
    reporting: Reporting,
}

/// Everything that the state knows of an alert.
#[derive(Debug, Serialize)]
struct Life {
    alert: AlertId,
    /// What poll has announced of it; none of what a hunt has found.
    announced: Option<Announced>,
    cases: Vec<Case>,
    told: Vec<Told>,
    /// What channels are still to be told, and what stands against it.
    untold: Vec<Telling>,
}

/// What became of it on one device.
#[derive(Debug, Serialize)]
struct Case {
    #[serde(flatten)]
    row: CaseRow,
    /// The device as it was last read, and when.
    device: Option<DeviceRow>,
    /// The claim on the device as it stands now.
    claim: Option<Claim>,
    /// That this alert has had the device isolated: it does so once.
    acted: Option<Acted>,
    /// How the last decision came about.
    why: Why,
}

impl Explain {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.look().await?;
        let playbook = Playbook::read(&playbook_folder(at.vars)).ok();
        let Some(mut life) = life(&desk, &self.alert, playbook.as_ref(), clock::now()).await? else {
            return Err(unknown_alert(&desk, &self.alert));
        };
        life.cases.iter_mut().for_each(leave_out_command_lines);
        if self.reporting.json {
            show::json(&life);
        } else {
            tell(&life);
        }
        Ok(Ending::Done)
    }
}

async fn life(
    desk: &Desk,
    alert: &AlertId,
    playbook: Option<&Playbook>,
    now: Timestamp,
) -> Result<Option<Life>, StateError> {
    let Desk { tenant, state, .. } = desk;
    let announced: Option<Stored<Announced>> = state.get(&Announced::key(tenant, alert), now).await?;
    let announced = announced.map(|announced| announced.value);
    let partition = alert_partition(tenant, alert);
    let rows: Vec<Stored<CaseRow>> = state.query_all(&partition, "case#", now).await?;
    if announced.is_none() && rows.is_empty() {
        return Ok(None);
    }
    let mut cases = Vec::new();
    for row in rows {
        let (mut device, mut claim, mut acted) = (None, None, None);
        if let Some(id) = &row.value.about {
            device = desk.device(id, now).await?;
            claim = state.get::<Claim>(&Claim::key(tenant, id), now).await?.map(|row| row.value);
            acted = state.get::<Acted>(&Acted::key(tenant, alert, id), now).await?.map(|row| row.value);
        }
        let seen = announced.as_ref().map_or_else(|| found(&row.value), |announced| announced.first_seen);
        let why = Why::of(&row.value, seen, playbook);
        cases.push(Case { row: row.value, device, claim, acted, why });
    }
    let mut told: Vec<Told> =
        state.query_all::<Told>(&partition, "told#", now).await?.into_iter().map(|told| told.value).collect();
    told.sort_by_key(|told| told.at);
    let untold = state.query_all::<Telling>(&partition, "telling-", now).await?;
    let untold = untold.into_iter().map(|telling| telling.value).collect();
    Ok(Some(Life { alert: alert.clone(), announced, cases, told, untold }))
}

/// When a hunt has found it, and in which mode: that of its first decision.
fn found(row: &CaseRow) -> FirstSeen {
    let mode = row.history.first().map_or(row.last.decision.mode, |first| first.decision.mode);
    FirstSeen { at: row.last.alert.created.unwrap_or(row.decided_at), mode }
}

/// Command lines hold passwords, and what is printed is copied into tickets. The mails show them, masked.
fn leave_out_command_lines(case: &mut Case) {
    for evidence in &mut case.row.last.alert.evidence {
        if let Some(line) = &mut evidence.command_line {
            *line = format!(
                "[left out: {} characters; the e-mail shows it with secrets masked]",
                line.chars().count()
            );
        }
    }
}

fn tell(life: &Life) {
    show::line(&format!("Alert {}", life.alert));
    if let Some(Announced { first_seen: seen, revisions, evidence }) = &life.announced {
        show::line(&format!(
            "  seen      {} while the mode was `{}`; {} revision(s), {} piece(s) of evidence",
            show::time(seen.at),
            seen.mode.as_str(),
            revisions.len(),
            evidence.len()
        ));
    }
    if life.cases.is_empty() {
        show::line("  decided   not yet");
    }
    for case in &life.cases {
        tell_case(case);
    }
    for told in &life.told {
        show::line(&format!(
            "  told      {}  {}: {}",
            show::time(told.at),
            told.channel,
            one_line(&told.subject, 100)
        ));
    }
    life.untold.iter().for_each(tell_untold);
    if life.told.is_empty() {
        show::line("  told      nobody");
    }
}

/// A channel that was not told yet: it waits for a digest, was tried and did not take it, or is about to be told.
fn tell_untold(telling: &Telling) {
    let channel = one_line(&telling.channel, 60);
    let tries = match telling.tries {
        0 => String::new(),
        1 => "tried once: ".to_owned(),
        tries => format!("tried {tries} times: "),
    };
    let why = telling.why.as_deref().map_or("it is being told".to_owned(), |why| one_line(why, 300));
    let end = if telling.given_up { "; given up" } else { "" };
    show::line(&format!("  not told  {channel}: {tries}{why}{end}"));
}

fn tell_case(case: &Case) {
    let alert = &case.row.last.alert;
    let severity = alert.severity.as_ref().map_or("without a severity", |severity| severity.as_str());
    show::line(&format!("  title     {} ({})", one_line(&alert.title, 100), one_line(severity, 30)));
    if let Some(hunted) = &alert.hunted {
        let may = if hunted.may_isolate { "may" } else { "may not" };
        let at = alert.created.map_or_else(|| "at a time not known".to_owned(), show::time);
        show::line(&format!(
            "  found     {at} by the hunt {}, whose rows {may} cut a device off; Defender has no such alert",
            one_line(&hunted.hunt, 60)
        ));
    }
    match (&case.row.about, &case.device) {
        (Some(id), Some(row)) => {
            let name = row.device.name.as_deref().unwrap_or("without a name");
            let platform = row.device.os_platform.as_deref().unwrap_or("unknown platform");
            show::line(&format!(
                "  device    {} ({}), {id}, read {}",
                one_line(name, 80),
                one_line(platform, 40),
                show::time(row.observed_at)
            ));
        }
        (Some(id), None) => show::line(&format!("  device    {id}, not in the cache")),
        (None, _) => show::line("  device    none that can be acted upon"),
    }
    case.row.history.iter().for_each(tell_entry);
    if let Some(held) = &case.row.held {
        show::line(&format!("  held      since {}: {}", show::time(held.since), one_line(&held.gate, 300)));
        show::line("              `cordon held run` lets it go on, `cordon held drop` gives it up");
    }
    if let Some(acted) = &case.acted {
        let at = show::time(acted.at);
        show::line(&format!("  acted     {at}  the device was isolated on account of this alert, once"));
    }
    if let Some(claim) = &case.claim {
        tell_claim(claim);
    }
    case.why.tell();
}

/// A judgement, or the next state of what was decided or ordered.
fn tell_entry(entry: &HistoryEntry) {
    let state = entry.state.map_or(String::new(), |state| format!(" → {state}"));
    let at = show::time(entry.at);
    let is_release = entry.effect == Effect::Release || entry.state == Some(EffectState::Released);
    if is_release {
        show::line(&format!("  release   {at} {state}"));
    } else {
        show::line(&format!(
            "  decided   {at}  {}{state} (mode `{}`, revision {})",
            entry.decision.answer.as_str(),
            entry.decision.mode.as_str(),
            entry.revision
        ));
        reasons(&entry.decision);
    }
    for note in &entry.notes {
        show::line(&format!("              note: {}", one_line(note, 300)));
    }
    if let Some(action) = &entry.action {
        show::line(&format!("              machine action {action}"));
    }
}

fn tell_claim(claim: &Claim) {
    let account = claim.alert.as_ref().map_or("no alert".to_owned(), |alert| format!("alert {alert}"));
    show::line(&format!(
        "  claim     {} {} since {} (generation {}, for {account})",
        claim.id,
        words(claim.effect, claim.state),
        show::time(claim.changed_at),
        claim.generation,
    ));
    if let Some(order) = &claim.order {
        show::line(&format!("              {}", ordered(order)));
    }
}

fn reasons(decision: &Decision) {
    for note in &decision.permitted_by {
        show::line(&format!("              for:     {} ({})", one_line(&note.reason, 200), note.id));
    }
    for note in &decision.forbidden_by {
        show::line(&format!("              against: {} ({})", one_line(&note.reason, 200), note.id));
    }
    for doubt in &decision.doubts {
        show::line(&format!("              doubt:   {}", one_line(doubt, 300)));
    }
}
