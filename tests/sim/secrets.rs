//! What must show nowhere (I10), and an ear for all that a process logs.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Who may deliver, and ask.
pub(crate) const TOKEN: &str = "hush-hush-hush-hush";

/// Who we are to Alertmanager, and to Prometheus.
pub(crate) const PASSWORD: &str = "never-tell-am-this";
pub(crate) const BEARER: &str = "never-tell-prom-this";

/// With what a machine of the simulated world joins, as its console has it.
const JOINS: &str = "simulated-token";

/// The secret that a text shows, if it does.
pub(crate) fn shown(text: &str) -> Option<&'static str> {
    [TOKEN, PASSWORD, BEARER, JOINS].into_iter().find(|secret| text.contains(secret))
}

/// Hears what the processes of one run log, at every level, and keeps the first line that shows a secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear(Arc<Mutex<Option<String>>>);

impl Ear {
    /// What it heard that nobody should hear.
    pub(crate) fn heard(&self) -> Option<String> {
        self.0.lock().unwrap().take()
    }

    fn hear(&self, tell: impl FnOnce(&mut Words)) {
        let mut words = Words(String::new());
        tell(&mut words);
        if shown(&words.0).is_some() {
            self.0.lock().unwrap().get_or_insert(words.0);
        }
    }
}

/// A line's fields as text.
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("a string takes all");
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bellwether")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.hear(|words| span.record(words));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.hear(|words| values.record(words));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.hear(|words| event.record(words));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
