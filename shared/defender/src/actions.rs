//! Machine actions: those of one device, and one by its id.

use crate::{ApiError, Call, Reader, alerts::of_device, send::encoded, wire};
use jiff::Timestamp;
use model::{ActionId, DeviceId, MachineAction};

/// The service's largest page. A device with more actions than this cannot be judged.
const PAGE: usize = 10_000;

impl Reader {
    /// All machine actions of a device, in no particular order. Fails where one of them cannot be read or does not
    /// say whose it is, where there may be more, and for a 404 (the service answers an empty list where there are
    /// none): none of these must be taken for "nothing is open".
    pub async fn actions_of(&self, device: &DeviceId, call: Call) -> Result<Vec<MachineAction>, ApiError> {
        let path = format!("/machineactions?$filter={}&$top={PAGE}", encoded(&of_device(device)));
        let decode = |body: &[u8]| wire::read_list(body, wire::action);
        let listed = self.get_surely("GET machineactions", &path, call, decode).await?;
        let broken = |why: String| ApiError::Unreadable { why };
        if let Some(unreadable) = listed.unreadable.first() {
            return Err(broken(unreadable.to_string()));
        }
        if listed.returned() >= PAGE || listed.has_next_link {
            return Err(broken("the device has more machine actions than one page".to_owned()));
        }
        if let Some(action) = listed.records.iter().find(|action| action.device.is_none()) {
            return Err(broken(format!(
                "the machine action {} does not say which device it is about",
                action.id
            )));
        }
        // A service that ignored the filter must not make another device's action look like this one's.
        Ok(listed.records.into_iter().filter(|action| action.device.as_ref() == Some(device)).collect())
    }

    /// The isolations and releases of all devices that were asked for at `since` or later, in no particular order.
    /// Fails where one of them cannot be read or there may be more: what is not seen must not be taken for settled.
    pub async fn actions_since(&self, since: Timestamp, call: Call) -> Result<Vec<MachineAction>, ApiError> {
        let filter = format!("creationDateTimeUtc ge {since} and (type eq 'Isolate' or type eq 'Unisolate')");
        let path = format!("/machineactions?$filter={}&$top={PAGE}", encoded(&filter));
        let decode = |body: &[u8]| wire::read_list(body, wire::action);
        let listed = match self.get_surely("GET machineactions", &path, call, decode).await {
            // The service's way to say that there are none.
            Err(ApiError::NotFound(_)) => return Ok(Vec::new()),
            answer => answer?,
        };
        let broken = |why: String| ApiError::Unreadable { why };
        if let Some(unreadable) = listed.unreadable.first() {
            return Err(broken(unreadable.to_string()));
        }
        if listed.returned() >= PAGE || listed.has_next_link {
            return Err(broken("there are more machine actions than one page".to_owned()));
        }
        Ok(listed.records)
    }

    /// One machine action as it stands now. [`ApiError::NotFound`] where there is none.
    pub async fn action(&self, id: &ActionId, call: Call) -> Result<MachineAction, ApiError> {
        let path = format!("/machineactions/{}", encoded(id.as_str()));
        self.get("GET machineaction", &path, call, |body| wire::read_one(body, wire::action)).await
    }
}
