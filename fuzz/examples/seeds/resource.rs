//! The first inputs of the methods beside Create.

use std::collections::BTreeMap;

use chartbrew_gateway::{
    chartbrew::types::{Page, Position},
    convert,
    proto::{
        ConnectionView, GetRequest, ListRequest, TestNewRequest, UpdateRequest, UploadFilesRequest,
    },
};
use prost::Message;
use prost_types::FieldMask;

/// Requests that are right, and some that are not.
pub(crate) fn requests() -> BTreeMap<String, Vec<u8>> {
    let full = super::full();
    let update = |paths: &[&str]| UpdateRequest {
        team_id: 1,
        connection_id: 2,
        connection: full.connection.clone(),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    };
    let clears = UpdateRequest {
        connection: None,
        ..update(&["options", "ssl", "ssh.port", "sub_type", "authentication"])
    };
    let page = Page {
        rows: Vec::new(),
        next: Some(Position::from_parts((-1_764_000_000_000_000, 4714))),
    };
    let token = convert::page(ConnectionView::Basic, 1, page).next_page_token;
    let list = ListRequest {
        team_id: 1,
        page_size: 1_000,
        page_token: token,
        view: 2,
    };
    let test_new = TestNewRequest {
        team_id: 1,
        connection: full.connection.clone(),
        files: full.files.clone(),
    };
    let upload = UploadFilesRequest {
        team_id: 1,
        connection_id: 2,
        files: full.files.clone(),
    };
    let get = GetRequest {
        team_id: 1,
        connection_id: 2,
        view: 1,
    };
    [
        ("update_one", update(&["password"]).encode_to_vec()),
        (
            "update_some",
            update(&["name", "type", "ssh.host", "extra_fields"]).encode_to_vec(),
        ),
        ("update_clears", clears.encode_to_vec()),
        (
            "update_star",
            update(&["*", "ssh", "id", "authentication.pass"]).encode_to_vec(),
        ),
        ("update_nothing", update(&[]).encode_to_vec()),
        ("list", list.encode_to_vec()),
        ("test_new", test_new.encode_to_vec()),
        ("upload", upload.encode_to_vec()),
        ("get", get.encode_to_vec()),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}
