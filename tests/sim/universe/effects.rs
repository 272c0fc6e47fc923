//! What each happening does, and undoes.

use super::{Universe, parse};
use crate::happening::{Edit, Reconfigured, What};
use crate::prometheus::Prometheus;
use crate::replica::Fate;
use crate::scenario::CLUSTER;
use bellwether::model::{Ask, ClusterName, Cordon, InstanceState, Signal, Source};
use bellwether::reconcile::Handle;
use bellwether::sim::{Faults, Workload};
use bellwether::store::Store as _;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

impl Universe<'_> {
    pub(super) fn begin(&mut self, what: &What, now: Timestamp) {
        match what {
            What::Load { workload, replicas, usage } => self.load(workload, *replicas, *usage),
            What::Kill(_)
            | What::Notice(_)
            | What::Cordon(_)
            | What::Foreign
            | What::Stranger
            | What::Protect { .. }
            | What::Silent { .. }
            | What::Sick { .. }
            | What::Anew { .. } => self.begin_of_machines(what),
            What::Fault { faults, .. } => {
                self.faults.push((**faults).clone());
                self.world.set_faults(together(&self.faults));
            }
            What::Trouble { replica, link, trouble, .. } => {
                self.links[*replica].begin(*link, *trouble);
            }
            What::FailOver { .. } => self.store.lag(),
            What::Mail { mail, .. } => self.mail.push(*mail),
            What::Crash { replica, when } => {
                if let Some(running) = &self.running[*replica] {
                    running.control.plan(*when, Fate::Dies);
                }
            }
            What::Stop { replica, when, lasts } => {
                if let Some(running) = &mut self.running[*replica] {
                    running.stops_for = Some(*lasts);
                    running.control.plan(*when, Fate::Stops);
                }
            }
            What::Skew { replica, millis } => {
                self.kill(*replica);
                self.start(*replica, *millis);
            }
            What::Silence { .. }
            | What::Alertmanager { .. }
            | What::Prometheus { .. }
            | What::Blind { .. }
            | What::Guard { .. }
            | What::Forecast { .. }
            | What::Cut { .. }
            | What::Rules { .. }
            | What::Reconfigure { .. } => self.begin_watching(what, now),
            // The clock of a process knows by itself; see `clock_of`.
            What::Astray { .. } => {}
            What::Edit { edit, .. } => self.edit(Some(*edit)),
            What::Wish { by } => self.wish(*by, now),
        }
    }

    /// What happens to machines and nodes.
    fn begin_of_machines(&self, what: &What) {
        match what {
            What::Kill(number) => {
                if let Some(id) = self.machine(*number) {
                    self.world.kill(&id).unwrap();
                }
            }
            What::Notice(number) => {
                if let Some(id) = self.machine(*number) {
                    self.world.notice(&id, Duration::from_mins(2)).unwrap();
                }
            }
            What::Cordon(number) => {
                if let Some(node) = self.leaving(*number).or_else(|| self.node(*number)) {
                    self.world.cordon_by_hand(&node).unwrap();
                }
            }
            What::Foreign => _ = self.world.add_foreign_instance(),
            What::Stranger => _ = self.world.add_stranger(),
            What::Protect { machine, .. } => {
                if let Some(id) = self.machine(*machine) {
                    self.world.protect(&id).unwrap();
                    self.checker.protected(&id);
                }
            }
            What::Silent { machine, .. } => {
                if let Some(id) = self.machine(*machine) {
                    self.world.silence_kubelet(&id).unwrap();
                }
            }
            What::Sick { machine, is_every, .. } => self.sicken(*machine, *is_every),
            What::Anew { machine, is_deleted } => {
                if let Some(id) = self.machine(*machine) {
                    self.world.register_anew(&id, *is_deleted).unwrap();
                }
            }
            _ => {}
        }
    }

    /// What happens to Prometheus and Alertmanager.
    fn begin_watching(&mut self, what: &What, now: Timestamp) {
        match what {
            What::Silence { autoscale, lasts } => {
                self.monitoring.lock().unwrap().silence(autoscale, *lasts, now);
            }
            What::Alertmanager { peer, kill, .. } => {
                self.monitoring.lock().unwrap().stop(*peer, *kill, now);
            }
            What::Prometheus { number, .. } => self.prometheus(*number, Prometheus::stop),
            What::Blind { number, .. } => self.prometheus(*number, |one| one.is_blind = true),
            What::Guard { number, says, .. } => {
                self.prometheus(*number, |one| one.guard.push(*says));
            }
            What::Forecast { want, .. } => self.forecast(|all| all.push(*want)),
            What::Cut { .. } => self.monitoring.lock().unwrap().cut(true, now),
            What::Rules { rule, edit, .. } => self.rules(|one| one.edit(rule, *edit)),
            What::Reconfigure { to, lasts } => {
                self.monitoring.lock().unwrap().reconfigure(*to, *lasts, now);
                self.checker.muted(*to == Reconfigured::Muted);
            }
            _ => {}
        }
    }

    pub(super) fn end(&mut self, what: &What, now: Timestamp) {
        match what {
            What::Fault { faults, .. } => {
                take_out(&mut self.faults, faults);
                self.world.set_faults(together(&self.faults));
            }
            What::Trouble { replica, link, trouble, .. } => {
                self.links[*replica].end(*link, *trouble);
            }
            What::FailOver { .. } => self.store.fail_over(),
            What::Mail { mail, .. } => take_out(&mut self.mail, mail),
            What::Alertmanager { peer, .. } => {
                self.monitoring.lock().unwrap().start_alertmanager(*peer, now);
            }
            What::Prometheus { number, .. } => self.prometheus(*number, Prometheus::start),
            What::Blind { number, .. } => self.prometheus(*number, |one| one.is_blind = false),
            What::Guard { number, says, .. } => {
                self.prometheus(*number, |one| take_out(&mut one.guard, says));
            }
            What::Forecast { want, .. } => self.forecast(|all| take_out(all, want)),
            What::Cut { .. } => self.monitoring.lock().unwrap().cut(false, now),
            What::Rules { rule, edit, .. } => self.rules(|one| one.take_back(rule, *edit)),
            What::Reconfigure { .. } => {
                self.monitoring.lock().unwrap().restore(now);
                self.checker.muted(false);
            }
            What::Silent { .. } => self.world.every_kubelet_speaks(),
            What::Sick { machine, is_every, .. } => self.heal(*machine, *is_every),
            What::Protect { .. } => {
                self.world.unprotect_all();
                self.checker.unprotected();
            }
            What::Edit { .. } => self.edit(None),
            _ => {}
        }
    }

    fn sicken(&self, machine: usize, is_every: bool) {
        let sick = &mut self.monitoring.lock().unwrap().sick;
        sick.every += usize::from(is_every);
        let view = self.world.view();
        let its = self.machine(machine).and_then(|id| {
            let node = view.nodes.iter().find(|node| node.machine() == Some(id.as_str()))?;
            Some(node.at.name.to_string())
        });
        sick.named.extend(its.map(|name| (machine, name)));
    }

    fn heal(&self, machine: usize, is_every: bool) {
        let sick = &mut self.monitoring.lock().unwrap().sick;
        sick.every -= usize::from(is_every);
        if let Some(at) = sick.named.iter().position(|(number, _)| *number == machine) {
            sick.named.remove(at);
        }
    }

    /// Pods of 900m, two to a worker; those of `batch` only where the label is, but where the pool may be drained.
    fn load(&mut self, name: &str, replicas: u32, usage: f64) {
        let mut workload = Workload::deployment(name, replicas, 900, 1 << 30);
        let tier = match name {
            "batch" => (!self.scenario.when_removed).then_some("batch"),
            _ => self.scenario.two_pools.then_some("workers"),
        };
        workload.node_selector.extend(tier.map(|tier| ("tier".to_owned(), tier.to_owned())));
        workload.usage = usage;
        workload.min_available = Some(replicas.saturating_sub(1));
        self.world.set_workload(workload).unwrap();
        self.monitoring.lock().unwrap().usage.insert(name.to_owned(), usage);
    }

    fn prometheus(&self, number: usize, change: impl FnOnce(&mut Prometheus)) {
        change(&mut self.monitoring.lock().unwrap().prometheuses[number]);
    }

    /// What a forecast wants changes.
    fn forecast(&self, change: impl FnOnce(&mut Vec<u32>)) {
        let forecasts = &mut self.monitoring.lock().unwrap().forecasts;
        change(forecasts);
        self.checker.forecast(forecasts.iter().max().copied());
    }

    /// Both have the same files.
    fn rules(&self, change: impl FnMut(&mut Prometheus)) {
        self.monitoring.lock().unwrap().prometheuses.iter_mut().for_each(change);
    }

    fn machine(&self, number: usize) -> Option<String> {
        let machines = self.world.machines();
        let live: Vec<_> =
            machines.iter().filter(|machine| machine.state == InstanceState::Running).collect();
        (!live.is_empty()).then(|| live[number % live.len()].id.to_string())
    }

    /// Somebody takes over a cordon of ours, every other time.
    fn leaving(&self, number: usize) -> Option<String> {
        let view = self.world.view();
        let mut ours = view.nodes.iter().filter(|node| node.cordon == Cordon::Ours);
        let first = ours.next().filter(|_| number.is_multiple_of(2))?;
        Some(first.at.name.to_string())
    }

    fn node(&self, number: usize) -> Option<String> {
        let view = self.world.view();
        let nodes: Vec<_> = view.nodes.iter().filter(|node| !node.control_plane).collect();
        (!nodes.is_empty()).then(|| nodes[number % nodes.len()].at.name.to_string())
    }

    pub(super) fn edit(&mut self, edit: Option<Edit>) {
        let mut config = parse(&self.scenario.config());
        let cluster = config.clusters.get_mut(&ClusterName::from(CLUSTER)).unwrap();
        let pool = cluster.pools.get_mut(&"workers".into()).unwrap();
        pool.permanent.extend(self.permanent.clone());
        match edit {
            Some(Edit::Min(min)) => pool.min = min.min(pool.max),
            Some(Edit::Max(max)) => pool.max = max.max(pool.min),
            Some(Edit::DryRun) => pool.mode = bellwether::config::Mode::DryRun,
            Some(Edit::Gone) if self.scenario.two_pools => {
                cluster.pools.remove(&"batch".into());
            }
            Some(Edit::Gone) | None => {}
        }
        self.config.send_replace(Arc::new(config));
        self.checker.file_changed();
    }

    #[expect(clippy::disallowed_methods, reason = "an operator does not wait for it")]
    fn wish(&mut self, by: i32, now: Timestamp) {
        let signal = Signal {
            id: format!("wish-{}", self.planned).as_str().into(),
            cluster: CLUSTER.into(),
            pool: Some("workers".into()),
            ask: Ask::Scale { by },
            source: Source::Manual { who: "Ada".to_owned() },
            name: "scale".to_owned(),
            summary: String::new(),
            description: String::new(),
            first_seen: now,
            last_seen: now,
        };
        let store = self.store.present();
        let handles: Vec<Handle> =
            self.running.iter().flatten().map(|one| one.handle.clone()).collect();
        tokio::spawn(async move {
            store.record_signals(&[signal]).await.unwrap();
            handles.iter().for_each(Handle::wake);
        });
    }
}

/// All faults at once.
fn together(faults: &[Faults]) -> Faults {
    faults.iter().fold(Faults::default(), |all, one| Faults {
        list_errors: all.list_errors || one.list_errors,
        list_empty: all.list_empty || one.list_empty,
        observe_errors: all.observe_errors || one.observe_errors,
        cluster_errors: all.cluster_errors.max(one.cluster_errors),
        no_capacity: all.no_capacity || one.no_capacity,
        no_capacity_for: &all.no_capacity_for | &one.no_capacity_for,
        at_most: all.at_most.into_iter().chain(one.at_most).min(),
        never_join: all.never_join || one.never_join,
        never_ready: all.never_ready || one.never_ready,
        launch_errors: all.launch_errors || one.launch_errors,
        lose_launch_reply: all.lose_launch_reply || one.lose_launch_reply,
        lose_terminate_reply: all.lose_terminate_reply || one.lose_terminate_reply,
        evictions_blocked: all.evictions_blocked || one.evictions_blocked,
        boot: all.boot.max(one.boot),
    })
}

/// Takes one of several that may be alike out.
fn take_out<T: PartialEq>(all: &mut Vec<T>, one: &T) {
    if let Some(at) = all.iter().position(|other| other == one) {
        all.remove(at);
    }
}

/// How long a happening goes on, if it ends by itself.
pub(super) fn lasts(what: &What) -> Option<Duration> {
    match what {
        What::Fault { lasts, .. }
        | What::Trouble { lasts, .. }
        | What::FailOver { lasts }
        | What::Mail { lasts, .. }
        | What::Blind { lasts, .. }
        | What::Silent { lasts, .. }
        | What::Sick { lasts, .. }
        | What::Protect { lasts, .. }
        | What::Rules { lasts, .. }
        | What::Reconfigure { lasts, .. }
        | What::Astray { lasts, .. }
        | What::Guard { lasts, .. }
        | What::Forecast { lasts, .. }
        | What::Cut { lasts }
        | What::Edit { lasts, .. } => Some(*lasts),
        What::Alertmanager { back, .. } | What::Prometheus { back, .. } => Some(*back),
        _ => None,
    }
}
