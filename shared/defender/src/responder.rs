//! What changes a tenant. Only `respond` may name [`Responder`].
//!
//! Nothing here is ever tried twice, except after a 401, by which the service says that it has not looked at
//! the request. Each effect goes over a connection of its own. A quota is the app's, whichever device it is spent on:
//! once it is used up, nothing more is sent on that route before the time that the service said. That is remembered
//! here and nowhere else: another process finds out for itself.

use crate::{
    ApiError, Failed, Reached,
    send::{Request, Transport, encoded},
    wire,
};
use jiff::{SignedDuration, Timestamp};
use model::{ActionId, AlertId, DeviceId, IsolationType, MachineAction};
use reqwest::Method;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long an effect's call may take. Whoever waits for a lost call to be over must wait longer than this.
pub const EFFECT_TIMEOUT: Duration = Duration::from_secs(20);

/// For how long other devices are left alone, too, after the service has said of one that the quota is used up: the window
/// in which it counts. The device itself waits for as long as it was told to; but one odd answer must not stop releases,
/// or all isolations, for hours.
const LONGEST: SignedDuration = SignedDuration::from_mins(1);

/// Acts on a tenant.
#[derive(Debug)]
pub struct Responder {
    transport: Transport,
    /// Until when a route is left alone.
    used_up: Mutex<BTreeMap<&'static str, Timestamp>>,
}

impl Responder {
    pub(crate) fn new(transport: Transport) -> Responder {
        Responder { transport, used_up: Mutex::default() }
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
        self.send(&request, now).await?;
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
        let body = self.send(&request, now).await?;
        wire::read_one(&body, wire::action).map_err(|unreadable| Failed {
            reached: Reached::Yes,
            error: ApiError::Unavailable { why: unreadable.to_string(), reached: Reached::Yes },
        })
    }
    /// Sends a request, unless the quota for it is known to be used up.
    async fn send(&self, request: &Request<'_>, now: Timestamp) -> Result<Vec<u8>, ApiError> {
        let until = self.used_up().get(request.route).copied();
        if let Some(until) = until.filter(|until| now < *until) {
            return Err(ApiError::RateLimited { retry_after: until.duration_since(now) });
        }
        let answer = self.transport.send(request, now, EFFECT_TIMEOUT).await;
        if let Err(ApiError::RateLimited { retry_after }) = &answer {
            let until = now.checked_add((*retry_after).min(LONGEST)).unwrap_or(Timestamp::MAX);
            self.used_up().insert(request.route, until);
        }
        answer
    }

    fn used_up(&self) -> MutexGuard<'_, BTreeMap<&'static str, Timestamp>> {
        self.used_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
