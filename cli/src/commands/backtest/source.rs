//! Where the alerts of a backtest come from: a file that somebody names, or the tenant by way of the file that keeps what
//! was read of it. What is missing is said, a sentence each.

use super::Backtest;
use crate::{
    Ending,
    backtest::{Devices, Found, FoundDevices, Kept, Kind, Order, Place, Records, View, fetch},
    commands::{check::reader_of, run::chain},
    settings::{refused, state_file},
    show,
    walk::Stopped,
};
use credentials::{Connection, Problems, Vars};
use defender::ApiError;
use jiff::{SignedDuration, Timestamp};
use model::one_line;
use std::path::{Path, PathBuf};

/// For how long what was read counts as how it stands.
const STANDS: SignedDuration = SignedDuration::from_hours(1);

/// What is judged.
pub(super) struct Past {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// In one sentence.
    pub(super) source: String,
    pub(super) devices: Devices,
    pub(super) found: Found,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    pub(super) without_evidence: usize,
    pub(super) missing: Vec<String>,
}

impl Backtest {
    pub(super) fn of_file(&self, file: &Path, view: View, now: Timestamp) -> Result<Past, Ending> {
        let mut missing = Vec::new();
        let devices = self.devices_of_file(&mut missing)?;
        show::progress("looking through the file …");
        let found = Records { path: file, kind: Kind::Service }.find(view, None, now);
        let found = found.map_err(|why| Ending::settings(format!("--file: {why}")))?;
        if found.places.is_empty() && found.unreadable > 0 {
            return Err(holds_no("--file", file, "alert", found.problem.as_deref()));
        }
        missing.extend(written_at(file).and_then(|at| no_longer_so(view, at, now, "")));
        let at = |place: Option<&Place>| place.map(|place| place.at);
        Ok(Past {
            source: format!("the file {}", file.display()),
            devices,
            from: at(found.places.first()),
            to: at(found.places.last()),
            found,
            without_evidence: 0,
            missing,
            kind: Kind::Service,
            path: file.to_owned(),
        })
    }

    fn devices_of_file(&self, missing: &mut Vec<String>) -> Result<Devices, Ending> {
        let Some(path) = &self.machines else {
            let without = "without --machines every device counts as unknown, and nothing is done to one that is unknown";
            missing.push(without.to_owned());
            return Ok(Devices::new());
        };
        let found = Records { path, kind: Kind::Service }.devices();
        let found = found.map_err(|why| Ending::settings(format!("--machines: {why}")))?;
        if found.devices.is_empty() {
            return Err(holds_no("--machines", path, "device", found.problem.as_deref()));
        }
        missing.extend(unreadable_devices(found.unreadable, found.problem.as_deref()));
        Ok(found.devices)
    }

    pub(super) async fn of_tenant(&self, vars: &Vars, view: View, now: Timestamp) -> Result<Past, Ending> {
        let (mut kept, mut missing) = self.read_tenant(vars, now).await?;
        missing.extend(no_longer_so(view, kept.order.to, now, ": --fresh reads them anew"));
        let records = Records { path: &kept.path, kind: Kind::Kept };
        let within = (!view.is_as_it_stands()).then_some(kept.order.from..kept.order.to);
        let FoundDevices { devices, unreadable, problem } = records.devices().map_err(Ending::attention)?;
        missing.extend(unreadable_devices(unreadable + kept.unreadable_devices, problem.as_deref()));
        let mut found = records.find(view, within.as_ref(), now).map_err(Ending::attention)?;
        found.unreadable += kept.spans.iter().map(|span| span.unreadable).sum::<usize>();
        let read_at = kept.done.map_or_else(|| "not to its end".to_owned(), show::time);
        let path = std::mem::take(&mut kept.path);
        Ok(Past {
            source: format!("the tenant, read {read_at}; kept in {} (--fresh reads anew)", path.display()),
            devices,
            found,
            from: Some(kept.order.from),
            to: Some(kept.order.to),
            without_evidence: kept.spans.iter().map(|span| span.bare).sum(),
            missing,
            kind: Kind::Kept,
            path,
        })
    }

    /// Reads what is not kept yet; what of it could not be read, a sentence each.
    async fn read_tenant(&self, vars: &Vars, now: Timestamp) -> Result<(Kept, Vec<String>), Ending> {
        let mut problems = Problems::default();
        let connection = Connection::from_vars(vars, None, &mut problems);
        let Some(connection) = connection.filter(|_| problems.is_empty()) else {
            return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
        };
        let reader = reader_of(&connection)?;
        let days = SignedDuration::from_hours(24 * i64::from(self.days));
        let to = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let from = to.checked_sub(days).unwrap_or(Timestamp::MIN);
        let order = Order { tenant: connection.tenant.clone(), days: self.days, from, to };
        let path = self.kept_file(vars);
        let mut kept = Kept::open(&path, &order, self.fresh).map_err(Ending::settings)?;
        let mut missing = match fetch(&reader, &mut kept).await {
            Ok(missed) => missed,
            Err(error) => stopped(&error, &kept)?,
        };
        if !missing.is_empty() {
            missing.push(format!(
                "what was read is kept in {}: the same command goes on there, and reads only what is missing",
                path.display()
            ));
        }
        Ok((kept, missing))
    }

    /// Where what is read of the tenant is kept.
    pub(super) fn kept_file(&self, vars: &Vars) -> PathBuf {
        self.keep.clone().unwrap_or_else(|| state_file(vars).with_file_name("cordon-backtest.jsonl"))
    }
}

fn holds_no(option: &str, path: &Path, what: &str, problem: Option<&str>) -> Ending {
    let path = path.display();
    let why = problem.map(|why| format!(": {why}")).unwrap_or_default();
    Ending::settings(format!("{option}: {path} holds no {what} as Defender's API gives it{why}"))
}

fn unreadable_devices(count: usize, problem: Option<&str>) -> Option<String> {
    let why = one_line(problem.unwrap_or("they have no usable id"), 200);
    let unknown = "such a device counts as unknown, and nothing is done to one that is unknown";
    (count > 0).then(|| format!("{count} device(s) cannot be read ({why}): {unknown}"))
}

/// When a file was written, where the system knows it.
fn written_at(file: &Path) -> Option<Timestamp> {
    file.metadata().and_then(|data| data.modified()).ok()?.try_into().ok()
}

/// That alerts are to be judged as they stand, and are known only as they stood.
fn no_longer_so(view: View, read: Timestamp, now: Timestamp, way_out: &str) -> Option<String> {
    let is_old = view.is_as_it_stands() && now.duration_since(read) > STANDS;
    is_old.then(|| {
        let read = show::time(read);
        format!(
            "the alerts are judged at this moment, but as they stood at {read}, when they were read{way_out}"
        )
    })
}

/// Why reading has stopped before its end. With something to judge, that is a sentence of the report; without, or where a
/// setting is at fault, it is the end.
fn stopped(error: &Stopped, kept: &Kept) -> Result<Vec<String>, Ending> {
    let said = match error {
        Stopped::Service(ApiError::Unauthorized { why, .. }) => {
            return Err(Ending::settings(format!("{}: {why}", refused(why, "DEFENDER_"))));
        }
        Stopped::Service(error @ ApiError::Forbidden(_)) => {
            return Err(Ending::settings(format!(
                "DEFENDER_CLIENT_ID: {error}: the app needs Alert.Read.All and Machine.Read.All (`cordon check`)"
            )));
        }
        Stopped::Service(error) => format!("reading the tenant stopped: {error}"),
        Stopped::File(_) => chain(error),
    };
    if kept.next_devices.is_some() || kept.spans.is_empty() {
        let path = kept.path.display();
        return Err(Ending::attention(format!(
            "{said}; what was read so far is kept in {path}: the same command goes on there"
        )));
    }
    Ok(vec![said])
}
