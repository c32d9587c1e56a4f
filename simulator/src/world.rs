//! The pretended tenant: plain data, builders, and the things that people do in the portal.
//!
//! No HTTP and no rules: how actions move stands in `behaviour`, what a request may do in `http`.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::behaviour;
use crate::entities::{ActionType, Alert, Behaviour, Machine, MachineAction, Pace};
use crate::faults::{Chaos, Fault};
use crate::generate::Generated;
use crate::hunting::{HuntingLimits, Run, Table};

/// The tenant of `World::new`.
pub const DEFAULT_TENANT: &str = "11111111-2222-3333-4444-555555555555";
/// The app of `World::new`; it holds every role in `DEFAULT_ROLES`.
pub const DEFAULT_CLIENT: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
/// The secret of `DEFAULT_CLIENT`.
pub const DEFAULT_SECRET: &str = "simulated-secret-not-a-real-one";
/// The audience of `World::new`: the Defender API.
pub const DEFAULT_AUDIENCE: &str = "https://api.securitycenter.microsoft.com";
/// The audience of Microsoft Graph in `World::new`.
pub const DEFAULT_GRAPH_AUDIENCE: &str = "https://graph.microsoft.com";
/// What the default app may do at Defender's API: read alerts and machines, hunt, isolate and release.
pub const DEFAULT_ROLES: &[&str] =
    &["Alert.Read.All", "Machine.Read.All", "AdvancedQuery.Read.All", "Machine.Isolate"];
/// What the default app may do at Graph: read alerts and incidents, hunt.
pub const DEFAULT_GRAPH_ROLES: &[&str] =
    &["SecurityAlert.Read.All", "SecurityIncident.Read.All", "ThreatHunting.Read.All"];

/// Where `World::now` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// From `advance` and `set_now` alone.
    Manual,
    /// From the computer's clock.
    System,
}

/// An app registration with its secret and the roles an administrator has granted.
#[derive(Debug, Clone)]
pub struct App {
    pub client_id: String,
    pub secret: String,
    /// At Defender's API: what stands in a token for it.
    pub roles: Vec<String>,
    /// At Microsoft Graph: what stands in a token for that.
    pub graph_roles: Vec<String>,
}

/// The order of a list for which no `$orderby` was sent (the documentation promises none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    NewestFirst,
    OldestFirst,
    /// The same order for the same seed, whatever else is in the list.
    Shuffled(u64),
}

/// When a list carries `@odata.nextLink`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextLinks {
    /// Only without `$top`, as seen by users.
    WithoutTop,
    /// With `$top` too: each page has that size.
    Always,
    /// Only without `$top`, and the link's options have lost their `$`, so that it leads back to the start.
    Broken,
}

/// What a repeated isolate or unisolate gets while the first one is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    /// 2xx with the action that is under way.
    PendingAction,
    /// 400 with code `ActiveRequestAlreadyExists`.
    ActiveRequestAlreadyExists,
    /// 400 with code `BadRequest` and message `Action is already in progress`.
    AlreadyInProgress,
}

/// The pretended tenant. Fields are public: a test changes what it needs, at the start or while it runs.
#[derive(Debug, Clone)]
pub struct World {
    pub now: Timestamp,
    pub clock: Clock,
    pub tenant: String,
    /// The resource that tokens for `/api` are for.
    pub audience: String,
    /// The resource that tokens for `/v1.0` are for.
    pub graph_audience: String,
    /// Other resources the token endpoint knows; their tokens are refused by both.
    pub other_audiences: Vec<String>,
    pub apps: Vec<App>,
    pub token_life: SignedDuration,

    pub alerts: Vec<Alert>,
    /// Alerts served as they stand here, malformed or not.
    pub raw_alerts: Vec<Value>,
    /// The same for Graph, which shows none of `raw_alerts`.
    pub raw_graph_alerts: Vec<Value>,
    pub machines: Vec<Machine>,
    /// Machines served as they stand here; one with the id of an ordinary machine is served in its place.
    pub raw_machines: Vec<Value>,
    pub actions: Vec<MachineAction>,
    /// What hunting queries are answered from.
    pub tables: Vec<Table>,

    /// How fast actions move on machines without a pace of their own.
    pub pace: Pace,
    /// When an action that never reached its machine ends with `TimeOut`; default three days.
    pub times_out_after: SignedDuration,
    pub duplicate: Duplicate,

    pub list_order: ListOrder,
    /// False: `$orderby` is accepted and has no effect.
    pub honours_orderby: bool,
    /// True: `$orderby`, which the documentation's page does not list, gets 400.
    pub refuses_orderby: bool,
    /// A list of alerts with `$expand` gets 500 when more than so many are asked for, as if it weighed too much.
    pub most_expanded: Option<usize>,
    pub next_links: NextLinks,
    /// The page of a list for which no `$top` was sent; default 10,000.
    pub default_page: usize,

    pub quotas: bool,
    /// Calls per minute and per hour for one route, in place of the documented ones.
    pub quota_overrides: BTreeMap<String, (u64, u64)>,
    pub hunting: HuntingLimits,
    pub faults: Vec<Fault>,
    pub chaos: Option<Chaos>,

    pub(crate) system_offset: SignedDuration,
    pub(crate) tokens: Vec<Token>,
    pub(crate) given_out: Vec<String>,
    pub(crate) calls: BTreeMap<(String, &'static str), VecDeque<Timestamp>>,
    pub(crate) throttled_until: BTreeMap<(String, &'static str), Timestamp>,
    pub(crate) throttle_answers: u64,
    pub(crate) runs: VecDeque<Run>,
    pub(crate) rng: fastrand::Rng,
}

/// A token that was given out.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) client_id: String,
    pub(crate) audience: String,
    pub(crate) roles: Vec<String>,
    pub(crate) expires: Timestamp,
}

impl World {
    /// An empty tenant with the default app, at this instant, with a clock that stands still.
    pub fn new(now: Timestamp) -> World {
        World {
            now,
            clock: Clock::Manual,
            tenant: DEFAULT_TENANT.to_owned(),
            audience: DEFAULT_AUDIENCE.to_owned(),
            graph_audience: DEFAULT_GRAPH_AUDIENCE.to_owned(),
            other_audiences: vec!["https://api.security.microsoft.com".to_owned()],
            apps: Vec::new(),
            token_life: SignedDuration::from_secs(3_599),
            alerts: Vec::new(),
            raw_alerts: Vec::new(),
            raw_graph_alerts: Vec::new(),
            machines: Vec::new(),
            raw_machines: Vec::new(),
            actions: Vec::new(),
            tables: Vec::new(),
            pace: Pace::default(),
            times_out_after: SignedDuration::from_hours(72),
            duplicate: Duplicate::PendingAction,
            list_order: ListOrder::NewestFirst,
            honours_orderby: true,
            refuses_orderby: false,
            most_expanded: None,
            next_links: NextLinks::WithoutTop,
            default_page: 10_000,
            quotas: true,
            quota_overrides: BTreeMap::new(),
            hunting: HuntingLimits::default(),
            faults: Vec::new(),
            chaos: None,
            system_offset: SignedDuration::ZERO,
            tokens: Vec::new(),
            given_out: Vec::new(),
            calls: BTreeMap::new(),
            throttled_until: BTreeMap::new(),
            throttle_answers: 0,
            runs: VecDeque::new(),
            rng: fastrand::Rng::with_seed(5),
        }
        .app(DEFAULT_CLIENT, DEFAULT_SECRET, DEFAULT_ROLES)
    }

    /// Adds an app, or replaces the one with this client id. The roles are Defender's; at Graph it may do the same.
    #[must_use]
    pub fn app(mut self, client_id: &str, secret: &str, roles: &[&str]) -> World {
        self.apps.retain(|app| app.client_id != client_id);
        self.apps.push(App {
            client_id: client_id.to_owned(),
            secret: secret.to_owned(),
            roles: owned(roles),
            graph_roles: owned(
                &roles.iter().flat_map(|role| counterparts(role)).copied().collect::<Vec<_>>(),
            ),
        });
        self
    }

    /// What the app with this client id may do at Graph, in place of what goes with its roles at Defender's API.
    #[must_use]
    pub fn graph_roles(mut self, client_id: &str, roles: &[&str]) -> World {
        for app in self.apps.iter_mut().filter(|app| app.client_id == client_id) {
            app.graph_roles = owned(roles);
        }
        self
    }

    #[must_use]
    pub fn machine(mut self, machine: Machine) -> World {
        self.machines.push(machine);
        self
    }

    #[must_use]
    pub fn alert(mut self, alert: Alert) -> World {
        self.alerts.push(alert);
        self
    }

    #[must_use]
    pub fn raw_alert(mut self, alert: Value) -> World {
        self.raw_alerts.push(alert);
        self
    }

    #[must_use]
    pub fn raw_graph_alert(mut self, alert: Value) -> World {
        self.raw_graph_alerts.push(alert);
        self
    }

    #[must_use]
    pub fn table(mut self, table: Table) -> World {
        self.tables.push(table);
        self
    }

    #[must_use]
    pub fn raw_machine(mut self, machine: Value) -> World {
        self.raw_machines.push(machine);
        self
    }

    #[must_use]
    pub fn fault(mut self, fault: Fault) -> World {
        self.faults.push(fault);
        self
    }

    #[must_use]
    pub fn chaos(mut self, chaos: Chaos) -> World {
        self.chaos = Some(chaos);
        self
    }

    #[must_use]
    pub fn without_quotas(mut self) -> World {
        self.quotas = false;
        self
    }

    /// Another limit for one route (the journal's name).
    #[must_use]
    pub fn quota(mut self, route: &str, per_minute: u64, per_hour: u64) -> World {
        self.quota_overrides.insert(route.to_owned(), (per_minute, per_hour));
        self
    }

    /// Adds generated machines and alerts.
    #[must_use]
    pub fn generated(mut self, generated: Generated) -> World {
        self.machines.extend(generated.machines);
        self.alerts.extend(generated.alerts);
        self
    }

    pub fn find_alert(&self, id: &str) -> Option<&Alert> {
        self.alerts.iter().find(|alert| alert.id == id)
    }

    /// Changes an alert as somebody in the portal does: its last update is now.
    /// Gives false when there is no such alert.
    pub fn change_alert(&mut self, id: &str, change: impl FnOnce(&mut Alert)) -> bool {
        let now = self.now;
        let alert = self.alerts.iter_mut().find(|alert| alert.id == id);
        alert.is_some_and(|alert| {
            change(alert);
            alert.last_update_time = Some(now);
            true
        })
    }

    pub fn find_machine(&self, id: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.id == id)
    }

    pub fn machine_mut(&mut self, id: &str) -> Option<&mut Machine> {
        self.machines.iter_mut().find(|machine| machine.id == id)
    }

    /// The table with exactly this marker.
    pub fn table_mut(&mut self, marker: &str) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.marker == marker)
    }

    pub fn action(&self, id: &str) -> Option<&MachineAction> {
        self.actions.iter().find(|action| action.id.eq_ignore_ascii_case(id))
    }

    /// The machine's actions, oldest first.
    pub fn actions_of(&self, machine_id: &str) -> Vec<&MachineAction> {
        self.actions.iter().filter(|action| action.machine_id == machine_id).collect()
    }

    /// Whether the last isolation or release that succeeded was an isolation.
    pub fn is_isolated(&self, machine_id: &str) -> bool {
        behaviour::is_isolated(self, machine_id)
    }

    /// From now on nothing reaches the machine.
    pub fn take_offline(&mut self, machine_id: &str) {
        if let Some(machine) = self.machine_mut(machine_id) {
            machine.behaviour = Behaviour::Offline;
        }
    }

    /// From now on what is pending reaches the machine.
    pub fn bring_online(&mut self, machine_id: &str) {
        let now = self.now;
        if let Some(machine) = self.machine_mut(machine_id) {
            machine.behaviour = Behaviour::Online;
            machine.online_since = Some(now);
        }
    }

    /// The texts of the comments on an alert, oldest first; none where there is no such alert.
    pub fn comments_on(&self, alert_id: &str) -> Vec<&str> {
        let comments = self.find_alert(alert_id).map(|alert| alert.comments.as_slice()).unwrap_or_default();
        comments.iter().map(|comment| comment.comment.as_str()).collect()
    }

    /// The app acts on the machine without a call that the journal knows, as whoever has stolen its secret would.
    /// Gives the action's id.
    pub fn act_as(&mut self, app: &str, kind: ActionType, machine_id: &str) -> String {
        let scope = (kind == ActionType::Isolate).then_some("Full");
        let comment = "asked for by whoever holds the app's secret";
        let action = behaviour::new_action(self, kind, machine_id, app, "PublicApi", scope, comment);
        behaviour::add(self, action)
    }

    /// Somebody isolates the machine in the portal. Gives the action's id.
    pub fn isolate_by_person(&mut self, machine_id: &str, who: &str) -> String {
        let action = behaviour::new_action(
            self,
            ActionType::Isolate,
            machine_id,
            who,
            "Portal",
            Some("Full"),
            "isolated in the portal",
        );
        behaviour::add(self, action)
    }

    /// Somebody releases the machine in the portal. Gives the action's id.
    pub fn release_by_person(&mut self, machine_id: &str, who: &str) -> String {
        let action = behaviour::new_action(
            self,
            ActionType::Unisolate,
            machine_id,
            who,
            "Portal",
            None,
            "released in the portal",
        );
        behaviour::add(self, action)
    }

    /// Somebody cancels the action in the portal. Gives false when it had ended or does not exist.
    pub fn cancel(&mut self, action_id: &str, who: &str) -> bool {
        behaviour::cancel(self, action_id, who, "cancelled in the portal")
    }

    /// Every token given out so far is refused from now on.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Every access token that was ever given out, good or not by now.
    pub fn given_out(&self) -> &[String] {
        &self.given_out
    }

    /// Moves the clock; with the system's clock the shift is kept.
    pub fn advance(&mut self, by: SignedDuration) {
        match self.clock {
            Clock::Manual => self.now += by,
            Clock::System => self.system_offset += by,
        }
        self.tick();
    }

    /// Brings everything that depends on time up to now. Each request does this first.
    pub fn tick(&mut self) {
        match self.clock {
            Clock::Manual => {}
            Clock::System => self.now = system_now() + self.system_offset,
        }
        behaviour::settle(self);
    }

    /// A GUID, the same sequence in every run.
    pub(crate) fn guid(&mut self) -> String {
        let (a, b) = (self.rng.u64(..), self.rng.u64(..));
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }
}

/// The roles of Graph that permit what a role of Defender's does.
fn counterparts(role: &str) -> &'static [&'static str] {
    match role {
        "Alert.Read.All" => &["SecurityAlert.Read.All", "SecurityIncident.Read.All"],
        "Alert.ReadWrite.All" => &["SecurityAlert.ReadWrite.All", "SecurityIncident.Read.All"],
        "AdvancedQuery.Read.All" => &["ThreatHunting.Read.All"],
        _ => &[],
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the system's clock is read, when asked to"
)]
fn system_now() -> Timestamp {
    Timestamp::now()
}
