//! The figures as a picture: one panel of bars for each run of each tree, drawn as SVG.

use super::figures::MoveFigure;
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::path::Path;

const WIDTH: f64 = 860.0;
/// Where bars begin: names stand before it.
const BARS_AT: f64 = 170.0;
/// The longest bar; values stand behind it.
const BAR_MAX: f64 = 540.0;
const BAR_HEIGHT: f64 = 20.0;
const BAR_PITCH: f64 = 28.0;
const PANEL_HEAD: f64 = 44.0;
const PANEL_GAP: f64 = 26.0;
const TOP: f64 = 104.0;

/// What a colour stands for.
const LEGEND: [(&str, &str); 3] =
    [("ours", "Shardlift"), ("peer", "what an operator would use instead"), ("limit", "limits of this machine")];

/// A panel: what it shows, and in which unit.
struct Panel<'a> {
    title: String,
    unit: &'static str,
    bars: Vec<(&'a MoveFigure, f64)>,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn colour(standing: &str) -> &'static str {
    match standing {
        "ours" => "#1f6feb",
        "peer" => "#8b98a9",
        _ => "#d5dae1",
    }
}

fn rounded(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

impl<'a> Panel<'a> {
    fn new(figures: &'a [MoveFigure], tree: &str, run: &str) -> Option<Self> {
        let of_run: Vec<_> = figures.iter().filter(|figure| figure.tree == tree && figure.run == run).collect();
        let first = of_run.first()?;
        let (what, unit, value): (_, _, fn(&MoveFigure) -> Option<f64>) = match (tree, run) {
            ("small", "first") => ("first run", "objects/s, more is better", |figure| figure.objects_per_second),
            (_, "first") => ("first run", "MiB/s, more is better", |figure| figure.mebibytes_per_second),
            (_, "unchanged") => ("second run, nothing changed", "s, less is better", |figure| Some(figure.median_s)),
            _ => ("second run, 1 % changed", "s, less is better", |figure| Some(figure.median_s)),
        };
        let size = if first.bytes > 0 {
            format!(" ({} objects, {} MiB)", first.objects, first.bytes >> 20)
        } else {
            String::new()
        };
        let title = format!("{tree}: {what}{size}");
        let bars = of_run.into_iter().filter_map(|figure| Some((figure, value(figure)?))).collect();
        Some(Self { title, unit, bars })
    }

    #[expect(clippy::cast_precision_loss, reason = "a handful of bars")]
    fn height(&self) -> f64 {
        PANEL_HEAD + BAR_PITCH * self.bars.len() as f64
    }

    fn draw(&self, svg: &mut String, top: f64) -> std::fmt::Result {
        let head = top + 20.0;
        writeln!(svg, "<text class=\"panel\" x=\"24\" y=\"{head}\">{}</text>", escape(&self.title))?;
        writeln!(svg, "<text class=\"unit\" x=\"836\" y=\"{head}\" text-anchor=\"end\">{}</text>", escape(self.unit))?;
        let longest = self.bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        let mut y = top + PANEL_HEAD - 8.0;
        for (figure, value) in &self.bars {
            let (length, text) = ((value / longest * BAR_MAX).max(1.5), y + 15.0);
            let name = escape(&figure.contestant);
            let weight = if figure.standing == "ours" { " font-weight=\"600\"" } else { "" };
            writeln!(svg, "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\"{weight}>{name}</text>", BARS_AT - 10.0)?;
            writeln!(
                svg,
                "<rect x=\"{BARS_AT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\" fill=\"{}\"/>",
                colour(&figure.standing)
            )?;
            let behind = BARS_AT + length + 8.0;
            let ratio =
                figure.ratio.map_or_else(String::new, |ratio| format!("  (ours is {} times as fast)", rounded(ratio)));
            writeln!(svg, "<text x=\"{behind:.1}\" y=\"{text}\"{weight}>{}</text>", rounded(*value) + &ratio)?;
            y += BAR_PITCH;
        }
        Ok(())
    }
}

fn svg(figures: &[MoveFigure], below: &str) -> Result<String> {
    let trees = ["large", "small", "restic"];
    let runs = ["first", "unchanged", "changed"];
    let panels: Vec<Panel<'_>> =
        trees.iter().flat_map(|tree| runs.iter().filter_map(|run| Panel::new(figures, tree, run))).collect();
    let height = TOP + panels.iter().map(|panel| panel.height() + PANEL_GAP).sum::<f64>();
    // Values that stand behind the longest bar need their room.
    let wide = WIDTH + 120.0;
    let mut text = String::new();
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{height}\" viewBox=\"0 0 {wide} {height}\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"13\" fill=\"#1f2328\">\n\
         <style>.title{{font-size:20px;font-weight:600}}.panel{{font-size:15px;font-weight:600}}\
         .unit,.below{{fill:#59636e}}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text class=\"title\" x=\"24\" y=\"36\">The same trees moved by Shardlift and by others</text>\n\
         <text class=\"below\" x=\"24\" y=\"58\">{}</text>",
        escape(below)
    )?;
    let mut at = 24;
    for (standing, meaning) in LEGEND {
        writeln!(text, "<circle cx=\"{}\" cy=\"78\" r=\"6\" fill=\"{}\"/>", at + 6, colour(standing))?;
        writeln!(text, "<text class=\"below\" x=\"{}\" y=\"82\">{meaning}</text>", at + 18)?;
        at += 8 * meaning.len() + 40;
    }
    let mut top = TOP;
    for panel in &panels {
        panel.draw(&mut text, top)?;
        top += panel.height() + PANEL_GAP;
    }
    text.push_str("</svg>\n");
    Ok(text)
}

/// Draws the figures; `below` stands under the title.
pub(super) fn draw(path: &Path, figures: &[MoveFigure], below: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, svg(figures, below)?).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::contestant::{Contestant, Run};
    use super::super::figures::tests::rows;
    use super::super::trees::Kind;
    use super::*;

    #[test]
    fn every_figure_has_a_bar_as_long_as_it_is_and_its_value() {
        let ours = (Contestant::Shardlift, Run::First, [1.0, 1.0, 1.0]);
        let tar = (Contestant::TarTls, Run::First, [2.0, 2.0, 2.0]);
        let again = (Contestant::Shardlift, Run::Unchanged, [0.01; 3]);
        let text = svg(&rows(Kind::Large, &[ours, tar, again]), "warm <cache>").unwrap();
        for expected in [
            "width=\"540.0\"",
            "width=\"270.0\"",
            ">1024</text>",
            ">512  (ours is 2.0 times as fast)</text>",
            "large: first run (1 objects, 1024 MiB)",
            "second run, nothing changed",
            ">shardlift-restarted</text>",
            "warm &lt;cache&gt;",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert_eq!(text.matches("<rect x=").count(), 4);
        assert_eq!(text.matches("<text").count(), text.matches("</text>").count());
    }
}
