//! The metadata of the machine that the program runs on, in the second version only: without a session nothing is told.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>

use super::scripted::{Answer, Request, Scripted};
use bellwether::clock::Clock;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the role is told, and below it its keys.
pub(crate) const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// The machine's role.
pub(crate) const ROLE: &str = "bellwether-host";

/// How long a session lasts, in seconds: asked for, and granted.
const LASTS: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// What the session is known by.
const SESSION: &str = "AQAEAFbh2dSessionOfTheSecondVersion==";

/// Keys of the role.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoleKeys {
    pub(crate) id: &'static str,
    pub(crate) token: &'static str,
    /// Counted from when they are told, so that a slow machine finds them good, too.
    pub(crate) lasts: Duration,
}

/// Running ones; they end when dropped.
pub(crate) struct Imds {
    served: Scripted,
    keys: Arc<Mutex<RoleKeys>>,
}

impl RoleKeys {
    fn json(self) -> String {
        let until = Clock::system().now() + self.lasts;
        let told = json!({
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": "2026-01-01T00:00:00Z",
            "AccessKeyId": self.id,
            "SecretAccessKey": "of-the-role",
            "Token": self.token,
            "Expiration": until.to_string(),
        });
        told.to_string()
    }
}

impl Imds {
    /// Those of a machine whose role has these keys.
    pub(crate) async fn start(keys: RoleKeys) -> Self {
        let keys = Arc::new(Mutex::new(keys));
        let own = keys.clone();
        let script = move |request: &Request| answer(request, *own.lock().unwrap());
        Self { served: Scripted::start(script).await, keys }
    }

    pub(crate) fn url(&self) -> &str {
        &self.served.url
    }

    /// The role has other keys from now on.
    pub(crate) fn turn_to(&self, keys: RoleKeys) {
        *self.keys.lock().unwrap() = keys;
    }

    /// What was asked so far, in order: method and path.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.served.asked().into_iter();
        asked.map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

fn answer(request: &Request, keys: RoleKeys) -> Answer {
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    if (request.method.as_str(), request.target.as_str()) == ("PUT", "/latest/api/token") {
        let Some(seconds) = header(LASTS) else { return Answer::Whole(400, String::new()) };
        return Answer::Headed(format!("{LASTS}: {seconds}"), SESSION.to_owned());
    }
    if header("x-aws-ec2-metadata-token") != Some(SESSION) {
        return Answer::Whole(401, String::new());
    }
    match request.target.strip_prefix(ROLES) {
        Some("") => Answer::Whole(200, ROLE.to_owned()),
        Some(ROLE) => Answer::Whole(200, keys.json()),
        _ => Answer::Whole(404, String::new()),
    }
}
