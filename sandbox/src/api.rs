//! The calls of Chartbrew's REST API.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Kind,
    auth::{self, Access},
    body,
    files::{self, Upload},
    model::{self, FILE_FIELDS, Row, Values},
    orm::{self, Statement},
    reply::Reply,
    route::{Route, id_of},
    source::{self, Source},
    state::App,
};

/// A request, read whole.
pub(super) struct Request {
    /// Its method.
    pub(super) method: Method,
    /// Its path, without the query.
    pub(super) path: String,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its body.
    pub(super) body: Bytes,
}

/// Does what a request asks; `None` if it is never answered.
pub(super) async fn call(app: &App, request: &Request) -> Option<Reply> {
    try_call(app, request).await.unwrap_or_else(Some)
}

/// The same, with every refusal as an error. The body is read before the route is looked up, and
/// the route before the token, as Express does.
async fn try_call(app: &App, request: &Request) -> Result<Option<Reply>, Reply> {
    let Request {
        method,
        path,
        headers,
        body,
    } = request;
    let route = Route::read(method, path);
    let sent = body::read(headers, body)?;
    if route.kind == Kind::Any {
        return Err(no_route(method, path));
    }
    let access = auth::admit(&app.settings, headers, &route)?;
    let row = || find(app, &access, route.id);
    let reply = match route.kind {
        Kind::Any => no_route(method, path),
        Kind::Create => create(app, access.team, sent.unwrap_or_default())?,
        Kind::List => list(app, &access),
        Kind::Get => Reply::json(StatusCode::OK, &access.shown(&row()?)),
        Kind::Update => update(app, &row()?, sent)?,
        Kind::Delete => delete(app, &row()?),
        Kind::Test => {
            let row = row()?;
            tokio::time::sleep(app.settings.test_delay).await;
            source::test(&row.values, &app.settings)
        }
        Kind::Files => {
            let row = row()?;
            match files::read(headers, body).await {
                Upload::Files(paths) => store(app, &row, &paths),
                Upload::Refused(reply) => reply,
                Upload::Silence => return Ok(None),
            }
        }
    };
    Ok(Some(reply))
}

fn no_route(method: &Method, path: &str) -> Reply {
    Reply::page(StatusCode::NOT_FOUND, &format!("Cannot {method} {path}"))
}

fn create(app: &App, team: i32, mut sent: Values) -> Result<Reply, Reply> {
    sent.insert("team_id".to_owned(), team.into());
    if let Some(source) = Source::of(&sent).filter(|s| s.prepares) {
        source.refuse_if_disabled(&app.settings)?;
        source.prepare(&mut sent, &app.settings)?;
    }
    keep_from_writing(&mut sent);
    if sent.get("type").is_none_or(model::is_falsy) {
        sent.insert("type".to_owned(), "mongodb".into());
    }
    let id = sent.remove("id").filter(|id| !model::is_falsy(id));

    let mut values = model::defaults();
    set(&mut values, &sent)?;
    if let Some(id) = &id {
        values.insert("id".to_owned(), id.clone());
    }
    let now = Timestamp::now();
    orm::check(&values, now, Statement::Insert).map_err(|e| bad(&e))?;
    let id = id
        .as_ref()
        .map(|id| model::Column::Integer.stored(id))
        .and_then(|id| i32::try_from(id.as_i64()?).ok());
    let id = app
        .change(|m| m.insert(id, team, &values, now))
        .map_err(|id| bad(&orm::duplicate_id(&values, id, now)))?;

    values.insert("id".to_owned(), id.into());
    for column in ["createdAt", "updatedAt"] {
        values.insert(column.to_owned(), model::to_the_millisecond(now));
    }
    let reply = Value::Object(model::redact(values));
    Ok(Reply::json(StatusCode::OK, &reply))
}

/// Newest first by the whole second, and within a second by id.
fn list(app: &App, access: &Access<'_>) -> Reply {
    let mut rows: Vec<Row> = app.read(|m| {
        let of_team = m.rows.iter().filter(|r| r.team == access.team);
        of_team.filter(|r| access.lists(r)).cloned().collect()
    });
    rows.sort_by_key(|r| (-r.created.as_second(), r.id));
    let shown = rows
        .iter()
        .map(|row| {
            let mut shown = access.shown(row);
            if let Some(values) = shown.as_object_mut() {
                values.remove("password");
                values.remove("schema");
            }
            shown
        })
        .collect();
    Reply::json(StatusCode::OK, &Value::Array(shown))
}

fn find(app: &App, access: &Access<'_>, id: &str) -> Result<Row, Reply> {
    let row = id_of(id).and_then(|id| app.read(|m| m.row(access.team, id).cloned()));
    let Some(row) = row else {
        return Err(not_found());
    };
    if access.reaches(&row) {
        Ok(row)
    } else {
        let body = json!({ "error": "Not authorized" });
        Err(Reply::json(StatusCode::FORBIDDEN, &body))
    }
}

fn update(app: &App, row: &Row, sent: Option<Values>) -> Result<Reply, Reply> {
    // The real server fails on a body that it has not read.
    let mut sent = sent
        .ok_or_else(|| Reply::page(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))?;
    sent.insert("team_id".to_owned(), row.team.into());
    sent.remove("id");
    keep_from_writing(&mut sent);
    let mut values = Values::new();
    set(&mut values, &sent)?;
    let now = Timestamp::now();
    orm::check(&values, now, Statement::Update(row.id)).map_err(|e| bad(&e))?;
    Ok(store(app, row, &values))
}

/// Stores values in a row and returns the row as the response.
fn store(app: &App, row: &Row, values: &Values) -> Reply {
    let stored = app.change(|m| {
        let row = m.row_mut(row.team, row.id)?;
        row.store(values);
        row.updated = Timestamp::now();
        Some(row.shown())
    });
    stored.map_or_else(not_found, |row| {
        Reply::json(StatusCode::OK, &Value::Object(row))
    })
}

fn delete(app: &App, row: &Row) -> Reply {
    app.change(|m| m.rows.retain(|r| r.id != row.id));
    Reply::json(StatusCode::OK, &json!({ "removed": true }))
}

/// Takes out what only the server itself may set.
fn keep_from_writing(sent: &mut Values) {
    sent.remove("allowPrivateHost");
    for field in FILE_FIELDS {
        sent.remove(field);
    }
}

fn set(values: &mut Values, sent: &Values) -> Result<(), Reply> {
    model::set_all(values, sent).map_err(|_| bad(&json!({ "code": "ERR_INVALID_ARG_TYPE" })))
}

fn bad(error: &Value) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, error)
}

fn not_found() -> Reply {
    Reply::json(StatusCode::NOT_FOUND, &json!({ "error": "Not Found" }))
}
