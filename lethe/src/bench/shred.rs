//! One shred by the number of keys in the tree, beside an atomic write of the same shape: the drill's figures, in the shape
//! of a benchmark's. `docs/shred-cost.md` says what each of them means.

use serde_json::{Value, json};

use super::figures::{Figure, Figures};
use crate::cli::CliError;
use crate::drill::{self, KmsKind, OffSiteKind};

/// Measures a shred at each of `sizes` (numbers of keys, ascending).
///
/// # Errors
/// Whatever keeps it from going on.
pub async fn shred(sizes: &[usize], folder: &std::path::Path) -> Result<Figures, CliError> {
    let ground = drill::Ground::prepare(folder, KmsKind::File, OffSiteKind::Folder).await?;
    let measured = drill::shred::run(sizes, &ground, false).await?;
    let mut figures = Figures::about(json!({
        "keys": sizes, "sync": measured["sync"], "rounds": measured["shreds_each"], "load": measured["load"],
    }));
    figures.results.extend(measured["results"].as_array().into_iter().flatten().map(figure));
    Ok(figures)
}

/// Each shred is a round: its own atomic write follows it.
fn figure(row: &Value) -> Figure {
    let number = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
    let also = [
        "beyond_write",
        "write",
        "raw_two",
        "raw_one",
        "asking",
        "store_asks",
        "fence",
        "kms",
        "off_site",
        "resident_kib",
        "enrolled_s",
    ];
    Figure {
        name: row["name"].as_str().unwrap_or_default().to_owned(),
        ours: number("own"),
        raw: number("raw_write"),
        unit: "ms",
        spread: (number("own_max") - number("own_min")) / number("own"),
        more: also.map(|name| (name, number(name))).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_drill_is_a_figure() {
        let row =
            json!({"name": "shred.1000", "own": 6.0, "own_min": 5.0, "own_max": 8.0, "raw_write": 4.0, "fence": 2.0});
        let figure = figure(&row);
        assert_eq!((figure.name.as_str(), figure.ours, figure.raw, figure.spread), ("shred.1000", 6.0, 4.0, 0.5));
        assert!(figure.more.contains(&("fence", 2.0)));
    }
}
