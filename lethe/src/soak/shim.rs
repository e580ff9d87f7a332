//! A library that is loaded into `serve` and nothing else: moves its clock, slows its disk.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::CliError;

const SOURCE: &str = include_str!("shim.c");

/// The library, and what it is told.
pub(super) struct Shim {
    library: PathBuf,
    told: PathBuf,
    file: File,
}

impl Shim {
    /// Compiles it, in this folder.
    ///
    /// # Errors
    /// There is no C compiler, or it refuses.
    pub(super) fn build(folder: &Path) -> Result<Self, CliError> {
        let (source, library, told) = (folder.join("shim.c"), folder.join("shim.so"), folder.join("shim.told"));
        let failed = |error: std::io::Error| CliError::failed("the shim for clock and disk", error);
        std::fs::write(&source, SOURCE).map_err(failed)?;
        std::fs::write(&told, [0; 16]).map_err(failed)?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| CliError::unavailable(format!("slow-disk and clock need a C compiler (cc): {error}")))?;
        if !compiled.status.success() {
            return Err(CliError::failed("the shim", String::from_utf8_lossy(&compiled.stderr)));
        }
        let file = File::options().write(true).open(&told).map_err(failed)?;
        Ok(Self { library, told, file })
    }

    /// Has a command load it.
    pub(super) fn put_into(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("LETHE_SOAK_SHIM", &self.told);
    }

    /// Whether a process has loaded it. Without, nothing that it is told would happen.
    pub(super) fn is_in(&self, pid: u32) -> bool {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.contains(&*self.library.to_string_lossy()) && maps.contains(&*self.told.to_string_lossy())
    }

    /// The clock goes ahead by so much (or back), at once.
    pub(super) fn move_clock(&self, seconds: i64) -> Result<(), CliError> {
        self.tell(0, seconds * 1_000_000_000)
    }

    /// Every sync takes so much longer, at once.
    pub(super) fn slow_down(&self, each: Duration) -> Result<(), CliError> {
        self.tell(8, i64::try_from(each.as_micros()).unwrap_or(i64::MAX))
    }

    fn tell(&self, at: u64, number: i64) -> Result<(), CliError> {
        self.file.write_all_at(&number.to_ne_bytes(), at).map_err(|error| CliError::failed("the shim", error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::platform::random_id;

    /// A shim in a folder that goes.
    fn with_shim(test: impl FnOnce(&Shim, &Path)) {
        let folder = std::env::temp_dir().join(format!("lethe-shim-{}", random_id().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        test(&Shim::build(&folder).unwrap(), &folder);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    fn run(shim: &Shim, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        shim.put_into(&mut command);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn the_clock_of_who_loads_it_moves_ahead_and_back_and_nobody_elses() {
        let seconds = |text: String| text.parse::<i64>().unwrap();
        with_shim(|shim, _| {
            let here = seconds(
                String::from_utf8(Command::new("date").arg("+%s").output().unwrap().stdout).unwrap().trim().to_owned(),
            );
            for moved in [5 * 3600, -7 * 3600, 0] {
                shim.move_clock(moved).unwrap();
                let there = seconds(run(shim, "date", &["+%s"]));
                assert!((there - here - moved).abs() < 600, "{there} {here} {moved}");
            }
        });
    }

    #[test]
    fn a_sync_takes_as_long_as_it_is_told() {
        with_shim(|shim, folder| {
            shim.slow_down(Duration::from_millis(300)).unwrap();
            let begun = Instant::now();
            run(shim, "sync", &["--data", &folder.join("shim.c").display().to_string()]);
            assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
        });
    }
}
