//! Refreshes the device cache in bulk before alerts are announced, so that a storm costs a call or two instead
//! of one per device.
//!
//! Best effort: a device that is not refreshed here is read by `enrich`, one by one.

use crate::{Poll, call};
use jiff::Timestamp;
use model::{Device, DeviceId};
use ports::{DeviceRow, Expect, Key, MAX_COMMIT, Stored, Write};
use std::collections::BTreeSet;

/// Up to so many missing devices are cheaper to read one by one.
const FEW: usize = 5;

/// The most pages of the device list that one poll reads.
const MAX_PAGES: usize = 10;

impl Poll {
    pub(crate) async fn refresh_devices(&self, wanted: BTreeSet<DeviceId>, now: Timestamp) {
        let mut missing = match self.missing(wanted, now).await {
            Ok(missing) => missing,
            Err(error) => return tracing::warn!(%error, "the device cache could not be read"),
        };
        let mut skip = Some(0);
        for _ in 0..MAX_PAGES.min(missing.len()) {
            let Some(from) = skip.filter(|_| missing.len() > FEW) else { return };
            let page = match self.reader.machines(from, call(now)).await {
                Ok(page) => page,
                Err(error) => return tracing::warn!(%error, "the device list could not be read"),
            };
            if let Some(first) = page.unreadable.first() {
                tracing::warn!(%first, count = page.unreadable.len(), "devices without a usable id in the list");
            }
            let found: Vec<Device> = page.devices.into_iter().filter(|device| missing.remove(&device.id)).collect();
            if let Err(error) = self.keep(found, now).await {
                return tracing::warn!(%error, "the device cache could not be written");
            }
            skip = page.next_skip;
        }
    }

    /// The wanted devices that are not in the cache, or not fresh.
    async fn missing(
        &self,
        wanted: BTreeSet<DeviceId>,
        now: Timestamp,
    ) -> Result<BTreeSet<DeviceId>, ports::StateError> {
        let keys: Vec<Key> = wanted.iter().map(|id| DeviceRow::key(&self.tenant, id)).collect();
        let known: Vec<Option<Stored<DeviceRow>>> = self.state.batch_get(&keys, now).await?;
        let is_fresh = |row: &Option<Stored<DeviceRow>>| row.as_ref().is_some_and(|row| row.value.is_fresh(now));
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
