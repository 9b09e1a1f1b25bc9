//! A `NewConnection` → the REST types, by the table of fields.

use prost_types::Struct;
use serde_json::{Map, Value};

use super::{
    check::{self, Check},
    enums, json,
};
use crate::{
    chartbrew::types::{self, NewConnection, OptionalFields, SshFields, connection_fields},
    proto,
};

macro_rules! check_fields {
    (
        fields { $(
            $(#[$doc:meta])*
            $field:ident: $type:ty = $rest:literal { check: $check:ident, $($rules:tt)* }
        )* }
        ssh { $(
            $(#[$ssh_doc:meta])*
            $ssh_field:ident: $ssh_type:ty = $ssh_rest:literal {
                check: $ssh_check:ident, $($ssh_rules:tt)*
            }
        )* }
    ) => {
        impl Check<'_> {
            /// Goes through the optional fields in the order of the contract's, so that violations
            /// come in it too.
            pub(super) fn optional_fields(&mut self, new: proto::NewConnection) -> OptionalFields {
                // Without `..`: a field of the contract that is not in the table does not compile.
                let proto::NewConnection {
                    name: _,
                    r#type: _,
                    sub_type: _,
                    $($field,)*
                    ssh,
                    extra_fields: _,
                } = new;
                OptionalFields {
                    $($field: {
                        let path = concat!("connection.", stringify!($field));
                        check::$check(self, path, $field)
                    },)*
                    ssh: self.ssh(ssh.unwrap_or_default()),
                }
            }

            fn ssh(&mut self, ssh: proto::SshTunnel) -> SshFields {
                let proto::SshTunnel {
                    $($ssh_field,)*
                    has_password,
                    has_private_key,
                    has_passphrase,
                } = ssh;
                let fields = SshFields {
                    $($ssh_field: {
                        let path = concat!("connection.ssh.", stringify!($ssh_field));
                        check::$ssh_check(self, path, $ssh_field)
                    },)*
                };
                self.output_only("connection.ssh.has_password", has_password);
                self.output_only("connection.ssh.has_private_key", has_private_key);
                self.output_only("connection.ssh.has_passphrase", has_passphrase);
                fields
            }
        }
    };
}

connection_fields!(check_fields);

// === impl Check ===

impl Check<'_> {
    /// Checks a whole message, in the order of the contract's fields.
    pub(super) fn connection(
        &mut self,
        team_id: i32,
        mut new: proto::NewConnection,
    ) -> NewConnection {
        let extra = new.extra_fields.take();
        NewConnection {
            team_id,
            name: self.name(std::mem::take(&mut new.name)),
            kind: self.required("connection.type", enums::TYPE, new.r#type),
            sub_type: self.optional("connection.sub_type", enums::SUB_TYPE, new.sub_type),
            fields: self.optional_fields(new),
            extra: self.extra_fields(extra.unwrap_or_default()),
        }
    }

    pub(super) fn name(&mut self, name: String) -> String {
        let (chars, max) = (name.chars().count(), self.limits.name_chars);
        if chars == 0 {
            self.invalid(
                "connection.name",
                format!("is required: 1 to {max} characters"),
            );
        } else if chars > max {
            self.invalid(
                "connection.name",
                format!("has {chars} characters: shorten it to at most {max}"),
            );
        }
        name
    }

    fn output_only(&mut self, path: &str, value: Option<bool>) {
        if value.is_some() {
            self.invalid(path, "is output only: leave it unset");
        }
    }

    pub(super) fn extra_fields(&mut self, mut message: Struct) -> Map<String, Value> {
        const FIELD: &str = "connection.extra_fields";
        message.fields.retain(|name, _| {
            let why = if let Some(field) = types::field(name) {
                match field.path {
                    Some(path) => format!("is part of the contract: use {path} instead"),
                    None => "is set by Chartbrew: leave it out".to_owned(),
                }
            } else if name == "__proto__" {
                // To the ORM behind the API it is no field but the object's own prototype.
                "cannot be stored by Chartbrew: leave it out".to_owned()
            } else {
                return true;
            };
            self.violations.invalid(format!("{FIELD}.{name}"), why);
            false
        });
        let nesting = self.limits.nesting.saturating_add(1);
        self.json(FIELD, json::from_struct(message, nesting))
            .unwrap_or_default()
    }
}
