//! Reads sections field by field and keeps every fault, so that all are told at once.
//!
//! A section refuses what nobody asked it for. That makes the list of fields and the code that reads
//! them the same thing, which the tests compare with the documentation.

use super::Secret;
use super::error::{ConfigError, Mend};
use super::tree::Tree;
use super::{text_file, value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a file may hold that a secret stands in.
const SECRET_MAX: usize = 64 * 1024;

/// What the sections of one file share.
#[derive(Debug, Default)]
pub(super) struct Reader {
    errors: RefCell<Vec<ConfigError>>,
    fields: RefCell<BTreeSet<String>>,
}

/// One section of the file, present or not.
#[derive(Debug)]
pub(super) struct Section<'a> {
    reader: &'a Reader,
    /// Where it stands: `clusters.default.pools.workers`.
    path: String,
    /// The same with names taken out: `clusters.NAME.pools.NAME`.
    pattern: String,
    fields: Option<&'a BTreeMap<String, Tree>>,
    asked: BTreeSet<String>,
    /// Names are the user's own, so no two files have the same.
    own_names: bool,
}

impl Reader {
    /// Reads the whole file.
    pub(super) fn root<T>(&self, tree: &Tree, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        self.enter("", "", Some(tree), read)
    }

    /// Every fault, in the order of the paths, and every field that was asked for.
    pub(super) fn finish(self) -> (Vec<ConfigError>, BTreeSet<String>) {
        let mut errors = self.errors.into_inner();
        errors.sort();
        errors.dedup();
        (errors, self.fields.into_inner())
    }

    fn enter<T>(
        &self,
        path: &str,
        pattern: &str,
        tree: Option<&Tree>,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let fields = match tree {
            Some(Tree::Map(fields)) => Some(fields),
            None | Some(Tree::Null) => None,
            Some(other) => {
                // The kind only: a secret may have been written a level too high.
                let mend = "this is a section; write its fields below it";
                self.refuse(path, Some(other.kind()), mend.into());
                None
            }
        };
        let mut section = Section {
            reader: self,
            path: path.to_owned(),
            pattern: pattern.to_owned(),
            fields,
            asked: BTreeSet::new(),
            own_names: false,
        };
        let result = read(&mut section);
        section.refuse_the_rest();
        result
    }

    fn refuse(&self, path: &str, found: Option<String>, mend: Mend) {
        let path = if path.is_empty() { "the file" } else { path }.to_owned();
        self.errors.borrow_mut().push(ConfigError { path, found, mend: mend.0 });
    }

    fn is_refused(&self, path: &str) -> bool {
        self.errors.borrow().iter().any(|error| {
            error
                .path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        })
    }
}

impl<'a> Section<'a> {
    /// A field, if it stands there and is right.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Tree) -> Result<T, Mend>,
    ) -> Option<T> {
        let tree = self.ask(name)?;
        self.parse(&self.path_of(name), tree, parse)
    }

    /// A field that must stand there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Tree) -> Result<T, Mend>,
    ) -> Option<T> {
        if self.ask(name).is_none() {
            self.refuse(name, Mend::from("must be set"));
        }
        self.take(name, parse)
    }

    /// A field that is a list of single values. A variable holds one value, or a list in brackets.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&Tree) -> Result<T, Mend>,
    ) -> Option<Vec<T>> {
        let path = self.path_of(name);
        let several;
        let items = match self.ask(name)? {
            Tree::List(items) => items,
            one @ Tree::Variable { name, text } => {
                several = value::variable_list(name, text).unwrap_or_else(|| vec![one.clone()]);
                &several
            }
            other => {
                let mend = "this is a list; write it as [a, b]";
                self.reader.refuse(&path, Some(other.kind()), mend.into());
                return None;
            }
        };
        let items = items.iter().enumerate();
        Some(
            items
                .filter_map(|(at, item)| self.parse(&format!("{path}[{at}]"), item, &parse))
                .collect(),
        )
    }

    /// A secret from the field itself or from the file that `NAME_file` names.
    pub(super) fn secret(
        &mut self,
        name: &str,
        check: impl Fn(&str) -> Result<(), Mend>,
    ) -> Option<Secret> {
        let file_name = format!("{name}_file");
        let file = self.take(&file_name, value::path);
        let path = self.path_of(name);
        let text = match self.ask(name) {
            None => self.secret_file(&file_name, file.as_deref()?)?,
            Some(_) if file.is_some() => {
                let mend = format!("set either `{name}` or `{file_name}`, not both");
                self.reader.refuse(&path, Some("<secret>".to_owned()), mend.into());
                return None;
            }
            Some(Tree::Text(text) | Tree::Variable { text, .. }) => text.clone(),
            Some(other) => {
                let mend = "must be text; put quotes around it";
                self.reader.refuse(&path, Some(other.kind()), mend.into());
                return None;
            }
        };
        let blamed = if file.is_some() { self.path_of(&file_name) } else { path };
        match value::secret(&text).and_then(|()| check(&text)) {
            Ok(()) => Some(Secret::new(text)),
            Err(mend) => {
                self.reader.refuse(&blamed, Some("<secret>".to_owned()), mend);
                None
            }
        }
    }

    /// A section below this one, which may be absent.
    pub(super) fn section<T>(&mut self, name: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let tree = self.ask(name);
        self.reader.enter(&self.path_of(name), &self.pattern_of(name), tree, read)
    }

    /// A field that holds sections by name.
    pub(super) fn each<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Section<'_>, &str) -> T,
    ) -> Vec<(String, T)> {
        let path = self.path_of(name);
        let pattern = format!("{}.NAME", self.pattern_of(name));
        let reader = self.reader;
        let found = match self.ask(name) {
            Some(Tree::Map(entries)) => entries,
            None => return Vec::new(),
            Some(other) => {
                let mend = "write each by its name, as `NAME: {…}`";
                reader.refuse(&path, Some(other.kind()), mend.into());
                return Vec::new();
            }
        };
        let read = |(key, tree): (&String, &Tree)| {
            let path = format!("{path}.{key}");
            if let Some(variable) = tree.variable() {
                let mend =
                    format!("{variable} names what is not in the file; set it up there first");
                reader.refuse(&path, None, mend.into());
                return None;
            }
            if let Err(mend) = value::name(key) {
                reader.refuse(&path, None, mend);
            }
            Some((key.clone(), reader.enter(&path, &pattern, Some(tree), |s| read(s, key))))
        };
        found.iter().filter_map(read).collect()
    }

    /// A field that holds a list of sections.
    pub(super) fn items<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Option<Vec<T>> {
        let path = self.path_of(name);
        let pattern = format!("{}[]", self.pattern_of(name));
        match self.ask(name)? {
            Tree::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| {
                        self.reader.enter(&format!("{path}[{at}]"), &pattern, Some(item), &mut read)
                    })
                    .collect(),
            ),
            other => {
                let mend = "this is a list; begin each entry with `- `";
                self.reader.refuse(&path, Some(other.kind()), mend.into());
                None
            }
        }
    }

    /// The names of the fields that stand here, in a section whose names are the user's own.
    pub(super) fn own_names(&mut self) -> Vec<String> {
        self.own_names = true;
        self.fields.map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }

    /// Whether the field stands here with a value.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.fields.and_then(|fields| fields.get(name)).is_some_and(|tree| *tree != Tree::Null)
    }

    /// Whether the field stands here at all, `NAME:` with nothing behind it included.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.is_some_and(|fields| fields.contains_key(name))
    }

    /// Refuses the value of a field that by itself is well-formed.
    pub(super) fn refuse(&self, name: &str, mend: Mend) {
        let found = self.fields.and_then(|fields| fields.get(name));
        let found = found.filter(|tree| **tree != Tree::Null).map(Tree::shown);
        self.reader.refuse(&self.path_of(name), found, mend);
    }

    /// The same, where it is shown as it would be used.
    pub(super) fn refuse_as(&self, name: &str, found: String, mend: Mend) {
        self.reader.refuse(&self.path_of(name), Some(found), mend);
    }

    /// Refuses a name of the user's own; its value is not shown.
    pub(super) fn refuse_name(&mut self, name: &str, mend: Mend) {
        self.asked.insert(name.to_owned());
        self.reader.refuse(&self.path_of(name), None, mend);
    }

    /// Whether a fault was found in the field with this whole path, or in an entry of its list.
    pub(super) fn is_refused(&self, path: &str) -> bool {
        self.reader.is_refused(path)
    }

    /// Whether a fault was found anywhere in a section of this one.
    pub(super) fn is_refused_below(&self, name: &str) -> bool {
        let below = format!("{}.", self.path_of(name));
        self.is_refused(&self.path_of(name))
            || self.reader.errors.borrow().iter().any(|error| error.path.starts_with(&below))
    }

    /// The whole path of a field here.
    pub(super) fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Refuses the first field unless the two agree; the second where the first does not stand here.
    /// Silent where either is already refused.
    pub(super) fn check(&self, agree: bool, [first, second]: [&str; 2], mend: impl Into<Mend>) {
        let refused = |name| self.reader.is_refused(&self.path_of(name));
        if !agree && !refused(first) && !refused(second) {
            self.refuse(if self.is_set(first) { first } else { second }, mend.into());
        }
    }

    fn parse<T>(
        &self,
        path: &str,
        tree: &Tree,
        parse: impl FnOnce(&Tree) -> Result<T, Mend>,
    ) -> Option<T> {
        parse(tree).map_err(|mend| self.reader.refuse(path, Some(tree.shown()), mend)).ok()
    }

    fn secret_file(&self, name: &str, file: &Path) -> Option<String> {
        match text_file::read(file, SECRET_MAX) {
            Ok(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
            Err(error) => {
                self.refuse(name, format!("the file cannot be read ({})", error.kind()).into());
                None
            }
        }
    }

    fn ask(&mut self, name: &str) -> Option<&'a Tree> {
        self.reader.fields.borrow_mut().insert(self.pattern_of(name));
        self.asked.insert(name.to_owned());
        self.fields?.get(name).filter(|tree| **tree != Tree::Null)
    }

    fn pattern_of(&self, name: &str) -> String {
        let own = if name.ends_with("_file") { "NAME_file" } else { "NAME" };
        join(&self.pattern, if self.own_names { own } else { name })
    }

    fn refuse_the_rest(&self) {
        for (name, tree) in self.fields.into_iter().flatten() {
            if self.asked.contains(name) {
                continue;
            }
            // Never the value: it may be a secret under a misspelt name.
            let found = tree.variable().map(|variable| format!("{variable}, which names it"));
            let known: Vec<&str> = self.asked.iter().map(String::as_str).collect();
            let mend = closest(name, self.asked.iter()).map_or_else(
                || format!("unknown field; known here: {}", known.join(", ")),
                |meant| format!("unknown field; did you mean `{meant}`?"),
            );
            self.reader.refuse(&self.path_of(name), found, mend.into());
        }
    }
}

/// The name that a misspelt one was probably meant to be.
pub(super) fn closest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a String>,
) -> Option<&'a String> {
    let length = name.chars().count();
    let limit = 1 + length / 5;
    known
        // Reckoning takes long for long names, and the difference in length is the least there is.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped, changed or swapped to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (at, letter) in a.iter().enumerate() {
        let mut row = vec![at + 1];
        for (column, other) in b.iter().enumerate() {
            let change = rows[at][column] + usize::from(letter != other);
            let least = change.min(rows[at][column + 1] + 1).min(row[column] + 1);
            let swapped = at > 0 && column > 0 && a[at - 1] == *other && b[column - 1] == *letter;
            row.push(if swapped { least.min(rows[at - 1][column - 1] + 1) } else { least });
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
