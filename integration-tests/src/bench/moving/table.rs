//! The figures for people, on the terminal.

use super::figures::{MoveFigure, MoveLimit};
use std::fmt::Write as _;

const HEAD: [&str; 8] =
    ["contestant", "median s", "MiB/s", "objects/s", "ours, times as fast", "CPU s/GiB", "peak MiB", "how"];

/// Seconds and rates: as many digits as say something.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

fn maybe(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

fn row(figure: &MoveFigure) -> [String; 8] {
    let ratio = |ratio| {
        let spread = figure.ratio_min.zip(figure.ratio_max).map(|(min, max)| format!(" ({min:.2}..{max:.2})"));
        format!("{ratio:.2}{}", spread.unwrap_or_default())
    };
    let peak = |peak| maybe(peak, |mebibytes: f64| format!("{mebibytes:.0}"));
    let mut how = figure.how.clone();
    if let (Some(began), Some(verified)) = (figure.began_s, figure.verified_s) {
        how += &format!("; begins after {} s, read again and compared after {} s", short(began), short(verified));
    }
    if let Some(question) = figure.question_s {
        how = format!("a new connection and one look at the journal; another question takes {} s", short(question));
    }
    [
        figure.contestant.clone(),
        short(figure.median_s),
        maybe(figure.mebibytes_per_second, short),
        maybe(figure.objects_per_second, |rate| format!("{rate:.0}")),
        maybe(figure.ratio, ratio),
        maybe(figure.cpu_s_per_gib, |cpu| format!("{cpu:.2}")),
        format!("{}/{}", peak(figure.peak_source_mib), peak(figure.peak_target_mib)),
        how,
    ]
}

fn put(text: &mut String, rows: &[[String; 8]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names and sentences to the left, numbers to the right.
            let wide = width - cell.chars().count();
            let (before, after) = if column == 0 || column == 7 { (0, wide) } else { (wide, 0) };
            line += &format!("{}{cell}{}  ", " ".repeat(before), " ".repeat(after));
        }
        text.push_str("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// One table for each run of the trees.
pub(super) fn table(figures: &[MoveFigure]) -> String {
    let mut text = String::new();
    let mut runs: Vec<(&str, &str)> = Vec::new();
    for figure in figures {
        let run = (figure.tree.as_str(), figure.run.as_str());
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    for (tree, run) in runs {
        let of_run = || figures.iter().filter(|figure| figure.tree == tree && figure.run == run);
        let (objects, mebibytes) = of_run().next().map_or((0, 0), |figure| (figure.objects, figure.bytes >> 20));
        // Writing into a text does not fail.
        let _ = writeln!(text, "{tree}, {run}: {objects} objects, {mebibytes} MiB");
        let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(of_run().map(row)).collect();
        put(&mut text, &rows);
    }
    text
}

/// One line for all limits.
pub(super) fn limits(limits: &[MoveLimit]) -> String {
    let each = limits
        .iter()
        .map(|limit| format!("{} {} ({}..{})", limit.limit, short(limit.median), short(limit.min), short(limit.max)));
    format!("limits of this machine, MiB/s: {}", each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::contestant::{Contestant, Run};
    use super::super::figures::tests::rows;
    use super::super::trees::Kind;
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let ours = (Contestant::Shardlift, Run::First, [1.0, 1.0, 1.0]);
        let tar = (Contestant::TarTls, Run::First, [1.4, 1.2, 9.0]);
        let text = table(&rows(Kind::Large, &[ours, tar]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "large, first: 1 objects, 1024 MiB");
        let end = |line: &str, text: &str| line.find(text).map(|at| at + text.len());
        assert_eq!(end(lines[1], "median s"), end(lines[3], " 1.40"));
        assert!(lines[3].contains("1.40 (1.20..9.00)"), "{text}");
        assert!(lines[2].contains("-/50") && lines[2].contains("read again and compared after 9.00 s"), "{text}");
        assert_eq!(lines.len(), 4);
    }
}
