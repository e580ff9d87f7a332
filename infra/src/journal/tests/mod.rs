//! The journal on a real nats-server.

mod append;
mod crash;
mod damage;
mod follow;
mod group;
mod keys;
mod live;
mod privileges;
mod provisioning;
pub(crate) mod proxy;
mod raw;
pub(crate) mod world;
