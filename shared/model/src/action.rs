//! A machine action: what the service keeps of a response that somebody asked for.

use crate::{ActionId, ClaimId, DeviceId, open_enum::open_enum};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

open_enum!(
    /// What was asked for. Source: Microsoft's "`MachineAction` resource type" page.
    ActionKind {
        Isolate = "Isolate",
        Unisolate = "Unisolate",
        RunAntiVirusScan = "RunAntiVirusScan",
        CollectInvestigationPackage = "CollectInvestigationPackage",
        RestrictCodeExecution = "RestrictCodeExecution",
        UnrestrictCodeExecution = "UnrestrictCodeExecution",
        StopAndQuarantineFile = "StopAndQuarantineFile",
        LiveResponse = "LiveResponse",
        Offboard = "Offboard",
    }
);

open_enum!(
    /// How far it has come. `Succeeded`, `Failed`, `TimeOut` and `Cancelled` are final.
    ActionStatus {
        Pending = "Pending",
        InProgress = "InProgress",
        Succeeded = "Succeeded",
        Failed = "Failed",
        TimeOut = "TimeOut",
        Cancelled = "Cancelled",
    }
);

/// One response action on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineAction {
    pub id: ActionId,
    pub kind: ActionKind,
    pub status: ActionStatus,
    /// `Full` or `Selective` for an isolation.
    pub scope: Option<String>,
    pub requestor: Option<String>,
    pub comment: Option<String>,
    pub device: Option<DeviceId>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

impl MachineAction {
    /// Whether this is what Cordon asked for under that claim.
    pub fn carries(&self, claim: &ClaimId) -> bool {
        self.comment.as_deref().is_some_and(|comment| comment.contains(&claim.marker()))
    }

    /// Whether Cordon has asked for it, under whatever claim. Where people ask, the comment may be theirs: this is no proof.
    pub fn is_by_cordon(&self) -> bool {
        self.comment.as_deref().is_some_and(|comment| comment.contains(ClaimId::MARK))
    }

    /// Whether it may still change: `Pending`, `InProgress`, or a status that this version does not know.
    pub fn is_open(&self) -> bool {
        match self.status {
            ActionStatus::Pending | ActionStatus::InProgress | ActionStatus::Other(_) => true,
            ActionStatus::Succeeded
            | ActionStatus::Failed
            | ActionStatus::TimeOut
            | ActionStatus::Cancelled => false,
        }
    }
}
