//! What an answer of Prometheus means for a guard or a wanted size. Pure.

use crate::model::{Guard, Want, duration};
use crate::wire::short;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::time::Duration;

/// An answer of `/api/v1/query`. Its `infos` are advice on the expression, and no reason for doubt.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) status: String,
    #[serde(default)]
    pub(super) data: Option<Data>,
    #[serde(default)]
    pub(super) error: String,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// Its result.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(super) enum Data {
    Vector(Vec<Series>),
    Scalar(Sample),
    Matrix(IgnoredAny),
    String(IgnoredAny),
}

/// One series of a vector. Histograms have no `value`, and are then not read as numbers.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Series {
    pub(super) value: Option<Sample>,
}

/// A time and a number as text: `NaN` and `+Inf` are possible.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sample(IgnoredAny, pub(super) String);

/// The numbers of an answer, or why there are none that can be trusted.
pub(super) fn numbers(answer: Answer) -> Result<Vec<f64>, String> {
    if answer.status != "success" {
        return Err(format!("query failed: {}", short(&answer.error)));
    }
    if let Some(warning) = answer.warnings.first() {
        return Err(format!("answer with a warning: {}", short(warning)));
    }
    let samples: Vec<Option<Sample>> = match answer.data {
        Some(Data::Vector(series)) => series.into_iter().map(|series| series.value).collect(),
        Some(Data::Scalar(sample)) => vec![Some(sample)],
        Some(Data::Matrix(_) | Data::String(_)) | None => {
            return Err("neither a vector nor a scalar".to_owned());
        }
    };
    let number = |sample: Option<Sample>| {
        let text = sample.ok_or("a histogram is not a number")?.1;
        text.parse().map_err(|_| "not a number")
    };
    samples.into_iter().map(number).collect::<Result<_, &str>>().map_err(str::to_owned)
}

/// Whether a guard holds by these numbers.
pub(super) fn guard(numbers: &[f64]) -> Guard {
    if numbers.is_empty() {
        return Guard::Unknown { why: "empty answer".to_owned() };
    }
    if let Some(odd) = numbers.iter().find(|number| !number.is_finite()) {
        return Guard::Unknown { why: format!("answer is {odd}") };
    }
    if numbers.contains(&0.0) {
        Guard::Fails { detail: "answer is 0".to_owned() }
    } else {
        Guard::Holds
    }
}

/// The wanted size by these numbers.
pub(super) fn want(numbers: &[f64]) -> Want {
    match numbers {
        [number] if number.is_finite() && *number >= 0.0 && *number <= f64::from(u32::MAX) =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked right above"
            )]
            Want::Workers(number.ceil() as u32)
        }
        [number] => Want::Unknown { why: format!("answer is {number}") },
        [] => Want::Unknown { why: "empty answer".to_owned() },
        many => Want::Unknown { why: format!("{} series instead of one", many.len()) },
    }
}

/// Whether the samples that a selector reads are young enough, by the age of the oldest.
pub(super) fn fresh(ages: &[f64], selector: &str, stale: Duration) -> Result<(), String> {
    match ages {
        [age] if *age <= stale.as_secs_f64() => Ok(()),
        [age] => Err(format!(
            "{selector} is stale: {age:.0} s old, more than {}",
            duration::format(stale)
        )),
        _ => Err(format!("{selector} has no data")),
    }
}

/// A guard's answer with the name of who told it.
pub(super) fn told(guard: Guard, by: &str) -> Guard {
    match guard {
        Guard::Holds => Guard::Holds,
        Guard::Fails { detail } => Guard::Fails { detail: format!("{by}: {detail}") },
        Guard::Unknown { why } => Guard::Unknown { why: format!("{by}: {why}") },
    }
}

/// A wanted size, with the name of who could not tell it.
pub(super) fn wanted(want: Want, by: &str) -> Want {
    match want {
        Want::Workers(count) => Want::Workers(count),
        Want::Unknown { why } => Want::Unknown { why: format!("{by}: {why}") },
    }
}

/// The worse of two: unknown, then fails, then holds.
pub(super) fn worse(a: Guard, b: Guard) -> Guard {
    match (&a, &b) {
        (Guard::Unknown { .. }, _) => a,
        (_, Guard::Unknown { .. }) => b,
        (Guard::Fails { .. }, _) => a,
        _ => b,
    }
}

/// The larger of two wanted sizes; unknown if either is, for nobody knows then what it would say.
pub(super) fn larger(a: Want, b: Want) -> Want {
    match (&a, &b) {
        (Want::Unknown { .. }, _) => a,
        (_, Want::Unknown { .. }) => b,
        (Want::Workers(x), Want::Workers(y)) => Want::Workers(*x.max(y)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(answer: Value) -> Result<Vec<f64>, String> {
        numbers(serde_json::from_value(answer).unwrap())
    }

    fn vector(values: &[&str]) -> Value {
        let series: Vec<Value> =
            values.iter().map(|value| json!({ "metric": {}, "value": [1, value] })).collect();
        json!({ "status": "success", "data": { "resultType": "vector", "result": series } })
    }

    #[test]
    fn vectors_and_scalars_are_numbers_and_nothing_else_is() {
        assert_eq!(read(vector(&["1", "2.5"])), Ok(vec![1.0, 2.5]));
        assert_eq!(
            read(
                json!({ "status": "success", "data": { "resultType": "scalar", "result": [1, "3"] } })
            ),
            Ok(vec![3.0])
        );
        for wrong in [
            json!({ "status": "error", "error": "parse error" }),
            json!({ "status": "success", "data": { "resultType": "matrix", "result": [] } }),
            json!({ "status": "success", "warnings": ["partial"], "data": { "resultType": "vector", "result": [] } }),
            json!({ "status": "success", "data": { "resultType": "vector", "result": [{ "metric": {}, "histogram": [] }] } }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_guard_holds_only_where_every_number_is_finite_and_not_zero() {
        assert_eq!(guard(&[1.0, -2.0]), Guard::Holds);
        assert!(matches!(guard(&[1.0, 0.0]), Guard::Fails { .. }));
        for unknown in [&[][..], &[f64::NAN], &[1.0, f64::INFINITY]] {
            assert!(matches!(guard(unknown), Guard::Unknown { .. }), "{unknown:?}");
        }
    }

    ///
    #[test]
    fn a_61_an_empty_answer_is_unknown_not_zero() {
        assert!(matches!(want(&[]), Want::Unknown { .. }));
        assert!(matches!(guard(&[]), Guard::Unknown { .. }));
    }

    #[test]
    fn a_wanted_size_is_one_number_of_zero_or_more_rounded_up() {
        assert_eq!(want(&[2.1]), Want::Workers(3));
        assert_eq!(want(&[0.0]), Want::Workers(0));
        for unknown in [&[-1.0][..], &[f64::NAN], &[1.0, 2.0], &[1e12]] {
            assert!(matches!(want(unknown), Want::Unknown { .. }), "{unknown:?}");
        }
    }

    #[test]
    fn of_several_prometheuses_unknown_wins_then_no() {
        let (holds, fails) = (|| Guard::Holds, || Guard::Fails { detail: String::new() });
        let unknown = || Guard::Unknown { why: String::new() };
        assert_eq!(worse(holds(), fails()), fails());
        assert_eq!(worse(fails(), unknown()), unknown());
        assert_eq!(larger(Want::Workers(1), Want::Workers(2)), Want::Workers(2));
        assert!(matches!(
            larger(Want::Workers(1), Want::Unknown { why: String::new() }),
            Want::Unknown { .. }
        ));
    }
}
