//! Short outages of Redis, at any moment: also while what became of a create is noted.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::server::Server;

/// Disturbs it until it is over, and tells how often.
pub(crate) async fn disturb(redis: &Server, over: CancellationToken) -> usize {
    let mut glitches = 0;
    let pause = || sleep(millis(200..1_500));
    while over.run_until_cancelled(pause()).await.is_some() {
        glitches += 1;
        match fastrand::u8(0..3) {
            // An operation is given up after 500 ms, and executed all the same in the end.
            0 => fall_silent(redis).await,
            1 => break_connections(redis).await,
            _ => {
                fall_silent(redis).await;
                break_connections(redis).await;
            }
        }
    }
    glitches
}

async fn fall_silent(redis: &Server) {
    redis.freeze();
    sleep(millis(100..900)).await;
    redis.thaw();
}

/// What was executed a moment ago is not answered any more.
async fn break_connections(redis: &Server) {
    let mut connection = redis.connection().await;
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("normal");
    kill.exec_async(&mut connection).await.unwrap();
}

fn millis(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(range))
}
