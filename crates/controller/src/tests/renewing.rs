//! Renewal over a real listener: who gets a new certificate, for which name, and who gets none.

use super::bench::{Bench, credentials};
use super::serving::Served;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_api::v1::enrolment_client::EnrolmentClient;
use shardlift_api::v1::operator_client::OperatorClient;
use shardlift_api::v1::renewal_client::RenewalClient;
use shardlift_model::Role;
use shardlift_pki::request::create_key_and_request;
use shardlift_pki::tls::{pinned_channel, pinned_channel_as};
use shardlift_pki::{SecretPem, bundle, certificates_in, identity};
use tonic::transport::Channel;
use tonic::{Code, Status};

const NODE: &str = "acme/web-1";

/// A certificate with its key.
struct Held {
    pem: SecretPem,
    serial: String,
    name: String,
}

impl Held {
    fn of(chain_pem: &str, key: &SecretPem) -> Self {
        let leaf = certificates_in(chain_pem).unwrap()[0].clone();
        let name = identity::identity_in(&leaf).unwrap().to_uri();
        Self { pem: bundle::client_pem(chain_pem, key).unwrap(), serial: identity::serial_hex(&leaf).unwrap(), name }
    }
}

struct Client<'s> {
    served: &'s Served<'s>,
    root: String,
}

impl Client<'_> {
    async fn renew_with(&self, shown: &SecretPem, csr_der: Vec<u8>) -> Result<v1::RenewResponse, Status> {
        let channel = pinned_channel_as(&self.served.enrolment_address(), &self.root, shown).unwrap();
        RenewalClient::new(channel).renew(v1::RenewRequest { csr_der }).await.map(tonic::Response::into_inner)
    }

    async fn renew(&self, shown: &SecretPem) -> Result<Held, Status> {
        let (key, csr_der) = create_key_and_request().unwrap();
        let answer = self.renew_with(shown, csr_der).await?;
        assert_eq!(answer.root_fingerprint, self.root);
        Ok(Held::of(&answer.chain_pem, &key))
    }
}

async fn enrol(served: &Served<'_>, alice: &mut OperatorClient<Channel>) -> (Held, String) {
    let request = v1::CreateEnrolmentTokenRequest { node: NODE.into(), valid_minutes: 5 };
    let made = alice.create_enrolment_token(request).await.unwrap().into_inner();
    let pinned = pinned_channel(&served.enrolment_address(), &made.ca_fingerprint).unwrap();
    let (key, csr_der) = create_key_and_request().unwrap();
    let answer = EnrolmentClient::new(pinned).enrol(v1::EnrolRequest { token: made.token, csr_der }).await;
    (Held::of(&answer.unwrap().into_inner().chain_pem, &key), made.ca_fingerprint)
}

/// The handshake is refused, and the peer hears nothing.
fn is_no_word(refusal: &Status) -> bool {
    matches!(refusal.code(), Code::Unavailable | Code::Cancelled | Code::Unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_is_the_proof_and_the_name_stays_what_it_is() {
    let bench = Bench::new(&[NODE]).await;
    let served = Served::start(&bench).await;
    let mut alice = served.operator(Role::Operator);
    served.add_source(&mut alice, 1).await;
    let (first, root) = enrol(&served, &mut alice).await;
    let client = Client { served: &served, root };

    let second = client.renew(&first.pem).await.unwrap();
    assert_eq!((second.name.as_str(), first.name.as_str()), ("shardlift://c1/node/acme/web-1", second.name.as_str()));
    assert_ne!(second.serial, first.serial);
    let third = client.renew(&second.pem).await.unwrap();
    let listed = alice.list_certificates(v1::ListCertificatesRequest { node: NODE.into(), ..Default::default() });
    let listed = listed.await.unwrap().into_inner().certificates;
    let mut serials = [&first, &second, &third].map(|held| held.serial.clone());
    serials.sort();
    assert_eq!(listed.into_iter().map(|known| known.serial).collect::<Vec<_>>(), serials);

    // Nobody, and everybody who is no node.
    let nobody = pinned_channel(&served.enrolment_address(), &client.root).unwrap();
    let (_, csr_der) = create_key_and_request().unwrap();
    let refusal = RenewalClient::new(nobody).renew(v1::RenewRequest { csr_der: csr_der.clone() }).await.unwrap_err();
    assert_eq!(FaultKind::from(&refusal), FaultKind::Unauthenticated);
    let dir = bench.ca.dir.path();
    for role in [Role::Operator, Role::Controller, Role::Shard, Role::Router] {
        let paths = credentials(dir, served.authority(), role, "someone").paths().clone();
        let both = [paths.certificate, paths.key].map(|path| std::fs::read_to_string(path).unwrap());
        let refusal = client.renew(&SecretPem::new(both.concat())).await.map(|held| held.name).unwrap_err();
        assert_eq!(FaultKind::from(&refusal), FaultKind::Forbidden, "{role}");
    }
    // The name of another CA's certificate is nobody's name.
    let other = Bench::new(&[]).await;
    let authority = shardlift_pki::authority::Authority::load(&other.ca.dir.path().join("ca"), &"correct horse".into());
    let paths = credentials(other.ca.dir.path(), &authority.unwrap(), Role::Node, "globex").paths().clone();
    let both = [paths.certificate, paths.key].map(|path| std::fs::read_to_string(path).unwrap());
    let refusal = client.renew(&SecretPem::new(both.concat())).await.map(|held| held.name).unwrap_err();
    assert!(is_no_word(&refusal), "{refusal:?}");
    for csr_der in [vec![], vec![0x30, 0x03, 1, 2, 3], vec![0; 20_000]] {
        let refusal = client.renew_with(&third.pem, csr_der).await.unwrap_err();
        assert_eq!(FaultKind::from(&refusal), FaultKind::Invalid, "{refusal:?}");
    }

    // What is taken back gets nothing, and neither does what was got with it; what came before it does.
    let serials = vec![second.serial.clone()];
    alice.revoke_certificates(v1::RevokeCertificatesRequest { serials, ..Default::default() }).await.unwrap();
    for held in [&second, &third] {
        let refusal = client.renew(&held.pem).await.map(|held| held.name).unwrap_err();
        assert!(is_no_word(&refusal), "{refusal:?}");
    }
    client.renew(&first.pem).await.unwrap();
    // A later token takes the place of all before it.
    let (fresh, _) = enrol(&served, &mut alice).await;
    let refusal = client.renew(&first.pem).await.map(|held| held.name).unwrap_err();
    assert!(refusal.message().contains("a later token was used"), "{refusal:?}");
    client.renew(&fresh.pem).await.unwrap();
    served.end().await;
    other.end().await;
    bench.end().await;
}
