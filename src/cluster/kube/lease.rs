//! The cluster's lease as Kubernetes keeps it: `kube-system/bellwether`.

use super::access::told;
use super::{KUBE_SYSTEM, time};
use crate::clock::Clock;
use crate::cluster::fence::{Fence, Lease, Refusal, Result};
use crate::model::{Claim, Token, duration};
use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "bellwether";

/// The token in full; `leaseTransitions` has room for 31 bits of it.
const TOKEN: &str = "bellwether.dev/token";

/// When it ends, to the microsecond; the API's own field has whole seconds.
const EXPIRES: &str = "bellwether.dev/expires";

/// Tries of a change that another was quicker with.
const TRIES: usize = 3;

const CONFLICT: u16 = 409;

/// A witness that keeps the lease in the cluster itself.
#[derive(Clone, Debug)]
pub struct Witness {
    leases: Api<Object>,
    clock: Clock,
}

impl Witness {
    /// The witness of the cluster that this client leads to.
    pub(super) fn new(client: Client, clock: Clock) -> Self {
        Self { leases: Api::namespaced(client, KUBE_SYSTEM), clock }
    }

    async fn read(&self) -> Result<Option<Object>> {
        self.leases.get_opt(NAME).await.map_err(|error| Refusal::Away(told(&error)))
    }

    /// Changes the lease in one step: if another changed it since it was read, it is read again.
    async fn change(&self, change: impl Fn(&mut Lease, Timestamp) -> Result<()>) -> Result<()> {
        for _ in 0..TRIES {
            let object = self.read().await?;
            let before = object.as_ref().map(lease).transpose()?.unwrap_or_default();
            let mut after = before.clone();
            change(&mut after, self.clock.now())?;
            if after == before {
                return Ok(());
            }
            match self.write(object, &after).await {
                Err(kube::Error::Api(status)) if status.code == CONFLICT => {}
                Err(error) => return Err(Refusal::Away(told(&error))),
                Ok(_) => return Ok(()),
            }
        }
        Err(Refusal::Away("others change it all the time".to_owned()))
    }

    async fn write(&self, object: Option<Object>, lease: &Lease) -> kube::Result<Object> {
        let (params, now) = (PostParams::default(), self.clock.now());
        if let Some(object) = object {
            return self.leases.replace(NAME, &params, &kept(object, lease, now)).await;
        }
        let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
        let object = Object { metadata, ..Object::default() };
        self.leases.create(&params, &kept(object, lease, now)).await
    }
}

#[async_trait]
impl Fence for Witness {
    async fn last(&self) -> Result<Token> {
        let object = self.read().await?;
        Ok(object.as_ref().map(lease).transpose()?.unwrap_or_default().last())
    }

    async fn hold(&self, claim: &Claim, ttl: Duration) -> Result<()> {
        self.change(|lease, now| lease.hold(claim, ttl, now)).await
    }

    async fn let_go(&self, claim: &Claim) -> Result<()> {
        self.change(|lease, _| {
            lease.let_go(claim);
            Ok(())
        })
        .await
    }
}

/// The lease that an object is. One whose token cannot be read is no lease to act by: somebody else wrote it.
fn lease(object: &Object) -> Result<Lease> {
    let annotations = object.metadata.annotations.as_ref();
    let told = |key: &str| annotations.and_then(|all| all.get(key));
    let unreadable = |what: &str| {
        Refusal::Away(format!(
            "{KUBE_SYSTEM}/{NAME} has no readable {what}; delete it if no Bellwether runs"
        ))
    };
    let token = told(TOKEN).and_then(|text| text.parse().ok()).ok_or_else(|| unreadable(TOKEN))?;
    let spec = object.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.clone()).filter(|name| !name.is_empty());
    let held = match holder {
        None => None,
        Some(holder) => {
            let expires = told(EXPIRES).and_then(|text| text.parse().ok());
            Some((holder, expires.ok_or_else(|| unreadable(EXPIRES))?))
        }
    };
    Ok(Lease::of(Token(token), held))
}

/// The object with what a lease says, for us and for people.
fn kept(mut object: Object, lease: &Lease, now: Timestamp) -> Object {
    let held = lease.held();
    let token = lease.last().0;
    let mut annotations = BTreeMap::from([(TOKEN.to_owned(), token.to_string())]);
    annotations.extend(held.map(|(_, expires)| (EXPIRES.to_owned(), expires.to_string())));
    let others = object.metadata.annotations.get_or_insert_default();
    others.remove(EXPIRES);
    others.extend(annotations);
    let seconds = held.map(|(_, expires)| duration::since(now, expires).as_secs_f64().ceil());
    object.spec = Some(LeaseSpec {
        holder_identity: held.map(|(holder, _)| holder.to_owned()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a lease lasts seconds; casts saturate"
        )]
        lease_duration_seconds: seconds.map(|seconds| (seconds as i32).max(1)),
        lease_transitions: Some(i32::try_from(token).unwrap_or(i32::MAX)),
        renew_time: held.map(|_| time::micro(now)),
        ..LeaseSpec::default()
    });
    object
}
