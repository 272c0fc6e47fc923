//! Single values: each reader takes what stands in the file and says how to mend what is wrong.

use super::error::Mend;
use super::pool::Amount;
use super::secret::MASK;
use super::tree::Tree;
use crate::model::{Price, duration};
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// No deadline or interval of ours is longer; what is longer is a slip of the pen.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// The shortest deadline or interval that does something. It is far below what any installation
/// needs, so that a whole configuration can be run at a hundred times its speed.
const SHORTEST: Duration = Duration::from_millis(10);

/// Money is counted in millionths.
const MICRO: u32 = 1_000_000;

/// The suffixes of memory, largest first among the binary ones, which are those we write.
const MEMORY: [(&str, u64); 11] = [
    ("Ei", 1 << 60),
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// Any duration up to a year, zero included.
pub(super) fn duration(tree: &Tree) -> Result<Duration, Mend> {
    duration_from(Duration::ZERO)(tree)
}

/// Any duration up to a year that does something.
pub(super) fn lasting(tree: &Tree) -> Result<Duration, Mend> {
    duration_from(SHORTEST)(tree)
}

/// A duration of at least this, at most a year.
fn duration_from(least: Duration) -> impl Fn(&Tree) -> Result<Duration, Mend> {
    move |tree| {
        let written = plain(tree, "a duration such as 30s, 5m or 1h30m")?;
        let read = duration::parse(&written)
            .map_err(|_| Mend::from("must be a duration; write it like 30s, 5m, 1h30m or 250ms"))?;
        if (least..=LONGEST).contains(&read) {
            Ok(read)
        } else {
            let least = duration::format(least);
            Err(format!("must be from {least} to {}", duration::format(LONGEST)).into())
        }
    }
}

/// A whole number within the range.
pub(super) fn whole<N>(range: RangeInclusive<N>) -> impl Fn(&Tree) -> Result<N, Mend>
where
    N: TryFrom<u64> + PartialOrd + fmt::Display,
{
    move |tree| {
        let mend =
            || Mend(format!("must be a whole number from {} to {}", range.start(), range.end()));
        let number = match tree {
            Tree::Number(number) => number.as_u64(),
            Tree::Variable { text, .. } => digits_only(text.trim()).and_then(|it| it.parse().ok()),
            _ => None,
        };
        number
            .and_then(|number| N::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(mend)
    }
}

/// `true` or `false`.
pub(super) fn truth(tree: &Tree) -> Result<bool, Mend> {
    match tree {
        Tree::Bool(truth) => Ok(*truth),
        Tree::Variable { text, .. } if text.trim() == "true" => Ok(true),
        Tree::Variable { text, .. } if text.trim() == "false" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

/// Text that is not empty.
pub(super) fn text(tree: &Tree) -> Result<String, Mend> {
    let read = any_text(tree)?;
    if read.trim().is_empty() { Err("must not be empty".into()) } else { Ok(read) }
}

/// Text, the empty one included.
pub(super) fn any_text(tree: &Tree) -> Result<String, Mend> {
    match tree {
        Tree::Text(text) | Tree::Variable { text, .. } => Ok(text.clone()),
        Tree::Number(_) | Tree::Bool(_) => Err("must be text; put quotes around it".into()),
        _ => Err("must be text".into()),
    }
}

/// A path of the file system.
pub(super) fn path(tree: &Tree) -> Result<PathBuf, Mend> {
    text(tree).map(PathBuf::from)
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Tree) -> Result<T, Mend> {
    move |tree| {
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let mend = || Mend(format!("must be one of: {}", known()));
        let read = any_text(tree).map_err(|_| mend())?;
        words.iter().find(|(word, _)| *word == read).map(|(_, value)| *value).ok_or_else(mend)
    }
}

/// The word of a value, for writing it out.
pub(super) fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> Option<&'static str> {
    words.iter().find(|(_, known)| known == value).map(|(word, _)| *word)
}

/// A priority of pods, at most that of an ordinary one.
pub(super) fn priority(tree: &Tree) -> Result<i32, Mend> {
    const MEND: &str =
        "must be a whole number from -2147483648 to 0, such as -10; an ordinary pod has 0";
    let written = plain(tree, "a whole number").map_err(|_| MEND)?;
    let number = written.parse::<i32>().ok().filter(|number| *number <= 0);
    Ok(number.ok_or(MEND)?)
}

/// A number, or a percentage of at most `most`; never nothing.
pub(super) fn amount(most: u32) -> impl Fn(&Tree) -> Result<Amount, Mend> {
    move |tree| {
        let mend = || Mend(format!("must be a whole number from 1 on, or 1% to {most}%"));
        let written = plain(tree, "a number or a percentage").map_err(|_| mend())?;
        let (digits, percent) =
            written.strip_suffix('%').map_or((written.as_str(), false), |digits| (digits, true));
        match digits_only(digits).and_then(|digits| digits.parse::<u32>().ok()) {
            Some(share) if percent && (1..=most).contains(&share) => Ok(Amount::Percent(share)),
            Some(count) if !percent && count > 0 => Ok(Amount::Count(count)),
            _ => Err(mend()),
        }
    }
}

/// A share in percent, from none of it to `most`.
pub(super) fn percent(most: u32) -> impl Fn(&Tree) -> Result<u32, Mend> {
    move |tree| {
        let mend = || Mend(format!("must be a share from 0% to {most}%"));
        let written = plain(tree, "a share").map_err(|_| mend())?;
        let digits = written.strip_suffix('%').and_then(digits_only);
        let share = digits.and_then(|digits| digits.parse::<u32>().ok());
        share.filter(|share| *share <= most).ok_or_else(mend)
    }
}

/// CPU as Kubernetes writes it: `100m`, `0.5`, `2`; in millicores.
pub(super) fn cpu(tree: &Tree) -> Result<u64, Mend> {
    const MEND: &str = "must be an amount of CPU; write it like 100m, 0.5 or 2";
    let written = plain(tree, "an amount of CPU").map_err(|_| MEND)?;
    let (digits, scale) = written.strip_suffix('m').map_or((&*written, 1000), |digits| (digits, 1));
    Ok(decimal(digits, scale).ok_or(MEND)?)
}

/// Memory as Kubernetes writes it: `300Mi`, `256Gi`, `1.5G`, or bytes.
pub(super) fn memory(tree: &Tree) -> Result<u64, Mend> {
    const MEND: &str = "must be an amount of memory; write it like 300Mi, 4Gi or bytes";
    let written = plain(tree, "an amount of memory").map_err(|_| MEND)?;
    let end = written.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len();
    let (digits, suffix) = written.split_at(end);
    let scale = MEMORY.iter().find(|(name, _)| *name == suffix).map(|(_, scale)| *scale);
    Ok(scale.and_then(|scale| decimal(digits, scale)).ok_or(MEND)?)
}

/// Writes CPU so that [`cpu`] reads the same.
pub(super) fn cpu_text(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// Writes memory so that [`memory`] reads the same.
pub(super) fn memory_text(bytes: u64) -> String {
    MEMORY
        .iter()
        .find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale))
        .map_or_else(|| "0".to_owned(), |(suffix, scale)| format!("{}{suffix}", bytes / scale))
}

/// Money as a decimal, exact to a millionth, above zero.
pub(super) fn price(tree: &Tree) -> Result<Price, Mend> {
    const MEND: &str = "must be a price above 0 per hour, such as 2.50";
    let written = plain(tree, "a price").map_err(|_| MEND)?;
    let micro = decimal(&written, MICRO.into()).ok_or(MEND)?;
    // Above this a price cannot be written back exactly; no pool costs a thousand million an hour.
    if (1..1_000_000_000_000_000).contains(&micro) { Ok(Price(micro)) } else { Err(MEND.into()) }
}

/// Money as a number, for those who only reckon or write it out.
pub(super) fn price_number(price: Price) -> f64 {
    let whole = u32::try_from(price.0 / u64::from(MICRO)).unwrap_or(u32::MAX);
    let rest = u32::try_from(price.0 % u64::from(MICRO)).unwrap_or_default();
    // From the text, since adding the two parts could round twice.
    format!("{whole}.{rest:06}").parse().unwrap_or_default()
}

/// An amount above zero.
pub(super) fn above_zero(
    read: impl Fn(&Tree) -> Result<u64, Mend>,
) -> impl Fn(&Tree) -> Result<u64, Mend> {
    move |tree| match read(tree)? {
        0 => Err("must be above 0; leave it out for no limit".into()),
        amount => Ok(amount),
    }
}

/// The name of a cluster, a pool or a zone: a DNS label, as in Kubernetes.
pub(super) fn name(text: &str) -> Result<(), Mend> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let right = (1..=63).contains(&text.len())
        && text.chars().all(|c| letters(c) || c == '-')
        && text.starts_with(letters)
        && text.ends_with(letters);
    if right {
        Ok(())
    } else {
        Err("names are lower-case letters, digits and dashes inside, at most 63".into())
    }
}

/// A [`name`] in a field.
pub(super) fn dns_label(tree: &Tree) -> Result<String, Mend> {
    let read = any_text(tree)?;
    name(&read).map(|()| read)
}

/// An address to listen on.
pub(super) fn address(tree: &Tree) -> Result<SocketAddr, Mend> {
    const MEND: &str = "must be an IP address and port, such as 127.0.0.1:8080 or [::]:8080";
    any_text(tree).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| MEND.into())
}

/// Whether it may be a secret at all; the mask may not.
pub(super) fn secret(text: &str) -> Result<(), Mend> {
    match text.trim() {
        "" => Err("must not be empty".into()),
        MASK => Err("this is the mask of a printed configuration, not the secret".into()),
        _ => Ok(()),
    }
}

/// Whether it can stand in a header behind `Bearer`.
pub(super) fn token(text: &str) -> Result<(), Mend> {
    if text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("must be visible ASCII characters without spaces".into())
    }
}

/// Whether it can stand in any header.
pub(super) fn header_value(text: &str) -> Result<(), Mend> {
    http::HeaderValue::from_str(text)
        .map(|_| ())
        .map_err(|_| "must not hold line breaks or control characters".into())
}

/// The base address of an HTTP service, without a slash at its end.
pub(super) fn url(tree: &Tree) -> Result<String, Mend> {
    const MEND: &str = "must be an address such as http://host:9093/prefix";
    let written = any_text(tree).map_err(|_| MEND)?;
    let read: http::Uri = written.parse().map_err(|_| MEND)?;
    let authority = read.authority().ok_or(MEND)?;
    if !matches!(read.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
        return Err(MEND.into());
    }
    if authority.as_str().contains('@') {
        let mend = "holds a user; use the fields `basic` or `bearer_token` beside it instead";
        return Err(mend.into());
    }
    if read.query().is_some() || written.contains('#') {
        return Err("must end with the path; what follows `?` or `#` has no meaning here".into());
    }
    Ok(written.trim_end_matches('/').to_owned())
}

/// The list that a variable holds in brackets.
pub(super) fn variable_list(name: &str, text: &str) -> Option<Vec<Tree>> {
    let Tree::List(items) = Tree::parse(text).ok()? else { return None };
    let item = |item| match item {
        Tree::Text(text) => Tree::Variable { name: name.to_owned(), text },
        other => other,
    };
    Some(items.into_iter().map(item).collect())
}

/// The text, if it is nothing but digits: a sign is no part of a count.
fn digits_only(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

/// A number or text as text.
fn plain(tree: &Tree, what: &str) -> Result<String, Mend> {
    match tree {
        Tree::Number(number) => Ok(match number.as_f64() {
            // Never with an exponent, which no reader here takes.
            Some(decimal) if number.is_f64() => decimal.to_string(),
            _ => number.to_string(),
        }),
        Tree::Text(text) | Tree::Variable { text, .. } => Ok(text.trim().to_owned()),
        _ => Err(format!("must be {what}").into()),
    }
}

/// `digits` (`12`, `1.5`) times `scale`, if that is a whole number.
fn decimal(digits: &str, scale: u64) -> Option<u64> {
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let rest = rest.trim_end_matches('0');
    if whole.is_empty() || !numeric(whole) || !numeric(rest) || rest.len() > 18 {
        return None;
    }
    let scale = u128::from(scale);
    let unit = 10_u128.pow(u32::try_from(rest.len()).ok()?);
    let part = if rest.is_empty() { 0 } else { rest.parse::<u128>().ok()?.checked_mul(scale)? };
    let total = whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(part / unit)?;
    if part.is_multiple_of(unit) { u64::try_from(total).ok() } else { None }
}
