//! Kubernetes' way to write amounts: `100m`, `1.5Gi`, `2e3`. Grammar: the API reference's `Quantity`.

use crate::model::Resources;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// What an amount counts as that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Nothing: of what a node offers.
    IsNone,
    /// More than there is anywhere: of what a pod asks for.
    IsEndless,
}

/// Amounts by name, as a node offers or a pod asks for them. What is negative is nothing.
pub(super) fn resources(
    amounts: Option<&BTreeMap<String, Quantity>>,
    unreadable: Unreadable,
) -> Resources {
    let mut resources = Resources::default();
    for (name, quantity) in amounts.into_iter().flatten() {
        let milli = thousandths(&quantity.0).unwrap_or(match unreadable {
            Unreadable::IsNone => 0,
            Unreadable::IsEndless => i128::MAX,
        });
        match name.as_str() {
            "cpu" => resources.cpu_milli = bounded(milli),
            "memory" => resources.memory = whole(milli),
            "pods" => resources.pods = whole(milli),
            _ => {
                resources.extended.insert(name.clone(), whole(milli));
            }
        }
    }
    resources
}

/// Thousandths rounded up to ones.
fn whole(milli: i128) -> u64 {
    bounded(milli / 1000 + i128::from(milli % 1000 > 0))
}

fn bounded(amount: i128) -> u64 {
    u64::try_from(amount.max(0)).unwrap_or(u64::MAX)
}

/// An amount in thousandths, rounded up; `None` where it is not written as one.
fn thousandths(text: &str) -> Option<i128> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')));
    let (number, suffix) = text.split_at(digits.unwrap_or(text.len()));
    let (is_negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (ones, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (ones.is_empty() && fraction.is_empty()) || !is_digits(ones) || !is_digits(fraction) {
        return None;
    }
    // More digits than this are beyond what any unit tells apart; they still round up.
    let (kept, dropped) = fraction.split_at(fraction.len().min(12));
    let mantissa: i128 = format!("{ones}{kept}").parse().ok()?;
    let (up, down) = scale(suffix)?;
    let below = down.checked_mul(10_i128.checked_pow(u32::try_from(kept.len()).ok()?)?)?;
    // Too large to be counted is as large as can be.
    let scaled = mantissa.checked_mul(up).unwrap_or(i128::MAX);
    let is_more = scaled % below > 0 || dropped.bytes().any(|digit| digit != b'0');
    let amount = (scaled / below).saturating_add(i128::from(is_more));
    Some(if is_negative { -amount } else { amount })
}

/// What a suffix makes of a number, in thousandths: times the first, divided by the second.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    const KILO: i128 = 1000;
    let up = |base: i128, power: u32| Some((base.pow(power) * KILO, 1));
    match suffix {
        "n" => Some((1, 1_000_000)),
        "u" => Some((1, 1_000)),
        "m" => Some((1, 1)),
        "" => up(KILO, 0),
        "k" => up(KILO, 1),
        "M" => up(KILO, 2),
        "G" => up(KILO, 3),
        "T" => up(KILO, 4),
        "P" => up(KILO, 5),
        "E" => up(KILO, 6),
        "Ki" => up(1024, 1),
        "Mi" => up(1024, 2),
        "Gi" => up(1024, 3),
        "Ti" => up(1024, 4),
        "Pi" => up(1024, 5),
        "Ei" => up(1024, 6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { Some((KILO, power)) } else { Some((power.checked_mul(KILO)?, 1)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them_and_rounded_up() {
        let table = [
            ("0", 0),
            ("1", 1_000),
            ("100m", 100),
            ("1.5", 1_500),
            (".5", 500),
            ("5.", 5_000),
            ("+2", 2_000),
            ("-1", -1_000),
            ("1u", 1),
            ("1n", 1),
            ("1000001n", 2),
            ("0.0001", 1),
            ("0.00000000000001", 1),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("12e-1", 1_200),
            ("2E", 2_000_000_000_000_000_000_000),
            ("1Ei", 1_152_921_504_606_846_976_000),
        ];
        for (text, milli) in table {
            assert_eq!(thousandths(text), Some(milli), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_not_taken_for_one() {
        for text in ["", "m", "1 Gi", "1.2.3", "ten", "1KI", "1e", "1e99", "--1", "0x10"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }

    fn of(name: &str, quantity: &str, unreadable: Unreadable) -> Resources {
        let amounts = BTreeMap::from([(name.to_owned(), Quantity(quantity.to_owned()))]);
        resources(Some(&amounts), unreadable)
    }

    #[test]
    fn each_resource_has_its_unit() {
        assert_eq!(of("cpu", "1500m", Unreadable::IsNone).cpu_milli, 1_500);
        assert_eq!(of("memory", "1Mi", Unreadable::IsNone).memory, 1 << 20);
        assert_eq!(of("memory", "128974848100m", Unreadable::IsNone).memory, 128_974_849);
        assert_eq!(of("pods", "110", Unreadable::IsNone).pods, 110);
        let device = of("example.com/device", "2", Unreadable::IsNone);
        assert_eq!(device.extended["example.com/device"], 2);
    }

    #[test]
    fn an_absurd_amount_is_no_room_and_no_small_wish() {
        assert_eq!(of("memory", "lots", Unreadable::IsNone).memory, 0);
        assert_eq!(of("memory", "lots", Unreadable::IsEndless).memory, u64::MAX);
        assert_eq!(of("memory", "-1Gi", Unreadable::IsEndless).memory, 0);
        let long = "9".repeat(30) + "E";
        assert_eq!(of("cpu", &long, Unreadable::IsEndless).cpu_milli, u64::MAX);
    }
}
