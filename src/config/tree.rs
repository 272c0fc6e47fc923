//! The file as a plain tree of values, before any of it means something.

use super::error::ConfigError;
use super::secret::MASK;
use serde_json::{Number, Value};
use std::collections::BTreeMap;

/// Longer values are cut in messages.
const SHOWN: usize = 80;

/// A value as it stands in the file, or in the environment.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    /// `null`, `~` or nothing: the same as leaving the field out.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// Text from a variable, which also stands for a number or a truth value.
    Variable {
        /// The variable's name.
        name: String,
        /// What it holds.
        text: String,
    },
    /// A list.
    List(Vec<Tree>),
    /// A section.
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// Reads YAML. A field that stands there twice is refused.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options::<Value>(text, options).map(Self::from).map_err(
            |error| {
                let found_at = error.without_snippet().location();
                ConfigError {
                    path: found_at.map_or_else(
                        || "the file".to_owned(),
                        |at| format!("line {}, column {}", at.line(), at.column()),
                    ),
                    found: None,
                    mend: syntax_mend(error.without_snippet()),
                }
            },
        )
    }

    /// What it is, for messages; texts are masked and cut.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("{:?}", masked(text)),
            Self::Variable { name, text } => format!("{:?} in {name}", masked(text)),
            Self::List(_) | Self::Map(_) => self.kind(),
        }
    }

    /// What kind of thing it is, where its value may not be shown.
    pub(super) fn kind(&self) -> String {
        let kind = match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Variable { .. } => "a value",
            Self::List(_) => "a list",
            Self::Map(_) => "a section",
        };
        match self.variable() {
            Some(variable) => format!("{kind} made by {variable}"),
            None => kind.to_owned(),
        }
    }

    /// The variable that put it there, if all of it comes from variables.
    pub(super) fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable { name, .. } => Some(name),
            Self::Map(fields) if fields.values().all(|field| field.variable().is_some()) => {
                fields.values().next().and_then(Self::variable)
            }
            _ => None,
        }
    }
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(truth),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Map(fields.into_iter().map(|(name, field)| (name, field.into())).collect())
            }
        }
    }
}

/// The text without what may be secret in an address (user, password, query), and not too long.
pub(super) fn masked(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let mut shown = text.to_owned();
    if let Some(end) = shown.rfind('@').filter(|end| *end >= start) {
        shown.replace_range(start..end, MASK);
    }
    if let Some(query) = shown.find('?').filter(|_| start > 0) {
        shown.replace_range(query + 1.., MASK);
    }
    if shown.chars().count() > SHOWN {
        shown = shown.chars().take(SHOWN).chain("…".chars()).collect();
    }
    shown
}

/// The parser's own words only where they cannot quote a value of the file.
fn syntax_mend(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` stands here twice; keep one")
        }
        Error::Eof { .. } => "the file is empty; it needs at least `clusters`".to_owned(),
        Error::MultipleDocuments { .. } => {
            "one file holds one document; remove the `---`".to_owned()
        }
        Error::UnknownAnchor { .. } => "this alias has no anchor".to_owned(),
        Error::Message { msg, .. } => format!("not valid YAML: {msg}"),
        _ => "not valid YAML; check indentation, colons and quotes around here".to_owned(),
    }
}
