//! Refreshes the device cache in bulk before alerts are announced, so that a storm costs a call or two instead
//! of one per device.
//!
//! Best effort: a device that is not refreshed here is read by `enrich`, one by one.

use crate::{Poll, read::lighter};
use jiff::Timestamp;
use model::{Device, DeviceId};
use ports::{DeviceRow, Expect, Key, MAX_COMMIT, StateError, Stored, Write};
use std::collections::{BTreeSet, HashMap};

/// Up to so many missing devices are cheaper to read one by one.
const FEW: usize = 5;

/// The most pages of the device list that one poll reads.
const MAX_PAGES: usize = 10;

/// The most devices of the list that are kept in mind for the next page of alerts.
const MAX_KEPT: usize = 20_000;

/// What one poll has read of the device list: it is read at most once, however many pages of alerts there are.
#[derive(Debug)]
pub(crate) struct Fleet {
    kept: HashMap<DeviceId, Device>,
    /// Where the list goes on; none when it has been read, or reading it failed.
    next_skip: Option<usize>,
    pages: usize,
}

impl Default for Fleet {
    fn default() -> Fleet {
        Fleet { kept: HashMap::new(), next_skip: Some(0), pages: 0 }
    }
}

impl Poll {
    pub(crate) async fn refresh_devices(
        &self,
        wanted: BTreeSet<DeviceId>,
        fleet: &mut Fleet,
        now: Timestamp,
    ) {
        let mut missing = match self.missing(wanted, now).await {
            Ok(missing) => missing,
            Err(error) => return tracing::warn!(%error, "the device cache could not be read"),
        };
        let mut found: Vec<Device> = missing.iter().filter_map(|id| fleet.kept.remove(id)).collect();
        found.iter().for_each(|device| _ = missing.remove(&device.id));
        while missing.len() > FEW
            && fleet.pages < MAX_PAGES
            && let Some(from) = fleet.next_skip
        {
            fleet.pages += 1;
            fleet.next_skip = None;
            match self.reader.machines(from, lighter(now)).await {
                Ok(page) => {
                    if let Some(first) = page.unreadable.first() {
                        tracing::warn!(%first, count = page.unreadable.len(), "devices without a usable id in the list");
                    }
                    fleet.next_skip = page.next_skip;
                    for device in page.devices {
                        if missing.remove(&device.id) {
                            found.push(device);
                        } else if fleet.kept.len() < MAX_KEPT {
                            fleet.kept.insert(device.id.clone(), device);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "the device list could not be read"),
            }
        }
        if let Err(error) = self.keep(found, now).await {
            tracing::warn!(%error, "the device cache could not be written");
        }
    }

    /// The wanted devices that are not in the cache, or not fresh.
    async fn missing(
        &self,
        wanted: BTreeSet<DeviceId>,
        now: Timestamp,
    ) -> Result<BTreeSet<DeviceId>, StateError> {
        let keys: Vec<Key> = wanted.iter().map(|id| DeviceRow::key(&self.tenant, id)).collect();
        let known: Vec<Option<Stored<DeviceRow>>> = self.state.batch_get(&keys, now).await?;
        let is_fresh =
            |row: &Option<Stored<DeviceRow>>| row.as_ref().is_some_and(|row| row.value.is_fresh(now));
        Ok(wanted.into_iter().zip(known).filter(|(_, row)| !is_fresh(row)).map(|(id, _)| id).collect())
    }

    async fn keep(&self, devices: Vec<Device>, now: Timestamp) -> Result<(), crate::PollError> {
        let write = |device: Device| {
            let key = DeviceRow::key(&self.tenant, &device.id);
            Write::put(key, &DeviceRow { device, observed_at: now }, Expect::Any, DeviceRow::expires(now))
        };
        let writes = devices.into_iter().map(write).collect::<Result<Vec<_>, _>>()?;
        for some in writes.chunks(MAX_COMMIT) {
            self.state.commit(some, now).await?;
        }
        Ok(())
    }
}
