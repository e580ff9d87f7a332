//! Room on disk to put a table together in.
//!
//! What it holds is personal, so it is encrypted to a key that only this value has, in a file that has no name any more when
//! the first byte is written: nothing is left of it when it is dropped or the process is killed, and what the disk may keep
//! opens for nobody.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, IntoInnerError, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use age::stream::StreamWriter;
use age::x25519::Identity;
use age::{Decryptor, Encryptor};
use domain::port::HeldSpool;

pub(super) struct Spool {
    identity: Identity,
    file: File,
    /// None: it is read.
    writer: Option<StreamWriter<BufWriter<File>>>,
}

impl Spool {
    /// An empty one in `folder`.
    pub(super) fn within(folder: &Path) -> io::Result<Self> {
        let identity = Identity::generate();
        // A public key that nobody has seen is as good a name as any other that is not taken.
        let path = folder.join(format!(".spool-{}", identity.to_public()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        let to = identity.to_public();
        let encryptor =
            Encryptor::with_recipients(std::iter::once(&to as &dyn age::Recipient)).map_err(io::Error::other)?;
        let writer = Some(encryptor.wrap_output(BufWriter::new(file.try_clone()?))?);
        Ok(Self { identity, file, writer })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let writer = self.writer.as_mut().ok_or_else(|| io::Error::other("what is read is not written to any more"))?;
        writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl HeldSpool for Spool {
    fn again(&mut self) -> io::Result<Box<dyn BufRead + '_>> {
        if let Some(writer) = self.writer.take() {
            writer.finish()?.into_inner().map_err(IntoInnerError::into_error)?;
        }
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let decryptor = Decryptor::new_buffered(BufReader::new(file)).map_err(io::Error::other)?;
        let reader =
            decryptor.decrypt(std::iter::once(&self.identity as &dyn age::Identity)).map_err(io::Error::other)?;
        Ok(Box::new(BufReader::new(reader)))
    }
}
