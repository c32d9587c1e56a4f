//! The client against the simulated tenant, over real sockets: what it retries, what it never does twice, and
//! what it says about whether the service has acted.

#![expect(clippy::unwrap_used, reason = "what the tests share fails loudly, too")]

mod alert_apis;
mod effects;
mod hunting;
mod reads;
mod stub;

use async_trait::async_trait;
use credentials::{Calls, Connection, Problems, Vars};
use defender::{Call, Pause, Reader, Responder, Window, connect};
use jiff::{SignedDuration, Timestamp};
use model::DeviceId;
use simulator::{Alert, Fault, FaultKind, Machine, Simulator, World};
use std::sync::{Arc, Mutex};

fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn device() -> DeviceId {
    "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
}

fn whole_day() -> Window {
    Window { from: noon() - SignedDuration::from_hours(24), to: noon() + SignedDuration::from_secs(1) }
}

/// Can wait this long, retries included.
fn within(seconds: i64) -> Call {
    Call { now: noon(), budget: SignedDuration::from_secs(seconds) }
}

/// Does not wait, but remembers for how long it was to.
#[derive(Debug, Default)]
struct Waits(Mutex<Vec<SignedDuration>>);

#[async_trait]
impl Pause for Waits {
    async fn pause(&self, how_long: SignedDuration) {
        self.0.lock().unwrap().push(how_long);
    }
}

/// A client of one address.
struct Client {
    reader: Reader,
    responder: Responder,
    calls: Calls,
    waits: Arc<Waits>,
}

/// Both of Microsoft's interfaces, by their words in the settings.
const APIS: [&str; 2] = ["defender", "graph"];

impl Client {
    fn of(url: &str) -> Client {
        Client::asking("defender", url)
    }

    /// Asks this interface for alerts and hunting.
    fn asking(api: &str, url: &str) -> Client {
        let vars = [
            ("DEFENDER_TENANT_ID", simulator::DEFAULT_TENANT),
            ("DEFENDER_CLIENT_ID", simulator::DEFAULT_CLIENT),
            ("DEFENDER_CLIENT_SECRET", simulator::DEFAULT_SECRET),
            ("DEFENDER_API_URL", url),
            ("DEFENDER_LOGIN_URL", url),
            ("GRAPH_API_URL", url),
            ("DEFENDER_ALERTS_API", api),
            ("DEFENDER_HUNTING_API", api),
        ];
        let vars: Vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let connection = Connection::from_vars(&vars, None, &mut Problems::default()).unwrap();
        let waits = Arc::new(Waits::default());
        let (reader, responder, calls) = connect(&connection, waits.clone()).unwrap();
        Client { reader, responder, calls, waits }
    }

    fn waited(&self) -> Vec<SignedDuration> {
        self.waits.0.lock().unwrap().clone()
    }
}

/// One workstation and one alert on it, and a client.
async fn tenant(faults: Vec<Fault>) -> (Simulator, Client) {
    start(one_device(faults)).await
}

fn one_device(faults: Vec<Fault>) -> World {
    let machine = Machine::new(device().as_str(), "pc1.contoso.com", "Windows11", noon());
    let mut world = World::new(noon()).alert(Alert::new("a", "", noon()).on(&machine)).machine(machine);
    world.faults = faults;
    world
}

async fn start(world: World) -> (Simulator, Client) {
    start_asking("defender", world).await
}

async fn start_asking(api: &str, world: World) -> (Simulator, Client) {
    let simulator = Simulator::start(world).await.unwrap();
    let client = Client::asking(api, &simulator.url());
    (simulator, client)
}

/// Every fault that makes an answer unusable, and that passes.
fn passing() -> Vec<FaultKind> {
    FaultKind::all()
        .into_iter()
        .filter(|kind| {
            !matches!(kind, FaultKind::Slow { .. } | FaultKind::ActsThenSlow { .. } | FaultKind::Spurious404)
        })
        .collect()
}
