//! How lists of names are told to people.

/// Most names in one line.
pub(crate) const NAMES_MAX: usize = 5;

/// The first names in quotes, and how many more there are.
pub(crate) fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let all: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let shown = all.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
