//! Many passes over a world that answers: machines boot, pods are placed and evicted, things break.
//! What must always hold is checked at each pass, whatever happens in between.

use super::world::{Read as _, World, launches, mins, secs, world};
use crate::model::{
    Act, Cordon, InstanceState, Intent, Placement, Plan, Pod, PodKind, Purpose, Readiness,
    Resources, Step, Transition, Verdict, Worker, WorkerEvent, WorkerId, WorkerState, duration,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a machine boots.
const BOOT: Duration = Duration::from_secs(40);

/// What may happen between two passes.
#[derive(Clone, Debug)]
enum Event {
    Pods(usize, u64),
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

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1_usize..6, 200_u64..1_900).prop_map(|(count, cpu)| Event::Pods(count, cpu)),
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
struct Living {
    world: World,
    /// The provider refuses the next launch.
    refuses: bool,
}

fn living() -> Living {
    let mut world = world().with_workers(2);
    let pool = world.pool();
    pool.min = 1;
    pool.max = 6;
    pool.permanent = ["w1".to_owned()].into();
    pool.not_ready_deadline = mins(10);
    world.up();
    Living { world, refuses: false }
}

impl Living {
    fn happen(&mut self, event: &Event) {
        let world = &mut self.world;
        let ids: Vec<String> = world.memory.workers.keys().map(ToString::to_string).collect();
        let has_node =
            |world: &World, id: &str| world.nodes.iter().any(|node| node.worker == Some(id.into()));
        let nth = |world: &World, number: usize| {
            let id = ids.get(number % ids.len().max(1))?.clone();
            has_node(world, &id).then_some(id)
        };
        match event {
            Event::Pods(count, cpu) => world.pending(*count, *cpu),
            Event::PodsEnd(count) => {
                let left = world.pods.len().saturating_sub(*count);
                world.pods.truncate(left);
            }
            Event::Step(step) => world.up_step(*step),
            Event::Idle => world.down(),
            Event::Over => ["CpuHigh", "PoolIdle"].iter().for_each(|name| world.over(name)),
            Event::Silence => world.silence("alertname", "PoolIdle"),
            Event::Lose(number) => {
                if let Some(id) = nth(world, *number) {
                    world.lose(&id);
                }
            }
            Event::Sick(number) => {
                if let Some(id) = nth(world, *number) {
                    world.node_mut(&id).readiness = Readiness::NotReady { since: world.now };
                }
            }
            Event::Notice(number) => {
                let at = duration::after(world.now, mins(2));
                if let Some(id) = nth(world, *number)
                    && let Some(machine) = world
                        .instances
                        .values_mut()
                        .flatten()
                        .find(|i| i.worker == Some(id.as_str().into()))
                {
                    machine.notice = Some(at);
                }
            }
            Event::Blind => world.cluster_unknown = true,
            Event::See => world.cluster_unknown = false,
            Event::Refuse => self.refuses = true,
            Event::Wait(seconds) => self.wait(secs(*seconds)),
        }
    }

    /// Time goes on: what fires is delivered again, machines boot, pods are placed.
    fn wait(&mut self, by: Duration) {
        let world = &mut self.world;
        world.now = duration::after(world.now, by);
        for signal in &mut world.signals {
            signal.last_seen = world.now;
        }
        let booted: Vec<(String, String)> = world
            .instances
            .values()
            .flatten()
            .filter(|machine| {
                machine.is_live() && duration::since(machine.launched, world.now) >= BOOT
            })
            .filter_map(|machine| {
                Some((machine.worker.as_ref()?.to_string(), machine.zone.to_string()))
            })
            .filter(|(id, _)| {
                !world.nodes.iter().any(|node| node.worker == Some(id.as_str().into()))
            })
            .collect();
        for (id, zone) in booted {
            world.node("workers", &id, world.now, &zone);
        }
        self.schedule();
    }

    /// A scheduler: each pod goes to the first open node with room.
    fn schedule(&mut self) {
        let world = &mut self.world;
        let mut free: BTreeMap<_, Resources> = world
            .nodes
            .iter()
            .filter(|node| node.readiness == Readiness::Ready && node.cordon == Cordon::None)
            .map(|node| (node.at.name.clone(), node.allocatable.clone()))
            .collect();
        for pod in &world.pods {
            if let Some(room) = pod.node().and_then(|node| free.get_mut(node)) {
                room.subtract(&pod.spec.requests);
            }
        }
        for pod in world.pods.iter_mut().filter(|pod| pod.node().is_none()) {
            if let Some((name, room)) =
                free.iter_mut().find(|(_, room)| pod.spec.requests.fits_in(room))
            {
                room.subtract(&pod.spec.requests);
                pod.placement = Placement::Bound(name.clone());
            }
        }
    }

    /// One pass: plan, check, commit, execute.
    fn pass(&mut self) -> Plan {
        let plan = self.world.plan();
        self.check(&plan);
        self.commit(&plan);
        for decision in plan.decisions.iter().filter(|decision| !decision.dry_run) {
            if let Verdict::Launch { intent, .. } = &decision.verdict {
                self.launch(intent);
            }
        }
        for step in plan.steps.iter().filter(|step| !step.dry_run) {
            self.execute(step);
        }
        self.schedule();
        plan
    }

    fn check(&self, plan: &Plan) {
        let world = &self.world;
        let pool = &world.config.pools[&"workers".into()];
        let decision = plan.of("workers");
        let is_idle_drain =
            |step: &Step| step.before == Some(WorkerEvent::Cordon { purpose: Purpose::Idle });
        if launches(decision) > 0 {
            assert!(decision.want <= pool.max + pool.surge, "I1: {decision:?}");
            assert!(!world.cluster_unknown, "I6: {decision:?}");
            assert!(!plan.steps.iter().any(is_idle_drain), "launch and drain: {plan:?}");
        }
        if matches!(decision.verdict, Verdict::Drain { .. }) {
            assert!(decision.want >= pool.min, "I1: {decision:?}");
        }
        let mut seen = Vec::new();
        for step in &plan.steps {
            assert!(!seen.contains(&&step.worker), "two steps: {plan:?}");
            seen.push(&step.worker);
            assert!(!world.cluster_unknown, "I6: {step:?}");
            let worker = &world.memory.workers[&step.worker];
            let ends = matches!(step.act, Act::Cordon { .. } | Act::Terminate { .. });
            let cordons = WorkerEvent::Cordon { purpose: Purpose::Notice };
            let is_taken = worker.purpose == Some(Purpose::Notice) || step.before == Some(cordons);
            if ends && !is_taken {
                assert_ne!(step.worker, "w1".into(), "I3: permanent {step:?}");
            }
            if matches!(step.act, Act::Terminate { .. }) && worker.purpose.is_some() {
                assert_eq!(self.pods_of(&step.worker).count(), 0, "I3: undrained {step:?}");
            }
        }
    }

    fn pods_of<'s>(&'s self, id: &'s WorkerId) -> impl Iterator<Item = &'s Pod> + 's {
        let node = self.world.nodes.iter().find(|node| node.worker.as_ref() == Some(id));
        let name = node.map(|node| &node.at.name);
        let there = self.world.pods.iter().filter(move |pod| name.is_some() && pod.node() == name);
        there.filter(|pod| pod.kind == PodKind::Normal)
    }

    fn commit(&mut self, plan: &Plan) {
        let now = self.world.now;
        let memory = &mut self.world.memory;
        let mut seen = Vec::new();
        for transition in &plan.transitions {
            let id = match transition {
                Transition::Move { worker, event, .. } => {
                    // Every transition that is planned is legal.
                    memory.workers.get_mut(worker).unwrap().on(event, now).unwrap();
                    worker.clone()
                }
                Transition::Adopt { worker, .. } | Transition::Clock { worker } => {
                    memory.workers.insert(worker.id.clone(), worker.clone());
                    worker.id.clone()
                }
            };
            assert!(!seen.contains(&id), "two transitions: {plan:?}");
            seen.push(id);
        }
        plan.settled.iter().for_each(|batch| _ = memory.intents.remove(batch));
        plan.forget.iter().for_each(|id| _ = memory.workers.remove(id));
        memory.pools.clone_from(&plan.pools);
        memory.cluster.clone_from(&plan.memory);
    }

    fn launch(&mut self, intent: &Intent) {
        let refuses = std::mem::take(&mut self.refuses);
        let world = &mut self.world;
        for order in &intent.request.orders {
            let id = order.worker.as_str();
            assert!(!world.memory.workers.contains_key(&order.worker), "ids are unique");
            world.record("workers", id, WorkerState::Requested, world.now);
            let now = world.now;
            let record = world.worker_mut(id);
            record.batch = Some(intent.request.batch.clone());
            let event = if refuses {
                WorkerEvent::Fail { failure: crate::model::Failure::NotLaunched }
            } else {
                WorkerEvent::Launched {
                    instance: format!("i-{id}").as_str().into(),
                    shape: order.offering.shape.clone(),
                    zone: order.offering.zone.clone(),
                    market: order.offering.market,
                }
            };
            record.on(&event, now).unwrap();
            if !refuses {
                world.machine("workers", id, now, order.offering.zone.as_str());
            }
        }
    }

    fn moved(&mut self, id: &WorkerId, event: &WorkerEvent) {
        let now = self.world.now;
        let worker: &mut Worker = self.world.memory.workers.get_mut(id).unwrap();
        worker.on(event, now).unwrap();
    }

    fn execute(&mut self, step: &Step) {
        if let Some(event) = &step.before {
            self.moved(&step.worker, event);
        }
        let id = step.worker.as_str();
        match &step.act {
            Act::Cordon { .. } => self.world.node_mut(id).cordon = Cordon::Ours,
            Act::Uncordon { .. } => {
                self.world.node_mut(id).cordon = Cordon::None;
                if self.world.memory.workers[&step.worker].is_leaving() {
                    self.moved(&step.worker, &WorkerEvent::Release);
                }
            }
            Act::Evict { node } => {
                let is_empty = self.pods_of(&step.worker).next().is_none();
                let since = self.world.now;
                for pod in &mut self.world.pods {
                    if pod.node() == Some(&node.name) {
                        pod.placement = Placement::Unschedulable { since };
                    }
                }
                let state = &self.world.memory.workers[&step.worker].state;
                if is_empty && *state == WorkerState::Draining {
                    self.moved(&step.worker, &WorkerEvent::Drained);
                }
            }
            Act::Terminate { .. } => {
                self.world.instance_mut(id).state = InstanceState::Gone;
                let since = self.world.now;
                if let Some(node) =
                    self.world.nodes.iter_mut().find(|node| node.worker == Some(id.into()))
                {
                    node.readiness = Readiness::NotReady { since };
                }
            }
            Act::RemoveNode { node } => {
                self.world.nodes.retain(|other| other.at != *node);
                self.world.pods.retain(|pod| pod.node() != Some(&node.name));
            }
            Act::Replay { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// I1, I3, I6, I7
    #[test]
    fn whatever_happens_the_invariants_hold_and_in_the_end_it_is_quiet(events in events()) {
        let mut living = living();
        for event in &events {
            living.happen(event);
            living.pass();
            living.wait(secs(2));
        }
        // Everything is well again; nothing asks for anything but the pods that wait.
        living.world.cluster_unknown = false;
        living.refuses = false;
        living.happen(&Event::Over);
        for node in &mut living.world.nodes {
            node.readiness = Readiness::Ready;
        }
        for machine in living.world.instances.values_mut().flatten() {
            machine.notice = None;
        }
        let mut last = None;
        for _ in 0..80 {
            living.wait(mins(3));
            last = Some(living.pass());
        }
        let plan = last.unwrap();
        prop_assert!(plan.is_quiet() && plan.steps.is_empty(), "{plan:#?}");
        let decision = plan.of("workers");
        prop_assert!(decision.have >= 1, "min is restored: {decision:?}");
    }
}
