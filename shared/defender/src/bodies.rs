//! The service's answers read without a call, for whoever has one in hand: tests and fuzzing.
//!
//! Each function is what a call does with its answer, and nothing else; the steps go through [`crate::Reader`].

use crate::{ApiError, HuntAnswer, HuntError, Listed, Row, Unreadable, hunting, send, wire};
use credentials::AccessToken;
use jiff::{SignedDuration, Timestamp};
use model::{Alert, Device, MachineAction};
use reqwest::StatusCode;

/// A body that is one alert.
pub fn alert(body: &[u8]) -> Result<Alert, Unreadable> {
    wire::read_one(body, wire::alert)
}

/// A body that is a list of alerts.
pub fn alerts(body: &[u8]) -> Result<Listed<Alert>, Unreadable> {
    wire::read_list(body, wire::alert)
}

/// A body that is one alert of Graph's.
pub fn graph_alert(body: &[u8]) -> Result<Alert, Unreadable> {
    wire::read_one(body, wire::graph::alert)
}

/// A body that is a list of alerts of Graph's.
pub fn graph_alerts(body: &[u8]) -> Result<Listed<Alert>, Unreadable> {
    wire::read_list(body, wire::graph::alert)
}

/// A body that is an incident of Graph's with its alerts.
pub fn graph_incident(body: &[u8]) -> Result<Vec<Alert>, Unreadable> {
    wire::graph::alerts_of_incident(body)
}

/// A body that is the answer to a hunting query; its rows are given to `row`.
pub fn hunt(body: &[u8], row: &mut dyn FnMut(Row)) -> Result<HuntAnswer, HuntError> {
    hunting::read(body, row)
}

/// What an answer with a status other than 2xx to a hunting query means. `token` is the one that was sent.
pub fn hunt_failure(
    status: StatusCode,
    retry_after: Option<SignedDuration>,
    body: &[u8],
    token: &AccessToken,
) -> HuntError {
    hunting::judged(status, retry_after, body, token)
}

/// The comments of a body that is one alert.
pub fn comments(body: &[u8]) -> Result<Vec<String>, Unreadable> {
    wire::read_one(body, wire::comments)
}

/// A body that is one device.
pub fn machine(body: &[u8]) -> Result<Device, Unreadable> {
    wire::read_one(body, wire::device)
}

/// A body that is a list of devices.
pub fn machines(body: &[u8]) -> Result<Listed<Device>, Unreadable> {
    wire::read_list(body, wire::device)
}

/// A body that is one machine action.
pub fn action(body: &[u8]) -> Result<MachineAction, Unreadable> {
    wire::read_one(body, wire::action)
}

/// A body that is a list of machine actions.
pub fn actions(body: &[u8]) -> Result<Listed<MachineAction>, Unreadable> {
    wire::read_list(body, wire::action)
}

/// What an answer with a status other than 2xx means. `token` is the one that was sent.
pub fn failure(
    status: StatusCode,
    retry_after: Option<SignedDuration>,
    body: &[u8],
    token: &AccessToken,
) -> ApiError {
    send::failure(status, retry_after, body, token)
}

/// How long the header `Retry-After` says to wait.
pub fn retry_after(value: &str, now: Timestamp) -> Option<SignedDuration> {
    send::wait(value, now)
}
