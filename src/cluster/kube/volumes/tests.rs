use super::*;
use serde_json::{Value, json};

/// One claim, volumes and a class, all of which a test changes.
struct Scene {
    claim: Value,
    volumes: Vec<Value>,
    class: Value,
    taken: bool,
    placed: bool,
}

fn scene() -> Scene {
    Scene {
        claim: json!({
            "metadata": { "name": "data", "namespace": "shop", "uid": "c1" },
            "spec": { "storageClassName": "disk", "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "10Gi" } } },
        }),
        volumes: Vec::new(),
        class: json!({ "metadata": { "name": "disk" }, "provisioner": "example.com/disk",
            "volumeBindingMode": "WaitForFirstConsumer" }),
        taken: false,
        placed: false,
    }
}

fn volume_on(name: &str, node: &str) -> Value {
    let expression = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
    json!({
        "metadata": { "name": name },
        "spec": { "storageClassName": "disk", "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": "10Gi" },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [expression] }] } } },
    })
}

fn on(key: &str, values: &[&str]) -> NodeTerm {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    let label = Requirement { key: key.to_owned(), is: Is::In(values) };
    NodeTerm { labels: vec![label], name: Vec::new() }
}

fn host(name: &str) -> NodeTerm {
    on("kubernetes.io/hostname", &[name])
}

impl Scene {
    fn needs(&self) -> Vec<VolumeNeed> {
        let own = claim(&serde_json::from_value(self.claim.clone()).unwrap()).unwrap();
        let volumes: Vec<Volume> = self
            .volumes
            .iter()
            .map(|one| volume(&serde_json::from_value(one.clone()).unwrap()).unwrap())
            .collect();
        let class = class(&serde_json::from_value(self.class.clone()).unwrap()).unwrap();
        let mut storage = Storage::default();
        storage.claims.insert(("shop", "data"), &own);
        storage.classes.insert(&class.name, &class);
        storage.volumes.extend(volumes.iter().map(|volume| (volume.name.as_str(), volume)));
        storage.taken.extend(self.taken.then_some(("shop", "data")));
        let used = Use { claim: "data".to_owned(), is_made: false };
        storage.needs("shop", &[used], self.placed)
    }

    fn why(&self) -> String {
        match &self.needs()[..] {
            [VolumeNeed::Nowhere(why)] => why.clone(),
            needs => panic!("{needs:?}"),
        }
    }

    /// The claim has this volume.
    fn bind(&mut self, volume: Value) {
        self.claim["spec"]["volumeName"] = volume["metadata"]["name"].clone();
        self.volumes.push(volume);
    }
}

#[test]
fn a_volume_holds_its_pod_on_its_nodes_and_in_its_places() {
    let mut scene = scene();
    let mut volume = volume_on("v1", "n1");
    volume["metadata"]["labels"] = json!({ "topology.kubernetes.io/zone": "a__b", "other": "x" });
    scene.bind(volume);
    let zones = on("topology.kubernetes.io/zone", &["a", "b"]);
    let absent = |key: &&str| Requirement { key: (*key).to_owned(), is: Is::Absent };
    // A node that tells of no place may be in any.
    let nowhere = NodeTerm { labels: PLACES.iter().map(absent).collect(), name: Vec::new() };
    assert_eq!(
        scene.needs(),
        [VolumeNeed::On(vec![host("n1")]), VolumeNeed::On(vec![zones, nowhere])]
    );
}

#[test]
fn a_volume_that_says_nothing_is_everywhere() {
    let mut scene = scene();
    let mut volume = volume_on("v1", "n1");
    volume["spec"]["nodeAffinity"] = Value::Null;
    scene.bind(volume);
    assert_eq!(scene.needs(), []);
}

#[test]
fn what_is_not_there_lets_the_pod_be_nowhere_and_is_named() {
    let storage = Storage::default();
    let uses = [("gone", false), ("web-0-cache", true)]
        .map(|(claim, is_made)| Use { claim: claim.to_owned(), is_made });
    let whys = ["the claim gone is not there", "the claim web-0-cache is yet to be made"];
    let whys = whys.map(|why| VolumeNeed::Nowhere(why.to_owned()));
    assert_eq!(storage.needs("shop", &uses, false), whys);
    let mut scene = scene();
    scene.claim["spec"]["volumeName"] = "v9".into();
    assert_eq!(scene.why(), "the volume v9 of the claim data is not there");
}

#[test]
fn a_claim_that_is_being_deleted_holds_new_pods_only() {
    let mut scene = scene();
    scene.claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(scene.why(), "the claim data is being deleted");
    scene.placed = true;
    assert_eq!(scene.needs(), []);
}

#[test]
fn a_claim_for_one_pod_is_for_one() {
    let mut scene = scene();
    scene.taken = true;
    assert_eq!(scene.needs(), [], "others share theirs");
    scene.claim["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    assert_eq!(scene.why(), "the claim data is for one pod, and another uses it");
    scene.placed = true;
    assert_eq!(scene.needs(), []);
    (scene.placed, scene.taken) = (false, false);
    assert_eq!(scene.needs(), []);
}

#[test]
fn a_class_that_does_not_wait_must_bind_first() {
    let mut scene = scene();
    scene.class["volumeBindingMode"] = "Immediate".into();
    assert_eq!(scene.why(), "the claim data is not bound to a volume yet");
    scene.class["volumeBindingMode"] = "WaitForFirstConsumer".into();
    scene.claim["spec"]["storageClassName"] = "unknown".into();
    assert_eq!(scene.why(), "the claim data is not bound to a volume yet");
}

#[test]
fn a_claim_without_a_class_has_the_default_one() {
    let mut scene = scene();
    scene.claim["spec"]["storageClassName"] = Value::Null;
    assert_eq!(scene.why(), "the claim data is not bound to a volume yet");
    let default = json!({ "storageclass.kubernetes.io/is-default-class": "true" });
    scene.class["metadata"]["annotations"] = default;
    assert_eq!(scene.needs(), []);
}

#[test]
fn one_can_be_made_where_the_class_allows_it_or_is_there() {
    let mut scene = scene();
    assert_eq!(scene.needs(), [], "anywhere");
    let zones = json!([{ "matchLabelExpressions": [{ "key": "zone", "values": ["a", "b"] }] }]);
    scene.class["allowedTopologies"] = zones;
    assert_eq!(scene.needs(), [VolumeNeed::On(vec![on("zone", &["a", "b"])])]);
    scene.volumes.push(volume_on("v1", "n1"));
    assert_eq!(scene.needs(), [VolumeNeed::On(vec![on("zone", &["a", "b"]), host("n1")])]);
}

fn free(scene: &Scene) -> Vec<String> {
    match &scene.needs()[..] {
        [VolumeNeed::OneOf(free)] => free.iter().map(|volume| volume.name.clone()).collect(),
        needs => panic!("{needs:?}"),
    }
}

#[test]
fn a_class_that_makes_none_offers_the_free_ones_that_serve() {
    let mut scene = scene();
    scene.class["provisioner"] = NO_PROVISIONER.into();
    let with = |name: &str, change: fn(&mut Value)| {
        let mut volume = volume_on(name, "n1");
        change(&mut volume);
        volume
    };
    scene.volumes = vec![
        with("fits", |_| ()),
        with("other-class", |volume| volume["spec"]["storageClassName"] = "x".into()),
        with("too-small", |volume| volume["spec"]["capacity"]["storage"] = "9Gi".into()),
        with("block", |volume| volume["spec"]["volumeMode"] = "Block".into()),
        with("read-only", |volume| volume["spec"]["accessModes"] = json!(["ReadOnlyMany"])),
        with("taken", |volume| {
            volume["spec"]["claimRef"] = json!({ "namespace": "shop", "name": "other" });
        }),
        with("ours", |volume| {
            volume["spec"]["claimRef"] = json!({ "namespace": "shop", "name": "data" });
        }),
        with("ours-of-before", |volume| {
            let claim = json!({ "namespace": "shop", "name": "data", "uid": "c0" });
            volume["spec"]["claimRef"] = claim;
        }),
    ];
    assert_eq!(free(&scene), ["fits", "ours"]);
    scene.claim["spec"]["selector"] = json!({ "matchLabels": { "speed": "high" } });
    assert!(free(&scene).is_empty());
    scene.volumes[0]["metadata"]["labels"] = json!({ "speed": "high" });
    assert_eq!(free(&scene), ["fits"]);
}

#[test]
fn a_volume_of_old_is_also_where_the_new_label_says_so() {
    let (old, new) = ("failure-domain.beta.kubernetes.io/zone", ZONE_LABEL);
    let mut scene = scene();
    let mut volume = volume_on("v1", "n1");
    volume["spec"]["nodeAffinity"] = Value::Null;
    volume["metadata"]["labels"] = json!({ old: "a" });
    scene.bind(volume);
    let needs = scene.needs();
    let [VolumeNeed::On(terms)] = &needs[..] else { panic!("{needs:?}") };
    let admits = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, zone)| ((*key).to_owned(), (*zone).to_owned()));
        let labels: Labels = labels.collect();
        terms.iter().any(|term| term.admits(&labels, None))
    };
    assert!(admits(&[(old, "a")]) && admits(&[(new, "a")]) && admits(&[]));
    assert!(!admits(&[(old, "b"), (new, "a")]) && !admits(&[(new, "b")]));
}

#[test]
fn the_smallest_claim_comes_first_and_so_does_the_smallest_volume() {
    let scene = scene();
    let sized = |name: &str, size: &str| {
        let mut own = scene.claim.clone();
        own["metadata"]["name"] = name.into();
        own["spec"]["resources"]["requests"]["storage"] = size.into();
        claim(&serde_json::from_value(own).unwrap()).unwrap()
    };
    let (large, small) = (sized("large", "3Gi"), sized("small", "1Gi"));
    let volumes = [("v1", "3Gi"), ("v2", "1Gi")].map(|(name, size)| {
        let mut one = volume_on(name, "n1");
        one["spec"]["capacity"]["storage"] = size.into();
        volume(&serde_json::from_value(one).unwrap()).unwrap()
    });
    let mut class = class(&serde_json::from_value(scene.class.clone()).unwrap()).unwrap();
    class.makes_none = true;
    let mut storage = Storage::default();
    storage.claims.extend([&large, &small].map(|one| (("shop", one.name.as_str()), one)));
    storage.classes.insert(&class.name, &class);
    storage.volumes.extend(volumes.iter().map(|volume| (volume.name.as_str(), volume)));
    let uses = ["large", "small"].map(|name| Use { claim: name.to_owned(), is_made: false });
    let names: Vec<Vec<String>> = storage
        .needs("shop", &uses, false)
        .into_iter()
        .map(|need| match need {
            VolumeNeed::OneOf(free) => free.into_iter().map(|one| one.name).collect(),
            need => panic!("{need:?}"),
        })
        .collect();
    assert_eq!(names, [vec!["v2", "v1"], vec!["v1"]]);
}
