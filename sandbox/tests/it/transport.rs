//! Connections live and end as the real server's do.

use std::time::Duration;

use chartbrew_sandbox::{Fault, Gate, Sandbox, Settings};
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    Running,
    raw::{Connection, Request},
};

const PATH: &str = "/team/1/connections";

#[tokio::test]
async fn a_connection_is_used_again_and_closed_when_it_has_been_idle() {
    let keep_alive = Duration::from_millis(300);
    let settings = Settings {
        keep_alive,
        ..Settings::default()
    };
    let sandbox = Running::start(settings).await;
    let mut connection = Connection::open(sandbox.handle.addr()).await;
    for _ in 0..2 {
        connection.write(&Request::get(PATH)).await;
        let response = connection.read().await.unwrap();
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
    let idle = tokio::time::Instant::now();
    assert!(connection.ends().await);
    assert!(idle.elapsed() >= keep_alive - Duration::from_millis(20));
}

#[tokio::test]
async fn keep_alive_does_not_limit_how_long_an_answer_takes() {
    let settings = Settings {
        keep_alive: Duration::from_millis(50),
        ..Settings::default()
    };
    let sandbox = Running::start(settings).await;
    let long = Duration::from_millis(300);
    sandbox
        .handle
        .script([Fault::list().delay_before_storing(long)]);
    let response = sandbox.send(Request::get(PATH)).await.unwrap();
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn the_default_announces_five_seconds_and_the_time_of_day() {
    let sandbox = Running::start(Settings::default()).await;
    let response = sandbox.send(Request::get(PATH)).await.unwrap();
    assert_eq!(response.header("keep-alive"), Some("timeout=5"));
    assert!(response.header("date").is_some());
}

#[tokio::test]
async fn a_caller_that_wants_the_connection_closed_has_it_closed() {
    let sandbox = Running::start(Settings::default()).await;
    let mut connection = Connection::open(sandbox.handle.addr()).await;
    let request = Request::get(PATH).header("connection", "close");
    connection.write(&request).await;
    let response = connection.read().await.unwrap();
    assert_eq!(response.header("connection"), Some("close"));
    assert!(connection.ends().await);
}

#[tokio::test]
async fn a_file_is_answered_up_to_a_mebibyte_and_never_above() {
    let sandbox = Running::start(Settings::default()).await;
    let id = sandbox.handle.insert(1, json!({"name": "n"}));
    let upload = |bytes| {
        let body = format!(
            "--XX\r\nContent-Disposition: form-data; name=\"sslCa\"; filename=\"ca.pem\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{}\r\n--XX--\r\n",
            "x".repeat(bytes)
        );
        Request::new("POST", &format!("{PATH}/{id}/files"))
            .body("multipart/form-data; boundary=XX", body)
    };
    let most = 1024 * 1024;
    let response = sandbox.send(upload(most)).await.unwrap();
    assert_eq!(response.status, 200);

    let mut connection = Connection::open(sandbox.handle.addr()).await;
    connection.write(&upload(most + 1)).await;
    sandbox.handle.seen(2).await;
    assert!(connection.is_silent_for(Duration::from_millis(200)).await);
    assert_eq!(sandbox.handle.requests()[1].status, None);
}

#[tokio::test]
async fn shutting_down_breaks_off_what_is_held() {
    let sandbox = Sandbox::bind(Settings::default()).await.unwrap();
    let handle = sandbox.handle();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(sandbox.run(async {
        let _ = stopped.await;
    }));
    let gate = Gate::new();
    handle.script([Fault::create().hold_before_storing(&gate)]);
    let mut connection = Connection::open(handle.addr()).await;
    connection.write(&Request::post(PATH, &json!({}))).await;
    gate.reached().await;
    stop.send(()).unwrap();
    running.await.unwrap();
    assert!(connection.ends().await);
    assert_eq!(handle.rows(1).len(), 0);
}
