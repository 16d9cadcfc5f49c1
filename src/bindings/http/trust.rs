//! TLS: which servers are trusted, and the client's own certificate.

use super::spec::TlsSpec;
use crate::domain::{BindingError, FailureKind};
use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;

/// The configuration for TLS 1.2 and 1.3. Blocking: it reads files.
///
/// # Errors
/// `Caller` when a certificate or key cannot be read or used.
pub(super) fn config(spec: &TlsSpec) -> Result<ClientConfig, BindingError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| BindingError::new(FailureKind::Permanent, "TLS cannot be used").with_source(error))?;
    let builder = match &spec.root_ca {
        // As in Dapr, instead of the certificate authorities of the system.
        Some(own) => builder.with_root_certificates(roots(own)?),
        None => match builder.clone().with_native_roots() {
            Ok(builder) => builder,
            // A URL without TLS needs none; one with TLS fails when it is called.
            Err(error) => {
                tracing::debug!(%error, "the system has no certificate authorities");
                builder.with_root_certificates(RootCertStore::empty())
            }
        },
    };
    let (Some(certificate), Some(key)) = (&spec.client_cert, &spec.client_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("MTLSClientCert", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&pem("MTLSClientKey", key)?)
        .map_err(|error| unusable("MTLSClientKey", "holds no private key").with_source(error))?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map_err(|error| unusable("MTLSClientCert", "does not fit `MTLSClientKey`").with_source(error))
}

fn roots(own: &SecretString) -> Result<RootCertStore, BindingError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("MTLSRootCA", own)? {
        let added = roots.add(certificate);
        added.map_err(|error| unusable("MTLSRootCA", "holds a certificate that cannot be used").with_source(error))?;
    }
    Ok(roots)
}

fn certificates(field: &str, value: &SecretString) -> Result<Vec<CertificateDer<'static>>, BindingError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem(field, value)?).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(unusable(field, "holds no certificate")),
        Err(error) => Err(unusable(field, "holds no certificate").with_source(error)),
    }
}

/// The PEM text itself, or that of the file which the value names.
fn pem(field: &str, value: &SecretString) -> Result<Vec<u8>, BindingError> {
    let text = value.expose_secret();
    if text.contains("-----BEGIN ") {
        return Ok(text.as_bytes().to_vec());
    }
    std::fs::read(text)
        .map_err(|error| unusable(field, "is neither PEM text nor a file that can be read").with_source(error))
}

/// The value is not shown, because it may be a key.
fn unusable(field: &str, why: &str) -> BindingError {
    let text = format!("field `{field}`: the value {why}; write PEM text, or the path of a PEM file");
    BindingError::new(FailureKind::Caller, text)
}
