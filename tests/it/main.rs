//! The one integration binary: real sockets, real servers, whole stories.
#![expect(clippy::unwrap_used, reason = "a test says what broke by panicking")]

mod alertmanager;
mod bad_input;
mod chain;
mod chaos;
#[cfg(feature = "docker")]
mod compose;
mod contract;
mod control_plane;
mod corpus;
#[cfg(feature = "killpoints")]
mod crash;
mod differential;
#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "ec2")]
mod ec2;
mod exec;
mod inlet;
mod kube;
#[cfg(feature = "docker")]
mod lab;
mod life;
mod passes;
mod program;
mod prometheus;
mod promises;
mod push;
mod redis;
mod reload;
mod render;
#[cfg(feature = "killpoints")]
mod replicas;
mod schedules;
mod service;
mod store_file;
mod stories;
mod support;
mod traps;
mod truth;
mod wire;
