//! A `CreateRequest` → what goes upstream, or everything that is wrong with it.

use prost_types::{Struct, value::Kind as ValueKind};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    check::Check,
    enums, json,
    limits::Limits,
    violations::{Violations, brief},
};
use crate::{
    chartbrew::types::{self, Create, CreateBody, Files, NewConnection, ProjectId, names},
    proto,
};

/// Above this JavaScript, and so Chartbrew, no longer tells whole numbers apart: 2^53 − 1.
const MAX_SAFE_INTEGER: u64 = 9_007_199_254_740_991;

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
        Some(connection) => check.connection(team_id, connection),
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

// === impl Check ===

impl Check<'_> {
    fn connection(&mut self, team_id: i32, message: proto::NewConnection) -> Option<CreateBody> {
        let proto::NewConnection {
            name,
            r#type,
            sub_type,
            host,
            port,
            db_name,
            username,
            password,
            options,
            connection_string,
            srv,
            authentication,
            firebase_service_account,
            ssl,
            ssl_mode,
            schema,
            project_ids,
            active,
            oauth_id,
            ssh,
            extra_fields,
        } = message;
        // In the order of the contract's fields, so that violations come in it too.
        let mut new = NewConnection {
            team_id,
            name: self.name(name),
            kind: self.required("connection.type", enums::TYPE, r#type),
            sub_type: self.optional("connection.sub_type", enums::SUB_TYPE, sub_type),
            host,
            port: self.text("connection.port", port),
            db_name: self.text("connection.db_name", db_name),
            username: self.text("connection.username", username),
            password: self.text("connection.password", password),
            options: options.and_then(|options| self.options(options)),
            connection_string: self.text("connection.connection_string", connection_string),
            srv,
            authentication: authentication.and_then(|message| self.authentication(message)),
            firebase_service_account: self.object(
                "connection.firebase_service_account",
                firebase_service_account,
            ),
            ssl,
            ssl_mode: self.optional("connection.ssl_mode", enums::SSL_MODE, ssl_mode),
            schema: self.object("connection.schema", schema),
            project_ids: self.project_ids(project_ids),
            active,
            oauth_id: oauth_id.and_then(|id| self.oauth_id(&id)),
            ..NewConnection::default()
        };
        if let Some(ssh) = ssh {
            self.ssh(ssh, &mut new);
        }
        new.extra = self.extra_fields(extra_fields);
        self.body(new)
    }

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

    fn options(&mut self, message: prost_types::Value) -> Option<Value> {
        const FIELD: &str = "connection.options";
        match &message.kind {
            None => return None,
            Some(ValueKind::NullValue(_) | ValueKind::StructValue(_) | ValueKind::ListValue(_)) => {
            }
            Some(
                ValueKind::NumberValue(_) | ValueKind::StringValue(_) | ValueKind::BoolValue(_),
            ) => {
                self.invalid(FIELD, "must be an object, an array or null");
                return None;
            }
        }
        let options = self.json(FIELD, json::from_value(message, self.limits.nesting))?;
        self.encrypted_json(FIELD, &options);
        Some(options)
    }

    fn authentication(&mut self, message: proto::Authentication) -> Option<Map<String, Value>> {
        let proto::Authentication {
            r#type,
            token,
            user,
            pass,
        } = message;
        let kind = self.required(
            "connection.authentication.type",
            enums::AUTHENTICATION,
            r#type,
        );
        let object = types::authentication(kind, token, user, pass);
        self.encrypted_json("connection.authentication", &object);
        Some(object)
    }

    fn project_ids(&mut self, ids: Vec<String>) -> Vec<ProjectId> {
        const FIELD: &str = "connection.project_ids";
        let empty = ids.iter().enumerate().filter(|(_, id)| id.is_empty());
        // More than one answer holds need not be found.
        for (index, _) in empty.take(Violations::MAX) {
            self.invalid(&format!("{FIELD}[{index}]"), "must not be empty");
        }
        let ids: Vec<_> = ids.into_iter().map(project_id).collect();
        let bytes = serde_json::to_vec(&ids).map_or(0, |json| json.len());
        let max = self.limits.project_ids_bytes;
        if bytes > max {
            self.invalid(
                FIELD,
                format!("takes {bytes} bytes as JSON: Chartbrew stores at most {max} bytes of it"),
            );
        }
        ids
    }

    /// Chartbrew looks a grant up by the exact text, and makes its ids in the canonical form.
    fn oauth_id(&mut self, id: &str) -> Option<String> {
        let parsed = Uuid::try_parse(id);
        if parsed.is_err() {
            self.invalid(
                "connection.oauth_id",
                format!(
                    "must be a UUID, such as 123e4567-e89b-42d3-a456-426614174000, not {}",
                    brief(id)
                ),
            );
        }
        parsed.ok().map(|id| id.hyphenated().to_string())
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

    fn ssh(&mut self, message: proto::SshTunnel, new: &mut NewConnection) {
        let proto::SshTunnel {
            enabled,
            host,
            port,
            username,
            password,
            passphrase,
            jump_host,
            jump_port,
            has_password,
            has_private_key,
            has_passphrase,
        } = message;
        new.use_ssh = enabled;
        new.ssh_host = self.text("connection.ssh.host", host);
        new.ssh_port = self.port("connection.ssh.port", port);
        new.ssh_username = self.text("connection.ssh.username", username);
        new.ssh_password = self.text("connection.ssh.password", password);
        new.ssh_passphrase = self.text("connection.ssh.passphrase", passphrase);
        new.ssh_jump_host = self.text("connection.ssh.jump_host", jump_host);
        new.ssh_jump_port = self.port("connection.ssh.jump_port", jump_port);
        for (field, value) in [
            ("connection.ssh.has_password", has_password),
            ("connection.ssh.has_private_key", has_private_key),
            ("connection.ssh.has_passphrase", has_passphrase),
        ] {
            if value.is_some() {
                self.invalid(field, "is output only: leave it unset");
            }
        }
    }

    fn extra_fields(&mut self, message: Option<Struct>) -> Map<String, Value> {
        const FIELD: &str = "connection.extra_fields";
        let mut message = message.unwrap_or_default();
        message.fields.retain(|name, _| {
            let why = if names::is_modelled(name) {
                match super::proto_field(name) {
                    Some(field) => format!("is part of the contract: use {field} instead"),
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
            let field = super::proto_field(file.field).unwrap_or("files");
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
}

/// A decimal id goes as a number, which Chartbrew's access check needs; anything else as text.
fn project_id(id: String) -> ProjectId {
    let canonical =
        id.bytes().all(|byte| byte.is_ascii_digit()) && (id == "0" || !id.starts_with('0'));
    match id.parse::<u64>() {
        Ok(number) if canonical && number <= MAX_SAFE_INTEGER => ProjectId::Number(number.into()),
        Ok(_) | Err(_) => ProjectId::Text(id),
    }
}
