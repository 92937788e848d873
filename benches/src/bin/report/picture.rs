//! The costs as bars.

use std::fmt::Write;

use benches::measure::Cost;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 320.0;
const ROW: f64 = 24.0;
const TOP: f64 = 34.0;

/// An SVG with a bar per cost: the least.
pub(crate) fn draw(costs: &[Cost]) -> String {
    let most = costs.iter().map(|cost| cost.least).fold(1.0, f64::max);
    let scale = (WIDTH - LABELS - 60.0) / most;
    let height = costs.iter().fold(TOP + 10.0, |height, _| height + ROW);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"20\" font-weight=\"bold\">Admit a call and release it, one thread: ns</text>\n"
    );
    let mut top = TOP;
    for Cost { name, least, .. } in costs {
        let ours = name.starts_with("**");
        let (name, fill) = (name.replace('*', ""), if ours { "#0a7d5a" } else { "#9aa5b1" });
        let (base, width) = (top + 15.0, least * scale);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{name}</text>\n\
             <rect x=\"{LABELS}\" y=\"{}\" width=\"{width:.1}\" height=\"16\" fill=\"{fill}\"/>\n\
             <text x=\"{:.1}\" y=\"{base}\">{least:.1}</text>",
            LABELS - 8.0,
            top + 2.0,
            LABELS + width + 6.0,
        );
        top += ROW;
    }
    svg.push_str("</svg>\n");
    svg
}
