//! Tables in plain text.

use console::{Alignment, measure_text_width, pad_str};

/// Lines of aligned columns under a head; below each row stand its details, indented.
pub(super) fn lines<const N: usize>(head: [&str; N], rows: Vec<([String; N], Vec<String>)>) -> String {
    let mut all = vec![(head.map(str::to_owned), Vec::new())];
    all.extend(rows);
    let width = |n: usize| {
        let widths = all.iter().map(|(cells, _)| measure_text_width(&cells[n]));
        widths.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for (cells, details) in &all {
        let cells = cells.iter().zip(widths);
        let padded = cells.map(|(cell, width)| pad_str(cell, width, Alignment::Left, None));
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
        for detail in details {
            text += &format!("  {detail}\n");
        }
    }
    text
}
