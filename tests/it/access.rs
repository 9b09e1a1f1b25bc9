//! Nobody gets in who should not: TLS, callers' certificates, callers' tokens.

mod age;
mod callers;
mod forwarded;
mod probe;
mod reload;
mod sessions;
mod spelling;
mod teams;
mod tls;
