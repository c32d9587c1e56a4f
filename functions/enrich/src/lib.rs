//! The step that adds to an alert what is known of each device that it concerns.
//!
//! It only reads, mostly from state. That a device is not known is a fact for the policy, not a failure.

use defender::{ApiError, Call, Reader};
use jiff::{SignedDuration, Timestamp};
use model::{AlertEnriched, AlertFound, DeviceFact, DeviceId, DeviceRef, Envelope, TenantId, one_line};
use ports::{
    Count, DeviceRow, Disposition, Expect, Queue, QueueError, QueueName, State, Stored, Tally, Write,
};

/// How long one read of the tenant may take, retries included.
const READ_BUDGET: SignedDuration = SignedDuration::from_secs(20);

/// When to come back after our own queue or state failed.
const SOON: SignedDuration = SignedDuration::from_secs(10);

/// For how long a device is asked for before its alert is decided without it.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// The step with all that it needs.
#[derive(Debug, Clone)]
pub struct Enrich {
    pub tenant: TenantId,
    pub reader: Reader,
    pub queue: Queue,
    pub state: State,
    pub tally: Tally,
}

impl Enrich {
    /// Announces the alert once more for each of its devices, with what is known of it. An alert without a
    /// device goes on too: it has to be decided, and a person may have to be told.
    pub async fn handle(&self, message: Envelope<AlertFound>, now: Timestamp) -> Disposition {
        let mut out = Vec::new();
        let found = message.body;
        if found.devices.is_empty() {
            out.push(self.enriched(&found, None, &message.trace, not_known(None), now, now));
        }
        for device in &found.devices {
            let (fact, observed_at) = match device {
                DeviceRef::Unusable(_) => (not_known(Some(device)), now),
                DeviceRef::Id(id) => match self.device(id, found.first_seen.at, now).await {
                    Ok(read) => read,
                    Err(disposition) => return disposition,
                },
            };
            out.push(self.enriched(&found, Some(device), &message.trace, fact, observed_at, now));
        }
        for result in self.queue.send(QueueName::AlertsEnriched, &out, now).await {
            match result {
                Ok(()) => {}
                Err(error @ QueueError::Unavailable(_)) => return soon(error, now),
                Err(error @ QueueError::TooLarge { .. }) => {
                    return Disposition::Reject { reason: error.to_string() };
                }
            }
        }
        self.tally.one(Count::AlertsEnriched);
        Disposition::Done
    }

    fn enriched(
        &self,
        found: &AlertFound,
        about: Option<&DeviceRef>,
        trace: &str,
        device: DeviceFact,
        observed_at: Timestamp,
        now: Timestamp,
    ) -> Envelope<AlertEnriched> {
        let word = match about {
            Some(DeviceRef::Id(id)) => id.as_str(),
            Some(DeviceRef::Unusable(text)) => text,
            None => "none",
        };
        let identity = [found.alert.id.as_str(), found.revision.as_str(), word];
        let body = AlertEnriched { found: found.clone(), about: about.cloned(), device, observed_at };
        Envelope::new(&self.tenant, &identity, trace, now, body)
    }

    /// The device from the cache while it is fresh, or else from the service, with the time at which it was
    /// read.
    async fn device(
        &self,
        id: &DeviceId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(DeviceFact, Timestamp), Disposition> {
        let key = DeviceRow::key(&self.tenant, id);
        let cached: Option<Stored<DeviceRow>> =
            self.state.get(&key, now).await.map_err(|error| soon(error, now))?;
        if let Some(row) = cached.map(|cached| cached.value).filter(|row| row.is_fresh(now)) {
            return Ok((DeviceFact::Known(row.device), row.observed_at));
        }
        let device = match self.reader.machine(id, Call { now, budget: READ_BUDGET }).await {
            Ok(Some(device)) => device,
            Ok(None) => return Ok((not_known(Some(&DeviceRef::Id(id.clone()))), now)),
            Err(error) => return unread(&error, since, now).map(|fact| (fact, now)),
        };
        let row = DeviceRow { device, observed_at: now };
        let write = Write::put(key, &row, Expect::Any, DeviceRow::expires(now));
        let write = write.map_err(|error| Disposition::retry(SOON, error))?;
        self.state.commit(&[write], now).await.map_err(|error| soon(error, now))?;
        Ok((DeviceFact::Known(row.device), now))
    }
}

/// What is to be said of a device that an alert names, or does not name, and that the service does not know.
pub fn not_known(device: Option<&DeviceRef>) -> DeviceFact {
    let why = match device {
        None => "the alert names no device".to_owned(),
        Some(DeviceRef::Unusable(text)) => {
            format!("`{}` is not a machine id (40 hexadecimal digits)", one_line(text, 80))
        }
        Some(DeviceRef::Id(id)) => format!("the service does not know the device {id}"),
    };
    DeviceFact::Unknown { why }
}

/// Something of ours is not available: waiting is not failing, so that no alert becomes a dead letter for it.
fn soon(error: impl std::fmt::Display, now: Timestamp) -> Disposition {
    Disposition::Defer { until: now.checked_add(SOON).unwrap_or(now), why: format!("{error}") }
}

/// What may pass is waited for, for a while; what will not pass is a fact for the policy.
fn unread(error: &ApiError, since: Timestamp, now: Timestamp) -> Result<DeviceFact, Disposition> {
    match error.passes_in().filter(|_| now.duration_since(since) < PATIENCE) {
        Some(wait) => {
            let until = now.checked_add(wait).unwrap_or(Timestamp::MAX);
            Err(Disposition::Defer { until, why: error.to_string() })
        }
        None => Ok(DeviceFact::Unknown { why: format!("the device could not be read: {error}") }),
    }
}
