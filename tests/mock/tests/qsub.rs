//! The mock OpenPBS, Torque and Grid Engine, used as a client would.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says where; it starts commands"
)]

#[path = "qsub/cluster.rs"]
mod cluster;
#[path = "qsub/pbs.rs"]
mod pbs;
#[path = "qsub/sge.rs"]
mod sge;
#[path = "qsub/torque.rs"]
mod torque;
