//! The socket: accepts connections on the loopback address, plays faults, keeps the journal.
//!
//! Runs on a thread and a runtime of its own, so that it answers whatever the test's runtime is doing. What an
//! answer says is decided in `http`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::faults::{self, FaultKind};
use crate::http::{self, Answer, Request, Route};
use crate::journal::{Entry, Journal, without_secrets};
use crate::world::{Clock, World};

/// A running simulator. Dropping it stops the server and closes every connection.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    world: World,
    journal: Journal,
    stops: Option<mpsc::UnboundedSender<Stop>>,
}

/// How far a request has come that stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing was done with it.
    Arrival,
    /// It was processed, and not answered.
    Processing,
}

/// A request that waits for whoever stops requests. Dropped, it ends without going further: what has only arrived
/// is never processed, what was processed is never answered.
#[derive(Debug)]
pub struct Stop {
    pub route: String,
    pub reached: Reached,
    go: oneshot::Sender<()>,
}

impl Stop {
    pub fn go(self) {
        // Whoever asked may have hung up.
        let _ = self.go.send(());
    }
}

impl Simulator {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(world: World) -> io::Result<Simulator> {
        Simulator::start_on(world, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts on this address, which must be a loopback address.
    pub async fn start_on(world: World, address: SocketAddr) -> io::Result<Simulator> {
        if !address.ip().is_loopback() {
            let message = format!("`{address}` is not a loopback address");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared { world, journal: Journal::default(), stops: None }));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("simulator".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, served) => {}
                }
            });
        })?;
        Ok(Simulator { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`: serves the token endpoint, Defender's API and Graph's.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The settings with which a client reaches it, by their names.
    pub fn settings(&self) -> [(&'static str, String); 6] {
        [
            ("DEFENDER_TENANT_ID", self.with(|world| world.tenant.clone())),
            ("DEFENDER_CLIENT_ID", crate::DEFAULT_CLIENT.to_owned()),
            ("DEFENDER_CLIENT_SECRET", crate::DEFAULT_SECRET.to_owned()),
            ("DEFENDER_API_URL", self.url()),
            ("DEFENDER_LOGIN_URL", self.url()),
            ("GRAPH_API_URL", self.url()),
        ]
    }

    /// Looks at the world or changes it. Its clock is brought up to date before and after.
    pub fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        let mut shared = lock(&self.shared);
        shared.world.tick();
        let result = f(&mut shared.world);
        shared.world.tick();
        result
    }

    /// Moves the clock and everything that depends on it.
    pub fn advance(&self, by: SignedDuration) {
        lock(&self.shared).world.advance(by);
    }

    /// Sets the clock; from then on it stands still until moved.
    pub fn set_now(&self, now: Timestamp) {
        let world = &mut lock(&self.shared).world;
        world.clock = Clock::Manual;
        world.now = now;
        world.tick();
    }

    /// From now on every request stops twice, when it has arrived and when it was processed, and goes on when what
    /// comes here says so: for tests that choose in which order things happen. Once the receiver is gone, none stops.
    pub fn stop_requests(&self) -> mpsc::UnboundedReceiver<Stop> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.shared).stops = Some(sender);
        receiver
    }

    /// Every request since the start or since `clear_journal`.
    pub fn journal(&self) -> Vec<Entry> {
        lock(&self.shared).journal.entries().to_vec()
    }

    /// How many requests came to the route (the journal's name).
    pub fn count(&self, route: &str) -> usize {
        lock(&self.shared).journal.entries().iter().filter(|entry| entry.route == route).count()
    }

    /// Requests to no known route, and malformed ones that a correct client never sends.
    pub fn unexpected(&self) -> Vec<Entry> {
        let shared = lock(&self.shared);
        let unexpected = |entry: &&Entry| entry.malformed || entry.route == "unexpected";
        shared.journal.entries().iter().filter(unexpected).cloned().collect()
    }

    /// The rules that clients broke, in order.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared).journal.entries().iter().filter_map(|entry| entry.violation.clone()).collect()
    }

    /// Forgets the requests so far, and with them what was unexpected or broke a rule.
    pub fn clear_journal(&self) {
        lock(&self.shared).journal.clear();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A panic in a test's closure must not take the server's other users with it.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Mutex<Shared>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Only a matter of speed.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A service goes on with what it was sent, whoever has hung up meanwhile.
            let service = service_fn(move |request| {
                let served = tokio::spawn(serve(Arc::clone(&shared), request));
                async move { served.await.unwrap_or(Err(HungUp)) }
            });
            // An error here is a connection that a fault closed, or that the client did.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Ends the connection without an answer.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the simulator hung up")
    }
}

impl std::error::Error for HungUp {}

async fn serve(
    shared: Arc<Mutex<Shared>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Payload>, HungUp> {
    let shared = &*shared;
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| HungUp)?.to_bytes();
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let route = http::route(&request.method, &request.path);
    stop(shared, &route, Reached::Arrival).await?;
    let answer = answer(shared, &route, &request).await;
    stop(shared, &route, Reached::Processing).await?;
    answer.map(|answer| dated(answer, shared))
}

/// The answer with the world's time in its `Date`.
fn dated(mut answer: hyper::Response<Payload>, shared: &Mutex<Shared>) -> hyper::Response<Payload> {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&lock(shared).world.now);
    if let Some(date) = date.ok().and_then(|date| date.parse().ok()) {
        answer.headers_mut().insert(hyper::header::DATE, date);
    }
    answer
}

/// Waits until the request may go on, where requests are stopped.
async fn stop(shared: &Mutex<Shared>, route: &Route, reached: Reached) -> Result<(), HungUp> {
    let (go, gone) = oneshot::channel();
    let stop = Stop { route: route.name().to_owned(), reached, go };
    let stops = lock(shared).stops.clone();
    match stops.map(|stops| stops.send(stop)) {
        Some(Ok(())) => gone.await.map_err(|_| HungUp),
        Some(Err(_)) | None => Ok(()),
    }
}

/// Plays the request's fault, or processes it.
async fn answer(
    shared: &Mutex<Shared>,
    route: &Route,
    request: &Request,
) -> Result<hyper::Response<Payload>, HungUp> {
    let (number, fault) = arrived(shared, route, request);
    let act = || process(shared, number, route, request);
    let finish = |answer: Answer| {
        finished(shared, number, answer.status);
        respond(answer, JSON)
    };
    let Some(fault) = fault else { return finish(act()) };
    match fault {
        FaultKind::Throttle { retry_after } => {
            let answer = throttled(shared, number, route, request, retry_after);
            finish(answer)
        }
        FaultKind::ServerError(status) => finish(server_error(shared, route, status)),
        FaultKind::Slow { millis } => {
            wait(millis).await;
            finish(act())
        }
        FaultKind::Reset => Err(HungUp),
        FaultKind::ResetAfter => {
            act();
            Err(HungUp)
        }
        FaultKind::ActsThenSlow { millis } => {
            let answer = act();
            wait(millis).await;
            finish(answer)
        }
        FaultKind::ServerErrorAfterActing(status) => {
            act();
            finish(server_error(shared, route, status))
        }
        FaultKind::TruncatedBody => {
            let answer = act();
            finished(shared, number, answer.status);
            let length = answer.body.len();
            let half = answer.body.get(..length / 2).unwrap_or_default().to_vec();
            response(answer.status, answer.retry_after, JSON, Payload::cut_off(half), length.max(1))
        }
        FaultKind::WrongContentType => {
            let page = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>";
            finished(shared, number, 200);
            let answer = Answer { status: 200, body: page.as_bytes().to_vec(), ..Answer::default() };
            respond(answer, "text/html; charset=utf-8")
        }
        FaultKind::NotJson => finish(Answer { body: b"{\"value\": [oops".to_vec(), ..act() }),
        FaultKind::Spurious404 => {
            let message = "The requested resource was not found";
            let answer =
                http::error_answer(&mut lock(shared).world, route.api(), 404, "ResourceNotFound", message);
            finish(answer)
        }
        FaultKind::EmptyBody => finish(Answer { body: Vec::new(), ..act() }),
    }
}

/// Writes the request down and chooses its fault.
fn arrived(shared: &Mutex<Shared>, route: &Route, request: &Request) -> (u64, Option<FaultKind>) {
    let shared = &mut *lock(shared);
    shared.world.tick();
    let world = &mut shared.world;
    let fault = faults::choose(&mut world.faults, world.chaos.as_mut(), route.name());
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| match name.as_str() {
            "authorization" => (name.clone(), "***".to_owned()),
            _ => (name.clone(), value.clone()),
        })
        .collect();
    let number = shared.journal.arrived(Entry {
        number: 0,
        at: http::arrival(world),
        method: request.method.clone(),
        path: request.path.clone(),
        route: route.name().to_owned(),
        query: request.query.clone(),
        headers,
        body: match route {
            Route::Token { .. } => without_secrets(&request.body),
            _ => request.body.clone(),
        },
        app: http::app_of(world, request),
        status: None,
        fault: fault.as_ref().map(|fault| fault.name().to_owned()),
        malformed: false,
        violation: None,
    });
    (number, fault)
}

fn process(shared: &Mutex<Shared>, number: u64, route: &Route, request: &Request) -> Answer {
    let shared = &mut *lock(shared);
    shared.world.tick();
    let answer = http::process(&mut shared.world, route, request);
    shared.journal.note(number, |entry| {
        entry.malformed = answer.malformed;
        entry.violation = (!answer.violations.is_empty()).then(|| answer.violations.join("; "));
    });
    answer
}

fn throttled(
    shared: &Mutex<Shared>,
    number: u64,
    route: &Route,
    request: &Request,
    retry_after: Option<u64>,
) -> Answer {
    let shared = &mut *lock(shared);
    let violation = http::impatience(&shared.world, route, request);
    shared.journal.note(number, |entry| entry.violation = violation);
    let message = "API calls quota exceeded! maximum allowed 100 per 00:01:00";
    let answer = http::throttle_answer(&mut shared.world, route.api(), message, retry_after);
    http::remember_throttle(&mut shared.world, route, request, retry_after);
    answer
}

fn server_error(shared: &Mutex<Shared>, route: &Route, status: u16) -> Answer {
    let message = "An unexpected error occurred";
    http::error_answer(&mut lock(shared).world, route.api(), status, "InternalServerError", message)
}

fn finished(shared: &Mutex<Shared>, number: u64, status: u16) {
    lock(shared).journal.note(number, |entry| entry.status = Some(status));
}

#[expect(clippy::disallowed_methods, reason = "a slow answer is what is being simulated")]
async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

const JSON: &str = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8";

fn respond(answer: Answer, content_type: &str) -> Result<hyper::Response<Payload>, HungUp> {
    let length = answer.body.len();
    response(answer.status, answer.retry_after, content_type, Payload::whole(answer.body), length)
}

fn response(
    status: u16,
    retry_after: Option<u64>,
    content_type: &str,
    payload: Payload,
    length: usize,
) -> Result<hyper::Response<Payload>, HungUp> {
    let mut response = hyper::Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("content-length", length)
        .header("odata-version", "4.0");
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(payload).map_err(|_| HungUp)
}

/// A body in one piece, which may break off.
#[derive(Debug)]
struct Payload {
    piece: Option<Bytes>,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Proper,
    /// Waits one turn, in which the connection sends what it has, then breaks.
    BreaksSoon,
    Breaks,
}

impl Payload {
    fn whole(bytes: Vec<u8>) -> Payload {
        Payload { piece: Some(Bytes::from(bytes)), end: End::Proper }
    }

    fn cut_off(bytes: Vec<u8>) -> Payload {
        Payload { piece: Some(Bytes::from(bytes)), end: End::BreaksSoon }
    }
}

impl hyper::body::Body for Payload {
    type Data = Bytes;
    type Error = HungUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HungUp>>> {
        if let Some(piece) = self.piece.take().filter(|piece| !piece.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.end {
            End::Proper => Poll::Ready(None),
            End::BreaksSoon => {
                self.end = End::Breaks;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Breaks => Poll::Ready(Some(Err(HungUp))),
        }
    }
}
