//! Charts of bars, in SVG.

use std::fmt::Write;

use crate::measure::median;

const WIDTH: f64 = 760.0;
/// Where the bars begin, and how long the longest is.
const LEFT: f64 = 210.0;
const LONGEST: f64 = 430.0;
const TOP: f64 = 58.0;
const ROW: f64 = 26.0;

/// A multiple of the limit.
pub struct Bar<'a> {
    name: &'a str,
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl<'a> Bar<'a> {
    pub fn of(name: &'a str, ratios: &[f64]) -> Self {
        Self {
            name,
            median: median(ratios.to_vec()),
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// The bars, each with a line from its least to its most, and where the limit is.
pub fn svg(title: &str, what: &str, bars: &[Bar<'_>]) -> String {
    let longest = bars.iter().map(|bar| bar.most).fold(1.0, f64::max);
    let x = |ratio: f64| LEFT + ratio / longest * LONGEST;
    let height = TOP + ROW * bars.len() as f64 + 14.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"600\">{title}</text>\n\
         <text x=\"12\" y=\"42\" fill=\"#555\">{what}</text>\n",
        title = escaped(title),
    );
    for (at, bar) in bars.iter().enumerate() {
        let ratio = bar.median;
        let y = TOP + ROW * at as f64;
        let middle = y + ROW / 2.0;
        let colour = match bar.name {
            "sockeye" => "#d6552d",
            name if name.starts_with("limit") || name.starts_with("copy") => "#999",
            _ => "#4a7aa8",
        };
        let _ = writeln!(
            text,
            "<text x=\"{label}\" y=\"{base}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" height=\"{tall}\" \
             fill=\"{colour}\"/>\
             <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\" \
             stroke=\"#222\"/>\
             <text x=\"{after:.1}\" y=\"{base}\">{ratio:.2}</text>",
            label = LEFT - 8.0,
            base = middle + 4.5,
            name = escaped(bar.name),
            top = y + 4.0,
            tall = ROW - 8.0,
            width = x(ratio) - LEFT,
            from = x(bar.least),
            to = x(bar.most),
            after = x(bar.most) + 8.0,
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
