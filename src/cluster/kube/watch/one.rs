//! One object as the server tells it. The library reads a whole page at once, and drops what it cannot read of a watch: here each is
//! read by itself, so that it is known which one could not be, and that it is there.

use crate::model::Uid;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Letters that are told of what is wrong with one.
const WORDS: usize = 200;

/// One object.
#[derive(Clone, Debug)]
pub(super) enum One<K> {
    /// As its kind should be.
    Read(K),
    /// It is not, and what is wrong.
    Unread(Box<ObjectMeta>, String),
}

/// As much as is needed to say which one it is, and to go on after it.
#[derive(Deserialize)]
struct Named {
    metadata: ObjectMeta,
}

/// The same, where even the rest of what stands there cannot be read.
#[derive(Default, Deserialize)]
struct Barely {
    #[serde(default)]
    metadata: Bare,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bare {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl<K: Resource<DynamicType = ()>> One<K> {
    /// What it is, with its UID; or what is wrong with it.
    pub(super) fn read(&self) -> Result<(Uid, &K), String> {
        let object = match self {
            Self::Read(object) => object,
            Self::Unread(_, why) => return Err(why.clone()),
        };
        let uid = object.meta().uid.clone().filter(|uid| !uid.is_empty());
        let uid = uid.ok_or_else(|| "it has no uid".to_owned())?;
        Ok((Uid::new(uid), object))
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for One<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(serde_json::from_str(raw.get()).map_or_else(
            |error| Self::Unread(Box::new(meta(raw.get())), brief(&error)),
            Self::Read,
        ))
    }
}

/// What is wrong, without where: that moves with whatever else of the object changes. What stands there is quoted whole.
fn brief(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let what = told.split_once(" at line ").map_or(told.as_str(), |(what, _)| what);
    what.chars().take(WORDS).collect()
}

fn meta(text: &str) -> ObjectMeta {
    if let Ok(Named { metadata }) = serde_json::from_str(text) {
        return metadata;
    }
    let Bare { name, namespace, uid, resource_version } =
        serde_json::from_str::<Barely>(text).unwrap_or_default().metadata;
    ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() }
}

impl<K: Resource<DynamicType = ()>> Resource for One<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Read(object) => object.meta(),
            Self::Unread(meta, _) => meta,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Read(object) => object.meta_mut(),
            Self::Unread(meta, _) => meta,
        }
    }
}
