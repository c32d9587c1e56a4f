//! The HTTP client that every call is made with, and the count of those to Microsoft.

use crate::tls;
use reqwest::{Client, redirect::Policy};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How Cordon names itself. Microsoft asks partners for this form on every call.
/// Source: Microsoft's "Partner integration" pages.
const USER_AGENT: &str = concat!("MdePartner-Cordon-Cordon/", env!("CARGO_PKG_VERSION"));

/// A client with time-outs and without redirects (a token must not follow one). `idle_connections`: how many to
/// keep open for reuse; 0 makes each call on a fresh connection, so that an effect never meets a connection
/// that the other side has already closed. A `loopback` service is never asked for through a proxy.
pub fn http_client(idle_connections: usize, loopback: bool) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(60))
        .pool_max_idle_per_host(idle_connections)
        .pool_idle_timeout(Duration::from_secs(50))
        .redirect(Policy::none())
        // What may be sent twice is decided by whoever sends it.
        .retry(reqwest::retry::never());
    let builder = builder.tls_backend_preconfigured(tls::config());
    if loopback { builder.no_proxy() } else { builder }.build()
}

/// How often each route was called, retries included: the quota is counted in calls.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Calls {
    pub fn one(&self, route: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(route).or_default() += 1;
    }

    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
