//! Follows the server's log: what it warns of is passed on, and a journal stream that it cannot read is never overlooked.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What nats-server says, as a mere warning, when it starts without something that is on disk.
const UNREADABLE: &[&str] = &[
    // "Error decrypting our stream metafile", "Stream metafile …: checksums do not match", and more of this kind.
    "tream metafile",
    "Error reading metafile",
    "Error recreating stream",
    "Detected unsupported stream",
    "encrypted store encountered with no main key",
    "Stream state error reading encryption key",
];

/// What it says when it could not write, and when it gives up JetStream for that.
const GAVE_UP: &[&str] = &["ritical write error", "will be DISABLED"];

/// It says this at every start. The passwords are random, and only this user can read the file that holds them.
const EXPECTED: &str = "Plaintext passwords detected";

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gravity {
    Warning,
    Error,
    /// Something on disk could not be read.
    Unreadable,
}

/// What is worth passing on of a line like `[77] 2026/11/22 06:35:06.754321 [WRN] text`.
pub(super) fn grave(line: &str) -> Option<(Gravity, &str)> {
    let (gravity, text) = if let Some((_, text)) = line.split_once("[WRN] ") {
        (Gravity::Warning, text)
    } else {
        let (_, text) = line.split_once("[ERR] ").or_else(|| line.split_once("[FTL] "))?;
        (Gravity::Error, text)
    };
    if text.contains(EXPECTED) {
        return None;
    }
    let unreadable = UNREADABLE.iter().any(|sign| text.contains(sign));
    Some((if unreadable { Gravity::Unreadable } else { gravity }, text.trim()))
}

/// A reader that remembers how far it has read.
pub(super) struct LogTail {
    path: PathBuf,
    read_to: u64,
    /// A line said that the server gave up writing.
    gave_up: bool,
}

impl LogTail {
    /// Starts at the end of what is there.
    pub(super) fn at_end(path: &Path) -> Self {
        let read_to = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        Self { path: path.to_path_buf(), read_to, gave_up: false }
    }

    /// The whole lines written since. A log that shrank was rotated and is read from its beginning.
    pub(super) fn new_lines(&mut self) -> Vec<String> {
        let Ok(mut file) = File::open(&self.path) else {
            return Vec::new();
        };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length < self.read_to {
            self.read_to = 0;
        }
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.read_to)).is_err() || file.read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.read_to += whole as u64;
        String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect()
    }

    /// Whether the server said that it gave up writing, in what was passed on so far.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Passes on what is new and grave, and returns the first line about something unreadable.
    pub(super) fn forward(&mut self) -> Option<String> {
        let mut unreadable = None;
        for line in self.new_lines() {
            self.gave_up |= GAVE_UP.iter().any(|sign| line.contains(sign));
            match grave(&line) {
                Some((Gravity::Warning, text)) => tracing::warn!(target: "nats_server", "{text}"),
                Some((Gravity::Error, text)) => tracing::error!(target: "nats_server", "{text}"),
                Some((Gravity::Unreadable, text)) => {
                    tracing::error!(target: "nats_server", "a journal stream on disk cannot be read: {text}");
                    unreadable.get_or_insert_with(|| text.to_owned());
                }
                None => {}
            }
        }
        unreadable
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::nats_server::tests::Folder;

    #[test]
    fn which_lines_are_grave() {
        let cases = [
            ("[7] 2026/11/22 06:25:17.7 [INF] Server is ready", None),
            ("[7] 2026/11/22 06:25:17.7 [WRN] Plaintext passwords detected, use nkeys or bcrypt", None),
            ("[7] 2026/11/22 06:25:17.7 [WRN] slow disk", Some((Gravity::Warning, "slow disk"))),
            ("[7] 2026/11/22 06:25:17.7 [ERR] no space", Some((Gravity::Error, "no space"))),
            ("[7] 2026/11/22 06:25:17.7 [FTL] gone", Some((Gravity::Error, "gone"))),
            (
                "[7] 2026/11/22 06:25:17.7 [WRN]   Error decrypting our stream metafile: bad",
                Some((Gravity::Unreadable, "Error decrypting our stream metafile: bad")),
            ),
            (
                "[7] 2026/11/22 06:25:17.7 [WRN]   Stream metafile \"meta.inf\": checksums do not match",
                Some((Gravity::Unreadable, "Stream metafile \"meta.inf\": checksums do not match")),
            ),
            (
                "[7] 2026/11/22 06:25:17.7 [WRN]     Error decrypting our consumer metafile: bad",
                Some((Gravity::Warning, "Error decrypting our consumer metafile: bad")),
            ),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(grave(line), expected, "{line}");
        }
    }

    #[test]
    fn a_server_that_gave_up_writing_said_so() {
        for (line, expected) in [
            ("[7] 2026/11/22 06:25:17.7 [ERR] Filestore [KEYS_x] Critical write error: no space left on device", true),
            ("[7] 2026/11/22 06:25:17.7 [ERR] JetStream out of resources, will be DISABLED", true),
            ("[7] 2026/11/22 06:25:17.7 [WRN] Waiting for slow disk", false),
        ] {
            let folder = Folder::new();
            let path = folder.path().join("log");
            let mut tail = LogTail::at_end(&path);
            std::fs::write(&path, format!("{line}\nother\n")).unwrap();
            tail.forward();
            assert_eq!(tail.gave_up(), expected, "{line}");
        }
    }

    #[test]
    fn lines_come_once_whole_and_also_after_a_rotation() {
        let folder = Folder::new();
        let path = folder.path().join("log");
        std::fs::write(&path, "before\n").unwrap();
        let mut tail = LogTail::at_end(&path);
        let add = |text: &str| File::options().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();

        assert!(tail.new_lines().is_empty());
        add("one\ntw");
        assert_eq!(tail.new_lines(), ["one"]);
        add("o\n");
        assert_eq!(tail.new_lines(), ["two"]);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(tail.new_lines(), ["new"]);
        std::fs::remove_file(&path).unwrap();
        assert!(tail.new_lines().is_empty());
    }
}
