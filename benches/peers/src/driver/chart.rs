//! A chart of bars for each table, in SVG.

use std::fmt::Write;

use crate::measure::Table;

const WIDTH: f64 = 760.0;
/// Where the bars begin, and how long the longest is.
const LEFT: f64 = 210.0;
const LONGEST: f64 = 430.0;
const TOP: f64 = 58.0;
const ROW: f64 = 26.0;

/// A bar for each row, of its ratio to the limit, with a line from its least to its most.
pub fn svg(table: &Table) -> String {
    let rows: Vec<_> = table
        .rows
        .iter()
        .filter(|row| !row.ratios.is_empty())
        .collect();
    let most = rows.iter().map(|row| row.ratio().2).fold(1.0, f64::max);
    let x = |ratio: f64| LEFT + ratio / most * LONGEST;
    let height = TOP + ROW * rows.len() as f64 + 14.0;
    let what = match table.idle {
        true => "resident bytes for each connection",
        false => "processor time of the server for each message",
    };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"600\">{title}</text>\n\
         <text x=\"12\" y=\"42\" fill=\"#555\">{what}, × the limit; less is better</text>\n",
        title = escaped(table.title),
    );
    for (at, row) in rows.iter().enumerate() {
        let (ratio, least, most) = row.ratio();
        let y = TOP + ROW * at as f64;
        let middle = y + ROW / 2.0;
        let colour = match row.peer {
            "sockeye" => "#d6552d",
            peer if peer.starts_with("limit") => "#999",
            _ => "#4a7aa8",
        };
        let _ = writeln!(
            text,
            "<text x=\"{label}\" y=\"{base}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{bar}\" width=\"{width:.1}\" height=\"{tall}\" \
             fill=\"{colour}\"/>\
             <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\" \
             stroke=\"#222\"/>\
             <text x=\"{after:.1}\" y=\"{base}\">{ratio:.2}</text>",
            label = LEFT - 8.0,
            base = middle + 4.5,
            name = escaped(row.peer),
            bar = y + 4.0,
            tall = ROW - 8.0,
            width = x(ratio) - LEFT,
            from = x(least),
            to = x(most),
            after = x(most) + 8.0,
        );
    }
    // The limit.
    let _ = writeln!(
        text,
        "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#999\" \
         stroke-dasharray=\"3 3\"/>\n</svg>",
        at = x(1.0),
        bottom = height - 14.0,
    );
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
