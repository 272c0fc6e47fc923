//! Free ports.

use std::net::TcpListener;

/// A port of 127.0.0.1 that was free a moment ago.
pub(crate) fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
