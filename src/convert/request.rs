//! A `CreateRequest` → what goes upstream, or everything that is wrong with it.

use prost_types::Struct;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    check::{self, Check},
    enums, json,
    limits::Limits,
    violations::{Violations, brief},
};
use crate::{
    chartbrew::types::{
        self, Create, CreateBody, Files, NewConnection, OptionalFields, SshFields,
        connection_fields,
    },
    proto,
};

/// Checks and maps a request.
///
/// # Errors
///
/// [`Violations`], all of them at once, in the order of the contract's fields.
pub fn create(request: proto::CreateRequest, limits: &Limits) -> Result<Create, Violations> {
    let proto::CreateRequest {
        team_id,
        connection,
        request_id,
        files,
    } = request;
    let mut check = Check {
        limits,
        violations: Violations::default(),
    };
    if team_id <= 0 {
        check.invalid("team_id", "is required: the id of a team, greater than 0");
    }
    let body = match connection {
        Some(connection) => {
            let connection = check.connection(team_id, *connection);
            check.body(connection)
        }
        None => {
            check.invalid("connection", "is required: the connection to create");
            None
        }
    };
    let request_id = request_id.and_then(|id| check.request_id(&id));
    let files = files.map(|files| check.files(files)).unwrap_or_default();
    match body {
        Some(body) if check.violations.is_empty() => Ok(Create {
            team: team_id,
            body,
            request_id,
            files,
        }),
        Some(_) | None => Err(check.violations),
    }
}

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
            /// Goes through the message in the order of the contract's fields, so that violations
            /// come in it too.
            fn connection(&mut self, team_id: i32, new: proto::NewConnection) -> NewConnection {
                // Without `..`: a field of the contract that is not in the table does not compile.
                let proto::NewConnection {
                    name,
                    r#type,
                    sub_type,
                    $($field,)*
                    ssh,
                    extra_fields,
                } = new;
                NewConnection {
                    team_id,
                    name: self.name(name),
                    kind: self.required("connection.type", enums::TYPE, r#type),
                    sub_type: self.optional("connection.sub_type", enums::SUB_TYPE, sub_type),
                    fields: OptionalFields {
                        $($field: {
                            let path = concat!("connection.", stringify!($field));
                            check::$check(self, path, $field)
                        },)*
                        ssh: self.ssh(ssh.unwrap_or_default()),
                    },
                    extra: self.extra_fields(extra_fields.unwrap_or_default()),
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
    fn name(&mut self, name: String) -> String {
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

    fn extra_fields(&mut self, mut message: Struct) -> Map<String, Value> {
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

    fn body(&mut self, new: NewConnection) -> Option<CreateBody> {
        let Ok(body) = CreateBody::try_new(new) else {
            self.invalid("connection", "cannot be written as JSON");
            return None;
        };
        let (bytes, max) = (body.json().len(), self.limits.body_bytes);
        if bytes > max {
            self.violations.too_large(
                "connection",
                format!("takes {bytes} bytes as JSON: Chartbrew takes at most {max}"),
            );
        }
        Some(body)
    }

    fn files(&mut self, message: proto::ConnectionFiles) -> Files {
        let files = Files {
            ssl_ca: message.ssl_ca,
            ssl_cert: message.ssl_cert,
            ssl_key: message.ssl_key,
            ssh_private_key: message.ssh_private_key,
        };
        let max = self.limits.file_bytes;
        for file in files.iter() {
            let field = types::field(file.field).and_then(|field| field.path);
            let field = field.unwrap_or("files");
            let bytes = file.bytes.len();
            if bytes == 0 {
                self.invalid(
                    field,
                    "is empty: leave it unset, or give the file's content",
                );
            } else if bytes > max {
                self.violations.too_large(
                    field,
                    format!("has {bytes} bytes: Chartbrew takes at most {max} in a file"),
                );
            }
        }
        files
    }

    /// The nil UUID is refused (AIP-155): it is what a client sends that forgot to make one.
    fn request_id(&mut self, id: &str) -> Option<Uuid> {
        let parsed = Uuid::try_parse(id).ok().filter(|id| !id.is_nil());
        if parsed.is_none() {
            self.invalid(
                "request_id",
                format!(
                    "must be a UUID made for this creation, and not the nil UUID; it is {}",
                    brief(id)
                ),
            );
        }
        parsed
    }
}
