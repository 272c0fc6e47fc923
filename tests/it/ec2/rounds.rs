//! A launch goes on in further rounds where it found too little: what befalls one of those is as if it befell the first.

use super::stage::{Stage, machines_of};
use crate::support::aws::{Fault, Lifecycle};
use bellwether::model::{InstanceId, LaunchRequest, Market};
use bellwether::provider::{Launched, LeftBehind, Provider as _};
use std::collections::BTreeSet;

/// Of four workers the two of the first zone find no spot there, and a second round looks elsewhere.
async fn of_two_rounds() -> Option<(Stage, LaunchRequest)> {
    let stage = Stage::start().await?;
    let request = stage.many(4).await;
    let zone = request.orders[0].offering.zone.clone();
    for shape in ["t3.small", "t3a.small"] {
        let code = "InsufficientInstanceCapacity";
        stage.aws.sells_nothing(shape, zone.as_str(), Lifecycle::Spot, code);
    }
    Some((stage, request))
}

fn ids(launched: &Launched) -> BTreeSet<InstanceId> {
    launched.instances.iter().map(|one| one.1.clone()).collect()
}

/// That each of the four has its machine, and nobody else is there.
async fn has_each_its_machine(stage: &Stage, launched: &Launched) {
    assert_eq!((launched.instances.len(), launched.failed.len()), (4, 0), "{launched:#?}");
    let machines = machines_of(&stage.aws, "workers-1").await;
    let there: BTreeSet<InstanceId> = machines.iter().map(|one| one.id.as_str().into()).collect();
    assert_eq!((machines.len(), &ids(launched)), (4, &there), "nobody is left over");
}

#[tokio::test]
async fn a_second_round_buys_what_the_first_lacked_and_no_more() {
    let Some((stage, request)) = of_two_rounds().await else { return };
    has_each_its_machine(&stage, &stage.ec2.launch(&request).await.unwrap()).await;
    let calls = stage.aws.calls();
    let tokens: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.words.get("ClientToken"))
        .filter_map(|token| token.rsplit('.').nth(1))
        .collect();
    assert_eq!(tokens, ["0", "0", "0", "1"], "rounds");
}

/// Two clusters of one account may name their batches alike.
#[tokio::test]
async fn two_clusters_whose_batches_have_one_name_have_a_machine_each() {
    let Some(stage) = Stage::start().await else { return };
    let of = |request: &LaunchRequest, uid: &str| {
        let token = Some(LaunchRequest::token_of(&uid.into(), &request.batch));
        LaunchRequest { cluster_uid: uid.into(), token, ..request.clone() }
    };
    let request = stage.request(&[Market::OnDemand]).await;
    let [one, other] = [of(&request, "uid-1"), of(&request, "uid-2")];
    let mut had = BTreeSet::new();
    for request in [&one, &other, &one] {
        let launched = stage.anew().launch(request).await.unwrap();
        assert_eq!((launched.instances.len(), launched.failed.len()), (1, 0), "{launched:#?}");
        had.extend(ids(&launched));
    }
    assert_eq!((had.len(), machines_of(&stage.aws, "workers-1").await.len()), (2, 2));
    let calls = stage.aws.calls();
    let tokens: Vec<&String> = calls.iter().filter_map(|it| it.words.get("ClientToken")).collect();
    let begun = [one.token(), other.token()].map(|token| format!("{token}.0.0"));
    assert_eq!(tokens, begun.iter().collect::<Vec<_>>());
    assert!(tokens.iter().all(|token| token.is_ascii() && token.len() <= 64));
}

#[tokio::test]
async fn a_second_round_whose_answer_was_lost_is_found_by_its_tags() {
    let Some((stage, request)) = of_two_rounds().await else { return };
    stage.aws.in_round(1, Fault::CutAfter);
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown, "also of what the first brought: {error}");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 4, "it had its effect");
    stage.aws.forget_calls();
    has_each_its_machine(&stage, &stage.anew().launch(&request).await.unwrap()).await;
    assert!(stage.aws.calls().iter().all(|call| call.action.starts_with("Describe")));
}

/// Both rounds are asked anew, each with its token.
#[tokio::test]
async fn a_second_round_whose_answer_was_lost_and_that_no_list_shows_is_made_once() {
    let Some((stage, request)) = of_two_rounds().await else { return };
    stage.aws.hides_new(2);
    stage.aws.in_round(1, Fault::CutAfter);
    stage.ec2.launch(&request).await.unwrap_err();
    let again = stage.anew().launch(&request).await.unwrap();
    has_each_its_machine(&stage, &again).await;
    let listed = stage.anew().launch(&request).await.unwrap();
    assert_eq!(ids(&listed), ids(&again), "once they are listed");
}

/// Nothing of it came about: what the first round brought is all there is, and is not bought again.
#[tokio::test]
async fn of_a_second_round_that_was_cut_off_before_its_effect_nothing_is_left_and_the_first_stands()
{
    let Some((stage, request)) = of_two_rounds().await else { return };
    stage.aws.in_round(1, Fault::CutBefore);
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown, "{error}");
    let again = stage.anew().launch(&request).await.unwrap();
    assert_eq!((again.instances.len(), again.failed.len()), (2, 2), "those are decided about anew");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 2);
}
