//! Times as they stand in a record: UTC with milliseconds, always of the same length, so that they sort and can be searched for.

use shardlift_model::UnixMillis;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Later ones have no four-digit year.
const LAST_MS: u64 = 253_402_300_799_999;

/// Writes one, `2026-11-24T12:34:56.789Z`.
#[must_use]
pub fn write_instant(at: UnixMillis) -> String {
    let at = i128::from(at.0.min(LAST_MS)) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(at).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(FORMAT).unwrap_or_default()
}

/// Reads what [`write_instant`] wrote; any other spelling is none.
#[must_use]
pub fn parse_instant(text: &str) -> Option<UnixMillis> {
    let parsed = time::PrimitiveDateTime::parse(text, FORMAT).ok()?.assume_utc();
    let at = UnixMillis(u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok()?);
    (write_instant(at) == text).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_spelling() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_523_696_007, "2026-11-24T12:34:56.007Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(write_instant(UnixMillis(ms)), text);
            assert_eq!(parse_instant(text), Some(UnixMillis(ms)));
        }
        assert_eq!(write_instant(UnixMillis(u64::MAX)), "9999-12-31T23:59:59.999Z");
        for text in
            ["", "2026-11-24", "2026-11-24T12:34:56Z", "2026-13-24T12:34:56.007Z", "2026-11-24T12:34:56.007+00:00"]
        {
            assert_eq!(parse_instant(text), None, "{text}");
        }
    }
}
