//! XML as EC2 answers in: what there is to read of moto's, and to write of our own.

use super::behind::Told;

const SPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// What every call was answered under.
const REQUEST: &str = "59dbff89-35bd-4eac-99ed-be587EXAMPLE";

const ESCAPES: [(char, &str); 5] =
    [('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&apos;"), ('&', "&amp;")];

/// The first element of a name: what is in it, and what is behind it. It may hold others of its name.
fn split<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = text.find(&open)? + open.len();
    let (mut depth, mut at) = (1, start);
    loop {
        let end = at + text[at..].find(&close)?;
        if let Some(more) = text[at..end].find(&open) {
            depth += 1;
            at += more + open.len();
            continue;
        }
        depth -= 1;
        at = end + close.len();
        if depth == 0 {
            return Some((&text[start..end], &text[at..]));
        }
    }
}

/// What is in the first element of a name.
pub(super) fn inside<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    split(text, name).map(|(inside, _)| inside)
}

/// What the first element of a name says: nothing, where it is empty or missing.
pub(super) fn said(text: &str, name: &str) -> String {
    let escaped = inside(text, name).map_or_else(String::new, str::to_owned);
    ESCAPES
        .iter()
        .fold(escaped, |text, (letter, escape)| text.replace(*escape, &letter.to_string()))
}

/// The items of the first list of a name.
pub(super) fn items<'t>(text: &'t str, list: &str) -> Vec<&'t str> {
    let mut rest = inside(text, list);
    let mut items = Vec::new();
    while let Some((item, behind)) = rest.and_then(|rest| split(rest, "item")) {
        items.push(item);
        rest = Some(behind);
    }
    items
}

/// The instances that an answer to `RunInstances` tells of.
pub(super) fn launched(told: &str) -> Vec<String> {
    let instances = items(told, "instancesSet").into_iter();
    instances.map(|instance| said(instance, "instanceId")).collect()
}

pub(super) fn element(name: &str, inside: &str) -> String {
    format!("<{name}>{inside}</{name}>")
}

/// An element that says this.
pub(super) fn saying(name: &str, words: &str) -> String {
    let escape = |text: String, (letter, escape): &(char, &str)| text.replace(*letter, escape);
    element(name, &ESCAPES.iter().rev().fold(words.to_owned(), escape))
}

/// A list of elements.
pub(super) fn list<S: AsRef<str>>(name: &str, items: &[S]) -> String {
    let items: Vec<String> = items.iter().map(|item| element("item", item.as_ref())).collect();
    element(name, &items.concat())
}

/// An answer.
pub(super) fn answer(action: &str, inside: &str) -> Told {
    let request = saying("requestId", REQUEST);
    let name = format!("{action}Response");
    tell(200, &format!("<{name} xmlns=\"{SPACE}\">{request}{inside}</{name}>"))
}

/// An error: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
pub(super) fn refusal(status: u16, code: &str, message: &str) -> Told {
    let error = element("Error", &(saying("Code", code) + &saying("Message", message)));
    let errors = element("Errors", &error);
    tell(status, &element("Response", &(errors + &saying("RequestID", REQUEST))))
}

fn tell(status: u16, document: &str) -> Told {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}");
    Told { status, kind: "text/xml;charset=UTF-8".to_owned(), body }
}
