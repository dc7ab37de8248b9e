//! Plans from the question to the plan in force: wishes, what has drifted, another base, and files that no journal takes.

use super::bench::{Bench, Running};
use shardlift_api::fault::FaultKind;
use shardlift_api::v1::{self, customer_wish, operator_server::Operator as _, plan_wishes};
use shardlift_store::MemoryStore;
use std::sync::Arc;
use tonic::{Request, Status};

const NODES: [&str; 3] = ["acme/web-1", "acme/web-2", "zeta/mail"];

async fn running(bench: &Bench) -> Running {
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(bench, NODES.len()).await.unwrap();
    running
}

async fn made(running: &Running, wishes: v1::PlanWishes) -> Result<v1::MakePlanResponse, Status> {
    let request = v1::MakePlanRequest { source: "source".into(), wishes: Some(wishes), ..Default::default() };
    running.operator.make_plan(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn problems(running: &Running, toml: &str) -> v1::CheckPlanResponse {
    let request = v1::CheckPlanRequest { toml: toml.to_owned() };
    running.operator.check_plan(Request::new(request)).await.unwrap().into_inner()
}

async fn apply(running: &Running, toml: &str, accept_drift: bool) -> Result<(), Status> {
    let request = v1::ApplyPlanRequest { toml: toml.to_owned(), revision: 1, accept_drift };
    running.operator.apply_plan(Request::new(request)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_keeps_to_what_it_was_made_for() {
    let bench = Bench::new(&NODES).await;
    let running = running(&bench).await;
    let rule = Some(customer_wish::Rule::Together(true));
    let wishes = v1::PlanWishes {
        goal: Some(plan_wishes::Goal::LeaveNodes(1)),
        pins: vec!["zeta/mail".into()],
        customers: vec![v1::CustomerWish { customer: "acme".into(), rule }],
        ..Default::default()
    };
    let answer = made(&running, wishes).await.unwrap();
    assert!(answer.toml.contains("[wishes]\ngoal = { leave = 1 }\npins = [\"zeta/mail\"]\n"), "{}", answer.toml);
    assert!(answer.report.iter().any(|line| line.starts_with("stays: zeta/mail: pinned")), "{:?}", answer.report);
    let checked = problems(&running, &answer.toml).await;
    assert_eq!((checked.problems, checked.drift, checked.nodes), (vec![], vec![], 2));
    // One of the two was taken out by hand: more stay than were to, and two that belong together are apart.
    let lines = answer.toml.lines().filter(|line| !line.starts_with("\"acme/web-2\" = \"shard"));
    let found = problems(&running, &lines.collect::<Vec<_>>().join("\n")).await.problems;
    let words: Vec<&str> = found.iter().map(|problem| problem.message.as_str()).collect();
    assert!(words.contains(&"1 node may stay on `source`, but 2 would"), "{words:?}");
    assert!(words.iter().any(|words| words.starts_with("customer `acme` is kept together")), "{words:?}");
    // What cannot be is refused before a plan is made.
    let absurd = v1::PlanWishes { goal: Some(plan_wishes::Goal::PeakAtMostPercent(300)), ..Default::default() };
    let refused = made(&running, absurd).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Refused);
    assert!(refused.message().starts_with("goal: "), "{refused:?}");
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_another_world_is_applied_only_when_that_is_accepted() {
    let bench = Bench::new(&NODES).await;
    let running = running(&bench).await;
    let toml = made(&running, v1::PlanWishes::default()).await.unwrap().toml;
    let line = toml.lines().find(|line| line.starts_with("\"acme/web-1\" = \"source ")).unwrap();
    let drifted = toml.replace(line, "\"acme/web-1\" = \"source 77 1\"");
    let checked = problems(&running, &drifted).await;
    assert_eq!(checked.problems, vec![]);
    assert!(checked.drift[0].starts_with("node `acme/web-1` has changed hands: generation 77 -> "), "{checked:?}");
    let refused = apply(&running, &drifted, false).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Refused);
    assert!(refused.message().contains("changed hands") && refused.message().contains("--accept-drift"), "{refused:?}");
    assert!(running.world(|world| world.plan.is_none()));
    let request = v1::RebasePlanRequest { toml: drifted.clone(), redraw: true };
    let again = running.operator.rebase_plan(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(problems(&running, &again.toml).await.drift, Vec::<String>::new());
    apply(&running, &drifted, true).await.unwrap();
    // The plan in force is what the next one is based on.
    let request = v1::RebasePlanRequest { toml: format!("# mine\n{toml}"), redraw: false };
    let next = running.operator.rebase_plan(Request::new(request)).await.unwrap().into_inner();
    assert_eq!((next.revision, next.based_on), (2, 1));
    assert!(next.toml.starts_with("# mine\n") && next.toml.contains("\nrevision = 2           # this plan\n"));
    let request = v1::DiffPlanRequest { toml: next.toml.clone() };
    let beside = running.operator.diff_plan(Request::new(request)).await.unwrap().into_inner();
    assert_eq!((beside.in_force, beside.changes, beside.open.unwrap().nodes), (1, vec![], 3));
    let request = v1::GraphPlanRequest { toml: next.toml };
    let picture = running.operator.graph_plan(Request::new(request)).await.unwrap().into_inner();
    assert!(!picture.load_known && picture.weeks.is_empty() && picture.without_capacity.contains(&"source".to_owned()));
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_no_record_holds_is_refused_and_the_controller_lives() {
    let bench = Bench::new(&NODES).await;
    let running = running(&bench).await;
    let toml = made(&running, v1::PlanWishes::default()).await.unwrap().toml;
    // Each quote has two bytes in a record.
    let remark = format!("#{}\n", "\"".repeat(900));
    let long = format!("{toml}{}", remark.repeat((11 << 20) / remark.len()));
    let refused = apply(&running, &long, false).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Exhausted, "{refused:?}");
    assert!(refused.message().contains("16.0 MiB"), "{refused:?}");
    apply(&running, &toml, false).await.unwrap();
    running.end().await.unwrap();
    bench.end().await;
}
