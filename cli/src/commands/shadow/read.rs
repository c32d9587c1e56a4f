//! Reads what there is to compare: the isolations that were only observed and the cases from the state, the machine actions
//! and the alerts as they stand from the tenant, in few calls.

use super::compare::{APART, AlertNow, Decided, Judged, Read};
use crate::{
    Ending,
    desk::Desk,
    settings::refused,
    show,
    walk::{Collect, Lack, Walk, call},
};
use defender::{AlertPage, ApiError, Reader, Window};
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use model::{Alert, AlertId, DeviceId, Effect, MachineAction, one_line};
use ports::{CaseRow, Expect, Observed, StateError};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// How far back machine actions are listed: a device that was isolated before may be so still.
const REACH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// So many cases are held in memory at a time: each may weigh some hundred kilobytes.
const AT_ONCE: usize = 100;

/// The alerts of a tenant as far as they are needed.
#[derive(Default)]
struct Listed {
    alerts: BTreeMap<AlertId, AlertNow>,
    on: BTreeSet<(AlertId, DeviceId)>,
    unreadable: usize,
}

/// All of it since a day before `from`, and what of it could not be read, a sentence each.
pub(super) async fn read(
    desk: &Desk,
    reader: &Reader,
    from: Timestamp,
    now: Timestamp,
) -> Result<(Read, Vec<String>), Ending> {
    let before = earlier(from, APART);
    let observed = observed(desk, before, now).await?;
    show::progress("listing machine actions …");
    let actions = actions(reader, earlier(from, REACH)).await?;
    show::progress("listing alerts …");
    let (listed, mut partial) = alerts(reader, Window { from: before, to: now }).await;
    show::progress("");
    if listed.unreadable > 0 {
        partial.push(format!("{} alert(s) of the tenant could not be read", listed.unreadable));
    }
    let is_whole = |action: &MachineAction| action.device.is_some() && action.created.is_some();
    let vague = actions.iter().filter(|action| !is_whole(action)).count();
    if vague > 0 {
        partial.push(format!(
            "{vague} machine action(s) do not say when they were asked for, or for which device"
        ));
    }
    let mut cases = listed.on;
    cases.extend(observed.iter().map(|one| (one.alert.clone(), one.device.clone())));
    let (judged, lost) = judged(desk, &cases, now).await?;
    if lost > 0 {
        partial.push(format!("{lost} case(s) of the state could not be read"));
    }
    Ok((Read { observed, judged, actions, alerts: listed.alerts }, partial))
}

fn earlier(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(at)
}

/// A query for each day.
async fn observed(desk: &Desk, from: Timestamp, now: Timestamp) -> Result<Vec<Observed>, StateError> {
    let date = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let mut all = Vec::new();
    for day in date(from).series(1.day()).take_while(|day| *day <= date(now)) {
        let partition = Observed::partition(&desk.tenant, day);
        let rows = desk.state.query_all::<Observed>(&partition, "observed#", now).await?;
        all.extend(rows.into_iter().map(|row| row.value).filter(|one| one.at >= from));
    }
    Ok(all)
}

/// Without them nothing can be compared.
async fn actions(reader: &Reader, since: Timestamp) -> Result<Vec<MachineAction>, Ending> {
    reader.actions_since(since, call()).await.map_err(|error| match error {
        ApiError::Unauthorized { why, .. } => {
            Ending::settings(format!("{}: {why}", refused(&why, "DEFENDER_")))
        }
        error => Ending::attention(format!("the tenant's machine actions could not be listed: {error}")),
    })
}

/// The alerts of a window, and what of it could not be read, a sentence each.
async fn alerts(reader: &Reader, window: Window) -> (Listed, Vec<String>) {
    let mut listed = Listed::default();
    let mut walk = Walk::new(reader, reader.without_evidence());
    let read = walk.alerts(vec![window], &mut listed).await;
    let stopped = read.err().map(|error| format!("not every alert could be listed: {error}"));
    (listed, walk.missed.into_iter().chain(stopped).collect())
}

impl Collect for Listed {
    fn take(&mut self, page: AlertPage) -> io::Result<()> {
        for alert in page.alerts {
            let device = alert.device.as_ref().and_then(|device| device.id());
            self.on.extend(device.map(|device| (alert.id.clone(), device.clone())));
            let Alert { id, severity, status, classification, .. } = alert;
            self.alerts.insert(id, AlertNow { severity, status, classification });
        }
        Ok(())
    }

    fn has_read(&mut self, _: Window, lack: Lack) -> io::Result<()> {
        self.unreadable += lack.unreadable;
        Ok(())
    }
}

/// What was decided in these cases, and how many of them cannot be read.
async fn judged(
    desk: &Desk,
    cases: &BTreeSet<(AlertId, DeviceId)>,
    now: Timestamp,
) -> Result<(Vec<Judged>, usize), StateError> {
    let keys: Vec<_> =
        cases.iter().map(|(alert, device)| CaseRow::key(&desk.tenant, alert, Some(device))).collect();
    let (mut all, mut lost) = (Vec::new(), 0);
    for keys in keys.chunks(AT_ONCE) {
        for (row, expect) in desk.state.batch_get_readable::<CaseRow>(keys, now).await? {
            match row {
                Some(row) => all.extend(in_short(row.value)),
                None => lost += usize::from(expect != Expect::Absent),
            }
        }
    }
    Ok((all, lost))
}

fn in_short(row: CaseRow) -> Option<Judged> {
    let ids = |notes: Vec<model::PolicyNote>| notes.into_iter().map(|note| note.id).collect();
    let isolating = row.history.into_iter().filter(|entry| entry.effect == Effect::Isolate);
    let decisions = isolating.map(|entry| Decided {
        at: entry.at,
        answer: entry.decision.answer,
        against: ids(entry.decision.forbidden_by),
        doubts: entry.decision.doubts,
    });
    Some(Judged {
        device: row.about?,
        title: one_line(&row.last.alert.title, 200),
        alert: row.last.alert.id,
        decisions: decisions.collect(),
    })
}
