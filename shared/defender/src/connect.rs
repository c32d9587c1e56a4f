//! Builds the client of one tenant from its settings.

use crate::{Pause, Reader, Responder, send::Transport};
use credentials::{Calls, Connection, Tokens, http_client};
use std::sync::Arc;

/// How many idle connections reading keeps for reuse.
const IDLE: usize = 4;

/// The tenant's reader, its responder, and the count of the calls that both make.
pub fn connect(
    connection: &Connection,
    pause: Arc<dyn Pause>,
) -> Result<(Reader, Responder, Calls), reqwest::Error> {
    let calls = Calls::default();
    let endpoints = &connection.endpoints;
    let loopback = endpoints.api_is_loopback;
    let kept = http_client(IDLE, loopback)?;
    let tokens_for = |app: &credentials::Credential| {
        Arc::new(Tokens::new(kept.clone(), endpoints, &connection.tenant, app.clone(), calls.clone()))
    };
    let reading = tokens_for(&connection.reader);
    let acting = connection.actor.as_ref().map_or_else(|| reading.clone(), tokens_for);
    let transport = |http, tokens| Transport::new(http, &endpoints.api, tokens, calls.clone());
    let reader = Reader::new(transport(kept.clone(), reading), pause);
    let responder = Responder::new(transport(http_client(0, loopback)?, acting));
    Ok((reader, responder, calls))
}
