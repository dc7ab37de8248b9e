//! A router without clients: a table with the rules of the protocol, and probes answered with the credentials of the shard
//! that the table names.

use super::yard::{Mishap, Mutant, Spot, Yard};
use prost::Message as _;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::{self, NodeMode, router_control_server::RouterControl};
use shardlift_pki::tls::{Credentials, mutual_server_config};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tonic::{Request, Response, Status};

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) version: u64,
    pub(super) routes: BTreeMap<String, v1::Route>,
    /// What was changed last.
    last: Vec<v1::Route>,
}

impl Table {
    /// A change as a whole or not at all; the last one again changes nothing.
    fn apply(&mut self, change: &v1::ApplyRoutesRequest) -> Result<(), Fault> {
        let v1::ApplyRoutesRequest { version, upserts } = change;
        if *version == self.version && *upserts == self.last {
            return Ok(());
        }
        if *version <= self.version {
            return Err(Fault::new(FaultKind::Refused, format!("version {} is held", self.version)));
        }
        for route in upserts {
            let token = |route: &v1::Route| shardlift_model::Token::from(route.token.unwrap_or_default());
            if self.routes.get(&route.server_name).is_some_and(|held| token(held) > token(route)) {
                return Err(Fault::new(FaultKind::StaleToken, "a lower token"));
            }
        }
        self.version = *version;
        self.last.clone_from(upserts);
        self.routes.extend(upserts.iter().map(|route| (route.server_name.clone(), route.clone())));
        Ok(())
    }

    /// INV-03, INV-06: routes that come late change nothing.
    pub(super) fn arrive_late(&mut self, late: &v1::ApplyRoutesRequest) -> Option<String> {
        let before = (self.version, self.routes.clone());
        // Refused or a repetition: either is right.
        let answer = self.apply(late).map_err(|fault| fault.public().to_owned());
        (before != (self.version, self.routes.clone())).then(|| format!("INV-06: late routes changed it: {answer:?}"))
    }
}

#[derive(Debug, Clone)]
pub(super) struct FakeRouter {
    pub(super) table: Arc<Mutex<Table>>,
    pub(super) client_address: String,
    pub(super) yard: Yard,
}

type Answer<T> = Result<Response<T>, Status>;

impl FakeRouter {
    /// What goes wrong with these routes, if they place the node that is watched; an error while nobody leads.
    fn meet(&self, change: &v1::ApplyRoutesRequest) -> Result<Option<Mishap>, Fault> {
        self.yard.with(|copies| {
            let mishaps = &mut copies.mishaps;
            if mishaps.down {
                return Err(lost());
            }
            let watched = mishaps.node.as_ref().map(ToString::to_string);
            let own = change.upserts.iter().find(|route| Some(&route.node) == watched.as_ref());
            let generation = own.and_then(|route| route.token.as_ref()).map(|token| token.generation);
            let mishap = generation.and_then(|generation| mishaps.meet(&Spot::Routes(generation)));
            if mishap == Some(Mishap::Late) {
                mishaps.late_routes = Some(change.clone());
            }
            Ok(mishap)
        })
    }

    /// Connections that were passed elsewhere are ended before the change is answered.
    fn sever(&self, change: &v1::ApplyRoutesRequest) {
        self.yard.with(|copies| {
            if copies.mishaps.mutant == Some(Mutant::SeversNothing) {
                return;
            }
            for route in change.upserts.iter().filter(|route| route.sever) {
                let generation = route.token.as_ref().map_or(0, |token| token.generation);
                copies.severed.insert(route.node.parse().unwrap(), generation);
            }
        });
    }

    fn arrive_late(&self, table: &mut Table) {
        let late = self.yard.with(|copies| {
            copies.mishaps.arrived_late += usize::from(copies.mishaps.late_routes.is_some());
            copies.mishaps.late_routes.clone()
        });
        if let Some(violation) = late.and_then(|late| table.arrive_late(&late)) {
            self.yard.with(|copies| copies.violations.push(violation));
        }
    }
}

fn lost() -> Fault {
    Fault::new(FaultKind::Unavailable, "the connection broke")
}

#[tonic::async_trait]
impl RouterControl for FakeRouter {
    async fn apply_routes(&self, request: Request<v1::ApplyRoutesRequest>) -> Answer<v1::ApplyRoutesResponse> {
        let change = request.into_inner();
        let mishap = self.meet(&change)?;
        let mut table = self.table.lock().unwrap();
        if mishap == Some(Mishap::CrashBefore) {
            return Err(lost().into());
        }
        table.apply(&change)?;
        self.sever(&change);
        if mishap == Some(Mishap::Doubled) {
            table.apply(&change)?;
        }
        if matches!(mishap, Some(Mishap::CrashAfter | Mishap::AnswerLost)) {
            return Err(lost().into());
        }
        Ok(Response::new(v1::ApplyRoutesResponse { version: change.version }))
    }

    async fn get_routes(&self, request: Request<v1::GetRoutesRequest>) -> Answer<v1::GetRoutesResponse> {
        let after = request.into_inner().after;
        let mut table = self.table.lock().unwrap();
        self.arrive_late(&mut table);
        let routes: Vec<_> = table.routes.values().filter(|route| route.server_name > after).take(2).cloned().collect();
        let next = routes.last().filter(|_| routes.len() == 2).map(|route| route.server_name.clone());
        Ok(Response::new(v1::GetRoutesResponse { version: table.version, routes, next: next.unwrap_or_default() }))
    }

    async fn take_revocations(&self, _: Request<v1::TakeRevocationsRequest>) -> Answer<v1::TakeRevocationsResponse> {
        Err(Status::unimplemented("a fake router shuts nobody out"))
    }

    async fn describe_router(&self, _: Request<v1::DescribeRouterRequest>) -> Answer<v1::DescribeRouterResponse> {
        let table = self.table.lock().unwrap();
        Ok(Response::new(v1::DescribeRouterResponse {
            router: "router-1".into(),
            version: table.version,
            routes: table.routes.len() as u64,
            client_address: self.client_address.clone(),
            ..Default::default()
        }))
    }
}

pub(super) async fn answer_probes(
    listener: TcpListener,
    table: Arc<Mutex<Table>>,
    shards: BTreeMap<String, Arc<Credentials>>,
    yard: Yard,
) {
    while let Ok((stream, _)) = listener.accept().await {
        // A probe that breaks off is the asker's business.
        let _broken = answer(stream, &table, &shards, &yard).await;
    }
}

async fn answer(
    stream: TcpStream,
    table: &Mutex<Table>,
    shards: &BTreeMap<String, Arc<Credentials>>,
    yard: &Yard,
) -> std::io::Result<()> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let name = hello.client_hello().server_name().unwrap_or_default().to_owned();
    let shard = table.lock().unwrap().routes.get(&name).map(|route| route.shard.clone());
    let shard = shard.ok_or_else(|| std::io::Error::other("no route"))?;
    let tls = mutual_server_config(&shards[&shard], &[shardlift_api::PROBE_ALPN]).map_err(std::io::Error::other)?;
    let mut stream = hello.into_stream(tls.config()).await?;
    let length = stream.read_u32().await?;
    let mut request = vec![0; length as usize];
    stream.read_exact(&mut request).await?;
    let request = v1::ProbeRequest::decode(&request[..]).map_err(std::io::Error::other)?;
    yard.reach(&shard.parse().unwrap()).map_err(std::io::Error::other)?;
    let copy = yard.with(|copies| copies.all.get(&(shard.parse().unwrap(), request.node.parse().unwrap())).cloned());
    let copy = copy.ok_or_else(|| std::io::Error::other("no such node"))?;
    let broken = yard.with(|copies| {
        let mishaps = &mut copies.mishaps;
        let own = mishaps.node.as_ref().is_some_and(|node| node.as_str() == request.node);
        mishaps.down || own && mishaps.meet(&Spot::Probe(copy.generation)).is_some()
    });
    if broken {
        return Err(std::io::Error::other("the connection broke"));
    }
    let serving = copy.mode == NodeMode::Serving;
    let answer = v1::ProbeAnswer { shard, node: request.node, generation: copy.generation, serving }.encode_to_vec();
    stream.write_u32(u32::try_from(answer.len()).unwrap()).await?;
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

#[test]
fn late_routes_that_change_a_table_are_noticed() {
    let change = |version| v1::ApplyRoutesRequest {
        version,
        upserts: vec![v1::Route { server_name: "a".into(), node: "a".into(), ..Default::default() }],
    };
    let mut table = Table::default();
    for version in [1, 2] {
        table.apply(&change(version)).unwrap();
        assert_eq!((table.arrive_late(&change(version)), table.version), (None, version));
    }
    assert_eq!(table.arrive_late(&change(1)), None);
    // A table that has forgotten its version.
    table.version = 0;
    assert!(table.arrive_late(&change(1)).unwrap().starts_with("INV-06"));
}
