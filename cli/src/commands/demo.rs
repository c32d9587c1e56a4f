//! `cordon demo`: the real pipeline, in enforce mode, against a simulated tenant in this process.
//!
//! Nothing but the tenant is simulated: the client talks over a socket, the shipped playbook decides, and the
//! e-mails are written as files. Time is the only thing that is hurried: instead of waiting, the clock of both
//! sides is moved to when something is due.

use super::run::chain;
use crate::{Ending, clock, show};
use clap::Args;
use credentials::{Problems, Vars};
use defender::{RealPause, connect};
use jiff::{SignedDuration, Timestamp};
use local::{Host, Parts, Store, Worked};
use model::{AlertId, Answer, EffectState, Mode, TenantId, one_line};
use policy::{Channel, ChannelKind, Playbook, Texts};
use ports::{CaseRow, Claim, State, Stored, Told, alert_partition};
use simulator::Simulator;
use std::{error::Error, path::PathBuf, sync::Arc};

/// The shipped playbook, so that the demo shows what users deploy.
const PLAYBOOK: Texts<'_> = Texts {
    playbook: include_str!("../../../playbook/playbook.toml"),
    policy: include_str!("../../../playbook/policy.cedar"),
    guarantees: include_str!("../../../playbook/guarantees.cedar"),
    assets: include_str!("../../../playbook/assets.toml"),
};

/// For how long, by the hurried clock, open isolations are followed.
const FOLLOW: SignedDuration = SignedDuration::from_mins(30);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon demo                  e-mails in the folder `demo-mail`
  cordon demo --mail /tmp/m    the same, with the e-mails elsewhere")]
pub(crate) struct Demo {
    /// The folder for the e-mails; made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = "demo-mail")]
    mail: PathBuf,
}

impl Demo {
    pub(crate) async fn run(self) -> Ending {
        match self.show().await {
            Ok(trouble) if trouble.is_empty() => Ending::Done,
            Ok(trouble) => Ending::Attention(trouble),
            Err(error) => Ending::attention(format!("the demo failed: {}", chain(&*error))),
        }
    }

    /// Runs the demo. What was not as it should be, a sentence each.
    async fn show(self) -> Result<Vec<String>, Box<dyn Error>> {
        let start = clock::now();
        let simulator = Simulator::start(simulator::demo_world(start)).await?;
        let (host, store, tenant) = self.host(&simulator)?;

        show::line("Cordon demo: a simulated tenant, the shipped playbook, mode `enforce`.");
        let polled = host.poll(start).await?;
        show::line(&format!("One poll found {} alerts.\n", polled.announced));
        let worked = follow(&host, &store, &simulator, start).await?;

        let state = State::new(Arc::new(store));
        let end = start.checked_add(FOLLOW).unwrap_or(start);
        let ids: Vec<AlertId> =
            simulator.with(|world| world.alerts.iter().filter_map(|alert| alert.id.parse().ok()).collect());
        for id in ids {
            tell(&state, &tenant, &id, end).await?;
        }
        let isolations = simulator.count("POST isolate");
        show::line(&format!(
            "Cordon asked for {isolations} isolations; {} not finished after {} minutes (the device is offline).",
            worked.tracked.pending.len(),
            FOLLOW.as_mins()
        ));
        show::line(&format!("E-mails: {} in the folder {}", count_mails(&self.mail)?, self.mail.display()));
        Ok([
            simulator.violations(),
            simulator.unexpected().iter().map(|entry| format!("{entry:?}")).collect(),
        ]
        .concat())
    }

    fn host(&self, simulator: &Simulator) -> Result<(Host, Store, TenantId), Box<dyn Error>> {
        let vars: Vars =
            simulator.settings().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut problems = Problems::default();
        let connection = credentials::Connection::from_vars(&vars, None, &mut problems);
        let folder = Channel::new("demo", ChannelKind::Folder { path: self.mail.clone() });
        let channels = notify::open(&[folder], &vars, None, &mut problems);
        let Some(connection) = connection.filter(|_| problems.is_empty()) else {
            return Err(problems.iter().collect::<Vec<_>>().join("; ").into());
        };
        let playbook = Playbook::parse(&PLAYBOOK).map_err(|problems| problems.to_string())?;
        let (reader, responder, _) = connect(&connection, Arc::new(RealPause))?;
        let store = Store::in_memory()?;
        let host = Host::new(Parts {
            tenant: connection.tenant.clone(),
            reader,
            responder,
            playbook: Arc::new(playbook),
            hunts: Vec::new(),
            environment_mode: Some(Mode::Enforce),
            lookback: SignedDuration::from_hours(1),
            channels,
            templates: notify::Templates::shipped(),
            portal: connection.endpoints.portal.clone(),
            queue: Arc::new(store.clone()),
            state: Arc::new(store.clone()),
            clock: None,
        });
        Ok((host, store, connection.tenant))
    }
}

/// Works until nothing is due before [`FOLLOW`] is over, moving the clock instead of waiting.
async fn follow(
    host: &Host,
    store: &Store,
    simulator: &Simulator,
    start: Timestamp,
) -> Result<Worked, Box<dyn Error>> {
    let end = start.checked_add(FOLLOW)?;
    let mut now = start;
    loop {
        let worked = host.run_until_idle(now).await?;
        match worked.next_due(store, now)? {
            Some(due) if due <= end => {
                now = due.max(now.checked_add(SignedDuration::from_millis(100))?);
                simulator.set_now(now);
            }
            _ => return Ok(worked),
        }
    }
}

async fn tell(state: &State, tenant: &TenantId, id: &AlertId, now: Timestamp) -> Result<(), Box<dyn Error>> {
    let partition = alert_partition(tenant, id);
    let cases: Vec<Stored<CaseRow>> = state.query_all(&partition, "case#", now).await?;
    for case in cases {
        let last = &case.value.last;
        let severity = last.alert.severity.as_ref().map_or("?", |severity| severity.as_str());
        let device = last.device.known().and_then(|device| device.name.as_deref()).unwrap_or("no device");
        let platform = last.device.known().and_then(|device| device.os_platform.as_deref()).unwrap_or("");
        show::line(&format!("{}  {}", one_line(severity, 20), one_line(&last.alert.title, 90)));
        show::line(&format!("  on {} {}", one_line(device, 60), one_line(platform, 30)));
        let mut states: Vec<&str> =
            case.value.history.iter().filter_map(|entry| entry.state).map(EffectState::word).collect();
        states.dedup();
        // An alert that joined another one's isolation: how that stands by now.
        if let Some(device) = case.value.about.as_ref().filter(|_| last.claim.is_some()) {
            let claim: Option<Stored<Claim>> = state.get(&Claim::key(tenant, device), now).await?;
            states
                .extend(claim.map(|claim| claim.value.state.word()).filter(|now| states.last() != Some(now)));
        }
        show::line(&match last.decision.answer {
            Answer::Isolate => format!("  isolation {}", states.join(" → ")),
            Answer::Propose if !last.decision.tell => "  nothing to ask".to_owned(),
            Answer::Propose => "  proposed: a person is asked, nothing is done".to_owned(),
            Answer::Refused => "  refused: left alone".to_owned(),
            Answer::None => "  nothing to do".to_owned(),
        });
        let against = last.decision.forbidden_by.iter().map(|note| note.reason.as_str());
        let reasons = last.decision.permitted_by.iter().map(|note| note.reason.as_str()).chain(against);
        let doubts = last.decision.doubts.iter().map(String::as_str);
        let notes = last.notes.iter().map(String::as_str);
        for reason in reasons.chain(doubts).chain(notes) {
            show::line(&format!("    - {}", one_line(reason, 160)));
        }
        let mails = state.query_all::<Told>(&partition, "told#", now).await?.len();
        show::line(&format!("  {mails} e-mail(s)\n"));
    }
    Ok(())
}

fn count_mails(folder: &std::path::Path) -> Result<usize, std::io::Error> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "eml"))
            .count()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
