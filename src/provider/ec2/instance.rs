//! An instance as EC2 lists it, and what it is to us. Pure.

use super::tags;
use crate::model::{Instance, InstanceState, Market};
use aws_sdk_ec2::types::{
    Instance as Listed, InstanceLifecycleType, InstanceState as At, InstanceStateName as State,
};
use jiff::Timestamp;

/// What a listed instance is to us; `None` of one that lacks what every instance of ours has.
///
/// No tag names its worker, for the instances of one launch are tagged alike: it is known by its own id, which the record of its
/// worker has.
pub(super) fn instance(listed: &Listed) -> Option<Instance> {
    let tag = |key| tags::value(listed.tags(), key);
    let launched = listed.launch_time()?;
    let launched = Timestamp::from_millisecond(launched.to_millis().ok()?).ok()?;
    let is_spot = listed.instance_lifecycle() == Some(&InstanceLifecycleType::Spot);
    Some(Instance {
        id: listed.instance_id()?.into(),
        worker: None,
        batch: tag(tags::BATCH).map(Into::into),
        pool: tag(tags::POOL)?.into(),
        cluster_uid: tag(tags::CLUSTER_UID).map(Into::into),
        shape: listed.instance_type()?.as_str().into(),
        zone: listed.placement()?.availability_zone()?.into(),
        market: if is_spot { Market::Spot } else { Market::OnDemand },
        launched,
        state: state(listed.state()?.name()?),
        protected: false,
        notice: None,
        told: told(listed).filter(|_| listed.state().and_then(At::name) != Some(&State::Running)),
        unchecked: false,
    })
}

/// One whose state has no name that we know is there: nothing is concluded from what is not understood.
fn state(name: &State) -> InstanceState {
    match name {
        State::Pending => InstanceState::Pending,
        State::Stopping | State::Stopped => InstanceState::Stopped,
        State::ShuttingDown => InstanceState::Ending,
        State::Terminated => InstanceState::Gone,
        _ => InstanceState::Running,
    }
}

/// Why it is no longer running: AWS's own words, like `Server.SpotInstanceTermination: …`, and who asked.
fn told(listed: &Listed) -> Option<String> {
    let reason = listed.state_reason().and_then(|reason| reason.message());
    let asked = listed.state_transition_reason();
    reason.or(asked).map(str::trim).filter(|words| !words.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::instance;
    use crate::model::{InstanceState, Market};
    use aws_sdk_ec2::primitives::DateTime;
    use aws_sdk_ec2::types::{
        Instance as Listed, InstanceLifecycleType, InstanceState as At, InstanceStateName as State,
        InstanceType, Placement, StateReason, Tag, builders::InstanceBuilder,
    };

    fn tag(key: &str, value: &str) -> Tag {
        Tag::builder().key(key).value(value).build()
    }

    fn listed(state: State) -> InstanceBuilder {
        Listed::builder()
            .instance_id("i-1")
            .instance_type(InstanceType::T3Small)
            .launch_time(DateTime::from_secs(1_700_000_000))
            .placement(Placement::builder().availability_zone("eu-central-1a").build())
            .state(At::builder().name(state).build())
            .tags(tag("bellwether:pool", "workers"))
            .tags(tag("bellwether:batch", "workers-1"))
            .tags(tag("bellwether:cluster-uid", "uid-1"))
    }

    #[test]
    fn it_is_what_its_tags_say_and_where_aws_says() {
        let spot = listed(State::Running).instance_lifecycle(InstanceLifecycleType::Spot).build();
        let read = instance(&spot).unwrap();
        assert_eq!((read.id.as_str(), read.pool.as_str()), ("i-1", "workers"));
        assert_eq!(read.worker, None);
        assert_eq!(read.batch, Some("workers-1".into()));
        assert_eq!(read.cluster_uid, Some("uid-1".into()));
        assert_eq!((read.shape.as_str(), read.zone.as_str()), ("t3.small", "eu-central-1a"));
        assert_eq!(read.market, Market::Spot);
        assert_eq!(read.launched.to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(instance(&listed(State::Running).build()).unwrap().market, Market::OnDemand);
    }

    #[test]
    fn one_on_its_way_counts_and_one_of_an_unknown_state_is_there() {
        let states = [
            (State::Pending, InstanceState::Pending),
            (State::Running, InstanceState::Running),
            (State::Stopping, InstanceState::Stopped),
            (State::Stopped, InstanceState::Stopped),
            (State::ShuttingDown, InstanceState::Ending),
            (State::Terminated, InstanceState::Gone),
            (State::from("hibernating"), InstanceState::Running),
        ];
        for (state, is) in states {
            assert_eq!(instance(&listed(state).build()).unwrap().state, is);
        }
    }

    #[test]
    fn why_it_ended_is_told_as_aws_tells_it() {
        let reason = StateReason::builder().message("Server.SpotInstanceTermination").build();
        let taken = listed(State::Terminated).state_reason(reason).build();
        assert_eq!(
            instance(&taken).unwrap().told.as_deref(),
            Some("Server.SpotInstanceTermination")
        );
        let asked = listed(State::Stopped).state_transition_reason("User initiated (now)").build();
        assert_eq!(instance(&asked).unwrap().told.as_deref(), Some("User initiated (now)"));
        let runs = listed(State::Running).state_transition_reason("").build();
        assert_eq!(instance(&runs).unwrap().told, None);
    }

    #[test]
    fn what_lacks_an_id_a_pool_or_a_zone_is_no_instance_of_ours() {
        assert!(instance(&Listed::builder().build()).is_none());
        let nowhere = listed(State::Running).placement(Placement::builder().build()).build();
        assert!(instance(&nowhere).is_none());
    }
}
