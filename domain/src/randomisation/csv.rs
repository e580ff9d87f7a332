//! A list made elsewhere, from CSV: `number,arm` and one column a stratification factor.

use std::collections::BTreeSet;

use super::{Arm, Content, Factor, Stratum};
use crate::ids::{Code, RandomisationNumber};
use crate::rejection::Fault;

/// Reads the file's lines. Arms, factors and levels are what it names, in order of first appearance; an arm's weight is how
/// many slots it has.
pub(super) fn read(text: &str) -> Result<Content, Vec<Fault>> {
    let mut lines = (1..).zip(text.trim_start_matches('\u{feff}').lines()).filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<&str> = lines.next().map(|(_, line)| line.split(',').map(str::trim).collect()).unwrap_or_default();
    let ["number", "arm", factors @ ..] = &header[..] else {
        return Err(vec![fault(1, "the first line is `number,arm` and one column a factor".into())]);
    };
    let mut faults = Vec::new();
    let mut read = Read { content: Content::default(), numbers: BTreeSet::new(), rows: Vec::new() };
    for factor in factors {
        match factor.parse() {
            Ok(factor) => read.content.factors.push(Factor { factor, levels: Vec::new() }),
            Err(_) => faults.push(fault(1, "a factor is named by 1 to 64 visible ASCII characters".into())),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    for (line, text) in lines {
        if let Err(detail) = read.line(text) {
            faults.push(fault(line, detail));
        }
    }
    if faults.is_empty() { Ok(read.into_content()) } else { Err(faults) }
}

fn fault(line: usize, detail: String) -> Fault {
    Fault { pointer: format!("/csv/line {line}"), detail }
}

struct Read {
    content: Content,
    numbers: BTreeSet<RandomisationNumber>,
    rows: Vec<(Vec<u32>, u32, RandomisationNumber)>,
}

impl Read {
    fn line(&mut self, text: &str) -> Result<(), String> {
        let cells: Vec<&str> = text.split(',').map(str::trim).collect();
        let [number, arm, levels @ ..] = &cells[..] else { return Err("a line has a number and an arm".into()) };
        if levels.len() != self.content.factors.len() {
            return Err(format!("{} columns, and the first line has {}", cells.len(), self.content.factors.len() + 2));
        }
        let number: RandomisationNumber = number.parse().map_err(|error| format!("{error}"))?;
        let arm: Code = arm.parse().map_err(|error| format!("{error}"))?;
        let levels: Vec<Code> = levels
            .iter()
            .map(|level| level.parse().map_err(|error| format!("{error}")))
            .collect::<Result<_, String>>()?;
        if !self.numbers.insert(number.clone()) {
            return Err("this number stands on an earlier line too".into());
        }
        let at = index(&mut self.content.arms, |one| one.arm == arm, || Arm { arm: arm.clone(), weight: 0 });
        self.content.arms[at as usize].weight += 1;
        let factors = self.content.factors.iter_mut().zip(levels);
        let place = factors.map(|(factor, level)| index(&mut factor.levels, |one| *one == level, || level.clone()));
        self.rows.push((place.collect(), at, number));
        Ok(())
    }

    /// Now that all levels are known, so is which stratum each line belongs to.
    fn into_content(self) -> Content {
        let Self { mut content, rows, .. } = self;
        content.strata = vec![Stratum::default(); content.combinations()];
        for (levels, arm, number) in rows {
            let at = content
                .factors
                .iter()
                .zip(&levels)
                .fold(0, |at, (factor, level)| at * factor.levels.len() + *level as usize);
            content.strata[at].arms.push(arm);
            content.strata[at].numbers.push(number);
        }
        content
    }
}

/// Where the one is that is looked for; put at the end if it is not there.
fn index<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: impl Fn() -> T) -> u32 {
    let at = list.iter().position(is_it).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    });
    at as u32
}
