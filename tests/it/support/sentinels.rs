//! A real Redis with a standby, and three Sentinels that watch them.

use super::redis::{self, RunningRedis};
use super::wait;

/// What the Sentinels ask of whoever asks them.
const PASSWORD: &str = "watch";

/// As whom the standby follows.
const FOLLOWER: &str = "follower";

pub(crate) struct Watched {
    pub(crate) primary: RunningRedis,
    pub(crate) standby: RunningRedis,
    sentinels: Vec<RunningRedis>,
}

impl Watched {
    /// Starts them all, and waits until the Sentinels know each other and the standby; `None` after a printed skip.
    pub(crate) async fn start() -> Option<Self> {
        let primary = redis::start(&[]).await?;
        let words = ["ACL", "SETUSER", FOLLOWER, "on", ">follow", "+psync", "+replconf", "+ping"];
        let _: String = primary.ask(&words);
        let port = primary.port.to_string();
        let follow = ["--replicaof", "127.0.0.1", &port];
        let login = ["--masteruser", FOLLOWER, "--masterauth", "follow"];
        let standby = redis::start(&[&follow[..], &login].concat()).await?;
        let text = format!(
            "requirepass {PASSWORD}
user watcher on >{PASSWORD} allkeys allchannels +@all
sentinel sentinel-pass {PASSWORD}
sentinel monitor main 127.0.0.1 {port} 2
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 3000
"
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(redis::start_sentinel(&text).await?);
        }
        let watched = Self { primary, standby, sentinels };
        wait::until("the Sentinels to know each other and the standby", || async {
            watched.sentinels.iter().all(|sentinel| {
                let told: String = sentinel.ask_with(PASSWORD, &["INFO", "sentinel"]);
                told.contains("slaves=1,sentinels=3")
            })
        })
        .await;
        wait::until("the standby to follow", || async {
            watched.standby.ask::<String>(&["INFO", "replication"]).contains("link_status:up")
        })
        .await;
        Some(watched)
    }

    /// `redis+sentinel://…` of database 0.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> =
            self.sentinels.iter().map(|it| format!("127.0.0.1:{}", it.port)).collect();
        format!("redis+sentinel://{}/main/0", hosts.join(","))
    }

    /// The fields of `store` with which they are asked.
    pub(crate) fn login() -> String {
        format!("sentinel: {{ username: watcher, password: {PASSWORD} }}")
    }

    /// From now on the standby hears of nothing, until it is the primary.
    #[cfg(feature = "killpoints")]
    pub(crate) fn lag(&self) {
        let _: String = self.primary.ask(&["ACL", "SETUSER", FOLLOWER, "off"]);
        let ended: i64 = self.primary.ask(&["CLIENT", "KILL", "USER", FOLLOWER]);
        assert_eq!(ended, 1, "it followed");
    }

    /// Kills the primary, and waits until the standby has its place.
    pub(crate) async fn fail_over(&mut self) {
        self.primary.kill();
        wait::until("the standby to be made the primary", || async {
            // A Sentinel ends its connections as it makes it the primary.
            let told = self.standby.try_ask::<String>("", &["INFO", "replication"]);
            told.is_ok_and(|told| told.contains("role:master"))
        })
        .await;
        std::mem::swap(&mut self.primary, &mut self.standby);
    }
}
