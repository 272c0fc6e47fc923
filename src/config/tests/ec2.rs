//! What a pool of EC2 instances may say.

use super::*;
use crate::model::{PoolMemory, PoolName};

#[test]
fn instances_are_of_a_template_or_of_one_shape_and_an_image() {
    let (path, cluster) = fields::ec2();
    let value = changed(&full(), &path, cluster);
    let ec2 = "clusters.default.pools.workers.provider.ec2";
    let refusal = |value: &Value| {
        let errors = refused(value);
        assert_eq!(errors.len(), 1, "{errors:?}");
        (errors[0].path.strip_prefix(ec2).unwrap().to_owned(), errors[0].mend.clone())
    };
    let both = changed(&value, &format!("{ec2}.image"), json!("ami-1"));
    assert_eq!(refusal(&both).0, ".image");
    let neither = changed(&value, &format!("{ec2}.launch_template"), Value::Null);
    assert_eq!(refusal(&neither).0, ".launch_template");
    let groups = changed(&value, &format!("{ec2}.security_groups"), json!(["sg-1"]));
    assert!(refusal(&groups).1.contains("the launch template says this"));
    let (path, cluster) = fields::ec2_of_an_image();
    let image = changed(&full(), &path, cluster);
    let two = changed(&image, &format!("{ec2}.shapes"), json!(["t3.small", "t3a.small"]));
    assert!(refusal(&two).1.contains("one shape"), "{two}");
}

#[test]
fn user_data_is_what_the_file_holds() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (path, cluster) = fields::ec2_of_an_image();
    let ec2 = "clusters.default.pools.workers.provider.ec2";
    let value = changed(&full(), &path, cluster);
    let value = changed(&value, &format!("{ec2}.user_data_file"), json!(file.path()));
    std::fs::write(file.path(), "#!/bin/sh\n").unwrap();
    let config = parse_value(&value).unwrap();
    let pool = &config.clusters[&"default".into()].pools[&PoolName::from("workers")];
    let ProviderConfig::Ec2(read) = &pool.provider else { panic!("{:?}", pool.provider) };
    let Source::Image(image) = &read.source else { panic!("{:?}", read.source) };
    assert_eq!(image.user_data.as_ref().unwrap().expose(), "#!/bin/sh\n");
    let cluster = &config.clusters[&"default".into()];
    let value_of = |drain| {
        let value = changed(&value, "clusters.default.pools.workers.drain", drain);
        parse_value(&value).unwrap().clusters[&"default".into()].pools[&"workers".into()].farewell()
    };
    let farewell = value_of(json!({ "when_removed": true }));
    std::fs::write(file.path(), "x".repeat(16 * 1024 + 1)).unwrap();
    let left = PoolMemory { farewell, ..PoolMemory::default() };
    let mut rest = cluster.clone();
    rest.pools.clear();
    let rest = rest.with_removed(&[("workers".into(), left)].into()).into_owned();
    assert_eq!(
        rest.pools.len(),
        1,
        "one that left the file is drained, whatever became of its script"
    );
    let errors = refused(&value);
    assert_eq!(errors[0].path, format!("{ec2}.user_data_file"));
    assert!(errors[0].mend.contains("16 KiB"), "{}", errors[0]);
}

/// A booting machine reads each from one tag.
#[test]
fn labels_and_taints_that_fit_no_tag_are_refused_where_machines_read_them_from_one() {
    let (path, cluster) = fields::ec2();
    let value = changed(&full(), &path, cluster);
    let node = "clusters.default.pools.workers.node";
    let long = |count: usize| "x".repeat(count);
    // With a name and a `=` each, and blanks between them, 256 letters; one more is too many.
    let labels =
        |last: usize| json!({ "a1": long(63), "a2": long(63), "a3": long(63), "a4": long(last) });
    let taint =
        |count: usize| json!({ "key": long(count), "value": long(63), "effect": "NoSchedule" });
    let cases = [
        ("labels", labels(52), labels(53)),
        ("taints", json!([taint(52), taint(53)]), json!([taint(52), taint(54)])),
    ];
    for (field, fits, too_long) in cases {
        let field = format!("{node}.{field}");
        let well = changed(&value, &field, fits);
        parse_value(&well).unwrap_or_else(|errors| panic!("{field}: {errors}"));
        let errors = refused(&changed(&value, &field, too_long.clone()));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].path, field);
        assert!(errors[0].mend.contains("256"), "{}", errors[0]);
        assert!(errors[0].found.as_ref().unwrap().contains("xxx"), "{}", errors[0]);
        parse_value(&changed(&full(), &field, too_long)).unwrap();
    }
}

/// An older version took them. Nothing is launched of it any more.
#[test]
fn a_pool_that_left_the_file_is_drained_though_its_labels_and_taints_fit_no_tag() {
    let (path, cluster) = fields::ec2();
    let value = changed(&full(), &path, cluster);
    let value =
        changed(&value, "clusters.default.pools.workers.drain", json!({ "when_removed": true }));
    let cluster = parse_value(&value).unwrap().clusters[&"default".into()].clone();
    let mut farewell = cluster.pools[&"workers".into()].farewell().unwrap();
    let long = "x".repeat(63);
    let labels = json!({ "a1": long, "a2": long, "a3": long, "a4": long, "a5": long });
    let taint = json!({ "key": long, "value": long, "effect": "NoSchedule" });
    farewell.config["node"]["labels"] = labels;
    farewell.config["node"]["taints"] = json!([taint, taint, taint]);
    let mut rest = cluster;
    rest.pools.clear();
    let left = PoolMemory { farewell: Some(farewell), ..PoolMemory::default() };
    let rest = rest.with_removed(&[("workers".into(), left)].into()).into_owned();
    let pool = &rest.pools[&PoolName::from("workers")];
    assert!(pool.removed);
    assert_eq!((pool.node.labels.len(), pool.node.taints.len()), (5, 3), "pods look at them still");
}

#[test]
fn of_instances_nothing_stands_twice_and_no_tag_is_ours() {
    let (path, cluster) = fields::ec2();
    let value = changed(&full(), &path, cluster);
    let ec2 = "clusters.default.pools.workers.provider.ec2";
    let cases = [
        ("shapes", json!(["t3.small", "t3.small"]), "twice"),
        ("shapes", json!([]), "at least one"),
        ("subnets", json!([]), "at least one"),
        ("tags", json!({ "bellwether:pool": "mine" }), "not yours"),
        ("tags", json!({ "aws:x": "mine" }), "not yours"),
        ("tags", json!({ "Name": "mine" }), "`Name`"),
        ("tags", json!({ "team": "x".repeat(257) }), "256"),
    ];
    for (field, wrong, told) in cases {
        let errors = refused(&changed(&value, &format!("{ec2}.{field}"), wrong));
        assert_eq!(errors.len(), 1, "{field}: {errors:?}");
        assert!(errors[0].mend.contains(told), "{field}: {}", errors[0]);
    }
}
