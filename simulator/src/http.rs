//! Requests in, answers out: routes, tokens and roles, OData lists, errors in Microsoft's shapes.
//!
//! Works on a locked world and never waits; connections, faults and the journal are the server's business, Graph's
//! records `graph`'s, hunting queries `hunting`'s.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use crate::behaviour;
use crate::create;
use crate::entities::{ActionStatus, ActionType, Alert, AlertBody, Comment, Machine, MachineAction};
use crate::graph;
use crate::hunting;
use crate::odata::{self, Collection, Field, Options, Property};
use crate::times::to_ticks;
use crate::world::{Duplicate, ListOrder, NextLinks, Token, World};

/// A request as the routes see it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Vec<u8>,
    pub(crate) malformed: bool,
    pub(crate) violations: Vec<String>,
}

/// Which of Microsoft's interfaces a route belongs to: its tokens and the shape of its errors go by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    Defender,
    Graph,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Token { tenant: String },
    Alerts,
    Alert { id: String },
    UpdateAlert { id: String },
    Machines,
    Machine { id: String },
    MachineAlerts { id: String },
    MachineActions,
    MachineAction { id: String },
    Isolate { machine: String },
    Unisolate { machine: String },
    Cancel { action: String },
    CreateAlert,
    GraphAlerts,
    GraphAlert { id: String },
    CommentAlert { id: String },
    Incident { id: String },
    Hunt { api: Api },
    Unexpected,
}

impl Route {
    /// The name in the journal, in quotas and in faults: the same for what is the same call at Graph.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Route::Token { .. } => "POST token",
            Route::Alerts | Route::GraphAlerts => "GET alerts",
            Route::Alert { .. } | Route::GraphAlert { .. } => "GET alert",
            Route::UpdateAlert { .. } | Route::CommentAlert { .. } => "PATCH alert",
            Route::Machines => "GET machines",
            Route::Machine { .. } => "GET machine",
            Route::MachineAlerts { .. } => "GET machine alerts",
            Route::MachineActions => "GET machineactions",
            Route::MachineAction { .. } => "GET machineaction",
            Route::Isolate { .. } => "POST isolate",
            Route::Unisolate { .. } => "POST unisolate",
            Route::Cancel { .. } => "POST cancel",
            Route::CreateAlert => "POST create alert",
            Route::Incident { .. } => "GET incident",
            Route::Hunt { api: Api::Graph } => "POST runHuntingQuery",
            Route::Hunt { api: Api::Defender } => "POST advancedqueries",
            Route::Unexpected => "unexpected",
        }
    }

    pub(crate) fn api(&self) -> Api {
        match self {
            Route::GraphAlerts
            | Route::GraphAlert { .. }
            | Route::CommentAlert { .. }
            | Route::Incident { .. } => Api::Graph,
            Route::Hunt { api } => *api,
            Route::Token { .. }
            | Route::Alerts
            | Route::Alert { .. }
            | Route::UpdateAlert { .. }
            | Route::Machines
            | Route::Machine { .. }
            | Route::MachineAlerts { .. }
            | Route::MachineActions
            | Route::MachineAction { .. }
            | Route::Isolate { .. }
            | Route::Unisolate { .. }
            | Route::Cancel { .. }
            | Route::CreateAlert
            | Route::Unexpected => Api::Defender,
        }
    }

    /// Whether it must not be asked again before its Retry-After has passed: effects, and what costs quota of the whole
    /// tenant.
    fn has_to_wait(&self) -> bool {
        match self {
            Route::UpdateAlert { .. }
            | Route::CommentAlert { .. }
            | Route::CreateAlert
            | Route::Hunt { .. }
            | Route::Isolate { .. }
            | Route::Unisolate { .. }
            | Route::Cancel { .. } => true,
            Route::Token { .. }
            | Route::Alerts
            | Route::Alert { .. }
            | Route::Machines
            | Route::Machine { .. }
            | Route::MachineAlerts { .. }
            | Route::MachineActions
            | Route::MachineAction { .. }
            | Route::GraphAlerts
            | Route::GraphAlert { .. }
            | Route::Incident { .. }
            | Route::Unexpected => false,
        }
    }
}

/// The route of a request. The service ignores case in paths and takes a version after `/api`.
pub(crate) fn route(method: &str, path: &str) -> Route {
    let segments: Vec<String> =
        path.split('/').filter(|segment| !segment.is_empty()).map(percent_decoded).collect();
    let lower: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let words: Vec<&str> = lower.iter().map(String::as_str).collect();
    let segment = |index: usize| segments.get(index).cloned().unwrap_or_default();
    let (words, shift): (&[&str], usize) = match words.as_slice() {
        [_, "oauth2", "v2.0", "token"] if method == "POST" => return Route::Token { tenant: segment(0) },
        ["v1.0", "security", rest @ ..] => return graph_route(method, rest, segment(3)),
        ["api", "v1.0", rest @ ..] => (rest, 2),
        ["api", rest @ ..] => (rest, 1),
        _ => return Route::Unexpected,
    };
    let id = segment(shift + 1);
    match (method, words) {
        ("GET", ["alerts"]) => Route::Alerts,
        ("GET", ["alerts", _]) => Route::Alert { id },
        ("PATCH", ["alerts", _]) => Route::UpdateAlert { id },
        ("GET", ["machines"]) => Route::Machines,
        ("GET", ["machines", _]) => Route::Machine { id },
        ("GET", ["machines", _, "alerts"]) => Route::MachineAlerts { id },
        ("GET", ["machineactions"]) => Route::MachineActions,
        ("GET", ["machineactions", _]) => Route::MachineAction { id },
        ("POST", ["machines", _, "isolate"]) => Route::Isolate { machine: id },
        ("POST", ["machines", _, "unisolate"]) => Route::Unisolate { machine: id },
        ("POST", ["machineactions", _, "cancel"]) => Route::Cancel { action: id },
        ("POST", ["alerts", "createalertbyreference"]) => Route::CreateAlert,
        ("POST", ["advancedqueries", "run"]) => Route::Hunt { api: Api::Defender },
        _ => Route::Unexpected,
    }
}

/// The route of a request to Graph; `id` is the segment after the collection's name.
fn graph_route(method: &str, words: &[&str], id: String) -> Route {
    match (method, words) {
        ("GET", ["alerts_v2"]) => Route::GraphAlerts,
        ("GET", ["alerts_v2", _]) => Route::GraphAlert { id },
        ("POST", ["alerts_v2", _, "comments"]) => Route::CommentAlert { id },
        ("GET", ["incidents", _]) => Route::Incident { id },
        ("POST", ["runhuntingquery"]) => Route::Hunt { api: Api::Graph },
        _ => Route::Unexpected,
    }
}

fn percent_decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let ahead = rest.clone().take(2).map(|digit| char::from(digit).to_digit(16)).collect::<Vec<_>>();
        match (byte, ahead.as_slice()) {
            (b'%', [Some(high), Some(low)]) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest.nth(1);
            }
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: u16,
    code: String,
    message: String,
    retry_after: Option<u64>,
    malformed: bool,
    violation: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code: code.to_owned(),
            message: message.into(),
            retry_after: None,
            malformed: false,
            violation: None,
        }
    }

    /// A request that a correct client never sends.
    pub(crate) fn malformed(code: &str, message: impl Into<String>) -> Refusal {
        Refusal { malformed: true, ..Refusal::new(400, code, message) }
    }

    /// 429, until so many seconds have passed.
    pub(crate) fn for_now(message: impl Into<String>, retry_after: u64) -> Refusal {
        Refusal { retry_after: Some(retry_after), ..Refusal::new(429, "429", message) }
    }

    pub(crate) fn broken_rule(mut self, violation: impl Into<String>) -> Refusal {
        self.violation = Some(violation.into());
        self
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Refusal {
        Refusal::new(404, "ResourceNotFound", format!("{what} {id} was not found"))
    }
}

impl From<odata::BadQuery> for Refusal {
    fn from(bad: odata::BadQuery) -> Refusal {
        let mut refusal = Refusal::malformed("ODataError", bad.message);
        refusal.violation = bad.violation;
        refusal
    }
}

/// An error in Microsoft's shape, as a fault or a rule wants it. `code` is Defender's word; Graph has words of its own.
pub(crate) fn error_answer(world: &mut World, api: Api, status: u16, code: &str, message: &str) -> Answer {
    let id = world.guid();
    let error = match api {
        Api::Defender => json!({"code": code, "message": message, "target": id}),
        Api::Graph => json!({
            "code": graph_code(code),
            "message": message,
            "innerError": {
                "date": world.now.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                "request-id": id,
                "client-request-id": id,
            },
        }),
    };
    Answer { status, body: json!({ "error": error }).to_string().into_bytes(), ..Answer::default() }
}

/// Graph's word for the same error. Source: its page "Microsoft Graph error responses".
fn graph_code(code: &str) -> &str {
    match code {
        "Unauthorized" => "InvalidAuthenticationToken",
        "429" => "TooManyRequests",
        "ResourceNotFound" => "NotFound",
        "ODataError" | "InvalidInput" | "InvalidRequestBody" | "MissingRequiredParameter" => "BadRequest",
        // Seen where a query ran for too long: microsoftgraph/microsoft-graph-docs issue 19954.
        "GatewayTimeout" => "UnknownError",
        other => other,
    }
}

/// 429, at Defender's API in the two shapes that are known, in turn.
pub(crate) fn throttle_answer(
    world: &mut World,
    api: Api,
    message: &str,
    retry_after: Option<u64>,
) -> Answer {
    world.throttle_answers += 1;
    let code = if world.throttle_answers % 2 == 1 { "429" } else { "TooManyRequests" };
    Answer { retry_after, ..error_answer(world, api, 429, code, message) }
}

/// A success, and rules broken on the way to it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) violation: Option<String>,
}

impl Done {
    pub(crate) fn ok(body: Vec<u8>) -> Done {
        Done { status: 200, body, violation: None }
    }
}

/// Processes the request: whatever it changes is changed when this returns.
pub(crate) fn process(world: &mut World, route: &Route, request: &Request) -> Answer {
    let mut violations: Vec<String> = Vec::new();
    violations.extend(impatience(world, route, request));
    let outcome = match route {
        Route::Token { tenant } => return token(world, tenant, request),
        Route::Unexpected => Err(Refusal {
            malformed: true,
            ..Refusal::new(404, "NotFound", format!("No route for {} {}", request.method, request.path))
        }),
        route => admitted(world, route, request).and_then(|app| api(world, route, &app, request)),
    };
    let mut answer = match outcome {
        Ok(done) => {
            violations.extend(done.violation);
            Answer { status: done.status, body: done.body, ..Answer::default() }
        }
        Err(refusal) => {
            violations.extend(refusal.violation);
            let answer = if refusal.status == 429 {
                throttle_answer(world, route.api(), &refusal.message, refusal.retry_after)
            } else {
                error_answer(world, route.api(), refusal.status, &refusal.code, &refusal.message)
            };
            Answer { malformed: refusal.malformed, ..answer }
        }
    };
    if answer.status == 429 {
        remember_throttle(world, route, request, answer.retry_after);
    }
    answer.violations = violations;
    answer
}

/// Asked again before the Retry-After of its 429 has passed, where that matters.
pub(crate) fn impatience(world: &World, route: &Route, request: &Request) -> Option<String> {
    let app = app_of(world, request)?;
    let until = world.throttled_until.get(&(app, route.name())).copied()?;
    (route.has_to_wait() && world.now < until)
        .then(|| format!("`{}` asked again before its Retry-After had passed ({until})", route.name()))
}

pub(crate) fn remember_throttle(
    world: &mut World,
    route: &Route,
    request: &Request,
    retry_after: Option<u64>,
) {
    let seconds = retry_after.and_then(|seconds| i64::try_from(seconds).ok());
    if let (Some(app), Some(seconds)) = (app_of(world, request), seconds) {
        let until = world.now + SignedDuration::from_secs(seconds);
        world.throttled_until.insert((app, route.name()), until);
    }
}

/// The client id whose token the request carries, valid or not.
pub(crate) fn app_of(world: &World, request: &Request) -> Option<String> {
    bearer(world, request).map(|token| token.client_id.clone())
}

fn bearer<'a>(world: &'a World, request: &Request) -> Option<&'a Token> {
    let (scheme, text) = request.header("authorization")?.split_once(' ')?;
    let known = |token: &&Token| token.text == text.trim();
    scheme.eq_ignore_ascii_case("bearer").then(|| world.tokens.iter().find(known)).flatten()
}

/// Token, quota, role: who may come in. Gives the client id.
fn admitted(world: &mut World, route: &Route, request: &Request) -> Result<String, Refusal> {
    let unauthorized = |message: &str| Refusal::new(401, "Unauthorized", message);
    if request.header("authorization").is_none() {
        let refusal = unauthorized("No authorization header was found in the request.");
        return Err(Refusal { malformed: true, ..refusal });
    }
    let Some(token) = bearer(world, request).cloned() else {
        return Err(unauthorized("The access token is not valid."));
    };
    let audience = match route.api() {
        Api::Defender => &world.audience,
        Api::Graph => &world.graph_audience,
    };
    if token.audience != *audience {
        let broken = format!("a token for `{}` used on `{}`", token.audience, route.name());
        return Err(unauthorized("The audience of the access token is invalid.").broken_rule(broken));
    }
    if world.now >= token.expires {
        return Err(unauthorized("The access token expired."));
    }
    let counted_for = match route {
        Route::Hunt { api } => {
            hunting::room(world, *api)?;
            world.tenant.clone()
        }
        _ => token.client_id.clone(),
    };
    behaviour::spend(world, &counted_for, route.name()).map_err(|over| {
        let message = format!("API calls quota exceeded! maximum allowed {} per {}", over.limit, over.window);
        Refusal::for_now(message, over.retry_after)
    })?;
    let wanted = roles(world, route);
    if wanted.is_empty() || wanted.iter().any(|role| token.roles.iter().any(|held| held == role)) {
        Ok(token.client_id)
    } else {
        let wanted = wanted.join(",");
        Err(Refusal::new(
            403,
            "Forbidden",
            format!(
                "The application does not have any of the required application permissions ({wanted}) to access the resource."
            ),
        ))
    }
}

/// Any one of these is enough; empty: no role is asked for.
fn roles(world: &World, route: &Route) -> &'static [&'static str] {
    match route {
        Route::Alerts | Route::Alert { .. } | Route::MachineAlerts { .. } => {
            &["Alert.Read.All", "Alert.ReadWrite.All"]
        }
        Route::Machines | Route::Machine { .. } | Route::MachineActions | Route::MachineAction { .. } => {
            &["Machine.Read.All", "Machine.ReadWrite.All"]
        }
        Route::UpdateAlert { .. } | Route::CreateAlert => &["Alert.ReadWrite.All"],
        Route::GraphAlerts | Route::GraphAlert { .. } => {
            &["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"]
        }
        Route::CommentAlert { .. } => &["SecurityAlert.ReadWrite.All"],
        Route::Incident { .. } => &["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"],
        Route::Hunt { api: Api::Graph } => &["ThreatHunting.Read.All"],
        Route::Hunt { api: Api::Defender } => &["AdvancedQuery.Read.All"],
        Route::Isolate { .. } | Route::Unisolate { .. } => &["Machine.Isolate"],
        Route::Cancel { action } => match world.action(action).map(|action| action.kind) {
            Some(ActionType::Isolate | ActionType::Unisolate) | None => &["Machine.Isolate"],
            Some(ActionType::RunAntiVirusScan) => &["Machine.Scan"],
            Some(ActionType::Offboard) => &["Machine.Offboard"],
            Some(ActionType::LiveResponse) => &["Machine.LiveResponse"],
            Some(ActionType::CollectInvestigationPackage) => &["Machine.CollectForensics"],
            Some(ActionType::StopAndQuarantineFile) => &["Machine.StopAndQuarantine"],
            Some(ActionType::RestrictCodeExecution | ActionType::UnrestrictCodeExecution) => {
                &["Machine.RestrictExecution"]
            }
        },
        Route::Token { .. } | Route::Unexpected => &[],
    }
}

fn api(world: &mut World, route: &Route, app: &str, request: &Request) -> Result<Done, Refusal> {
    match route {
        Route::Alerts => alerts(world, request, None),
        Route::Alert { id } => alert(world, request, id),
        Route::UpdateAlert { id } => update_alert(world, app, id, request),
        Route::Machines => machines(world, request),
        Route::Machine { id } => machine(world, request, id),
        Route::MachineAlerts { id } => {
            let id = machine_id(world, id).ok_or_else(|| Refusal::not_found("Machine", id))?;
            alerts(world, request, Some(&id))
        }
        Route::MachineActions => machine_actions(world, request),
        Route::MachineAction { id } => {
            odata::options(&request.query, &odata::MACHINE_ACTIONS)?;
            let action = world.action(id).ok_or_else(|| Refusal::not_found("Machine action", id))?;
            Ok(Done::ok(entity(world, "MachineActions", action)))
        }
        Route::Isolate { machine } => isolate(world, app, machine, request),
        Route::Unisolate { machine } => unisolate(world, app, machine, request),
        Route::Cancel { action } => cancel(world, app, action, request),
        Route::CreateAlert => create::alert(world, request),
        Route::GraphAlerts => graph::alerts(world, request),
        Route::GraphAlert { id } => graph::alert(world, request, id),
        Route::CommentAlert { id } => graph::comment(world, app, request, id),
        Route::Incident { id } => graph::incident(world, request, id),
        Route::Hunt { api } => hunting::run(world, *api, request),
        Route::Token { .. } | Route::Unexpected => {
            Err(Refusal::new(404, "NotFound", "not a route of the API"))
        }
    }
}

// Tokens.

fn token(world: &mut World, tenant: &str, request: &Request) -> Answer {
    let form: Vec<(String, String)> =
        url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
    let value = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if !tenant.eq_ignore_ascii_case(&world.tenant) {
        let text = format!(
            "AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        );
        return entra_error(world, 400, "invalid_request", 90_002, &text);
    }
    if value("grant_type") != Some("client_credentials") {
        let text = "AADSTS70003: The app requested an unsupported grant type.";
        return Answer { malformed: true, ..entra_error(world, 400, "unsupported_grant_type", 70_003, text) };
    }
    let client_id = value("client_id").unwrap_or_default();
    let app = world.apps.iter().find(|app| app.client_id.eq_ignore_ascii_case(client_id)).cloned();
    let Some(app) = app else {
        let text = format!(
            "AADSTS700016: Application with identifier '{client_id}' was not found in the directory."
        );
        return entra_error(world, 400, "unauthorized_client", 700_016, &text);
    };
    let audience = value("scope").and_then(|scope| scope.strip_suffix("/.default")).map(str::to_owned);
    let Some(audience) = audience else {
        let text = "AADSTS1002012: The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.";
        return Answer { malformed: true, ..entra_error(world, 400, "invalid_scope", 1_002_012, text) };
    };
    let is_ours = audience == world.audience || audience == world.graph_audience;
    if !is_ours && !world.other_audiences.contains(&audience) {
        let text =
            format!("AADSTS500011: The resource principal named {audience} was not found in the tenant.");
        return entra_error(world, 400, "invalid_resource", 500_011, &text);
    }
    match value("client_secret") {
        Some(secret) if secret == app.secret => {}
        Some(_) => {
            let text = format!(
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client_id}'."
            );
            return entra_error(world, 401, "invalid_client", 7_000_215, &text);
        }
        None => {
            let text = "AADSTS7000216: 'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.";
            return entra_error(world, 401, "invalid_client", 7_000_216, text);
        }
    }
    let expires = world.now + world.token_life;
    let roles = if audience == world.graph_audience { app.graph_roles } else { app.roles };
    let text = jwt(world, &app.client_id, &roles, &audience, expires);
    let body = json!({
        "token_type": "Bearer",
        "expires_in": world.token_life.as_secs(),
        "ext_expires_in": world.token_life.as_secs(),
        "access_token": text,
    });
    world.given_out.push(text.clone());
    world.tokens.push(Token { text, client_id: app.client_id, audience, roles, expires });
    Answer { status: 200, body: body.to_string().into_bytes(), ..Answer::default() }
}

fn entra_error(world: &mut World, status: u16, error: &str, number: u64, text: &str) -> Answer {
    let (trace, correlation) = (world.guid(), world.guid());
    let timestamp = world.now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let body = json!({
        "error": error,
        "error_description": format!(
            "{text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
        ),
        "error_codes": [number],
        "timestamp": timestamp,
        "trace_id": trace,
        "correlation_id": correlation,
    });
    Answer { status, body: body.to_string().into_bytes(), ..Answer::default() }
}

/// Shaped like a JSON Web Token; the signature is none. `uti` makes each one different.
fn jwt(world: &mut World, client_id: &str, roles: &[String], audience: &str, expires: Timestamp) -> String {
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": "simulated"});
    let payload = json!({
        "aud": audience,
        "iss": format!("https://sts.windows.net/{}/", world.tenant),
        "iat": world.now.as_second(),
        "nbf": world.now.as_second(),
        "exp": expires.as_second(),
        "appid": client_id,
        "roles": roles,
        "tid": world.tenant,
        "uti": world.guid(),
        "ver": "1.0",
    });
    let parts = [header.to_string(), payload.to_string(), "not a signature".to_owned()];
    parts.map(|part| base64url(part.as_bytes())).join(".")
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| (group << 8) | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for position in 0..=chunk.len() {
            let sextet = (group >> (18 - 6 * position)) & 63;
            let letter = usize::try_from(sextet).ok().and_then(|index| ALPHABET.get(index));
            text.push(char::from(letter.copied().unwrap_or(b'A')));
        }
    }
    text
}

// Lists and single entities.

/// A record on its way through a list: one of ours, or one planted as raw JSON.
pub(crate) enum Item<'a, T> {
    Typed(&'a T),
    Raw(&'a Value),
}

/// What a list needs to know of a record.
pub(crate) trait Entity {
    fn field(&self, property: &Property) -> Field<'_>;
    fn id(&self) -> &str;
    fn write(&self, out: &mut Vec<u8>, expand_evidence: bool) -> serde_json::Result<()>;
}

impl Entity for Alert {
    fn field(&self, property: &Property) -> Field<'_> {
        match property.name {
            "id" => Field::text(&self.id),
            "alertCreationTime" => Field::maybe_time(self.alert_creation_time),
            "lastUpdateTime" => Field::maybe_time(self.last_update_time),
            "lastEventTime" => Field::maybe_time(self.last_event_time),
            "incidentId" => self.incident_id.map_or(Field::Null, Field::Number),
            "investigationId" => self.investigation_id.map_or(Field::Null, Field::Number),
            "assignedTo" => Field::maybe_text(self.assigned_to.as_ref()),
            "detectionSource" => Field::maybe_text(self.detection_source.as_ref()),
            "status" => Field::text(&self.status),
            "severity" => Field::text(&self.severity),
            "category" => Field::maybe_text(self.category.as_ref()),
            _ => Field::Null,
        }
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn write(&self, out: &mut Vec<u8>, expand_evidence: bool) -> serde_json::Result<()> {
        serde_json::to_writer(out, &AlertBody { alert: self, expanded: expand_evidence })
    }
}

impl Entity for Machine {
    fn field(&self, property: &Property) -> Field<'_> {
        match property.name {
            "id" => Field::text(&self.id),
            "computerDnsName" => Field::maybe_text(self.computer_dns_name.as_ref()),
            "version" => Field::maybe_text(self.version.as_ref()),
            "deviceValue" => Field::maybe_text(self.device_value.as_ref()),
            "aadDeviceId" => Field::maybe_text(self.aad_device_id.as_ref()),
            "machineTags" => Field::Tags(self.machine_tags.iter().map(String::as_str).collect()),
            "lastSeen" => Field::maybe_time(self.last_seen),
            "exposureLevel" => Field::maybe_text(self.exposure_level.as_ref()),
            "onboardingStatus" => Field::text(&self.onboarding_status),
            "lastIpAddress" => Field::maybe_text(self.last_ip_address.as_ref()),
            "healthStatus" => Field::text(&self.health_status),
            "osPlatform" => Field::maybe_text(self.os_platform.as_ref()),
            "riskScore" => Field::maybe_text(self.risk_score.as_ref()),
            "rbacGroupId" => self.rbac_group_id.map_or(Field::Null, |id| Field::Text(id.to_string().into())),
            _ => Field::Null,
        }
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn write(&self, out: &mut Vec<u8>, _: bool) -> serde_json::Result<()> {
        serde_json::to_writer(out, self)
    }
}

impl Entity for MachineAction {
    fn field(&self, property: &Property) -> Field<'_> {
        match property.name {
            "id" => Field::text(&self.id),
            "status" => Field::text(self.status.name()),
            "machineId" => Field::text(&self.machine_id),
            "type" => Field::text(self.kind.name()),
            "requestor" => Field::text(&self.requestor),
            "creationDateTimeUtc" => Field::maybe_time(Some(self.creation_date_time_utc)),
            _ => Field::Null,
        }
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn write(&self, out: &mut Vec<u8>, _: bool) -> serde_json::Result<()> {
        serde_json::to_writer(out, self)
    }
}

impl<T: Entity> Entity for Item<'_, T> {
    fn field(&self, property: &Property) -> Field<'_> {
        match self {
            Item::Typed(entity) => entity.field(property),
            Item::Raw(value) => Field::of_raw(value, property),
        }
    }

    fn id(&self) -> &str {
        match self {
            Item::Typed(entity) => entity.id(),
            Item::Raw(value) => value.get("id").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    fn write(&self, out: &mut Vec<u8>, expand_evidence: bool) -> serde_json::Result<()> {
        match self {
            Item::Typed(entity) => entity.write(out, expand_evidence),
            Item::Raw(value) if !expand_evidence && value.get("evidence").is_some() => {
                let mut value = (*value).clone();
                if let Some(object) = value.as_object_mut() {
                    object.insert("evidence".to_owned(), Value::Array(Vec::new()));
                }
                serde_json::to_writer(out, &value)
            }
            Item::Raw(value) => serde_json::to_writer(out, value),
        }
    }
}

fn alerts(world: &World, request: &Request, machine: Option<&str>) -> Result<Done, Refusal> {
    let options = odata::options(&request.query, &odata::ALERTS)?;
    if world.refuses_orderby && !options.order.is_empty() {
        return Err(Refusal::new(400, "ODataError", "The query option '$orderby' is not allowed."));
    }
    let on_machine = |id: Option<&str>| machine.is_none_or(|machine| id == Some(machine));
    let typed =
        visible_alerts(world).filter(|alert| on_machine(alert.machine_id.as_deref())).map(Item::Typed);
    let raw = world
        .raw_alerts
        .iter()
        .filter(|alert| on_machine(alert.get("machineId").and_then(Value::as_str)))
        .map(Item::Raw);
    let heavy = |most| options.expand_evidence && options.top.is_none_or(|top| top > most);
    if world.most_expanded.is_some_and(heavy) {
        return Err(Refusal::new(500, "InternalServerError", "An unexpected error occurred"));
    }
    Ok(Done::ok(list(world, request, &odata::ALERTS, &options, typed.chain(raw).collect())))
}

pub(crate) fn visible_alerts(world: &World) -> impl Iterator<Item = &Alert> {
    world.alerts.iter().filter(|alert| alert.visible_at.is_none_or(|at| at <= world.now))
}

fn alert(world: &World, request: &Request, id: &str) -> Result<Done, Refusal> {
    odata::options(&request.query, &odata::ALERTS)?;
    let raw = world.raw_alerts.iter().map(Item::Raw);
    let mut all = raw.chain(visible_alerts(world).map(Item::Typed));
    let found = all.find(|alert| alert.id() == id).ok_or_else(|| Refusal::not_found("Alert", id))?;
    Ok(Done::ok(entity_of(world, "Alerts", &found)))
}

/// Machines as served: a raw one stands in for the ordinary one with its id.
fn served_machines(world: &World) -> impl Iterator<Item = Item<'_, Machine>> {
    let raw = |machine: &&Machine| world.raw_machines.iter().any(|raw| raw_id(raw) == Some(&machine.id));
    let typed = world.machines.iter().filter(move |machine| !raw(machine)).map(Item::Typed);
    typed.chain(world.raw_machines.iter().map(Item::Raw))
}

fn raw_id(raw: &Value) -> Option<&str> {
    raw.get("id").and_then(Value::as_str)
}

fn machines(world: &World, request: &Request) -> Result<Done, Refusal> {
    let options = odata::options(&request.query, &odata::MACHINES)?;
    let found: Vec<_> = served_machines(world).collect();
    let wanted = |machine: &Item<'_, Machine>| {
        options
            .filter
            .as_ref()
            .is_none_or(|filter| filter.accepts(&|property: &Property| machine.field(property)))
    };
    if !found.iter().any(wanted) {
        return Err(Refusal::new(404, "ResourceNotFound", "No recent machines were found"));
    }
    Ok(Done::ok(list(world, request, &odata::MACHINES, &options, found)))
}

/// By id, or by computer name.
fn find_machine<'a>(world: &'a World, key: &str) -> Option<Item<'a, Machine>> {
    let name = &Property { name: "computerDnsName", kind: odata::Kind::Text };
    served_machines(world).find(|machine| {
        let named = match machine.field(name) {
            Field::Text(name) => name.eq_ignore_ascii_case(key),
            Field::Null | Field::Time(_) | Field::Number(_) | Field::Tags(_) => false,
        };
        machine.id().eq_ignore_ascii_case(key) || named
    })
}

fn machine_id(world: &World, key: &str) -> Option<String> {
    find_machine(world, key).map(|machine| machine.id().to_owned())
}

fn machine(world: &World, request: &Request, key: &str) -> Result<Done, Refusal> {
    odata::options(&request.query, &odata::MACHINES)?;
    let found = find_machine(world, key).ok_or_else(|| Refusal::not_found("Machine", key))?;
    Ok(Done::ok(entity_of(world, "Machines", &found)))
}

fn machine_actions(world: &World, request: &Request) -> Result<Done, Refusal> {
    let options = odata::options(&request.query, &odata::MACHINE_ACTIONS)?;
    let found: Vec<_> = world.actions.iter().map(Item::Typed).collect();
    Ok(Done::ok(list(world, request, &odata::MACHINE_ACTIONS, &options, found)))
}

pub(crate) fn list<T: Entity>(
    world: &World,
    request: &Request,
    collection: &Collection,
    options: &Options,
    items: Vec<Item<'_, T>>,
) -> Vec<u8> {
    let mut items: Vec<_> = items
        .into_iter()
        .filter(|item| {
            options
                .filter
                .as_ref()
                .is_none_or(|filter| filter.accepts(&|property: &Property| item.field(property)))
        })
        .collect();
    sort(world, collection, options, &mut items);
    let total = items.len();
    // How large a page of Graph's is without `$top` is not documented.
    let largest = if collection.graph { 1_000 } else { usize::MAX };
    let page = options.top.unwrap_or(world.default_page).min(largest);
    let next = options.skip.saturating_add(page);
    let has_next = next < total && page > 0;
    let on_by = if collection.graph { "$skiptoken" } else { "$skip" };
    let whole_link = || next_link(request, on_by, next);
    let link = match world.next_links {
        NextLinks::WithoutTop | NextLinks::Broken if options.top.is_some() && !collection.graph => None,
        NextLinks::WithoutTop | NextLinks::Always => has_next.then(whole_link),
        NextLinks::Broken => has_next.then(|| whole_link().replace("%24", "").replace('$', "")),
    };

    let context = if collection.graph {
        graph::context(world, collection.name)
    } else {
        context(world, collection.name, "")
    };
    let mut out = format!("{{\"@odata.context\":{},", json!(context)).into_bytes();
    if options.count {
        out.extend(format!("\"@odata.count\":{total},").into_bytes());
    }
    out.extend_from_slice(b"\"value\":[");
    for (position, item) in items.iter().skip(options.skip).take(page).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        match &options.select {
            None => write(item, &mut out, options.expand_evidence),
            Some(names) => write_selected(item, &mut out, options.expand_evidence, names),
        }
    }
    out.push(b']');
    if let Some(link) = link {
        out.extend(format!(",\"@odata.nextLink\":{}", json!(link)).into_bytes());
    }
    out.push(b'}');
    out
}

fn write(item: &impl Entity, out: &mut Vec<u8>, expand_evidence: bool) {
    if item.write(out, expand_evidence).is_err() {
        out.extend_from_slice(b"null");
    }
}

fn write_selected(item: &impl Entity, out: &mut Vec<u8>, expand_evidence: bool, names: &[&str]) {
    let mut bytes = Vec::new();
    write(item, &mut bytes, expand_evidence);
    let mut value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| names.contains(&key.as_str()));
    }
    out.extend(value.to_string().into_bytes());
}

fn sort<T: Entity>(world: &World, collection: &Collection, options: &Options, items: &mut [Item<'_, T>]) {
    let asked = world.honours_orderby && !options.order.is_empty();
    if asked {
        items.sort_by(|a, b| {
            options.order.iter().fold(Ordering::Equal, |so_far, (property, descending)| {
                let order = a.field(property).order(&b.field(property));
                so_far.then(if *descending { order.reverse() } else { order })
            })
        });
        return;
    }
    let by = collection.ordered_by;
    match world.list_order {
        ListOrder::NewestFirst => items.sort_by(|a, b| b.field(by).order(&a.field(by))),
        ListOrder::OldestFirst => items.sort_by(|a, b| a.field(by).order(&b.field(by))),
        ListOrder::Shuffled(seed) => items.sort_by_cached_key(|item| scrambled(seed, item.id())),
    }
}

/// A number that says nothing about the text, always the same for the same seed (FNV-1a).
fn scrambled(seed: u64, text: &str) -> u64 {
    text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The same request, further on.
fn next_link(request: &Request, on_by: &str, skip: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(request.query.as_bytes()) {
        if name != "$skip" && name != on_by {
            query.append_pair(&name, &value);
        }
    }
    query.append_pair(on_by, &skip.to_string());
    let host = request.header("host").unwrap_or("127.0.0.1");
    format!("http://{host}{}?{}", request.path, query.finish())
}

fn context(world: &World, collection: &str, suffix: &str) -> String {
    format!("{}/api/$metadata#{collection}{suffix}", world.audience)
}

/// One entity with its context in front.
pub(crate) fn entity(world: &World, collection: &str, entity: &impl Serialize) -> Vec<u8> {
    with_context(world, collection, &serde_json::to_vec(entity).unwrap_or_default())
}

fn entity_of(world: &World, collection: &str, entity: &impl Entity) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(entity, &mut bytes, true);
    with_context(world, collection, &bytes)
}

fn with_context(world: &World, collection: &str, entity: &[u8]) -> Vec<u8> {
    match entity.strip_prefix(b"{") {
        Some(rest) if !rest.starts_with(b"}") => {
            let context = context(world, collection, "/$entity");
            let mut out = format!("{{\"@odata.context\":{},", json!(context)).into_bytes();
            out.extend_from_slice(rest);
            out
        }
        // A raw record need not be an object.
        Some(_) | None => entity.to_vec(),
    }
}

// Effects.

pub(crate) fn is_json(request: &Request) -> bool {
    request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"))
}

/// The body's members, and the comment that every action must have.
fn action_body(request: &Request) -> Result<(String, serde_json::Map<String, Value>), Refusal> {
    if !is_json(request) {
        return Err(Refusal::malformed("InvalidRequestBody", "Request body is incorrect")
            .broken_rule("an action without `Content-Type: application/json`"));
    }
    let Ok(Value::Object(body)) = serde_json::from_str::<Value>(&request.body) else {
        return Err(Refusal::malformed("InvalidRequestBody", "Request body is incorrect"));
    };
    for key in body.keys() {
        if !matches!(key.as_str(), "Comment" | "IsolationType") {
            return Err(Refusal::malformed("InvalidRequestBody", "Request body is incorrect")
                .broken_rule(format!("`{key}` is no member of an action's body (case counts)")));
        }
    }
    match body.get("Comment").and_then(Value::as_str) {
        Some(comment) if !comment.trim().is_empty() => Ok((comment.to_owned(), body)),
        Some(_) | None => {
            Err(Refusal::malformed("MissingRequiredParameter", "Required parameter is missing: Comment")
                .broken_rule("an action without a comment"))
        }
    }
}

fn isolate(world: &mut World, app: &str, key: &str, request: &Request) -> Result<Done, Refusal> {
    let (comment, body) = action_body(request)?;
    let scope = match body.get("IsolationType") {
        None => "Full",
        Some(Value::String(kind)) => match kind.as_str() {
            "Full" => "Full",
            "Selective" => "Selective",
            "UnManagedDevice" => "UnManagedDevice",
            other => {
                return Err(Refusal::malformed("InvalidInput", format!("Invalid IsolationType: {other}")));
            }
        },
        Some(_) => return Err(Refusal::malformed("InvalidRequestBody", "Request body is incorrect")),
    };
    let machine = machine_id(world, key).ok_or_else(|| Refusal::not_found("Machine", key))?;
    if world.find_machine(&machine).is_some_and(|machine| !machine.can_be_isolated) {
        let message = "Isolate is not supported on the machine's operating system";
        return Err(Refusal::new(400, "OsPlatformNotSupported", message));
    }
    if let Some(open) = behaviour::open_action(world, &machine, ActionType::Isolate) {
        let broken = format!(
            "isolate of {machine} asked for while isolation {} is {}",
            open.id,
            if open.status == ActionStatus::Pending { "pending" } else { "in progress" }
        );
        return duplicate(world, open)
            .map(|done| Done { violation: Some(broken.clone()), ..done })
            .map_err(|refusal| refusal.broken_rule(broken));
    }
    let wedged = behaviour::is_isolated(world, &machine);
    let mut action =
        behaviour::new_action(world, ActionType::Isolate, &machine, app, "PublicApi", Some(scope), &comment);
    action.wedged = wedged;
    let body = entity(world, "MachineActions", &action);
    let violation = wedged.then(|| {
        format!("a second isolate of {machine}, already isolated, was accepted: {} is stuck", action.id)
    });
    behaviour::add(world, action);
    Ok(Done { status: 201, body, violation })
}

fn unisolate(world: &mut World, app: &str, key: &str, request: &Request) -> Result<Done, Refusal> {
    let (comment, body) = action_body(request)?;
    if body.contains_key("IsolationType") {
        return Err(Refusal::malformed("InvalidRequestBody", "Request body is incorrect"));
    }
    let machine = machine_id(world, key).ok_or_else(|| Refusal::not_found("Machine", key))?;
    if let Some(open) = behaviour::open_action(world, &machine, ActionType::Unisolate) {
        return duplicate(world, open);
    }
    let action =
        behaviour::new_action(world, ActionType::Unisolate, &machine, app, "PublicApi", None, &comment);
    let body = entity(world, "MachineActions", &action);
    behaviour::add(world, action);
    Ok(Done { status: 201, body, violation: None })
}

/// What a repeat gets while the first one is under way.
fn duplicate(world: &World, open: &MachineAction) -> Result<Done, Refusal> {
    match world.duplicate {
        Duplicate::PendingAction => {
            Ok(Done { status: 201, body: entity(world, "MachineActions", open), violation: None })
        }
        Duplicate::ActiveRequestAlreadyExists => {
            Err(Refusal::new(400, "ActiveRequestAlreadyExists", "Active request already exists"))
        }
        Duplicate::AlreadyInProgress => Err(Refusal::new(400, "BadRequest", "Action is already in progress")),
    }
}

fn cancel(world: &mut World, app: &str, id: &str, request: &Request) -> Result<Done, Refusal> {
    let (comment, _) = action_body(request)?;
    if world.action(id).is_none() {
        return Err(Refusal::not_found("Machine action", id));
    }
    if !behaviour::cancel(world, id, app, &comment) {
        return Err(Refusal::new(400, "BadRequest", "The machine action is already in a final state"));
    }
    let action = world.action(id).ok_or_else(|| Refusal::not_found("Machine action", id))?;
    Ok(Done::ok(entity(world, "MachineActions", action)))
}

/// What may stand in the body of an update.
const UPDATABLE: [&str; 5] = ["status", "assignedTo", "classification", "determination", "comment"];

/// The members of an update's body: at least one, each a text.
fn update_body(request: &Request) -> Result<Vec<(String, String)>, Refusal> {
    let wrong = || Refusal::malformed("InvalidRequestBody", "Request body is incorrect");
    if !is_json(request) {
        return Err(wrong().broken_rule("an update without `Content-Type: application/json`"));
    }
    let Ok(Value::Object(body)) = serde_json::from_str::<Value>(&request.body) else { return Err(wrong()) };
    if body.is_empty() {
        return Err(wrong());
    }
    let mut members = Vec::new();
    for (name, value) in body {
        if !UPDATABLE.contains(&name.as_str()) {
            let broken = format!("`{name}` is no member of an update's body (case counts)");
            return Err(wrong().broken_rule(broken));
        }
        let Value::String(value) = value else { return Err(wrong()) };
        members.push((name, value));
    }
    Ok(members)
}

/// Changes an alert of ours; one that was planted as raw JSON is not found.
fn update_alert(world: &mut World, app: &str, id: &str, request: &Request) -> Result<Done, Refusal> {
    let members = update_body(request)?;
    let status = members.iter().find(|(name, _)| name == "status").map(|(_, status)| status.as_str());
    if let Some(status) = status.filter(|status| !["New", "InProgress", "Resolved"].contains(status)) {
        return Err(Refusal::malformed("InvalidInput", format!("Invalid status: {status}")));
    }
    let now = to_ticks(world.now);
    let alert = world
        .alerts
        .iter_mut()
        .find(|alert| alert.id == id && alert.visible_at.is_none_or(|at| at <= now))
        .ok_or_else(|| Refusal::not_found("Alert", id))?;
    let mut violation = None;
    for (name, value) in members {
        match name.as_str() {
            "status" => alert.status = value,
            "assignedTo" => alert.assigned_to = Some(value),
            "classification" => alert.classification = Some(value),
            "determination" => alert.determination = Some(value),
            _ => violation = add_comment(alert, app, value, now),
        }
    }
    alert.last_update_time = Some(now);
    let alert = world.find_alert(id).ok_or_else(|| Refusal::not_found("Alert", id))?;
    Ok(Done { violation, ..Done::ok(entity(world, "Alerts", alert)) })
}

/// Appends the app's comment, and says so where it stands there already.
pub(crate) fn add_comment(alert: &mut Alert, app: &str, comment: String, now: Timestamp) -> Option<String> {
    let twice = alert.comments.iter().any(|there| there.comment == comment);
    alert.comments.push(Comment { comment, created_by: app.to_owned(), created_time: now });
    twice.then(|| format!("the same comment posted twice on alert {}", alert.id))
}

/// When a request came in, as the journal shows it.
pub(crate) fn arrival(world: &World) -> Timestamp {
    to_ticks(world.now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_without_case_and_with_or_without_a_version() {
        let cases = [
            ("GET", "/api/alerts", "GET alerts"),
            ("GET", "/API/v1.0/Alerts/da1_-2", "GET alert"),
            ("PATCH", "/api/alerts/da1_-2", "PATCH alert"),
            ("GET", "/api/machines/abc/alerts", "GET machine alerts"),
            ("GET", "/api/MachineActions/abc", "GET machineaction"),
            ("POST", "/api/machines/abc/Isolate", "POST isolate"),
            ("POST", "/api/machineactions/abc/cancel", "POST cancel"),
            ("POST", "/api/alerts/CreateAlertByReference", "POST create alert"),
            ("POST", "/api/advancedqueries/run", "POST advancedqueries"),
            ("POST", "/v1.0/security/runHuntingQuery", "POST runHuntingQuery"),
            ("GET", "/v1.0/security/alerts_v2", "GET alerts"),
            ("GET", "/v1.0/security/alerts_v2/da1_-2", "GET alert"),
            ("POST", "/v1.0/security/alerts_v2/da1_-2/comments", "PATCH alert"),
            ("GET", "/v1.0/security/incidents/7", "GET incident"),
            ("POST", "/tenant/oauth2/v2.0/token", "POST token"),
            ("GET", "/v1.0/alerts_v2", "unexpected"),
            ("PATCH", "/v1.0/security/alerts_v2/da1_-2", "unexpected"),
            ("GET", "/api/machines/abc/isolate", "unexpected"),
            ("DELETE", "/api/alerts", "unexpected"),
            ("GET", "/", "unexpected"),
        ];
        for (method, path, name) in cases {
            assert_eq!(route(method, path).name(), name, "{method} {path}");
        }
        assert_eq!(route("GET", "/api/machines/p%C3%A4c%2F1%"), Route::Machine { id: "päc/1%".to_owned() });
    }

    #[test]
    fn base64url_has_no_padding_and_the_right_letters() {
        let cases = [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("\u{fb}\u{ff}?", "w7vDvz8")];
        for (text, encoded) in cases {
            assert_eq!(base64url(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn errors_have_the_shape_of_microsofts_examples() {
        let cases = [
            (
                404,
                "ResourceNotFound",
                "Machine 123123123 was not found",
                include_str!("../samples/error-404-resource-not-found.json"),
            ),
            (
                400,
                "InvalidRequestBody",
                "Request body is incorrect",
                include_str!("../samples/error-400-invalid-request-body.json"),
            ),
        ];
        let mut world = World::new(Timestamp::UNIX_EPOCH);
        for (status, code, message, documented) in cases {
            let printed = error_answer(&mut world, Api::Defender, status, code, message);
            let printed: Value = serde_json::from_slice(&printed.body).unwrap();
            let mut documented: Value = serde_json::from_str(documented).unwrap();
            documented["error"]["target"] = printed["error"]["target"].clone();
            assert_eq!(printed, documented);
        }
    }
}
