//! What the table of fields makes: the REST types of the optional fields, and the list of all
//! fields with their rules.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    field::{
        Clear,
        Compare::{
            DefaultFlag, DefaultText, Equal, Host, Never, NonEmpty, Options, Password,
            SshPassphrase, SshPassword,
        },
        Field, Secret,
    },
    lenient::{PortText, ProjectId, put},
    table::{OTHERS, connection_fields},
};

macro_rules! define_fields {
    (
        fields { $(
            $(#[$doc:meta])*
            $field:ident: $type:ty = $rest:literal {
                check: $check:ident, show: $show:ident,
                compare: $compare:expr, clear: $clear:ident, secret: $secret:ident,
            }
        )* }
        ssh { $(
            $(#[$ssh_doc:meta])*
            $ssh_field:ident: $ssh_type:ty = $ssh_rest:literal {
                check: $ssh_check:ident, show: $ssh_show:ident,
                compare: $ssh_compare:expr, clear: $ssh_clear:ident, secret: $ssh_secret:ident,
            }
        )* }
    ) => {
        /// The fields of a connection that may be unset, in a request or in a row. `None` is not
        /// sent; Chartbrew then uses its default, or null.
        #[derive(Clone, Default, PartialEq, Serialize)]
        pub struct OptionalFields {
            $(
                $(#[$doc])*
                #[serde(rename = $rest, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
            /// The SSH tunnel.
            #[serde(flatten)]
            pub ssh: SshFields,
        }

        /// The fields of an SSH tunnel. In REST they are fields of the connection.
        #[derive(Clone, Default, PartialEq, Serialize)]
        pub struct SshFields {
            $(
                $(#[$ssh_doc])*
                #[serde(rename = $ssh_rest, skip_serializing_if = "Option::is_none")]
                pub $ssh_field: Option<$ssh_type>,
            )*
        }

        /// The names and rules of these fields.
        pub(super) const OPTIONAL: &[Field] = &[
            $(Field {
                rest: $rest,
                path: Some(concat!("connection.", stringify!($field))),
                compare: $compare,
                clear: Clear::$clear,
                secret: Secret::$secret,
            },)*
            $(Field {
                rest: $ssh_rest,
                path: Some(concat!("connection.ssh.", stringify!($ssh_field))),
                compare: $ssh_compare,
                clear: Clear::$ssh_clear,
                secret: Secret::$ssh_secret,
            },)*
        ];

        impl OptionalFields {
            /// Puts the value of a row's field into its place. Gives it back if it is none of
            /// these fields, or is not of the modelled type.
            pub(super) fn put(&mut self, rest_name: &str, value: Value) -> Option<Value> {
                match rest_name {
                    $($rest => put(&mut self.$field, value),)*
                    $($ssh_rest => put(&mut self.ssh.$ssh_field, value),)*
                    _ => Some(value),
                }
            }

            /// Unsets the fields whose values are secrets as a whole.
            pub(super) fn hide_secrets(&mut self) {
                $(if Secret::$secret == Secret::Yes {
                    self.$field = None;
                })*
                $(if Secret::$ssh_secret == Secret::Yes {
                    self.ssh.$ssh_field = None;
                })*
            }

            /// The JSON value of the field with this REST name, if it is set.
            #[must_use]
            pub fn get(&self, rest_name: &str) -> Option<Value> {
                match rest_name {
                    $($rest => to_json(self.$field.as_ref()),)*
                    $($ssh_rest => to_json(self.ssh.$ssh_field.as_ref()),)*
                    _ => None,
                }
            }
        }
    };
}

connection_fields!(define_fields);

/// Every field that the contract models, in a request or in a response.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    OTHERS.iter().chain(OPTIONAL)
}

/// The field of this REST name (exact case), if the contract models it.
#[must_use]
pub fn field(rest_name: &str) -> Option<&'static Field> {
    fields().find(|field| field.rest == rest_name)
}

// === impl OptionalFields ===

impl OptionalFields {
    /// The values that are secrets, or have secrets in them, with their REST names.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, Value)> + '_ {
        let secrets = OPTIONAL.iter().filter(|field| field.secret != Secret::No);
        secrets.filter_map(|field| Some((field.rest, self.get(field.rest)?)))
    }
}

/// None of these types makes serde_json fail.
fn to_json(value: Option<&impl Serialize>) -> Option<Value> {
    serde_json::to_value(value?).ok()
}

// Both hold secrets.

impl fmt::Debug for OptionalFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OptionalFields").finish_non_exhaustive()
    }
}

impl fmt::Debug for SshFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshFields").finish_non_exhaustive()
    }
}
