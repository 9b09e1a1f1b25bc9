//! Claims kept in Redis or Valkey: shared by several gateways, and there after a restart of one.
//!
//! Every change is one script, which the server runs as one step. It uses the server's clock, so
//! that the clocks of the gateways need not agree. A gateway that dies cannot give its claims up. So
//! each claim is held by a lease, which its holder renews while it works ([`Lease`]); when the lease
//! has expired, another call may take the claim. If the holder was only slow, it is refused when it
//! is about to send.
//!
//! A record that the server loses can lead to a second connection. So use a server that does not
//! evict (`maxmemory-policy noeviction`) and that persists, if ids must survive its restart. A
//! failover to a replica can lose the last writes.

mod link;
mod settings;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::redis::{Cmd, Script, ScriptInvocation};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::AbortOnDropHandle;

pub use self::settings::RedisSettings;
use self::{
    link::{Link, watch_over},
    settings::Times,
};
use super::{Holder, Identity, Key, Lease, Next, StoreError, identity::hex};

/// Where the names of all keys begin.
const PREFIX: &str = "chartbrew-gateway";
/// The pause before a claim that another call holds is read again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// No pause between two reads is longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// That the store cannot be reached is logged at most this often.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// See the module's docs.
pub struct RedisStore {
    records: Records,
    owner: Script,
    /// A hash of the upstream: several Chartbrews have connections with the same id.
    upstream: String,
    reachable: watch::Receiver<bool>,
    last_logged: Mutex<Option<Instant>>,
    _watch: AbortOnDropHandle<()>,
}

/// The records of request ids. Cheap to clone: leases hold it too.
#[derive(Clone)]
struct Records {
    link: Link,
    script: Arc<Script>,
    times: Times,
}

/// What `record.lua` returns.
type Dated = (String, i64, i64);

// === impl RedisStore ===

impl RedisStore {
    pub(super) fn open(settings: &RedisSettings, upstream: &str) -> Result<Self, StoreError> {
        let link = Link::open(settings)?;
        // Not reachable until the first operation succeeds.
        let (report, reachable) = watch::channel(false);
        let watch = tokio::spawn(watch_over(link.clone(), report));
        Ok(Self {
            records: Records {
                link,
                script: Arc::new(Script::new(include_str!("redis/record.lua"))),
                times: settings.times(),
            },
            owner: Script::new(include_str!("redis/owner.lua")),
            upstream: hex(&Sha256::digest(upstream.as_bytes())[..16]),
            reachable,
            last_logged: Mutex::default(),
            _watch: AbortOnDropHandle::new(watch),
        })
    }

    pub(super) async fn claim(
        &self,
        identity: &Identity,
        holder: Holder,
    ) -> Result<Next, StoreError> {
        let fingerprint = identity.fingerprint.hex();
        let response = self
            .records
            .call(&identity.key, "claim", holder, &[fingerprint])
            .await?;
        match (response.0.as_str(), response.1, response.2) {
            ("run", ..) => Ok(Next::Run),
            ("wait", id, _) => Ok(Next::Wait {
                created: i32::try_from(id).ok().filter(|id| *id > 0),
            }),
            ("mismatch", ..) => Ok(Next::Mismatch),
            ("recover", ago, _) => Ok(Next::Recover {
                sent: Duration::from_millis(u64::try_from(ago).unwrap_or_default()),
            }),
            ("replay", id, complete) => Ok(Next::Replay {
                id: i32::try_from(id).map_err(|_| senseless())?,
                complete: complete != 0,
            }),
            _ => Err(senseless()),
        }
    }

    pub(super) fn lease(&self, key: &Key, holder: Holder) -> Lease {
        Lease::renewed_by(self.records.clone().renew(key.clone(), holder))
    }

    pub(super) async fn sending(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        self.records.change(key, "sending", holder, &[]).await
    }

    pub(super) async fn created(
        &self,
        key: &Key,
        holder: Holder,
        id: i32,
        complete: bool,
    ) -> Result<(), StoreError> {
        let outcome = [id.to_string(), u8::from(complete).to_string()];
        self.records.change(key, "created", holder, &outcome).await
    }

    pub(super) async fn release(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        self.records.change(key, "release", holder, &[]).await
    }

    pub(super) async fn abandon(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        self.records.change(key, "abandon", holder, &[]).await
    }

    /// Asks repeatedly: a claim changes only once or twice, and a lease expires without a
    /// notification.
    pub(super) async fn changed(&self, key: &Key) {
        let mut pause = FIRST_PAUSE;
        while self.records.is_held(key).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    pub(super) async fn is_free(
        &self,
        team: i32,
        id: i32,
        owner: &Key,
    ) -> Result<bool, StoreError> {
        let mut get = Cmd::new();
        get.arg("GET").arg(self.owner_key(team, id));
        let taken: Option<String> = self.records.link.query(&get).await?;
        Ok(taken.is_none_or(|taken| owner.hex() == taken))
    }

    pub(super) async fn assign(&self, team: i32, id: i32, owner: &Key) -> Result<bool, StoreError> {
        let mut call = self.owner.key(self.owner_key(team, id));
        call.arg(owner.hex())
            .arg(millis(self.records.times.retention));
        let marked: u8 = self.records.link.invoke(&call).await?;
        Ok(marked == 1)
    }

    pub(super) fn watch_reachable(&self) -> watch::Receiver<bool> {
        self.reachable.clone()
    }

    pub(super) fn should_log(&self) -> bool {
        // No code that can panic runs under this lock.
        let last = self.last_logged.lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| last.elapsed() >= LOG_PAUSE);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    fn owner_key(&self, team: i32, id: i32) -> String {
        let upstream = &self.upstream;
        format!("{PREFIX}:{{{upstream}:{team}:{id}}}:owner")
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

// === impl Records ===

impl Records {
    /// One operation of `record.lua`.
    async fn call(
        &self,
        key: &Key,
        operation: &str,
        holder: Holder,
        more: &[String],
    ) -> Result<Dated, StoreError> {
        let call = self.invocation(key, operation, holder, more);
        // Who holds the claim may do all of it twice; a change that another made in between shows.
        self.link.invoke(&call).await
    }

    fn invocation(
        &self,
        key: &Key,
        operation: &str,
        holder: Holder,
        more: &[String],
    ) -> ScriptInvocation<'_> {
        let mut call = self
            .script
            .key(format!("{PREFIX}:{{{}}}:request", key.hex()));
        call.arg(operation)
            .arg(holder.simple().to_string())
            .arg(millis(self.times.lease))
            .arg(millis(self.times.retention))
            .arg(more);
        call
    }

    async fn change(
        &self,
        key: &Key,
        operation: &str,
        holder: Holder,
        more: &[String],
    ) -> Result<(), StoreError> {
        match self.call(key, operation, holder, more).await?.0.as_str() {
            "done" => Ok(()),
            "lost" => Err(StoreError::Lost),
            _ => Err(senseless()),
        }
    }

    async fn is_held(&self, key: &Key) -> bool {
        let response = self.call(key, "held", Holder::nil(), &[]).await;
        response.is_ok_and(|(_, held, _)| held == 1)
    }

    /// Renews a lease until it is lost. Three tries fit into its time, more when they fail.
    async fn renew(self, key: Key, holder: Holder) {
        let mut pause = self.times.lease / 3;
        loop {
            tokio::time::sleep(pause).await;
            pause = match self.call(&key, "renew", holder, &[]).await {
                Ok((word, ..)) if word == "done" => self.times.lease / 3,
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, "cannot renew the lease of a request id");
                    self.times.lease / 10
                }
            };
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn senseless() -> StoreError {
    let what = "a record makes no sense: another program may use the same keys";
    StoreError::Unavailable(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_no_call_is_not_logged_each_time() {
        let settings = RedisSettings::parse("redis://127.0.0.1:1").unwrap();
        let store = RedisStore::open(&settings, "http://h").unwrap();
        assert!(store.should_log());
        assert!(!store.should_log());
        tokio::time::advance(LOG_PAUSE).await;
        assert!(store.should_log());
        assert!(!store.should_log());
    }
}
