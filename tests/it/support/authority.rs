//! A certificate authority of a test's own, the server and client certificates it signs, and a password.

use super::alertmanager::{self, RunningAlertmanager};
use super::server::{Ready, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The password that the server knows.
pub(crate) const PASSWORD: &str = "open sesame";

/// Its bcrypt, since no test needs to make one.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";

/// The user that the server knows.
pub(crate) const USER: &str = "bellwether";

/// User and password as a header.
const BASIC: &str = "Basic YmVsbHdldGhlcjpvcGVuIHNlc2FtZQ==";

/// An authority with a folder for its files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // OpenSSL takes a certificate for self-signed whose issuer has its own name.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.ca_file(), authority.issuer.pem()).unwrap();
        authority.write_client(&authority.client_file());
        authority
    }

    /// Its own certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A client's certificate and key.
    pub(crate) fn client_file(&self) -> PathBuf {
        self.folder.path().join("client.pem")
    }

    /// Writes a client's certificate and key of this authority.
    pub(crate) fn write_client(&self, file: &Path) {
        let (certificate, key) = self.sign(&["client"]);
        std::fs::write(file, certificate + &key).unwrap();
    }

    /// Starts an Alertmanager that speaks TLS and lets in who shows a certificate of this authority, and the
    /// password; `None` after a printed skip where it is missing.
    pub(crate) async fn start_alertmanager(
        &self,
        version: &str,
        config: &str,
    ) -> Option<RunningAlertmanager> {
        let (program, folder, port) = alertmanager::prepare(version, config)?;
        self.write_server(folder.path());
        let flags = ["--cluster.listen-address=", "--web.config.file=web.yml"];
        let site = (format!("https://localhost:{port}"), Ready::to(self.client()));
        let arguments = alertmanager::arguments(port, &flags);
        let server = Server::start_at(program, arguments, folder, site).await;
        Some(RunningAlertmanager::new(server))
    }

    /// Writes what a server needs that lets in only whom this authority signed.
    fn write_server(&self, folder: &Path) {
        self.write_pair(folder);
        let web = format!(
            "tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: {}
basic_auth_users: {{ {USER}: \"{HASH}\" }}
",
            self.ca_file().display()
        );
        std::fs::write(folder.join("web.yml"), web).unwrap();
    }

    /// Writes `server.pem` and `server.key`, of a server called localhost.
    pub(crate) fn write_pair(&self, folder: &Path) {
        self.write_pair_of(&["localhost"], folder);
    }

    /// The same of a server with these names or addresses.
    pub(crate) fn write_pair_of(&self, names: &[&str], folder: &Path) {
        let (certificate, key) = self.sign(names);
        std::fs::write(folder.join("server.pem"), certificate).unwrap();
        std::fs::write(folder.join("server.key"), key).unwrap();
    }

    /// A client that is let in.
    fn client(&self) -> reqwest::Client {
        let pem = |file: PathBuf| std::fs::read(file).unwrap();
        let basic = reqwest::header::HeaderValue::from_static(BASIC);
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem(self.ca_file())).unwrap()])
            .identity(reqwest::Identity::from_pem(&pem(self.client_file())).unwrap())
            .default_headers([(reqwest::header::AUTHORIZATION, basic)].into_iter().collect())
            .build()
            .unwrap()
    }

    fn sign(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
                .unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
