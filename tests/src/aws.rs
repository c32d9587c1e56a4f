//! The deployed host: template.yaml with the real functions beside an emulator, against a simulated tenant.
//!
//! Time is the world's here. What is particular to the emulator stands in `tests/aws/stack.py`, which this starts
//! once and hands its commands to; `scripts/aws-e2e` brings all of it. Nothing here judges a story.

#![expect(clippy::indexing_slicing, reason = "a missing field of an answer is null, and fails loudly")]

use crate::{REMOTE_TOOLS, Stage, write_hunts, write_playbook};
use async_trait::async_trait;
use credentials::Vars;
use jiff::{SignedDuration, Timestamp};
use model::{Mode, TenantId};
use ports::{DeadLetter, QueueName, State};
use serde_json::{Value, json};
use simulator::{Clock, Simulator, World};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// For how long a received message is hidden. What a killed function had in hand comes again after that.
const VISIBILITY: SignedDuration = SignedDuration::from_secs(10);

const FUNCTIONS: [&str; 6] = ["Poll", "Hunt", "Enrich", "Respond", "Track", "Notify"];

/// The stack's name in `tests/aws/stack.py`.
const STACK: &str = "cordon";

/// Limits that no story reaches, for a playbook that is otherwise the shipped one.
const ROOM: &str =
    "[limits]\nper_hour = 1000\nper_day = 1000\nat_one_time_least = 1000\nbreaker_devices = 1000\n";

/// The shipped channel for AWS, and a topic beside it, each telling every message by itself: they are counted.
const MAIL: &str = "[[channels]]\nname = \"mail\"\nkind = \"ses\"\n";
const MAIL_AND_TOPIC: &str = "[[channels]]\nname = \"topic\"\nkind = \"sns\"\ndigest_after = \"never\"\n\n\
    [[channels]]\nname = \"mail\"\nkind = \"ses\"\ndigest_after = \"never\"\n";

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The operator's file of settings, and what of AWS's own stands in it.
const SETTINGS_FILE: &str = "operator.env";
const AWS_SETTINGS: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// A deployed stack and its tenant. Dropping it leaves the stack to the emulator, which ends with all it has.
#[derive(Debug)]
pub struct Deployed {
    simulator: Simulator,
    stack: Stack,
    state: State,
    tenant: TenantId,
    /// Where the functions find their playbook, and the operator theirs.
    playbook: TempDir,
    /// Where the operator's `cordon` runs: it holds nothing but a file of settings.
    desk: TempDir,
}

/// A `cordon` that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// How the functions sign in: an app that reads and one that acts.
#[derive(Debug, Clone, Copy)]
pub struct Apps {
    pub reader: (&'static str, &'static str),
    pub actor: (&'static str, &'static str),
}

impl Deployed {
    /// Deploys against a tenant, whose clock becomes the world's.
    pub async fn new(world: impl FnOnce(Timestamp) -> World, apps: Apps) -> Deployed {
        let mut world = world(clock());
        world.clock = Clock::System;
        let tenant = world.tenant.parse().unwrap();
        let simulator = Simulator::start(world).await.unwrap();
        let mut stack = Stack::start();
        let playbook = roomy_playbook();
        stack.up(&simulator.url(), &tenant, apps, playbook.path());
        // As the operator's `cordon --stack` finds it.
        let found = ::aws::stack::open(STACK, &Vars::from_process()).await.unwrap();
        assert_eq!((&found.tenant, found.mode), (&tenant, Mode::Enforce));
        let (state, desk) = (found.state, desk());
        let mut deployed = Deployed { simulator, stack, state, tenant, playbook, desk };
        deployed.put_secrets(apps);
        deployed
    }

    /// Gives both apps' secrets to the secret store.
    pub fn put_secrets(&mut self, apps: Apps) {
        for (secret, (_, value)) in [("ReaderSecret", apps.reader), ("ActorSecret", apps.actor)] {
            self.stack.run(&["put-secret", secret], &json!({ "client_secret": value }).to_string());
        }
    }

    /// The operator's `cordon`, as it was built, on this stack. It has its settings for AWS from the file, and no others
    /// but `more`.
    pub fn cordon_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Ended {
        let vars = Vars::from_process();
        let certificate = vars.get("SSL_CERT_FILE").map(|file| ("SSL_CERT_FILE", file));
        let output = Command::new(Path::new(binaries(&vars)).join("cordon"))
            .args(["--env-file", SETTINGS_FILE, "--stack", STACK])
            .args(arguments)
            .env_clear()
            .envs(certificate)
            .env("CORDON_PLAYBOOK", self.playbook.path())
            .envs(more.iter().copied())
            .current_dir(self.desk.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        Ended { code: output.status.code().unwrap(), stdout, stderr }
    }

    /// The same with nothing more.
    pub fn cordon(&self, arguments: &[&str]) -> Ended {
        self.cordon_with(arguments, &[])
    }

    /// The processes of a function.
    pub fn processes(&mut self, function: &str) -> Value {
        self.stack.run(&["pids", function], "")
    }

    /// Kills the processes of a function, whatever they are doing. How many there were.
    pub fn kill(&mut self, function: &str) -> usize {
        self.stack.run(&["kill", function], "").as_array().unwrap().len()
    }

    /// Takes a permission away from a function's role.
    pub fn deny(&mut self, function: &str, action: &str) {
        self.stack.run(&["deny", function, action], "");
    }

    /// Gives back what was taken.
    pub fn allow(&mut self, function: &str) {
        self.stack.run(&["allow", function], "");
    }

    /// What a function has written.
    pub fn logs(&mut self, function: &str) -> Vec<String> {
        let lines = self.stack.run(&["logs", function], "");
        lines.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }

    /// Everything that the host keeps where a person may read it, but the secrets, by where it stands; of the logs,
    /// what the functions wrote themselves.
    pub fn kept(&mut self) -> Vec<(String, Vec<String>)> {
        let is_platforms =
            |line: &String| ["START ", "END ", "REPORT "].iter().any(|by| line.starts_with(by));
        let mut kept = Vec::new();
        for function in FUNCTIONS {
            let mut log = self.logs(function);
            log.retain(|line| !is_platforms(line));
            kept.push((format!("the log of {function}"), log));
            let environment = self.stack.run(&["environment", function], "");
            kept.push((format!("the environment of {function}"), texts(&environment)));
        }
        let [items, mails, published, queues] =
            ["items", "mails", "published", "queues"].map(|what| self.stack.run(&[what], ""));
        kept.push(("the table".to_owned(), texts(&items)));
        kept.push(("the mails".to_owned(), texts(&mails)));
        kept.push(("the topic".to_owned(), texts(&published)));
        kept.push(("the queues and their dead letters".to_owned(), texts(&queues)));
        kept
    }

    /// What was published to the topic, each in the envelope that SNS puts it into.
    pub fn published(&mut self) -> Vec<Value> {
        match self.stack.run(&["published"], "") {
            Value::Array(published) => published,
            other => panic!("{other}"),
        }
    }

    /// Goes on with what was found, until something can be seen.
    pub async fn until(
        &mut self,
        what: &str,
        at_most: SignedDuration,
        mut is_so: impl FnMut(&mut Deployed) -> bool,
    ) {
        self.stack.run(&["release", "Enrich"], "");
        let end = clock() + at_most;
        while !is_so(self) {
            assert!(clock() < end, "not within {at_most:#}: {what}");
            pause().await;
        }
    }

    fn invoke(&mut self, function: &str) {
        let answer = self.stack.run(&["invoke", function], "");
        if !answer["error"].is_null() {
            panic!("{function}: {answer:#}\n{}", self.logs(function).join("\n"));
        }
    }
}

#[async_trait(?Send)]
impl Stage for Deployed {
    fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn state(&self) -> State {
        self.state.clone()
    }

    fn now(&self) -> Timestamp {
        clock()
    }

    async fn poll(&mut self) {
        self.stack.run(&["hold", "Enrich"], "");
        self.invoke("Poll");
    }

    async fn hunt(&mut self) {
        self.stack.run(&["hold", "Enrich"], "");
        self.invoke("Hunt");
    }

    async fn lying(&mut self, queue: QueueName) -> Vec<String> {
        self.stack.messages(queue, "").iter().map(|message| text(&message["Body"])).collect()
    }

    async fn put(&mut self, queue: QueueName, body: &str) {
        self.stack.run(&["send", &logical(queue)], body);
    }

    async fn rest(&mut self, at_most: SignedDuration) {
        self.stack.run(&["release", "Enrich"], "");
        let end = clock() + at_most;
        loop {
            self.invoke("Track");
            let unsettled = self.unsettled().await;
            // Looked at twice: what is empty at first may be filled while the rest is looked at.
            if unsettled.is_empty() && self.unsettled().await.is_empty() {
                return;
            }
            if clock() >= end {
                let said = self.logs("Respond").join("\n");
                panic!("after {at_most:#}: {unsettled:#?}\nRespond has written:\n{said}");
            }
            pause().await;
        }
    }

    async fn subjects(&mut self) -> Vec<String> {
        let mails = self.stack.run(&["mails"], "");
        mails.as_array().unwrap().iter().map(|mail| text(&mail["Subject"])).collect()
    }

    async fn dead_letters(&mut self) -> Vec<DeadLetter> {
        let mut letters = Vec::new();
        for queue in QueueName::ALL {
            let messages = self.stack.messages(queue, "DeadLetters");
            letters.extend(messages.iter().map(|message| DeadLetter {
                id: text(&message["MessageId"]),
                queue,
                body: text(&message["Body"]),
                reason: text(&message["MessageAttributes"]["reason"]["StringValue"]),
                since: text(&message["MessageAttributes"]["since"]["StringValue"]).parse().unwrap(),
            }));
        }
        letters
    }
}

/// `tests/aws/stack.py`, one command after the other.
#[derive(Debug)]
struct Stack {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Stack {
    fn start() -> Stack {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut process = Command::new(root.join(".venv/bin/python"))
            .args(["tests/aws/stack.py", "serve"])
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: start this by scripts/aws-e2e"));
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Stack { process, commands, answers }
    }

    fn run(&mut self, command: &[&str], input: &str) -> Value {
        writeln!(self.commands, "{}", json!({ "run": command, "input": input })).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("stack.py {command:?} gave no answer ({error}): {line}"));
        match answer.get("error") {
            Some(error) => panic!("stack.py {command:?}: {error}"),
            None => answer["ok"].take(),
        }
    }

    fn up(&mut self, simulator: &str, tenant: &TenantId, apps: Apps, playbook: &Path) {
        let vars = Vars::from_process();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        let parameters = BTreeMap::from([
            ("TenantId", tenant.to_string()),
            ("ClientId", apps.reader.0.to_owned()),
            ("ActorClientId", apps.actor.0.to_owned()),
            ("Mode", "enforce".to_owned()),
            ("MailFrom", "cordon@example.com".to_owned()),
            ("MailTo", "soc@example.com".to_owned()),
            ("SenderIdentity", "example.com".to_owned()),
            ("Architecture", architecture.to_owned()),
            ("DefenderApiUrl", simulator.to_owned()),
            ("DefenderLoginUrl", simulator.to_owned()),
            ("PlaybookFolder", playbook.to_str().unwrap().to_owned()),
            ("QueueVisibilitySeconds", VISIBILITY.as_secs().to_string()),
            // The test invokes.
            ("ScheduleState", "DISABLED".to_owned()),
        ]);
        let set: Vec<String> =
            parameters.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
        let mut command = vec!["up", "--binaries", binaries(&vars), "--sender", "example.com"];
        command.extend(set.iter().map(String::as_str));
        self.run(&command, "");
    }

    fn messages(&mut self, queue: QueueName, more: &str) -> Vec<Value> {
        let mut queues = self.run(&["queues"], "");
        match queues[format!("{}{more}", logical(queue))].take() {
            Value::Array(messages) => messages,
            other => panic!("{queue}: {other}"),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the functions and `cordon` are.
fn binaries(vars: &Vars) -> &str {
    vars.get("CORDON_TEST_FUNCTIONS").unwrap_or_else(|| panic!("start this by scripts/aws-e2e"))
}

/// A folder with the operator's settings for AWS.
fn desk() -> TempDir {
    let (folder, vars) = (tempfile::tempdir().unwrap(), Vars::from_process());
    let lines = AWS_SETTINGS.map(|name| format!("{name}={}\n", vars.get(name).unwrap_or_default()));
    std::fs::write(folder.path().join(SETTINGS_FILE), lines.concat()).unwrap();
    folder
}

impl Ended {
    /// The one JSON object that it reported, where it ended with this code; a complaint goes with every other than 0.
    #[track_caller]
    pub fn json(&self, code: i32) -> Value {
        assert_eq!((self.code, self.stderr.is_empty()), (code, code == 0), "{self:#?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Ended with this code, and a complaint that holds these words.
    #[track_caller]
    pub fn complains(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(self.stderr.contains(words), "`{words}` in {}", self.stderr);
    }
}

/// A copy of the shipped playbook with room for every story, with a topic, and with a hunt of the stories' own.
fn roomy_playbook() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_hunts(folder.path(), &[REMOTE_TOOLS]);
    let change = |text: String| text.replace("[limits]\n", ROOM).replace(MAIL, MAIL_AND_TOPIC);
    let playbook = write_playbook(folder.path(), change);
    assert_eq!(playbook.settings.limits.per_hour, 1_000);
    assert_eq!(playbook.settings.channels.len(), 3, "the shipped two, and a topic");
    folder
}

/// A queue's name in the template: `AlertsFound` for `alerts-found`.
fn logical(queue: QueueName) -> String {
    let capital = |word: &str| word.chars().take(1).flat_map(char::to_uppercase).collect::<String>();
    queue.as_str().split('-').map(|word| capital(word) + word.get(1..).unwrap_or_default()).collect()
}

/// Every text in it, wherever it stands.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[expect(clippy::disallowed_methods, reason = "time is the world's on this host")]
fn clock() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "a condition is waited for that others bring about")]
async fn pause() {
    tokio::time::sleep(LOOK).await;
}
