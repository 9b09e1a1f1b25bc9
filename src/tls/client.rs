//! TLS with Chartbrew: whom the gateway trusts, and the certificate that it shows.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, ConfigBuilder, WantsVerifier,
    client::WantsClientCert,
    crypto::ring,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{certificates, first_expiry, private_key, roots, unusable};
use crate::{
    reload::{self, Content, File, FileProblem, Reloaded},
    telemetry::{self, Certificate, Event, FileKind},
};

const CA: &str = "CHARTBREW_CA_FILE";
const CERT: &str = "CHARTBREW_CLIENT_CERT";
const KEY: &str = "CHARTBREW_CLIENT_KEY";

/// The files of TLS with Chartbrew, each by the setting of the same name.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The authorities of Chartbrew's certificate, in PEM: no others are trusted. `None`: those of
    /// the system are.
    pub ca_file: Option<PathBuf>,
    /// The certificate that the gateway shows, and its chain, in PEM.
    pub client_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    pub client_key: Option<PathBuf>,
}

/// Knows whom to trust.
type Trusting = ConfigBuilder<ClientConfig, WantsClientCert>;

// === impl Settings ===

impl Settings {
    /// Reads the files once, to find out whether they can be used. All that is wrong with them.
    #[must_use]
    pub fn check(&self) -> Vec<FileProblem> {
        let checked = [
            self.system().map(drop),
            reload::once(&self.ca(), |contents| {
                contents.iter().try_for_each(|ca| trusting(ca).map(drop))
            }),
            self.pair()
                .and_then(|pair| reload::once(&pair, |contents| shown(contents).map(drop))),
        ];
        checked.into_iter().filter_map(Result::err).collect()
    }

    /// What `make` makes of the configuration, and makes again when a file changes. The files are
    /// read once in `every`, the authorities of the system once and for all.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    ///
    /// # Panics
    /// If there are files, outside a tokio runtime.
    pub(crate) fn open<T: Send + Sync + 'static>(
        &self,
        every: Duration,
        make: impl Fn(ClientConfig) -> Result<T, FileProblem> + Send + Sync + 'static,
    ) -> Result<Reloaded<T>, FileProblem> {
        let files = [self.ca(), self.pair()?].concat();
        let system = self.system()?;
        let make = move |contents: &[Content]| {
            let (config, expiry) = config(system.as_ref(), contents)?;
            let made = make(config)?;
            if let Some(at) = expiry {
                let certificate = Certificate::ChartbrewClient;
                telemetry::record(Event::Expires { certificate, at });
            }
            Ok(made)
        };
        match files.is_empty() {
            true => make(&[]).map(Reloaded::fixed),
            false => Reloaded::open(FileKind::ChartbrewTls, files, every, make),
        }
    }

    /// Trusts the authorities of the system, if no others are set.
    fn system(&self) -> Result<Option<Trusting>, FileProblem> {
        match self.ca_file {
            None => trusting_the_system().map(Some),
            Some(_) => Ok(None),
        }
    }

    fn ca(&self) -> Vec<File> {
        File::of(CA, self.ca_file.as_ref()).into_iter().collect()
    }

    /// The certificate and its key, or nothing.
    fn pair(&self) -> Result<Vec<File>, FileProblem> {
        super::pair([(CERT, &self.client_cert), (KEY, &self.client_key)])
    }
}

/// `contents`: the authorities, unless those of the system are trusted, then the certificate and its
/// key, if there are any. With the configuration comes when that certificate expires.
fn config(
    system: Option<&Trusting>,
    contents: &[Content],
) -> Result<(ClientConfig, Option<i64>), FileProblem> {
    let (trusting, pair) = match (system, contents) {
        (Some(system), pair) => (system.clone(), pair),
        (None, [ca, pair @ ..]) => (trusting(ca)?, pair),
        (None, []) => return Err(FileProblem::new(CA, "is not set")),
    };
    let Some((shown, at)) = shown(pair)? else {
        return Ok((trusting.with_no_client_auth(), None));
    };
    let shown = Arc::new(SingleCertAndKey::from(shown));
    Ok((trusting.with_client_cert_resolver(shown), Some(at)))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, FileProblem> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| FileProblem::new(CA, error.to_string()))
}

fn trusting(ca: &Content) -> Result<Trusting, FileProblem> {
    let roots = roots(CA, certificates(CA, ca)?)?;
    Ok(builder()?.with_root_certificates(roots))
}

fn trusting_the_system() -> Result<Trusting, FileProblem> {
    let trusting = builder()?.try_with_platform_verifier();
    trusting.map_err(|error| {
        let problem = format!("is not set, and the system's authorities cannot be read: {error}");
        FileProblem::new(CA, problem)
    })
}

/// The certificate that the gateway shows, and when it expires, in seconds since 1970.
fn shown(pair: &[Content]) -> Result<Option<(CertifiedKey, i64)>, FileProblem> {
    let [cert, key] = pair else {
        return Ok(None);
    };
    let chain = certificates(CERT, cert)?;
    let at = first_expiry(CERT, &chain)?;
    let key = private_key(KEY, key)?;
    let certificate = CertifiedKey::from_der(chain, key, &ring::default_provider());
    let certificate = certificate.map_err(|error| unusable(CERT, KEY, &error))?;
    Ok(Some((certificate, at)))
}
