//! The cryptography behind all TLS connections of the process: to Chartbrew, to Redis and to a
//! collector.

/// Makes `ring` the provider of rustls for the whole process. Every client that may use TLS calls
/// this before it is built; only the first call has an effect.
pub(crate) fn install_provider() {
    // A program that uses this library may have chosen another provider, which serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
}
