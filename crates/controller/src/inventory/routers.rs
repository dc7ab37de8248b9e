//! Looks at one router.

use super::pause;
use crate::channels::{Deadline as _, Within as _};
use crate::effects::Context;
use shardlift_api::v1;
use shardlift_model::RouterId;
use std::time::Duration;

/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) async fn run(context: Context, router: RouterId) {
    loop {
        let address = context.routers().into_iter().find(|(known, _)| *known == router).map(|(_, address)| address);
        if let Some(address) = address {
            let mut client = context.channels.router(&router, &address);
            let answer = client.describe_router(DEADLINE.on(v1::DescribeRouterRequest {})).within(DEADLINE).await;
            context.shared.observe(|observed| {
                let seen = observed.routers.entry(router.clone()).or_default();
                match answer {
                    Ok(answer) => {
                        // A problem of the routes is the business of those who bring them in line.
                        if seen.about.is_none() {
                            seen.problem = None;
                        }
                        seen.about = Some(answer.into_inner());
                    }
                    Err(status) => {
                        seen.about = None;
                        seen.problem = Some(status.message().to_owned());
                    }
                }
            });
        }
        pause(&context).await;
    }
}
