//! Enums ⇄ REST texts: one table an enum, read in both directions.

use crate::proto::{
    AuthenticationType as Auth, ConnectionSubType as Sub, ConnectionType as Type, SslMode as Ssl,
};

/// The REST text of each value but UNSPECIFIED, which has none, and how the contract names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<E: 'static> {
    texts: &'static [(E, &'static str)],
    name: fn(&E) -> &'static str,
}

/// `type`.
#[rustfmt::skip]
pub(super) const TYPE: Table<Type> = Table {
    name: Type::as_str_name,
    texts: &[
        (Type::Mongodb, "mongodb"),
        (Type::Api, "api"),
        (Type::Mysql, "mysql"),
        (Type::Postgres, "postgres"),
        (Type::Realtimedb, "realtimedb"),
        (Type::Firestore, "firestore"),
        (Type::GoogleAnalytics, "googleAnalytics"),
        (Type::Customerio, "customerio"),
        (Type::Clickhouse, "clickhouse"),
        (Type::Jira, "jira"),
        (Type::StripeOfficial, "stripeOfficial"),
    ],
};

/// `subType`.
#[rustfmt::skip]
pub(super) const SUB_TYPE: Table<Sub> = Table {
    name: Sub::as_str_name,
    texts: &[
        (Sub::Timescaledb, "timescaledb"),
        (Sub::Supabasedb, "supabasedb"),
        (Sub::RdsPostgres, "rdsPostgres"),
        (Sub::RdsMysql, "rdsMysql"),
        (Sub::Mongodb, "mongodb"),
        (Sub::Api, "api"),
        (Sub::Mysql, "mysql"),
        (Sub::Postgres, "postgres"),
        (Sub::Realtimedb, "realtimedb"),
        (Sub::Firestore, "firestore"),
        (Sub::GoogleAnalytics, "googleAnalytics"),
        (Sub::Customerio, "customerio"),
        (Sub::Clickhouse, "clickhouse"),
        (Sub::Jira, "jira"),
        (Sub::StripeOfficial, "stripeOfficial"),
        (Sub::Strapi, "strapi"),
        (Sub::Stripe, "stripe"),
    ],
};

/// `sslMode`.
#[rustfmt::skip]
pub(super) const SSL_MODE: Table<Ssl> = Table {
    name: Ssl::as_str_name,
    texts: &[
        (Ssl::Require, "require"),
        (Ssl::Disable, "disable"),
        (Ssl::Prefer, "prefer"),
        (Ssl::VerifyCa, "verify-ca"),
        (Ssl::VerifyFull, "verify-full"),
    ],
};

/// `authentication.type`.
#[rustfmt::skip]
pub(super) const AUTHENTICATION: Table<Auth> = Table {
    name: Auth::as_str_name,
    texts: &[
        (Auth::BearerToken, "bearer_token"),
        (Auth::BasicAuth, "basic_auth"),
    ],
};

// === impl Table ===

impl<E: Copy + Into<i32>> Table<E> {
    /// The REST text of the enum's number, if it is one of the table.
    pub(super) fn rest(self, number: i32) -> Option<&'static str> {
        self.texts
            .iter()
            .find_map(|&(value, text)| (value.into() == number).then_some(text))
    }

    /// The enum's number for a REST text (exact case), if the table has it.
    pub(super) fn number(self, rest: &str) -> Option<i32> {
        self.texts
            .iter()
            .find_map(|&(value, text)| (text == rest).then_some(value.into()))
    }

    /// The values as the contract names them, for a message.
    pub(super) fn values(self) -> String {
        let names: Vec<_> = self
            .texts
            .iter()
            .map(|(value, _)| (self.name)(value))
            .collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every value of the enum is in the table but 0, under the REST text that follows from its
    /// name in the contract.
    fn check<E: Copy + Into<i32> + TryFrom<i32>>(table: Table<E>, prefix: &str) {
        let known = (1..1000).filter_map(|number| E::try_from(number).ok());
        let mut texts = HashSet::new();
        for value in known {
            let text = table.rest(value.into()).expect("every value has a text");
            assert!(texts.insert(text), "{text} stands for two values");
            assert_eq!(table.number(text), Some(value.into()));
            let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
            assert_eq!(
                plain(text),
                plain((table.name)(&value).strip_prefix(prefix).unwrap())
            );
        }
        assert_eq!(texts.len(), table.texts.len());
        assert_eq!(table.values().split(", ").count(), texts.len());
        let beyond = i32::try_from(texts.len()).unwrap() + 1;
        for other in [0, -1, beyond, i32::MIN, i32::MAX] {
            assert_eq!(table.rest(other), None);
        }
        for other in ["", "oracle", "MONGODB", " mongodb", "unspecified"] {
            assert_eq!(table.number(other), None);
        }
    }

    #[test]
    fn each_table_holds_its_whole_enum() {
        check(TYPE, "CONNECTION_TYPE_");
        check(SUB_TYPE, "CONNECTION_SUB_TYPE_");
        check(SSL_MODE, "SSL_MODE_");
        check(AUTHENTICATION, "AUTHENTICATION_TYPE_");
    }
}
