//! What was measured: medians over rounds, and how far the rounds lie apart.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::Plan;

/// One measured thing beside its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is called in the JSON.
    pub name: String,
    /// What we took: of latencies, the median over the rounds of each round's 99th percentile.
    pub ours: f64,
    /// What the limit took, measured in the same run.
    pub raw: f64,
    /// Of what both are.
    pub unit: &'static str,
    /// How far the rounds lie apart: largest less smallest, divided by the median.
    pub spread: f64,
    /// More to say of it.
    pub more: Vec<(&'static str, f64)>,
}

/// Everything that was measured.
#[derive(Debug, Clone)]
pub struct Figures {
    about: Value,
    /// In the order in which it was measured.
    pub results: Vec<Figure>,
}

impl Figures {
    pub(super) fn of(plan: &Plan) -> Self {
        Self::about(json!({
            "participants": plan.participants, "values": plan.values, "clients": plan.clients,
            "requests": plan.requests, "rounds": plan.rounds, "sync": "always",
        }))
    }

    /// Nothing measured yet; `about` says how it will be.
    pub(super) fn about(about: Value) -> Self {
        Self { about, results: Vec::new() }
    }

    /// All of them as one; each says under its name how it was measured.
    pub fn together(all: Vec<(&'static str, Self)>) -> Self {
        let about = all.iter().map(|(name, figures)| ((*name).to_owned(), figures.about.clone())).collect();
        let results = all.into_iter().flat_map(|(_, figures)| figures.results).collect();
        Self { about: Value::Object(about), results }
    }

    /// Adds a row of its own for how long one client waits for one command in the median. Its spread is that of the rate: one
    /// client's rate is its mean wait, turned over.
    #[must_use]
    pub fn with_waits_of_one_client(mut self) -> Self {
        let alone = |figure: &&Figure| figure.name.starts_with("append.") && figure.name.ends_with(".1");
        let waits: Vec<Figure> = self.results.iter().filter(alone).filter_map(Figure::wait).collect();
        self.results.extend(waits);
        self
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let result = |figure: &Figure| {
            let mut result = json!({
                "name": figure.name, "ours": rounded(figure.ours), "raw": rounded(figure.raw),
                "ratio": rounded(figure.ratio()), "unit": figure.unit, "spread": rounded(figure.spread),
            });
            for (name, value) in &figure.more {
                result[*name] = json!(rounded(*value));
            }
            result
        };
        json!({"plan": self.about, "results": self.results.iter().map(result).collect::<Vec<_>>()})
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28} {:>10} {:>10} {:>8} {:>7}  unit, and more", "name", "ours", "raw", "ratio", "spread")?;
        for figure in &self.results {
            write!(
                f,
                "{:<28} {:>10.2} {:>10.2} {:>8.2} {:>7.2}  {}",
                figure.name,
                figure.ours,
                figure.raw,
                figure.ratio(),
                figure.spread,
                figure.unit
            )?;
            figure.more.iter().try_for_each(|(name, value)| write!(f, ", {name} {value:.2}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Figure {
    /// Ours as a multiple of the limit.
    pub fn ratio(&self) -> f64 {
        self.ours / self.raw
    }

    fn wait(&self) -> Option<Self> {
        let of = |name: &str| self.more.iter().find(|(more, _)| *more == name).map(|(_, value)| *value);
        let (ours, raw) = (of("p50_ms")?, of("raw_p50_ms")?);
        let name = format!("{}.p50", self.name);
        Some(Self { name, ours, raw, unit: "ms p50", spread: self.spread, more: Vec::new() })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The value below which `share` of all lie, by the nearest rank.
pub(super) fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let rank = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1));
    times.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

/// The one in the middle, and how far the others lie apart.
pub(super) fn median(mut rounds: Vec<f64>) -> (f64, f64) {
    rounds.sort_unstable_by(f64::total_cmp);
    let median = percentile_of(&rounds);
    let spread = rounds.last().zip(rounds.first()).map_or(f64::NAN, |(last, first)| (last - first) / median);
    (median, spread)
}

fn percentile_of(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_go_by_rank_and_medians_take_the_middle() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 0.99), 99.0);
        assert_eq!(percentile(&mut times, 0.5), 50.0);
        assert_eq!(percentile(&mut times[..1], 0.99), 1.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), (2.0, 1.0));
        assert_eq!(median(vec![1.0, 3.0]).0, 2.0);
        assert!(percentile(&mut [], 0.5).is_nan() && median(vec![]).0.is_nan());
    }

    #[test]
    fn a_result_says_name_ours_raw_ratio_unit_and_spread() {
        let figure = Figure {
            name: "query.matrix".into(),
            ours: 4.0,
            raw: 1.0,
            unit: "ms",
            spread: 0.25,
            more: vec![("p50", 2.0)],
        };
        let plan = Plan { participants: 1, values: 20, clients: 1, requests: 1, rounds: 1, formats: vec![] };
        let figures = Figures { results: vec![figure], ..Figures::of(&plan) };
        assert_eq!(
            figures.json()["results"],
            json!([{"name": "query.matrix", "ours": 4.0, "raw": 1.0, "ratio": 4.0, "unit": "ms", "spread": 0.25, "p50": 2.0}])
        );
    }

    #[test]
    fn figures_together_keep_their_plans_and_a_row_says_how_long_one_client_waits() {
        let row = |name: &str| Figure {
            name: name.into(),
            ours: 250.0,
            raw: 2000.0,
            unit: "1/s",
            spread: 0.1,
            more: vec![("p50_ms", 3.0), ("raw_p50_ms", 0.5)],
        };
        let mut append = Figures::about(json!({"rounds": 5}));
        append.results = vec![row("append.http.1"), row("append.http.64")];
        let together = Figures::together(vec![
            ("append", append.with_waits_of_one_client()),
            ("bulk", Figures::about(json!({"rounds": 7}))),
        ]);
        let names: Vec<&str> = together.results.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["append.http.1", "append.http.64", "append.http.1.p50"]);
        assert_eq!(together.results[2].ratio(), 6.0);
        assert_eq!(together.json()["plan"], json!({"append": {"rounds": 5}, "bulk": {"rounds": 7}}));
    }
}
