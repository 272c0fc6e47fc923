//! A world that answers: machines boot, pods are placed and evicted, things break, and at times
//! nothing is seen. What must always hold is checked at each pass.

use crate::model::{
    Act, Ask, Node, Placement, Plan, Pod, PodKind, Purpose, Readiness, Step, Verdict, WorkerEvent,
    WorkerId, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, World, intents, launches, worker_id};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a machine boots.
const BOOT: Duration = Duration::from_secs(40);

/// What may happen between two passes.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Pods(u32, u64),
    PodsEnd(usize),
    Step(u32),
    Idle,
    Over,
    Silence,
    Lose(usize),
    Sick(usize),
    Notice(usize),
    Blind,
    See,
    Refuse,
    Wait(u64),
}

pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1_u32..6, 200_u64..1_900).prop_map(|(count, cpu)| Event::Pods(count, cpu)),
        3 => (1_usize..8).prop_map(Event::PodsEnd),
        1 => (1_u32..4).prop_map(Event::Step),
        3 => Just(Event::Idle),
        2 => Just(Event::Over),
        1 => Just(Event::Silence),
        1 => (0_usize..10).prop_map(Event::Lose),
        1 => (0_usize..10).prop_map(Event::Sick),
        1 => (0_usize..10).prop_map(Event::Notice),
        1 => Just(Event::Blind),
        2 => Just(Event::See),
        1 => Just(Event::Refuse),
        6 => (1_u64..900).prop_map(Event::Wait),
    ];
    proptest::collection::vec(event, 1..60)
}

/// A world that does what it is told.
pub(super) struct Life {
    world: World,
    /// The cluster is not seen.
    is_blind: bool,
    /// The provider refuses the next launch.
    refuses: bool,
}

impl Life {
    /// One to six workers, the first of them permanent; pods that wait are need.
    pub(super) fn new() -> Self {
        let mut world = World::of(2);
        let pool = world.pool();
        (pool.min, pool.max) = (1, 6);
        pool.permanent = ["w1".to_owned()].into();
        world.up(None);
        Self { world, is_blind: false, refuses: false }
    }

    pub(super) fn happen(&mut self, event: &Event) {
        let world = &mut self.world;
        let now = world.now;
        match event {
            Event::Pods(count, cpu) => world.pending(*count, *cpu),
            Event::PodsEnd(count) => {
                let pods = &mut world.view().pods;
                pods.truncate(pods.len().saturating_sub(*count));
            }
            Event::Step(step) => {
                world.alert("Load", "up", Ask::Up { step: Some(*step), want_query: None });
            }
            Event::Idle => _ = world.down(),
            Event::Over => ["Load", "Idle"].iter().for_each(|name| world.not_told_of(name)),
            Event::Silence => _ = world.silence_on("alertname", "Idle"),
            Event::Lose(number) => {
                if let Some(node) = self.nth_node(*number) {
                    node.readiness = Readiness::NotReady { since: now };
                    let id = node.worker.clone();
                    self.world.instances("workers").retain(|instance| instance.worker != id);
                }
            }
            Event::Sick(number) => {
                if let Some(node) = self.nth_node(*number) {
                    node.readiness = Readiness::NotReady { since: now };
                }
            }
            Event::Notice(number) => {
                let id = self.nth_node(*number).and_then(|node| node.worker.clone());
                let mut machines = self.world.instances("workers").iter_mut();
                if let Some(machine) = machines.find(|it| id.is_some() && it.worker == id) {
                    machine.notice = Some(duration::after(now, MINUTE * 2));
                }
            }
            Event::Blind => self.is_blind = true,
            Event::See => self.is_blind = false,
            Event::Refuse => self.refuses = true,
            Event::Wait(seconds) => self.wait(Duration::from_secs(*seconds)),
        }
    }

    /// The node of the worker that comes so many records on, if it has one.
    fn nth_node(&mut self, number: usize) -> Option<&mut Node> {
        let count = self.world.memory.workers.len().max(1);
        let id = self.world.memory.workers.keys().nth(number % count)?.clone();
        self.node_of(&id)
    }

    fn node_of(&mut self, id: &WorkerId) -> Option<&mut Node> {
        self.world.nodes().find(|node| node.worker.as_ref() == Some(id))
    }

    /// Everything is well again; nothing asks for anything but the pods that wait.
    pub(super) fn mend(&mut self) {
        (self.is_blind, self.refuses) = (false, false);
        self.happen(&Event::Over);
        for node in self.world.nodes() {
            node.readiness = Readiness::Ready;
        }
        for machine in self.world.instances("workers") {
            machine.notice = None;
        }
    }

    /// Time goes on: what fires is delivered again, machines boot, pods are placed.
    pub(super) fn wait(&mut self, by: Duration) {
        self.world.later(by);
        self.world.boot_after(BOOT);
        self.world.schedule();
    }

    /// One pass: plan, check, commit, execute.
    pub(super) fn pass(&mut self) -> Plan {
        let mut seen = self.world.clone();
        if self.is_blind {
            seen.view_is_unknown();
        }
        let plan = seen.plan();
        self.check(&plan);
        self.world.commit(&plan);
        let refuses = std::mem::take(&mut self.refuses);
        for intent in intents(&plan) {
            if refuses { self.world.refuse(intent) } else { self.world.buy(intent) }
        }
        for step in plan.steps.iter().filter(|step| !step.dry_run) {
            self.take(step);
        }
        self.world.schedule();
        plan
    }

    fn check(&mut self, plan: &Plan) {
        let (min, most) = (self.world.pool().min, self.world.pool().max + self.world.pool().surge);
        let decision = plan.of("workers");
        let is_idle_drain =
            |step: &Step| step.before == Some(WorkerEvent::Cordon { purpose: Purpose::Idle });
        if launches(decision) > 0 {
            assert!(decision.want <= most, "I1: {decision:?}");
            assert!(!self.is_blind, "I6: {decision:?}");
            assert!(!plan.steps.iter().any(is_idle_drain), "launch and drain: {plan:?}");
        }
        if matches!(decision.verdict, Verdict::Drain { .. }) {
            assert!(decision.want >= min, "I1: {decision:?}");
        }
        let moved: BTreeSet<_> = plan.moved().collect();
        assert_eq!(moved.len(), plan.transitions.len(), "two transitions: {plan:?}");
        let stepped: BTreeSet<_> = plan.steps.iter().map(|step| &step.worker).collect();
        assert_eq!(stepped.len(), plan.steps.len(), "two steps: {plan:?}");
        for step in &plan.steps {
            assert!(!self.is_blind, "I6: {step:?}");
            let purpose = self.world.memory.workers[&step.worker].purpose;
            let ends = matches!(step.act, Act::Cordon { .. } | Act::Terminate { .. });
            let cordons = WorkerEvent::Cordon { purpose: Purpose::Notice };
            let is_taken = purpose == Some(Purpose::Notice) || step.before == Some(cordons);
            if ends && !is_taken {
                assert_ne!(step.worker, worker_id(1), "I3: permanent {step:?}");
            }
            if matches!(step.act, Act::Terminate { .. }) && purpose.is_some() {
                assert!(self.pods_of(&step.worker).is_empty(), "I3: undrained {step:?}");
            }
        }
    }

    fn pods_of(&mut self, id: &WorkerId) -> Vec<&mut Pod> {
        let view = self.world.view();
        let node = view.nodes.iter().find(|node| node.worker.as_ref() == Some(id));
        let Some(name) = node.map(|node| node.at.name.clone()) else { return Vec::new() };
        let there = self.world.pods().filter(move |pod| pod.node() == Some(&name));
        there.filter(|pod| pod.kind == PodKind::Normal).collect()
    }

    /// Takes a step: what is evicted is gone in the next pass, and nodes tell of the end of machines.
    fn take(&mut self, step: &Step) {
        let since = self.world.now;
        if !matches!(step.act, Act::Evict { .. }) {
            self.world.take(step);
            if matches!(step.act, Act::Terminate { .. })
                && let Some(node) = self.node_of(&step.worker)
            {
                node.readiness = Readiness::NotReady { since };
            }
            return;
        }
        if let Some(event) = &step.before {
            self.world.moved(&step.worker, event);
        }
        let pods = self.pods_of(&step.worker);
        let is_empty = pods.is_empty();
        for pod in pods {
            pod.placement = Placement::Unschedulable { since };
        }
        if is_empty && self.world.memory.workers[&step.worker].state == WorkerState::Draining {
            self.world.moved(&step.worker, &WorkerEvent::Drained);
        }
    }
}
