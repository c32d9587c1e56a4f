//! What changes a tenant. Only `respond` may name [`Responder`].
//!
//! Nothing here is ever tried twice, except after a 401, by which the service says that it has not looked at
//! the request. Each effect goes over a connection of its own.

use crate::{
    ApiError, Failed, Reached,
    send::{Request, Transport, encoded},
    wire,
};
use jiff::Timestamp;
use model::{ActionId, AlertId, DeviceId, IsolationType, MachineAction};
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
        let body = serde_json::json!({ "Comment": comment, "IsolationType": how.as_str() });
        self.act("POST isolate", &format!("/machines/{device}/isolate"), &body, now).await
    }

    /// Asks the service to give a device its network back. Like an isolation, "accepted" is not "released", and the
    /// answer may be an action that was already pending. Source: Microsoft's "Release device from isolation API"
    /// page.
    pub async fn release(
        &self,
        device: &DeviceId,
        comment: &str,
        now: Timestamp,
    ) -> Result<MachineAction, Failed> {
        let body = serde_json::json!({ "Comment": comment });
        self.act("POST unisolate", &format!("/machines/{device}/unisolate"), &body, now).await
    }

    /// Cancels a machine action that has not ended. Answers the action as it stands then. Source: Microsoft's
    /// "Cancel machine action API" page.
    pub async fn cancel(
        &self,
        action: &ActionId,
        comment: &str,
        now: Timestamp,
    ) -> Result<MachineAction, Failed> {
        let body = serde_json::json!({ "Comment": comment });
        self.act("POST cancel", &format!("/machineactions/{}/cancel", encoded(action.as_str())), &body, now)
            .await
    }

    /// Appends a comment to an alert. Twice is two comments. Source: Microsoft's "Update alert" page.
    pub async fn comment(&self, alert: &AlertId, comment: &str, now: Timestamp) -> Result<(), Failed> {
        let body = serde_json::json!({ "comment": comment }).to_string();
        let path = format!("/alerts/{}", encoded(alert.as_str()));
        let request = Request { route: "PATCH alert", method: Method::PATCH, path: &path, body: Some(body) };
        self.transport.send(&request, now, EFFECT_TIMEOUT).await?;
        Ok(())
    }

    async fn act(
        &self,
        route: &'static str,
        path: &str,
        body: &serde_json::Value,
        now: Timestamp,
    ) -> Result<MachineAction, Failed> {
        let request = Request { route, method: Method::POST, path, body: Some(body.to_string()) };
        let body = self.transport.send(&request, now, EFFECT_TIMEOUT).await?;
        wire::read_one(&body, wire::action).map_err(|unreadable| Failed {
            reached: Reached::Yes,
            error: ApiError::Unavailable { why: unreadable.to_string(), reached: Reached::Yes },
        })
    }
}
