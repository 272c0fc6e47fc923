//! The scripts. Each is sent by its hash, and loaded where the server does not know it (after its restart,
//! a fail-over, or `SCRIPT FLUSH`): a call that was refused for that has done nothing.

use redis::Script;
use std::sync::LazyLock;

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("prelude.lua"), include_str!($file))))
    };
}

pub(super) static TAKE: LazyLock<Script> = script!("take.lua");
pub(super) static RENEW: LazyLock<Script> = script!("renew.lua");
pub(super) static RELEASE: LazyLock<Script> = script!("release.lua");
pub(super) static SETTLE: LazyLock<Script> = script!("settle.lua");
pub(super) static COMMIT: LazyLock<Script> = script!("commit.lua");
pub(super) static RECORD: LazyLock<Script> = script!("record.lua");
pub(super) static LOAD: LazyLock<Script> = script!("load.lua");
pub(super) static HISTORY: LazyLock<Script> = script!("history.lua");
pub(super) static DUMP: LazyLock<Script> = script!("dump.lua");
pub(super) static RESTORE: LazyLock<Script> = script!("restore.lua");
