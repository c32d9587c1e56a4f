//! What a playbook would have done with alerts of the past: gathering them, judging them by the very code that `respond`
//! uses, and counting what became of each.
//!
//! It changes nothing in the tenant or in Cordon's state. What is asked for and how it is printed belong to
//! `commands::backtest`.

mod changes;
mod fetch;
mod judge;
mod kept;
mod page;
mod records;
mod report;
mod simulate;
mod tables;

pub(crate) use changes::{Changes, Side};
pub(crate) use fetch::fetch;
pub(crate) use judge::{Devices, Judged, Taking, Trial, Verdict, View};
pub(crate) use kept::{Kept, Order};
pub(crate) use page::html;
pub(crate) use records::{Found, FoundDevices, Kind, Place, Records};
pub(crate) use report::{Period, Report};
pub(crate) use simulate::{Fate, FateWord, Simulation};
pub(crate) use tables::{Table, tables};
