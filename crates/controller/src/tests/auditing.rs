//! The audit log of a controller over real listeners: what is in it after each thing that was done or refused, and whether it verifies.

use super::bench::{Bench, CLUSTER};
use super::serving::Served;
use shardlift_api::v1;
use shardlift_api::v1::enrolment_client::EnrolmentClient;
use shardlift_api::v1::renewal_client::RenewalClient;
use shardlift_audit::{Check, Head, PAYLOAD_TYPE, Record, Report, Signed, Statement, Value, field, segment_name};
use shardlift_model::{Role, UnixMillis};
use shardlift_pki::envelope::Envelope;
use shardlift_pki::request::create_key_and_request;
use shardlift_pki::tls::{pinned_channel, pinned_channel_as};
use shardlift_pki::{bundle, certificates_in, identity};
use std::path::Path;

const NODE: &str = "acme/web-1";

fn lines(folder: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read(folder.join(segment_name(1))).unwrap();
    text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap().to_vec()).collect()
}

fn records(folder: &Path) -> Vec<Record> {
    lines(folder).iter().map(|line| Record::read(line).unwrap()).collect()
}

/// With the cluster's root and nothing else.
fn check(folder: &Path, ca_pem: &str) -> Report {
    let roots = certificates_in(ca_pem).unwrap();
    let judge = move |text: &str| {
        let envelope = Envelope::read(format!("{text}\n").as_bytes()).map_err(|error| error.to_string())?;
        let payload = envelope.signed(PAYLOAD_TYPE).map_err(|error| error.to_string())?;
        let statement = Statement::read(payload).map_err(|error| error.to_string())?;
        let signer = envelope.signer(&roots, statement.at, Role::Controller).map_err(|error| error.to_string())?;
        Ok(Signed { statement, by: signer.identity.to_string() })
    };
    let mut check = Check::new(Head::NONE, &[], true, Box::new(judge));
    check.segment(&segment_name(1));
    lines(folder).iter().for_each(|line| check.line(line, true));
    check.end()
}

/// What records say, without those about the log itself.
fn said(records: &[Record]) -> Vec<String> {
    let own = ["segment begun", "log opened", "checkpoint"];
    let told = records.iter().filter(|record| !own.contains(&record.entry.what.as_str()));
    told.map(|record| {
        let entry = &record.entry;
        let who = entry.who.split(" at ").next().unwrap();
        format!("{who} | {} | {} | {}", entry.what, entry.subject, entry.outcome)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_or_refused_leaves_its_record_and_the_log_verifies() {
    let bench = Bench::new(&[NODE]).await;
    let served = Served::start(&bench).await;
    let folder = bench.ca.dir.path().join("audit");
    let mut alice = served.operator(Role::Operator);
    served.add_source(&mut alice, 1).await;
    alice.pause_batch(v1::BatchRequest { batch: "no\u{1b}[2J".into() }).await.unwrap_err();
    served.operator(Role::Shard).get_status(v1::GetStatusRequest {}).await.unwrap_err();
    // Questions leave nothing.
    alice.list_batches(v1::ListBatchesRequest::default()).await.unwrap();

    let request = v1::CreateEnrolmentTokenRequest { node: NODE.into(), valid_minutes: 5 };
    let made = alice.create_enrolment_token(request).await.unwrap().into_inner();
    let pinned = pinned_channel(&served.enrolment_address(), &made.ca_fingerprint).unwrap();
    let (key, csr_der) = create_key_and_request().unwrap();
    let enrol = async |token: String| {
        let request = v1::EnrolRequest { token, csr_der: csr_der.clone() };
        EnrolmentClient::new(pinned.clone()).enrol(request).await
    };
    enrol("sle1.guessed".into()).await.unwrap_err();
    let enrolled = enrol(made.token.clone()).await.unwrap().into_inner();
    let serial = |chain: &str| identity::serial_hex(&certificates_in(chain).unwrap()[0]).unwrap();
    let first = serial(&enrolled.chain_pem);

    let shown = bundle::client_pem(&enrolled.chain_pem, &key).unwrap();
    let channel = pinned_channel_as(&served.enrolment_address(), &made.ca_fingerprint, &shown).unwrap();
    let mut renewal = RenewalClient::new(channel);
    renewal.renew(v1::RenewRequest { csr_der: vec![1, 2, 3] }).await.unwrap_err();
    let csr_der = create_key_and_request().unwrap().1;
    let second =
        serial(&renewal.renew(v1::RenewRequest { csr_der: csr_der.clone() }).await.unwrap().into_inner().chain_pem);

    let request =
        v1::IssueRoleCertificateRequest { role: "router".into(), name: "r-9".into(), dns_names: vec![], csr_der };
    let third = serial(&alice.issue_role_certificate(request).await.unwrap().into_inner().chain_pem);
    let request = v1::RevokeCertificatesRequest { nodes: vec![NODE.into()], ..Default::default() };
    let revoked = alice.revoke_certificates(request).await.unwrap().into_inner();

    // All of it is on disk before anybody stops the controller.
    let records = records(&folder);
    assert_eq!(
        said(&records),
        [
            "operator someone | add shard | source | done",
            "operator someone | pause batch | no\u{fffd}[2J | invalid",
            "shard someone | call | /shardlift.v1.Operator/GetStatus | forbidden",
            "operator someone | create enrolment token | acme/web-1 | done",
            "nobody | enrol |  | unauthenticated",
            "nobody | enrol | acme/web-1 | done",
            "node acme/web-1 | renew certificate |  | invalid",
            "node acme/web-1 | renew certificate | acme/web-1 | done",
            "operator someone | issue certificate | router r-9 | done",
            "operator someone | revoke certificates | acme/web-1 (1 nodes, 0 serials) | done",
        ]
    );
    let of = |what: &str| records.iter().rfind(|record| record.entry.what == what).unwrap();
    assert_eq!(of("enrol").text(field::SERIAL), Some(first.as_str()));
    assert!(of("enrol").entry.who.starts_with("nobody at 127.0.0.1:"));
    let renewed = of("renew certificate");
    assert_eq!(
        (renewed.text(field::SERIAL), renewed.text(field::SHOWN)),
        (Some(second.as_str()), Some(first.as_str()))
    );
    assert_eq!(of("issue certificate").text(field::SERIAL), Some(third.as_str()));
    let mut both = vec![first, second];
    both.sort();
    assert_eq!(revoked.serials, both);
    let taken = of("revoke certificates");
    assert_eq!(taken.entry.fields[field::SERIALS], Value::Names(both));
    assert_eq!((taken.text(field::NODE), taken.text("reason")), (Some(NODE), Some("unspecified")));
    assert!(records.windows(2).all(|pair| pair[0].at <= pair[1].at && pair[0].at > UnixMillis(0)));
    let text = std::fs::read_to_string(folder.join(segment_name(1))).unwrap();
    assert!(!text.contains(&made.token) && !text.contains("PRIVATE"), "no secrets");

    served.end().await;
    let report = check(&folder, &bench.issuer.cluster_ca_pem());
    assert_eq!((report.faults.as_slice(), report.torn_bytes), (&[][..], 0));
    let signed = report.signed.unwrap();
    assert_eq!(signed.statement.head.seq, report.head.seq - 1, "the end is signed");
    assert_eq!((signed.by.as_str(), signed.statement.cluster.as_str()), ("controller controller-1", CLUSTER));
    // Another cluster's root proves nothing.
    let other = Bench::new(&[]).await;
    assert!(!check(&folder, &other.issuer.cluster_ca_pem()).faults.is_empty());
    other.end().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_audit_log_nothing_is_done_and_no_certificate_leaves() {
    let bench = Bench::new(&[NODE]).await;
    let running = bench.lead(std::sync::Arc::new(shardlift_store::MemoryStore::new(CLUSTER.parse().unwrap()))).await;
    running.add_parts(&bench, 1).await.unwrap();
    let before = running.world(|world| world.certificates.len());
    // It fails under the feet of one who was let in: what was made stays here.
    let audit = &running.context.audit;
    let token = running.token(NODE).await.unwrap();
    audit.set_failing(true);
    let refusal = running.enrol_with(&token).await.unwrap_err();
    assert!(refusal.message().contains("not in the audit log"), "{refusal:?}");
    assert_eq!(running.world(|world| world.certificates.len()), before + 1);
    // From then on nobody is let in, until it can be written again; and nothing has happened meanwhile.
    let revision = || running.world(|world| (world.enrolments.clone(), world.certificates.len()));
    let held = revision();
    let refusal = running.token(NODE).await.unwrap_err();
    assert!(refusal.message().starts_with("refused: the audit log cannot be written"), "{refusal:?}");
    assert!(running.enrol_with(&token).await.unwrap_err().message().starts_with("refused: the audit log"));
    assert_eq!(revision(), held);
    audit.set_failing(false);
    super::bench::eventually("it can be written again", || audit.admit().is_ok()).await;
    let token = running.token(NODE).await.unwrap();
    running.enrol_with(&token).await.unwrap();
    let kept = audit.kept();
    let enrolled = kept.iter().filter(|record| record.entry.what == "enrol" && record.entry.outcome == "done").count();
    assert_eq!(enrolled, 1);
    let more = |record: &&Record| record.entry.what == "more refused";
    let refusals = kept.iter().filter(|record| record.entry.outcome != "done" && !more(record)).count();
    assert_eq!(refusals, 0, "while there is no room they are counted");
    running.end().await.unwrap();
    bench.end().await;
}
