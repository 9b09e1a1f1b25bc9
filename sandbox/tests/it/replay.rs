//! Replays every recorded request in order, and compares the responses with the recorded ones.

use chartbrew_sandbox::{Settings, TOKEN};
use serde_json::{Value, json};

use super::{
    Running,
    raw::{Reply, Request},
    recorded::{self, Recorded},
};

/// Cases of the first recording that are not replayed, each with its reason.
const LEFT_OUT: [(&str, &str); 1] = [(
    "files_too_big",
    "was never answered in 60 s; transport.rs has a shorter test of it",
)];

#[tokio::test]
async fn the_sandbox_answers_as_the_real_server_was_recorded() {
    let Recorded { cases, settings } = recorded::creates();
    for (name, _) in LEFT_OUT {
        let exists = cases.iter().any(|case| case["name"] == name);
        assert!(exists, "{name} is left out, but is no recorded case");
    }
    let is_left_out = |case: &Value| LEFT_OUT.iter().any(|(name, _)| case["name"] == *name);
    let replayed: Vec<Value> = cases.into_iter().filter(|c| !is_left_out(c)).collect();
    replay(&replayed, settings).await;
}

#[tokio::test]
async fn the_sandbox_treats_a_stored_connection_as_the_real_server_was_recorded() {
    let Recorded { cases, settings } = recorded::resource();
    replay(&cases, settings).await;
}

/// Sends every recorded request in order, and compares.
async fn replay(recorded: &[Value], settings: Settings) {
    let sandbox = Running::start(settings).await;
    let mut differences = Vec::new();
    for case in recorded {
        let name = case["name"].as_str().unwrap();
        let response = sandbox.send(request(name, &case["request"])).await.unwrap();
        let mut compare = Comparison {
            case: name,
            differences: &mut differences,
        };
        compare.responses(&case["response"], &response);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(sandbox.handle.cut_off(), 0);
}

/// The request as it was sent, with what the recording cut made whole again.
fn request(name: &str, recorded: &Value) -> Request {
    let method = recorded["method"].as_str().unwrap();
    let path = recorded["path"].as_str().unwrap();
    let token = match name {
        "auth_missing" => String::new(),
        "auth_bad" => "Bearer not-a-token".into(),
        "auth_lowercase_bearer" => format!("bearer {TOKEN}"),
        "auth_no_scheme" => TOKEN.into(),
        _ => format!("Bearer {TOKEN}"),
    };
    let request = Request::new(method, path).token(&token);
    let content_type = match name {
        "body_text" => "text/plain",
        _ if path.ends_with("/files") => "multipart/form-data; boundary=XX",
        _ => "application/json",
    };
    match body(name, &recorded["body"]) {
        None => request,
        Some(body) => request.body(content_type, body),
    }
}

fn body(name: &str, recorded: &Value) -> Option<String> {
    let long = |field: &str, n: usize| {
        let y = "y".repeat(n);
        format!(r#"{{"name": "big", "type": "mongodb", "{field}": {{"x": "{y}"}}}}"#)
    };
    let body = match (name, recorded) {
        ("body_150k", _) => long("schema", 150_000),
        ("body_99k", _) => long("schema", 99_000),
        ("options_100k_text", _) => long("options", 100_000),
        ("files_ok", _) => multipart(&["sslCa", "sslCert", "sslKey"]),
        ("update_long_name", _) => format!(r#"{{"name": "{}"}}"#, "n".repeat(300)),
        (_, Value::Null) => return None,
        (_, Value::String(text)) => text.clone(),
        (_, body) => body.to_string(),
    };
    assert!(!body.contains('…'), "{name}: a cut body was sent");
    Some(body)
}

/// An upload of small files, with the boundary `XX`.
pub(super) fn multipart(fields: &[&str]) -> String {
    let parts: String = fields
        .iter()
        .map(|field| {
            format!(
                "--XX\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"f.pem\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\nPEM\r\n"
            )
        })
        .collect();
    parts + "--XX--\r\n"
}

struct Comparison<'a> {
    case: &'a str,
    differences: &'a mut Vec<String>,
}

impl Comparison<'_> {
    /// The second recording has no headers but the type, and either JSON or text.
    fn responses(&mut self, recorded: &Value, response: &Reply) {
        let mut got = json!({
            "status": response.status,
            "content_type": response.header("content-type"),
            "json": response.json(),
        });
        let mut recorded = recorded.clone();
        recorded.as_object_mut().unwrap().remove("seconds");
        if recorded.get("headers").is_some() {
            got["headers"] = json!({
                "connection": response.header("connection"),
                "keep-alive": response.header("keep-alive"),
            });
        }
        let text = String::from_utf8_lossy(&response.body);
        got["text"] = response.json().is_null().then_some(text).into();
        for either in ["json", "text"] {
            recorded[either] = recorded[either].take();
        }
        if self.case == "list" {
            self.lists(&recorded["json"], &got["json"]);
        } else {
            self.values("", &recorded, &got);
        }
    }

    /// A list shows the recorded rows, newest second first. Which rows fall into one second is
    /// chance, so rows are found by id.
    fn lists(&mut self, recorded: &Value, got: &Value) {
        let got = got.as_array().unwrap();
        let order: Vec<_> = got
            .iter()
            .map(|row| {
                (
                    std::cmp::Reverse(row["createdAt"].as_str()),
                    row["id"].as_i64(),
                )
            })
            .collect();
        assert!(order.is_sorted(), "the newest come first");
        for row in recorded.as_array().unwrap() {
            if row == "…" {
                continue;
            }
            let same = got.iter().find(|r| r["id"] == row["id"]).unwrap();
            self.values(&format!("row {}", row["id"]), row, same);
        }
    }

    fn values(&mut self, at: &str, recorded: &Value, got: &Value) {
        match (recorded, got) {
            (Value::Object(recorded), Value::Object(got)) => {
                for key in recorded.keys().chain(got.keys()) {
                    let at = format!("{at}.{key}");
                    match (recorded.get(key), got.get(key)) {
                        (Some(a), Some(b)) => self.values(&at, a, b),
                        (a, b) => self.differ(&at, &a, &b),
                    }
                }
            }
            (Value::Array(recorded), Value::Array(got)) => {
                let cut = recorded.len() == 4 && at.ends_with("parameters");
                if recorded.len() != got.len() && !(cut && got.len() > 4) {
                    self.differ(at, &recorded.len(), &got.len());
                }
                for (i, (a, b)) in recorded.iter().zip(got).enumerate() {
                    self.values(&format!("{at}[{i}]"), a, b);
                }
            }
            (Value::String(a), Value::String(b)) if same_text(at, a, b) => {}
            (Value::Number(_), Value::Number(_)) if at.ends_with(".lastUpdateTime") => {}
            (a, b) if a == b && !a.is_string() => {}
            (a, b) => self.differ(at, a, b),
        }
    }

    fn differ(&mut self, at: &str, recorded: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug) {
        let Self { case, differences } = self;
        let difference = format!("{case}{at}: recorded {recorded:?}, got {got:?}");
        if !differences.contains(&difference) {
            differences.push(difference);
        }
    }
}

fn same_text(at: &str, recorded: &str, got: &str) -> bool {
    if at.ends_with("createdAt") || at.ends_with("updatedAt") {
        let whole_second = recorded.ends_with(".000Z");
        return recorded.len() == got.len() && (!whole_second || got.ends_with(".000Z"));
    }
    if at.contains("parameters[") && recorded.starts_with("2026-") {
        return recorded.len() == got.len();
    }
    if let Some((directory, _)) = recorded.split_once('/')
        && directory == ".connectionFiles"
    {
        return got.starts_with(".connectionFiles/") && got.len() == recorded.len();
    }
    match recorded.split_once('…') {
        _ if recorded == got => true,
        None => false,
        Some((start, "")) => got.starts_with(start),
        Some((start, rest)) => {
            let chars: String = rest.chars().filter(char::is_ascii_digit).collect();
            got.starts_with(start) && got.chars().count().to_string() == chars
        }
    }
}
