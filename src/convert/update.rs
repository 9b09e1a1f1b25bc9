//! An `UpdateRequest` → the JSON of an update: exactly the fields that its mask names.
//!
//! A field that is named and unset is cleared. Chartbrew keeps the old value of some fields without
//! a word when they are set to null or to an empty text: that is a violation here.

use std::collections::BTreeSet;

use prost_types::FieldMask;
use serde_json::{Map, Value};

use super::{
    check::Check,
    enums,
    limits::Limits,
    violations::{Violations, brief},
};
use crate::{
    chartbrew::types::{self, Changes, Clear, ConnectionRef, connection_fields, names},
    proto,
};

const NAME: &str = "connection.name";
const TYPE: &str = "connection.type";
const SUB_TYPE: &str = "connection.sub_type";
const EXTRA_FIELDS: &str = "connection.extra_fields";

/// The paths that the mask names, as in the request: `connection.ssh.host`.
type Named = BTreeSet<String>;

/// Checks and maps a request.
///
/// # Errors
///
/// [`Violations`], all of them at once.
pub fn update(
    request: proto::UpdateRequest,
    limits: &Limits,
) -> Result<(ConnectionRef, Changes), Violations> {
    let mut check = Check::new(limits);
    let connection = check.connection_ref(request.team_id, request.connection_id);
    let named = check.mask(request.update_mask);
    let new = request.connection.unwrap_or_default();
    let changes = check.changes(*new, &named);
    let json = check.body(&changes);
    check.finish(json.map(|json| (connection, Changes { json })))
}

macro_rules! select_fields {
    (
        fields { $(
            $(#[$doc:meta])*
            $field:ident: $type:ty = $rest:literal { $($rules:tt)* }
        )* }
        ssh { $(
            $(#[$ssh_doc:meta])*
            $ssh_field:ident: $ssh_type:ty = $ssh_rest:literal { $($ssh_rules:tt)* }
        )* }
    ) => {
        /// Unsets the optional fields that are not named.
        fn select(new: &mut proto::NewConnection, named: &Named) {
            $(if !named.contains(concat!("connection.", stringify!($field))) {
                new.$field = Default::default();
            })*
            let ssh = new.ssh.get_or_insert_default();
            $(if !named.contains(concat!("connection.ssh.", stringify!($ssh_field))) {
                ssh.$ssh_field = Default::default();
            })*
            (ssh.has_password, ssh.has_private_key, ssh.has_passphrase) = (None, None, None);
        }
    };
}

connection_fields!(select_fields);

// === impl Check ===

impl Check<'_> {
    fn mask(&mut self, mask: Option<FieldMask>) -> Named {
        let paths = mask.unwrap_or_default().paths;
        if paths.is_empty() {
            self.invalid(
                "update_mask",
                "is required: the fields to change, such as password or ssh.host",
            );
        }
        let mut named = Named::new();
        for (index, path) in paths.iter().enumerate() {
            match known(path) {
                Ok(path) => drop(named.insert(path)),
                Err(why) => self.invalid(&format!("update_mask.paths[{index}]"), why),
            }
        }
        named
    }

    /// The JSON object to send: the named fields, and null for those to clear.
    fn changes(&mut self, mut new: proto::NewConnection, named: &Named) -> Map<String, Value> {
        let mut changes = Map::new();
        if named.contains(NAME) {
            let name = self.name(std::mem::take(&mut new.name));
            changes.insert(names::NAME.to_owned(), name.into());
        }
        if named.contains(TYPE) {
            let kind = self.required(TYPE, enums::TYPE, new.r#type);
            changes.insert(names::TYPE.to_owned(), kind.into());
        }
        if named.contains(SUB_TYPE) {
            let sub_type = self.optional(SUB_TYPE, enums::SUB_TYPE, new.sub_type);
            changes.insert(names::SUB_TYPE.to_owned(), sub_type.into());
        }
        let extra = new.extra_fields.take();
        select(&mut new, named);
        let fields = self.optional_fields(new);
        if let Ok(Value::Object(fields)) = serde_json::to_value(&fields) {
            changes.extend(fields);
        }
        let is_named = |path: Option<&str>| path.is_some_and(|path| named.contains(path));
        for field in types::fields().filter(|field| is_named(field.path)) {
            changes.entry(field.rest).or_insert(Value::Null);
        }
        self.refuse_to_clear(&changes);
        if named.contains(EXTRA_FIELDS) {
            let extra = extra.unwrap_or_default();
            if extra.fields.is_empty() {
                self.invalid(EXTRA_FIELDS, "is named by the mask, but has no fields");
            }
            changes.extend(self.extra_fields(extra));
        }
        changes
    }

    /// Finds the fields to be cleared that Chartbrew would keep.
    fn refuse_to_clear(&mut self, changes: &Map<String, Value>) {
        for field in types::fields().filter(|field| field.clear == Clear::Never) {
            let is_cleared = |value: &Value| value.is_null() || value == "";
            let Some(path) = field.path else { continue };
            // A value that was refused is not among the changes either.
            let is_refused = self.violations.iter().any(|found| found.field == path);
            if changes.get(field.rest).is_some_and(is_cleared) && !is_refused {
                let why = "cannot be cleared, Chartbrew would keep the old value: give a new one, \
                           or leave the field out of update_mask";
                self.invalid(path, why);
            }
        }
    }
}

/// The path in the request of what a mask names.
fn known(path: &str) -> Result<String, String> {
    let full = format!("connection.{path}");
    let is_field = types::fields().any(|field| field.path == Some(&*full));
    if is_field || full == EXTRA_FIELDS {
        return Ok(full);
    }
    Err(match path {
        "*" => "`*` is refused: name the fields to change".to_owned(),
        "ssh" => "name the fields of ssh one by one, such as ssh.host".to_owned(),
        "ssh.has_password" | "ssh.has_private_key" | "ssh.has_passphrase" => {
            "is output only: leave it out".to_owned()
        }
        _ if path.starts_with("authentication.") => {
            "authentication is replaced as a whole: name `authentication`".to_owned()
        }
        _ => format!("NewConnection has no field {}", brief(path)),
    })
}

#[cfg(test)]
mod tests;
