//! The SDK's requests over the HTTP client that everything else uses: one pool, one TLS configuration, and root
//! certificates that are read once.
//!
//! Only what is held in memory can be sent and received, which is all that the clients of this crate do. Time-outs
//! and retries are the SDK's business.

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::body::SdkBody;
use reqwest::{Client, Request};

/// How many idle connections are kept for reuse.
const IDLE: usize = 8;

/// The client for services at `endpoint`, where it is not their usual one.
pub(crate) fn client(endpoint: Option<&str>) -> Result<SharedHttpClient, reqwest::Error> {
    let loopback = endpoint.is_some_and(credentials::is_loopback);
    Ok(SharedHttpClient::new(Http { client: credentials::http_client(IDLE, loopback)? }))
}

#[derive(Debug, Clone)]
struct Http {
    client: Client,
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.client.clone();
        HttpConnectorFuture::new(async move {
            let request = translated(request).map_err(ConnectorError::user)?;
            let answer = client.execute(request).await.map_err(failed)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = answer.bytes().await.map_err(failed)?;
            let mut response = HttpResponse::new(status.into(), SdkBody::from(body));
            for (name, value) in &headers {
                // One that is not text says nothing to the SDK, and must not turn a success into a failure.
                if let Ok(value) = value.to_str() {
                    response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
                }
            }
            Ok(response)
        })
    }
}

fn translated(request: HttpRequest) -> Result<Request, BoxError> {
    let (parts, body) = request.try_into_http1x()?.into_parts();
    let body = body.bytes().ok_or("a body that is not in memory")?.to_vec();
    Ok(Request::try_from(http::Request::from_parts(parts, body))?)
}

/// The error keeps its cause: whether there ever was a connection is asked of it later.
fn failed(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}
