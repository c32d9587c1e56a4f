//! Devices: one by its machine id, and the list in pages.
//!
//! A device is never looked up by name or address, although the service could.

use crate::{ApiError, Call, Reader, Unreadable, wire};
use model::{Device, DeviceId};

/// The service's largest page.
const PAGE: usize = 10_000;

/// One page of the tenant's devices.
#[derive(Debug)]
pub struct MachinePage {
    pub devices: Vec<Device>,
    pub unreadable: Vec<Unreadable>,
    /// What to skip for the next page; none when this was the last.
    pub next_skip: Option<usize>,
}

impl Reader {
    /// A device by its machine id; none where the service does not know it, also when asked once more.
    pub async fn machine(&self, id: &DeviceId, call: Call) -> Result<Option<Device>, ApiError> {
        let path = format!("/machines/{id}");
        match self.get_surely("GET machine", &path, call, |body| wire::read_one(body, wire::device)).await {
            Ok(device) if device.id == *id => Ok(Some(device)),
            Ok(_) | Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page of the devices that the tenant knows, past the first `skip`. The service's 404 for "none" is an
    /// empty page.
    pub async fn machines(&self, skip: usize, call: Call) -> Result<MachinePage, ApiError> {
        let path = if skip == 0 {
            format!("/machines?$top={PAGE}")
        } else {
            format!("/machines?$top={PAGE}&$skip={skip}")
        };
        let decode = |body: &[u8]| wire::read_list(body, wire::device);
        let listed = match self.get("GET machines", &path, call, decode).await {
            Err(ApiError::NotFound(_)) => {
                return Ok(MachinePage { devices: Vec::new(), unreadable: Vec::new(), next_skip: None });
            }
            answer => answer?,
        };
        let returned = listed.returned();
        let more = returned > 0 && (returned >= PAGE || listed.has_next_link);
        Ok(MachinePage {
            devices: listed.records,
            unreadable: listed.unreadable,
            next_skip: more.then_some(skip + returned),
        })
    }
}
