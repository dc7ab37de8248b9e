//! A deep verify in words.

use super::{bytes, fields, instant};
use shardlift_api::v1;

/// What is shown of one: how far it is, or what it came to.
pub(crate) fn verify_line(view: &v1::DeepVerifyView) -> String {
    let v1::DeepVerifyView { begun_unix_ms, ended_unix_ms, failure, .. } = view;
    match (begun_unix_ms, ended_unix_ms) {
        (0, _) => "never".to_owned(),
        (_, 0) => format!("{}{}", under_way(view), found(view).map_or_else(String::new, |found| format!("; {found}"))),
        (_, at) if !failure.is_empty() => format!("ended {} before all was read: {failure}", instant(*at)),
        (_, at) => {
            let v1::DeepVerifyView { objects_read, bytes_read, .. } = view;
            let found = found(view).unwrap_or_else(|| "all good".to_owned());
            format!("{found}; {objects_read} objects, {}, read until {}", bytes(*bytes_read), instant(*at))
        }
    }
}

fn under_way(view: &v1::DeepVerifyView) -> String {
    let v1::DeepVerifyView { bytes_read, bytes_total, bytes_per_second, waiting_for, .. } = view;
    let percent = (u128::from(*bytes_read) * 100).checked_div(u128::from(*bytes_total)).unwrap_or(0).min(100);
    let mut text = format!("{percent} % of {}", bytes(*bytes_total));
    if !waiting_for.is_empty() {
        text.push_str(&format!(", waits for {waiting_for}"));
    } else if *bytes_per_second > 0 {
        text.push_str(&format!(", {}/s", bytes(*bytes_per_second)));
    }
    text
}

/// `None` when nothing is wrong.
fn found(view: &v1::DeepVerifyView) -> Option<String> {
    let v1::DeepVerifyView { damaged, missing, known_damaged, names, shard, .. } = view;
    let mut parts = Vec::new();
    if damaged + missing > 0 {
        parts.push(format!("at {shard}: {damaged} damaged and {missing} missing: {}", names.join(", ")));
    }
    if *known_damaged > 0 {
        parts.push(format!("{known_damaged} damaged since before they came to {shard}"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

pub(crate) fn verify_text(view: &v1::DeepVerifyView) -> String {
    let time = |unix_ms| if unix_ms == 0 { String::new() } else { instant(unix_ms) };
    let goes_on = view.begun_unix_ms > 0 && view.ended_unix_ms == 0;
    fields(&[
        ("node", view.node.clone()),
        ("shard", format!("{} ({})", view.shard, view.role)),
        ("progress", if goes_on { under_way(view) } else { String::new() }),
        ("objects", format!("{} of {}", view.objects_read, view.objects_total)),
        ("size", bytes(view.bytes_read)),
        ("damaged here", view.damaged.to_string()),
        ("missing", view.missing.to_string()),
        ("known damage", view.known_damaged.to_string()),
        ("first names", view.names.join("\n")),
        ("failed", view.failure.clone()),
        ("begun", time(view.begun_unix_ms)),
        ("ended", time(view.ended_unix_ms)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn view() -> v1::DeepVerifyView {
        v1::DeepVerifyView {
            node: "acme/web-1".into(),
            shard: "shard-b".into(),
            role: "target".into(),
            objects_total: 200,
            objects_read: 122,
            bytes_total: 100 << 20,
            bytes_read: 61 << 20,
            bytes_per_second: 120 << 20,
            begun_unix_ms: 1_700_000_000_000,
            ..Default::default()
        }
    }

    #[test]
    fn a_line_says_how_far_it_is_or_what_it_came_to() {
        let mut lines = vec![verify_line(&v1::DeepVerifyView::default()), verify_line(&view())];
        let waits = v1::DeepVerifyView { waiting_for: "its turn: 4 copies are read at a time".into(), ..view() };
        lines.push(verify_line(&waits));
        let ended = v1::DeepVerifyView { ended_unix_ms: 1_700_000_360_000, ..view() };
        lines.push(verify_line(&ended));
        let names = vec!["data/ab".to_owned(), "index/cd".to_owned()];
        let bad = v1::DeepVerifyView { damaged: 1, missing: 1, known_damaged: 3, names, ..ended.clone() };
        lines.push(verify_line(&bad));
        lines.push(verify_line(&v1::DeepVerifyView { failure: "the node is quarantined here".into(), ..ended }));
        expect![[r#"
            never
            61 % of 100.0 MiB, 120.0 MiB/s
            61 % of 100.0 MiB, waits for its turn: 4 copies are read at a time
            all good; 122 objects, 61.0 MiB, read until 2023-11-14T22:19:20Z
            at shard-b: 1 damaged and 1 missing: data/ab, index/cd; 3 damaged since before they came to shard-b; 122 objects, 61.0 MiB, read until 2023-11-14T22:19:20Z
            ended 2023-11-14T22:19:20Z before all was read: the node is quarantined here"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn all_of_it_is_shown_with_its_names() {
        let names = vec!["data/ab".to_owned(), "index/cd\x1b[2J".to_owned()];
        let text = verify_text(&v1::DeepVerifyView { damaged: 2, names, ..view() });
        assert!(!text.contains('\x1b'));
        expect![[r#"
            node:         acme/web-1
            shard:        shard-b (target)
            progress:     61 % of 100.0 MiB, 120.0 MiB/s
            objects:      122 of 200
            size:         61.0 MiB
            damaged here: 2
            missing:      0
            known damage: 0
            first names:  data/ab
                          index/cd�[2J
            begun:        2023-11-14T22:13:20Z
        "#]]
        .assert_eq(&text);
    }
}
