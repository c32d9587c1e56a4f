//! `cordon isolate DEVICE_ID`: a person's order to cut one device off.
//!
//! It gives an order; respond carries it out under the same claims, guarantees and limits as any other isolation.

use crate::{
    Ending, Reporting, clock,
    commands::release::{give, not_after},
    desk::{At, Desk},
    person::{ByHand, Waiting, device},
};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use model::{AlertId, Cause, DeviceId, EffectRequested, IsolationType, Wanted};
use ports::{Announced, CaseRow, Claim, Stored};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon isolate 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --comment \"hands on keyboard, ticket 4711\"
  cordon isolate ID --alert da637308392288907382_-880718168 --comment \"proposed by mail, agreed\"
  cordon isolate ID --reissue --comment \"the device is online again\"
  cordon isolate ID --even-so --comment \"yes, the file server too\"

In `observe` mode, beyond a limit or during a pause nothing is isolated by hand either. A server, or a device on an asset
list, takes `--even-so`. What `requested` means, and what became of it, `cordon isolated` shows.")]
pub(crate) struct Isolate {
    /// The device's machine id: 40 hexadecimal digits
    #[arg(value_name = "DEVICE_ID", value_parser = device)]
    device: DeviceId,
    /// The alert on whose account
    #[arg(long, value_name = "ALERT_ID", allow_hyphen_values = true)]
    alert: Option<AlertId>,
    /// Once more, after an isolation that timed out, failed or was cancelled
    #[arg(long)]
    reissue: bool,
    /// How much of the network it loses [default: as the playbook says]
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    kind: Option<Kind>,
    /// Also a server, or a device that stands on an asset list
    #[arg(long)]
    even_so: bool,
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    reporting: Reporting,
}

/// The API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[value(name = "Full")]
    Full,
    #[value(name = "Selective")]
    Selective,
}

impl From<Kind> for IsolationType {
    fn from(kind: Kind) -> IsolationType {
        match kind {
            Kind::Full => IsolationType::Full,
            Kind::Selective => IsolationType::Selective,
        }
    }
}

impl Isolate {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let now = clock::now();
        let desk = at.act().await?;
        if let Some(alert) = &self.alert {
            known(&desk, alert, &self.device, now).await?;
        }
        let alert = if self.reissue { self.of_the_claim(&desk, now).await? } else { self.alert };
        let order = EffectRequested {
            wanted: Wanted::Isolate { isolation_type: self.kind.map(Into::into), even_so: self.even_so },
            device: self.device,
            cause: if self.reissue { Cause::Reissue } else { Cause::Operator },
            alert,
            claim: None,
            by: self.by_hand.who(at.vars),
            why: self.by_hand.comment,
            not_after: not_after(now),
        };
        give(at, &desk, vec![order], self.waiting, self.reporting, now).await
    }

    /// The alert of what is asked for once more. Whether there is a reason to ask again, respond judges.
    async fn of_the_claim(&self, desk: &Desk, now: Timestamp) -> Result<Option<AlertId>, Ending> {
        let claim: Option<Stored<Claim>> =
            desk.state.get(&Claim::key(&desk.tenant, &self.device), now).await?;
        let Some(claim) = claim else {
            return Err(Ending::attention(format!(
                "Cordon has never asked for an isolation of {}: there is nothing to ask for once more; leave \
                 `--reissue` out",
                desk.name_of(&self.device, now).await?
            )));
        };
        Ok(self.alert.clone().or(claim.value.alert))
    }
}

/// Fails where the state does not know the alert, or not on this device.
async fn known(desk: &Desk, alert: &AlertId, device: &DeviceId, now: Timestamp) -> Result<(), Ending> {
    let found: Option<Stored<Announced>> = desk.state.get(&Announced::key(&desk.tenant, alert), now).await?;
    let key = CaseRow::key(&desk.tenant, alert, Some(device));
    let case: Option<Stored<CaseRow>> = desk.state.get(&key, now).await?;
    // What a hunt has found was announced by no poll.
    if found.is_none() && case.is_none() {
        return Err(unknown_alert(desk, alert));
    }
    case.map(drop).ok_or_else(|| {
        Ending::attention(format!(
            "the alert `{alert}` is not known to concern the device {device}: `cordon explain {alert}` names its device"
        ))
    })
}

/// What is said of an alert that the state does not know.
pub(crate) fn unknown_alert(desk: &Desk, alert: &AlertId) -> Ending {
    let place =
        if desk.store.is_some() { "this state file (CORDON_STATE)" } else { "the state of this stack" };
    Ending::attention(format!(
        "the state knows no alert `{alert}`: it was not found by a poll or a hunt of this tenant into {place}, or it was \
         before the first poll"
    ))
}
