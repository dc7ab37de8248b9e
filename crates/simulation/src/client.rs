//! A node's client: enrols, then stores, reads, lists and deletes without a pause, as its dice say, and holds every answer
//! against what it was told before. At the end it looks at everything.

use crate::cluster::{Phase, Shared};
use crate::ground::{CONTROLLERS, Ground, ROUTER};
use crate::line::{Answer, Clock, Line, Question, bytes};
use crate::reference::{Known, Reference};
use crate::tally::Sort;
use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use shardlift_api::v1;
use shardlift_api::v1::enrolment_client::EnrolmentClient;
use shardlift_pki::SecretPem;
use shardlift_pki::request::create_key_and_request;
use shardlift_pki::tls::pinned_channel;
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Kinds that a client stores, and how often each.
const KINDS: [(&str, u32); 4] = [("data", 6), ("index", 2), ("snapshots", 1), ("locks", 2)];

/// Most bytes of an object.
const OBJECT_BYTES_MAX: usize = 40_000;

/// Connections on which a client works at the same time.
const HANDS: u64 = 2;

/// Requests of a connection that has begun to work.
const WARM: u32 = 6;

/// How long after all is mended a client may still find no server.
const SERVED_MAX: Duration = Duration::from_secs(120);

/// One line of a listing.
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    size: u64,
}

/// One of a client's connections and what it does there. All of a client share what was told.
struct Hand {
    shared: Arc<Shared>,
    node: &'static str,
    host: &'static str,
    dice: StdRng,
    line: Line,
    reference: Rc<RefCell<Reference>>,
}

/// Enrols and works until everything was looked at.
///
/// # Errors
/// When it cannot even begin.
pub async fn run(
    ground: Rc<Ground>,
    shared: Arc<Shared>,
    (node, host): (&'static str, &'static str),
    seed: u64,
) -> Result<()> {
    let enrolled = enrol(&shared, node, host).await?;
    let reference = Rc::new(RefCell::new(Reference::default()));
    let hand = |number: u64| -> Result<Hand> {
        let dice = StdRng::seed_from_u64(seed.wrapping_add(number << 32));
        let (shared, reference, line) = (shared.clone(), reference.clone(), enrolled.line(&ground)?);
        Ok(Hand { shared, node, host, dice, line, reference })
    };
    let mut hands = (0..HANDS).map(hand).collect::<Result<Vec<_>>>()?;
    futures::future::join_all(hands.iter_mut().map(Hand::work)).await;
    hand(HANDS)?.look().await;
    shared.is_done();
    Ok(())
}

/// What a client got from the CA.
struct Enrolled {
    node: &'static str,
    server_name: String,
    chain: String,
    key: SecretPem,
}

impl Enrolled {
    fn line(&self, ground: &Ground) -> Result<Line> {
        let ca = std::fs::read_to_string(ground.ca()).context("reading the CA")?;
        let address = format!("{ROUTER}:8443");
        Line::new(&address, &self.server_name, self.node, &ca, &self.chain, self.key.expose())
    }
}

async fn enrol(shared: &Shared, node: &'static str, host: &str) -> Result<Enrolled> {
    let (token, fingerprint) = loop {
        match shared.token(node) {
            Some(handed) => break handed,
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let (key, csr_der) = create_key_and_request()?;
    let channel = pinned_channel(&format!("{}:7401", CONTROLLERS[0]), &fingerprint)?;
    let enrolled = EnrolmentClient::new(channel).enrol(v1::EnrolRequest { token, csr_der }).await?.into_inner();
    ensure!(enrolled.node == node, "enrolled as {}", enrolled.node);
    shared.story.tell(host, format_args!("{node} is enrolled as {}", enrolled.server_name));
    Ok(Enrolled { node, server_name: enrolled.server_name, chain: enrolled.chain_pem, key })
}

impl Hand {
    async fn work(&mut self) {
        let mut asked = 0;
        while !self.shared.is_at(Phase::Looking) {
            self.act().await;
            asked += 1;
            if asked == WARM {
                self.shared.is_working();
            }
            let pause = if self.shared.is_at(Phase::Moving) { 10..250 } else { 50..500 };
            let pause = self.dice.random_range(pause);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn told(&self) -> RefMut<'_, Reference> {
        self.reference.borrow_mut()
    }

    fn tell(&self, what: impl std::fmt::Display) {
        self.shared.story.tell(self.host, what);
    }

    fn violate(&self, what: impl std::fmt::Display) {
        self.shared.story.violate(self.host, format_args!("{}: {what}", self.node));
    }

    /// One request, and what it means. Nobody who moves is ever told that he is a stranger or has nothing.
    async fn ask(&mut self, question: &Question) -> Answer {
        let answer = self.line.ask(question).await;
        let word = match &answer {
            Answer::Status(status, _) => status.to_string(),
            other => format!("{other:?}").to_lowercase(),
        };
        let path = &question.path[..question.path.len().min(18)];
        self.tell(format_args!("{} {} {path} -> {word}", question.method, self.node));
        match &answer {
            Answer::Refused(Clock::OfServer) => self.shared.tally.count(Sort::ServerExpired),
            Answer::Refused(Clock::OfClient) => self.shared.tally.count(Sort::ClientExpired),
            _ if self.line.was_refused() => self.shared.tally.count(Sort::ClientExpired),
            _ => {}
        }
        if let Answer::Status(status @ (401 | 403 | 405), _) = answer {
            self.violate(format_args!("{} {path} was answered {status}", question.method));
        }
        answer
    }

    async fn act(&mut self) {
        if self.dice.random_ratio(1, 12) {
            self.line.hang_up();
        }
        match self.dice.random_range(0..100) {
            0..50 => self.store().await,
            50..68 => self.read().await,
            68..80 => self.list().await,
            80..96 => self.delete().await,
            _ => self.prune().await,
        }
    }

    fn kind(&mut self) -> &'static str {
        let mut at = self.dice.random_range(0..KINDS.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in KINDS {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        KINDS[0].0
    }

    async fn store(&mut self) {
        let kind = self.kind();
        let most = if self.dice.random_ratio(1, 4) { OBJECT_BYTES_MAX } else { 2_000 };
        let length = self.dice.random_range(40..most);
        let body = bytes(&mut self.dice, length);
        let name = hex::encode(Sha256::digest(&body));
        // Some are slow, so that a fence finds them on their way.
        let pieces = if self.dice.random_ratio(1, 5) {
            (self.dice.random_range(2..6), Duration::from_millis(self.dice.random_range(50..900)))
        } else {
            (1, Duration::ZERO)
        };
        let question = Question { method: "POST", path: format!("{kind}/{name}"), body: body.clone(), pieces };
        let mut acknowledged = false;
        self.told().asks_to_store(kind, &name, body);
        // As clients do: what was not acknowledged is sent again.
        for _try in 0..3 {
            let answer = self.ask(&question).await;
            acknowledged = matches!(answer, Answer::Status(200, _));
            if acknowledged {
                break;
            }
            if let Answer::Status(400 | 404, _) = answer {
                self.violate(format_args!("storing {kind} was answered {answer:?}"));
            }
            let pause = self.dice.random_range(200..1500);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        if acknowledged {
            self.told().stored(&name);
        }
    }

    fn any(&mut self, kind: &str) -> Option<String> {
        let names = self.told().known_as(kind, Known::Stored);
        if names.is_empty() { None } else { Some(names[self.dice.random_range(0..names.len())].clone()) }
    }

    async fn read(&mut self) {
        let kind = self.kind();
        if let Some(name) = self.any(kind) {
            self.check(kind, &name).await;
        }
    }

    /// Whether there was an answer that could be held against the reference.
    async fn check(&mut self, kind: &str, name: &str) -> bool {
        let mut before = self.told().get(name).map(|object| object.known);
        let found = match self.ask(&Question::plain("GET", format!("{kind}/{name}"))).await {
            Answer::Status(200 | 206, body) => Some(body),
            Answer::Status(404, _) => None,
            _ => return false,
        };
        if self.shared.witness.is_given_up(self.node, name) {
            if before == Some(Known::Stored) && found.is_none() {
                self.shared.tally.count(Sort::LossFelt);
            }
            before = Some(Known::Open);
        }
        let wrong = self.told().judge(before, name, found.as_deref());
        if let Some(wrong) = wrong.filter(|_| !self.shared.is_rotten(self.node, name)) {
            self.violate(wrong);
        }
        true
    }

    async fn list(&mut self) {
        let kind = self.kind();
        self.check_listing(kind).await;
    }

    async fn check_listing(&mut self, kind: &str) -> bool {
        let mut before = self.told().clone();
        match self.ask(&Question::plain("GET", format!("{kind}/"))).await {
            Answer::Status(200, body) => match serde_json::from_slice::<Vec<Listed>>(&body) {
                Ok(listed) => {
                    let listed: BTreeMap<_, _> = listed.into_iter().map(|line| (line.name, line.size)).collect();
                    before.doubt(|name| self.shared.witness.is_given_up(self.node, name));
                    let wrongs = self.told().judge_listing(&before, kind, &listed);
                    for wrong in wrongs {
                        self.violate(wrong);
                    }
                    true
                }
                Err(error) => {
                    self.violate(format_args!("a listing that is none: {error}"));
                    true
                }
            },
            Answer::Status(404, _) => {
                self.violate(format_args!("{kind} has no listing"));
                true
            }
            _ => false,
        }
    }

    async fn delete(&mut self) {
        let kind = self.kind();
        if let Some(name) = self.any(kind) {
            self.delete_one(kind, &name).await;
        }
    }

    async fn delete_one(&mut self, kind: &str, name: &str) {
        if !self.told().asks_to_delete(name) {
            return;
        }
        if let Answer::Status(200, _) = self.ask(&Question::plain("DELETE", format!("{kind}/{name}"))).await {
            self.told().deleted(name);
        }
    }

    /// Deletes a good part of all packs, one after the other.
    async fn prune(&mut self) {
        let names = self.told().known_as("data", Known::Stored);
        for name in names.iter().take(names.len() / 2) {
            self.delete_one("data", name).await;
        }
    }

    /// Everything, once all is mended. A request that finds no server is made again.
    async fn look(&mut self) {
        let until = self.shared.story.now() + SERVED_MAX;
        self.line.hang_up();
        for (kind, _) in KINDS {
            while !self.check_listing(kind).await {
                if !self.again(until).await {
                    return;
                }
            }
        }
        for (kind, name) in KINDS
            .map(|(kind, _)| kind)
            .into_iter()
            .flat_map(|kind| {
                let names = self.told().known_as(kind, Known::Stored);
                names.into_iter().map(move |name| (kind, name)).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
        {
            while !self.check(kind, &name).await {
                if !self.again(until).await {
                    return;
                }
            }
        }
        let body = bytes(&mut self.dice, 100);
        let path = format!("data/{}", hex::encode(Sha256::digest(&body)));
        let last = Question { method: "POST", path, body, pieces: (1, Duration::ZERO) };
        while !matches!(self.ask(&last).await, Answer::Status(200, _)) {
            if !self.again(until).await {
                return;
            }
        }
        let (stored, deleted, open) = self.told().count();
        self.tell(format_args!("{} has {stored} stored, {deleted} deleted, {open} open", self.node));
    }

    /// Waits a little; false when it has been long enough.
    async fn again(&mut self, until: Duration) -> bool {
        if self.shared.story.now() >= until {
            self.violate("is not served although all is mended");
            return false;
        }
        self.line.hang_up();
        tokio::time::sleep(Duration::from_secs(1)).await;
        true
    }
}
