//! A pool of EC2's, before an AWS that is played.

use crate::support::aws::{Aws, Machine, Yard};
use bellwether::clock::Clock;
use bellwether::config::{Ec2Config, Image, Secret, Source};
use bellwether::metrics::Metrics;
use bellwether::model::{ClusterUid, LaunchRequest, Market, Offering, Order, PoolName, Zone};
use bellwether::provider::contract::{self, Finding};
use bellwether::provider::guarded::GuardedConfig;
use bellwether::provider::{Ec2, Guarded, Keys, Provider as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Stage {
    pub(super) aws: Aws,
    pub(super) yard: Yard,
    pub(super) config: Ec2Config,
    pub(super) ec2: Arc<Ec2>,
}

pub(super) fn pool() -> PoolName {
    "workers".into()
}

/// That of the cluster whose requests these are.
pub(super) fn uid() -> ClusterUid {
    "uid-1".into()
}

/// The machines of a batch that were not ended.
pub(super) async fn machines_of(aws: &Aws, batch: &str) -> Vec<Machine> {
    let is_of = |machine: &Machine| {
        machine.tags.get("bellwether:batch").is_some_and(|tag| tag == batch)
            && machine.state == "running"
    };
    aws.machines().await.into_iter().filter(is_of).collect()
}

impl Stage {
    /// With two shapes in three zones; `None` after a printed skip.
    pub(super) async fn start() -> Option<Self> {
        Self::of(&["t3.small", "t3a.small"]).await
    }

    pub(super) async fn of(shapes: &[&str]) -> Option<Self> {
        let aws = Aws::start().await?;
        let yard = aws.yard().await;
        let template = yard.template.clone();
        let source = Source::Template { template, version: "$Default".to_owned() };
        Some(Self::from(aws, yard, source, shapes))
    }

    /// One without a template.
    pub(super) async fn of_an_image(user_data: &str) -> Option<Self> {
        let aws = Aws::start().await?;
        let yard = aws.yard().await;
        let image = Image {
            id: yard.image.clone(),
            security_groups: vec![yard.security_group.clone()],
            instance_profile: Some("k3s-worker".to_owned()),
            user_data_file: None,
            user_data: Some(Secret::new(user_data)),
        };
        Some(Self::from(aws, yard, Source::Image(image), &["t3.small"]))
    }

    fn from(aws: Aws, yard: Yard, source: Source, shapes: &[&str]) -> Self {
        let config = Ec2Config {
            region: Some("us-east-1".to_owned()),
            endpoint: Some(aws.url().to_owned()),
            assume_role: None,
            source,
            shapes: shapes.iter().map(|shape| (*shape).to_owned()).collect(),
            subnets: yard.subnets.iter().map(|(id, _)| id.clone()).collect(),
            spot: 70,
            tags: [("team".to_owned(), "shop".to_owned())].into(),
            memory_overhead: 10,
            max_pods: 29,
            parameters: Vec::new(),
        };
        let ec2 = Arc::new(asked(&config));
        Self { aws, yard, config, ec2 }
    }

    /// As another process would ask, which knows nothing of what this one did.
    pub(super) fn anew(&self) -> Ec2 {
        asked(&self.config)
    }

    /// The same behind its guards, with so long for a call.
    pub(super) fn guarded(&self, call: Duration) -> Guarded {
        let config = GuardedConfig { call, ..GuardedConfig::default() };
        Guarded::new(self.ec2.clone(), config, Arc::new(Metrics::new()))
    }

    pub(super) fn subnet_of(&self, zone: &Zone) -> &str {
        &self.yard.subnets.iter().find(|(_, known)| known == zone.as_str()).unwrap().0
    }

    /// Each shape in each zone.
    pub(super) fn offered(&self) -> Vec<(String, String)> {
        let zones = || self.yard.subnets.iter().map(|(_, zone)| zone.clone());
        self.config
            .shapes
            .iter()
            .flat_map(|shape| zones().map(|zone| (shape.clone(), zone)))
            .collect()
    }

    /// Workers of the first shape in the first zone, each of a market.
    pub(super) async fn request(&self, markets: &[Market]) -> LaunchRequest {
        let zone = self.yard.subnets[0].1.as_str();
        let orders: Vec<_> = markets.iter().map(|market| (zone, *market)).collect();
        self.request_in(&orders).await
    }

    /// So many workers, evenly over the zones, seven of ten of them spot.
    pub(super) async fn many(&self, count: usize) -> LaunchRequest {
        let market = |number: usize| if number % 10 < 7 { Market::Spot } else { Market::OnDemand };
        let zones = &self.yard.subnets;
        let order = |number: usize| (zones[number % zones.len()].1.as_str(), market(number));
        self.request_in(&(0..count).map(order).collect::<Vec<_>>()).await
    }

    async fn request_in(&self, orders: &[(&str, Market)]) -> LaunchRequest {
        let shapes = self.ec2.shapes(&"workers".into()).await.unwrap();
        let order = |(number, (zone, market)): (usize, &(&str, Market))| Order {
            worker: format!("workers-1-{}", number + 1).as_str().into(),
            offering: Offering {
                shape: self.config.shapes[0].as_str().into(),
                zone: (*zone).into(),
                market: *market,
                price: None,
            },
        };
        LaunchRequest {
            cluster: "default".into(),
            cluster_uid: uid(),
            pool: "workers".into(),
            batch: "workers-1".into(),
            token: None,
            orders: orders.iter().enumerate().map(order).collect(),
            fallback: shapes.iter().flat_map(|shape| shape.offerings.clone()).collect(),
            labels: [].into(),
            taints: Vec::new(),
        }
    }

    pub(super) async fn try_out(&self) -> Vec<Finding> {
        let stage = contract::Stage {
            cluster: "default".into(),
            cluster_uid: "uid-trial".into(),
            pool: "workers".into(),
            other: "nobody".into(),
            nobody: "i-0123456789abcdef0".into(),
            names_workers: false,
            limit: Duration::from_secs(20),
            clock: Clock::system(),
        };
        let guarded = self.guarded(Duration::from_secs(20));
        contract::try_out(&guarded, &stage, true, |_| ()).await
    }

    /// A machine of another pool or another cluster; its id.
    pub(super) async fn somebody_else_s(&self, pool: &str, cluster: &str) -> String {
        self.tagged(&[("pool", pool), ("cluster", cluster)]).await
    }

    /// A machine that somebody else launched, with these tags of ours; its id.
    pub(super) async fn tagged(&self, tags: &[(&str, &str)]) -> String {
        self.aws.tagged(&self.yard.image, tags).await
    }

    pub(super) async fn states(&self) -> BTreeMap<String, String> {
        self.aws.machines().await.into_iter().map(|one| (one.id, one.state)).collect()
    }
}

/// As whoever reads this configuration asks.
pub(super) fn asked(config: &Ec2Config) -> Ec2 {
    let keys = Keys { id: "testing".to_owned(), secret: Secret::new("testing") };
    Ec2::asked_as("default".into(), config.clone(), Some(keys))
}
