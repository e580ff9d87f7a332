//! Pictures, drawn here: they need no script, print, and scale with the page. Colours come from the style sheet by class.

use std::fmt::Write as _;

/// One bar: its label, and its parts as (class, count).
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) parts: Vec<(&'static str, u64)>,
}

const WIDTH: u64 = 460;
const LABEL: u64 = 160;
const NUMBER: u64 = 50;
/// How many letters of a label there is room for.
const LETTERS: usize = 22;
const ROW: u64 = 26;

/// Bars, one below the other, on one scale: the largest fills the width.
pub(crate) fn bars(bars: &[Bar]) -> String {
    let total = |bar: &Bar| bar.parts.iter().map(|(_, count)| count).sum::<u64>();
    let most = bars.iter().map(total).max().unwrap_or(0).max(1);
    let (room, height) = (WIDTH - LABEL - NUMBER, ROW * bars.len() as u64 + 4);
    let mut svg = begin(height);
    for (at, bar) in bars.iter().enumerate() {
        let top = ROW * at as u64 + 4;
        text(&mut svg, "lab", (LABEL - 8, top + 13), "end", &shortened(&bar.label));
        let mut left = LABEL;
        rectangle(&mut svg, "track", (left, top), (room, 18));
        for (class, count) in &bar.parts {
            let wide = room * count / most;
            rectangle(&mut svg, class, (left, top), (wide, 18));
            left += wide;
        }
        text(&mut svg, "num", (LABEL + room + 8, top + 13), "start", &total(bar).to_string());
    }
    svg + "</svg>"
}

/// How a count grew, step by step, and where it should be.
pub(crate) fn growth(points: &[(String, u64)], target: u64) -> String {
    const HEIGHT: u64 = 190;
    const FOOT: u64 = 24;
    const LEFT: u64 = 40;
    // What is counted anew each minute goes down, too.
    let highest = points.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let most = highest.max(target).max(1);
    let (high, wide) = (HEIGHT - FOOT - 12, WIDTH - LEFT - 12);
    let y = |count: u64| 12 + high - high * count / most;
    // What grew in one step grew from nothing.
    let begun;
    let points = match points {
        [only] => {
            begun = [(String::new(), 0), only.clone()];
            &begun[..]
        }
        more => more,
    };
    let steps = points.len().saturating_sub(1).max(1) as u64;
    let x = |at: usize| LEFT + wide * at as u64 / steps;
    let mut svg = begin(HEIGHT);
    for count in [0, most / 2, most] {
        line(&mut svg, "grid", (LEFT, y(count)), (LEFT + wide, y(count)));
        text(&mut svg, "num", (LEFT - 6, y(count) + 4), "end", &count.to_string());
    }
    if target > 0 {
        line(&mut svg, "aim", (LEFT, y(target)), (LEFT + wide, y(target)));
    }
    if points.len() > 1 {
        let path: Vec<String> =
            points.iter().enumerate().map(|(at, (_, count))| format!("{} {}", x(at), y(*count))).collect();
        let (path, foot) = (path.join("L"), y(0));
        let _ = write!(svg, "<path class=\"area\" d=\"M{LEFT} {foot}L{path}L{} {foot}Z\"/>", x(points.len() - 1));
        let _ = write!(svg, "<path class=\"curve\" d=\"M{path}\"/>");
    }
    if let (Some((first, _)), Some((end, count))) = (points.first(), points.last()) {
        let _ = write!(svg, "<circle class=\"dot\" cx=\"{}\" cy=\"{}\" r=\"3.5\"/>", x(points.len() - 1), y(*count));
        text(&mut svg, "num", (LEFT, HEIGHT - 6), "start", first);
        if points.len() > 1 {
            text(&mut svg, "num", (LEFT + wide, HEIGHT - 6), "end", end);
        }
    }
    svg + "</svg>"
}

/// The picture is described by the table behind it, and says nothing by itself to whoever does not see it.
fn begin(height: u64) -> String {
    format!("<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" aria-hidden=\"true\" focusable=\"false\">")
}

fn rectangle(svg: &mut String, class: &str, (x, y): (u64, u64), (width, height): (u64, u64)) {
    if width > 0 {
        let _ = write!(svg, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>");
    }
}

fn line(svg: &mut String, class: &str, (x1, y1): (u64, u64), (x2, y2): (u64, u64)) {
    let _ = write!(svg, "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>");
}

fn text(svg: &mut String, class: &str, (x, y): (u64, u64), anchor: &str, text: &str) {
    let _ =
        write!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

/// The table behind has the whole of it.
fn shortened(label: &str) -> String {
    if label.chars().count() <= LETTERS {
        return label.to_owned();
    }
    label.chars().take(LETTERS - 1).chain(['…']).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_count_on_one_scale() {
        let drawn = bars(&[
            Bar { label: "a<b".into(), parts: vec![("good", 5), ("wait", 5)] },
            Bar { label: "c".into(), parts: vec![("good", 5), ("wait", 0)] },
        ]);
        assert_eq!(drawn.matches("width=\"125\"").count(), 3, "{drawn}");
        assert!(drawn.contains("a&lt;b") && !drawn.contains("style="));
    }

    #[test]
    fn nothing_to_draw_is_drawn_all_the_same() {
        assert!(bars(&[]).ends_with("</svg>"));
        assert!(growth(&[], 0).ends_with("</svg>"));
        assert!(growth(&[("2026-11-16".into(), 3)], 10).contains("circle"));
    }

    #[test]
    fn what_goes_down_again_stays_within_the_picture() {
        let drawn = growth(&[("11:58".into(), 2), ("11:59".into(), 90), ("12:00".into(), 5)], 0);
        let path =
            drawn.split_once("class=\"curve\" d=\"M").and_then(|(_, rest)| rest.split_once('"')).expect("a path").0;
        let heights: Vec<u64> =
            path.split('L').map(|point| point.split_once(' ').expect("x y").1.parse().expect("a number")).collect();
        assert!(heights[1] < heights[2] && heights[2] < heights[0] && heights[1] == 12, "{path}");
    }
}
