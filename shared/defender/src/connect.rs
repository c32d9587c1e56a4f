//! Builds the client of one tenant from its settings.

use crate::{Pause, Reader, Responder, send::Transport};
use credentials::{Calls, Connection, Credential, Tokens, entra_token_url, http_client};
use std::sync::Arc;

/// How many idle connections reading keeps for reuse.
const IDLE: usize = 4;

/// Graph leaves newer words of an enumeration out unless it is asked for them. Source: Microsoft's "alert resource type"
/// page of Graph.
const NEWER_WORDS: &str = "include-unknown-enum-members";

/// The tenant's reader, its responder, and the count of the calls that both make. A token for an API is asked for when
/// that API is first called, and not before.
pub fn connect(
    connection: &Connection,
    pause: Arc<dyn Pause>,
) -> Result<(Reader, Responder, Calls), reqwest::Error> {
    let calls = Calls::default();
    let loopback = connection.endpoints.api_is_loopback;
    let kept = http_client(IDLE, loopback)?;
    let fresh = http_client(0, loopback)?;
    let tokens_for = |app| AppTokens::new(connection, app, &kept, &calls);
    let reading = tokens_for(&connection.reader);
    let acting = connection.actor.as_ref().map_or_else(|| reading.clone(), tokens_for);

    let endpoints = &connection.endpoints;
    let defender = |http: &reqwest::Client, tokens: AppTokens| {
        Transport::new(http.clone(), format!("{}/api", endpoints.api), None, tokens.defender, calls.clone())
    };
    let graph = |http: &reqwest::Client, tokens: AppTokens| {
        let base = format!("{}/v1.0", endpoints.graph);
        Transport::new(http.clone(), base, Some(NEWER_WORDS), tokens.graph, calls.clone())
    };
    let reader = Reader::new(
        defender(&kept, reading.clone()),
        graph(&kept, reading),
        connection.alerts_api,
        connection.hunting_api,
        pause,
    );
    let responder =
        Responder::new(defender(&fresh, acting.clone()), graph(&fresh, acting), connection.alerts_api);
    Ok((reader, responder, calls))
}

/// One app's tokens for both APIs.
#[derive(Clone)]
struct AppTokens {
    defender: Arc<Tokens>,
    graph: Arc<Tokens>,
}

impl AppTokens {
    fn new(connection: &Connection, app: &Credential, http: &reqwest::Client, calls: &Calls) -> AppTokens {
        let Connection { endpoints, tenant, .. } = connection;
        let graph = Tokens::at(
            http.clone(),
            entra_token_url(&endpoints.login, tenant.as_str()),
            Some(format!("{}/.default", endpoints.graph_audience)),
            app.clone(),
            None,
            calls.clone(),
        );
        AppTokens {
            defender: Arc::new(Tokens::new(http.clone(), endpoints, tenant, app.clone(), calls.clone())),
            graph: Arc::new(graph),
        }
    }
}
