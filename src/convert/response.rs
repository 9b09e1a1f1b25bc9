//! A row → the contract's `Connection`. Nothing is lost.
//!
//! What has no place in the message is in `extra_fields`, under its REST name:
//!
//! | in the row | in the message |
//! |---|---|
//! | an enum text that this version does not know | UNSPECIFIED, and the text in `extra_fields` |
//! | keys of `authentication` that are not modelled, or not texts | an object of them in `extra_fields`, under `authentication` |
//! | any SSH field that is not null | `ssh` is set |
//! | a project id, number or text | its digits |

use jiff::Timestamp;

use super::{enums, json, page_token, secrets::Secrets, show};
use crate::{
    chartbrew::types::{self, Tested, connection_fields, names},
    proto::{self, ConnectionView},
};

/// Longest message of a test, in bytes.
const MAX_MESSAGE: usize = 1024;
/// The message of a test where the caller may not see the connection's secrets, which cannot be cut
/// out then.
const NOT_SHOWN: &str = "the source's words are not shown, since the token may not see the \
                         connection's password";
/// The message of a test that failed without a word.
const NO_WORDS: &str = "the test failed, and Chartbrew does not say why: look at the host, the \
                        port and the credentials";

macro_rules! show_fields {
    (
        fields { $(
            $(#[$doc:meta])*
            $field:ident: $type:ty = $rest:literal {
                check: $check:ident, show: $show:ident, $($rules:tt)*
            }
        )* }
        ssh { $(
            $(#[$ssh_doc:meta])*
            $ssh_field:ident: $ssh_type:ty = $ssh_rest:literal {
                check: $ssh_check:ident, show: $ssh_show:ident, $($ssh_rules:tt)*
            }
        )* }
    ) => {
        /// Maps a row. `team_id` is 0 if the row does not show it (see
        /// `types::Connection::team_id`).
        #[must_use]
        pub fn connection(row: types::Connection) -> proto::Connection {
            let mut extra = row.extra;
            let ssh = proto::SshTunnel {
                $($ssh_field: show::$ssh_show($ssh_rest, row.fields.ssh.$ssh_field, &mut extra),)*
                has_password: row.has_ssh_password,
                has_private_key: row.has_ssh_private_key,
                has_passphrase: row.has_ssh_passphrase,
            };
            proto::Connection {
                id: row.id,
                team_id: row.team_id.unwrap_or_default(),
                name: row.name,
                r#type: show::number(enums::TYPE, names::TYPE, row.kind, &mut extra),
                sub_type: show::number(enums::SUB_TYPE, names::SUB_TYPE, row.sub_type, &mut extra),
                $($field: show::$show($rest, row.fields.$field, &mut extra),)*
                ssl_ca: row.ssl_ca,
                ssl_cert: row.ssl_cert,
                ssl_key: row.ssl_key,
                ssh: (ssh != proto::SshTunnel::default()).then_some(ssh),
                create_time: row.created_at.map(timestamp),
                update_time: row.updated_at.map(timestamp),
                extra_fields: (!extra.is_empty()).then(|| json::to_fields(extra)),
            }
        }
    };
}

connection_fields!(show_fields);

/// Maps as much of a row as the view shows.
#[must_use]
pub fn connection_in(view: ConnectionView, mut row: types::Connection) -> proto::Connection {
    match view {
        ConnectionView::Full => {}
        ConnectionView::Basic | ConnectionView::Unspecified => row.hide_secrets(),
    }
    connection(row)
}

/// Maps a page of a team's list.
#[must_use]
pub fn page(view: ConnectionView, team: i32, page: types::Page) -> proto::ListResponse {
    let rows = page.rows.into_iter();
    let next = page.next.map(|position| page_token::write(team, position));
    proto::ListResponse {
        connections: rows.map(|row| connection_in(view, row)).collect(),
        next_page_token: next.unwrap_or_default(),
    }
}

/// Maps the result of a test, without the secrets.
#[must_use]
pub fn tested(tested: Tested, secrets: &Secrets) -> proto::TestResponse {
    let details = tested.details.map(|found| secrets.cut_out_of_json(found));
    proto::TestResponse {
        success: tested.success,
        message: match (tested.success, tested.words.is_empty()) {
            _ if secrets.is_incomplete() => NOT_SHOWN.to_owned(),
            (false, true) => NO_WORDS.to_owned(),
            _ => message(&secrets.cut_out_of(&tested.words)),
        },
        details: details.map(json::to_value),
    }
}

/// A text on one line, of at most [`MAX_MESSAGE`] bytes.
fn message(words: &str) -> String {
    let mut message = words.replace(char::is_control, " ");
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE - "…".len()));
        message.push('…');
    }
    message
}

/// Protobuf counts nanoseconds forwards from the second, also before 1970.
fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    let back = i32::from(nanos < 0);
    prost_types::Timestamp {
        seconds: seconds - i64::from(back),
        nanos: nanos + back * 1_000_000_000,
    }
}
