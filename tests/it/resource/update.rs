//! An update changes exactly the fields that its mask names. Every field of the contract's table.

use chartbrew_gateway::{
    chartbrew::types::{self, Clear, Field},
    proto::NewConnection,
};
use chartbrew_sandbox::Handle;
use serde_json::{Map, Value, json};
use tonic::Code;

use super::{Client, rest, update};
use crate::support::gateway::{Gateway, authorized, failure, gateway, sandbox};

/// A row in which everything is set, secrets included.
fn full() -> Value {
    json!({
        "name": "old", "type": "mongodb", "subType": "mongodb", "host": "old-host", "port": "1",
        "dbName": "old-db", "username": "old-user", "password": "old-password",
        "options": {"old": 1}, "connectionString": "mongodb://old", "srv": true,
        "authentication": {"type": "basic_auth", "user": "old", "pass": "old"},
        "firebaseServiceAccount": {"old": 1}, "ssl": true, "sslMode": "prefer",
        "schema": {"old": 1}, "project_ids": [1], "active": true,
        "oauth_id": "11111111-1111-4111-8111-111111111111", "useSsh": true, "sshHost": "old-ssh",
        "sshPort": 1, "sshUsername": "old-ssh-user", "sshPassword": "old-ssh-password",
        "sshPassphrase": "old-passphrase", "sshPrivateKey": ".connectionFiles/old-key",
        "sshJumpHost": "old-jump", "sshJumpPort": 2, "sslCa": ".connectionFiles/old-ca",
        "sslCert": ".connectionFiles/old-cert", "sslKey": ".connectionFiles/old-ssl-key",
    })
}

/// Another value for each field that an update may name.
fn new() -> Map<String, Value> {
    let new = json!({
        "name": "new", "type": "postgres", "subType": "timescaledb", "host": "new-host",
        "port": "2", "dbName": "new-db", "username": "new-user", "password": "new-password",
        "options": [{"new": "2"}], "connectionString": "mongodb://new", "srv": false,
        "authentication": {"type": "bearer_token", "token": "new"},
        "firebaseServiceAccount": {"new": 2.5}, "ssl": false, "sslMode": "verify-ca",
        "schema": {"new": 2.5}, "project_ids": [7, "x8"], "active": false,
        "oauth_id": "22222222-2222-4222-8222-222222222222", "useSsh": false, "sshHost": "new-ssh",
        "sshPort": 22, "sshUsername": "new-ssh-user", "sshPassword": "new-ssh-password",
        "sshPassphrase": "new-passphrase", "sshJumpHost": "new-jump", "sshJumpPort": 23,
    });
    new.as_object().unwrap().clone()
}

/// The fields that an update may name.
fn fields() -> Vec<&'static Field> {
    let of_update = |field: &&Field| field.path.is_some_and(|p| p.starts_with("connection."));
    types::fields().filter(of_update).collect()
}

/// A row with everything set, and a gateway before it.
struct Stored {
    sandbox: Handle,
    gateway: Gateway,
    id: i32,
}

impl Stored {
    async fn start() -> Self {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url()).start().await;
        let id = sandbox.insert(1, full());
        // One that is none of the call's business.
        sandbox.insert(1, full());
        Self {
            sandbox,
            gateway,
            id,
        }
    }

    /// The rows as stored, but for the time of their last change.
    fn rows(&self) -> Vec<Value> {
        let mut rows = self.sandbox.rows(1);
        for row in &mut rows {
            row.as_object_mut().unwrap().remove("updatedAt");
        }
        rows
    }

    fn client(&self) -> Client {
        self.gateway.client.clone()
    }

    /// Makes an update that must change exactly these columns, and send exactly them.
    async fn changes(&self, new: NewConnection, paths: &[&str], columns: &Map<String, Value>) {
        let mut expected = self.rows();
        let row = expected[0].as_object_mut().unwrap();
        row.extend(columns.clone());
        self.sandbox.clear_requests();
        let message = update(self.id, new, paths.iter().copied());
        let response = self.client().update(authorized(message)).await;
        let shown = *response.unwrap().into_inner().connection.unwrap();
        assert_eq!(self.rows(), expected, "{paths:?}");
        let sent: Vec<_> = self
            .sandbox
            .requests()
            .iter()
            .map(|seen| seen.json())
            .collect();
        assert_eq!(sent, [Value::Object(columns.clone())], "{paths:?}");
        // All of the row, secrets included.
        let row = &expected[0];
        assert_eq!(shown.id, self.id);
        assert_eq!(shown.name.as_deref(), row["name"].as_str());
        assert_eq!(shown.host.as_deref(), row["host"].as_str());
        assert_eq!(shown.password.as_deref(), row["password"].as_str());
        assert_eq!(
            shown.connection_string.as_deref(),
            row["connectionString"].as_str()
        );
    }
}

/// The path of a mask.
fn path(field: &Field) -> &'static str {
    let path = field.path.unwrap().strip_prefix("connection.").unwrap();
    assert_eq!(path, rest::path(field.rest), "the hand-written names agree");
    path
}

fn only(rest: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(rest.to_owned(), value)])
}

#[tokio::test]
async fn a_field_that_is_named_is_set_and_no_other() {
    let stored = Stored::start().await;
    assert_eq!(fields().len(), rest::PATHS.len());
    for field in fields() {
        // All have new values in the message.
        let columns = only(field.rest, new()[field.rest].clone());
        stored.sandbox.update(1, stored.id, full());
        stored
            .changes(rest::new_connection(&new()), &[path(field)], &columns)
            .await;
    }
}

#[tokio::test]
async fn a_field_that_is_not_named_stays_while_all_others_change() {
    let stored = Stored::start().await;
    for field in fields() {
        let mut columns = new();
        columns.remove(field.rest);
        let others: Vec<_> = columns.keys().map(|name| rest::path(name)).collect();
        stored.sandbox.update(1, stored.id, full());
        stored
            .changes(rest::new_connection(&new()), &others, &columns)
            .await;
    }
}

#[tokio::test]
async fn a_field_that_is_named_and_unset_is_cleared_or_the_call_is_refused() {
    let stored = Stored::start().await;
    let mut kept = Vec::new();
    for field in fields() {
        stored.sandbox.update(1, stored.id, full());
        if field.clear == Clear::Null {
            let columns = only(field.rest, Value::Null);
            stored
                .changes(NewConnection::default(), &[path(field)], &columns)
                .await;
            continue;
        }
        kept.push(path(field));
        let before = stored.rows();
        stored.sandbox.clear_requests();
        // Chartbrew ignores an empty text too.
        let empty = only(field.rest, "".into());
        let is_text = new()[field.rest].is_string() && !["type", "oauth_id"].contains(&field.rest);
        let empty = is_text.then(|| rest::new_connection(&empty));
        for new in [Some(NewConnection::default()), empty]
            .into_iter()
            .flatten()
        {
            let message = update(stored.id, new, [path(field)]);
            let failed = failure(stored.client().update(authorized(message)).await);
            let got = (failed.code, &*failed.reason, failed.fields());
            let expected = (
                Code::InvalidArgument,
                "INVALID_FIELD",
                vec![field.path.unwrap()],
            );
            assert_eq!(got, expected);
        }
        assert_eq!(stored.rows(), before);
        assert_eq!(stored.sandbox.requests().len(), 0, "{}", field.rest);
    }
    // As the contract lists them.
    let listed = [
        "name",
        "type",
        "host",
        "port",
        "db_name",
        "username",
        "password",
        "ssh.host",
        "ssh.username",
        "ssh.password",
        "ssh.passphrase",
        "ssh.jump_host",
    ];
    assert_eq!(kept, listed);
}

#[tokio::test]
async fn what_cannot_be_cleared_is_told_all_at_once() {
    let stored = Stored::start().await;
    let all: Vec<_> = fields().iter().map(|field| path(field)).collect();
    let message = update(stored.id, NewConnection::default(), all);
    let failed = failure(stored.client().update(authorized(message)).await);
    let kept = fields()
        .into_iter()
        .filter(|field| field.clear != Clear::Null);
    let mut kept: Vec<_> = kept.map(|field| field.path.unwrap()).collect();
    let mut told = failed.fields();
    kept.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, kept);
    assert_eq!(stored.sandbox.requests().len(), 0);
}

#[tokio::test]
async fn every_field_is_set_at_once() {
    let stored = Stored::start().await;
    let all: Vec<_> = fields().iter().map(|field| path(field)).collect();
    stored
        .changes(rest::new_connection(&new()), &all, &new())
        .await;
}
