//! One file per command.

pub(crate) mod backtest;
pub(crate) mod check;
pub(crate) mod dead_letters;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod held;
pub(crate) mod hunt;
pub(crate) mod hunts;
pub(crate) mod isolate;
pub(crate) mod isolated;
pub(crate) mod limits;
pub(crate) mod notify_test;
pub(crate) mod pause;
pub(crate) mod prove;
pub(crate) mod release;
pub(crate) mod run;
pub(crate) mod shadow;
pub(crate) mod status;
pub(crate) mod test_playbook;
