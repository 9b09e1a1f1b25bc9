//! One request for the team's list, shared by all recoveries that need it at the same time.
//!
//! A restart of Chartbrew loses the responses to everything in flight at once. If each recovery
//! read the team's list for itself, hundreds of lists would be read and held at the same time, by a
//! server that works on one at a time. So recoveries with the same token share a list, and only one
//! of them asks for it. A recovery uses no list that was asked for before the recovery began to
//! look.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::request_id::RETENTION;
use crate::chartbrew::{Client, Dated, Error, Token, types::ConnectionList};

/// How old a row may be that is looked for: as long as a request id is kept, and an hour in which
/// its request was under way. A team's older rows are not kept in memory.
const RECENT: Duration = RETENTION.saturating_add(Duration::from_secs(3600));

/// A team, and who sees it: a list shows what its token may see.
type Name = (i32, u64);
type List = Arc<Dated<ConnectionList>>;

/// The lists that are being read.
#[derive(Debug, Default)]
pub(super) struct Lists {
    by_name: SyncMutex<HashMap<Name, Arc<Latest>>>,
    /// Tokens are compared by a hash, from which no token can be computed.
    hasher: std::hash::RandomState,
}

/// The list that was read last, and when it was asked for.
#[derive(Debug, Default)]
struct Latest(Mutex<Option<(Instant, List)>>);

/// A recovery that uses the list. The list is kept while there is one.
struct Reader<'a> {
    lists: &'a Lists,
    name: Name,
    latest: Arc<Latest>,
}

impl Lists {
    /// The list, asked for no earlier than now.
    pub(super) async fn look(
        &self,
        client: &Client,
        token: &Token,
        team: i32,
    ) -> Result<List, Error> {
        let now = Instant::now();
        let name = (team, token.hash(&self.hasher));
        let reader = Reader {
            lists: self,
            name,
            latest: self.lock().entry(name).or_default().clone(),
        };
        reader.latest.read(client, token, team, now).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Latest>>> {
        // No code that can panic runs under the lock.
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut lists = self.lists.lock();
        // The map's reference and this one: no other recovery uses the list.
        if Arc::strong_count(&self.latest) == 2 {
            lists.remove(&self.name);
        }
    }
}

impl Latest {
    async fn read(
        &self,
        client: &Client,
        token: &Token,
        team: i32,
        no_earlier_than: Instant,
    ) -> Result<List, Error> {
        let mut latest = self.0.lock().await;
        if let Some((asked, list)) = &*latest
            && *asked >= no_earlier_than
        {
            return Ok(list.clone());
        }
        let asked = Instant::now();
        let list = Arc::new(client.list(token, team, RECENT).await?);
        *latest = Some((asked, list.clone()));
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_kept_of_a_look_that_was_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let settings = crate::chartbrew::Settings {
            url: url.parse().unwrap(),
            ..crate::chartbrew::Settings::default()
        };
        let client = Client::new(&settings, Duration::MAX);
        let (client, token) = (client.unwrap(), Token::parse("t").unwrap());
        let lists = Lists::default();
        let mut look = Box::pin(lists.look(&client, &token, 1));
        assert!(futures_util::FutureExt::now_or_never(look.as_mut()).is_none());
        assert_eq!(lists.lock().len(), 1);
        drop(look);
        assert!(lists.lock().is_empty());
    }
}
