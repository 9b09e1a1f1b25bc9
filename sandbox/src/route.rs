//! Which call a method and a path mean.

use http::Method;
use serde::{Deserialize, Serialize};

/// The calls of the sandbox, as faults name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Every call, also one that no route answers.
    #[default]
    Any,
    /// `POST /team/{team}/connections`
    Create,
    /// `GET /team/{team}/connections`
    List,
    /// `GET /team/{team}/connections/{id}`
    Get,
    /// `PUT /team/{team}/connections/{id}`
    Update,
    /// `DELETE /team/{team}/connections/{id}`
    Delete,
    /// `GET /team/{team}/connections/{id}/test`
    Test,
    /// `POST /team/{team}/connections/{type}/test` and `…/test/files`: settings that are not stored
    TestNew,
    /// `POST /team/{team}/connections/{id}/files`
    Files,
    /// `POST /team/{team}/connections/{id}/duplicate`
    Duplicate,
    /// `POST /team/{team}/connections/{id}/update-schema`
    UpdateSchema,
}

/// A call with what its path says, as it was written there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    /// The call; `Any` if no route answers it.
    pub(super) kind: Kind,
    /// The team's id as written; empty if there is none.
    pub(super) team: &'a str,
    /// The connection's id as written, or the type of one to test; empty if there is none.
    pub(super) id: &'a str,
}

impl Kind {
    /// Whether a fault for `self` meets a request of that kind.
    pub(super) fn meets(self, kind: Self) -> bool {
        self == Self::Any || self == kind
    }

    /// Whether the path names a connection. Chartbrew ends when such a request is cut off.
    pub(super) fn names_a_connection(self) -> bool {
        match self {
            Self::Get
            | Self::Update
            | Self::Delete
            | Self::Test
            | Self::Files
            | Self::Duplicate
            | Self::UpdateSchema => true,
            Self::Any | Self::Create | Self::List | Self::TestNew => false,
        }
    }
}

impl<'a> Route<'a> {
    /// Reads a method and a path. As in Express, a slash at the end and the case of the fixed
    /// words do not matter.
    pub(super) fn read(method: &Method, path: &'a str) -> Self {
        let parts: Vec<&str> = path
            .strip_suffix('/')
            .unwrap_or(path)
            .split('/')
            .skip(1)
            .collect();
        let (team, id, last) = match parts[..] {
            [a, team, c] if fixed(a, c) => (team, "", String::new()),
            [a, team, c, id, ref last @ ..] if fixed(a, c) => (team, id, last.join("/")),
            _ => ("", "", String::new()),
        };
        let last = last.to_ascii_lowercase();
        let kind = match (method, team, id, last.as_str()) {
            (_, "", _, _) => Kind::Any,
            (&Method::POST, _, "", "") => Kind::Create,
            (&Method::GET | &Method::HEAD, _, "", "") => Kind::List,
            (&Method::GET | &Method::HEAD, _, _, "") => Kind::Get,
            (&Method::PUT, _, id, "") if !id.is_empty() => Kind::Update,
            (&Method::DELETE, _, id, "") if !id.is_empty() => Kind::Delete,
            (&Method::GET | &Method::HEAD, _, _, "test") => Kind::Test,
            (&Method::POST, _, _, "test" | "test/files") => Kind::TestNew,
            (&Method::POST, _, _, "files") => Kind::Files,
            (&Method::POST, _, _, "duplicate") => Kind::Duplicate,
            (&Method::POST, _, _, "update-schema") => Kind::UpdateSchema,
            _ => Kind::Any,
        };
        Self { kind, team, id }
    }
}

fn fixed(team: &str, connections: &str) -> bool {
    team.eq_ignore_ascii_case("team") && connections.eq_ignore_ascii_case("connections")
}

/// Reads an id as the server does, as far as the digits go: `1abc` is 1. `None` if there are no
/// digits, too many, or a fraction, which no id equals.
pub(super) fn id_of(written: &str) -> Option<i32> {
    let end = written
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(written.len());
    let (digits, rest) = written.split_at(end);
    if rest.starts_with('.') {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_and_a_path_mean_a_call() {
        let table = [
            ("POST", "/team/1/connections", Kind::Create),
            ("POST", "/Team/1/Connections/", Kind::Create),
            ("GET", "/team/1/connections", Kind::List),
            ("GET", "/team/1/connections/2", Kind::Get),
            ("PUT", "/team/1/connections/2", Kind::Update),
            ("PUT", "/team/1/connections", Kind::Any),
            ("DELETE", "/team/1/connections/2", Kind::Delete),
            ("DELETE", "/team/1/connections", Kind::Any),
            ("GET", "/team/1/connections/2/test", Kind::Test),
            ("POST", "/team/1/connections/mysql/test", Kind::TestNew),
            (
                "POST",
                "/team/1/connections/mysql/test/files",
                Kind::TestNew,
            ),
            ("GET", "/team/1/connections/2/test/files", Kind::Any),
            ("POST", "/team/1/connections/2/files", Kind::Files),
            ("POST", "/team/1/connections/2/duplicate", Kind::Duplicate),
            (
                "POST",
                "/team/1/connections/2/update-schema",
                Kind::UpdateSchema,
            ),
            ("POST", "/team/1/connections/2", Kind::Any),
            ("PATCH", "/team/1/connections/2", Kind::Any),
            ("POST", "/team//connections", Kind::Any),
            ("POST", "/nope", Kind::Any),
            ("GET", "/", Kind::Any),
        ];
        for (method, path, kind) in table {
            let method = method.parse().unwrap();
            assert_eq!(Route::read(&method, path).kind, kind, "{method} {path}");
        }
    }

    #[test]
    fn ids_are_read_as_far_as_they_go() {
        let table = [
            ("1", Some(1)),
            ("1abc", Some(1)),
            ("1.5", None),
            ("abc", None),
            ("-1", None),
            ("99999999999999999999", None),
        ];
        for (written, id) in table {
            assert_eq!(id_of(written), id, "{written}");
        }
    }
}
