//! What is known about one field of a connection: its names and its rules.

/// A field of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The REST name: `dbName`.
    pub rest: &'static str,
    /// Where a `CreateRequest` has it: `connection.db_name`. `None` if no request can carry it.
    pub path: Option<&'static str>,
    /// How a row shows what was sent.
    pub compare: Compare,
    /// What clears it in an update.
    pub clear: Clear,
    /// Whether its value is a secret. (A test compares it with the contract's `debug_redact`.)
    pub secret: Secret,
}

/// How a row shows what a create sent, as measured on Chartbrew 5.3.0. Comparing a row with a
/// create goes by it; so in doubt take the strictest rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// As it was sent, and null if it was not sent.
    Equal,
    /// The same, but an empty text is shown as null.
    NonEmpty,
    /// As it was sent, and this flag, or null, if it was not sent.
    DefaultFlag(bool),
    /// As it was sent, and this text, or null, if it was not sent.
    DefaultText(&'static str),
    /// As [`Compare::NonEmpty`], but the server makes up the host of some sources.
    Host,
    /// As [`Compare::Equal`], but null is as good as not sent, and the server adds to the options
    /// of some sources.
    Options,
    /// As [`Compare::NonEmpty`], but not in a list, and `""` for a role that may not see it.
    Password,
    /// Only as `hasSshPassword`.
    SshPassword,
    /// Only as `hasSshPassphrase`.
    SshPassphrase,
    /// By code of its own in `compare.rs`. Not for optional fields.
    ByHand,
    /// It can change without the caller's doing, or no row shows it: not compared.
    Never,
}

/// What clears a field in an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// JSON null.
    Null,
    /// Nothing: Chartbrew ignores null and `""` and keeps the old value.
    Never,
    /// No update may clear it, or even carry it.
    Refused,
}

/// Whether a field's value is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// No.
    No,
    /// Yes: callers who do not ask for secrets do not get it.
    Yes,
    /// Some of the keys of the object are.
    SomeKeys,
}
