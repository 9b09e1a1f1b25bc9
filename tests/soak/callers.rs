//! Callers that cancel, time out and retry at random, and what they were told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chartbrew_gateway::proto::{
    ConnectionType, CreateRequest, NewConnection,
    connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox as sandbox;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Request, transport::Channel};
use uuid::Uuid;

use crate::{told::Told, upstream::team};

/// How many there are at a time.
const CALLERS: usize = 64;
/// How often a create is asked for at most.
const TRIES: usize = 4;
/// How often a library tries again by itself, and its first pause, which doubles.
const RETRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Longer than a lease: what a killed gateway held is free again by then.
const PATIENCE: Duration = Duration::from_secs(25);

/// All of them, and what they learned.
pub(crate) struct Callers {
    channel: Channel,
    /// How many creates were begun.
    pub(crate) begun: watch::Sender<usize>,
    tally: Mutex<Tally>,
}

/// What was learned of all creates.
#[derive(Default)]
pub(crate) struct Tally {
    /// The ids that each create was told: one, if all is well.
    pub(crate) created: BTreeMap<String, BTreeSet<i32>>,
    /// The creates that ended with the answer that nothing was created.
    pub(crate) nothing: Vec<Nothing>,
    /// The creates without a request_id.
    pub(crate) once: BTreeSet<String>,
    /// The creates with a request_id of which nothing was learned.
    unresolved: Vec<Wish>,
    /// How often a library tried again after its connection to the gateway broke.
    pub(crate) retried: usize,
    /// How many creates were told their connection by such a retry.
    pub(crate) retried_well: usize,
    /// How often each answer was given.
    pub(crate) told: BTreeMap<String, usize>,
}

/// A caller was told that nothing was created, and believed it.
#[derive(Debug)]
pub(crate) struct Nothing {
    pub(crate) name: String,
    pub(crate) reason: String,
    /// How often it had been asked for by then, this call included.
    pub(crate) calls: usize,
}

/// How a caller goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// Has a request_id and asks again until it is told the connection.
    Insists,
    /// Has one too, and stops at the first answer that nothing was created.
    Believes,
    /// Has none, and asks once.
    Once,
}

/// One logical create.
#[derive(Clone)]
struct Wish {
    name: String,
    team: i32,
    manner: Manner,
    request_id: Uuid,
}

// === impl Callers ===

impl Callers {
    pub(crate) fn new(channel: Channel) -> Arc<Self> {
        Arc::new(Self {
            channel,
            begun: watch::Sender::new(0),
            tally: Mutex::default(),
        })
    }

    /// Asks for so many creates: every caller takes the next number until there is none.
    pub(crate) async fn run(self: &Arc<Self>, creates: usize) {
        self.all(|callers| async move {
            while let Some(number) = callers.next(creates) {
                callers.pursue(Wish::new(number)).await;
            }
        })
        .await;
    }

    /// Asks again, with patience, for everything with a request_id that no caller learned. How
    /// many those were.
    pub(crate) async fn ask_again(self: &Arc<Self>) -> usize {
        let unresolved = std::mem::take(&mut self.tally().unresolved);
        let (count, left) = (unresolved.len(), Arc::new(Mutex::new(unresolved)));
        self.all(|callers| {
            let left = left.clone();
            async move {
                loop {
                    let Some(wish) = left.lock().unwrap().pop() else {
                        return;
                    };
                    let told = callers.ask(&wish, PATIENCE, 0).await;
                    callers.note(&wish, &told);
                }
            }
        })
        .await;
        count
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap()
    }

    /// Runs this as often as there are callers.
    async fn all<F>(self: &Arc<Self>, caller: impl Fn(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(caller(self.clone()));
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
    }

    fn next(&self, creates: usize) -> Option<usize> {
        let mut number = 0;
        self.begun.send_modify(|begun| {
            number = *begun;
            *begun += 1;
        });
        (number < creates).then_some(number)
    }

    /// Asks as a hasty caller does: gives up at random, and tries again.
    async fn pursue(&self, wish: Wish) {
        let tries = match wish.manner {
            Manner::Insists | Manner::Believes => TRIES,
            Manner::Once => {
                self.tally().once.insert(wish.name.clone());
                1
            }
        };
        let mut calls = 0;
        for _ in 0..tries {
            let told = self.try_once(&wish, &mut calls).await;
            if let Some(reason) = wish.believes(&told, calls) {
                let name = wish.name;
                self.tally().nothing.push(Nothing {
                    name,
                    reason,
                    calls,
                });
                return;
            }
            // Now and then one asks again for what it knows.
            if matches!(told, Told::Created(_)) && fastrand::u8(0..10) > 0 {
                return;
            }
        }
        let mut tally = self.tally();
        if wish.manner != Manner::Once && !tally.created.contains_key(&wish.name) {
            tally.unresolved.push(wish);
        }
    }

    /// One try, with all that the caller's library makes of it.
    async fn try_once(&self, wish: &Wish, calls: &mut usize) -> Told {
        let (mut retries, mut pause) = (0, FIRST_PAUSE);
        loop {
            *calls += 1;
            let ask = self.ask(wish, millis(50..2_500), retries);
            let told = match fastrand::u8(0..4) {
                // Hangs up without a word.
                0 => timeout(millis(0..100), ask).await.unwrap_or(Told::HungUp),
                _ => ask.await,
            };
            self.note(wish, &told);
            // What gRPC's `retryPolicy` does. Without a request_id it would be wrong.
            let may_retry = wish.manner != Manner::Once && retries < RETRIES;
            if !(matches!(told, Told::Broken) && may_retry) {
                let is_well = retries > 0 && matches!(told, Told::Created(_));
                self.tally().retried_well += usize::from(is_well);
                return told;
            }
            self.tally().retried += 1;
            sleep(pause.mul_f64(fastrand::f64())).await;
            (retries, pause) = (retries + 1, pause * 2);
        }
    }

    async fn ask(&self, wish: &Wish, deadline: Duration, retries: u32) -> Told {
        let mut request = wish.request();
        request.set_timeout(deadline);
        if retries > 0 {
            let retries = retries.to_string().parse().unwrap();
            let header = "grpc-previous-rpc-attempts";
            request.metadata_mut().insert(header, retries);
        }
        let mut client = ConnectionServiceClient::new(self.channel.clone());
        Told::by(client.create(request).await)
    }

    fn note(&self, wish: &Wish, told: &Told) {
        let mut tally = self.tally();
        if let Some(id) = told.id() {
            let ids = tally.created.entry(wish.name.clone());
            ids.or_default().insert(id);
        }
        *tally.told.entry(told.name()).or_default() += 1;
    }
}

// === impl Wish ===

impl Wish {
    fn new(number: usize) -> Self {
        let manner = match fastrand::u8(0..10) {
            0..3 => Manner::Once,
            3..6 => Manner::Believes,
            _ => Manner::Insists,
        };
        Self {
            name: format!("soak-{number}"),
            team: team(number),
            manner,
            request_id: Uuid::new_v4(),
        }
    }

    fn request(&self) -> Request<CreateRequest> {
        let id = self.request_id.to_string();
        let mut request = Request::new(CreateRequest {
            team_id: self.team,
            connection: Some(Box::new(NewConnection {
                name: self.name.clone(),
                r#type: ConnectionType::Mongodb.into(),
                password: Some(id.clone()),
                ..NewConnection::default()
            })),
            request_id: (self.manner != Manner::Once).then_some(id),
            files: None,
        });
        let token = format!("Bearer {}", sandbox::TOKEN).parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request
    }

    /// The reason why the caller is certain that there is no connection, and stops.
    fn believes(&self, told: &Told, calls: usize) -> Option<String> {
        let Told::Nothing(reason) = told else {
            return None;
        };
        // These speak of the call at hand only: an earlier one may have created it.
        let of_this_call = ["REQUEST_ID_STORE_UNAVAILABLE", "OVERLOADED"];
        let is_certain = calls == 1 || !of_this_call.contains(&reason.as_str());
        (self.manner != Manner::Insists && is_certain).then(|| reason.clone())
    }
}

fn millis(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(range))
}
