//! TLS of the gateway's own port: its certificate, and whose certificates it accepts.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    ALPN, certificates, current_expiry, expiry, first_expiry, names, no_authority, private_key,
    roots, unusable,
};
use crate::{
    reload::{self, Content, File, FileProblem, Reloaded},
    telemetry::{self, Certificate, Event, FileKind},
};

const CERT: &str = "GATEWAY_TLS_CERT";
const KEY: &str = "GATEWAY_TLS_KEY";
const CLIENT_CA: &str = "GATEWAY_TLS_CLIENT_CA";
const CLIENT_NAMES: &str = "GATEWAY_TLS_CLIENT_NAMES";

/// The files of TLS, each by the setting of the same name. Without a certificate there is no TLS.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The certificate and its chain, in PEM.
    pub cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    pub key: Option<PathBuf>,
    /// The authorities of callers' certificates, in PEM. With it, every caller needs a certificate.
    pub client_ca: Option<PathBuf>,
    /// The DNS and URI names of which a caller's certificate needs one. Empty: any.
    pub client_names: Vec<String>,
}

/// What TLS is served with, made of [`Settings`].
#[derive(Debug)]
struct Loaded {
    config: ServerConfig,
    /// When the certificate expires, in seconds since 1970.
    expiry: i64,
    /// When the last of the authorities does.
    client_ca_expiry: Option<i64>,
}

/// Accepts the certificates that another verifier accepts, if they have one of the names.
#[derive(Debug)]
struct Named {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

// === impl Settings ===

impl Settings {
    /// Whether the port has TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.cert.is_some()
    }

    /// Whether every caller needs a certificate.
    #[must_use]
    pub fn needs_client_certificates(&self) -> bool {
        self.client_ca.is_some()
    }

    /// Reads the files once, to find out whether they can be used.
    ///
    /// # Errors
    /// What is wrong with them, or which one is missing.
    pub fn check(&self) -> Result<(), FileProblem> {
        match self.files()? {
            files if files.is_empty() => Ok(()),
            files => reload::once(&files, |contents| load(contents, &self.client_names)).map(drop),
        }
    }

    /// Reads the files, and again once in `every`. `None`: the port has no TLS.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        &self,
        every: Duration,
    ) -> Result<Option<Reloaded<Arc<ServerConfig>>>, FileProblem> {
        let files = self.files()?;
        if files.is_empty() {
            return Ok(None);
        }
        let client_names = self.client_names.clone();
        let make = move |contents: &[Content]| {
            let loaded = load(contents, &client_names)?;
            loaded.report();
            Ok(Arc::new(loaded.config))
        };
        Reloaded::open(FileKind::Tls, files, every, make).map(Some)
    }

    /// The certificate, its key and the authorities, as far as they are set. Without a certificate
    /// there are none.
    fn files(&self) -> Result<Vec<File>, FileProblem> {
        let mut files = super::pair([(CERT, &self.cert), (KEY, &self.key)])?;
        let client_ca = File::of(CLIENT_CA, self.client_ca.as_ref());
        if client_ca.is_some() && files.is_empty() {
            let problem = format!("needs {CERT} and {KEY}");
            return Err(FileProblem::new(CLIENT_CA, problem));
        }
        if !self.client_names.is_empty() && client_ca.is_none() {
            let problem = format!("needs {CLIENT_CA}");
            return Err(FileProblem::new(CLIENT_NAMES, problem));
        }
        files.extend(client_ca);
        Ok(files)
    }
}

/// Why a handshake failed, in words of the settings where rustls has none.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            format!("the certificate has none of the names of {CLIENT_NAMES}")
        }
        _ => error.to_string(),
    }
}

// === impl Loaded ===

impl Loaded {
    fn report(&self) {
        let expires = |certificate, at| telemetry::record(Event::Expires { certificate, at });
        expires(Certificate::Server, self.expiry);
        if let Some(at) = self.client_ca_expiry {
            expires(Certificate::ClientCa, at);
        }
    }
}

fn load(contents: &[Content], client_names: &[String]) -> Result<Loaded, FileProblem> {
    let [cert, key, client_ca @ ..] = contents else {
        return Err(FileProblem::new(KEY, "is not set"));
    };
    let chain = certificates(CERT, cert)?;
    let expiry = first_expiry(CERT, &chain)?;
    let key = private_key(KEY, key)?;
    let authorities = client_ca
        .first()
        .map(|content| certificates(CLIENT_CA, content));
    let authorities = authorities.transpose()?;
    let client_ca_expiry = authorities.as_deref().map(last_expiry).transpose()?;

    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FileProblem::new(CERT, error.to_string()))?;
    let builder = match authorities {
        Some(authorities) => {
            builder.with_client_cert_verifier(verifier(authorities, client_names)?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| unusable(CERT, KEY, &error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    if client_ca_expiry.is_some() {
        // A resumed session would not show its certificate again, which may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Loaded {
        config,
        expiry,
        client_ca_expiry,
    })
}

/// When the last authority expires. Others may have expired, or be not valid yet: authorities take turns.
///
/// # Errors
/// If none is valid now.
fn last_expiry(authorities: &[CertificateDer<'_>]) -> Result<i64, FileProblem> {
    let mut last = i64::MIN;
    let mut valid = Err(FileProblem::new(CLIENT_CA, "contains no certificate"));
    for authority in authorities {
        last = last.max(expiry(CLIENT_CA, authority)?);
        valid = valid.or_else(|_| current_expiry(CLIENT_CA, authority));
    }
    valid.map(|_| last)
}

fn verifier(
    authorities: Vec<CertificateDer<'static>>,
    client_names: &[String],
) -> Result<Arc<dyn ClientCertVerifier>, FileProblem> {
    let roots = Arc::new(roots(CLIENT_CA, authorities)?);
    let provider = Arc::new(ring::default_provider());
    let inner = WebPkiClientVerifier::builder_with_provider(roots, provider)
        .build()
        .map_err(|_| no_authority(CLIENT_CA))?;
    let names = client_names.to_vec();
    Ok(match names.is_empty() {
        true => inner,
        false => Arc::new(Named { inner, names }),
    })
}

// === impl Named ===

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .inner
            .verify_client_cert(end_entity, intermediates, now)?;
        match names(end_entity)
            .iter()
            .any(|name| self.names.contains(name))
        {
            true => Ok(verified),
            // The alert is "access denied" (RFC 8446, 6.2).
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
