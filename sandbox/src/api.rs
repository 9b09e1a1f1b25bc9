//! The calls of Chartbrew's REST API.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Kind,
    auth::{self, Access},
    body,
    files::{self, Upload},
    list::list,
    model::{self, FILE_FIELDS, Row, Values},
    orm::{self, Statement},
    probe,
    reply::Reply,
    route::{Route, id_of},
    source::Source,
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
        Kind::List => Reply::written_json(StatusCode::OK, list(app, &access).await),
        Kind::Get => Reply::json(StatusCode::OK, &access.shown(&*row()?)),
        Kind::Update => update(app, &*row()?, sent)?,
        Kind::Delete => delete(app, &*row()?),
        Kind::Test => {
            let row = row()?;
            tokio::time::sleep(app.settings.test_delay).await;
            probe::saved(&row.values, &app.settings)?
        }
        Kind::TestNew => test_new(app, request, sent).await?,
        Kind::Duplicate => duplicate(app, &*row()?, sent)?,
        Kind::UpdateSchema => {
            row()?;
            bad(&json!({}))
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

    insert(app, team, &sent, id.as_ref())
}

/// Stores a new row of these values and returns what was set of it.
fn insert(app: &App, team: i32, sent: &Values, id: Option<&Value>) -> Result<Reply, Reply> {
    let statement = Statement::Insert;
    let mut values = model::defaults();
    set(&mut values, sent)?;
    if let Some(id) = id {
        values.insert("id".to_owned(), id.clone());
    }
    let now = Timestamp::now();
    orm::check(&values, now, statement).map_err(|e| bad(&e))?;
    let row = Row::new(team, &values, now);
    let id = app
        .change(|m| m.insert(id.and_then(stored_id), row))
        .map_err(|id| bad(&orm::duplicate_id(&values, id, now, statement)))?;

    values.insert("id".to_owned(), id.into());
    for column in ["createdAt", "updatedAt"] {
        values.insert(column.to_owned(), model::to_the_millisecond(now));
    }
    let reply = Value::Object(model::redact(values));
    Ok(Reply::json(StatusCode::OK, &reply))
}

fn stored_id(sent: &Value) -> Option<i32> {
    let id = model::Column::Integer.stored(sent).as_i64()?;
    i32::try_from(id).ok()
}

fn find(app: &App, access: &Access<'_>, id: &str) -> Result<Arc<Row>, Reply> {
    let row = id_of(id).and_then(|id| app.read(|m| m.row(access.team, id)));
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

/// Sets what was sent. A new id moves the row, and then the server does not find it any more.
fn update(app: &App, row: &Row, sent: Option<Values>) -> Result<Reply, Reply> {
    // The real server fails on a body that it has not read.
    let mut sent = sent
        .ok_or_else(|| Reply::page(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))?;
    sent.insert("team_id".to_owned(), row.team.into());
    let id = sent.remove("id").filter(|id| !model::is_falsy(id));
    keep_from_writing(&mut sent);
    let mut values = Values::new();
    set(&mut values, &sent)?;
    if let Some(id) = &id {
        values.insert("id".to_owned(), id.clone());
    }
    let (now, statement) = (Timestamp::now(), Statement::Update(row.id));
    orm::check(&values, now, statement).map_err(|e| bad(&e))?;
    let Some(to) = id.as_ref().and_then(stored_id).filter(|to| *to != row.id) else {
        return Ok(store(app, row, &values));
    };
    app.change(|m| {
        m.relocate(row.team, row.id, to)?;
        m.update(row.team, to, &values);
        Ok(())
    })
    .map_err(|id| bad(&orm::duplicate_id(&values, id, now, statement)))?;
    Err(bad(&json!({})))
}

/// Stores values in a row and returns the row as the response.
fn store(app: &App, row: &Row, values: &Values) -> Reply {
    let stored = app.change(|m| m.update(row.team, row.id, values));
    stored.map_or_else(not_found, |row| {
        Reply::json(StatusCode::OK, &Value::Object(row.shown()))
    })
}

/// Stores a copy of a row, secrets included. It has the name that was sent, or the row's.
fn duplicate(app: &App, row: &Row, sent: Option<Values>) -> Result<Reply, Reply> {
    let mut copied = row.columns();
    copied.remove("id");
    let name = sent.and_then(|mut sent| sent.remove("name"));
    if let Some(name) = name.filter(|name| !model::is_falsy(name)) {
        copied.insert("name".to_owned(), name);
    }
    insert(app, row.team, &copied, None)
}

fn delete(app: &App, row: &Row) -> Reply {
    if app.change(|m| m.delete(row.team, row.id)) {
        Reply::json(StatusCode::OK, &json!({ "removed": true }))
    } else {
        not_found()
    }
}

/// Tests what was sent, of which nothing is stored.
async fn test_new(app: &App, request: &Request, sent: Option<Values>) -> Result<Reply, Reply> {
    let path = request.path.trim_end_matches('/');
    let values = if path.to_ascii_lowercase().ends_with("/files") {
        files::connection(&request.headers, &request.body).await?
    } else {
        sent.unwrap_or_default()
    };
    tokio::time::sleep(app.settings.test_delay).await;
    probe::unsaved(&values, &app.settings)
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
