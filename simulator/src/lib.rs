//! The crate's front door: it only names the modules and what they offer; what follows is the README.
//!
#![doc = include_str!("../README.md")]

mod behaviour;
mod create;
mod demo;
mod entities;
mod faults;
pub mod generate;
mod grants;
mod graph;
mod http;
mod hunting;
mod journal;
mod odata;
mod server;
mod times;
mod world;

pub use demo::demo_world;
pub use entities::{
    ActionStatus, ActionType, Alert, Behaviour, Comment, Evidence, IpAddress, Machine, MachineAction, Pace,
    RelatedFile, RelatedUser,
};
pub use faults::{Chaos, Fault, FaultKind, HowOften};
pub use grants::{Grants, TokenEndpoint};
pub use hunting::{Copies, HuntingLimits, Schema, StoredRow, Table, Values};
pub use journal::Entry;
pub use server::{Reached, Simulator, Stop};
pub use world::{
    App, Clock, DEFAULT_AUDIENCE, DEFAULT_CLIENT, DEFAULT_GRAPH_AUDIENCE, DEFAULT_GRAPH_ROLES, DEFAULT_ROLES,
    DEFAULT_SECRET, DEFAULT_TENANT, Duplicate, ListOrder, NextLinks, World,
};
