//! Contract suites: what every implementation of a trait must do.

pub(crate) mod fence;
pub(crate) mod provider;
pub(crate) mod store;
