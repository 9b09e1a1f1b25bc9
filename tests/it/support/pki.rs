//! Certificates of the tests' own authorities, in files that a gateway reads.

use std::{
    fs,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
};

use chartbrew_gateway::{app, tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    string::Ia5String,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// What the gateway's certificate is for.
pub(crate) const HOST: &str = "gateway.example";

/// A directory that is removed when dropped.
pub(crate) struct Directory(PathBuf);

/// An authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// The files of a gateway with TLS.
pub(crate) struct Files {
    directory: Directory,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: PathBuf,
}

// === impl Directory ===

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("gateway-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file in one step: nobody sees a part of it.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let (path, new) = (self.0.join(name), self.0.join(format!("{name}.new")));
        fs::write(&new, content).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let pem = issuer.pem();
        Self { issuer, pem }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate with these names: DNS names, and URIs.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_for(names, 2000..4096)
    }

    /// One that has expired.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Pair {
        self.issue_for(names, 2000..2001)
    }

    /// One that is valid in these years.
    pub(crate) fn issue_for(&self, names: &[&str], years: Range<i32>) -> Pair {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        params.subject_alt_names = names
            .iter()
            .map(|name| Ia5String::try_from(*name).unwrap())
            .map(|name| match name.as_str().contains("://") {
                true => SanType::URI(name),
                false => SanType::DnsName(name),
            })
            .collect();
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

// === impl Files ===

impl Files {
    /// Files with a certificate of the authority, and the authority of the callers.
    pub(crate) fn new(server: &Authority, client_ca: &Authority) -> Self {
        let directory = Directory::new();
        let pair = server.issue(&[HOST]);
        Self {
            cert: directory.write("cert.pem", &pair.cert),
            key: directory.write("key.pem", &pair.key),
            client_ca: directory.write("client-ca.pem", client_ca.pem()),
            directory,
        }
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        self.directory.write(name, content)
    }

    pub(crate) fn write_pair(&self, pair: &Pair) {
        self.write("cert.pem", &pair.cert);
        self.write("key.pem", &pair.key);
    }

    /// Sets a gateway up to serve with them. Without names: any certificate of the authority.
    pub(crate) fn with_client_ca(&self, settings: &mut app::Settings, names: &[&str]) {
        self.without_client_ca(settings);
        settings.grpc.tls.client_ca = Some(self.client_ca.clone());
        settings.grpc.tls.client_names = names.iter().map(|name| (*name).to_owned()).collect();
    }

    /// Sets a gateway up to serve with them, and to ask for no certificate.
    pub(crate) fn without_client_ca(&self, settings: &mut app::Settings) {
        settings.grpc.tls = tls::server::Settings {
            cert: Some(self.cert.clone()),
            key: Some(self.key.clone()),
            ..tls::server::Settings::default()
        };
    }
}

/// Where a caller connects, with TLS, whom it trusts, and what it shows.
pub(crate) fn endpoint(addr: SocketAddr, trusted: &str, shown: Option<&Pair>) -> Endpoint {
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(trusted))
        .domain_name(HOST);
    let config = match shown {
        Some(pair) => config.identity(Identity::from_pem(&pair.cert, &pair.key)),
        None => config,
    };
    let endpoint = Channel::from_shared(format!("https://{addr}")).unwrap();
    endpoint.tls_config(config).unwrap()
}

/// A path as a setting.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
