//! The client of the Defender for Endpoint API: [`Reader`] for everyone, [`Responder`] for the one step that acts.
//! Alerts and hunting can be asked for on Microsoft Graph instead, by a setting; whoever calls does not see which.
//!
//! The client retries reads, within a budget that the caller gives, and never an effect. It decides nothing: it
//! says what the service answered, and for a failed effect whether the service may have acted.

mod actions;
mod alerts;
pub mod bodies;
mod connect;
mod error;
mod graph_alerts;
mod hunting;
mod machines;
mod pause;
mod responder;
mod send;
mod wire;

pub use alerts::{AlertPage, Next, PAGE, Portion, TICK, Window, after, on_tick};
pub use connect::connect;
pub use error::{Answer, ApiError, Failed, Reached};
pub use hunting::{Column, HuntAnswer, HuntError, MOST_BYTES, MOST_ROWS, Row};
pub use machines::MachinePage;
pub use pause::{Pause, RealPause};
pub use responder::{EFFECT_TIMEOUT, Responder};
pub use send::{Call, Reader};
pub use wire::{Listed, Unreadable};
