//! Charts of bars and of lines, in SVG.

use std::fmt::Write;

use crate::measure::median;
use crate::scale::figure;

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

/// What every chart begins with.
fn head(title: &str, what: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"600\">{title}</text>\n\
         <text x=\"12\" y=\"42\" fill=\"#555\">{what}</text>\n",
        title = escaped(title),
        what = escaped(what),
    )
}

/// The bars, each with a line from its least to its most, and where the limit is.
pub fn svg(title: &str, what: &str, bars: &[Bar<'_>]) -> String {
    let longest = bars.iter().map(|bar| bar.most).fold(1.0, f64::max);
    let x = |ratio: f64| LEFT + ratio / longest * LONGEST;
    let height = TOP + ROW * bars.len() as f64 + 14.0;
    let mut text = head(title, what, height);
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

/// A server's figures, point by point.
pub struct Line<'a> {
    pub name: &'a str,
    pub values: Vec<Option<f64>>,
}

/// Lines over points that are evenly spaced; the figures' axis is logarithmic where they differ by
/// more than tenfold.
pub fn lines(title: &str, what: &str, points: &[String], lines: &[Line<'_>]) -> String {
    const HEIGHT: f64 = 360.0;
    const BOTTOM: f64 = HEIGHT - 40.0;
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = WIDTH - 110.0;
    let all = || {
        lines
            .iter()
            .flat_map(|line| line.values.iter().flatten().copied())
    };
    let most = all().fold(0.0, f64::max);
    let least = all().fold(f64::INFINITY, f64::min);
    let logarithmic = most > 10.0 * least && least > 0.0;
    let share = |value: f64| match logarithmic {
        true => (value / least * 1.2).ln() / (most / least * 1.5).ln(),
        false => value / most / 1.1,
    };
    let x = |at: usize| LEFT + (at as f64 + 0.5) / points.len() as f64 * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - share(value) * (BOTTOM - TOP);
    let mut text = head(title, what, HEIGHT);
    let _ = writeln!(
        text,
        "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\" stroke=\"#999\"/>"
    );
    for (at, point) in points.iter().enumerate() {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{point}</text>",
            x(at),
            BOTTOM + 20.0
        );
    }
    for (number, line) in lines.iter().enumerate() {
        let colour = if line.name == "sockeye" {
            "#d6552d"
        } else {
            "#999"
        };
        let known = || {
            line.values
                .iter()
                .enumerate()
                .filter_map(|(at, value)| Some((at, (*value)?)))
        };
        let path: Vec<_> = known()
            .map(|(at, value)| format!("{:.1},{:.1}", x(at), y(value)))
            .collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (at, value) in known() {
            // The figures of one above its line, of another below.
            let offset = if number % 2 == 0 { 18.0 } else { -9.0 };
            let _ = writeln!(
                text,
                "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\" fill=\"{colour}\"/>\
                 <text x=\"{cx:.1}\" y=\"{label:.1}\" text-anchor=\"middle\" font-size=\"11\" \
                 fill=\"{colour}\">{figure}</text>",
                cx = x(at),
                cy = y(value),
                label = y(value) + offset,
                figure = figure(value),
            );
        }
        if let Some((at, last)) = known().next_back() {
            let (right, down) = match at + 1 == points.len() {
                true if number % 2 == 0 => (RIGHT + 6.0, 12.0),
                true => (RIGHT + 6.0, -2.0),
                // Where it ends.
                false => (x(at) + 8.0, 4.5),
            };
            let _ = writeln!(
                text,
                "<text x=\"{right:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                y(last) + down,
                escaped(line.name)
            );
        }
    }
    text.push_str("</svg>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
