//! The calls of EC2's API, each with what its answer means.

use super::error::{WOULD_BE_WELL, meaning};
use super::pace::{Account, Paced};
use crate::config::{Ec2Config, Secret};
use crate::model::InstanceId;
use crate::provider::{Error, Result};
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{AppName, Builder, SharedHttpClient};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::create_fleet::{CreateFleetOutput, builders::CreateFleetFluentBuilder};
use aws_sdk_ec2::operation::run_instances::{
    RunInstancesOutput, builders::RunInstancesFluentBuilder,
};
use aws_sdk_ec2::types::{
    AttributeBooleanValue, Filter, Image, Instance, InstanceAttributeName, InstanceStatus,
    InstanceTypeInfo, InstanceTypeOffering, LocationType, Subnet,
};
use aws_smithy_http_client::tls;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Waits before an act is sent again: short, for whether it may be was asked before the first.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// What one page of a list holds; EC2's most.
const PAGE: i32 = 1_000;

/// As whom AWS is asked, where the usual chain is not to say it.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The id of an access key.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
}

/// What EC2 tells of what can be bought.
pub(super) struct Offers {
    pub(super) types: Vec<InstanceTypeInfo>,
    /// In which zones each type is.
    pub(super) offered: Vec<InstanceTypeOffering>,
    pub(super) subnets: Vec<Subnet>,
}

/// EC2, as one pool asks it.
pub(super) struct Client {
    region: Option<String>,
    endpoint: Option<String>,
    role: Option<String>,
    keys: Option<Keys>,
    http: SharedHttpClient,
    sdk: OnceCell<SdkConfig>,
    ec2: OnceCell<aws_sdk_ec2::Client>,
}

impl Client {
    /// Reaches nobody yet.
    pub(super) fn new(config: &Ec2Config, keys: Option<Keys>) -> Self {
        let crypto = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let http = aws_smithy_http_client::Builder::new().tls_provider(crypto).build_https();
        Self::over(http, config, keys)
    }

    /// The same over this client of HTTP's.
    pub(super) fn over(http: SharedHttpClient, config: &Ec2Config, keys: Option<Keys>) -> Self {
        Self {
            region: config.region.clone(),
            endpoint: config.endpoint.clone(),
            role: config.assume_role.clone(),
            keys,
            http,
            sdk: OnceCell::new(),
            ec2: OnceCell::new(),
        }
    }

    /// What every client of AWS is made from: the region, and whose calls they are.
    pub(super) async fn sdk(&self) -> Result<&SdkConfig> {
        self.sdk.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> Result<SdkConfig> {
        let name = AppName::new("bellwether").map_err(|error| Error::Invalid(error.to_string()))?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .app_name(name)
            // What may be asked again, and when, is said here and by `Guarded`.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(Keys { id, secret }) = &self.keys {
            let keys = Credentials::new(id, secret.expose(), None, None, "given");
            loader = loader.credentials_provider(keys);
        }
        let own = loader.load().await;
        if own.region().is_none() {
            let mend = "no region: set `provider.ec2.region`, or AWS_REGION";
            return Err(Error::Invalid(mend.to_owned()));
        }
        let Some(role) = &self.role else { return Ok(own) };
        let role = AssumeRoleProvider::builder(role).session_name("bellwether").configure(&own);
        let credentials = SharedCredentialsProvider::new(role.build().await);
        Ok(own.into_builder().credentials_provider(credentials).build())
    }

    /// Whose limits its calls count for.
    fn account(&self, sdk: &SdkConfig) -> Account {
        Account {
            region: sdk.region().map(ToString::to_string),
            endpoint: self.endpoint.clone(),
            role: self.role.clone(),
            key: self.keys.as_ref().map(|keys| keys.id.clone()),
        }
    }

    pub(super) async fn ec2(&self) -> Result<&aws_sdk_ec2::Client> {
        let made = async || {
            let sdk = self.sdk().await?;
            let mut config = Builder::from(sdk);
            if let Some(http) = sdk.http_client() {
                config = config.http_client(Paced::new(http, self.account(sdk)));
            }
            if let Some(endpoint) = &self.endpoint {
                config = config.endpoint_url(endpoint);
            }
            Ok(aws_sdk_ec2::Client::from_conf(config.build()))
        };
        self.ec2.get_or_try_init(made).await
    }

    /// Every instance that the filters let through, whole: all pages, each instance once.
    pub(super) async fn instances(&self, filters: Vec<Filter>) -> Result<Vec<Instance>> {
        let request = self.ec2().await?.describe_instances().set_filters(Some(filters));
        let mut pages = request.max_results(PAGE).into_paginator().send();
        let (mut all, mut more): (Vec<Instance>, _) = (Vec::new(), None);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| meaning(&error))?;
            more = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            for reservation in page.reservations.unwrap_or_default() {
                all.extend(reservation.instances.unwrap_or_default());
            }
        }
        // It ends where a page names itself as the next one.
        if more.is_some() {
            return Err(Error::Unavailable("the list ended amid its pages".to_owned()));
        }
        // A page may be told twice while machines come and go.
        all.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
        all.dedup_by(|one, other| one.instance_id == other.instance_id);
        Ok(all)
    }

    pub(super) async fn create_fleet(
        &self,
        fleet: CreateFleetFluentBuilder,
    ) -> Result<CreateFleetOutput> {
        let send = || fleet.clone().send();
        calmly(|| async { send().await.map_err(|error| meaning(&error)) }).await
    }

    pub(super) async fn run_instances(
        &self,
        run: RunInstancesFluentBuilder,
    ) -> Result<RunInstancesOutput> {
        let send = || run.clone().send();
        calmly(|| async { send().await.map_err(|error| meaning(&error)) }).await
    }

    pub(super) async fn terminate(&self, id: &str) -> Result<()> {
        let call = self.ec2().await?.terminate_instances().instance_ids(id);
        let send = || call.clone().send();
        calmly(|| async { send().await.map(drop).map_err(|error| meaning(&error)) }).await
    }

    /// Whether an instance could be ended by us: nobody protects it, and we may.
    pub(super) async fn may_terminate(&self, id: &str) -> Result<bool> {
        if self.is_protected(id).await.map_err(denied("ec2:DescribeInstanceAttribute"))? {
            return Ok(false);
        }
        let tried = self.try_to_terminate(id).await;
        tried.map(|()| true).map_err(denied("ec2:TerminateInstances"))
    }

    /// Whether somebody protects an instance from its end.
    pub(super) async fn is_protected(&self, id: &str) -> Result<bool> {
        let asked = self
            .ec2()
            .await?
            .describe_instance_attribute()
            .instance_id(id)
            .attribute(InstanceAttributeName::DisableApiTermination)
            .send()
            .await
            .map_err(|error| meaning(&error))?;
        let told = asked.disable_api_termination().and_then(AttributeBooleanValue::value);
        told.ok_or_else(|| Error::Unavailable("whether it is protected is not told".to_owned()))
    }

    /// What ending an instance would say. Ends nothing.
    pub(super) async fn try_to_terminate(&self, id: &str) -> Result<()> {
        let call = self.ec2().await?.terminate_instances().instance_ids(id);
        well(call.dry_run(true).send().await)
    }

    /// What asking for an instance's console would say.
    pub(super) async fn try_console(&self, id: &str) -> Result<()> {
        let call = self.ec2().await?.get_console_output().instance_id(id);
        well(call.dry_run(true).send().await)
    }

    /// What asking for status checks would say.
    pub(super) async fn try_impaired(&self) -> Result<()> {
        well(self.ec2().await?.describe_instance_status().dry_run(true).send().await)
    }

    /// What there is of these instance types and subnets. One that is not there is no error.
    pub(super) async fn offers(&self, shapes: &[String], subnets: &[String]) -> Result<Offers> {
        let (types, offered, subnets) =
            tokio::join!(self.types(shapes), self.offerings(shapes), self.subnets(subnets));
        Ok(Offers {
            types: types.map_err(denied("ec2:DescribeInstanceTypes"))?,
            offered: offered.map_err(denied("ec2:DescribeInstanceTypeOfferings"))?,
            subnets: subnets.map_err(denied("ec2:DescribeSubnets"))?,
        })
    }

    async fn subnets(&self, ids: &[String]) -> Result<Vec<Subnet>> {
        let call = self.ec2().await?.describe_subnets().filters(among("subnet-id", ids));
        let told = call.send().await.map_err(|error| meaning(&error))?;
        Ok(told.subnets.unwrap_or_default())
    }

    async fn types(&self, names: &[String]) -> Result<Vec<InstanceTypeInfo>> {
        let call = self.ec2().await?.describe_instance_types().filters(among(TYPE, names));
        let mut pages = call.into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            all.extend(page.map_err(|error| meaning(&error))?.instance_types.unwrap_or_default());
        }
        Ok(all)
    }

    async fn offerings(&self, names: &[String]) -> Result<Vec<InstanceTypeOffering>> {
        let call = self
            .ec2()
            .await?
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone)
            .filters(among(TYPE, names));
        let mut pages = call.into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| meaning(&error))?;
            all.extend(page.instance_type_offerings.unwrap_or_default());
        }
        Ok(all)
    }

    /// The image that a version of a template names.
    pub(super) async fn image_of(&self, template: &str, version: &str) -> Result<Option<String>> {
        let call = self.ec2().await?.describe_launch_template_versions().versions(version);
        let call = if template.starts_with("lt-") {
            call.launch_template_id(template)
        } else {
            call.launch_template_name(template)
        };
        let told = call.send().await.map_err(|error| meaning(&error))?;
        let data = told.launch_template_versions().first().and_then(|it| it.launch_template_data());
        let Some(data) = data else {
            return Err(Error::Invalid(format!("Version {version} is not there")));
        };
        Ok(data.image_id().map(str::to_owned))
    }

    pub(super) async fn image(&self, id: &str) -> Result<Option<Image>> {
        let call = self.ec2().await?.describe_images().filters(among("image-id", &[id.to_owned()]));
        // One that is deprecated can still be launched.
        let call = call.include_deprecated(true);
        let told = call.send().await.map_err(|error| meaning(&error))?;
        Ok(told.images.unwrap_or_default().pop())
    }

    /// Instances, of all that the account has in the region, that fail one of AWS's status checks, and which.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-system-instance-status-check.html>
    pub(super) async fn impaired(&self) -> Result<BTreeMap<InstanceId, String>> {
        let mut all = BTreeMap::new();
        for check in ["instance-status", "system-status"] {
            let failed = among(&format!("{check}.status"), &["impaired".to_owned()]);
            let call = self.ec2().await?.describe_instance_status().filters(failed);
            let mut pages = call.max_results(PAGE).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| meaning(&error))?;
                let ids = page.instance_statuses().iter().filter_map(InstanceStatus::instance_id);
                all.extend(ids.map(|id| (id.into(), format!("AWS's {check} check fails"))));
            }
        }
        Ok(all)
    }

    /// What an instance wrote on its console, in base64.
    pub(super) async fn console(&self, id: &str) -> Result<Option<String>> {
        let call = self.ec2().await?.get_console_output().instance_id(id);
        match call.clone().latest(true).send().await {
            Ok(told) => Ok(told.output),
            // Older types tell only what stood there when the machine had booted.
            Err(error) if error.code() == Some("UnsupportedOperation") => {
                Ok(call.send().await.map_err(|error| meaning(&error))?.output)
            }
            Err(error) => Err(meaning(&error)),
        }
    }
}

/// A refusal with the permission that is lacking.
fn denied(action: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Denied(told) => Error::Denied(format!("{action}: {told}")),
        error => error,
    }
}

/// The name of the filter for instance types.
const TYPE: &str = "instance-type";

fn among(name: &str, values: &[String]) -> Filter {
    Filter::builder().name(name).set_values(Some(values.to_vec())).build()
}

/// Sends an act again while AWS says that it is too much, and by that that it did nothing; or while it was held back before AWS.
/// After anything else its effect is not known, and the next pass finds out.
async fn calmly<T, F>(send: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut is_throttled = false;
    for pause in PAUSES {
        match send().await {
            Err(Error::Throttled) => is_throttled = true,
            Err(Error::NotAsked) => {}
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
    }
    match send().await {
        // Once AWS has said it, that is what came of it, whoever spoke last.
        Err(Error::NotAsked) if is_throttled => Err(Error::Throttled),
        answer => answer,
    }
}

/// What a dry run says: that it would be well is an error of its own.
pub(super) fn well<T, E>(tried: std::result::Result<T, SdkError<E, HttpResponse>>) -> Result<()>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match tried {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(WOULD_BE_WELL) => Ok(()),
        Err(error) => Err(meaning(&error)),
    }
}
