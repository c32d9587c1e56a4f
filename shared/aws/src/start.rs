//! The start of a Lambda function: its log, its settings, its clients. A setting that is missing or malformed
//! stops it, and all of them are said at once.
//!
//! Nothing is called here: what a service has to answer is asked for when it is needed, and may be asked again.

use crate::{Addresses, DynamoState, SdkConfig, Secrets, SesMail, SnsTopics, SqsQueue, config};
use credentials::{Connection, Endpoints, Problems, SecretStore, Vars};
use jiff::SignedDuration;
use model::{Mode, TenantId};
use ports::{MailBackend, Queue, QueueName, State, TopicBackend};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// What ends a function, or an invocation.
pub type Error = lambda_runtime::Error;

/// Where the playbook's layer is mounted.
const PLAYBOOK: &str = "/opt/playbook";

/// Our own crates: the ones that may speak below INFO, because they know what must not be said.
const OURS: [&str; 10] =
    ["aws", "credentials", "defender", "enrich", "hunt", "notify", "poll", "ports", "respond", "track"];

/// What every function has.
#[derive(Debug)]
pub struct Function {
    pub tenant: TenantId,
    pub queue: Queue,
    pub state: State,
    pub(crate) sqs: Arc<SqsQueue>,
}

/// What a function's settings are read from. Each reading adds what is wrong to one list.
#[derive(Debug)]
pub struct Settings {
    vars: Vars,
    problems: Problems,
    sdk: SdkConfig,
}

/// Starts a function whose own settings `read` reads. `own`: the queues that it takes messages from, or sets things
/// aside for; it may send to them as well. `sends_to`: the other ones that it sends to.
pub fn start<T>(
    own: &[QueueName],
    sends_to: &[QueueName],
    read: impl FnOnce(&mut Settings) -> Option<T>,
) -> Result<(Function, T), Error> {
    let vars = Vars::from_process();
    log(&vars);
    start_from(vars, own, sends_to, read)
}

fn start_from<T>(
    vars: Vars,
    own: &[QueueName],
    sends_to: &[QueueName],
    read: impl FnOnce(&mut Settings) -> Option<T>,
) -> Result<(Function, T), Error> {
    let sdk = config(&vars)?;
    let mut settings = Settings { vars, problems: Problems::default(), sdk };
    let tenant = credentials::tenant(&settings.vars, &mut settings.problems);
    let table = settings.required("CORDON_TABLE");
    let others = sends_to.iter().map(|queue| (*queue, false));
    let queues = own.iter().map(|queue| (*queue, true)).chain(others);
    // All of them first: the problems of each are to be said.
    let addresses: Vec<_> = queues.map(|(queue, is_own)| settings.addresses(queue, is_own)).collect();
    let addresses: Option<Vec<_>> = addresses.into_iter().collect();
    let read = read(&mut settings);
    match (tenant, table, addresses, read) {
        (Some(tenant), Some(table), Some(addresses), Some(read)) if settings.problems.is_empty() => {
            let state = State::new(Arc::new(DynamoState::new(&settings.sdk, &table)));
            Ok((Function::new(tenant, SqsQueue::new(&settings.sdk, addresses), state), read))
        }
        _ => {
            // The tenant is read twice, and each problem is said once.
            let problems: BTreeSet<&str> = settings.problems.iter().collect();
            problems.iter().for_each(|problem| tracing::error!(problem, "a setting is not usable"));
            let problems: Vec<&str> = problems.into_iter().collect();
            Err(format!("the settings are not usable: {}", problems.join("; ")).into())
        }
    }
}

impl Settings {
    /// `DEFENDER_…`.
    pub fn connection(&mut self) -> Option<Connection> {
        let secrets = self.secrets();
        Connection::from_vars(&self.vars, Some(&secrets), &mut self.problems)
    }

    /// Where the tenant is, for whoever does not sign in to it.
    pub fn endpoints(&mut self) -> Option<Endpoints> {
        Endpoints::from_vars(&self.vars, &mut self.problems)
    }

    /// Where the playbook is.
    pub fn playbook_folder(&self) -> PathBuf {
        PathBuf::from(self.vars.get("CORDON_PLAYBOOK").unwrap_or(PLAYBOOK))
    }

    /// The playbook, or what the function needs of it.
    pub fn playbook<T>(&mut self, read: impl FnOnce(&Path) -> Result<T, policy::Problems>) -> Option<T> {
        let folder = self.playbook_folder();
        let read = read(&folder);
        if let Err(found) = &read {
            self.problems.add_all(&format!("CORDON_PLAYBOOK `{}`", folder.display()), found.iter());
        }
        read.ok()
    }

    /// What `CORDON_MODE` says, if anything.
    pub fn mode(&mut self) -> Option<Mode> {
        credentials::mode(&self.vars, &mut self.problems)
    }

    /// `CORDON_LOOKBACK`.
    pub fn lookback(&mut self) -> Option<SignedDuration> {
        credentials::lookback(&self.vars, &mut self.problems)
    }

    /// SES.
    pub fn mail(&self) -> Arc<dyn MailBackend> {
        Arc::new(SesMail::new(&self.sdk))
    }

    /// SNS.
    pub fn topics(&self) -> Arc<dyn TopicBackend> {
        Arc::new(SnsTopics::new(&self.sdk))
    }

    /// Secrets Manager.
    pub fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(Secrets::new(&self.sdk))
    }

    /// Whatever takes the variables and the list of problems.
    pub fn with<T>(&mut self, read: impl FnOnce(&Vars, &mut Problems) -> T) -> T {
        read(&self.vars, &mut self.problems)
    }

    fn required(&mut self, name: &str) -> Option<String> {
        let value = self.vars.get(name).map(str::to_owned);
        if value.is_none() {
            self.problems.add(format!("{name} is not set; the template sets it"));
        }
        value
    }

    /// `CORDON_ALERTS_FOUND_URL` and the like. The dead letters' address is for whoever sets something aside.
    fn addresses(&mut self, queue: QueueName, sets_aside: bool) -> Option<(QueueName, Addresses)> {
        let name = queue.as_str().replace('-', "_").to_uppercase();
        let url = self.required(&format!("CORDON_{name}_URL"));
        let dead_letters_url =
            if sets_aside { Some(self.required(&format!("CORDON_{name}_DEAD_LETTERS_URL"))?) } else { None };
        Some((queue, Addresses { url: url?, dead_letters_url }))
    }
}

/// One JSON object per line on standard output. `RUST_LOG` wins over the level that Lambda passes on.
fn log(vars: &Vars) {
    let asked = vars.get("RUST_LOG").and_then(|filter| filter.parse::<Targets>().ok());
    let filter = asked.unwrap_or_else(|| {
        let level = vars.get("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok());
        let level: LevelFilter = level.unwrap_or(LevelFilter::INFO);
        let ours = OURS.map(|name| (name, level));
        Targets::new().with_default(level.min(LevelFilter::INFO)).with_targets(ours)
    });
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
    // A second subscriber in one process is a test's; the first stays.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Playbook;
    use std::fs;

    /// Starts a function that needs the whole playbook, and nothing else.
    fn start_with(playbook: &Path) -> Result<Playbook, String> {
        let given = [
            ("DEFENDER_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
            ("CORDON_TABLE", "cordon"),
            ("CORDON_PLAYBOOK", playbook.to_str().unwrap()),
        ];
        let vars = given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let started = start_from(vars, &[], &[], |settings| settings.playbook(Playbook::read));
        started.map(|(_, playbook)| playbook).map_err(|error| error.to_string())
    }

    #[test]
    fn a_playbook_that_does_not_validate_stops_the_start() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbook");
        assert!(start_with(&shipped).is_ok());
        let head = "@id(\"a\")\n@reason(\"r\")\n";
        let unknown =
            format!("{head}forbid (principal, action, resource) when {{ resource.sverity == \"High\" }};");
        let permit = format!("{head}permit (principal, action, resource);");
        for (file, text, problem) in [
            ("playbook.toml", "mod = \"observe\"", "playbook.toml:1:1: unknown key `mod`"),
            ("policy.cedar", &unknown, "policy.cedar:3:"),
            ("guarantees.cedar", &unknown, "guarantees.cedar:3:"),
            ("guarantees.cedar", &permit, "guarantees.cedar:1:1: a guarantee can only forbid"),
            ("assets.toml", "[[list]]", "assets.toml:1:3: unknown key `list`"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in ["playbook.toml", "policy.cedar", "guarantees.cedar", "assets.toml"] {
                fs::copy(shipped.join(file), folder.path().join(file)).unwrap();
            }
            fs::write(folder.path().join(file), text).unwrap();
            let error = start_with(folder.path()).unwrap_err();
            assert!(error.starts_with("the settings are not usable: CORDON_PLAYBOOK `"), "{error}");
            assert!(error.contains(problem), "{error}");
            // Without its guarantees it does not start either.
            fs::remove_file(folder.path().join(file)).unwrap();
            assert!(start_with(folder.path()).unwrap_err().contains(&format!("{file}`: ")));
        }
    }
}
