//! What changes a tenant. Only `respond` may name [`Responder`].
//!
//! Nothing here is ever tried twice, except after a 401, by which the service says that it has not looked at
//! the request. Each effect goes over a connection of its own.

use crate::{
    ApiError, Failed, Reached,
    send::{Request, Transport},
    wire,
};
use jiff::Timestamp;
use model::{DeviceId, IsolationType, MachineAction};
use reqwest::Method;
use std::time::Duration;

/// How long an effect's call may take. Whoever waits for a lost call to be over must wait longer than this.
pub const EFFECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Acts on a tenant.
#[derive(Debug)]
pub struct Responder {
    transport: Transport,
}

impl Responder {
    pub(crate) fn new(transport: Transport) -> Responder {
        Responder { transport }
    }

    /// Asks the service to isolate a device: "accepted" is not "isolated". The answer may be an action that was
    /// already pending; the comment in it tells whose it is. Source: Microsoft's "Isolate machine API" page.
    pub async fn isolate(
        &self,
        device: &DeviceId,
        how: IsolationType,
        comment: &str,
        now: Timestamp,
    ) -> Result<MachineAction, Failed> {
        let body = serde_json::json!({ "Comment": comment, "IsolationType": how.as_str() }).to_string();
        let path = format!("/machines/{device}/isolate");
        let request = Request { route: "POST isolate", method: Method::POST, path: &path, body: Some(body) };
        let body = self.transport.send(&request, now, EFFECT_TIMEOUT).await?;
        wire::read_one(&body, wire::action).map_err(|unreadable| Failed {
            reached: Reached::Yes,
            error: ApiError::Unavailable { why: unreadable.to_string(), reached: Reached::Yes },
        })
    }
}
