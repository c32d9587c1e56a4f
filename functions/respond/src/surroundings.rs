//! What Cordon's own state says for the policies, beside alert and device: read only where a policy asks for it, so
//! that a playbook that does not costs nothing.

use crate::{Respond, Stop, Work};
use jiff::Timestamp;
use policy::Surroundings;
use ports::{Brakes, Claim, Key, StateError, Stored};
use serde::de::DeserializeOwned;

impl Respond {
    /// On what the message brought. A row that cannot be read leaves out what it would have said.
    pub(crate) async fn surroundings(&self, work: &Work) -> Result<Surroundings, Stop> {
        let mut known = Surroundings {
            alert_read: Some(work.message.occurred_at),
            device_read: work.message.body.device.known().map(|_| work.message.body.observed_at),
            ..Surroundings::default()
        };
        let asks_for = |word| self.playbook.asks_for(word);
        if asks_for("context.isolationsLastHour") || asks_for("context.isolationsLastDay") {
            let brakes = self.row::<Brakes>(&Brakes::key(&self.tenant), work.now).await?;
            let brakes = brakes.map(Option::unwrap_or_default);
            known.isolations_last_hour = brakes.as_ref().map(|brakes| brakes.used_in_hour(work.now));
            known.isolations_last_day = brakes.as_ref().map(|brakes| brakes.used_in_day(work.now));
        }
        if asks_for("context.openIsolation")
            && let Some(device) = work.device_id()
        {
            let claim = self.row::<Claim>(&Claim::key(&self.tenant, device), work.now).await?;
            known.open_isolation = claim.map(|claim| claim.is_some_and(|claim| claim.is_cut_off()));
        }
        Ok(known)
    }

    /// A row. None where it cannot be read; the inner none where there is none.
    async fn row<R: DeserializeOwned>(&self, key: &Key, now: Timestamp) -> Result<Option<Option<R>>, Stop> {
        match self.state.get::<R>(key, now).await {
            Ok(row) => Ok(Some(row.map(|row: Stored<R>| row.value))),
            Err(StateError::Unreadable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
