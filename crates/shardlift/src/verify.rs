//! `node verify`: begins a deep verify or joins one, and waits for what it comes to.

use crate::cli::{Global, VerifyNode};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{bytes, clean, print, talk, verify_line, verify_text};
use crate::wait::within;
use indicatif::{ProgressBar, ProgressStyle};
use shardlift_api::v1;
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How long the controller or the shard may be away.
const ABSENCE_MAX: Duration = Duration::from_secs(120);

pub(crate) async fn verify(global: &Global, arguments: VerifyNode) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::VerifyNodeRequest {
        node: arguments.node.to_string(),
        shard: arguments.shard.as_ref().map(ToString::to_string).unwrap_or_default(),
        bytes_per_second: arguments.limit.map_or(0, |pace| pace.0),
        look: false,
    };
    let mut view = connection.answer(connection.client.clone().verify_node(request.clone())).await?;
    let (node, again) = (view.node.clone(), format!("shardlift node verify {} --shard {}", view.node, view.shard));
    if view.ended_unix_ms == 0 && arguments.wait {
        talk(&clean(&format!("{} reads {} of {node}; Ctrl-C leaves it going", view.shard, bytes(view.bytes_total))));
        // The shard that was asked is the one to look at, wherever the node may be served by then.
        let look = v1::VerifyNodeRequest { look: true, shard: view.shard.clone(), ..request };
        let late = |limit| {
            let failure =
                Failure::new(Exit::Failed, format!("the deep verify of {node} has not ended after {limit:?}"));
            failure.advise(format!("it goes on by itself; `{again} --wait` joins it"))
        };
        view = within(arguments.timeout, ended(&connection, &look), late).await?;
    } else if view.ended_unix_ms == 0 {
        talk(&clean(&format!("it goes on by itself; `{again} --wait` waits for its end")));
    }
    print(global.output, &view, verify_text)?;
    failure(&view).map_or(Ok(()), Err)
}

/// What makes the command fail; one that goes on does so when it has found something already.
fn failure(view: &v1::DeepVerifyView) -> Option<Failure> {
    let v1::DeepVerifyView { node, shard, damaged, missing, failure, .. } = view;
    if damaged + missing > 0 {
        let what = format!("{damaged} objects of {node} are damaged and {missing} missing at {shard}");
        let advice = format!("`shardlift node explain {node}` says whether there is a way back to another copy");
        return Some(Failure::new(Exit::Problems, what).advise(advice));
    }
    let what = format!("{shard} did not read all of {node}: {failure}");
    (!failure.is_empty()).then(|| Failure::new(Exit::Failed, what))
}

/// Looks again and again until all is read.
async fn ended(connection: &Connection, look: &v1::VerifyNodeRequest) -> Result<v1::DeepVerifyView, Failure> {
    let mut shown = Shown::new();
    let mut away_since: Option<Instant> = None;
    loop {
        match connection.answer(connection.client.clone().verify_node(look.clone())).await {
            Ok(view) if view.ended_unix_ms > 0 => {
                shown.finish();
                return Ok(view);
            }
            Ok(view) => {
                away_since = None;
                shown.show(&view);
            }
            Err(failure) if failure.exit == Exit::Unreachable => {
                if away_since.is_none() {
                    talk(&clean(&format!("{}; waiting", failure.what)));
                }
                if away_since.get_or_insert_with(Instant::now).elapsed() > ABSENCE_MAX {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A bar on a terminal, a line for each tenth elsewhere.
enum Shown {
    Bar(ProgressBar),
    Lines { tenths: u64 },
}

impl Shown {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { tenths: 0 };
        }
        // A template that does not parse would be a bug of this line; a plain bar then does.
        let style = ProgressStyle::with_template("  {bar:24} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Self::Bar(ProgressBar::new(1).with_style(style.progress_chars("=> ")))
    }

    fn show(&mut self, view: &v1::DeepVerifyView) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(view.bytes_total.max(1));
                bar.set_position(view.bytes_read);
                bar.set_message(clean(&verify_line(view)));
            }
            Self::Lines { tenths } => {
                let now = tenths_of(view);
                if now > *tenths {
                    talk(&clean(&format!("{}: {}", view.node, verify_line(view))));
                    *tenths = now;
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn tenths_of(view: &v1::DeepVerifyView) -> u64 {
    let tenths = (u128::from(view.bytes_read) * 10).checked_div(u128::from(view.bytes_total)).unwrap_or(0);
    u64::try_from(tenths.min(10)).unwrap_or(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_damage_that_arose_here() {
        let view = |damaged, missing, known_damaged, failure: &str| v1::DeepVerifyView {
            node: "acme/web-1".into(),
            shard: "shard-b".into(),
            damaged,
            missing,
            known_damaged,
            failure: failure.into(),
            ..Default::default()
        };
        let exit = |view| failure(&view).map(|failure| failure.exit);
        assert_eq!(exit(view(0, 0, 0, "")), None);
        assert_eq!(exit(view(0, 0, 9, "")), None, "an operator knows of it");
        assert_eq!(exit(view(1, 0, 0, "")), Some(Exit::Problems));
        assert_eq!(exit(view(0, 1, 0, "quarantined")), Some(Exit::Problems));
        assert_eq!(exit(view(0, 0, 0, "quarantined")), Some(Exit::Failed));
        let told = failure(&view(2, 1, 0, "")).unwrap().what;
        assert!(told.contains("2 objects of acme/web-1 are damaged and 1 missing at shard-b"), "{told}");
    }

    #[test]
    fn tenths_end_at_ten() {
        let of =
            |read, total| tenths_of(&v1::DeepVerifyView { bytes_read: read, bytes_total: total, ..Default::default() });
        assert_eq!([of(0, 0), of(5, 100), of(19, 100), of(100, 100), of(7, 3)], [0, 0, 1, 10, 10]);
    }
}
