//! `cordon isolated`: who is, or may be, cut off; since when, why and by whom.
//!
//! It tells what the state knows, pending and failed releases among it, and asks the tenant nothing.

use crate::{
    Ending, Reporting, clock,
    commands::release::words,
    desk::{At, Desk},
    show,
};
use clap::Args;
use jiff::Timestamp;
use model::{AlertId, DeviceId, Effect, EffectState, one_line};
use ports::{CaseRow, Claim, Claims, StateError, Stored};
use serde::Serialize;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon isolated
  cordon isolated --json
  cordon isolated --stack cordon

Every device is listed that is, or may be, without its network: isolations that are requested or pending among them, those
of other people that Cordon has found (`adopted`), and devices whose release is not confirmed. It reads the state alone.
`cordon release DEVICE_ID --comment …` gives a device its network back.")]
pub(crate) struct Isolated {
    #[command(flatten)]
    reporting: Reporting,
}

/// One device that is, or may be, cut off.
#[derive(Debug, Serialize)]
struct Row {
    device: DeviceId,
    name: Option<String>,
    effect: Effect,
    state: EffectState,
    /// The same in words.
    stands: String,
    /// When the claim came into this state.
    since: Timestamp,
    /// Whether Cordon has isolated it; else it is somebody else's isolation.
    by_cordon: bool,
    alert: Option<AlertId>,
    title: Option<String>,
    /// The policies that permitted it, by their ids.
    policies: Vec<String>,
    /// Who ordered it and why, where it was an order.
    order: Option<ports::Order>,
    claim: model::ClaimId,
    action: Option<model::ActionId>,
    /// How often its open machine action was looked at, and when the next look is due.
    looks: u32,
    next_look: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Report {
    isolated: Vec<Row>,
}

impl Isolated {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.look().await?;
        let now = clock::now();
        let mut rows = Vec::new();
        for claim in claims(&desk, now).await? {
            rows.push(row(&desk, claim, now).await?);
        }
        rows.sort_by_key(|row| row.since);
        if self.reporting.json {
            show::json(&Report { isolated: rows });
        } else {
            print(&rows, now);
        }
        Ok(Ending::Done)
    }
}

/// The claims on all devices that are, or may be, cut off.
pub(crate) async fn claims(desk: &Desk, now: Timestamp) -> Result<Vec<Claim>, StateError> {
    let claims = Claims { tenant: &desk.tenant, state: &desk.state };
    Ok(claims.cut_off(now).await?.into_iter().map(|claim| claim.value).collect())
}

async fn row(desk: &Desk, claim: Claim, now: Timestamp) -> Result<Row, StateError> {
    let name = desk.device(&claim.device, now).await?.and_then(|row| row.device.name);
    let case = match &claim.alert {
        Some(alert) => {
            let key = CaseRow::key(&desk.tenant, alert, Some(&claim.device));
            desk.state.get(&key, now).await?.map(|case: Stored<CaseRow>| case.value)
        }
        None => None,
    };
    let policies = case.as_ref().map(|case| &case.last.decision.permitted_by);
    Ok(Row {
        name,
        effect: claim.effect,
        state: claim.state,
        stands: words(claim.effect, claim.state),
        since: claim.changed_at,
        by_cordon: claim.isolation.is_some() || claim.counted,
        title: case.as_ref().map(|case| case.last.alert.title.clone()),
        policies: policies.into_iter().flatten().map(|note| note.id.clone()).collect(),
        next_look: claim.is_unsettled().then_some(claim.due),
        device: claim.device,
        alert: claim.alert,
        order: claim.order,
        claim: claim.id,
        action: claim.action,
        looks: claim.looks,
    })
}

fn print(rows: &[Row], now: Timestamp) {
    if rows.is_empty() {
        show::line("No device is cut off, as far as Cordon knows.");
        return;
    }
    for row in rows {
        let name = one_line(row.name.as_deref().unwrap_or("without a name"), 80);
        // The id first: no line of ours begins with a stranger's word.
        show::line(&format!("{}  {name}", row.device));
        let ago = show::span(now.duration_since(row.since));
        show::line(&format!("  {}, since {} ({ago})", row.stands, show::time(row.since)));
        details(row).iter().for_each(|line| show::line(&format!("  {line}")));
    }
    let others = rows.iter().filter(|row| !row.by_cordon).count();
    show::line(&format!("{} device(s), {others} of them by somebody else.", rows.len()));
}

fn details(row: &Row) -> Vec<String> {
    let mut lines = Vec::new();
    if !row.by_cordon {
        lines.push("somebody else's isolation: Cordon does not release it by itself".to_owned());
    }
    if let Some(order) = &row.order {
        lines.push(ordered(order));
    }
    if let Some(alert) = &row.alert {
        let title = one_line(row.title.as_deref().unwrap_or("not in the state any more"), 100);
        lines.push(format!("alert {alert}: {title}"));
    }
    if !row.policies.is_empty() {
        lines.push(format!("permitted by {}", one_line(&row.policies.join(", "), 200)));
    }
    if let Some(action) = &row.action {
        lines.push(format!("machine action {action}"));
    }
    if let Some(next) = row.next_look {
        lines.push(format!("looked at {} time(s), next at {}", row.looks, show::time(next)));
    }
    lines
}

/// Who ordered something and why.
pub(crate) fn ordered(order: &ports::Order) -> String {
    format!(
        "ordered by {} ({}): {}",
        one_line(&order.by, 80),
        crate::desk::cause_word(order.cause),
        one_line(&order.why, 300)
    )
}
