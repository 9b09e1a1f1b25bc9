//! Nobody gets in who should not: TLS, callers' certificates, callers' tokens.

mod age;
mod callers;
mod probe;
mod reload;
mod spelling;
mod tls;
