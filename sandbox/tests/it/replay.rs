//! Replays every recorded request in order, and compares the responses with the recorded ones.

use chartbrew_sandbox::{Settings, TOKEN};
use serde_json::Value;

use super::{Running, raw::Request};

/// Cases that are not replayed, each with its reason.
const LEFT_OUT: [(&str, &str); 1] = [(
    "files_too_big",
    "was never answered in 60 s; transport.rs has a shorter test of it",
)];

#[tokio::test]
async fn the_sandbox_answers_as_the_real_server_was_recorded() {
    let recorded: Vec<Value> = serde_json::from_str(include_str!("recorded.json")).unwrap();
    for (name, _) in LEFT_OUT {
        let exists = recorded.iter().any(|case| case["name"] == name);
        assert!(exists, "{name} is left out, but is no recorded case");
    }
    let sandbox = Running::start(Settings::default()).await;
    let mut differences = Vec::new();
    let mut replayed = 0;
    for case in &recorded {
        let name = case["name"].as_str().unwrap();
        if LEFT_OUT.iter().any(|(left_out, _)| *left_out == name) {
            continue;
        }
        let response = sandbox.send(request(name, &case["request"])).await.unwrap();
        let got = serde_json::json!({
            "status": response.status,
            "content_type": response.header("content-type"),
            "headers": {
                "connection": response.header("connection"),
                "keep-alive": response.header("keep-alive"),
            },
            "json": response.json(),
            "text": response.json().is_null().then(|| String::from_utf8_lossy(&response.body)),
        });
        let mut compare = Comparison {
            case: name,
            differences: &mut differences,
        };
        if name == "list" {
            compare.lists(&case["response"]["json"], &got["json"]);
        } else {
            compare.values("", &case["response"], &got);
        }
        replayed += 1;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(replayed + LEFT_OUT.len(), recorded.len());
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
    let long = |field: &str, n: usize| {
        let y = "y".repeat(n);
        format!(r#"{{"name": "big", "type": "mongodb", "{field}": {{"x": "{y}"}}}}"#)
    };
    let body = match (name, &recorded["body"]) {
        ("body_150k", _) => long("schema", 150_000),
        ("body_99k", _) => long("schema", 99_000),
        ("options_100k_text", _) => long("options", 100_000),
        ("files_ok", _) => multipart(&["sslCa", "sslCert", "sslKey"]),
        (_, Value::Null) => return request,
        (_, Value::String(text)) => {
            assert!(!text.contains('…'), "{name}: a cut body was sent");
            text.clone()
        }
        (_, body) => {
            assert!(
                !body.to_string().contains('…'),
                "{name}: a cut body was sent"
            );
            body.to_string()
        }
    };
    request.body(content_type, body)
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
    if let Some((directory, _)) = recorded.split_once('/')
        && directory == ".connectionFiles"
    {
        return got.starts_with(".connectionFiles/") && got.len() == recorded.len();
    }
    match recorded.split_once('…') {
        None => recorded == got,
        Some((start, "")) => got.starts_with(start),
        Some((start, rest)) => {
            let chars: String = rest.chars().filter(char::is_ascii_digit).collect();
            got.starts_with(start) && got.chars().count().to_string() == chars
        }
    }
}
