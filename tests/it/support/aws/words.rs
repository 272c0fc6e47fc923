//! The words of a call, as the query protocol writes them.

use std::collections::BTreeMap;

/// Values by names like `Filter.1.Name`.
pub(super) type Words = BTreeMap<String, String>;

pub(super) fn of(words: &[(&str, &str)]) -> Words {
    words.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Those of a form.
pub(super) fn read(body: &[u8]) -> Words {
    let mut url = reqwest::Url::parse("http://any").unwrap();
    url.set_query(Some(&String::from_utf8_lossy(body)));
    url.query_pairs().into_owned().collect()
}

/// Those that belong to this name, as if they stood alone. One that is the name itself has none left.
pub(super) fn under(words: &Words, name: &str) -> Words {
    let rest = |word: &str| {
        let rest = word.strip_prefix(name)?;
        if rest.is_empty() {
            Some(rest.to_owned())
        } else {
            Some(rest.strip_prefix('.')?.to_owned())
        }
    };
    words.iter().filter_map(|(word, value)| Some((rest(word)?, value.clone()))).collect()
}

/// Those of each item of a list, as if they stood alone.
pub(super) fn items(words: &Words, list: &str) -> Vec<Words> {
    let items = (1..).map(|number| under(words, &format!("{list}.{number}")));
    items.take_while(|item| !item.is_empty()).collect()
}

/// A list of values.
pub(super) fn values(words: &Words, list: &str) -> Vec<String> {
    items(words, list).into_iter().flat_map(BTreeMap::into_values).collect()
}

/// The words that make such a list.
pub(super) fn list<'v>(list: &str, values: impl IntoIterator<Item = &'v String>) -> Words {
    let numbered = (1..).zip(values);
    numbered.map(|(number, value)| (format!("{list}.{number}"), value.clone())).collect()
}
