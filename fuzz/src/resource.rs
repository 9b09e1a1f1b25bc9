//! Any message of a caller's, as one of the methods beside Create → what is asked of upstream.

use std::collections::BTreeSet;

use chartbrew_gateway::{
    chartbrew::types::{self, Clear, Page},
    convert::{self, Limits},
    proto::{
        ConnectionView, CreateRequest, DeleteRequest, GetRequest, ListRequest, TestNewRequest,
        TestRequest, UpdateRequest, UploadFilesRequest,
    },
};
use prost::Message;
use prost_types::FieldMask;
use serde_json::{Map, Value};

use super::{
    request::{SMALL, is_explained, other_secrets},
    tested,
};

/// What the gateway adds to the paths of a mask.
const CONNECTION: &str = "connection.";

/// Reads the bytes as the messages of all the methods.
///
/// # Panics
/// If a promise is broken.
pub fn run(data: &[u8]) {
    let limits = Limits::default();
    if let Ok(request) = UpdateRequest::decode(data) {
        update(&request);
    }
    if let Ok(request) = ListRequest::decode(data) {
        list(&request);
    }
    let text = String::from_utf8_lossy(data).into_owned();
    list(&ListRequest {
        team_id: 1,
        page_token: text,
        ..ListRequest::default()
    });
    if let Ok(request) = TestNewRequest::decode(data) {
        match convert::test_new(request, &limits) {
            Ok(test) => tested::of_settings(&test),
            Err(violations) => is_explained(&violations),
        }
    }
    if let Ok(request) = UploadFilesRequest::decode(data) {
        match convert::upload_files(request.clone(), &limits) {
            Ok((of, files)) => {
                assert_eq!((of.team, of.id), (request.team_id, request.connection_id));
                assert!(files.iter().count() > 0);
                assert!(files.iter().all(|file| !file.bytes.is_empty()));
            }
            Err(violations) => is_explained(&violations),
        }
    }
    if let Ok(request) = GetRequest::decode(data) {
        let read = convert::get(&request).map(|(of, _)| of);
        let delete = DeleteRequest {
            team_id: request.team_id,
            connection_id: request.connection_id,
            remove_datasets: true,
        };
        let test = TestRequest {
            team_id: request.team_id,
            connection_id: request.connection_id,
        };
        for of in [read, convert::delete(&delete), convert::test(&test)] {
            match of {
                Ok(of) => assert!(of.team > 0 && of.id > 0),
                Err(violations) => is_explained(&violations),
            }
        }
    }
}

/// The update that sets what a create sets: of all fields, and of some.
///
/// # Panics
/// If a promise is broken.
pub fn update_of(create: &CreateRequest, data: &[u8]) {
    let paths: Vec<_> = paths().collect();
    let some = paths
        .iter()
        .zip(data.iter().rev().cycle().skip(1).step_by(3));
    let some = some.filter(|(_, byte)| **byte % 3 == 0);
    let some: Vec<_> = some.map(|(path, _)| path.clone()).collect();
    for paths in [paths, some] {
        update(&UpdateRequest {
            team_id: 1,
            connection_id: 1,
            connection: create.connection.clone(),
            update_mask: Some(FieldMask { paths }),
        });
    }
}

/// The paths that a mask may name.
fn paths() -> impl Iterator<Item = String> {
    let modelled = types::fields().filter_map(|field| field.path?.strip_prefix(CONNECTION));
    modelled.chain(["extra_fields"]).map(str::to_owned)
}

/// Exactly the fields that the mask names are sent, and none is cleared that cannot be.
fn update(request: &UpdateRequest) {
    let mut other = request.clone();
    if let Some(connection) = &mut other.connection {
        other_secrets(connection);
    }
    for limits in [Limits::default(), SMALL] {
        let result = convert::update(request.clone(), &limits);
        match &result {
            Ok((of, changes)) => {
                assert!(of.team > 0 && of.id > 0);
                assert!(changes.json.len() <= limits.body_bytes);
                let json = serde_json::from_slice(&changes.json).expect("the body is an object");
                is_what_was_named(request, &json);
            }
            Err(violations) => is_explained(violations),
        }
        let others = convert::update(other.clone(), &limits);
        assert!(
            result.err() == others.err(),
            "what is said depends on a secret"
        );
    }
}

fn is_what_was_named(request: &UpdateRequest, json: &Map<String, Value>) {
    let mask = request.update_mask.as_ref().expect("or it were refused");
    assert!(!mask.paths.is_empty());
    assert!(!json.contains_key("id") && !json.contains_key("team_id"));
    let mut expected = BTreeSet::new();
    for path in &mask.paths {
        if path == "extra_fields" {
            let extra = request.connection.iter().flat_map(|new| &new.extra_fields);
            expected.extend(extra.flat_map(|extra| extra.fields.keys().map(String::as_str)));
            continue;
        }
        let full = format!("{CONNECTION}{path}");
        let field = types::fields().find(|field| field.path == Some(&*full));
        let field = field.expect("or it were refused");
        let value = json.get(field.rest).expect("what is named is sent");
        assert!(
            field.clear == Clear::Null || !value.is_null(),
            "it cannot be cleared"
        );
        assert!(
            field.clear != Clear::Never || value != "",
            "Chartbrew would keep the old value"
        );
        expected.insert(field.rest);
    }
    let names: BTreeSet<_> = json.keys().map(String::as_str).collect();
    assert!(names == expected, "other fields are sent than were named");
}

/// A page has a size, and begins where its token says.
fn list(request: &ListRequest) {
    match convert::list(request) {
        Ok((team, page, view)) => {
            assert!(team > 0 && (1..=1_000).contains(&page.size));
            assert_eq!(page.after.is_none(), request.page_token.is_empty());
            assert!(ConnectionView::try_from(request.view).is_ok_and(|asked| asked == view));
            let next = Page {
                rows: Vec::new(),
                next: page.after,
            };
            let response = convert::page(view, team, next);
            assert_eq!(response.next_page_token, request.page_token);
        }
        Err(violations) => is_explained(&violations),
    }
}
