//! What is wrong with a plan file, and where.
//!
//! A finding carries the line it points at, cleaned of anything that could steer a terminal, so that it can be shown far
//! from the file.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Most findings that one run returns; the last then says how many were left out.
pub const FINDINGS_MAX: usize = 1000;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
}

impl Place {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One thing that is wrong. Ordered by place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// The line it points at; tabs are shown as one space, control characters as a replacement character.
    pub snippet: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    /// The finding as a compiler would show it, with the name of the file.
    #[must_use]
    pub fn in_file(&self, file: &str) -> String {
        self.shown(&format!("{file}:{}:{}", self.line, self.column))
    }

    fn shown(&self, place: &str) -> String {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let indent = " ".repeat(self.indent());
        let carets = "^".repeat(self.width());
        let Self { snippet, message, hint, .. } = self;
        format!(
            "error: {message}\n{gutter}--> {place}\n{gutter} |\n{number} | {snippet}\n{gutter} | {indent}{carets}\n\
             {gutter} = help: {hint}"
        )
    }

    fn indent(&self) -> usize {
        usize::try_from(self.column.saturating_sub(1)).unwrap_or(usize::MAX).min(self.snippet.chars().count())
    }

    /// How many characters to underline: a quoted text, a table header, or a word.
    fn width(&self) -> usize {
        let rest: Vec<char> = self.snippet.chars().skip(self.indent()).collect();
        let width = match rest.first() {
            Some(&quote @ ('"' | '\'')) => quoted(&rest, quote),
            Some('[') => rest.iter().rposition(|&c| c == ']').map_or(1, |at| at + 1),
            _ => rest.iter().take_while(|&&c| !c.is_whitespace() && !"=,]}#".contains(c)).count(),
        };
        width.max(1)
    }
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut escaped = false;
    for (at, &c) in rest.iter().enumerate().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped && quote == '"';
    }
    rest.len()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(&Place { line: self.line, column: self.column }.to_string()))
    }
}

impl std::error::Error for Finding {}

/// Where the lines of a text begin.
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The place of a byte; past the end it is the end.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|&start| start <= offset).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(0);
        let before = self.text.get(start..).unwrap_or("").char_indices().take_while(|(at, _)| start + at < offset);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
        Place { line: count(line), column: count(before.count()) }
    }

    /// A line without its end, counted from 1.
    pub(crate) fn line(&self, line: u32) -> &'t str {
        let at = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(&start) = self.starts.get(at) else { return "" };
        let end = self.starts.get(at + 1).map_or(self.text.len(), |next| next - 1);
        let line = self.text.get(start..end).unwrap_or("");
        line.strip_suffix('\r').unwrap_or(line)
    }

    /// All lines with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &'t str)> {
        let count = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        (1..=count).map(|line| (line, self.line(line)))
    }

    pub(crate) fn finding(&self, at: Place, message: impl Into<String>, hint: impl Into<String>) -> Finding {
        let snippet = self.line(at.line).chars().take(SNIPPET_CHARS_MAX).map(harmless).collect();
        Finding { line: at.line, column: at.column, snippet, message: message.into(), hint: hint.into() }
    }
}

/// A line longer than this is refused when a plan is read; the snippet of that refusal is cut here.
pub(crate) const SNIPPET_CHARS_MAX: usize = 1000;

const fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// Sorts by place, drops repetitions and keeps at most [`FINDINGS_MAX`]; the last one says what was left out.
pub(crate) fn tidy(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    findings.dedup();
    if findings.len() > FINDINGS_MAX {
        let left_out = findings.len() - FINDINGS_MAX;
        findings.truncate(FINDINGS_MAX);
        if let Some(last) = findings.last_mut() {
            last.message.push_str(&format!(" (and {left_out} more findings after this one)"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_end_before_their_end() {
        let lines = Lines::new("a\r\nbüro = 1\n");
        assert_eq!(lines.place(0), Place { line: 1, column: 1 });
        assert_eq!(lines.place("a\r\nbü".len()), Place { line: 2, column: 3 });
        assert_eq!(lines.place(9999), Place { line: 3, column: 1 });
        assert_eq!((lines.line(1), lines.line(2), lines.line(3), lines.line(4)), ("a", "büro = 1", "", ""));
    }

    #[test]
    fn a_snippet_cannot_steer_a_terminal() {
        let finding = Lines::new("a\t\u{1b}[2J\u{202e}b").finding(Place::START, "m", "h");
        assert_eq!(finding.snippet, "a \u{fffd}[2J\u{fffd}b");
    }

    #[test]
    fn too_many_findings_are_counted() {
        let lines = Lines::new("x");
        let many = (0..FINDINGS_MAX + 5).map(|n| lines.finding(Place::START, format!("{n:06}"), "")).collect();
        let kept = tidy(many);
        assert_eq!(kept.len(), FINDINGS_MAX);
        assert_eq!(kept.last().unwrap().message, "000999 (and 5 more findings after this one)");
    }
}
