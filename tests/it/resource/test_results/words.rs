//! What a caller sees of a driver's words: one short line, without secrets.

use chartbrew_gateway::proto::{ConnectionFiles, ConnectionType, NewConnection};
use chartbrew_sandbox::Fault;
use serde_json::json;
use tonic::Code;

use super::{HTML, JSON, Of, SECRET, new_test};
use crate::{
    resource::{insert, rest},
    support::gateway::{failure, gateway, sandbox},
};

#[tokio::test]
async fn a_message_is_one_line_of_at_most_a_kibibyte_without_secrets() {
    let long = "é".repeat(3_000);
    let many_lines = "first\nsecond\r\n\tthird\u{0}\u{85}".to_owned();
    // The secret would be cut in two where the message ends.
    let at_the_end = format!("{}{SECRET} and more", "x".repeat(1_015));
    let words = [
        long,
        many_lines,
        at_the_end,
        format!("Access denied: {SECRET}, {}!", chartbrew_sandbox::TOKEN),
        format!("in JSON: \"{SECRET}\""),
        format!("the beginning: {}…", &SECRET[..10]),
    ];
    for of in Of::BOTH {
        for words in &words {
            let sandbox = sandbox().await;
            let gateway = gateway(&sandbox.url()).start().await;
            sandbox.script([of.fault().body(400, HTML, words.clone())]);
            let message = of.send(&gateway, &sandbox).await.unwrap().message;
            assert!(message.len() <= 1_024, "{} bytes", message.len());
            assert!(!message.contains(char::is_control), "{message:?}");
            for secret in [SECRET, chartbrew_sandbox::TOKEN] {
                let parts = secret.as_bytes().windows(8);
                let mut parts = parts.map(|part| str::from_utf8(part).unwrap());
                assert!(parts.all(|part| !message.contains(part)), "{message}");
            }
            assert_eq!(message.chars().next(), words.chars().next());
        }
    }
}

#[tokio::test]
async fn secrets_are_cut_out_of_what_was_found() {
    let found = json!({ "success": true, SECRET: [format!("is {SECRET}"), "table"] });
    let expected = json!({ "[redacted]": ["is [redacted]", "table"] });
    for of in Of::BOTH {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url()).start().await;
        sandbox.script([of.fault().body(200, JSON, found.to_string())]);
        let tested = of.send(&gateway, &sandbox).await.unwrap();
        assert_eq!(tested.details, Some(rest::value(&expected)), "{of:?}");
    }
}

/// Without the row nobody knows what is a secret.
#[tokio::test]
async fn words_are_not_told_if_the_row_cannot_be_read() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    for (row, code) in [(502, Code::Unavailable), (403, Code::PermissionDenied)] {
        sandbox.clear_faults();
        sandbox.script([
            Fault::test()
                .body(400, HTML, format!("denied: {SECRET}"))
                .forever(),
            Fault::get().status(row).forever(),
        ]);
        let failed = failure(Of::Stored.send(&gateway, &sandbox).await);
        assert_eq!(failed.code, code);
        assert!(!failed.status.message().contains("denied:"));
    }
    // Where nothing is said, the row is not needed.
    sandbox.clear_faults();
    sandbox.script([
        Fault::test().body(200, JSON, r#"{"success":true}"#),
        Fault::get().status(502).forever(),
    ]);
    assert!(Of::Stored.send(&gateway, &sandbox).await.unwrap().success);
}

#[tokio::test]
async fn a_test_of_settings_stores_nothing_and_sends_its_files_along() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let before = sandbox.rows(1);
    let key = "-----BEGIN KEY-----secret-of-the-key";
    let files = ConnectionFiles {
        ssl_ca: Some("the CA".into()),
        ssh_private_key: Some(key.into()),
        ..ConnectionFiles::default()
    };
    let new = || NewConnection {
        name: "m".to_owned(),
        r#type: ConnectionType::Mysql.into(),
        host: Some("127.0.0.1".to_owned()),
        ..NewConnection::default()
    };
    let tested = new_test(&gateway, new(), None).await.unwrap();
    assert_eq!(tested.message, "connect ECONNREFUSED 127.0.0.1:3306");
    let tested = new_test(&gateway, new(), Some(files.clone()))
        .await
        .unwrap();
    assert_eq!(tested.message, "connect ECONNREFUSED 127.0.0.1:3306");
    let seen = sandbox.requests();
    assert_eq!(seen[0].path, "/team/1/connections/mysql/test");
    assert_eq!(seen[1].path, "/team/1/connections/mysql/test/files");
    let body = String::from_utf8_lossy(&seen[1].body).into_owned();
    assert!(body.contains("the CA") && body.contains(key) && body.contains("\"host\""));
    sandbox.script([Fault::test_new().body(400, HTML, format!("bad key {key}"))]);
    let tested = new_test(&gateway, new(), Some(files)).await.unwrap();
    assert_eq!(tested.message, "bad key [redacted]");
    let failed = failure(new_test(&gateway, NewConnection::default(), None).await);
    assert_eq!(failed.fields(), ["connection.name", "connection.type"]);
    let expected = [before, vec![]].concat();
    assert_eq!(
        (sandbox.rows(1), sandbox.rows(1)[0]["id"].clone()),
        (expected, id.into())
    );
}
