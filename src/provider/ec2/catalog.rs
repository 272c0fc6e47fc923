//! What the pool's instance types hold, and where they are offered. Pure.

use crate::config::Ec2Config;
use crate::model::{Market, Offering, Resources, Shape, Zone};
use aws_sdk_ec2::types::{GpuDeviceInfo, GpuInfo, InstanceTypeInfo, InstanceTypeOffering, Subnet};
use std::collections::{BTreeMap, BTreeSet};

/// The device of a machine's GPUs, as NVIDIA's plugin names it.
const GPU: &str = "nvidia.com/gpu";

/// Shapes, and the subnet of each zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    pub(super) shapes: Vec<Shape>,
    /// Of several in one zone the one with the most free addresses: a fleet takes one only.
    pub(super) subnets: BTreeMap<Zone, String>,
}

impl Catalog {
    /// Of what AWS tells. A shape or a subnet that it does not know is left out.
    pub(super) fn new(
        config: &Ec2Config,
        types: &[InstanceTypeInfo],
        offered: &[InstanceTypeOffering],
        subnets: &[Subnet],
    ) -> Self {
        let by_zone = by_zone(subnets);
        let there: BTreeSet<(&str, &str)> = offered
            .iter()
            .filter_map(|one| Some((one.instance_type()?.as_str(), one.location()?)))
            .collect();
        let shape = |name: &String| {
            let is_it = |info: &&InstanceTypeInfo| {
                info.instance_type().is_some_and(|known| known.as_str() == name)
            };
            let capacity = capacity(config, types.iter().find(is_it)?)?;
            let zones = by_zone.keys().filter(|zone| there.contains(&(name, zone.as_str())));
            let offerings = zones.flat_map(|zone| offerings(config, name, zone)).collect();
            Some(Shape { name: name.as_str().into(), capacity, offerings })
        };
        Self { shapes: config.shapes.iter().filter_map(shape).collect(), subnets: by_zone }
    }
}

fn by_zone(subnets: &[Subnet]) -> BTreeMap<Zone, String> {
    let mut subnets: Vec<&Subnet> = subnets.iter().collect();
    subnets.sort_by_key(|subnet| (subnet.available_ip_address_count(), subnet.subnet_id()));
    let placed = |subnet: &Subnet| {
        Some((subnet.availability_zone()?.into(), subnet.subnet_id()?.to_owned()))
    };
    subnets.into_iter().filter_map(placed).collect()
}

/// Both markets where the pool may have both; which of them a worker is, policy says. What they cost is not known.
fn offerings(config: &Ec2Config, name: &str, zone: &Zone) -> Vec<Offering> {
    let of = |market| Offering { shape: name.into(), zone: zone.clone(), market, price: None };
    let spot = (config.spot > 0).then(|| of(Market::Spot));
    spot.into_iter().chain([of(Market::OnDemand)]).collect()
}

/// What a machine of a type has. Of the memory that its type names, the hypervisor and the kernel keep a part.
fn capacity(config: &Ec2Config, info: &InstanceTypeInfo) -> Option<Resources> {
    let cores = u64::try_from(info.v_cpu_info()?.default_v_cpus()?).ok()?;
    let mib = u64::try_from(info.memory_info()?.size_in_mib()?).ok()?;
    let rest = u64::from(100 - config.memory_overhead.min(100));
    let mut capacity = Resources::new(cores * 1_000, (mib << 20) / 100 * rest)
        .with_pods(u64::from(config.max_pods));
    let gpus = info.gpu_info().into_iter().flat_map(GpuInfo::gpus);
    let nvidia = gpus.filter(|gpu| gpu.manufacturer().is_some_and(|it| it == "NVIDIA"));
    let count: i32 = nvidia.filter_map(GpuDeviceInfo::count).sum();
    if let Ok(count @ 1..) = u64::try_from(count) {
        capacity.extended.insert(GPU.to_owned(), count);
    }
    Some(capacity)
}
