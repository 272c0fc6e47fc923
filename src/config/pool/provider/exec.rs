//! `provider.exec`: machines by a program of the user's own, one process for each call.

use crate::config::error::Mend;
use crate::config::reader::Section;
use crate::config::tree::Tree;
use crate::config::value;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A program that makes machines. What it is told and what it answers: `docs/exec-provider.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    /// `program`: its whole path. Required.
    pub program: PathBuf,
    /// `args`: its arguments, as they are: no shell reads them.
    pub args: Vec<String>,
    /// `env`: names of variables of our own environment that it gets, beside PATH. Others it does not get.
    pub env: BTreeSet<String>,
    /// `options`: told with each call; they mean what the program says.
    pub options: BTreeMap<String, String>,
}

impl ExecConfig {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        Self {
            program: s.required("program", program).unwrap_or_default(),
            args: s.list("args", value::any_text).unwrap_or_default(),
            env: s.list("env", variable).unwrap_or_default().into_iter().collect(),
            options: s.section("options", read_texts),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        json!({
            "program": self.program,
            "args": self.args,
            "env": self.env,
            "options": self.options,
        })
    }
}

fn program(tree: &Tree) -> Result<PathBuf, Mend> {
    let path = value::path(tree)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("must be a whole path, like /usr/local/bin/my-cloud: no PATH is searched".into())
    }
}

/// The name of a variable of the environment.
pub(super) fn variable(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    if is_variable(&read) {
        Ok(read)
    } else {
        Err("must be the name of a variable, like AWS_PROFILE".into())
    }
}

pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Texts by names that are the user's own.
fn read_texts(s: &mut Section<'_>) -> BTreeMap<String, String> {
    let names = s.own_names();
    names
        .into_iter()
        .filter_map(|name| Some((name.clone(), s.take(&name, value::any_text)?)))
        .collect()
}
