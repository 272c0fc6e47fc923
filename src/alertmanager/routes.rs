//! What Alertmanager's own configuration says about our route: how long a delivery counts, and faults.

use crate::config::AlertmanagerConfig;
use crate::model::duration;
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Alertmanager's own defaults, where a route and all above it are silent.
const GROUP_INTERVAL: Duration = Duration::from_mins(5);
const REPEAT_INTERVAL: Duration = Duration::from_hours(4);

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routes {
    /// `repeat_interval + group_interval`, the largest over our routes; `None` without a route to us.
    pub(super) period: Option<Duration>,
    /// Faults, for people.
    pub(super) findings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    global: Global,
    route: Route,
    receivers: Vec<Receiver>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Global {
    http_config: HttpConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Route {
    receiver: Option<String>,
    group_interval: Option<String>,
    repeat_interval: Option<String>,
    routes: Vec<Route>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Receiver {
    name: String,
    webhook_configs: Vec<Webhook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Webhook {
    max_alerts: u64,
    send_resolved: Option<bool>,
    http_config: Option<HttpConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HttpConfig {
    follow_redirects: Option<bool>,
}

/// What a route inherits.
#[derive(Clone, Copy)]
struct Inherited<'a> {
    receiver: &'a str,
    group_interval: Duration,
    repeat_interval: Duration,
}

/// What files said that were read before: an Alertmanager that runs shows the same text each time.
#[derive(Debug, Default)]
pub struct KnownRoutes(Mutex<Vec<(String, Result<Routes, String>)>>);

impl KnownRoutes {
    /// More than this many texts, and the oldest is forgotten: one for each peer, before and after a reload.
    const TEXTS: usize = 8;

    pub(super) fn read(&self, yaml: &str, config: &AlertmanagerConfig) -> Result<Routes, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, routes)) = known.iter().find(|(text, _)| text == yaml) {
            return routes.clone();
        }
        let routes = read(yaml, config);
        if known.len() >= Self::TEXTS {
            drop(known.remove(0));
        }
        known.push((yaml.to_owned(), routes.clone()));
        routes
    }
}

/// Reads the configuration as Alertmanager shows it. What cannot be understood is not guessed.
pub(super) fn read(yaml: &str, config: &AlertmanagerConfig) -> Result<Routes, String> {
    let file: File = serde_saphyr::from_str(yaml)
        .map_err(|_| "Alertmanager's own configuration cannot be read".to_owned())?;
    let top = Inherited {
        receiver: "",
        group_interval: GROUP_INTERVAL,
        repeat_interval: REPEAT_INTERVAL,
    };
    let mut routes = Routes::default();
    walk(&file.route, top, config, &mut routes)?;
    if routes.period.is_none() {
        routes
            .findings
            .push(format!("no route of Alertmanager leads to the receiver {:?}", config.receiver));
    }
    for receiver in file.receivers.iter().filter(|receiver| receiver.name == config.receiver) {
        let faults = |webhook| faults(webhook, &file.global);
        routes.findings.extend(receiver.webhook_configs.iter().flat_map(faults));
    }
    routes.findings.sort();
    routes.findings.dedup();
    Ok(routes)
}

fn walk<'a>(
    route: &'a Route,
    above: Inherited<'a>,
    config: &AlertmanagerConfig,
    into: &mut Routes,
) -> Result<(), String> {
    let own = Inherited {
        receiver: route.receiver.as_deref().unwrap_or(above.receiver),
        group_interval: interval(route.group_interval.as_deref(), above.group_interval)?,
        repeat_interval: interval(route.repeat_interval.as_deref(), above.repeat_interval)?,
    };
    if own.receiver == config.receiver {
        let period = own.repeat_interval.saturating_add(own.group_interval);
        into.period = into.period.max(Some(period));
        if own.repeat_interval > config.repeat_max {
            into.findings.push(format!(
                "repeat_interval is {} on a route to {:?}; more than {} lets a lost delivery go unnoticed for long",
                duration::format(own.repeat_interval),
                config.receiver,
                duration::format(config.repeat_max),
            ));
        }
    }
    route.routes.iter().try_for_each(|child| walk(child, own, config, into))
}

fn interval(text: Option<&str>, above: Duration) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(above) };
    duration::parse(text)
        .map_err(|_| format!("an interval of Alertmanager's routes cannot be read: {text:?}"))
}

fn faults(webhook: &Webhook, global: &Global) -> Vec<String> {
    let mut faults = Vec::new();
    if webhook.max_alerts > 0 {
        faults.push(
            "max_alerts is set on our webhook; alerts beyond it are never delivered".to_owned(),
        );
    }
    if webhook.send_resolved == Some(false) {
        faults.push(
            "send_resolved is false on our webhook; what is over is only known at the next look"
                .to_owned(),
        );
    }
    let own = webhook.http_config.as_ref().and_then(|http| http.follow_redirects);
    if own.or(global.http_config.follow_redirects).unwrap_or(true) {
        faults.push("follow_redirects is not false on our webhook; a redirect would lose deliveries silently".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_for(yaml: &str) -> Routes {
        read(yaml, &AlertmanagerConfig::default()).unwrap()
    }

    #[test]
    fn a_delivery_counts_for_repeat_and_group_interval_of_the_slowest_route_to_us() {
        let routes = read_for(
            "route:
  receiver: humans
  group_interval: 1m
  routes:
    - { receiver: bellwether, repeat_interval: 55s, group_interval: 15s }
    - { receiver: bellwether, repeat_interval: 2m, routes: [{ matchers: [a=b] }] }
receivers: [{ name: bellwether, webhook_configs: [{ url: x, http_config: { follow_redirects: false } }] }]",
        );
        assert_eq!(
            routes.period,
            Some(Duration::from_mins(3)),
            "the second inherits its group_interval"
        );
        assert!(routes.findings.is_empty(), "{:?}", routes.findings);
    }

    #[test]
    fn what_is_wrong_with_the_set_up_is_found() {
        let routes = read_for(
            "route: { receiver: bellwether }
receivers: [{ name: bellwether, webhook_configs: [{ url: x, max_alerts: 1 }] }]",
        );
        assert_eq!(
            routes.period,
            Some(REPEAT_INTERVAL + GROUP_INTERVAL),
            "Alertmanager's own defaults"
        );
        for word in ["repeat_interval is 4h", "max_alerts", "follow_redirects"] {
            assert!(routes.findings.iter().any(|finding| finding.contains(word)), "{word}");
        }
        assert!(read_for("route: { receiver: humans }").findings[0].contains("no route"));
        assert!(read("route: [", &AlertmanagerConfig::default()).is_err());
    }
}
