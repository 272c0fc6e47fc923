//! Which series an expression reads, so that their age can be asked.

use crate::wire::short;
use promql_parser::parser::{self, Expr, VectorSelector};

/// Why an expression is refused that reads the past on purpose: its samples are old by design.
const OTHER_MOMENT: &str = "not judged: offset and @ look at another moment than now";

/// The instant selectors of an expression, each once, as PromQL. An expression that does not parse,
/// or that looks at another moment than now, cannot be judged.
pub(super) fn selectors(expression: &str) -> Result<Vec<String>, String> {
    let parsed =
        parser::parse(expression).map_err(|error| format!("not judged: {}", short(&error)))?;
    let mut found = Vec::new();
    collect(&parsed, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn collect(expr: &Expr, found: &mut Vec<String>) -> Result<(), String> {
    match expr {
        Expr::VectorSelector(selector) => add(selector, found)?,
        Expr::MatrixSelector(matrix) => add(&matrix.vs, found)?,
        Expr::Aggregate(aggregate) => {
            collect(&aggregate.expr, found)?;
            if let Some(parameter) = &aggregate.param {
                collect(parameter, found)?;
            }
        }
        Expr::Unary(unary) => collect(&unary.expr, found)?,
        Expr::Binary(binary) => {
            collect(&binary.lhs, found)?;
            collect(&binary.rhs, found)?;
        }
        Expr::Paren(paren) => collect(&paren.expr, found)?,
        Expr::Subquery(subquery) => {
            if subquery.offset.is_some() || subquery.at.is_some() {
                return Err(OTHER_MOMENT.to_owned());
            }
            collect(&subquery.expr, found)?;
        }
        Expr::Call(call) => {
            call.args.args.iter().try_for_each(|argument| collect(argument, found))?;
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        Expr::Extension(_) => return Err("not judged: unknown syntax".to_owned()),
    }
    Ok(())
}

fn add(selector: &VectorSelector, found: &mut Vec<String>) -> Result<(), String> {
    if selector.offset.is_some() || selector.at.is_some() {
        return Err(OTHER_MOMENT.to_owned());
    }
    let written = selector.to_string();
    // Asked is what is written: were it to mean something else, the wrong series would look fresh.
    match parser::parse(&written) {
        Ok(Expr::VectorSelector(read)) if read == *selector => found.push(written),
        _ => return Err(format!("not judged: the age of {written} cannot be asked")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_an_expression_reads_is_found_once() {
        let found = selectors(
            "count(up{job=\"nodes\"} == 1) >= 0.95 * sum(max without(pod) (rate(x[5m]))) and up{job=\"nodes\"}",
        );
        assert_eq!(found.unwrap(), ["up{job=\"nodes\"}", "x"]);
        assert!(selectors("vector(1)").unwrap().is_empty());
    }

    #[test]
    fn what_looks_at_another_moment_or_cannot_be_read_is_not_judged() {
        for odd in ["up offset 5m", "up @ 0", "sum(", ""] {
            assert!(selectors(odd).is_err(), "{odd:?}");
        }
    }
}
