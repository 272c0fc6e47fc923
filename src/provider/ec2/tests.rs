//! What is sent to AWS, to the letter, and what its answers are taken for: over the SDK's replay client, which reaches nobody. The
//! answers are as EC2 documents them: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>.

mod acts;
mod held;
mod looks;

use super::client::Keys;
use super::*;
use crate::config::Secret;
use crate::model::{Effect, Order, Taint};
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_runtime_api::shared::IntoShared as _;

/// Subnets and their zones.
const SUBNETS: [(&str, &str); 2] = [("subnet-0a", "eu-central-1a"), ("subnet-0b", "eu-central-1b")];

/// A pool that asks an AWS which has its answers ready.
struct Replay {
    ec2: Ec2,
    http: StaticReplayClient,
}

impl Replay {
    /// Answers in the order in which they are asked for; whoever asks more gets none. Of what it can buy it knows. Its key is its
    /// test's own, and so is its account's pace.
    async fn of(key: &str, source: Source, answers: Vec<HttpResponse>) -> Self {
        let asked = || HttpRequest::new("".into());
        let events = answers.into_iter().map(|answer| ReplayEvent::new(asked(), answer));
        let http = StaticReplayClient::new(events.collect());
        let shapes: &[&str] = if matches!(source, Source::Image(_)) {
            &["t3.small"]
        } else {
            &["t3.small", "t3a.small"]
        };
        let config = Ec2Config {
            region: Some("eu-central-1".to_owned()),
            endpoint: None,
            assume_role: None,
            source,
            shapes: shapes.iter().map(|shape| (*shape).to_owned()).collect(),
            subnets: SUBNETS.map(|(id, _)| id.to_owned()).into(),
            spot: 70,
            tags: [("team".to_owned(), "shop".to_owned())].into(),
            memory_overhead: 7,
            max_pods: 110,
            parameters: Vec::new(),
        };
        let keys = Keys { id: key.to_owned(), secret: Secret::new("secret") };
        let client = Client::over(http.clone().into_shared(), &config, Some(keys));
        let ec2 = Ec2::over("default".into(), config, client);
        let catalog = Catalog {
            shapes: Vec::new(),
            subnets: SUBNETS.map(|(id, zone)| (zone.into(), id.to_owned())).into(),
        };
        *ec2.catalog.lock().await = Some((Instant::now() + KEPT, Arc::new(catalog)));
        Self { ec2, http }
    }

    /// All that was sent, each as its form's words.
    fn sent(&self) -> Vec<Vec<String>> {
        self.http.actual_requests().map(words).collect()
    }
}

/// The words of a request, as they were before they were written for a line, in the order of the alphabet: their own says nothing.
fn words(request: &HttpRequest) -> Vec<String> {
    assert_eq!(
        (request.method(), request.uri()),
        ("POST", "https://ec2.eu-central-1.amazonaws.com/")
    );
    let body = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
    let form = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
    let mut words: Vec<_> =
        form.query_pairs().map(|(name, value)| format!("{name}={value}")).collect();
    words.sort();
    words
}

/// The same of what is expected: a word in each line.
fn form(lines: &str) -> Vec<String> {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut words: Vec<_> =
        lines.map(str::to_owned).chain(["Version=2016-11-15".to_owned()]).collect();
    words.sort();
    words
}

fn template() -> Source {
    Source::Template { template: "k3s-worker".to_owned(), version: "$Default".to_owned() }
}

fn image() -> Source {
    Source::Image(Image {
        id: "ami-0b0ea68c435eb488d".to_owned(),
        security_groups: vec!["sg-0f1e2d3c4b5a69788".to_owned()],
        instance_profile: Some("k3s-worker".to_owned()),
        user_data_file: None,
        user_data: Some(Secret::new("#!/bin/sh\necho hello\n")),
    })
}

fn offering(shape: &str, zone: &str, market: Market) -> Offering {
    Offering { shape: shape.into(), zone: zone.into(), market, price: None }
}

/// Workers of the first shape in the first zone, each of a market; whatever the shapes have may be had instead.
fn request(shapes: &[&str], markets: &[Market]) -> LaunchRequest {
    let order = |(number, market): (usize, &Market)| Order {
        worker: format!("workers-1-{}", number + 1).as_str().into(),
        offering: offering(shapes[0], SUBNETS[0].1, *market),
    };
    let places =
        SUBNETS.iter().flat_map(|(_, zone)| shapes.iter().map(move |shape| (*shape, *zone)));
    let of = |(shape, zone)| {
        [Market::Spot, Market::OnDemand].map(|market| offering(shape, zone, market))
    };
    LaunchRequest {
        cluster: "default".into(),
        cluster_uid: "uid-1".into(),
        pool: "workers".into(),
        batch: "workers-1".into(),
        token: Some("0123456789abcdef".to_owned()),
        orders: markets.iter().enumerate().map(order).collect(),
        fallback: places.flat_map(of).collect(),
        labels: [("tier".to_owned(), "web".to_owned())].into(),
        taints: vec![Taint {
            key: "team".to_owned(),
            value: "web".to_owned(),
            effect: Effect::NoSchedule,
        }],
    }
}

/// An answer that is well.
fn well(action: &str, inside: &str) -> HttpResponse {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
         <{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">
         <requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>{inside}</{action}Response>"
    );
    HttpResponse::new(StatusCode::try_from(200).unwrap(), body.into())
}

/// One that is not: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
fn refusal(status: u16, code: &str) -> HttpResponse {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
         <Response><Errors><Error><Code>{code}</Code><Message>why</Message></Error></Errors>
         <RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"
    );
    HttpResponse::new(StatusCode::try_from(status).unwrap(), body.into())
}

/// A page of a list of instances that run, and where it goes on.
fn page(ids: &[&str], next: Option<&str>) -> HttpResponse {
    let item = |id: &&str| {
        format!(
            "<item><reservationId>r-1</reservationId><instancesSet><item><instanceId>{id}</instanceId>
             <instanceState><code>16</code><name>running</name></instanceState>
             <instanceType>t3.small</instanceType><launchTime>2026-01-01T00:00:00.000Z</launchTime>
             <placement><availabilityZone>eu-central-1a</availabilityZone></placement>
             <tagSet><item><key>bellwether:pool</key><value>workers</value></item></tagSet>
             </item></instancesSet></item>"
        )
    };
    let next = next.map_or_else(String::new, |next| format!("<nextToken>{next}</nextToken>"));
    let items: String = ids.iter().map(item).collect();
    well("DescribeInstances", &format!("<reservationSet>{items}</reservationSet>{next}"))
}

fn ran(ids: &[&str]) -> HttpResponse {
    let item = |id: &&str| format!("<item><instanceId>{id}</instanceId></item>");
    let items: String = ids.iter().map(item).collect();
    well(
        "RunInstances",
        &format!("<reservationId>r-1</reservationId><instancesSet>{items}</instancesSet>"),
    )
}

fn ids(launched: &Launched) -> Vec<&str> {
    launched.instances.iter().map(|(_, id, _)| id.as_str()).collect()
}
