//! Waiting for events, and letting time pass where a constant of the gateway's is long.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{advance, pause, resume, timeout};

/// Nothing that these tests wait for takes longer, on a busy machine either.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits for something that must happen. Fails the test if it does not.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    let event = timeout(LONGEST, event).await;
    event.expect("it happens in time")
}

/// Waits for something while the clock of this runtime runs ahead in steps. The runtime must have
/// one thread only.
pub(crate) async fn hastened<T>(step: Duration, event: impl Future<Output = T>) -> T {
    // What is on its way between sockets needs no clock, only a moment.
    const MOMENT: Duration = Duration::from_millis(50);
    let mut event = pin!(event);
    for _ in 0..500 {
        if let Ok(happened) = timeout(MOMENT, event.as_mut()).await {
            return happened;
        }
        pause();
        advance(step).await;
        resume();
    }
    panic!("it does not happen, however much time passes");
}
