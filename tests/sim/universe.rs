//! One run from its start to its quiet end.

mod effects;
mod hindrance;

use crate::checker::{Checker, Hindered, Violation};
use crate::happening::{Mail, What, When};
use crate::links::{Linked, Links};
use crate::monitoring::{BEHIND, EVALUATION, Monitoring};
use crate::post::{Post, carry};
use crate::primaries::Primaries;
use crate::replica::{self, Control, Fate};
use crate::scenario::{CLUSTER, HOURS, Scenario};
use crate::secrets::Ear;
use bellwether::clock::Clock;
use bellwether::config::{Config, Standing};
use bellwether::http::readiness::Readiness;
use bellwether::http::{self, Inlet};
use bellwether::metrics::Metrics;
use bellwether::model::{ClusterName, duration};
use bellwether::provider::guarded::GuardedConfig;
use bellwether::provider::{self, Guarded};
use bellwether::reconcile::{Handle, Parts, Reconciler, Terms};
use bellwether::sim::{Faults, World};
use bellwether::store::{self, Retention};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How long the world may take to settle when nothing goes wrong any more.
const SETTLES: Duration = Duration::from_hours(4);

/// How long nothing is done once it has settled.
const QUIET: Duration = Duration::from_hours(1);

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<Violation>,
    pub(crate) story: Vec<String>,
    pub(crate) acts: u64,
}

/// Plays one scenario to its end, or to the first violation.
pub(crate) fn play(scenario: &Scenario) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let ear = Ear::default();
    let _heard = tracing::subscriber::set_default(ear.clone());
    runtime.block_on(async {
        let mut universe = Universe::new(scenario, ear);
        universe.run().await;
        let checker = &universe.checker;
        let origin = universe.origin;
        let line = |(at, what): (Timestamp, String)| {
            let after = duration::until(at, origin);
            let seconds = after.as_secs();
            format!(
                "{}:{:02}:{:02}.{:03} {what}",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60,
                after.subsec_millis()
            )
        };
        Outcome {
            violations: checker.violations(),
            story: checker.story().await.into_iter().map(line).collect(),
            acts: checker.acts(),
        }
    })
}

/// What is to be done at a time.
#[derive(Debug)]
enum Todo {
    Begin(What),
    End(What),
    /// A Prometheus evaluates its rules.
    Evaluate(usize),
    /// A process that died is started, its clock off by so many milliseconds.
    Start(usize, i64),
    /// A process that was stopped goes on.
    GoOn(Arc<Control>),
    /// The owner names a worker that must stay.
    Keep,
}

/// One process, as the driver knows it.
struct Running {
    control: Arc<Control>,
    connections: mpsc::UnboundedSender<DuplexStream>,
    handle: Handle,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// For how long it will be stopped when it is.
    stops_for: Option<Duration>,
}

struct Universe<'a> {
    scenario: &'a Scenario,
    ear: Ear,
    origin: Timestamp,
    clock: Clock,
    config: watch::Sender<Arc<Config>>,
    world: World,
    store: Arc<Primaries>,
    checker: Arc<Checker>,
    monitoring: Arc<Mutex<Monitoring>>,
    links: Vec<Arc<Links>>,
    running: Vec<Option<Running>>,
    agenda: BTreeMap<(Timestamp, u64), Todo>,
    planned: u64,
    starts: u64,
    mail: Vec<Mail>,
    /// Faults of the provider and the cluster, all that are on.
    faults: Vec<Faults>,
    delivered: u64,
    permanent: Option<String>,
}

impl<'a> Universe<'a> {
    fn new(scenario: &'a Scenario, ear: Ear) -> Self {
        let origin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(origin);
        let (config, watched) = watch::channel(Arc::new(parse(&scenario.config())));
        let limits = config.borrow().clusters[&ClusterName::from(CLUSTER)].clone();
        let sim = &limits.kubernetes.sim;
        let world = World::new(sim, clock).unwrap();
        let retention = Retention { entries: 100_000, age: Duration::from_hours(24) };
        let store = Arc::new(Primaries::new(clock, retention));
        let checker = Arc::new(Checker::new(clock, &world, store.clone(), watched));
        let monitoring = Arc::new(Mutex::new(Monitoring::new(
            world.clone(),
            (scenario.prometheuses, scenario.alertmanagers),
            limits.alertmanager.clone(),
            scenario.seed,
            origin,
        )));
        let link = |replica| {
            let (checker, store) = (checker.clone(), store.clone());
            Arc::new(Links::new(replica, checker, &world, store, monitoring.clone()))
        };
        let links = (0..scenario.replicas).map(link).collect();
        let running = (0..scenario.replicas).map(|_| None).collect();
        let (agenda, mail) = (BTreeMap::new(), Vec::new());
        Self {
            scenario,
            ear,
            origin,
            clock,
            config,
            world,
            store,
            checker,
            monitoring,
            links,
            running,
            agenda,
            planned: 0,
            starts: 0,
            mail,
            faults: Vec::new(),
            delivered: 0,
            permanent: None,
        }
    }

    fn plan(&mut self, at: Timestamp, todo: Todo) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), todo);
    }

    /// Every Prometheus evaluates from now on.
    fn evaluations(&mut self, now: Timestamp) {
        for number in 0..self.scenario.prometheuses {
            let behind = BEHIND * u32::try_from(number).expect("one or two");
            self.plan(duration::after(now, behind), Todo::Evaluate(number));
        }
    }

    async fn run(&mut self) {
        for replica in 0..self.scenario.replicas {
            self.start(replica, 0);
        }
        self.evaluations(self.origin);
        if self.scenario.permanent {
            self.plan(duration::after(self.origin, Duration::from_mins(10)), Todo::Keep);
        }
        for happening in &self.scenario.happenings {
            let at = duration::after(self.origin, happening.at);
            self.plan(at, Todo::Begin(happening.what.clone()));
        }
        let end = duration::after(self.origin, Duration::from_hours(HOURS));
        if self.go_on(end, false).await {
            self.calm();
            let limit = duration::after(end, SETTLES);
            let settled = self.go_on(limit, true).await;
            if settled && self.checker.violations().is_empty() {
                self.unsettled().await;
            }
        }
        self.show();
    }

    /// What the processes show of themselves and have logged, and the file as it is shown: no secret is among it.
    fn show(&self) {
        for running in self.running.iter().flatten() {
            self.checker.shows("a process", &shown(running));
        }
        let config = self.config.borrow().clone();
        self.checker.shows("the file", &format!("{config:?} {}", config.to_value()));
        if let Some(line) = self.ear.heard() {
            self.checker.violated("I10", format!("a line of the log shows a secret: {line}"));
        }
    }

    /// Lets everything happen until then. False as soon as an invariant is broken.
    async fn go_on(&mut self, end: Timestamp, may_end: bool) -> bool {
        let begin = self.clock.now();
        loop {
            let due = self.monitoring.lock().unwrap().next_due();
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let next = due.into_iter().chain(planned).min().unwrap_or(end);
            if next > end {
                return true;
            }
            tokio::time::sleep(duration::until(next, self.clock.now())).await;
            let now = self.clock.now();
            self.deliver(now);
            while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
                let todo = entry.remove();
                let is_evaluation = matches!(todo, Todo::Evaluate(_));
                self.happen(todo, now);
                if is_evaluation {
                    self.look(now).await;
                    self.revive(now);
                }
            }
            if !self.checker.violations().is_empty() {
                return false;
            }
            if may_end && self.is_quiet(begin, now).await {
                return false;
            }
        }
    }

    /// What is looked at every now and then: what pauses, and whether all goes on in time and nothing is lost.
    async fn look(&self, now: Timestamp) {
        let truth = self.monitoring.lock().unwrap().present(now);
        self.checker.told_by_all(&truth);
        self.checker.hindered(self.hindrance());
        self.checker.in_time().await;
        self.checker.still_kept().await;
        self.checker.reached(&truth).await;
    }

    /// Whether all is well and nothing has been done for a while.
    async fn is_quiet(&self, begin: Timestamp, now: Timestamp) -> bool {
        let since = self.checker.last_act().unwrap_or(begin).max(begin);
        duration::since(since, now) > QUIET && self.checker.unsettled().await.is_none()
    }

    /// At the end of all patience: what has not settled (I4), or is never quiet (I7).
    async fn unsettled(&self) {
        match self.checker.unsettled().await {
            Some(what) => self.checker.violated("I4", what),
            None => self.checker.violated("I7", "it never comes to rest".to_owned()),
        }
    }

    /// Nothing goes wrong any more.
    fn calm(&mut self) {
        self.checker.tell("from here on nothing goes wrong".to_owned());
        let now = self.clock.now();
        let open: Vec<Todo> = std::mem::take(&mut self.agenda).into_values().collect();
        self.evaluations(now);
        for todo in open {
            match todo {
                Todo::End(what) => self.happen(Todo::End(what), now),
                Todo::Start(replica, _) => self.happen(Todo::Start(replica, 0), now),
                Todo::Begin(_) | Todo::Evaluate(_) | Todo::Keep | Todo::GoOn(_) => {}
            }
        }
        self.world.set_faults(Faults::default());
        self.world.uncordon_by_hand();
        self.monitoring.lock().unwrap().restore(now);
        for replica in 0..self.scenario.replicas {
            // With a good clock, whatever it was before.
            self.checker.hindered(Hindered { acts: true, removals: true });
            self.kill(replica);
            self.start(replica, 0);
        }
    }

    fn kill(&mut self, replica: usize) {
        if let Some(running) = self.running[replica].take() {
            running.control.plan(When::Steps(0), Fate::Dies);
            running.control.go_on();
        }
    }

    fn happen(&mut self, todo: Todo, now: Timestamp) {
        match todo {
            Todo::Evaluate(prometheus) => {
                self.monitoring.lock().unwrap().evaluate(prometheus, now);
                self.plan(duration::after(now, EVALUATION), Todo::Evaluate(prometheus));
            }
            Todo::Start(replica, skew) => {
                let is_dead =
                    self.running[replica].as_ref().is_none_or(|running| running.control.is_dead());
                if is_dead {
                    self.start(replica, skew);
                }
            }
            Todo::GoOn(control) => control.go_on(),
            Todo::Keep => {
                let view = self.world.view();
                let mut ours = view.nodes.iter().filter(|node| node.pool == Some("workers".into()));
                self.permanent = ours.next().map(|node| node.at.name.to_string());
                let name = self.permanent.as_deref().unwrap_or("nobody");
                self.checker.tell(format!("{name} must stay"));
                self.edit(None);
            }
            Todo::Begin(what) => {
                self.show();
                self.checker.tell(what.to_string());
                self.checker.hindered(hindrance::hindrance(&what));
                self.begin(&what, now);
                if let Some(lasts) = effects::lasts(&what) {
                    self.plan(duration::after(now, lasts), Todo::End(what));
                }
            }
            Todo::End(what) => {
                self.checker.hindered(hindrance::hindrance(&what));
                self.end(&what, now);
            }
        }
    }

    /// A process that died is started a while later, and one that was stopped goes on after its time.
    fn revive(&mut self, now: Timestamp) {
        for replica in 0..self.running.len() {
            let Some(running) = &mut self.running[replica] else { continue };
            let control = running.control.clone();
            if control.is_dead() {
                self.running[replica] = None;
                self.plan(duration::after(now, Duration::from_secs(20)), Todo::Start(replica, 0));
            } else if control.is_stopped()
                && let Some(lasts) = running.stops_for.take()
            {
                self.plan(duration::after(now, lasts), Todo::GoOn(control));
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a process of its own")]
    fn start(&mut self, replica: usize, skew_millis: i64) {
        self.starts += 1;
        let linked = Linked(self.links[replica].clone());
        let clock = self.clock_of(replica, skew_millis);
        let metrics = Arc::new(Metrics::new());
        let config = self.config.borrow().clone();
        let limits = &config.clusters[&ClusterName::from(CLUSTER)];
        let seed = Some(self.scenario.seed.wrapping_add(self.starts));
        let guarded = GuardedConfig { call: limits.timing.call, seed, ..GuardedConfig::default() };
        let store: Arc<dyn store::Store> = Arc::new(linked.clone());
        let parts = Parts {
            store: store.clone(),
            provider: Arc::new(Guarded::new(Arc::new(linked.clone()), guarded, metrics.clone()))
                as Arc<dyn provider::Provider>,
            cluster: Arc::new(linked.clone()),
            fence: Arc::new(linked.clone()),
            alertmanager: Arc::new(linked.clone()),
            prometheus: Arc::new(linked),
            metrics: metrics.clone(),
            config: self.config.subscribe(),
            clock,
        };
        let holder = format!("replica-{replica}-{}", self.starts);
        let reconciler = Reconciler::new(CLUSTER.into(), parts, &holder);
        self.checker.started(replica, holder, reconciler.claims());
        let handle = reconciler.handle();
        let inlet = Inlet::new(
            http::State {
                store,
                metrics: metrics.clone(),
                config: self.config.subscribe(),
                standing: watch::channel(Standing::started(Timestamp::UNIX_EPOCH)).1,
                handle: wakes(handle.clone()),
                readiness: Readiness::new(),
                limits: http::Limits::default(),
            },
            CancellationToken::new(),
        );
        let control = Arc::new(Control::default());
        let (connections, incoming) = mpsc::unbounded_channel();
        let file = self.config.subscribe();
        let terms = move || Terms::of(&file.borrow(), &ClusterName::from(CLUSTER));
        tokio::spawn(replica::live(reconciler, inlet, incoming, terms, control.clone()));
        self.links[replica].runs(control.clone());
        let stops_for = None;
        self.running[replica] =
            Some(Running { control, connections, handle, metrics, clock, stops_for });
    }

    /// The clock of a process that starts now: off by so much, and by what else will happen to it.
    fn clock_of(&self, replica: usize, skew_millis: i64) -> Clock {
        let now = self.clock.now();
        let clock = Clock::starting_at(now + SignedDuration::from_millis(skew_millis));
        let end = duration::after(self.origin, Duration::from_hours(HOURS));
        let astray = self.scenario.happenings.iter().filter_map(|happening| match happening.what {
            What::Astray { replica: whose, millis, lasts } if whose == replica => {
                let from = duration::after(self.origin, happening.at);
                let until = duration::after(from, lasts).min(end);
                let [begin, over] = [from, until].map(|at| duration::until(at, now));
                (over > Duration::ZERO)
                    .then_some((begin..over, SignedDuration::from_millis(millis)))
            }
            _ => None,
        });
        astray.fold(clock, |clock, (when, by)| clock.astray(when, by))
    }

    /// Hands over what Alertmanager delivers now, as the mail goes.
    #[expect(clippy::disallowed_methods, reason = "deliveries go their own ways")]
    fn deliver(&mut self, now: Timestamp) {
        let deliveries = self.monitoring.lock().unwrap().deliveries(now);
        for (peer, delivery) in deliveries {
            self.delivered += 1;
            let to = usize::try_from(self.delivered).unwrap() % self.running.len();
            let connections = self.running[to].as_ref().map(|running| running.connections.clone());
            let (monitoring, checker) = (self.monitoring.clone(), self.checker.clone());
            let post = Post { connections, checker };
            let mail = self.mail.first().copied();
            tokio::spawn(async move { carry(post, mail, peer, delivery, monitoring).await });
        }
    }
}

fn parse(yaml: &str) -> Config {
    let none = BTreeMap::<String, String>::new();
    Config::parse(yaml, &none).unwrap_or_else(|errors| panic!("{errors}")).config
}

fn wakes(handle: Handle) -> http::Handle {
    http::Handle {
        wake: Box::new(move |_| handle.wake()),
        report: Box::new(|_| None),
        explain: Box::new(|_, _| None),
    }
}

/// Everything a process shows of itself.
fn shown(running: &Running) -> String {
    let report = running.handle.report();
    format!("{report:?}\n{}", running.metrics.encode())
}
