//! A plan as a picture: the hours of the week by what a drain takes that begins in them.

use std::fmt::Write;

use super::Plan;
use super::number::float;
use super::text::time;

/// The edge of an hour's square, and the room at the left and above.
const CELL: f64 = 24.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 60.0;

impl Plan {
    /// The week as an SVG picture, light or dark as its viewer is; `None` without records.
    #[must_use]
    pub fn svg(&self) -> Option<String> {
        let week = self.week.as_ref()?;
        let (least, most, place) = week.scale();
        let (width, height) = (LEFT + 24.0 * CELL + 20.0, TOP + 7.0 * CELL + 20.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<style>text{{fill:#222}} .cell{{fill:#c2410c}} \
             .none{{fill:none;stroke:#888}} .best{{fill:none;stroke:#15803d;stroke-width:2}} \
             @media (prefers-color-scheme: dark){{text{{fill:#ddd}} .cell{{fill:#fb923c}} .best{{stroke:#4ade80}}}}\
             </style>\n<title>When to roll</title>\n"
        );
        let what = match week.part {
            Some(part) => format!("Within this time {:.0} % of drains are over", part * 100.0),
            None => "Calls in flight".into(),
        };
        let said = |value: f64| if week.part.is_some() { time(value) } else { format!("{value:.0}") };
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"20\">{what}: {} (light) to {} (dark); hours {}; green: the best</text>",
            said(least),
            said(most),
            self.zone()
        );
        for hour in (0..24_u8).step_by(3) {
            let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{hour:02}</text>", LEFT + f64::from(hour) * CELL, TOP - 8.0);
        }
        for (number, hour) in week.hours.iter().enumerate() {
            let (x, y) = (LEFT + float(number % 24) * CELL, TOP + float(number / 24) * CELL);
            if number % 24 == 0 {
                let _ = writeln!(svg, "<text x=\"10\" y=\"{}\">{}</text>", y + 16.0, self.day_name(number));
            }
            let shade = 0.1 + 0.9 * place(hour);
            let class = if hour.is_seen { format!("cell\" fill-opacity=\"{shade:.2}") } else { "none".into() };
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"22\" height=\"22\"><title>{}: {} calls, {}</title>\
                 </rect>",
                self.hour_name(number),
                hour.in_flight.round(),
                hour.drain_s.map_or_else(|| "not known".into(), time)
            );
            if week.best.first() == Some(&number) {
                let _ = writeln!(svg, "<rect class=\"best\" x=\"{x}\" y=\"{y}\" width=\"22\" height=\"22\"/>");
            }
        }
        svg += "</svg>\n";
        Some(svg)
    }
}
