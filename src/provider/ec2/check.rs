//! What `check-config --online` finds: what a pool needs of AWS, asked for without changing anything.

use super::Ec2;
use super::catalog::Catalog;
use super::client::{Offers, well};
use super::error::meaning;
use super::fleet::{self, Ask};
use super::tags;
use crate::config::Source;
use crate::model::{LaunchRequest, Market, Offering, Order, PoolName, Zone};
use crate::provider::{Complaint, Error, Result};
use aws_sdk_ec2::error::ProvideErrorMetadata as _;
use aws_sdk_ec2::types::{
    ArchitectureType, FleetType, Image, InstanceType, InstanceTypeInfo, TagSpecification,
};

/// Where the policy stands that says what we must be permitted.
const POLICY: &str = "docs/ec2.md has the policy";

impl Ec2 {
    /// Every fault there is, each with its field, as far as one does not hide the next.
    pub(super) async fn check(&self, pool: &PoolName) -> Vec<Complaint> {
        let mut found = Complaints(Vec::new());
        if let Err(error) = self.client.sdk().await {
            found.add("region", self.config.region.as_deref(), &error.to_string());
            return found.0;
        }
        let (types, catalog) = match self.check_places(&mut found).await {
            Ok(known) => known,
            Err(error @ (Error::Unavailable(_) | Error::TimedOut)) => {
                let mend = format!("EC2 does not answer there; is there such a region? ({error})");
                found.add("region", self.config.region.as_deref(), &mend);
                return found.0;
            }
            Err(error) => {
                found.add(
                    "",
                    None,
                    &format!("what can be bought cannot be asked: {error}; {POLICY}"),
                );
                return found.0;
            }
        };
        if let Some(image) = self.check_source(&mut found).await {
            self.check_architecture(&types, &image, &mut found);
        }
        self.check_rights(pool, &catalog, &mut found).await;
        self.check_parameters(&mut found).await;
        found.0
    }

    /// Subnets and shapes, and whether each shape is offered in each zone.
    async fn check_places(
        &self,
        found: &mut Complaints,
    ) -> Result<(Vec<InstanceTypeInfo>, Catalog)> {
        let config = &self.config;
        let offers = self.client.offers(&config.shapes, &config.subnets);
        let Offers { types, offered, subnets } = Box::pin(offers).await?;
        for (at, id) in config.subnets.iter().enumerate() {
            if !subnets.iter().any(|subnet| subnet.subnet_id() == Some(id)) {
                let mend = "there is no such subnet in this account and region";
                found.add(&format!("subnets[{at}]"), Some(id), mend);
            }
        }
        let catalog = Catalog::new(config, &types, &offered, &subnets);
        for (at, name) in config.shapes.iter().enumerate() {
            let field = format!("shapes[{at}]");
            let Some(shape) = catalog.shapes.iter().find(|shape| shape.name.as_str() == name)
            else {
                found.add(&field, Some(name), "there is no such instance type in this region");
                continue;
            };
            let is_offered =
                |zone: &Zone| shape.offerings.iter().any(|offering| offering.zone == *zone);
            for zone in catalog.subnets.keys().filter(|zone| !is_offered(zone)) {
                let mend =
                    format!("is not offered in {zone}; leave it out, or the subnets of that zone");
                found.add(&field, Some(name), &mend);
            }
        }
        Ok((types, catalog))
    }

    /// The template, or the image; what workers boot from is told.
    async fn check_source(&self, found: &mut Complaints) -> Option<Image> {
        let (field, named, id) = match &self.config.source {
            Source::Image(image) => ("image", image.id.clone(), image.id.clone()),
            Source::Template { template, version } => {
                match self.client.image_of(template, version).await {
                    Ok(Some(id)) => ("launch_template", template.clone(), id),
                    Ok(None) => {
                        let mend = "names no image; workers boot from it";
                        found.add("launch_template", Some(template), mend);
                        return None;
                    }
                    Err(error @ Error::Denied(_)) => {
                        found.denied("ec2:DescribeLaunchTemplateVersions", &error);
                        return None;
                    }
                    Err(error) => {
                        let told = error.to_string();
                        let is_version = told.contains("Version");
                        let (field, named) = if is_version {
                            ("launch_template_version", version)
                        } else {
                            ("launch_template", template)
                        };
                        found.add(field, Some(named), &format!("cannot be used: {told}"));
                        return None;
                    }
                }
            }
        };
        match self.client.image(&id).await {
            Ok(Some(image)) => Some(image),
            Ok(None) => {
                let mend = format!("the image {id} is not there, or not shared with this account");
                found.add(field, Some(&named), &mend);
                None
            }
            Err(error) => {
                found.add(field, Some(&named), &format!("its image {id}: {error}"));
                None
            }
        }
    }

    fn check_architecture(
        &self,
        types: &[InstanceTypeInfo],
        image: &Image,
        found: &mut Complaints,
    ) {
        let Some(needed) = image.architecture() else { return };
        for (at, name) in self.config.shapes.iter().enumerate() {
            let is_it = |info: &&InstanceTypeInfo| {
                info.instance_type().is_some_and(|known| known.as_str() == name)
            };
            let Some(processor) = types.iter().find(is_it).and_then(|it| it.processor_info())
            else {
                continue;
            };
            let has = processor.supported_architectures();
            if !has.is_empty() && !has.iter().any(|one| one.as_str() == needed.as_str()) {
                let runs = has.iter().map(ArchitectureType::as_str).collect::<Vec<_>>().join(", ");
                let mend = format!("runs {runs}, and the image is for {}", needed.as_str());
                found.add(&format!("shapes[{at}]"), Some(name), &mend);
            }
        }
    }

    /// What we must be permitted, by dry runs. What is done to a machine only where the pool has one.
    async fn check_rights(&self, pool: &PoolName, catalog: &Catalog, found: &mut Complaints) {
        let first = catalog.shapes.iter().flat_map(|shape| &shape.offerings);
        if let Some(offering) = first.clone().find(|one| one.market == Market::OnDemand) {
            let request = self.trial(pool, offering);
            match tags::of_launch(&request, &self.config.tags) {
                Ok(tags) => self.check_launch(&request, catalog, tags, found).await,
                Err(error) => found.add("tags", None, &error.to_string()),
            }
        }
        found.tried("ec2:DescribeInstanceStatus", self.client.try_impaired().await);
        match self.listed(tags::whose(&self.cluster, pool)).await {
            Err(error) => found.denied("ec2:DescribeInstances", &error),
            Ok(listed) => {
                if let Some(one) = listed.iter().find(|one| one.is_live()) {
                    self.check_rights_on(one.id.as_str(), found).await;
                }
            }
        }
    }

    async fn check_rights_on(&self, id: &str, found: &mut Complaints) {
        let protected = self.client.is_protected(id).await;
        // Of one that is protected a dry run would tell that.
        if protected != Ok(true) {
            found.tried("ec2:TerminateInstances", self.client.try_to_terminate(id).await);
        }
        found.tried("ec2:DescribeInstanceAttribute", protected.map(drop));
        found.tried("ec2:GetConsoleOutput", self.client.try_console(id).await);
    }

    async fn check_launch(
        &self,
        request: &LaunchRequest,
        catalog: &Catalog,
        tags: Vec<TagSpecification>,
        found: &mut Complaints,
    ) {
        let offering = &request.orders[0].offering;
        let ask = Ask { orders: vec![&request.orders[0]], offerings: vec![offering], spot: 0 };
        if let Source::Template { template, version } = &self.config.source
            && let Ok(ec2) = self.client.ec2().await
        {
            let tried = ec2
                .create_fleet()
                .dry_run(true)
                .r#type(FleetType::Instant)
                .launch_template_configs(ask.template(template, version, catalog))
                .target_capacity_specification(ask.capacity())
                .on_demand_options(fleet::on_demand())
                .set_tag_specifications(Some(tags.clone()))
                .send()
                .await;
            found.tried("ec2:CreateFleet", well(tried));
        }
        found.tried("ec2:RunInstances", self.try_to_run(offering, catalog, tags).await);
    }

    async fn try_to_run(
        &self,
        offering: &Offering,
        catalog: &Catalog,
        tags: Vec<TagSpecification>,
    ) -> Result<()> {
        let subnet = catalog.subnets.get(&offering.zone);
        let run = self
            .client
            .ec2()
            .await?
            .run_instances()
            .dry_run(true)
            .min_count(1)
            .max_count(1)
            .instance_type(InstanceType::from(offering.shape.as_str()))
            .set_subnet_id(subnet.cloned())
            .set_tag_specifications(Some(tags));
        let run = match &self.config.source {
            Source::Image(image) => super::with_image(run, image),
            Source::Template { template, version } => {
                run.launch_template(fleet::template_of_a_run(template, version))
            }
        };
        well(run.send().await)
    }

    /// A launch of one, which is never made.
    fn trial(&self, pool: &PoolName, offering: &Offering) -> LaunchRequest {
        LaunchRequest {
            cluster: self.cluster.clone(),
            cluster_uid: "check-config".into(),
            pool: pool.clone(),
            batch: "check-config".into(),
            token: None,
            orders: vec![Order { worker: "check-config".into(), offering: offering.clone() }],
            fallback: Vec::new(),
            labels: [].into(),
            taints: Vec::new(),
        }
    }

    async fn check_parameters(&self, found: &mut Complaints) {
        let names = &self.config.parameters;
        let Ok(sdk) = self.client.sdk().await else { return };
        let ssm = aws_sdk_ssm::Client::new(sdk);
        for (at, name) in names.iter().enumerate() {
            // Not decrypted: whether it is there is all that is asked.
            let asked = ssm.get_parameter().name(name).with_decryption(false).send().await;
            let Err(error) = asked else { continue };
            let field = format!("parameters[{at}]");
            if error.code() == Some("ParameterNotFound") {
                let mend = "there is no such parameter; a booting worker could not join";
                found.add(&field, Some(name), mend);
            } else {
                let mend = format!("ssm:GetParameter: {}; {POLICY}", meaning(&error));
                found.add(&field, Some(name), &mend);
            }
        }
    }
}

struct Complaints(Vec<Complaint>);

impl Complaints {
    fn add(&mut self, field: &str, found: Option<&str>, mend: &str) {
        let (field, found) = (field.to_owned(), found.map(str::to_owned));
        self.0.push(Complaint { field, found, mend: mend.to_owned() });
    }

    /// What came of trying an action.
    fn tried(&mut self, action: &str, result: Result<()>) {
        if let Err(error) = result {
            self.denied(action, &error);
        }
    }

    /// What could not be done, and whether that is for want of a right.
    fn denied(&mut self, action: &str, error: &Error) {
        let mend = match error {
            Error::Denied(told) => format!("is not permitted ({told}); {POLICY}"),
            error => format!("did not go through: {error}"),
        };
        self.add("", Some(action), &mend);
    }
}
