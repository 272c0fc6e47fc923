//! `provider.ec2`: workers as EC2 instances that we launch and end ourselves, without an Auto Scaling group.

use crate::config::error::Mend;
use crate::config::reader::Section;
use crate::config::tree::Tree;
use crate::config::{Secret, text_file, value};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What EC2 takes of user data, before it is encoded.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html>
const USER_DATA_MAX: usize = 16 * 1024;

/// Tags that a resource may have are 50; ten are kept for ours.
const TAGS_MAX: usize = 40;

/// Letters that a tag's value may have.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>
pub const TAG_VALUE_MAX: usize = 256;

/// What the user data of `docs/ec2.md` asks for.
const PARAMETERS: [&str; 2] = ["/k3s/join-token", "/k3s/master-ip"];

/// Instances that are workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ec2Config {
    /// `region`. Default as every program of AWS finds it: `AWS_REGION`, the profile, the machine's own.
    pub region: Option<String>,
    /// `endpoint`: where EC2's API is. Default the region's own.
    pub endpoint: Option<String>,
    /// `assume_role`: the role that is taken on for every call. Default none: as whom the credentials are.
    pub assume_role: Option<String>,
    /// What they are launched from. One of the two is required.
    pub source: Source,
    /// `shapes`: instance types, the most wanted first. Required.
    pub shapes: Vec<String>,
    /// `subnets`: where they may be; each is in a zone. Required.
    pub subnets: Vec<String>,
    /// `spot`: share of the pool that is to be spot, in percent. Default 70 %.
    pub spot: u32,
    /// `tags`: more tags of instances and their volumes.
    pub tags: BTreeMap<String, String>,
    /// `memory_overhead`: what the machine lacks of the memory that its type names, in percent. Default 7 %.
    pub memory_overhead: u32,
    /// `max_pods`: the most pods. Default 110, as the kubelet's.
    pub max_pods: u32,
    /// `parameters`: SSM parameters that a booting worker reads: `check-config --online` asks for them. Default k3s' two.
    pub parameters: Vec<String>,
}

/// What instances are launched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `launch_template`, by name or id, and `launch_template_version`. Default version `$Default`.
    Template {
        /// Its name, or its id (`lt-…`).
        template: String,
        /// A number, `$Default` or `$Latest`.
        version: String,
    },
    /// `image`, with the fields below.
    Image(Image),
}

/// An image, and what else a plain launch needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `image`: its id (`ami-…`).
    pub id: String,
    /// `security_groups`: ids (`sg-…`). Default the VPC's own.
    pub security_groups: Vec<String>,
    /// `instance_profile`: by name. Default none.
    pub instance_profile: Option<String>,
    /// `user_data_file`: where the script is that the machine runs when it boots.
    pub user_data_file: Option<PathBuf>,
    /// What that file held when the configuration was read: scripts have secrets in them, though they should not.
    pub user_data: Option<Secret>,
}

impl Ec2Config {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let source = Source::read(s);
        let shapes = some(s, "shapes", shape, "t3.small");
        let is_one = BTreeSet::from_iter(&shapes).len() == 1;
        let mend = "with `image` a pool has one shape; use a `launch_template` for several";
        s.check(matches!(source, Source::Template { .. }) || is_one, ["shapes", "image"], mend);
        Self {
            region: s.take("region", region),
            endpoint: s.take("endpoint", value::url),
            assume_role: s.take("assume_role", role),
            source,
            shapes,
            subnets: some(s, "subnets", id("subnet-"), "subnet-0abc"),
            spot: s.take("spot", value::percent(100)).unwrap_or(70),
            tags: s.section("tags", read_tags),
            memory_overhead: s.take("memory_overhead", value::percent(50)).unwrap_or(7),
            max_pods: s.take("max_pods", value::whole(1..=1_000)).unwrap_or(110),
            parameters: s
                .list("parameters", value::text)
                .unwrap_or_else(|| PARAMETERS.map(str::to_owned).into()),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let mut fields = json!({
            "region": self.region,
            "endpoint": self.endpoint,
            "assume_role": self.assume_role,
            "shapes": self.shapes,
            "subnets": self.subnets,
            "spot": format!("{}%", self.spot),
            "tags": self.tags,
            "memory_overhead": format!("{}%", self.memory_overhead),
            "max_pods": self.max_pods,
            "parameters": self.parameters,
        });
        if let Some(fields) = fields.as_object_mut() {
            fields.extend(self.source.to_value());
        }
        fields
    }
}

impl Source {
    fn read(s: &mut Section<'_>) -> Self {
        let template = s.take("launch_template", template);
        let version = s.take("launch_template_version", version);
        let image = s.take("image", id("ami-"));
        let plain = Image {
            id: image.unwrap_or_default(),
            security_groups: s.list("security_groups", id("sg-")).unwrap_or_default(),
            instance_profile: s.take("instance_profile", value::text),
            user_data_file: s.take("user_data_file", value::path),
            user_data: None,
        };
        match (s.is_set("launch_template"), s.is_set("image")) {
            (true, true) => {
                let mend = "set either `launch_template` or `image`, not both";
                s.refuse("image", mend.into());
            }
            (false, false) => {
                let mend = "must be set: what instances are launched from (or `image`)";
                s.refuse("launch_template", mend.into());
            }
            (true, false) => {
                for name in ["security_groups", "instance_profile", "user_data_file"] {
                    let mend = "belongs to `image`; the launch template says this";
                    s.check(!s.is_set(name), [name, "launch_template"], mend);
                }
            }
            (false, true) => return Self::Image(plain.with_user_data(s)),
        }
        Self::Template {
            template: template.unwrap_or_default(),
            version: version.unwrap_or_else(|| "$Default".to_owned()),
        }
    }

    fn to_value(&self) -> serde_json::Map<String, Value> {
        let fields = match self {
            Self::Template { template, version } => {
                vec![
                    ("launch_template", json!(template)),
                    ("launch_template_version", json!(version)),
                ]
            }
            Self::Image(image) => vec![
                ("image", json!(image.id)),
                ("security_groups", json!(image.security_groups)),
                ("instance_profile", json!(image.instance_profile)),
                ("user_data_file", json!(image.user_data_file)),
            ],
        };
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Image {
    fn with_user_data(self, s: &mut Section<'_>) -> Self {
        let Some(path) = &self.user_data_file else { return self };
        match text_file::read(path, USER_DATA_MAX) {
            Ok(text) => Self { user_data: Some(Secret::new(text)), ..self },
            Err(error) => {
                let mend = format!("the file cannot be read ({}); EC2 takes 16 KiB", error.kind());
                s.refuse("user_data_file", mend.into());
                self
            }
        }
    }
}

/// A list that holds at least one, and nothing twice.
fn some(
    s: &mut Section<'_>,
    name: &str,
    parse: impl Fn(&Tree) -> Result<String, Mend>,
    example: &str,
) -> Vec<String> {
    let read = s.list(name, parse).unwrap_or_default();
    if read.is_empty() && !s.is_refused(&s.path_of(name)) {
        s.refuse(name, format!("must hold at least one, like [{example}]").into());
    } else if BTreeSet::from_iter(&read).len() < read.len() {
        s.refuse(name, "one stands here twice".into());
    }
    read
}

fn read_tags(s: &mut Section<'_>) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let names = s.own_names();
    for name in names {
        let reserved = ["aws:", "bellwether:"].into_iter().find(|start| name.starts_with(start));
        if let Some(start) = reserved {
            s.refuse_name(&name, format!("tags that begin with `{start}` are not yours").into());
        } else if name.chars().count() > 128 || name == "Name" {
            s.refuse_name(&name, "must have 128 letters at most, and not be `Name`".into());
        } else if tags.len() == TAGS_MAX {
            s.refuse_name(&name, format!("more than {TAGS_MAX} tags").into());
        } else if let Some(text) = s.take(&name, tag_value) {
            tags.insert(name, text);
        }
    }
    tags
}

fn tag_value(tree: &Tree) -> Result<String, Mend> {
    let read = value::any_text(tree)?;
    if read.chars().count() <= TAG_VALUE_MAX {
        Ok(read)
    } else {
        Err(format!("must have {TAG_VALUE_MAX} letters at most").into())
    }
}

/// An instance type: a family, a dot and a size.
fn shape(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    let is_word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    match read.split_once('.') {
        Some((family, size)) if is_word(family) && is_word(size) => Ok(read),
        _ => Err("must be an instance type, like t3.small".into()),
    }
}

/// The id of something of EC2's.
fn id(start: &'static str) -> impl Fn(&Tree) -> Result<String, Mend> {
    move |tree| {
        let read = value::text(tree)?;
        let is_id = read
            .strip_prefix(start)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit()));
        if is_id { Ok(read) } else { Err(format!("must be an id, like {start}0123abcd").into()) }
    }
}

fn template(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    let may_be = |c: char| c.is_ascii_alphanumeric() || "-_.()/".contains(c);
    if (3..=128).contains(&read.len()) && read.chars().all(may_be) {
        Ok(read)
    } else {
        Err("must be the name or the id (lt-0123abcd) of a launch template".into())
    }
}

fn version(tree: &Tree) -> Result<String, Mend> {
    if let Ok(number) = value::whole(1..=1_000_000_u32)(tree) {
        return Ok(number.to_string());
    }
    let read = value::text(tree)?;
    let is_one = ["$Default", "$Latest"].contains(&&*read) || read.parse::<u32>().is_ok();
    if is_one { Ok(read) } else { Err("must be a number, $Default or $Latest".into()) }
}

fn region(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    let parts: Vec<&str> = read.split('-').collect();
    let is_lower = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
    let is_region = parts.len() >= 3
        && parts[..parts.len() - 1].iter().all(is_lower)
        && parts[parts.len() - 1].parse::<u8>().is_ok();
    if is_region { Ok(read) } else { Err("must be a region, like eu-central-1".into()) }
}

fn role(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    let is_role = read.starts_with("arn:aws") && read.contains(":iam::") && read.contains(":role/");
    if is_role {
        Ok(read)
    } else {
        Err("must be the ARN of a role, like arn:aws:iam::123456789012:role/bellwether".into())
    }
}
