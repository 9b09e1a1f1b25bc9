//! TLS of a probe that asks a gateway whether it serves.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{certificates, private_key, roots, unusable};
use crate::reload::{self, File, FileProblem};

/// The files of a probe, each by the flag of the same name.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The authorities that are trusted, in PEM. `None`: the certificate is not checked, which is
    /// for a gateway on the same machine. A probe sends no secret.
    pub ca: Option<PathBuf>,
    /// A client certificate and its key, in PEM.
    pub pair: Option<[PathBuf; 2]>,
}

/// Accepts every certificate whose key the server has.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl Files {
    /// The configuration.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub fn config(&self) -> Result<ClientConfig, FileProblem> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| FileProblem::new("TLS", error.to_string()))?;
        let builder = match self.ca.clone() {
            Some(path) => {
                let variable = "--ca";
                let authorities = reload::once(&[File { variable, path }], |contents| {
                    let found = contents
                        .iter()
                        .map(|content| certificates(variable, content));
                    found.collect::<Result<Vec<_>, _>>()
                })?;
                builder.with_root_certificates(roots(variable, authorities.concat())?)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
        };
        let mut config = match self.pair.clone() {
            None => builder.with_no_client_auth(),
            Some([cert, key]) => {
                let files = [("--cert", cert), ("--key", key)];
                let files = files.map(|(variable, path)| File { variable, path });
                let (chain, key) = reload::once(&files, |contents| match contents {
                    [cert, key] => Ok((certificates("--cert", cert)?, private_key("--key", key)?)),
                    _ => Err(FileProblem::new("--cert", "is not set")),
                })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| unusable("--cert", "--key", &error))?
            }
        };
        config.alpn_protocols = vec![super::ALPN.to_vec()];
        Ok(config)
    }
}

// === impl Unchecked ===

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
