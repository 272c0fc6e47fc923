//! Tables for terminals.

use comfy_table::{ContentArrangement, Table, presets};

/// Prints rows under a header; columns shrink to the terminal where there is one.
#[expect(clippy::print_stdout, reason = "the command line speaks to a person")]
pub(super) fn print(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table.add_rows(rows);
    println!("{table}");
}
