//! What must hold in the end, read from the tenant's journal, the state file and the folder of mails.
//!
//! Nothing here asks Cordon's own policy or its own counts: what was owed follows from what happened in the tenant.
//! Every rule that does not hold is one line; none stops the others from being looked at.

use super::{life::Life, process::Machine};
use crate::{
    connection,
    stage::{cases, dead_letters, revision},
    torture::shipped::{asks_for_isolation, is_excluded, is_workstation},
};
use defender::{Reader, RealPause};
use jiff::{SignedDuration, Timestamp};
use local::Store;
use model::{AlertId, Answer, DeviceId, EffectState, TenantId};
use ports::{
    Announced, Brakes, CaseRow, Claim, Cursor, DeadLetter, OpenEffect, QueueName, State, Stored, Told,
};
use simulator::{ActionType, Entry, MachineAction, Simulator};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How old what `respond` has read may be when the tenant does what it asks.
const READ_BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// How often a message is delivered to whoever dies over it.
const GIVEN_UP: &str = "without success; the last one was never settled";

/// The channel of the shipped playbook, and in how many ways a request may have been carried out whatever was answered.
const CHANNEL: &str = "mail-folder";
const CARRIED_OUT: [&str; 6] =
    ["reset-after", "acts-then-slow", "error-after", "truncated", "not-json", "empty"];

/// What was counted, and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) wrong: Vec<String>,
    pub(super) owed: usize,
    pub(super) accepted: usize,
    pub(super) doubled: usize,
    pub(super) in_doubt: usize,
    pub(super) lost: usize,
    pub(super) dead_letters: usize,
    pub(super) mails: usize,
}

/// Everything that a verdict is based upon.
pub(super) struct Evidence<'a> {
    pub(super) life: &'a Life,
    pub(super) simulator: &'a Simulator,
    pub(super) machine: &'a Machine,
    journal: Vec<Entry>,
    actions: Vec<MachineAction>,
    now: Timestamp,
    tenant: TenantId,
    store: Store,
    state: State,
    reader: Reader,
    dead: Vec<DeadLetter>,
}

impl<'a> Evidence<'a> {
    pub(super) async fn gather(
        life: &'a Life,
        simulator: &'a Simulator,
        machine: &'a Machine,
    ) -> Evidence<'a> {
        let (journal, store) = (simulator.journal(), machine.store().unwrap());
        let (actions, now) = simulator.with(|world| (world.actions.clone(), world.now));
        let connection = connection(&simulator.url(), &[]);
        let (reader, _, _) = defender::connect(&connection, Arc::new(RealPause)).unwrap();
        let dead = dead_letters(&store).await;
        let state = State::new(Arc::new(store.clone()));
        let tenant = connection.tenant;
        Evidence { life, simulator, machine, journal, actions, now, tenant, store, state, reader, dead }
    }

    pub(super) async fn judged(&self) -> Verdict {
        let mut verdict = Verdict::default();
        verdict.wrong.extend(self.left_over().await);
        self.dead_letters(&mut verdict);
        self.every_alert_is_decided(&mut verdict).await;
        self.isolations(&mut verdict).await;
        self.people_were_told(&mut verdict).await;
        self.the_tenant_complains_of_nothing(&mut verdict);
        verdict
    }

    /// What keeps the run from being over.
    pub(super) async fn left_over(&self) -> Vec<String> {
        let mut left = Vec::new();
        for queue in QueueName::ALL {
            let depth = self.store.depth(queue, self.now).unwrap();
            if depth.visible + depth.waiting + depth.in_flight > 0 {
                left.push(format!("{queue} is not empty: {depth:?}"));
            }
        }
        let open: Vec<Stored<OpenEffect>> =
            self.state.query_all(&OpenEffect::partition(&self.tenant), "", self.now).await.unwrap();
        left.extend(open.iter().map(|open| format!("the claim on {} is not settled", open.value.device)));
        let cursor: Option<Stored<Cursor>> =
            self.state.get(&Cursor::key(&self.tenant), self.now).await.unwrap();
        let polled = cursor.and_then(|cursor| cursor.value.last_success);
        let changed = self.life.versions().values().flatten().map(|(at, _)| *at).max();
        if polled < changed {
            left.push(format!("the last poll was at {polled:?}, and the last change at {changed:?}"));
        }
        left
    }

    fn dead_letters(&self, verdict: &mut Verdict) {
        verdict.dead_letters = self.dead.len();
        for letter in self.dead.iter().filter(|letter| !letter.reason.contains(GIVEN_UP)) {
            verdict.wrong.push(format!("a dead letter that no kill explains: {letter:?}"));
        }
    }

    /// Each alert has a case in which its last revision is judged, or lies among the dead letters.
    async fn every_alert_is_decided(&self, verdict: &mut Verdict) {
        for id in self.life.versions().keys() {
            let is_dead = self.dead.iter().any(|letter| letter.body.contains(id.as_str()));
            if is_dead {
                continue;
            }
            if let Some(why) = self.undecided(id).await {
                verdict.lost += 1;
                verdict.wrong.push(format!("alert {id}: {why}"));
            }
        }
    }

    async fn undecided(&self, id: &str) -> Option<String> {
        let alert: AlertId = id.parse().unwrap();
        let revision = revision(&self.reader, &alert, self.now).await.unwrap();
        let key = Announced::key(&self.tenant, &alert);
        let announced: Option<Stored<Announced>> = self.state.get(&key, self.now).await.unwrap();
        if !announced.is_some_and(|announced| announced.value.revisions.contains(&revision)) {
            return Some("its last revision was never announced".to_owned());
        }
        let cases = self.cases(&alert).await;
        match cases.as_slice() {
            [case] if case.judged.contains(&revision) => None,
            [_] => Some("its last revision was not judged".to_owned()),
            _ => Some(format!("it has {} cases", cases.len())),
        }
    }

    async fn cases(&self, alert: &AlertId) -> Vec<CaseRow> {
        cases(&self.state, &self.tenant, alert, self.now).await
    }

    async fn isolations(&self, verdict: &mut Verdict) {
        for machine in self.life.machines() {
            let claim = self.claim(&machine.id.parse().unwrap()).await;
            if let Some(claim) = claim.as_ref().filter(|claim| is_open(claim.state)) {
                verdict.wrong.push(format!("a claim is left open: {claim:?}"));
            }
            let accepted: Vec<&MachineAction> = self.accepted(&machine.id).collect();
            verdict.accepted += accepted.len();
            let carried_out: Vec<&Entry> = self.carried_out(&machine.id).collect();
            if accepted.len() > 1 || carried_out.len() > 1 {
                verdict.doubled += 1;
                verdict.wrong.push(format!("isolated more than once: {accepted:#?} by {carried_out:#?}"));
            }
            for action in &accepted {
                verdict.wrong.extend(self.was_not_permitted(machine, action));
                verdict.wrong.extend(is_not_in_the_ledger(claim.as_ref(), action));
            }
            self.owed(machine, accepted.is_empty(), verdict).await;
        }
        let brakes: Option<Stored<Brakes>> =
            self.state.get(&Brakes::key(&self.tenant), self.now).await.unwrap();
        if let Some(pause) = brakes.and_then(|brakes| brakes.value.pause) {
            verdict.wrong.push(format!("Cordon has paused: {pause:?}"));
        }
    }

    async fn claim(&self, device: &DeviceId) -> Option<Claim> {
        let key = Claim::key(&self.tenant, device);
        let stored: Option<Stored<Claim>> = self.state.get(&key, self.now).await.unwrap();
        stored.map(|stored| stored.value)
    }

    fn accepted<'b>(&'b self, machine: &'b str) -> impl Iterator<Item = &'b MachineAction> {
        let is_ours =
            move |action: &&MachineAction| action.machine_id == machine && action.kind == ActionType::Isolate;
        self.actions.iter().filter(is_ours)
    }

    /// The requests to isolate this device that the tenant has carried out, whatever it answered.
    fn carried_out<'b>(&'b self, machine: &'b str) -> impl Iterator<Item = &'b Entry> {
        let is_about = move |entry: &&Entry| entry.route == "POST isolate" && entry.path.contains(machine);
        let is_done = |entry: &&Entry| match entry.fault.as_deref() {
            Some(fault) if CARRIED_OUT.contains(&fault) => true,
            // A proxy's page in place of the service.
            Some("html") => false,
            _ => entry.status.is_some_and(|status| status < 300),
        };
        self.journal.iter().filter(is_about).filter(is_done)
    }

    /// It was asked for on account of an alert that permitted it, as it was then.
    fn was_not_permitted(&self, machine: &simulator::Machine, action: &MachineAction) -> Option<String> {
        let at = action.creation_date_time_utc;
        let named = |id: &&String| action.requestor_comment.contains(&format!("alert {id},"));
        let Some(id) = self.life.versions().keys().find(named) else {
            return Some(format!("an isolation on account of no alert: {action:?}"));
        };
        let versions = self.life.versions().get(id)?;
        let permitted = versions.iter().enumerate().any(|(index, (since, version))| {
            let until = versions.get(index + 1).map(|(until, _)| *until);
            let was_current = *since <= at && until.is_none_or(|until| until >= at - READ_BEFORE);
            let is_about = version.machine_id.as_deref() == Some(machine.id.as_str());
            was_current && is_about && permits(version, machine)
        });
        (!permitted).then(|| format!("an isolation that nothing permits: {action:?} for {versions:#?}"))
    }

    /// A device with an alert that asks for its isolation to the end is isolated, or people were told why not.
    async fn owed(&self, machine: &simulator::Machine, none_accepted: bool, verdict: &mut Verdict) {
        let is_about = |alert: &simulator::Alert| alert.machine_id.as_deref() == Some(machine.id.as_str());
        let asks = |versions: &&Vec<(Timestamp, simulator::Alert)>| {
            versions.last().is_some_and(|(_, alert)| is_about(alert) && permits(alert, machine))
        };
        let asking: Vec<&str> = self
            .life
            .versions()
            .iter()
            .filter(|(_, versions)| asks(versions))
            .map(|(id, _)| id.as_str())
            .collect();
        verdict.owed += usize::from(!asking.is_empty());
        if asking.is_empty() || !none_accepted {
            return;
        }
        for id in asking {
            let is_dead = self.dead.iter().any(|letter| letter.body.contains(id));
            let cases = self.cases(&id.parse().unwrap()).await;
            if is_dead || cases.iter().any(|case| self.is_in_doubt(case, machine, id)) {
                verdict.in_doubt += 1;
            } else {
                verdict.wrong.push(format!("{id} asks for the isolation of {}: {cases:#?}", machine.id));
            }
        }
    }

    /// A fault in reading just this alert or device kept Cordon from acting, and it says so to people.
    fn is_in_doubt(&self, case: &CaseRow, machine: &simulator::Machine, id: &str) -> bool {
        let last = &case.last;
        let says_why = !last.decision.doubts.is_empty() || !last.notes.is_empty();
        let gave_up = match last.state {
            Some(EffectState::Refused) => last.decision.answer == Answer::Refused,
            state => state == Some(EffectState::Failed),
        };
        let met_a_fault = self.journal.iter().any(|entry| {
            let text = format!("{}?{}", entry.path, entry.query);
            entry.fault.is_some() && (text.contains(id) || text.contains(&machine.id))
        });
        gave_up && says_why && last.decision.tell && met_a_fault
    }

    /// Whatever stands as told was told, and of every case the last outcome, where it is to be told.
    async fn people_were_told(&self, verdict: &mut Verdict) {
        let mails: BTreeSet<String> = self.machine.mails().into_iter().collect();
        verdict.mails = mails.len();
        for id in self.life.versions().keys() {
            let alert: AlertId = id.parse().unwrap();
            for case in self.cases(&alert).await.iter().filter(|case| case.last.decision.tell) {
                let message = case.announcement(&self.tenant, "").id;
                let key = Told::key(&self.tenant, &alert, &message, CHANNEL);
                let told: Option<Stored<Told>> = self.state.get(&key, self.now).await.unwrap();
                let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
                let word: String = message.as_str().chars().map(plain).take(60).collect();
                let by_digest =
                    told.as_ref().is_some_and(|told| told.value.subject.starts_with("in the digest of"));
                let lies_there =
                    mails.iter().any(|name| name.contains(&word) || (by_digest && name.contains("-digest-")));
                if (told.is_none() || !lies_there) && !self.dead.iter().any(|dead| dead.body.contains(id)) {
                    verdict.wrong.push(format!("{id}: nobody was told of {case:#?}"));
                }
            }
        }
    }

    fn the_tenant_complains_of_nothing(&self, verdict: &mut Verdict) {
        let violations = self.journal.iter().filter_map(|entry| entry.violation.clone());
        verdict.wrong.extend(violations.map(|violation| format!("a violation: {violation}")));
        let unexpected = self.simulator.unexpected();
        verdict.wrong.extend(unexpected.iter().map(|entry| format!("an unexpected request: {entry:?}")));
        if self.machine.said().contains("panicked") {
            verdict.wrong.push("a process panicked: see its log".to_owned());
        }
    }

    /// The faults that were played, by kind.
    pub(super) fn faults(&self) -> BTreeMap<String, usize> {
        let mut faults = BTreeMap::new();
        for fault in self.journal.iter().filter_map(|entry| entry.fault.clone()) {
            *faults.entry(fault).or_default() += 1;
        }
        faults
    }
}

/// Somebody has to come back to it.
fn is_open(state: EffectState) -> bool {
    use EffectState::{Claimed, Pending, Requested, Requesting, Unknown};
    matches!(state, Claimed | Requesting | Unknown | Requested | Pending)
}

/// The machine action stands in the claim on its device.
fn is_not_in_the_ledger(claim: Option<&Claim>, action: &MachineAction) -> Option<String> {
    let stands = claim.and_then(|claim| claim.action.as_ref()).is_some_and(|id| id.as_str() == action.id);
    (!stands).then(|| format!("a machine action that its claim does not know: {action:?}, {claim:?}"))
}

/// Whether the shipped policy has a device isolated on account of this alert, as far as neither is old.
fn permits(alert: &simulator::Alert, machine: &simulator::Machine) -> bool {
    asks_for_isolation(alert) && is_workstation(machine) && !is_excluded(machine)
}
