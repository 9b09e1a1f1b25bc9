//! The soak: callers that cancel, time out and retry at random, an upstream that fails one call in
//! five in every way, and a gateway that is killed and started again.
//!
//! What must hold in the end, whatever happened:
//!
//! - no logical create has two rows: **0 duplicates**;
//! - every OK named the row that is there, the same one each time;
//! - every row that is there was told to its caller, or is found by asking again: **0 lost**.
//!
//! Bounded by default. The whole of it, with Redis and five kills, needs `redis-server`:
//!
//! ```text
//! SOAK_CREATES=20000 SOAK_KILLS=5 \
//!   cargo test --release --features redis-tests --test soak redis -- --nocapture
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; clippy.toml sees only #[test] bodies"
)]

#[cfg(feature = "redis-tests")]
#[path = "redis/server.rs"]
#[allow(dead_code, reason = "the tests of the store use the rest of it")]
mod server;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chartbrew_gateway::proto::{
    ConnectionType, CreateRequest, NewConnection,
    connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::{self as sandbox, Fault, Handle, Sandbox, User};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Request, transport::Channel};
use tonic_types::StatusExt;

const CALLERS: usize = 64;
/// Spread over teams, as real creates are: a list is of one team.
const TEAMS: usize = 100;
const TRIES: usize = 4;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn team(number: usize) -> i32 {
    number.try_into().unwrap()
}

// === the gateway, which can be killed ===

struct Gateway {
    child: Child,
    addr: SocketAddr,
    upstream: String,
    store: String,
}

impl Gateway {
    async fn start(upstream: String, store: String) -> Self {
        // Free now; nobody else asks for a port so soon again.
        let addr = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let child = spawn(addr, &upstream, &store);
        let gateway = Self {
            child,
            addr,
            upstream,
            store,
        };
        gateway.is_up().await;
        gateway
    }

    /// SIGKILL, and a new one in its place.
    async fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.addr, &self.upstream, &self.store);
        self.is_up().await;
    }

    async fn is_up(&self) {
        let up = async { while tokio::net::TcpStream::connect(self.addr).await.is_err() {} };
        timeout(Duration::from_secs(30), up)
            .await
            .expect("the gateway starts");
    }
}

fn spawn(addr: SocketAddr, upstream: &str, store: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_chartbrew-gateway"))
        .arg("serve")
        .args(["--listen", &addr.to_string()])
        .args(["--chartbrew-url", upstream])
        .args(["--recovery-window", "1s"])
        .args(["--abandoned-after", "8s"])
        .args(["--backoff", "5ms"])
        .args(["--max-in-flight", "4096"])
        .args(["--log", "off"])
        .env("GATEWAY_REQUEST_ID_STORE", store)
        .env("GATEWAY_ADMIN_LISTEN", "off")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// === the upstream, which fails one create in five ===

async fn upstream(creates: usize) -> Handle {
    let teams: Vec<_> = (1..=TEAMS).map(team).collect();
    let settings = sandbox::Settings {
        users: vec![User::owner(sandbox::TOKEN, teams)],
        ..sandbox::Settings::default()
    };
    let sandbox = Sandbox::bind(settings).await.unwrap();
    let handle = sandbox.handle();
    tokio::spawn(sandbox.run(std::future::pending()));
    // More than enough for every try.
    handle.script((0..creates * 3).map(|_| fault()));
    handle
}

fn fault() -> Fault {
    let ms = Duration::from_millis;
    let create = Fault::create;
    if fastrand::u8(0..5) > 0 {
        return create().delay_before_storing(ms(fastrand::u64(0..4)));
    }
    match fastrand::u8(0..16) {
        0 => create().not_forwarded(),
        1 => create().status(429).header("retry-after", "0"),
        2 => create().status(500),
        3 => create().store_then_body(500, "text/html", "x"),
        4 => create().store_then_body(502, "text/html", "x"),
        5 => create()
            .delay_before_storing(ms(300))
            .store_then_body(504, "text/html", "x"),
        6 => create().garbled_answer(),
        7 => create().cut_answer_at(fastrand::usize(0..200)),
        8 => create().drop_before_reading(),
        9 => create().drop_before_storing(),
        10 => create().drop_after_storing(),
        11 => create().delay_before_storing(ms(400)).drop_after_storing(),
        12 => create().delay_after_storing(ms(400)).drop_after_storing(),
        13 => create().delay_before_storing(ms(800)),
        14 => create().silent(),
        _ => create().slow_drip(ms(1)),
    }
}

// === the callers ===

/// One logical create.
#[derive(Clone)]
struct Wish {
    team: i32,
    name: String,
    request_id: String,
}

#[derive(Default)]
struct Tally {
    created: BTreeMap<String, i32>,
    unresolved: Vec<Wish>,
    told: BTreeMap<String, usize>,
}

impl Wish {
    fn new(number: usize) -> Self {
        Self {
            team: team(number % TEAMS + 1),
            name: format!("soak-{number}"),
            request_id: uuid::Uuid::new_v4().to_string(),
        }
    }

    fn request(&self, deadline: Duration) -> Request<CreateRequest> {
        let mut request = Request::new(CreateRequest {
            team_id: self.team,
            connection: Some(NewConnection {
                name: self.name.clone(),
                r#type: ConnectionType::Mongodb.into(),
                password: Some(self.request_id.clone()),
                ..NewConnection::default()
            }),
            request_id: Some(self.request_id.clone()),
            files: None,
        });
        let token = format!("Bearer {}", sandbox::TOKEN).parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request.set_timeout(deadline);
        request
    }

    /// Asks once. What it was told: an id, or a reason.
    async fn ask(&self, channel: &Channel, deadline: Duration) -> Result<i32, String> {
        let mut client = ConnectionServiceClient::new(channel.clone());
        match client.create(self.request(deadline)).await {
            Ok(response) => Ok(response.into_inner().connection.unwrap().id),
            Err(status) => {
                let details = status.get_error_details();
                let reason = details.error_info().map(|info| info.reason.clone());
                Err(reason.unwrap_or_else(|| format!("{:?}", status.code())))
            }
        }
    }

    /// Asks as a hasty caller does: gives up at random, and tries again.
    async fn pursue(self, channel: &Channel, tally: &Mutex<Tally>) {
        for _ in 0..TRIES {
            let deadline = Duration::from_millis(fastrand::u64(50..2_500));
            let ask = self.ask(channel, deadline);
            let told = match fastrand::u8(0..4) {
                // Hangs up without a word.
                0 => timeout(Duration::from_millis(fastrand::u64(0..100)), ask)
                    .await
                    .unwrap_or_else(|_| Err("(hung up)".to_owned())),
                _ => ask.await,
            };
            let done = told.is_ok() && fastrand::u8(0..10) > 0;
            self.note(told, tally);
            if done {
                return;
            }
        }
        let mut tally = tally.lock().unwrap();
        if !tally.created.contains_key(&self.name) {
            tally.unresolved.push(self);
        }
    }

    fn note(&self, told: Result<i32, String>, tally: &Mutex<Tally>) {
        let mut tally = tally.lock().unwrap();
        let what = match told {
            Ok(id) => {
                let known = *tally.created.entry(self.name.clone()).or_insert(id);
                assert_eq!(known, id, "{}: two responses for one request id", self.name);
                "OK".to_owned()
            }
            Err(reason) => reason,
        };
        *tally.told.entry(what).or_default() += 1;
    }
}

/// Every caller takes the next number until there is none.
async fn run_callers(channel: &Channel, creates: usize, begun: &Arc<AtomicUsize>) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (channel, tally, begun) = (channel.clone(), tally.clone(), begun.clone());
        callers.spawn(async move {
            loop {
                let number = begun.fetch_add(1, Ordering::SeqCst);
                if number >= creates {
                    return;
                }
                Wish::new(number).pursue(&channel, &tally).await;
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    std::mem::take(&mut *tally.lock().unwrap())
}

/// Asks again, with patience, for everything that no caller learned.
async fn ask_again(channel: &Channel, tally: Tally) -> Tally {
    let unresolved = Arc::new(Mutex::new(tally.unresolved.clone()));
    let tally = Arc::new(Mutex::new(tally));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (channel, tally, unresolved) = (channel.clone(), tally.clone(), unresolved.clone());
        callers.spawn(async move {
            loop {
                let Some(wish) = unresolved.lock().unwrap().pop() else {
                    return;
                };
                // Longer than a lease: what a killed gateway held is free again by then.
                let told = wish.ask(&channel, Duration::from_secs(25)).await;
                wish.note(told, &tally);
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    std::mem::take(&mut *tally.lock().unwrap())
}

async fn soak(store: String, creates: usize, kills: usize) {
    let upstream = upstream(creates).await;
    let mut gateway = Gateway::start(upstream.url(), store).await;
    let channel = Channel::from_shared(format!("http://{}", gateway.addr))
        .unwrap()
        .connect_lazy();
    let begun = Arc::new(AtomicUsize::new(0));
    let killing = async {
        for kill in 1..=kills {
            while begun.load(Ordering::SeqCst) < creates * kill / (kills + 1) {
                tokio::task::yield_now().await;
            }
            gateway.kill_and_restart().await;
        }
    };
    let (tally, ()) = tokio::join!(run_callers(&channel, creates, &begun), killing);
    let asked_again = tally.unresolved.len();
    upstream.clear_faults();
    let tally = ask_again(&channel, tally).await;
    report(&upstream, &tally, asked_again, kills);
}

fn report(upstream: &Handle, tally: &Tally, asked_again: usize, kills: usize) {
    let mut rows: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for team in (1..=TEAMS).map(team) {
        for row in upstream.rows(team) {
            let name = row["name"].as_str().unwrap().to_owned();
            rows.entry(name)
                .or_default()
                .push(row["id"].as_i64().unwrap().try_into().unwrap());
        }
    }
    let duplicates: Vec<_> = rows.iter().filter(|(_, ids)| ids.len() > 1).collect();
    let lost: Vec<_> = rows
        .keys()
        .filter(|name| !tally.created.contains_key(*name))
        .collect();
    let false_ok: Vec<_> = tally
        .created
        .iter()
        .filter(|(name, id)| rows.get(*name) != Some(&vec![**id]))
        .collect();
    eprintln!(
        "{} creates answered OK, {} rows stored, {} asked again, {kills} kills, {} duplicates, \
         {} lost, {} false\ntold: {:?}",
        tally.created.len(),
        rows.len(),
        asked_again,
        duplicates.len(),
        lost.len(),
        false_ok.len(),
        tally.told,
    );
    assert!(duplicates.is_empty(), "{duplicates:?}");
    assert!(lost.is_empty(), "{lost:?}");
    assert!(false_ok.is_empty(), "{false_ok:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_duplicated_or_lost_with_the_store_in_process() {
    soak("memory".to_owned(), setting("SOAK_CREATES", 1_000), 0).await;
}

#[cfg(feature = "redis-tests")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_duplicated_or_lost_with_redis_and_kills() {
    if !server::wanted() {
        return;
    }
    let redis = server::Server::start();
    soak(
        redis.url(),
        setting("SOAK_CREATES", 1_000),
        setting("SOAK_KILLS", 2),
    )
    .await;
}
