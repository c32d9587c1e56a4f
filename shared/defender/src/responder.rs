//! What changes a tenant. Only `respond` may name [`Responder`].
//!
//! Nothing here is ever tried twice, except after a 401, by which the service says that it has not looked at
//! the request. Each effect goes over a connection of its own. A quota is the app's, whichever device it is spent on:
//! once it is used up, nothing more is sent on that route before the time that the service said. That is remembered
//! here and nowhere else: another process finds out for itself.

use crate::{
    ApiError, Failed, Reached, Unreadable, graph_alerts,
    send::{Request, Transport, encoded},
    wire,
};
use credentials::Api;
use jiff::{SignedDuration, Timestamp};
use model::{ActionId, AlertId, DeviceId, IsolationType, MachineAction, NewAlert};
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
    graph: Transport,
    /// Where comments on alerts are written: where they are read.
    alerts_api: Api,
    /// Until when a route is left alone.
    used_up: Mutex<BTreeMap<&'static str, Timestamp>>,
}

impl Responder {
    /// A responder on Defender's API and, for alerts, on Graph.
    pub(crate) fn new(defender: Transport, graph: Transport, alerts_api: Api) -> Responder {
        Responder { transport: defender, graph, alerts_api, used_up: Mutex::default() }
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

    /// Appends a comment to an alert. Twice is two comments. Sources: Microsoft's pages "Update alert" and, where alerts are
    /// Graph's, "Create comment for alert"; there the app needs `SecurityAlert.ReadWrite.All`.
    pub async fn comment(&self, alert: &AlertId, comment: &str, now: Timestamp) -> Result<(), Failed> {
        let (transport, method, path, body) = match self.alerts_api {
            Api::Defender => {
                let path = format!("/alerts/{}", encoded(alert.as_str()));
                (&self.transport, Method::PATCH, path, serde_json::json!({ "comment": comment }))
            }
            Api::Graph => {
                let path = format!("{}/comments", graph_alerts::alert_path(alert));
                let kind = "microsoft.graph.security.alertComment";
                let body = serde_json::json!({ "@odata.type": kind, "comment": comment });
                (&self.graph, Method::POST, path, body)
            }
        };
        // The same call to whoever counts.
        let request = Request { route: "PATCH alert", method, path: &path, body: Some(body.to_string()) };
        self.send(transport, &request, now).await?;
        Ok(())
    }

    /// Has the service make an alert of an event on a device. It answers with the alert that it made, or with one that was
    /// open on the device with the same title, which takes the event in. Graph has no such call. Source: Microsoft's
    /// "Create alert from event API" page.
    pub async fn create_alert(
        &self,
        device: &DeviceId,
        new: &NewAlert,
        now: Timestamp,
    ) -> Result<AlertId, Failed> {
        let NewAlert { event_time, report_id, severity, title, description, recommended_action, category } =
            new;
        let body = serde_json::json!({
            "machineId": device,
            "eventTime": event_time,
            "reportId": report_id,
            "severity": severity.as_str(),
            "title": title,
            "description": description,
            "recommendedAction": recommended_action,
            "category": category,
        });
        let path = "/alerts/CreateAlertByReference";
        let request =
            Request { route: "POST create alert", method: Method::POST, path, body: Some(body.to_string()) };
        let body = self.send(&self.transport, &request, now).await?;
        wire::read_one(&body, wire::alert).map(|alert| alert.id).map_err(|unreadable| done(&unreadable))
    }

    async fn act(
        &self,
        route: &'static str,
        path: &str,
        body: &serde_json::Value,
        now: Timestamp,
    ) -> Result<MachineAction, Failed> {
        let request = Request { route, method: Method::POST, path, body: Some(body.to_string()) };
        let body = self.send(&self.transport, &request, now).await?;
        wire::read_one(&body, wire::action).map_err(|unreadable| done(&unreadable))
    }

    /// Sends a request, unless the quota for it is known to be used up.
    async fn send(
        &self,
        transport: &Transport,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Vec<u8>, ApiError> {
        let until = self.used_up().get(request.route).copied();
        if let Some(until) = until.filter(|until| now < *until) {
            return Err(ApiError::RateLimited { retry_after: until.duration_since(now) });
        }
        let answer = transport.send(request, now, EFFECT_TIMEOUT).await;
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

/// The service has acted, and its answer cannot be read.
fn done(unreadable: &Unreadable) -> Failed {
    Failed {
        reached: Reached::Yes,
        error: ApiError::Unavailable { why: unreadable.to_string(), reached: Reached::Yes },
    }
}
