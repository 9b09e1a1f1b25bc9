//! Every recorded request that the contract can express, sent as the call that corresponds to it.
//! (The sandbox's own tests hold it against the same recordings.)

mod creates;
mod others;
#[path = "../../../sandbox/tests/it/recorded.rs"]
mod recorded;
mod request;

use std::collections::{BTreeMap, BTreeSet};

use chartbrew_gateway::proto::{
    Connection, ConnectionView, CreateRequest, DeleteRequest, GetRequest, ListRequest,
    TestNewRequest, TestNewResponse, TestRequest, TestResponse, UploadFilesRequest,
};
use chartbrew_sandbox::Handle;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use self::{
    recorded::Recorded,
    request::{authorized, body, files, ssh_key},
};
use super::{Client, rest, update};
use crate::support::gateway::{failure, gateway, sandbox_with};

/// What a call must come to.
#[derive(Debug)]
enum Expected {
    /// It succeeds. A connection is as it was recorded.
    Done,
    /// It succeeds. These fields of the connection are not as recorded, since the gateway refused a
    /// change that the recording holds.
    DoneBut(&'static [&'static str]),
    /// The test of a source that has succeeded.
    Passed,
    /// The test of a source that has failed, with this message.
    Failed(&'static str),
    /// It is refused: code, reason and fields.
    Refused(Code, &'static str, &'static [&'static str]),
}

/// A recorded request and what the call must come to.
type Case = (&'static str, Expected);
/// A recorded request that no call corresponds to, and why.
type LeftOut = (&'static str, &'static str);

/// What a call gave.
enum Given {
    Row(Box<Connection>),
    Rows(Vec<Connection>),
    Tested(TestResponse),
    Nothing,
}

struct Replay {
    sandbox: Handle,
    client: Client,
    /// The recorded id of a row → its id here.
    ids: BTreeMap<i64, i32>,
}

#[tokio::test]
async fn the_recorded_creates_come_to_what_they_should() {
    replay(recorded::creates(), &creates::CASES, &creates::LEFT_OUT).await;
}

#[tokio::test]
async fn the_rest_of_the_resource_comes_to_what_it_should() {
    replay(recorded::resource(), &others::CASES, &others::LEFT_OUT).await;
}

async fn replay(recorded: Recorded, cases: &[Case], left_out: &[LeftOut]) {
    let sandbox = sandbox_with(recorded.settings).await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mut replay = Replay {
        client: gateway.client.clone(),
        sandbox,
        ids: BTreeMap::new(),
    };
    let cases: BTreeMap<_, _> = cases
        .iter()
        .map(|(name, expected)| (*name, expected))
        .collect();
    let left_out: BTreeSet<_> = left_out.iter().map(|(name, _)| *name).collect();
    let names: BTreeSet<_> = recorded.cases.iter().map(name_of).collect();
    let listed: BTreeSet<_> = cases
        .keys()
        .copied()
        .chain(left_out.iter().copied())
        .collect();
    assert_eq!(
        listed, names,
        "every recorded request is in one of the lists"
    );
    assert_eq!(names.len(), cases.len() + left_out.len(), "and in only one");
    for case in &recorded.cases {
        if let Some(expected) = cases.get(name_of(case)) {
            replay.case(case, expected).await;
        }
    }
    assert_eq!(replay.sandbox.cut_off(), 0);
}

fn name_of(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

// === impl Replay ===

impl Replay {
    async fn case(&mut self, case: &Value, expected: &Expected) {
        let name = name_of(case);
        let before = self.sandbox.requests().len();
        let given = self.call(name, &case["request"]).await;
        match (expected, given) {
            (Expected::Done, Ok(given)) => self.done(case, given, &[]),
            (Expected::DoneBut(fields), Ok(given)) => self.done(case, given, fields),
            (Expected::Passed, Ok(Given::Tested(tested))) => {
                assert!(tested.success && tested.message.is_empty(), "{name}");
                assert!(tested.details.is_some(), "{name}");
            }
            (Expected::Failed(words), Ok(Given::Tested(tested))) => {
                assert!(!tested.success, "{name}");
                assert_eq!(tested.message, *words, "{name}");
            }
            (Expected::Refused(code, reason, fields), Err(status)) => {
                let failed = failure(Err::<(), _>(status));
                let got = (failed.code, &*failed.reason, failed.fields());
                assert_eq!(got, (*code, *reason, fields.to_vec()), "{name}");
                // What is found wrong here is not sent.
                if !fields.is_empty() {
                    assert_eq!(self.sandbox.requests().len(), before, "{name}");
                }
            }
            (expected, Ok(_)) => panic!("{name}: it succeeds, but {expected:?} was expected"),
            (expected, Err(status)) => panic!("{name}: {status}, but {expected:?} was expected"),
        }
    }

    fn done(&mut self, case: &Value, given: Given, but: &[&str]) {
        let name = name_of(case);
        let recorded = &case["response"]["json"];
        match given {
            // What Chartbrew refused, and the gateway does not, was recorded without a row.
            Given::Row(_) if !recorded.is_object() => {}
            Given::Row(row) => {
                let id = recorded["id"].as_i64().unwrap();
                self.ids.insert(id, row.id);
                for (field, value) in shown(&row) {
                    if !but.contains(&&*field) {
                        assert_eq!(value, plain(&field, recorded), "{name}: {field}");
                    }
                }
            }
            Given::Rows(rows) => {
                let stored = self.sandbox.rows(1);
                let stored: BTreeSet<_> = stored.iter().map(|row| row["id"].as_i64()).collect();
                let given: BTreeSet<_> = rows.iter().map(|row| Some(row.id.into())).collect();
                assert_eq!(given, stored, "{name}");
            }
            Given::Nothing => assert_eq!(recorded, &json!({ "removed": true }), "{name}"),
            Given::Tested(_) => panic!("{name}: a test is expected to pass or to fail"),
        }
    }

    async fn call(&self, name: &str, recorded: &Value) -> Result<Given, Status> {
        let path = recorded["path"].as_str().unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let team_id = path[1].parse().unwrap();
        let place = (
            recorded["method"].as_str().unwrap(),
            path.get(3).copied(),
            path.get(4).copied(),
        );
        let new = || rest::new_connection(&body(name, &recorded["body"]));
        let mut client = self.client.clone();
        Ok(match place {
            ("POST", None, _) => {
                let message = CreateRequest {
                    team_id,
                    connection: Some(Box::new(new())),
                    files: ssh_key(&recorded["body"]),
                    request_id: None,
                };
                let response = client.create(authorized(name, message)).await?;
                Given::Row(response.into_inner().connection.unwrap())
            }
            ("GET", None, _) => {
                let message = ListRequest {
                    team_id,
                    ..ListRequest::default()
                };
                let response = client.list(authorized(name, message)).await?;
                Given::Rows(response.into_inner().connections)
            }
            ("GET", Some(id), None) => {
                let message = GetRequest {
                    team_id,
                    connection_id: self.id(id),
                    view: ConnectionView::Full.into(),
                };
                let response = client.get(authorized(name, message)).await?;
                Given::Row(response.into_inner().connection.unwrap())
            }
            ("PUT", Some(id), None) => {
                let named = body(name, &recorded["body"]);
                let paths = named.keys().map(|field| rest::path(field));
                let message = update(self.id(id), new(), paths);
                let response = client.update(authorized(name, message)).await?;
                Given::Row(response.into_inner().connection.unwrap())
            }
            ("DELETE", Some(id), None) => {
                let message = DeleteRequest {
                    team_id,
                    connection_id: self.id(id),
                    remove_datasets: query == "removeDatasets=true",
                };
                client.delete(authorized(name, message)).await?;
                Given::Nothing
            }
            ("GET", Some(id), Some("test")) => {
                let message = TestRequest {
                    team_id,
                    connection_id: self.id(id),
                };
                let response = client.test(authorized(name, message)).await?;
                Given::Tested(response.into_inner())
            }
            ("POST", Some(_), Some("test")) => {
                let message = TestNewRequest {
                    team_id,
                    connection: Some(Box::new(new())),
                    files: None,
                };
                let response = client.test_new(authorized(name, message)).await?;
                let TestNewResponse {
                    success,
                    message,
                    details,
                } = response.into_inner();
                Given::Tested(TestResponse {
                    success,
                    message,
                    details,
                })
            }
            ("POST", Some(id), Some("files")) => {
                let message = UploadFilesRequest {
                    team_id,
                    connection_id: self.id(id),
                    files: Some(files(name)),
                };
                let response = client.upload_files(authorized(name, message)).await?;
                Given::Row(response.into_inner().connection.unwrap())
            }
            other => panic!("{name}: no call corresponds to {other:?}"),
        })
    }

    fn id(&self, recorded: &str) -> i32 {
        let id: i32 = recorded.parse().unwrap();
        *self.ids.get(&id.into()).unwrap_or(&id)
    }
}

/// What is compared of a connection, by REST name.
fn shown(row: &Connection) -> Map<String, Value> {
    let shown = json!({
        "name": row.name, "host": row.host, "port": row.port, "dbName": row.db_name,
        "username": row.username, "active": row.active, "srv": row.srv, "ssl": row.ssl,
        "project_ids": row.project_ids, "team_id": row.team_id,
        "hasSshPassword": row.ssh.as_ref().and_then(|ssh| ssh.has_password),
        "hasSshPrivateKey": row.ssh.as_ref().and_then(|ssh| ssh.has_private_key),
    });
    shown.as_object().unwrap().clone()
}

/// A recorded field in the same form.
fn plain(field: &str, recorded: &Value) -> Value {
    match field {
        "project_ids" => {
            let ids = recorded[field].as_array();
            ids.into_iter()
                .flatten()
                .map(|id| Value::from(rest::digits(id)))
                .collect()
        }
        _ => recorded[field].clone(),
    }
}
