//! Torture: whole lives of a tenant, drawn from a seed, with everything going wrong that can. Nothing of this ships.
//!
//! What a seed means stands in `plan`, how it is played in `life`, what must hold in the end in `judge`.

pub mod chronicle;
pub mod judge;
pub mod killed;
pub mod life;
pub mod memory;
pub mod outside;
pub mod plan;
mod shipped;
pub mod summary;
