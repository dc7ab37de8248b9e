//! The whole cluster, once or as it changes.

use crate::cli::{Format, Global, StatusArguments};
use crate::connection::Connection;
use crate::exit::Failure;
use crate::follow::Follower;
use crate::output::{print, print_line, put, status_text};
use crate::progress::{Display, Watched};
use shardlift_api::v1;

pub(crate) async fn status(global: &Global, arguments: &StatusArguments) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    if !arguments.watch {
        let status = connection.answer(connection.client.clone().get_status(v1::GetStatusRequest {})).await?;
        return print(global.output, &status, status_text);
    }
    let mut follower = Follower::new(connection, None);
    let mut display = Display::to_stderr(Watched::All);
    loop {
        let status = follower.next().await?;
        match global.output {
            Format::Json => print_line(&status)?,
            Format::Table => display.show(&status).iter().try_for_each(|line| put(line))?,
        }
    }
}
