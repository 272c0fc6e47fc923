//! A real Alertmanager with the shipped routes, a recorder of what it delivers, the service, and a simulated world.

use super::NEED;
use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::ports;
use crate::support::recorder::{Delivery, Recorder};
use crate::support::stage::{Setting, Stage};
use crate::support::wait;
use bellwether::model::Reason;

/// A step is done once, since the cooldown outlasts the story.
pub(super) const ONCE: &str =
    "{ provider: { sim: {} }, min: 1, max: 4, min_age: 0s, cooldown: { up: 10m, down: 10m } }";

/// What may go goes at once, down to one; never more than two.
pub(super) const BRISK: &str =
    "{ provider: { sim: {} }, min: 1, max: 2, min_age: 0s, cooldown: { up: 100ms, down: 100ms } }";

/// The only Alertmanager there is.
pub(super) const ALONE: &[&str] = &["--cluster.listen-address="];

/// What a story may choose.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) version: &'static str,
    /// The shipped `group_interval`, `repeat_interval`, and `group_wait` of removals, all shorter.
    pub(super) times: (&'static str, &'static str, &'static str),
    /// What somebody changed in the shipped file: each of these texts into another.
    pub(super) edits: Vec<(&'static str, &'static str)>,
    pub(super) setting: Setting,
}

pub(super) struct Scene {
    pub(super) recorder: Recorder,
    pub(super) stage: Stage,
    plot: Plot,
}

impl Plot {
    /// A pool in flow style.
    pub(super) fn new(version: &'static str, pool: &str) -> Self {
        let setting =
            Setting { pool: pool.to_owned(), alertmanager: fields(""), ..Setting::default() };
        Self { version, times: ("1s", "4s", "1s"), edits: Vec::new(), setting }
    }

    /// The shipped file with the story's times and edits, delivering to an address.
    pub(super) fn routes(&self, url: &str) -> String {
        let (interval, repeat, wait) = self.times;
        let own = [
            ("http://bellwether:8080", url.to_owned()),
            ("group_interval: 15s", format!("group_interval: {interval}")),
            ("repeat_interval: 55s", format!("repeat_interval: {repeat}")),
            ("group_wait: 30s", format!("group_wait: {wait}")),
        ];
        let edits = self.edits.iter().map(|(from, to)| (*from, (*to).to_owned()));
        let shipped = include_str!("../../../alertmanager/alertmanager.yml").to_owned();
        own.into_iter().chain(edits).fold(shipped, |text, (from, to)| {
            assert_eq!(text.matches(from).count(), 1, "{from:?} in:\n{text}");
            text.replace(from, &to)
        })
    }
}

/// The fields of `alertmanager`, and more of them.
pub(super) fn fields(more: &str) -> String {
    format!("ttl_slack: 2s, restart_hold: 3s, watchdog_ttl: 1m{more}")
}

impl Scene {
    /// Starts it and waits for the one worker that `min` asks for; `None`, after a printed skip, where a server is
    /// missing.
    pub(super) async fn start(plot: Plot) -> Option<Self> {
        let port = ports::free();
        let recorder = Recorder::start(port).await;
        let server =
            alertmanager::start_with(plot.version, &plot.routes(&recorder.url), ALONE).await?;
        Some(Self::beside(server, recorder, port, plot).await)
    }

    /// Starts the service at a port, beside an Alertmanager that delivers to the recorder before it.
    pub(super) async fn beside(
        server: RunningAlertmanager,
        recorder: Recorder,
        port: u16,
        plot: Plot,
    ) -> Self {
        let stage = Stage::beside(server, port, &plot.setting).await;
        stage.settled(1).await;
        Self { recorder, stage, plot }
    }

    /// Alertmanager reads its file anew, with these edits instead.
    pub(super) async fn reload(&self, edits: &[(&'static str, &'static str)]) {
        let plot = Plot { edits: edits.to_vec(), ..self.plot.clone() };
        self.stage.alertmanager.reload(&plot.routes(&self.recorder.url)).await;
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        wait::until(what, || async { holds() }).await;
    }

    /// Waits until an alert was delivered and answered 200 so many times; its deliveries.
    pub(super) async fn delivered(&self, name: &str, times: usize) -> Vec<Delivery> {
        let taken = || self.recorder.of(name).into_iter().filter(|delivery| delivery.code == 200);
        let what = format!("{name} to be delivered {times} times");
        self.until(&what, || taken().count() >= times).await;
        taken().collect()
    }

    /// Whether an alert counts, as the last pass saw it.
    pub(super) fn counts(&self, name: &str) -> bool {
        let report = self.stage.report();
        report.signals.iter().any(|signal| signal.signal.name == name && signal.counts)
    }

    /// Waits until an alert is known and does not count, for a reason that is looked for.
    pub(super) async fn refused(&self, name: &str, why: impl Fn(&Reason) -> bool) {
        let refused = || {
            let report = self.stage.report();
            let mut ours = report.signals.iter().filter(|signal| signal.signal.name == name);
            ours.any(|signal| !signal.counts && signal.why.as_ref().is_some_and(&why))
        };
        self.until(&format!("{name} not to count"), refused).await;
    }

    /// Waits until the pool is held, for a reason that is looked for.
    pub(super) async fn held(&self, why: impl Fn(&Reason) -> bool) {
        let held = || {
            let decision = self.stage.report().plan.decisions[0].clone();
            std::iter::once(&decision.reason).chain(&decision.also).any(&why)
        };
        self.until("the pool to be held", held).await;
    }

    /// Nothing is done to machines and nodes in five more passes; how many were launched in all.
    pub(super) async fn still(&self) -> usize {
        let before = self.stage.acts();
        self.stage.passes(5).await;
        assert_eq!(self.stage.acts(), before, "{:#?}", self.stage.world.calls());
        self.stage.world.calls().iter().map(|call| call.new).sum()
    }

    /// Whether Alertmanager tells of an alert of this name.
    pub(super) async fn is_told(&self, name: &str) -> bool {
        !named(&self.stage.alertmanager, name).await.is_empty()
    }

    /// Waits until Alertmanager tells, or tells no more, of an alert of this name.
    pub(super) async fn told(&self, name: &str, is: bool) {
        let what = format!("{name} to be told: {is}");
        wait::until(&what, || async { self.is_told(name).await == is }).await;
    }

    /// Waits for a whole `group_interval`: an alert of its own fires, is over, and both were told.
    pub(super) async fn tick(&self) {
        let labels = &[("autoscale", "watchdog"), ("of", "time")];
        let before = self.recorder.of("Tick").len();
        self.stage.fire("Tick", labels).await;
        self.delivered("Tick", before + 1).await;
        self.stage.resolve("Tick", labels).await;
        self.delivered("Tick", before + 2).await;
    }

    /// Grows to two workers for pods that then go again, so that one could be removed.
    pub(super) async fn idle(&self) {
        self.stage.watchdog().await;
        self.delivered("Watchdog", 1).await;
        self.stage.pods(3);
        // A group of its own, whatever the route groups by.
        let need = &[NEED, &[("of", "need")]].concat();
        self.stage.fire("Need", need).await;
        self.stage.settled(2).await;
        self.stage.resolve("Need", need).await;
        self.told("Need", false).await;
        self.stage.pods(1);
    }

    /// Waits until the worker that was idle is gone; nothing else was ended.
    pub(super) async fn removed(&self) {
        self.stage.settled(1).await;
        assert_eq!(self.stage.calls("terminate"), 1, "{:#?}", self.stage.world.calls());
    }

    /// Nothing was cordoned or ended in five more passes.
    pub(super) async fn nothing_removed(&self) {
        self.still().await;
        assert_eq!((self.stage.calls("cordon"), self.stage.calls("terminate")), (0, 0));
    }
}

/// The alerts of this name that an Alertmanager tells of.
pub(super) async fn named(server: &RunningAlertmanager, name: &str) -> Vec<serde_json::Value> {
    let all = server.alerts().await;
    let ours = all.as_array().unwrap().iter().filter(|alert| alert["labels"]["alertname"] == name);
    ours.cloned().collect()
}
