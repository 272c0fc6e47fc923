//! Single values: any text is read or refused, and what is written reads back.

use super::super::error::Mend;
use super::super::tree::{Tree, masked};
use super::super::value;
use crate::config::Amount;
use crate::model::{Price, duration};
use proptest::prelude::*;

/// Every reader of one value.
type Read = fn(&Tree) -> Result<(), Mend>;

fn readers() -> Vec<Read> {
    vec![
        |tree| value::duration(tree).map(drop),
        |tree| value::lasting(tree).map(drop),
        |tree| value::whole(0_u32..=9)(tree).map(drop),
        |tree| value::truth(tree).map(drop),
        |tree| value::text(tree).map(drop),
        |tree| value::path(tree).map(drop),
        |tree| value::amount(100)(tree).map(drop),
        |tree| value::cpu(tree).map(drop),
        |tree| value::memory(tree).map(drop),
        |tree| value::price(tree).map(drop),
        |tree| value::above_zero(value::memory)(tree).map(drop),
        |tree| value::dns_label(tree).map(drop),
        |tree| value::address(tree).map(drop),
        |tree| value::url(tree).map(drop),
        |tree| value::one_of(&[("a", 1)])(tree).map(drop),
    ]
}

fn text(text: impl Into<String>) -> Tree {
    Tree::Text(text.into())
}

/// Texts that are nearly right, and any others.
fn some_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-+]?[0-9]{0,25}[.]?[0-9]{0,25}[a-zA-Zé%µ]{0,3}",
        "([0-9]{0,22}(w|d|h|m|s|ms|y|)){0,4}",
        "(http|https|ftp)?(://)?[a-z0-9:@/?#.\\[\\]-]{0,40}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(written in some_text()) {
        for read in readers() {
            if let Err(Mend(mend)) = read(&text(&*written)) {
                prop_assert!(!mend.is_empty());
            }
            let name = "BELLWETHER_X".to_owned();
            let _ = read(&Tree::Variable { name, text: written.clone() });
        }
        let _ = value::variable_list("BELLWETHER_X", &written);
        let _ = (value::name(&written), value::secret(&written), value::token(&written));
        let _ = value::header_value(&written);
        let _ = Tree::parse(&written);
    }

    #[test]
    fn a_duration_that_is_read_is_written_so_that_it_reads_the_same(written in some_text()) {
        if let Ok(read) = duration::parse(&written) {
            prop_assert_eq!(duration::parse(&duration::format(read)), Ok(read));
        }
    }

    #[test]
    fn amounts_of_cpu_memory_and_money_read_back(amount in any::<u64>(), shift in 0_u32..64) {
        let amount = amount >> shift;
        prop_assert_eq!(value::cpu(&text(value::cpu_text(amount))), Ok(amount));
        prop_assert_eq!(value::memory(&text(value::memory_text(amount))), Ok(amount));
        let price = Price(amount.clamp(1, 999_999_999_999_999));
        let written = value::price_number(price);
        let number = serde_json::Number::from_f64(written).unwrap();
        prop_assert_eq!(value::price(&Tree::Number(number)), Ok(price));
    }

    /// Rounding would make a limit of what nobody wrote.
    #[test]
    fn what_is_no_whole_number_of_the_unit_is_refused(whole in 0_u64..1000, tenths in 1_u64..10) {
        let broken = format!("{whole}.{tenths}");
        let refused = [
            value::cpu(&text(format!("{broken}m"))).is_err(),
            value::memory(&text(&*broken)).is_err(),
            value::amount(100)(&text(format!("{broken}%"))).is_err(),
        ];
        prop_assert_eq!(refused, [true; 3]);
    }

    #[test]
    fn amounts_are_digits_with_or_without_a_percent_sign(count in 1_u32..=100) {
        let read = |written: String| value::amount(100)(&text(written)).ok();
        let (plain, percent) = (count.to_string(), format!("{count}%"));
        prop_assert_eq!(read(plain.clone()), Some(Amount::Count(count)));
        prop_assert_eq!(read(percent.clone()), Some(Amount::Percent(count)));
        for odd in ["-", "+", "%", "0x"] {
            prop_assert_eq!(read(format!("{odd}{plain}")), None);
            prop_assert_eq!(read(format!("{odd}{percent}")), None);
        }
    }

    /// I10
    #[test]
    fn i10_no_user_and_password_of_an_address_are_shown(
        scheme in "https?", user in "[a-zA-Z0-9:@/?#]{0,8}", password in "[a-zA-Z0-9:@/?#]{0,8}",
    ) {
        let (user, password) = (format!("u5er{user}"), format!("hunt3r{password}"));
        let shown = masked(&format!("{scheme}://{user}:{password}@host/path"));
        prop_assert!(!shown.contains("u5er") && !shown.contains("hunt3r"), "{}", shown);
    }
}
