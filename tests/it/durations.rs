//! The longest durations that the settings allow: no sum of them and a moment is an overflow.

use std::time::Duration;

use chartbrew_sandbox::{Fault, Gate};
use tonic::Code;

use crate::support::{
    gateway::{authorized, failure, minimal, sandbox, trailer, with_id},
    process::Process,
    time::soon,
};

const YEAR: &str = "8760h";
/// The longest wait that a server can ask for in whole seconds of 32 bits.
const CENTURY: &str = "4294967295";

#[tokio::test]
async fn a_year_is_no_overflow() {
    let sandbox = sandbox().await;
    let settings = [
        ("GATEWAY_CONNECT_TIMEOUT", YEAR),
        ("GATEWAY_IDLE_TIMEOUT", YEAR),
        ("GATEWAY_CREATE_DEADLINE", YEAR),
        ("GATEWAY_HANDSHAKE_TIMEOUT", YEAR),
        ("GATEWAY_MESSAGE_TIMEOUT", YEAR),
        ("GATEWAY_SHUTDOWN_GRACE", YEAR),
        ("GATEWAY_BACKOFF_MAX", YEAR),
        ("GATEWAY_CIRCUIT_PROBE", YEAR),
        ("GATEWAY_RECOVERY_WINDOW", YEAR),
        ("GATEWAY_ABANDONED_AFTER", YEAR),
        ("GATEWAY_CIRCUIT_FAILURES", "1"),
    ];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    let create = async |message| soon(gateway.create(authorized(message))).await;

    create(minimal("created")).await.unwrap();
    sandbox.script([Fault::create().drop_after_storing()]);
    let found = create(with_id("found")).await.unwrap();
    assert_eq!(trailer(found.metadata(), "x-outcome"), Some("recovered"));
    // A wait that is longer than any deadline is not begun.
    let busy = Fault::create().status(429);
    sandbox.script([busy.header("retry-after", CENTURY)]);
    let refused = failure(create(minimal("busy")).await);
    assert_eq!(refused.code, Code::ResourceExhausted);
    // A caller leaves, and its response is waited for.
    let gate = Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let left = with_id("left");
    let mut hasty = authorized(left.clone());
    hasty.set_timeout(Duration::from_secs(2));
    failure(soon(gateway.create(hasty)).await);
    gate.open();
    let replayed = create(left).await.unwrap();
    assert_eq!(trailer(replayed.metadata(), "x-outcome"), Some("replayed"));
    // The circuit opens for a year.
    sandbox.script([Fault::create().not_forwarded().forever()]);
    for _ in 0..2 {
        let refused = failure(create(minimal("refused")).await);
        assert_eq!(refused.code, Code::Unavailable);
    }
    gateway.terminate().await;
    assert!(gateway.ended().await);
    gateway.line("stopped").await;
    assert!(gateway.lines("ERROR").is_empty());
}
