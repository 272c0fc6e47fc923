//! Workers as EC2 instances, launched and ended one act at a time: no Auto Scaling group decides beside us.
//!
//! The instances of one call are tagged alike, so no tag tells which worker a machine is: it is known by its own id, and the
//! record of its worker has that (ADR 0016). Before anything is bought the batch is looked for; if any machine of it is there, the
//! call was made before, and nothing more is bought for it.

mod buying;
mod catalog;
mod check;
mod client;
mod error;
mod fleet;
mod instance;
mod pace;
mod status;
mod tags;

use self::buying::{Buying, ROUNDS};
use self::catalog::Catalog;
pub use self::client::Keys;
use self::client::{Client, Offers};
use self::fleet::{Answer, Ask};
use self::status::Impaired;
use super::{Complaint, Error, Launched, LeftBehind, Provider, Result};
use crate::config::{Ec2Config, Image, Source};
use crate::model::{
    ClusterName, ClusterUid, Instance, InstanceId, InstanceState, LaunchRequest, Market, Offering,
    PoolName, Shape,
};
use async_trait::async_trait;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    Filter, FleetType, HttpTokensState, IamInstanceProfileSpecification,
    InstanceMarketOptionsRequest, InstanceMetadataOptionsRequest, InstanceMetadataTagsState,
    InstanceType, MarketType, TagSpecification,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long what can be bought is kept: types do not change, and new zones are seldom.
const KEPT: Duration = Duration::from_mins(30);

/// When that is asked again where AWS did not tell it.
const AGAIN: Duration = Duration::from_mins(1);

/// How long it is told that an instance may not be ended, after that was found: then it is asked again.
const PROTECTED: Duration = Duration::from_mins(10);

/// Instances of one pool.
pub struct Ec2 {
    cluster: ClusterName,
    config: Ec2Config,
    client: Client,
    catalog: tokio::sync::Mutex<Option<(Instant, Arc<Catalog>)>>,
    protected: Mutex<BTreeMap<InstanceId, Instant>>,
    impaired: Impaired,
}

impl fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ec2").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What is the same in every call of one launch.
struct Launch<'a> {
    request: &'a LaunchRequest,
    catalog: Arc<Catalog>,
    tags: Vec<TagSpecification>,
}

impl Ec2 {
    /// Of a cluster. Reaches nobody yet.
    pub fn new(cluster: ClusterName, config: Ec2Config) -> Self {
        Self::asked_as(cluster, config, None)
    }

    /// The same, asked as whoever has these keys: for trials beside what the environment says.
    pub fn asked_as(cluster: ClusterName, config: Ec2Config, keys: Option<Keys>) -> Self {
        let client = Client::new(&config, keys);
        Self::over(cluster, config, client)
    }

    /// The same over this client.
    fn over(cluster: ClusterName, config: Ec2Config, client: Client) -> Self {
        Self {
            cluster,
            config,
            client,
            catalog: tokio::sync::Mutex::default(),
            protected: Mutex::default(),
            impaired: Impaired::default(),
        }
    }

    /// What can be bought; what was known before where AWS does not say it anew.
    async fn catalog(&self) -> Result<Arc<Catalog>> {
        let mut kept = self.catalog.lock().await;
        if let Some((until, catalog)) = &*kept
            && Instant::now() < *until
        {
            return Ok(catalog.clone());
        }
        match (self.ask_catalog().await, &*kept) {
            (Ok(catalog), _) => {
                let catalog = Arc::new(catalog);
                *kept = Some((Instant::now() + KEPT, catalog.clone()));
                Ok(catalog)
            }
            (Err(error), Some((_, catalog))) => {
                tracing::warn!(section = "provider", %error, "what can be bought is not told anew");
                let catalog = catalog.clone();
                *kept = Some((Instant::now() + AGAIN, catalog.clone()));
                Ok(catalog)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn ask_catalog(&self) -> Result<Catalog> {
        let Ec2Config { shapes, subnets, .. } = &self.config;
        let Offers { types, offered, subnets } =
            Box::pin(self.client.offers(shapes, subnets)).await?;
        let catalog = Catalog::new(&self.config, &types, &offered, &subnets);
        if catalog.shapes.iter().all(|shape| shape.offerings.is_empty()) {
            let mend = "none of the pool's shapes is offered in the zones of its subnets; `bellwether check-config --online` says more";
            return Err(Error::Invalid(mend.to_owned()));
        }
        Ok(catalog)
    }

    /// All that the filters let through. One that cannot be read makes the list incomplete, which is an error.
    async fn listed(&self, filters: Vec<Filter>) -> Result<Vec<Instance>> {
        let mut all = Vec::new();
        for listed in self.client.instances(filters).await? {
            let Some(read) = instance::instance(&listed) else {
                let id = listed.instance_id().unwrap_or("?");
                return Err(Error::Unavailable(format!(
                    "{id} is listed without what it must have"
                )));
            };
            all.push(read);
        }
        Ok(all)
    }

    /// Machines of a batch that was bought before; whoever of its workers has none by now gets none from it.
    fn again(request: &LaunchRequest, mut known: Vec<Instance>) -> Launched {
        // Those that live first: whoever is gone is nobody's machine.
        known.sort_by_key(|one| one.state == InstanceState::Gone);
        let mut known = known.into_iter();
        let mut launched = Launched::default();
        for order in &request.orders {
            let worker = order.worker.clone();
            let Some(one) = known.next() else {
                let why = "the launch had fewer machines than it asked for".to_owned();
                launched.failed.push((worker, Error::Capacity(why)));
                continue;
            };
            let (shape, zone, market) = (one.shape, one.zone, one.market);
            let offering = Offering { shape, zone, market, price: order.offering.price };
            launched.instances.push((worker, one.id, offering));
        }
        launched
    }

    async fn buy(&self, launch: &Launch<'_>, ask: &Ask<'_>, token: String) -> Result<Answer> {
        if !ask.is_somewhere(&launch.catalog) {
            let zone = &ask.offerings[0].zone;
            return Err(Error::Invalid(format!("the pool has no subnet in {zone}")));
        }
        match &self.config.source {
            Source::Template { template, version } => {
                let ec2 = self.client.ec2().await?;
                let fleet = ec2
                    .create_fleet()
                    .r#type(FleetType::Instant)
                    .client_token(token)
                    .launch_template_configs(ask.template(template, version, &launch.catalog))
                    .target_capacity_specification(ask.capacity())
                    .on_demand_options(fleet::on_demand())
                    .spot_options(fleet::spot())
                    .set_tag_specifications(Some(launch.tags.clone()));
                let output = self.client.create_fleet(fleet).await?;
                fleet::answer(&output, ask, &launch.catalog)
            }
            Source::Image(image) => self.run(launch, image, ask, &token).await,
        }
    }

    /// The same without a template: one call for each place and market.
    async fn run(
        &self,
        launch: &Launch<'_>,
        image: &Image,
        ask: &Ask<'_>,
        token: &str,
    ) -> Result<Answer> {
        let (mut answer, places) = (Answer::default(), ask.asked());
        for (market, mut wanted) in ask.markets() {
            let of_market = places.iter().zip('a'..).filter(|(place, _)| place.market == market);
            for (offering, letter) in of_market {
                if wanted == 0 {
                    break;
                }
                let token = format!("{token}{letter}");
                match self.run_in(launch, image, offering, (wanted, token)).await {
                    Ok(ids) => {
                        wanted = wanted.saturating_sub(ids.len());
                        answer.had.extend(ids.into_iter().map(|id| (id, offering.clone())));
                    }
                    Err(error @ (Error::Capacity(_) | Error::Quota(_))) => {
                        answer.without.push((offering.clone(), error));
                    }
                    // It is not known what this one did: the list tells that, and what came before it, by their tags.
                    Err(error) if error.left_behind() == LeftBehind::Unknown => return Err(error),
                    Err(error) if answer.had.is_empty() => return Err(error),
                    Err(error) => {
                        answer.cut = Some(error);
                        return Ok(answer);
                    }
                }
            }
        }
        Ok(answer)
    }

    async fn run_in(
        &self,
        launch: &Launch<'_>,
        image: &Image,
        offering: &Offering,
        (wanted, token): (usize, String),
    ) -> Result<Vec<InstanceId>> {
        let Some(subnet) = launch.catalog.subnets.get(&offering.zone) else {
            return Err(Error::Capacity(format!("the pool has no subnet in {}", offering.zone)));
        };
        let run = self
            .client
            .ec2()
            .await?
            .run_instances()
            .client_token(token)
            .min_count(1)
            .max_count(i32::try_from(wanted).unwrap_or(i32::MAX))
            .instance_type(InstanceType::from(offering.shape.as_str()))
            .subnet_id(subnet)
            .set_tag_specifications(Some(launch.tags.clone()));
        let run = with_image(run, image);
        let run = if offering.market == Market::Spot {
            let spot = InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot);
            run.instance_market_options(spot.build())
        } else {
            run
        };
        let output = self.client.run_instances(run).await?;
        let ids = output.instances().iter().map(|one| one.instance_id().map(Into::into));
        let untold = || Error::Unavailable("a launch does not say what it has".to_owned());
        ids.collect::<Option<_>>().ok_or_else(untold)
    }

    /// Tells of those that run which fail a check of AWS's. Nothing is decided by it, so a list is whole without.
    async fn tell_impaired(&self, listed: &mut [Instance]) {
        let impaired = self.impaired.told(Box::pin(self.client.impaired())).await;
        for one in listed.iter_mut().filter(|one| one.state == InstanceState::Running) {
            one.unchecked = impaired.is_none();
            one.told = impaired.as_ref().and_then(|all| all.get(&one.id).cloned());
        }
    }

    fn is_protected(&self, id: &InstanceId) -> bool {
        let mut protected = self.protected.lock().unwrap_or_else(PoisonError::into_inner);
        protected.retain(|_, until| Instant::now() < *until);
        protected.contains_key(id)
    }

    /// An instance is told as protected for so long.
    fn mark_protected(&self, id: &InstanceId, time: Duration) {
        let mut protected = self.protected.lock().unwrap_or_else(PoisonError::into_inner);
        protected.insert(id.clone(), Instant::now() + time);
    }

    /// Whether an instance is there and among those that the filters let through.
    async fn is_among(&self, mut filters: Vec<Filter>, id: &InstanceId) -> Result<bool> {
        if !id.as_str().starts_with("i-") {
            return Ok(false);
        }
        filters.push(Filter::builder().name("instance-id").values(id.as_str()).build());
        let found = self.listed(filters).await?;
        Ok(found.iter().any(|one| one.state != InstanceState::Gone))
    }
}

fn with_image(run: RunInstancesFluentBuilder, image: &Image) -> RunInstancesFluentBuilder {
    let profile = image.instance_profile.as_ref();
    let profile = profile.map(|name| IamInstanceProfileSpecification::builder().name(name).build());
    // With it off, as it is unless somebody says so, a booting machine could not read whose it is.
    let metadata = InstanceMetadataOptionsRequest::builder()
        .http_tokens(HttpTokensState::Required)
        // So far that pods do not reach the worker's role.
        .http_put_response_hop_limit(1)
        .instance_metadata_tags(InstanceMetadataTagsState::Enabled);
    let data = image.user_data.as_ref().map(|data| STANDARD.encode(data.expose()));
    run.image_id(&image.id)
        .set_security_group_ids(
            (!image.security_groups.is_empty()).then(|| image.security_groups.clone()),
        )
        .set_iam_instance_profile(profile)
        .set_user_data(data)
        .metadata_options(metadata.build())
}

#[async_trait]
impl Provider for Ec2 {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        let (catalog, known) = tokio::join!(self.catalog(), self.listed(tags::of_batch(request)));
        let known = known?;
        if !known.is_empty() {
            return Ok(Self::again(request, known));
        }
        let tags = tags::of_launch(request, &self.config.tags)?;
        let launch = Launch { request, catalog: catalog?, tags };
        let mut buying = Buying::new(request);
        for round in 0..ROUNDS {
            let asks = buying.round(round);
            if asks.is_empty() {
                break;
            }
            let calls = asks.into_iter().enumerate().map(|(number, ask)| {
                // The same words again after a crash are the same call to AWS. It takes 64 letters: 32, or of a batch 57 at most.
                let token = format!("{}.{round}.{number}", launch.request.token());
                let launch = &launch;
                async move { (self.buy(launch, &ask, token).await, ask) }
            });
            for (answer, ask) in join_all(calls).await {
                match answer {
                    Ok(answer) => buying.answered(ask, answer),
                    // What is not known of one is to be listed before anything else is made of it.
                    Err(error) if error.left_behind() == LeftBehind::Unknown => return Err(error),
                    Err(error) => buying.refused(ask, error),
                }
            }
        }
        let launched = buying.end();
        let is_full = |(_, error): &(_, Error)| matches!(error, Error::Capacity(told) if told.starts_with("InsufficientFreeAddresses"));
        if launched.short.iter().any(is_full) {
            // Another subnet of the zone may have room.
            if let Some((until, _)) = &mut *self.catalog.lock().await {
                *until = Instant::now();
            }
        }
        // Said as the whole call's: by AWS's own word the pool asks less.
        let failed = || launched.failed.iter().map(|(_, error)| error);
        let is_held = |error: &Error| matches!(error, Error::Throttled | Error::NotAsked);
        if launched.instances.is_empty() && failed().all(is_held) {
            let said = failed().find(|error| **error == Error::Throttled);
            if let Some(error) = said.or(failed().next()) {
                return Err(error.clone());
            }
        }
        Ok(launched)
    }

    async fn terminate(
        &self,
        whose: &ClusterUid,
        pool: &PoolName,
        instance: &InstanceId,
    ) -> Result<()> {
        if !self.is_among(tags::ours(&self.cluster, whose, pool), instance).await? {
            return Ok(());
        }
        match self.client.terminate(instance.as_str()).await {
            Err(Error::NotFound) => Ok(()),
            Err(Error::Denied(told)) if told.starts_with(error::PROTECTED) => {
                self.mark_protected(instance, PROTECTED);
                Err(Error::Denied(told))
            }
            answer => answer,
        }
    }

    async fn list(&self, pool: &PoolName) -> Result<Vec<Instance>> {
        let mut listed = self.listed(tags::whose(&self.cluster, pool)).await?;
        for one in &mut listed {
            one.protected = self.is_protected(&one.id);
        }
        if listed.iter().any(Instance::is_live) {
            self.tell_impaired(&mut listed).await;
        }
        Ok(listed)
    }

    async fn shapes(&self, _: &PoolName) -> Result<Vec<Shape>> {
        Ok(self.catalog().await?.shapes.clone())
    }

    async fn console(&self, pool: &PoolName, instance: &InstanceId) -> Result<Option<String>> {
        if !self.is_among(tags::whose(&self.cluster, pool), instance).await? {
            return Err(Error::NotFound);
        }
        let told = self.client.console(instance.as_str()).await?;
        let bytes = told.and_then(|told| STANDARD.decode(told.trim()).ok());
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn complaints(&self, pool: &PoolName) -> Vec<Complaint> {
        self.check(pool).await
    }

    async fn may_end(&self, _: &PoolName, instance: &InstanceId) -> Result<bool> {
        // Until it is known it counts as one that may not: who asks may give up, and would ask again at once.
        self.mark_protected(instance, AGAIN);
        let may = self.client.may_terminate(instance.as_str()).await?;
        if may {
            self.protected.lock().unwrap_or_else(PoisonError::into_inner).remove(instance);
        } else {
            self.mark_protected(instance, PROTECTED);
        }
        Ok(may)
    }
}

#[cfg(test)]
mod tests;
