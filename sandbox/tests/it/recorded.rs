//! What the real server was recorded to answer, and the sandbox that it is replayed on. The
//! gateway's tests replay it too.

use std::collections::BTreeMap;

use chartbrew_sandbox::{Database, Settings};
use serde_json::Value;

/// A recording: its cases in order, and a sandbox as the server was when it began.
pub(crate) struct Recorded {
    pub(crate) cases: Vec<Value>,
    pub(crate) settings: Settings,
}

/// The first recording, most of it creates. It began with an empty table.
pub(crate) fn creates() -> Recorded {
    Recorded {
        cases: serde_json::from_str(include_str!("recorded.json")).unwrap(),
        settings: Settings::default(),
    }
}

/// The rest of the resource. Its recording began with row 4714, beside a database on port 3306,
/// whose schema the sandbox is given as it was recorded.
pub(crate) fn resource() -> Recorded {
    let cases: Vec<Value> = serde_json::from_str(include_str!("recorded-resource.json")).unwrap();
    let tested = cases.iter().find(|c| c["name"] == "test_unsaved_mysql_ok");
    let database = Database {
        schema: tested.unwrap()["response"]["json"]["schema"].clone(),
        password: Some("cb".into()),
    };
    let settings = Settings {
        first_id: 4714,
        databases: BTreeMap::from([("127.0.0.1:3306".into(), database)]),
        ..Settings::default()
    };
    Recorded { cases, settings }
}
