//! Files of PEM: certificates and keys. They are read with the configuration, as secrets are, so that
//! one that is half-written never takes the place of the one in use.

use super::error::Mend;
use super::reader::Section;
use super::secret::Secret;
use super::{text_file, value};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;

/// A bundle of every authority there is has a quarter of it.
const MOST: usize = 1 << 20;

/// A file of PEM as it was when the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it held; it may be a key.
    pub text: Secret,
}

impl PemFile {
    /// Reads the file that a field names. Errors never quote it.
    pub(super) fn read(
        s: &mut Section<'_>,
        name: &str,
        check: fn(&str) -> Result<(), Mend>,
    ) -> Option<Self> {
        let path = s.take(name, value::path)?;
        let read = text_file::read(&path, MOST)
            .map_err(|error| format!("the file cannot be read ({})", error.kind()).into());
        match read.and_then(|text| check(&text).map(|()| text)) {
            Ok(text) => Some(Self { path, text: Secret::new(text) }),
            Err(mend) => {
                s.refuse(name, mend);
                None
            }
        }
    }
}

/// Whether it holds certificates, all of them whole.
pub(super) fn authorities(text: &str) -> Result<(), Mend> {
    let mut found = CertificateDer::pem_slice_iter(text.as_bytes()).peekable();
    if found.peek().is_some() && found.all(|certificate| certificate.is_ok()) {
        Ok(())
    } else {
        Err("the file must hold whole certificates in PEM".into())
    }
}

/// Whether it holds certificates and the key.
pub(super) fn identity(text: &str) -> Result<(), Mend> {
    if authorities(text).is_ok() && PrivateKeyDer::from_pem_slice(text.as_bytes()).is_ok() {
        Ok(())
    } else {
        Err("the file must hold a whole certificate and its key in PEM".into())
    }
}
