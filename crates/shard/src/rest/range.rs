//! The `Range` header, as far as clients use it: one range with a start, `bytes=a-` or `bytes=a-b`.

/// Which bytes to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of them; no or another kind of range was asked for.
    Whole,
    /// From `start`, `length` of them.
    Part {
        /// Offset of the first byte.
        start: u64,
        /// Number of bytes, at least one.
        length: u64,
    },
    /// The start lies past the end.
    Unsatisfiable,
}

/// Reads the header for an object of `size` bytes. An end past the last byte is moved to it. What is not understood is
/// ignored, as RFC 9110 section 14.2 allows.
pub(crate) fn select(header: Option<&str>, size: u64) -> Selection {
    let Some((start, end)) = header.and_then(parse) else { return Selection::Whole };
    if start >= size {
        return Selection::Unsatisfiable;
    }
    let last = end.unwrap_or(u64::MAX).min(size - 1);
    Selection::Part { start, length: last - start + 1 }
}

fn parse(header: &str) -> Option<(u64, Option<u64>)> {
    let (start, end) = header.strip_prefix("bytes=")?.split_once('-')?;
    let start = number(start)?;
    if end.is_empty() {
        return Some((start, None));
    }
    let end = number(end)?;
    (start <= end).then_some((start, Some(end)))
}

/// Digits only: `u64::from_str` would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_clients_mean_them() {
        let part = |start, length| Selection::Part { start, length };
        for (header, size, selection) in [
            (None, 10, Selection::Whole),
            (Some("bytes=0-"), 10, part(0, 10)),
            (Some("bytes=3-"), 10, part(3, 7)),
            (Some("bytes=3-5"), 10, part(3, 3)),
            (Some("bytes=3-99"), 10, part(3, 7)),
            (Some("bytes=9-9"), 10, part(9, 1)),
            (Some("bytes=10-"), 10, Selection::Unsatisfiable),
            (Some("bytes=0-"), 0, Selection::Unsatisfiable),
            (Some("bytes=5-3"), 10, Selection::Whole),
            (Some("bytes=-3"), 10, Selection::Whole),
            (Some("bytes=0-1,3-4"), 10, Selection::Whole),
            (Some("bytes=+1-2"), 10, Selection::Whole),
            (Some("items=0-1"), 10, Selection::Whole),
            (Some("bytes=99999999999999999999-"), 10, Selection::Whole),
        ] {
            assert_eq!(select(header, size), selection, "{header:?} of {size}");
        }
    }
}
