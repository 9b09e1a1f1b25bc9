//! The load where latency is measured, and what access costs: gRPC calls from one thread, on a few
//! connections or each on one of its own.
//!
//! - `--rate`: an open loop. Calls begin at random intervals (Poisson, the same in each run) whether
//!   or not earlier ones have ended, and a call's time counts from when it should have begun: a
//!   pause of the server shows in all calls that it delays.
//! - `--callers`: a closed loop. Each caller calls again as soon as its call has ended.
//! - `--hold`: calls that wait for as long as it runs, to see what a waiting call costs.
//!
//! Prints one JSON object.

mod client;

use std::{
    cell::{Cell, RefCell},
    error::Error,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use clap::Parser;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde::Serialize;
use tokio::{
    io::unix::AsyncFd,
    task::{JoinSet, LocalSet, spawn_local},
    time::{Instant, sleep, timeout},
};

use self::client::{Client, Tls};

/// Calls under way at which an open loop gives up: the server does not keep up.
const TOO_MANY: usize = 20_000;
/// How long calls may take to end after the last one began.
const LINGER: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error>;

/// gRPC calls, and how long they take.
#[derive(Parser)]
struct Args {
    /// Where the server is.
    #[arg(long)]
    target: SocketAddr,
    /// The method: `/package.Service/Method`.
    #[arg(long)]
    path: String,
    /// A file with the request as gRPC frames it.
    #[arg(long)]
    message: PathBuf,
    /// 0: each call has a connection of its own, which is closed when the call has ended.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    #[command(flatten)]
    tls: Tls,
    /// How long it is measured.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How long it runs before.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    #[command(flatten)]
    mode: Mode,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Mode {
    /// Calls a second.
    #[arg(long)]
    rate: Option<f64>,
    /// Callers at once.
    #[arg(long)]
    callers: Option<usize>,
    /// Calls that wait.
    #[arg(long)]
    hold: Option<usize>,
}

/// What has been seen. Times are in microseconds.
#[derive(Serialize)]
struct Report {
    ok: usize,
    failed: usize,
    /// What the first failure was.
    failure: Option<String>,
    /// Calls that ended a second.
    rate: f64,
    mean: f64,
    p50: u32,
    p99: u32,
    p999: u32,
    max: u32,
}

/// What became of the calls.
#[derive(Default)]
struct Calls {
    times: RefCell<Vec<u32>>,
    failed: Cell<usize>,
    failure: RefCell<Option<String>>,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = LocalSet::new().block_on(&runtime, run(args))?;
    if let Some(report) = report {
        println!("{}", serde_json::to_string(&report)?);
    }
    // Not waiting for calls that are still open.
    runtime.shutdown_background();
    Ok(())
}

async fn run(args: Args) -> Result<Option<Report>, Failure> {
    let client = Rc::new(Client::connect(&args).await?);
    let calls = Rc::new(Calls::default());
    let warm_up = Duration::from_secs_f64(args.warm_up);
    let measured = Duration::from_secs_f64(args.seconds);
    let began = Instant::now() + warm_up;
    let until = began + measured;
    let Mode {
        rate,
        callers,
        hold,
    } = args.mode;
    if let Some(count) = hold {
        hold_calls(&client, count, measured).await?;
        return Ok(None);
    }
    if let Some(rate) = rate {
        open_loop(&client, &calls, rate, (began, until)).await?;
    }
    if let Some(callers) = callers {
        closed_loop(&client, &calls, callers, (began, until)).await?;
    }
    Ok(Some(calls.report(measured)))
}

async fn open_loop(
    client: &Rc<Client>,
    calls: &Rc<Calls>,
    rate: f64,
    (began, until): (Instant, Instant),
) -> Result<(), Failure> {
    let timer = Timer::new()?;
    let mut random = fastrand::Rng::with_seed(10);
    let mut under_way = JoinSet::new();
    let mut due = Instant::now();
    loop {
        due += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / rate);
        if due >= until {
            break;
        }
        timer.wait(due).await?;
        let (client, calls) = (client.clone(), calls.clone());
        under_way.spawn_local(async move {
            let ended = client.call().await;
            if due >= began {
                calls.record(ended, due);
            }
        });
        while under_way.try_join_next().is_some() {}
        if under_way.len() > TOO_MANY {
            return Err("the server does not keep up with the rate".into());
        }
    }
    let all = async { while under_way.join_next().await.is_some() {} };
    timeout(LINGER, all).await?;
    Ok(())
}

async fn closed_loop(
    client: &Rc<Client>,
    calls: &Rc<Calls>,
    callers: usize,
    (began, until): (Instant, Instant),
) -> Result<(), Failure> {
    let mut under_way = JoinSet::new();
    for _ in 0..callers {
        let (client, calls) = (client.clone(), calls.clone());
        under_way.spawn_local(async move {
            loop {
                let begins = Instant::now();
                if begins >= until {
                    break;
                }
                let ended = client.call().await;
                if Instant::now() >= began && Instant::now() < until {
                    calls.record(ended, begins);
                }
            }
        });
    }
    let all = async { while under_way.join_next().await.is_some() {} };
    timeout(until - Instant::now() + LINGER, all).await?;
    Ok(())
}

async fn hold_calls(client: &Rc<Client>, count: usize, time: Duration) -> Result<(), Failure> {
    for number in 0..count {
        let client = client.clone();
        spawn_local(async move {
            if let Err(error) = client.call().await {
                eprintln!("a call that should wait has ended: {error}");
            }
        });
        // Not all at once: a connection to upstream each would overflow its backlog.
        if number % 50 == 49 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    sleep(time).await;
    Ok(())
}

// === impl Calls ===

impl Calls {
    fn record(&self, ended: Result<(), Failure>, begun: Instant) {
        match ended {
            Ok(()) => {
                let micros = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
                self.times.borrow_mut().push(micros);
            }
            Err(error) => {
                self.failed.set(self.failed.get() + 1);
                let mut failure = self.failure.borrow_mut();
                failure.get_or_insert_with(|| error.to_string());
            }
        }
    }

    fn report(&self, measured: Duration) -> Report {
        let mut times = self.times.take();
        times.sort_unstable();
        let at = |share: f64| {
            let index = (times.len() as f64 * share) as usize;
            times.get(index).or(times.last()).copied().unwrap_or(0)
        };
        let sum: f64 = times.iter().map(|time| f64::from(*time)).sum();
        Report {
            ok: times.len(),
            failed: self.failed.get(),
            failure: self.failure.take(),
            rate: times.len() as f64 / measured.as_secs_f64(),
            mean: sum / times.len().max(1) as f64,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }
}

/// Wakes to the microsecond; tokio's timers know milliseconds only.
struct Timer(AsyncFd<std::os::fd::OwnedFd>);

impl Timer {
    fn new() -> Result<Self, Failure> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "in place of an unsafe function; an `OwnedFd` stays the same"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self(timer))
    }

    async fn wait(&self, until: Instant) -> Result<(), Failure> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Behind: the calls that have begun go on in between.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: left.as_secs().try_into()?,
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        let mut ready = self.0.readable().await?;
        // Setting it again clears it.
        ready.clear_ready();
        Ok(())
    }
}
