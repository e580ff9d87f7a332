//! The files of exports, each export in a folder of its own under a key of its own.
//!
//! A file is encrypted with age to the export's key. That key stands beside the files, sealed with the tenant's key and
//! bound to the tenant and the export: nothing in the folder opens without the key tree. It is destroyed first when an
//! export is deleted, so that a deletion that is cut off leaves nothing that opens. Backups do not have these folders.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use age::stream::StreamWriter;
use age::x25519::Identity;
use age::{Decryptor, Encryptor};
use async_trait::async_trait;
use domain::ids::ExportId;
use domain::port::{ExportVault, Failure, HeldFile, Signer};

use crate::frame::{Message, label_texts};
use crate::keys::{KeyId, KeyState, KeyTree};
use crate::seal::{Nonce, open, seal};

mod signature;
#[cfg(test)]
mod tests;

pub use signature::check_signature;

/// The sealed key of an export. No file of an export has this name.
const KEY: &str = "key";

/// What a file that is not whole yet is called after.
const HALF: &str = ".half";

const WHAT: &str = "the vault of exports";

/// Exports in folders.
pub struct ExportFolders {
    dir: PathBuf,
    keys: Arc<KeyTree>,
    signer: Arc<dyn Signer>,
}

impl ExportFolders {
    /// Below `dir`, which is made when the first export is.
    pub fn new(dir: PathBuf, keys: Arc<KeyTree>, signer: Arc<dyn Signer>) -> Self {
        Self { dir, keys, signer }
    }

    fn folder(&self, export: ExportId) -> PathBuf {
        self.dir.join(export.to_string())
    }

    fn aad(&self, export: ExportId) -> Vec<u8> {
        label_texts(&["lethe/export-key/v1", self.keys.tenant().as_str(), &export.to_string()])
    }

    /// The export's own key; none: nothing is held.
    async fn identity(&self, export: ExportId) -> Result<Option<Identity>, Failure> {
        let sealed = match fs::read(self.folder(export).join(KEY)) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let damaged = |detail: &dyn std::fmt::Display| Failure::damaged(format!("the key of export {export}"), detail);
        let kid = Message::decode(&sealed).map_err(|fault| damaged(&fault))?.kid;
        let id: KeyId = kid.parse().map_err(|_| damaged(&"it names no key"))?;
        if !matches!(id, KeyId::Tenant { .. }) {
            return Err(damaged(&"it is not sealed with the tenant's key"));
        }
        let Some(KeyState::Known(key)) = self.keys.get(&[&id]).await?.into_iter().next() else {
            return Err(Failure::missing(format!("the key {id} of export {export}")));
        };
        let plain = open(&key, kid, &self.aad(export), &sealed).map_err(|fault| damaged(&fault))?;
        let text = std::str::from_utf8(&plain).map_err(|_| damaged(&"it is no text"))?;
        Identity::from_str(text).map(Some).map_err(|fault| damaged(&fault))
    }
}

#[async_trait]
impl ExportVault for ExportFolders {
    async fn begin(&self, export: ExportId) -> Result<(), Failure> {
        self.destroy(export).await?;
        let (generation, key) = self.keys.structure_key().await?;
        let id = KeyId::Tenant { generation }.to_string();
        let text = Identity::generate().to_string();
        let sealed = seal(&key, Nonce::random(), &id, &self.aad(export), text.expose_secret().as_bytes());
        let folder = self.folder(export);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let mut file = new_file(&folder.join(KEY)).map_err(failed)?;
        file.write_all(&sealed).and_then(|()| file.sync_all()).map_err(failed)?;
        sync(&folder).and_then(|()| sync(&self.dir)).map_err(failed)
    }

    async fn create(&self, export: ExportId, name: &str) -> Result<Box<dyn HeldFile>, Failure> {
        let identity = self.identity(export).await?.ok_or_else(|| Failure::missing(format!("export {export}")))?;
        let path = self.folder(export).join(file_name(name)?);
        let half = self.folder(export).join(format!("{name}{HALF}"));
        let encryptor = Encryptor::with_recipients([&identity.to_public() as &dyn age::Recipient].into_iter());
        let to = BufWriter::new(new_file(&half).map_err(failed)?);
        let writer = encryptor.map_err(failed)?.wrap_output(to).map_err(failed)?;
        Ok(Box::new(Sealed { writer, half, path }))
    }

    async fn open(&self, export: ExportId, name: &str) -> Result<Option<Box<dyn Read + Send>>, Failure> {
        let Some(identity) = self.identity(export).await? else { return Ok(None) };
        let file = match File::open(self.folder(export).join(file_name(name)?)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let damaged = |error: age::DecryptError| Failure::damaged(format!("a file of export {export}"), error);
        let decryptor = Decryptor::new_buffered(BufReader::new(file)).map_err(damaged)?;
        let reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(damaged)?;
        Ok(Some(Box::new(reader)))
    }

    async fn holds(&self, export: ExportId) -> Result<bool, Failure> {
        self.folder(export).join(KEY).try_exists().map_err(failed)
    }

    async fn destroy(&self, export: ExportId) -> Result<(), Failure> {
        let folder = self.folder(export);
        tracing::trace!(target: "failpoint", at = "export-before-destroy");
        match fs::remove_file(folder.join(KEY)) {
            Ok(()) => sync(&folder).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        tracing::trace!(target: "failpoint", at = "export-key-destroyed");
        match fs::remove_dir_all(&folder) {
            Ok(()) => sync(&self.dir).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn sign(&self, manifest: &[u8]) -> Result<Vec<u8>, Failure> {
        signature::sign(&*self.signer, manifest).await
    }
}

struct Sealed {
    writer: StreamWriter<BufWriter<File>>,
    half: PathBuf,
    path: PathBuf,
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl HeldFile for Sealed {
    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { writer, half, path } = *self;
        writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&half, &path)?;
        path.parent().map_or(Ok(()), sync)
    }
}

/// A name that stays in its folder and is not that of the key.
fn file_name(name: &str) -> Result<&str, Failure> {
    let plain = !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
    let own = name != KEY && !name.ends_with(HALF);
    if plain && own { Ok(name) } else { Err(Failure::missing("a file of an export under this name")) }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::unavailable(WHAT, error)
}
