//! A judge that is told of each pod as it is put says the same as one that looks at everything anew.

use super::bin::Bin;
use super::judge::Judge;
use super::room::Room;
use crate::model::{
    FreeVolume, HostPort, Is, Labels, NodeName, PodSpec, PodTerm, Requirement, Resources, Selector,
    Spread, VolumeNeed, ZONE_LABEL,
};
use proptest::prelude::*;

const HOST: &str = "kubernetes.io/hostname";
const KEYS: [&str; 3] = [HOST, ZONE_LABEL, "rack"];

/// A node's labels: a zone and a rack, or none.
type Site = (Option<u8>, Option<u8>);

fn site() -> impl Strategy<Value = Site> {
    (prop::option::weighted(0.9, 0_u8..3), prop::option::of(0_u8..2))
}

fn labels(name: Option<usize>, (zone, rack): Site) -> Labels {
    let named = name.map(|name| (HOST.to_owned(), format!("n{name}")));
    let zone = zone.map(|zone| (ZONE_LABEL.to_owned(), zone.to_string()));
    let rack = rack.map(|rack| ("rack".to_owned(), rack.to_string()));
    named.into_iter().chain(zone).chain(rack).collect()
}

fn selector() -> impl Strategy<Value = Option<Selector>> {
    let app = (0_u8..3).prop_map(|app| {
        let is = Is::In(vec![app.to_string()]);
        Selector(vec![Requirement { key: "app".to_owned(), is }])
    });
    prop::option::weighted(0.95, app)
}

fn term() -> impl Strategy<Value = PodTerm> {
    (selector(), 0_usize..3).prop_map(|(selector, key)| PodTerm {
        selector,
        namespaces: vec!["default".to_owned()],
        namespace_selector: None,
        topology_key: KEYS[key].to_owned(),
    })
}

fn spread() -> impl Strategy<Value = Spread> {
    (selector(), 0_usize..3, 1_u32..3, prop::option::of(1_u32..4), any::<bool>()).prop_map(
        |(selector, key, max_skew, min_domains, honors_affinity)| Spread {
            selector,
            topology_key: KEYS[key].to_owned(),
            max_skew,
            min_domains,
            honors_affinity,
            honors_taints: false,
        },
    )
}

fn spec() -> impl Strategy<Value = PodSpec> {
    let few = |most| 0_usize..most;
    (
        (0_u8..3, 1_u64..5, prop::option::weighted(0.2, 0_u8..3), 0_u16..8, 0_u8..8),
        few(3).prop_flat_map(|count| prop::collection::vec(term(), count)),
        few(2).prop_flat_map(|count| prop::collection::vec(term(), count)),
        few(3).prop_flat_map(|count| prop::collection::vec(spread(), count)),
    )
        .prop_map(|((app, cpu, zone, port, volume), anti, affinity, spread)| PodSpec {
            namespace: "default".to_owned(),
            labels: Labels::from([("app".to_owned(), app.to_string())]),
            requests: Resources::new(cpu, 0).with_pods(1),
            node_selector: zone
                .map(|zone| (ZONE_LABEL.to_owned(), zone.to_string()))
                .into_iter()
                .collect(),
            pod_affinity: affinity,
            pod_anti_affinity: anti,
            topology_spread: spread,
            host_ports: (port == 0)
                .then(|| HostPort {
                    ip: "0.0.0.0".to_owned(),
                    protocol: "TCP".to_owned(),
                    port: 80,
                })
                .into_iter()
                .collect(),
            volumes: (volume == 0).then(one_of_two).into_iter().collect(),
            ..PodSpec::default()
        })
}

fn one_of_two() -> VolumeNeed {
    let free = |name: &str| FreeVolume { name: name.to_owned(), on: None };
    VolumeNeed::OneOf(vec![free("v1"), free("v2")])
}

fn bin<'a>(name: Option<&'a NodeName>, labels: &'a Labels) -> Bin<'a> {
    let free = Resources::new(10, 0).with_pods(5);
    Bin { name, free, ..Bin::bare(labels, &[]) }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_judge_that_follows_says_what_a_new_one_says(
        sites in prop::collection::vec(site(), 1..5),
        new in prop::collection::vec(site(), 1..3),
        specs in prop::collection::vec(spec(), 1..4),
        turns in prop::collection::vec((0_usize..4, 0_usize..8), 1..12),
    ) {
        let names: Vec<NodeName> =
            (0..sites.len()).map(|at| format!("n{at}").as_str().into()).collect();
        let old: Vec<Labels> =
            sites.iter().enumerate().map(|(at, site)| labels(Some(at), *site)).collect();
        let new: Vec<Labels> = new.iter().map(|site| labels(None, *site)).collect();
        let mut room = Room::empty();
        for (name, labels) in names.iter().zip(&old) {
            room.open(bin(Some(name), labels));
        }
        for (which, target) in turns {
            let spec = &specs[which % specs.len()];
            let mut judge = Judge::new(&mut room, spec);
            for step in 0..3 {
                let fresh = Judge::new(&mut room.clone(), spec);
                for at in 0..room.bins.len() {
                    prop_assert_eq!(judge.all(&room, at), fresh.all(&room, at));
                }
                let site = bin(None, &new[target % new.len()]);
                let mut grown = room.clone();
                let at = grown.open(site.clone());
                let there = Judge::new(&mut grown, spec).first(&grown, at);
                prop_assert_eq!(judge.first_of_new(&room, &site), there);
                let fits: Vec<usize> = (0..room.bins.len())
                    .filter(|at| judge.first(&room, *at).is_none())
                    .collect();
                if there.is_none() && (fits.is_empty() || step == 1) {
                    judge.open(&mut room, site);
                } else if let Some(at) = fits.get(target % fits.len().max(1)) {
                    judge.put(&mut room, *at);
                }
            }
        }
    }
}
