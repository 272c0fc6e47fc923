//! EC2's API, as far as it is asked here: every answer is made ready before.

use super::{ACT, LOOK, PAGE, SHAPES, SUBNETS, TEMPLATE};
use anyhow::Context as _;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a request may take without its buffer being made larger.
const ROOM: usize = 16 << 10;

/// EC2's API, as far as it is asked here. It ends when dropped.
pub(super) struct Api {
    pub(super) url: String,
    scene: Arc<Scene>,
    _serving: JoinSet<()>,
}

/// What was made ready, and what was asked.
struct Scene {
    /// Whole answers, by action.
    answers: BTreeMap<&'static str, Bytes>,
    /// The pages of the one list of instances.
    pages: Vec<Bytes>,
    calls: Mutex<Vec<Call>>,
}

/// A call as it came in.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) action: String,
    /// When its first byte came.
    pub(super) came: Instant,
}

// === impl Api ===

impl Api {
    /// Opens one with so many instances on a free port.
    pub(super) async fn open(instances: usize) -> anyhow::Result<Self> {
        Self::open_of(instances, "7d1f3a52-8c1e-4b0e-9a57-3f6c2b1d0e4a").await
    }

    /// The same, of instances of the cluster that has this UID.
    pub(super) async fn open_of(instances: usize, uid: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let scene = Arc::new(Scene::new(instances, uid));
        let (mut serving, served) = (JoinSet::new(), scene.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, served.clone()));
            }
        });
        Ok(Self { url, scene, _serving: serving })
    }

    /// Every call that came in and was not forgotten, in order.
    pub(super) fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.scene.calls()
    }
}

// === impl Scene ===

impl Scene {
    /// Makes all answers ready.
    fn new(instances: usize, uid: &str) -> Self {
        let answers = [
            answer("DescribeInstanceTypes", &types()),
            answer("DescribeInstanceTypeOfferings", &offerings()),
            answer("DescribeSubnets", &subnets()),
            answer("DescribeInstanceStatus", &set("instanceStatusSet", std::iter::empty())),
            answer(ACT, &fleet()),
        ];
        Self { answers: answers.into(), pages: pages(instances, uid), calls: Mutex::default() }
    }

    /// See [`Api::calls`].
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call, and what it is answered with; nothing where that was not made ready.
    fn answer(&self, came: Instant, form: &str) -> Option<Bytes> {
        let action = word(form, "Action")?;
        self.calls().push(Call { action: action.to_owned(), came });
        if action != LOOK {
            return self.answers.get(action).cloned();
        }
        let page: usize = word(form, "NextToken").map_or(Some(0), |token| token.parse().ok())?;
        self.pages.get(page).cloned()
    }
}

// === free functions: requests ===

/// Answers what is asked on a connection, which ends with what cannot be answered.
async fn serve(mut stream: TcpStream, scene: Arc<Scene>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    while let Some((came, form)) = hear(&mut stream).await? {
        let answer = scene.answer(came, &form);
        stream.write_all(&answer.with_context(|| format!("no answer to {form}"))?).await?;
    }
    Ok(())
}

/// The next request: when its first byte came, and its form. `None` once the caller hangs up.
async fn hear(stream: &mut TcpStream) -> anyhow::Result<Option<(Instant, String)>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(ROOM);
    let mut first: Option<Instant> = None;
    while stream.read_buf(&mut bytes).await? > 0 {
        let came = *first.get_or_insert_with(Instant::now);
        if let Some(form) = form(&bytes) {
            return Ok(Some((came, form.to_owned())));
        }
    }
    Ok(None)
}

/// The form of a request, once all of it is there.
fn form(bytes: &[u8]) -> Option<&str> {
    let (head, form) = std::str::from_utf8(bytes).ok()?.split_once("\r\n\r\n")?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = length.trim().parse().ok()?;
    (form.len() == length).then_some(form)
}

/// A word of a form. Those that are read here have no letter that is written otherwise.
fn word<'f>(form: &'f str, name: &str) -> Option<&'f str> {
    let mut words = form.split('&').filter_map(|pair| pair.split_once('='));
    words.find(|(known, _)| *known == name).map(|(_, value)| value)
}

// === free functions: answers ===

/// An answer to an action, from its first byte to its last.
fn answer<'a>(action: &'a str, inside: &str) -> (&'a str, Bytes) {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">
<requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>{inside}</{action}Response>"
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/xml;charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
        document.len()
    );
    (action, Bytes::from(head + &document))
}

/// A list of what is in each of its items.
fn set(name: &str, items: impl Iterator<Item = String>) -> String {
    let items: String =
        items.flat_map(|item| ["<item>".to_owned(), item, "</item>".to_owned()]).collect();
    format!("<{name}>{items}</{name}>")
}

/// What the shapes hold.
fn types() -> String {
    let one = |shape: &str| {
        format!(
            "<instanceType>{shape}</instanceType><vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo>\
             <memoryInfo><sizeInMiB>2048</sizeInMiB></memoryInfo>"
        )
    };
    set("instanceTypeSet", SHAPES.into_iter().map(one))
}

/// Every shape in every zone.
fn offerings() -> String {
    let one = |shape: &str, zone: &str| {
        format!(
            "<instanceType>{shape}</instanceType><locationType>availability-zone</locationType>\
             <location>{zone}</location>"
        )
    };
    let all = SHAPES.into_iter().flat_map(|shape| SUBNETS.map(|(_, zone)| one(shape, zone)));
    set("instanceTypeOfferingSet", all)
}

/// One subnet in each zone.
fn subnets() -> String {
    let one = |(id, zone): (&str, &str)| {
        format!(
            "<subnetId>{id}</subnetId><availabilityZone>{zone}</availabilityZone>\
             <availableIpAddressCount>4091</availableIpAddressCount>"
        )
    };
    set("subnetSet", SUBNETS.into_iter().map(one))
}

/// A fleet of one.
fn fleet() -> String {
    let ([shape, ..], [(subnet, _), ..]) = (SHAPES, SUBNETS);
    let launched = format!(
        "<launchTemplateAndOverrides><launchTemplateSpecification>\
         <launchTemplateName>{TEMPLATE}</launchTemplateName><version>1</version></launchTemplateSpecification>\
         <overrides><instanceType>{shape}</instanceType><subnetId>{subnet}</subnetId><priority>0.0</priority></overrides>\
         </launchTemplateAndOverrides><lifecycle>on-demand</lifecycle><instanceType>{shape}</instanceType>\
         <instanceIds><item>i-00000000000000001</item></instanceIds>"
    );
    let id = "<fleetId>fleet-00000001-b377-0b1d-a9b3-000000000001</fleetId><errorSet/>";
    id.to_owned() + &set("fleetInstanceSet", std::iter::once(launched))
}

/// A list of so many instances. One of none has a page, too.
fn pages(instances: usize, uid: &str) -> Vec<Bytes> {
    let count = instances.div_ceil(PAGE).max(1);
    let page = |page: usize| {
        let until = instances.min((page + 1) * PAGE);
        let listed =
            set("reservationSet", (page * PAGE..until).map(|number| reservation(number, uid)));
        let next = page + 1;
        let token =
            if next < count { format!("<nextToken>{next}</nextToken>") } else { String::new() };
        answer(LOOK, &(listed + &token)).1
    };
    (0..count).map(page).collect()
}

/// What is told of an instance, which was launched by itself.
fn reservation(number: usize, uid: &str) -> String {
    let address = format!("{}.{}", number / 250, number % 250 + 1);
    RESERVATION
        .replace("NUMBER", &format!("{number:016x}"))
        .replace("ADDRESS", &address)
        .replace("HOST", &address.replace('.', "-"))
        .replace("CLUSTER-UID", uid)
}

/// The id of an instance that is listed.
pub(super) fn id(number: usize) -> String {
    format!("i-0{number:016x}")
}

/// All that AWS tells of a running instance that a fleet launched as spot: five kilobytes.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Instance.html>
const RESERVATION: &str = "<reservationId>r-0NUMBER</reservationId><ownerId>123456789012</ownerId>
<requesterId>722737459838</requesterId><groupSet/>
<instancesSet><item>
  <instanceId>i-0NUMBER</instanceId>
  <imageId>ami-0b0ea68c435eb488d</imageId>
  <instanceState><code>16</code><name>running</name></instanceState>
  <privateDnsName>ip-10-0-HOST.ec2.internal</privateDnsName>
  <dnsName/>
  <reason/>
  <amiLaunchIndex>0</amiLaunchIndex>
  <productCodes/>
  <instanceType>t3.small</instanceType>
  <launchTime>2026-01-01T00:00:00.000Z</launchTime>
  <placement>
    <availabilityZone>us-east-1a</availabilityZone>
    <availabilityZoneId>use1-az1</availabilityZoneId>
    <groupName/>
    <tenancy>default</tenancy>
  </placement>
  <monitoring><state>disabled</state></monitoring>
  <subnetId>subnet-0a</subnetId>
  <vpcId>vpc-0e3f1c2b4a5d69788</vpcId>
  <privateIpAddress>10.0.ADDRESS</privateIpAddress>
  <sourceDestCheck>true</sourceDestCheck>
  <groupSet><item><groupId>sg-0f1e2d3c4b5a69788</groupId><groupName>k3s-worker</groupName></item></groupSet>
  <architecture>x86_64</architecture>
  <rootDeviceType>ebs</rootDeviceType>
  <rootDeviceName>/dev/xvda</rootDeviceName>
  <blockDeviceMapping><item>
    <deviceName>/dev/xvda</deviceName>
    <ebs>
      <volumeId>vol-0NUMBER</volumeId>
      <status>attached</status>
      <attachTime>2026-01-01T00:00:01.000Z</attachTime>
      <deleteOnTermination>true</deleteOnTermination>
    </ebs>
  </item></blockDeviceMapping>
  <instanceLifecycle>spot</instanceLifecycle>
  <spotInstanceRequestId>sir-0NUMBER</spotInstanceRequestId>
  <virtualizationType>hvm</virtualizationType>
  <clientToken>fleet-00000001-b377-0b1d-a9b3-NUMBER</clientToken>
  <tagSet>
    <item><key>bellwether:cluster</key><value>default</value></item>
    <item><key>bellwether:cluster-uid</key><value>CLUSTER-UID</value></item>
    <item><key>bellwether:pool</key><value>workers</value></item>
    <item><key>bellwether:batch</key><value>workers-NUMBER</value></item>
    <item><key>bellwether:version</key><value>0.1.0</value></item>
    <item><key>bellwether:node-labels</key><value>tier=web</value></item>
    <item><key>Name</key><value>workers-NUMBER</value></item>
    <item><key>team</key><value>shop</value></item>
    <item><key>aws:ec2:fleet-id</key><value>fleet-00000001-b377-0b1d-a9b3-NUMBER</value></item>
    <item><key>aws:ec2launchtemplate:id</key><value>lt-0a1b2c3d4e5f60718</value></item>
    <item><key>aws:ec2launchtemplate:version</key><value>1</value></item>
  </tagSet>
  <hypervisor>xen</hypervisor>
  <networkInterfaceSet><item>
    <networkInterfaceId>eni-0NUMBER</networkInterfaceId>
    <subnetId>subnet-0a</subnetId>
    <vpcId>vpc-0e3f1c2b4a5d69788</vpcId>
    <description/>
    <ownerId>123456789012</ownerId>
    <status>in-use</status>
    <macAddress>0a:1b:2c:3d:4e:5f</macAddress>
    <privateIpAddress>10.0.ADDRESS</privateIpAddress>
    <sourceDestCheck>true</sourceDestCheck>
    <groupSet><item><groupId>sg-0f1e2d3c4b5a69788</groupId><groupName>k3s-worker</groupName></item></groupSet>
    <attachment>
      <attachmentId>eni-attach-0NUMBER</attachmentId>
      <deviceIndex>0</deviceIndex>
      <networkCardIndex>0</networkCardIndex>
      <status>attached</status>
      <attachTime>2026-01-01T00:00:00.000Z</attachTime>
      <deleteOnTermination>true</deleteOnTermination>
    </attachment>
    <privateIpAddressesSet>
      <item><privateIpAddress>10.0.ADDRESS</privateIpAddress><primary>true</primary></item>
    </privateIpAddressesSet>
    <ipv6AddressesSet/>
    <interfaceType>interface</interfaceType>
  </item></networkInterfaceSet>
  <iamInstanceProfile>
    <arn>arn:aws:iam::123456789012:instance-profile/k3s-worker</arn>
    <id>AIPACKCEVSQ6C2EXAMPLE</id>
  </iamInstanceProfile>
  <ebsOptimized>false</ebsOptimized>
  <enaSupport>true</enaSupport>
  <cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>
  <capacityReservationSpecification>
    <capacityReservationPreference>open</capacityReservationPreference>
  </capacityReservationSpecification>
  <hibernationOptions><configured>false</configured></hibernationOptions>
  <enclaveOptions><enabled>false</enabled></enclaveOptions>
  <metadataOptions>
    <state>applied</state>
    <httpTokens>required</httpTokens>
    <httpPutResponseHopLimit>1</httpPutResponseHopLimit>
    <httpEndpoint>enabled</httpEndpoint>
    <httpProtocolIpv6>disabled</httpProtocolIpv6>
    <instanceMetadataTags>enabled</instanceMetadataTags>
  </metadataOptions>
  <bootMode>uefi-preferred</bootMode>
  <currentInstanceBootMode>uefi</currentInstanceBootMode>
  <platformDetails>Linux/UNIX</platformDetails>
  <usageOperation>RunInstances</usageOperation>
  <usageOperationUpdateTime>2026-01-01T00:00:00.000Z</usageOperationUpdateTime>
  <privateDnsNameOptions>
    <hostnameType>ip-name</hostnameType>
    <enableResourceNameDnsARecord>false</enableResourceNameDnsARecord>
    <enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord>
  </privateDnsNameOptions>
  <maintenanceOptions><autoRecovery>default</autoRecovery></maintenanceOptions>
  <operator><managed>false</managed></operator>
</item></instancesSet>";
