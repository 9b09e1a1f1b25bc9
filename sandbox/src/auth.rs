//! Checks who calls, and what they may do in the team that the path names.

use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Kind, Settings, UserKind,
    model::Row,
    reply::Reply,
    route::{Route, id_of},
};

/// What someone may do in a team.
#[derive(Debug)]
pub(super) struct Access<'a> {
    /// The team.
    pub(super) team: i32,
    /// The projects whose connections are seen; `None` if all are.
    projects: Option<&'a [i64]>,
}

/// What a project-scoped user is shown of a connection; the rest is null.
const PERMITTED: [&str; 6] = ["id", "name", "type", "subType", "createdAt", "updatedAt"];

/// Reads the token, then the team, then the right to make this call.
///
/// # Errors
/// The server's response to a caller that may not make it.
pub(super) fn admit<'a>(
    settings: &'a Settings,
    headers: &HeaderMap,
    route: &Route<'_>,
) -> Result<Access<'a>, Reply> {
    let user = authenticate(settings, headers)?;
    let denied = || {
        Reply::json(
            StatusCode::FORBIDDEN,
            &json!({ "message": "Access denied" }),
        )
    };
    let team = id_of(route.team).ok_or_else(denied)?;
    let (teams, projects) = match user {
        UserKind::Owner { teams } => (teams, None),
        UserKind::ProjectScoped { teams, projects } => (teams, Some(projects.as_slice())),
        UserKind::Gone => return Err(gone()),
    };
    let reads = matches!(
        route.kind,
        Kind::List | Kind::Get | Kind::Test | Kind::TestNew
    );
    if !teams.contains(&team) || (projects.is_some() && !reads) {
        return Err(denied());
    }
    Ok(Access { team, projects })
}

/// The user whose token this is. `Bearer` is matched to the letter, and may be missing.
fn authenticate<'a>(settings: &'a Settings, headers: &HeaderMap) -> Result<&'a UserKind, Reply> {
    let sent = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let token = sent.replacen("Bearer ", "", 1);
    if token.is_empty() {
        return Err(Reply::text(StatusCode::UNAUTHORIZED, "Token is missing."));
    }
    let user = settings.users.iter().find(|u| u.token == token);
    match user.map(|u| &u.kind) {
        None => Err(Reply::text(
            StatusCode::UNAUTHORIZED,
            "Unauthorized access.",
        )),
        Some(UserKind::Gone) => Err(gone()),
        Some(kind) => Ok(kind),
    }
}

fn gone() -> Reply {
    Reply::text(
        StatusCode::BAD_REQUEST,
        "Could not process the request. Please try again.",
    )
}

impl Access<'_> {
    /// Whether a list shows this row.
    pub(super) fn lists(&self, row: &Row) -> bool {
        self.projects.is_none_or(|projects| touches(row, projects))
    }

    /// Whether this row may be reached by its id. Unlike a list, no projects means every row.
    pub(super) fn reaches(&self, row: &Row) -> bool {
        self.projects
            .is_none_or(|projects| projects.is_empty() || touches(row, projects))
    }

    /// Whether this caller is shown what all columns hold.
    pub(super) fn shows_all(&self) -> bool {
        self.projects.is_none()
    }

    /// Whether this caller is shown what a column holds; if not, it is null.
    pub(super) fn shows(&self, column: &str) -> bool {
        self.shows_all() || PERMITTED.contains(&column)
    }

    /// A row as this caller is shown it.
    pub(super) fn shown(&self, row: &Row) -> Value {
        let mut values = row.shown();
        for (column, value) in &mut values {
            if !self.shows(column) {
                *value = Value::Null;
            }
        }
        Value::Object(values)
    }
}

/// Whether a row's `project_ids` hold one of these *as a number*: `"1"` is not 1.
fn touches(row: &Row, projects: &[i64]) -> bool {
    row.values
        .get("project_ids")
        .and_then(Value::as_array)
        .is_some_and(|ids| {
            ids.iter()
                .filter_map(Value::as_i64)
                .any(|id| projects.contains(&id))
        })
}
