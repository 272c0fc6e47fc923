//! Label sets and matchers as Alertmanager writes, orders and compares them.

use crate::model;
use regex::Regex;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A label set.
pub type Labels = BTreeMap<String, String>;

/// Operators of matchers, the longer ones first.
const OPERATORS: [(&str, bool, bool); 4] =
    [("=~", true, true), ("!~", true, false), ("!=", false, false), ("=", false, true)];

/// One matcher, its expression compiled.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    name: String,
    value: String,
    expression: Option<Regex>,
    is_equal: bool,
}

// === impl Matcher ===

impl Matcher {
    /// Reads `name="value"`, quotes optional, with `=`, `!=`, `=~` or `!~`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let at = text.find(['=', '!'])?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (operator, is_regex, is_equal) =
            OPERATORS.into_iter().find(|(operator, ..)| rest.starts_with(operator))?;
        let value = rest[operator.len()..].trim();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        Self::new(&model::Matcher {
            name: name.trim_matches('"').to_owned(),
            value: unescape(value),
            is_regex,
            is_equal,
        })
    }

    /// Compiles one; `None` where the expression cannot be.
    pub(super) fn new(matcher: &model::Matcher) -> Option<Self> {
        let expression = if matcher.is_regex {
            Some(Regex::new(&format!("^(?:{})$", matcher.value)).ok()?)
        } else {
            None
        };
        let model::Matcher { name, value, is_equal, .. } = matcher.clone();
        Some(Self { name, value, expression, is_equal })
    }

    /// Whether it matches; a label that is absent matches as empty text.
    pub(super) fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name).map_or("", String::as_str);
        let is_hit = match &self.expression {
            Some(expression) => expression.is_match(value),
            None => self.value == value,
        };
        is_hit == self.is_equal
    }

    fn order(&self) -> (&str, &str, bool, bool) {
        (&self.name, &self.value, self.expression.is_some(), self.is_equal)
    }
}

// === free functions ===

/// Whether all match; none at all match everything.
pub(super) fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

/// Matchers as a route's key shows them, sorted by name.
pub(super) fn show_matchers(matchers: &[Matcher]) -> String {
    let mut sorted: Vec<&Matcher> = matchers.iter().collect();
    sorted.sort_by(|one, other| one.order().cmp(&other.order()));
    let shown: Vec<String> = sorted
        .into_iter()
        .map(|matcher| {
            let shape = (matcher.expression.is_some(), matcher.is_equal);
            let operator = OPERATORS
                .iter()
                .find(|(_, is_regex, is_equal)| (*is_regex, *is_equal) == shape)
                .map_or("=", |(operator, ..)| operator);
            // The key's matchers are escaped as OpenMetrics does, not as Go does.
            let value =
                matcher.value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            format!("{}{operator}\"{value}\"", matcher.name)
        })
        .collect();
    format!("{{{}}}", shown.join(","))
}

/// A label set as a group's key shows it.
pub(super) fn show(labels: &Labels) -> String {
    let shown: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{{{}}}", shown.join(", "))
}

/// The order of alerts in a body: job, instance, fewer labels, then label by label.
pub(super) fn compare(one: &Labels, other: &Labels) -> Ordering {
    for name in ["job", "instance"] {
        match (one.get(name), other.get(name)) {
            (None, Some(_)) => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (Some(a), Some(b)) if a != b => return a.cmp(b),
            _ => {}
        }
    }
    one.len().cmp(&other.len()).then_with(|| {
        let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
        names.sort();
        for name in names {
            match (one.get(name), other.get(name)) {
                (None, _) => return Ordering::Less,
                (_, None) => return Ordering::Greater,
                (Some(a), Some(b)) if a != b => return a.cmp(b),
                _ => {}
            }
        }
        Ordering::Equal
    })
}

/// What all of these have in common.
pub(super) fn common<'a>(mut sets: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(mut shared) = sets.next().cloned() else { return Labels::new() };
    for set in sets {
        shared.retain(|name, value| set.get(name) == Some(value));
    }
    shared
}

/// Quoted as Go does.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                // Writing to text cannot fail.
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next @ ('"' | '\\'))) => {
                plain.push(next);
                chars.next();
            }
            ('\\', Some('n')) => {
                plain.push('\n');
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}
