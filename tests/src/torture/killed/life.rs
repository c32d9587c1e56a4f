//! What happens in the tenant meanwhile: devices of several kinds, alerts that appear, and people who work on them.
//! All of it comes from the seed; every version of every alert is remembered for whoever judges.

use crate::{device, seconds};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use simulator::{Alert, Evidence, Machine, Pace, Simulator, World};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Life {
    rng: Rng,
    machines: Vec<Machine>,
    /// The versions of each alert, and since when each was the current one.
    versions: BTreeMap<String, Vec<(Timestamp, Alert)>>,
}

impl Life {
    pub(super) fn new(seed: u64, devices: u32, now: Timestamp) -> Life {
        let mut rng = Rng::with_seed(seed);
        let machines = (1..=devices).map(|number| machine(&mut rng, number, now)).collect();
        Life { rng, machines, versions: BTreeMap::new() }
    }

    /// The tenant before the first alert.
    pub(super) fn world(&self, now: Timestamp) -> World {
        let mut world = World::new(now).without_quotas();
        world.machines.clone_from(&self.machines);
        world.pace = Pace { in_progress_after: SignedDuration::from_millis(300), finished_after: seconds(1) };
        world
    }

    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub(super) fn machines(&self) -> &[Machine] {
        &self.machines
    }

    pub(super) fn versions(&self) -> &BTreeMap<String, Vec<(Timestamp, Alert)>> {
        &self.versions
    }

    /// So many new alerts.
    pub(super) fn alerts_appear(&mut self, count: usize, simulator: &Simulator) {
        for _ in 0..count {
            simulator.with(|world| {
                let alert = self.new_alert(world.now);
                self.versions.insert(alert.id.clone(), vec![(world.now, alert.clone())]);
                world.alerts.push(alert);
            });
        }
    }

    fn new_alert(&mut self, now: Timestamp) -> Alert {
        let rng = &mut self.rng;
        let number = self.versions.len();
        let ago = SignedDuration::from_millis(rng.i64(0..90_000));
        let machine = self.machines.get(rng.usize(..self.machines.len())).unwrap();
        let severity = pick(rng, &["High", "High", "High", "Medium", "Low", "Informational"]);
        let status = pick(rng, &["New", "New", "New", "New", "New", "InProgress", "InProgress", "Resolved"]);
        let mut alert = Alert::new(format!("da{:018}_{number}", now.as_millisecond()), "", now - ago)
            .on(machine)
            .severity(severity)
            .status(status)
            .title(format!("Alert {number}"))
            .evidence(vec![Evidence::ip(now, format!("198.51.100.{}", number % 250))]);
        if rng.u8(..10) == 0 {
            alert.detection_source = Some("CustomDetection".to_owned());
        }
        // Some say that they were updated just now, many at one instant; the others are listed late.
        if rng.bool() { alert.updated(now) } else { alert }
    }

    /// Somebody, or the service, changes an alert. What is resolved stays so.
    pub(super) fn an_alert_changes(&mut self, simulator: &Simulator) {
        let ids: Vec<String> = self.versions.keys().cloned().collect();
        let Some(id) = self.rng.choice(&ids) else { return };
        let what = self.rng.u8(..5);
        simulator.with(|world| {
            let number = world.alerts.len();
            let now = world.now;
            world.change_alert(id, |alert| match what {
                _ if alert.status == "Resolved" => {}
                0 if alert.severity == "Medium" => alert.severity = "High".to_owned(),
                0 | 1 => alert.status = "InProgress".to_owned(),
                2 => alert.evidence.push(Evidence::ip(now, format!("203.0.113.{}", number % 250))),
                3 => alert.assigned_to = Some("somebody@contoso.com".to_owned()),
                _ => alert.status = "Resolved".to_owned(),
            });
            let changed = world.find_alert(id).unwrap().clone();
            self.versions.get_mut(id).unwrap().push((now, changed));
        });
    }
}

fn machine(rng: &mut Rng, number: u32, now: Timestamp) -> Machine {
    let windows = ["Windows10", "Windows11", "Windows11", "Windows11", "Windows11"];
    let others = ["macOS", "WindowsServer2022", "Linux", "Windows11WVD"];
    let platform = if rng.u8(..4) == 0 { pick(rng, &others) } else { pick(rng, &windows) };
    let seen = now - SignedDuration::from_mins(30);
    let machine = Machine::new(device(number).as_str(), format!("pc-{number}.contoso.com"), platform, seen);
    if rng.u8(..10) == 0 { machine.tag("Cordon-Exclude") } else { machine }
}

fn pick<'a>(rng: &mut Rng, choices: &[&'a str]) -> &'a str {
    rng.choice(choices).copied().unwrap_or_default()
}
