//! What the tests and the benches share: real servers, free ports, waiting.

#[path = "../../tests/it/support/alertmanager.rs"]
pub(crate) mod alertmanager;
#[path = "../../tests/it/support/ports.rs"]
pub(crate) mod ports;
#[path = "../../tests/it/support/redis.rs"]
pub(crate) mod redis;
#[path = "../../tests/it/support/server.rs"]
pub(crate) mod server;
#[path = "../../tests/it/support/wait.rs"]
pub(crate) mod wait;
