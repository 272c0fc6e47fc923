//! What several stories need.

pub(crate) mod alertmanager;
pub(crate) mod authority;
pub(crate) mod chain;
pub(crate) mod configuration;
pub(crate) mod control_plane;
pub(crate) mod inlet;
pub(crate) mod interposed;
pub(crate) mod kubelets;
#[cfg(feature = "killpoints")]
pub(crate) mod observer;
pub(crate) mod ports;
pub(crate) mod proc;
pub(crate) mod process;
pub(crate) mod prometheus;
#[cfg(feature = "killpoints")]
pub(crate) mod proxy;
pub(crate) mod recorder;
pub(crate) mod redis;
pub(crate) mod scripted;
pub(crate) mod sentinels;
pub(crate) mod server;
pub(crate) mod stage;
pub(crate) mod stores;
pub(crate) mod wait;
pub(crate) mod webhook;
pub(crate) mod yard;
