//! What the disk takes at least: the bytes of a raw message written to a file and synced, one after the other.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::beside::RAW_BYTES;
use super::figures::{Figure, median, percentile};
use crate::cli::CliError;

/// How often, each time so many writes.
const ROUNDS: usize = 5;

const WRITES: usize = 200;

/// One figure; it is a limit itself, so it stands beside itself.
///
/// # Errors
/// What the file system refuses.
pub async fn disk(folder: &Path) -> Result<Figure, CliError> {
    let path = folder.join("disk");
    let measured = tokio::task::spawn_blocking(move || {
        let measured = measure(&path);
        std::fs::remove_file(&path).and(measured)
    });
    measured.await.map_err(CliError::unavailable)?.map_err(|error| CliError::failed("writing to the disk", error))
}

fn measure(path: &Path) -> std::io::Result<Figure> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    let (mut file, bytes) = (File::create(path)?, [0x5a; RAW_BYTES]);
    let (mut rates, mut times) = (Vec::new(), Vec::<Duration>::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..WRITES {
            let begun = Instant::now();
            file.write_all(&bytes)?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        rates.push(WRITES as f64 / begun.elapsed().as_secs_f64());
    }
    let (rate, spread) = median(rates);
    let more = vec![("p50_ms", percentile(&mut times, 0.5)), ("p99_ms", percentile(&mut times, 0.99))];
    Ok(Figure { name: "disk".to_owned(), ours: rate, raw: rate, unit: "1/s", spread, more })
}
