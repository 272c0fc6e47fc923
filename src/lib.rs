//! Bellwether: a node autoscaler whose policy is nothing but Prometheus alerting rules.
//!
//! *Prometheus decides when. Alertmanager decides who hears. Bellwether decides what is safe, and
//! does it.* The way of data: a webhook becomes a [`model::Signal`] in the [`store`]; the
//! [`reconcile`] loop wakes, looks at the whole world, lets [`policy`] plan, writes the intent down,
//! and acts through [`provider`] and [`cluster`].
//!
//! Rooms stand in layers, and import only from below; `tests/rooms.rs` holds the table.

pub mod alert;
pub mod alertmanager;
pub mod app;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod cost;
pub mod demo;
pub mod http;
pub mod killpoint;
pub mod metrics;
pub mod model;
pub mod policy;
pub mod prometheus;
pub mod provider;
pub mod reconcile;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod wire;
