//! The simulator through its socket, as a client meets it. One binary; helpers here, behaviour in the modules.
//!
//! Nothing here tests Cordon's own client.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy does not take for tests"
)]

mod actions;
mod api;
mod create;
mod faults;
mod graph;
mod hunting;
mod shipped;
mod token;
mod updates;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use simulator::{Alert, DEFAULT_CLIENT, DEFAULT_SECRET, DEFAULT_TENANT, Machine, Simulator, World};

const PC: &str = "0123456789abcdef0123456789abcdef01234567";
const SERVER: &str = "fedcba9876543210fedcba9876543210fedcba98";
const SCOPE: &str = "https://api.securitycenter.microsoft.com/.default";
const GRAPH_SCOPE: &str = "https://graph.microsoft.com/.default";

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A workstation with a High alert, a server with a Low one, an hour older.
fn world() -> World {
    let pc = Machine::new(PC, "pc1.contoso.com", "Windows11", now()).tag("vip");
    let server = Machine::new(SERVER, "srv1.contoso.com", "WindowsServer2022", now() - seconds(60));
    World::new(now())
        .alert(
            Alert::new("da1_1", "", now())
                .on(&pc)
                .evidence(vec![simulator::Evidence::ip(now(), "192.0.2.1")]),
        )
        .alert(Alert::new("da1_-2", "", now() - seconds(3_600)).on(&server).severity("Low"))
        .machine(pc)
        .machine(server)
}

/// A client with a token, as an app that signs in properly has one.
struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    async fn of(simulator: &Simulator) -> Client {
        Client::of_app(simulator, DEFAULT_CLIENT, DEFAULT_SECRET).await
    }

    async fn of_app(simulator: &Simulator, client_id: &str, secret: &str) -> Client {
        Client::with_scope(simulator, client_id, secret, SCOPE).await
    }

    /// With a token for Graph.
    async fn of_graph(simulator: &Simulator) -> Client {
        Client::with_scope(simulator, DEFAULT_CLIENT, DEFAULT_SECRET, GRAPH_SCOPE).await
    }

    async fn with_scope(simulator: &Simulator, client_id: &str, secret: &str, scope: &str) -> Client {
        let (status, body) = sign_in(simulator, DEFAULT_TENANT, client_id, secret, scope).await;
        assert_eq!(status, 200, "{body}");
        Client {
            http: http(),
            url: simulator.url(),
            token: body["access_token"].as_str().unwrap().to_owned(),
        }
    }

    async fn send(&self, path: &str, body: Option<&str>) -> Result<reqwest::Response, reqwest::Error> {
        let url = format!("{}{path}", self.url);
        let request = match body {
            None => self.http.get(url),
            Some(body) => {
                self.http.post(url).header("content-type", "application/json").body(body.to_owned())
            }
        };
        request.header("authorization", format!("Bearer {}", self.token)).send().await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.send(path, None).await.unwrap()).await
    }

    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        read(self.send(path, Some(body)).await.unwrap()).await
    }

    async fn patch(&self, path: &str, body: &str) -> (u16, Value) {
        let request =
            self.http.patch(format!("{}{path}", self.url)).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {}", self.token)).body(body.to_owned());
        read(request.send().await.unwrap()).await
    }

    async fn isolate(&self, machine: &str) -> (u16, Value) {
        self.post(
            &format!("/api/machines/{machine}/isolate"),
            include_str!("../../samples/request-isolate.json"),
        )
        .await
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap()
}

async fn read(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn sign_in(
    simulator: &Simulator,
    tenant: &str,
    client_id: &str,
    secret: &str,
    scope: &str,
) -> (u16, Value) {
    let form = format!(
        "grant_type=client_credentials&client_id={client_id}&client_secret={secret}&scope={}",
        scope.replace(':', "%3A").replace('/', "%2F")
    );
    let response = http()
        .post(format!("{}/{tenant}/oauth2/v2.0/token", simulator.url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap();
    read(response).await
}

fn ids(list: &Value) -> Vec<&str> {
    list["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

fn code(error: &Value) -> &str {
    error["error"]["code"].as_str().unwrap()
}
