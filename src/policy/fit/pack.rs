//! Packing pods: onto the room there is and that comes, then onto new workers.
//!
//! First-fit decreasing over pods grouped by spec: pods of one spec behave alike. Those that must be beside others
//! come last, and are tried again while any pod found a place.

use super::census::At;
use super::judge::Judge;
use super::new_node::{Choice, Chosen, Grower, choose};
use super::room::{Room, name};
use super::{Predicate, why};
use crate::config::Expander;
use crate::model::{Pod, PodRef, PodSpec, PoolName, Resources, Uid, Zone};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A worker that would be launched, and the pods it is for.
#[derive(Clone, Debug)]
pub(in crate::policy) struct NewBin {
    pub(in crate::policy) pool: PoolName,
    pub(in crate::policy) chosen: Chosen,
    pub(in crate::policy) pods: Vec<Uid>,
}

/// A pod that no new node of any pool could host.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Unhostable {
    /// Which.
    pub(in crate::policy) pod: PodRef,
    /// What forbids the node that comes nearest; `None` where no pool has any.
    pub(in crate::policy) predicate: Option<Predicate>,
    /// The same in words.
    pub(in crate::policy) why: String,
}

/// Where the unschedulable pods of a cluster would go.
#[derive(Debug, Default)]
pub(in crate::policy) struct Packing {
    /// Workers to launch.
    pub(in crate::policy) new: Vec<NewBin>,
    /// Pods that find room on what exists or is on its way.
    pub(in crate::policy) absorbed: Vec<Uid>,
    /// Pods that no new node of any pool could host.
    pub(in crate::policy) unhostable: Vec<Unhostable>,
    /// Pods that a pool could host that may not grow for them now.
    pub(in crate::policy) waiting: Vec<Uid>,
    /// What each pool has free when all of this is there.
    pub(in crate::policy) free: BTreeMap<PoolName, Resources>,
}

/// Pods of one spec.
type Group<'a> = (&'a PodSpec, Vec<&'a Pod>);

/// A packing under way.
struct Packer<'a, 'e> {
    room: Room<'a>,
    growers: &'a [Grower<'a>],
    expanders: &'e [Expander],
    /// How many more workers each grower may have.
    left: Vec<u32>,
    /// How many each has in each zone.
    zones: Vec<BTreeMap<&'a Zone, u32>>,
    /// The first bin that is a new worker's.
    first_new: At,
    /// The zone of each new worker.
    sites: Vec<Option<&'a Zone>>,
    packing: Packing,
}

/// Packs pods onto a room, then onto new workers of the growers. What none of `all` could host is told apart from
/// what only waits.
pub(in crate::policy) fn pack<'a>(
    pods: &[&'a Pod],
    room: Room<'a>,
    growers: &'a [Grower<'a>],
    all: &'a [Grower<'a>],
    expanders: &[Expander],
) -> Packing {
    let mut packer = Packer {
        first_new: room.bins.len(),
        room,
        growers,
        expanders,
        left: growers.iter().map(|grower| grower.room).collect(),
        zones: growers.iter().map(|grower| grower.zones.clone()).collect(),
        sites: Vec::new(),
        packing: Packing::default(),
    };
    let mut groups = grouped(pods);
    loop {
        let before: usize = count(&groups);
        groups = groups.into_iter().filter_map(|group| packer.place(group)).collect();
        let may_pass = groups.iter().any(|(spec, _)| !spec.pod_affinity.is_empty());
        if count(&groups) == before || !may_pass {
            break;
        }
    }
    for group in groups {
        packer.give_up(group, all);
    }
    packer.finish()
}

fn count(groups: &[Group<'_>]) -> usize {
    groups.iter().map(|(_, pods)| pods.len()).sum()
}

impl<'a> Packer<'a, '_> {
    /// Places the pods of one spec; those for which there is no place.
    fn place(&mut self, (spec, pods): Group<'a>) -> Option<Group<'a>> {
        let mut judge = Judge::new(&mut self.room, spec);
        let mut search = Search::default();
        for (placed, pod) in pods.iter().enumerate() {
            let at = search.next(&judge, &self.room);
            if let Some(at) = at {
                judge.put(&mut self.room, at);
                self.note(pod, at, &judge);
            } else if let Some(choice) = self.choose(&judge, pods.len() - placed) {
                let at = self.launch(&choice, &mut judge);
                self.note(pod, at, &judge);
            } else {
                return Some((spec, pods[placed..].to_vec()));
            }
        }
        None
    }

    fn choose(&self, judge: &Judge<'a>, waiting: usize) -> Option<Choice<'a>> {
        let state = (&self.left[..], &self.zones[..]);
        choose(self.growers, self.expanders, state, (judge, waiting as u64), &self.room)
    }

    fn launch(&mut self, choice: &Choice<'a>, judge: &mut Judge<'a>) -> At {
        let grower = &self.growers[choice.grower];
        self.left[choice.grower] -= 1;
        if let Some(zone) = choice.site.zone {
            *self.zones[choice.grower].entry(zone).or_default() += 1;
        }
        self.sites.push(choice.site.zone);
        let (pool, chosen) = (grower.pool.clone(), Chosen::anywhere(&choice.node.shape.name));
        self.packing.new.push(NewBin { pool, chosen, pods: Vec::new() });
        judge.open(&mut self.room, grower.bin(choice.node, choice.site))
    }

    /// A pod has its place.
    fn note(&mut self, pod: &Pod, at: At, judge: &Judge<'a>) {
        let Some(new) = at.checked_sub(self.first_new) else {
            self.packing.absorbed.push(pod.uid.clone());
            return;
        };
        let bin = &mut self.packing.new[new];
        bin.pods.push(pod.uid.clone());
        if judge.minds_zone(&self.room) {
            bin.chosen.zone = self.sites[new].cloned();
        }
    }

    /// Pods for which there is no place: does any pool sell one?
    fn give_up(&mut self, (spec, pods): Group<'a>, all: &'a [Grower<'a>]) {
        let judge = Judge::new(&mut self.room, spec);
        match hostable(&judge, &self.room, all) {
            Ok(()) => self.packing.waiting.extend(pods.iter().map(|pod| pod.uid.clone())),
            Err((predicate, why)) => {
                let told = |pod: &&Pod| Unhostable { pod: pod.at(), predicate, why: why.clone() };
                self.packing.unhostable.extend(pods.iter().map(told));
            }
        }
    }

    fn finish(mut self) -> Packing {
        for bin in self.room.bins.iter().filter(|bin| bin.open) {
            if let Some(pool) = bin.pool {
                self.packing.free.entry(pool.clone()).or_default().add(&bin.free);
            }
        }
        self.packing
    }
}

/// What a grower would best launch for one pod, as if it had room for one more worker.
pub(in crate::policy) fn best_for<'a>(
    pod: &'a Pod,
    room: &mut Room<'a>,
    grower: &'a Grower<'a>,
    expanders: &[Expander],
) -> Option<Chosen> {
    let judge = Judge::new(room, &pod.spec);
    let (growers, zones) = (std::slice::from_ref(grower), [grower.zones.clone()]);
    let choice = choose(growers, expanders, (&[1], &zones), (&judge, 1), room)?;
    let zone = choice.site.zone.filter(|_| judge.minds_zone(room));
    Some(Chosen { shape: choice.node.shape.name.clone(), zone: zone.cloned() })
}

/// Why a grower has no node for a pod.
pub(in crate::policy) fn why_none<'a>(
    pod: &'a Pod,
    room: &mut Room<'a>,
    grower: &'a Grower<'a>,
) -> String {
    let judge = Judge::new(room, &pod.spec);
    let hosted = hostable(&judge, room, std::slice::from_ref(grower));
    hosted.map_or_else(|(_, why)| why, |()| "it is sold nowhere".to_owned())
}

/// Whether all these pods find room together; the one that does not, otherwise.
pub(in crate::policy) fn all_fit<'a>(
    pods: impl Iterator<Item = &'a Pod>,
    room: &mut Room<'a>,
) -> Result<(), String> {
    let pods: Vec<&Pod> = pods.collect();
    let mut groups = grouped(&pods);
    while !groups.is_empty() {
        let before = count(&groups);
        groups = groups.into_iter().filter_map(|group| settle(group, room)).collect();
        if count(&groups) == before {
            return Err(name(groups[0].1[0]));
        }
    }
    Ok(())
}

/// Places the pods of one spec; those for which there is no place.
fn settle<'a>((spec, pods): Group<'a>, room: &mut Room<'a>) -> Option<Group<'a>> {
    let mut judge = Judge::new(room, spec);
    let mut search = Search::default();
    for placed in 0..pods.len() {
        match search.next(&judge, room) {
            Some(at) => judge.put(room, at),
            None => return Some((spec, pods[placed..].to_vec())),
        }
    }
    None
}

/// Pods by spec: those that must be beside others last, else the largest first.
fn grouped<'a>(pods: &[&'a Pod]) -> Vec<Group<'a>> {
    let mut groups: HashMap<&Arc<PodSpec>, Vec<&Pod>> = HashMap::new();
    for pod in pods {
        groups.entry(&pod.spec).or_default().push(pod);
    }
    let mut groups: Vec<Group<'_>> =
        groups.into_iter().map(|(spec, pods)| (&**spec, pods)).collect();
    // By the first pod's name at last, so that equal views give equal plans.
    groups.sort_by(|(a, first), (b, second)| {
        let size = |spec: &PodSpec| (spec.requests.cpu_milli, spec.requests.memory);
        let beside = |spec: &PodSpec| !spec.pod_affinity.is_empty();
        beside(a)
            .cmp(&beside(b))
            .then_with(|| size(b).cmp(&size(a)))
            .then_with(|| first[0].uid.cmp(&second[0].uid))
    });
    groups
}

/// Looks for room for the pods of one spec, one after the other, without asking a bin again that refused for good.
#[derive(Default)]
struct Search {
    /// All bins before this one refused for good.
    from: At,
    states: Vec<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unasked,
    /// Only the pods on other bins forbade it.
    Held,
    Refused,
}

impl Search {
    fn next<'a>(&mut self, judge: &Judge<'a>, room: &Room<'a>) -> Option<At> {
        self.states.resize(room.bins.len(), State::Unasked);
        for at in self.from..room.bins.len() {
            let forbidden = match self.states[at] {
                State::Refused => continue,
                State::Held => judge.first_of_others(room, at),
                State::Unasked => judge.first(room, at),
            };
            self.states[at] = match forbidden {
                None => {
                    self.states[at] = State::Unasked;
                    return Some(at);
                }
                Some(predicate) if predicate.may_pass() => State::Held,
                Some(_) => State::Refused,
            };
            if at == self.from && self.states[at] == State::Refused {
                self.from += 1;
            }
        }
        None
    }
}

/// Whether any node that a pool sells could host the spec, full or not; what forbids the one that comes nearest,
/// otherwise.
fn hostable<'a>(
    judge: &Judge<'a>,
    room: &Room<'a>,
    growers: &'a [Grower<'a>],
) -> Result<(), (Option<Predicate>, String)> {
    let mut nearest: Option<(Predicate, String)> = None;
    for grower in growers {
        let all = grower.nodes.iter().flat_map(|node| {
            let sites = if node.sites.is_empty() {
                std::slice::from_ref(&node.elsewhere)
            } else {
                &node.sites[..]
            };
            sites.iter().map(move |site| grower.bin(node, site))
        });
        for bin in all {
            let Some(predicate) = judge.first_of_new(room, &bin) else { return Ok(()) };
            if nearest.as_ref().is_none_or(|(other, _)| predicate > *other) {
                let words = why::words(predicate, judge, room, &bin, grower);
                nearest = Some((predicate, words));
            }
        }
    }
    Err(match nearest {
        Some((predicate, words)) => (Some(predicate), words),
        None => (None, "no pool has a shape".to_owned()),
    })
}
