//! Transports to object stores.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use aim_remote::transport::{StoreTransport, TransportError};

use super::MIB;
use super::case::Far;
use crate::s3_server::{self, Account, BUCKET, Moto, PREFIX, S3sFs, SEALED};

/// A store that checks signatures. The directory is its own; it keeps objects there as files.
pub(super) struct SigningStore {
    account: Account,
    server: OnceLock<S3sFs>,
}

impl SigningStore {
    fn server(&self, root: &Path) -> &S3sFs {
        self.server.get_or_init(|| S3sFs::start(root))
    }
}

impl Far for SigningStore {
    type Transport = StoreTransport;
    const PIECE: usize = 5 * MIB;

    fn start() -> Self {
        Self {
            account: Account::new(),
            server: OnceLock::new(),
        }
    }

    fn transport(&self, directory: &Path) -> StoreTransport {
        let address = self.server(directory).address;
        StoreTransport::new(self.account.target(address, BUCKET, PREFIX))
    }

    fn forbidden(&self, directory: &Path) -> (StoreTransport, &'static str) {
        let address = self.server(directory).address;
        let target = self.account.target(address, SEALED, PREFIX);
        (StoreTransport::new(target), "s3://sealed/volumes/data")
    }

    fn plant(&self, directory: &Path, name: &str, content: &[u8]) {
        let path = s3_server::files_of(directory).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn content(&self, directory: &Path, name: &str) -> Option<Vec<u8>> {
        fs::read(s3_server::files_of(directory).join(name)).ok()
    }

    fn stamp(&self, directory: &Path, name: &str) -> String {
        let path = s3_server::files_of(directory).join(name);
        format!("{:?}", fs::metadata(path).unwrap().modified().unwrap())
    }

    /// It does not say what is wrong with its disk.
    fn is_full(error: &TransportError) -> bool {
        matches!(error, TransportError::Busy { reason, .. } if reason.contains("InternalError"))
    }
}

/// A store in memory, as many test with.
pub(super) struct MotoStore {
    account: Account,
    bucket: String,
}

impl MotoStore {
    fn path(&self, name: &str) -> String {
        format!("/{}/{PREFIX}/{name}", self.bucket)
    }
}

impl Far for MotoStore {
    type Transport = StoreTransport;
    const PIECE: usize = 5 * MIB;

    fn start() -> Self {
        Self {
            account: Account::new(),
            bucket: Moto::shared().new_bucket(),
        }
    }

    fn transport(&self, _: &Path) -> StoreTransport {
        let address = Moto::shared().address;
        StoreTransport::new(self.account.target(address, &self.bucket, PREFIX))
    }

    fn plant(&self, _: &Path, name: &str, content: &[u8]) {
        let (head, _) = Moto::shared().ask("PUT", &self.path(name), content);
        assert!(head.contains(" 200 "), "{head}");
    }

    fn content(&self, _: &Path, name: &str) -> Option<Vec<u8>> {
        let (head, content) = Moto::shared().ask("GET", &self.path(name), b"");
        head.contains(" 200 ").then_some(content)
    }

    fn stamp(&self, _: &Path, name: &str) -> String {
        let (head, _) = Moto::shared().ask("HEAD", &self.path(name), b"");
        let mut lines = head.lines().map(str::to_lowercase);
        lines
            .find(|line| line.starts_with("last-modified"))
            .unwrap()
    }
}
