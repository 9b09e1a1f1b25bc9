//! UploadFiles: one after the other, all or none, and not begun if they cannot end in time.

use std::time::Duration;

use chartbrew_gateway::proto::{ConnectionFiles, UploadFilesRequest, UploadFilesResponse};
use chartbrew_sandbox::{Fault, Gate, Handle};
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};

use super::{insert, row, upload};
use crate::support::{
    gateway::{Gateway, authorized, failure, gateway, sandbox, trailer},
    time::soon,
};

type Uploaded = Result<Response<UploadFilesResponse>, Status>;

/// Three files of this content.
fn three(content: impl Into<bytes::Bytes>) -> ConnectionFiles {
    let content = content.into();
    ConnectionFiles {
        ssl_ca: Some(content.clone()),
        ssl_cert: Some(content.clone()),
        ssl_key: Some(content),
        ssh_private_key: None,
    }
}

fn spawn(
    gateway: &Gateway,
    message: UploadFilesRequest,
    timeout: Option<Duration>,
) -> JoinHandle<Uploaded> {
    let (mut client, mut request) = (gateway.client.clone(), authorized(message));
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    tokio::spawn(async move { client.upload_files(request).await })
}

/// The uploads that the sandbox has received: the fields with the beginnings of their contents.
fn uploads(sandbox: &Handle) -> Vec<String> {
    let seen = sandbox.requests();
    let uploads = seen.iter().filter(|seen| seen.path.ends_with("/files"));
    let uploads = uploads.map(|seen| {
        let body = String::from_utf8_lossy(&seen.body);
        let (head, content) = body.split_once("\r\n\r\n").unwrap();
        let (_, field) = head.split_once("name=\"").unwrap();
        let (field, _) = field.split_once('"').unwrap();
        format!("{field} {}", content.chars().next().unwrap())
    });
    uploads.collect()
}

#[tokio::test]
async fn at_least_one_file_is_required_and_none_may_be_empty_or_too_large() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let large = || Some(vec![b'x'; 1_048_577].into());
    let wrong = ConnectionFiles {
        ssl_ca: Some(bytes::Bytes::new()),
        ssl_key: large(),
        ..ConnectionFiles::default()
    };
    let too_large = ConnectionFiles {
        ssl_cert: large(),
        ssh_private_key: large(),
        ..ConnectionFiles::default()
    };
    let cases: [(Option<ConnectionFiles>, &str, &[&str]); 4] = [
        (None, "INVALID_FIELD", &["files"]),
        (
            Some(ConnectionFiles::default()),
            "INVALID_FIELD",
            &["files"],
        ),
        (
            Some(wrong),
            "INVALID_FIELD",
            &["files.ssl_ca", "files.ssl_key"],
        ),
        (
            Some(too_large),
            "TOO_LARGE",
            &["files.ssl_cert", "files.ssh_private_key"],
        ),
    ];
    for (files, reason, fields) in cases {
        let message = UploadFilesRequest {
            files,
            ..upload(id, ConnectionFiles::default())
        };
        let failed = failure(spawn(&gateway, message, None).await.unwrap());
        assert_eq!(
            (failed.code, &*failed.reason),
            (Code::InvalidArgument, reason)
        );
        assert_eq!(failed.fields(), fields);
    }
    assert_eq!(sandbox.requests().len(), 0);
}

#[tokio::test]
async fn every_file_arrives_and_replaces_the_one_before_it() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let columns = ["sslCa", "sslCert", "sslKey", "sshPrivateKey"];
    let mut before = row(&sandbox, id).unwrap();
    for round in 1..=2 {
        let files = ConnectionFiles {
            ssh_private_key: Some("A".into()),
            ..three("A")
        };
        let response = spawn(&gateway, upload(id, files), None)
            .await
            .unwrap()
            .unwrap();
        let attempts = trailer(response.metadata(), "x-upstream-attempts");
        assert_eq!(attempts, Some("4"));
        let after = row(&sandbox, id).unwrap();
        for column in columns {
            assert!(
                after[column].is_string() && after[column] != before[column],
                "{column}"
            );
        }
        let shown = *response.into_inner().connection.unwrap();
        assert_eq!(shown.ssl_ca.as_deref(), after["sslCa"].as_str());
        assert_eq!(shown.ssl_cert.as_deref(), after["sslCert"].as_str());
        assert_eq!(shown.ssl_key.as_deref(), after["sslKey"].as_str());
        assert_eq!(
            shown.ssh.unwrap().has_private_key,
            Some(true),
            "round {round}"
        );
        before = after;
    }
}

#[tokio::test]
async fn the_files_of_two_callers_do_not_come_between_each_other() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let (id, other) = (insert(&sandbox), insert(&sandbox));
    let gate = Gate::new();
    sandbox.script([Fault::files().hold_before_storing(&gate)]);
    let first = spawn(&gateway, upload(id, three("A")), None);
    soon(gate.reached()).await;
    let second = spawn(&gateway, upload(id, three("B")), None);
    // Another connection's are not held up, and when they are there, the second has had its chance.
    soon(spawn(&gateway, upload(other, three("C")), None))
        .await
        .unwrap()
        .unwrap();
    gate.open();
    soon(first).await.unwrap().unwrap();
    soon(second).await.unwrap().unwrap();
    let mut order = uploads(&sandbox);
    order.retain(|upload| !upload.ends_with('C'));
    assert_eq!(
        order,
        [
            "sslCa A",
            "sslCert A",
            "sslKey A",
            "sslCa B",
            "sslCert B",
            "sslKey B"
        ]
    );
}

#[tokio::test]
async fn all_files_are_uploaded_also_if_their_caller_leaves() {
    let sandbox = sandbox().await;
    let mut gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let gate = Gate::new();
    sandbox.script([Fault::files().hold_before_storing(&gate)]);
    let left = spawn(&gateway, upload(id, three("A")), None);
    soon(gate.reached()).await;
    left.abort();
    assert!(left.await.is_err());
    gateway.stop();
    gate.open();
    assert!(soon(gateway.stopped()).await);
    assert_eq!(uploads(&sandbox), ["sslCa A", "sslCert A", "sslKey A"]);
    assert_eq!(sandbox.cut_off(), 0);
}

#[tokio::test]
async fn a_lost_file_is_sent_again_and_not_those_before_it() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    sandbox.script([
        Fault::files().delay_before_storing(Duration::ZERO),
        Fault::files().drop_after_storing(),
    ]);
    spawn(&gateway, upload(id, three("A")), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        uploads(&sandbox),
        ["sslCa A", "sslCert A", "sslCert A", "sslKey A"]
    );
}

#[tokio::test]
async fn files_that_cannot_end_in_time_are_not_begun() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let large = ConnectionFiles {
        ssl_ca: Some(vec![b'x'; 1_000_000].into()),
        ..ConnectionFiles::default()
    };
    // Of these each would do.
    let together = three(vec![b'x'; 12 * 1024 + 1]);
    for files in [large, together] {
        let failed = spawn(&gateway, upload(id, files), Some(Duration::from_secs(3)));
        let failed = failure(soon(failed).await.unwrap());
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::DeadlineExceeded, "DEADLINE_TOO_SHORT"));
        let attempts = trailer(failed.status.metadata(), "x-upstream-attempts");
        assert_eq!(attempts, Some("0"));
    }
    assert_eq!(sandbox.requests().len(), 0);
}

/// Waiting for another's uploads takes of the time: what is left may do for one file and not for
/// all.
#[tokio::test]
async fn files_that_have_waited_too_long_are_not_begun() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    sandbox.script([Fault::files().delay_before_storing(Duration::from_millis(2_200))]);
    let first = spawn(&gateway, upload(id, super::ca("A")), None);
    soon(sandbox.seen(1)).await;
    // Each takes a second and a bit.
    let two = ConnectionFiles {
        ssl_ca: None,
        ..three(vec![b'x'; 12 * 1024 + 1])
    };
    let second = spawn(&gateway, upload(id, two), Some(Duration::from_secs(4)));
    let failed = failure(soon(second).await.unwrap());
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::DeadlineExceeded, "DEADLINE_TOO_SHORT")
    );
    soon(first).await.unwrap().unwrap();
    assert_eq!(uploads(&sandbox), ["sslCa A"]);
}

/// What was told to be not uploaded is not uploaded later.
#[tokio::test]
async fn files_that_wait_when_the_gateway_stops_are_not_begun() {
    let sandbox = sandbox().await;
    let mut gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.shutdown_grace = Duration::from_millis(50))
        .start()
        .await;
    let id = insert(&sandbox);
    let gate = Gate::new();
    sandbox.script([Fault::files().hold_before_storing(&gate)]);
    let first = spawn(&gateway, upload(id, super::ca("A")), None);
    soon(gate.reached()).await;
    let second = spawn(&gateway, upload(id, super::ca("B")), None);
    // It has come in before this one is done.
    soon(super::Call::Get.send(&gateway.client, id))
        .await
        .unwrap();
    gateway.stop();
    let failed = failure(soon(second).await.unwrap());
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
    );
    let failed = failure(soon(first).await.unwrap());
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unknown, "OUTCOME_UNKNOWN")
    );
    gate.open();
    soon(gateway.stopped()).await;
    assert_eq!(uploads(&sandbox), ["sslCa A"]);
    assert_eq!(sandbox.cut_off(), 0);
}

/// The first file is there: "nothing was uploaded" would not be true.
#[tokio::test]
async fn a_failure_after_the_first_file_does_not_claim_that_nothing_was_uploaded() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let first = Fault::files().delay_before_storing(Duration::ZERO);
    for later in [
        Fault::files().not_forwarded(),
        Fault::files().status(429).header("retry-after", "0"),
    ] {
        sandbox.clear_faults();
        sandbox.script([first.clone(), later.forever()]);
        let failed = failure(spawn(&gateway, upload(id, three("A")), None).await.unwrap());
        assert!(failed.has_retry_info());
        let message = failed.status.message();
        assert!(!message.contains("nothing was"), "{message}");
        assert!(row(&sandbox, id).unwrap()["sslCa"].is_string());
    }
}
