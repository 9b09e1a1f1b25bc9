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

use super::{enums, json, show};
use crate::{
    chartbrew::types::{self, connection_fields, names},
    proto,
};

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

/// Protobuf counts nanoseconds forwards from the second, also before 1970.
fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    let back = i32::from(nanos < 0);
    prost_types::Timestamp {
        seconds: seconds - i64::from(back),
        nanos: nanos + back * 1_000_000_000,
    }
}
