//! What figures have in common: whose they are, site by site, and who is behind them.

use std::collections::BTreeMap;

use domain::ids::{ParticipantId, SiteId, SubjectNumber};
use domain::permit::Sites;
use domain::structural;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::person::Person;

/// Whose figures are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The sites that the reader sees.
    pub sites: &'a Sites,
    /// This site only.
    pub site: Option<&'a SiteId>,
    /// Whether to name participants, and which; none: the reader may know counts only.
    pub names: Option<Names>,
}

/// Which participants are named.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Those after this one.
    pub after: Option<ParticipantId>,
    /// So many, at most.
    pub limit: usize,
}

impl Wanted<'_> {
    /// Whether figures of `site` are wanted and may be seen.
    pub fn takes(&self, site: &SiteId) -> bool {
        self.sites.contains(site) && self.site.is_none_or(|wanted| wanted == site)
    }
}

/// A participant that a figure names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whose {
    /// The random id.
    pub participant: ParticipantId,
    /// The pseudonym.
    pub subject_number: SubjectNumber,
    /// Where the participant is treated.
    pub site: SiteId,
}

structural!(Whose);

impl Whose {
    pub(super) fn of(participant: ParticipantId, person: &Person) -> Self {
        Self { participant, subject_number: person.number.clone(), site: person.site.clone() }
    }
}

/// Participants by name: one page, by id. What comes after it is not even looked at.
#[derive(Debug)]
pub(super) struct Page<T> {
    wanted: Option<Names>,
    pub items: Vec<T>,
    pub next: Option<ParticipantId>,
    last: Option<ParticipantId>,
}

impl<T> Page<T> {
    pub(super) fn of(wanted: &Wanted<'_>) -> Self {
        Self { wanted: wanted.names, items: Vec::new(), next: None, last: None }
    }

    /// Offers a participant, in the order of ids.
    pub(super) fn offer(&mut self, participant: ParticipantId, item: impl FnOnce() -> Option<T>) {
        let Some(Names { after, limit }) = self.wanted else { return };
        if after.is_some_and(|after| participant <= after) || self.next.is_some() {
            return;
        }
        if let Some(item) = item() {
            if self.items.len() == limit.max(1) {
                self.next = self.last;
                return;
            }
            self.items.push(item);
            self.last = Some(participant);
        }
    }

    /// The page, and after whom the next one begins; nothing if nobody may be named.
    pub(super) fn done(self) -> (Option<Vec<T>>, Option<ParticipantId>) {
        (self.wanted.map(|_| self.items), self.next)
    }
}

/// The row of a site, made when it is first asked for.
pub(super) fn at<'a, T: Default>(rows: &'a mut BTreeMap<SiteId, T>, site: &SiteId) -> &'a mut T {
    rows.entry(site.clone()).or_default()
}

/// The middle one; of an even number the mean of the two in the middle. In tenths.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let found = match values.len() {
        0 => return None,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    };
    Some(tenths(found))
}

/// Rounded to one place.
pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// So many of so many; none of none.
pub(super) fn per(count: u64, of: u64, hundred: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of a study are far below 2^52")]
    (of > 0).then(|| tenths(count as f64 * hundred / of as f64))
}

/// The ISO 8601 week, such as `2026-W47`.
pub(super) fn week(at: OffsetDateTime) -> String {
    let (year, week, _) = at.to_iso_week_date();
    format!("{year:04}-W{week:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.25, 3.0]), Some(2.6));
        assert_eq!(per(1, 3, 100.0), Some(33.3));
        assert_eq!(per(1, 0, 100.0), None);
    }

    #[test]
    fn a_page_ends_where_the_next_begins() {
        let sites = Sites::All;
        let id = |n: u128| ParticipantId(uuid::Uuid::from_u128(n));
        let page = |names| {
            let mut page = Page::of(&Wanted { sites: &sites, site: None, names });
            (1..=4).filter(|n| *n != 2).for_each(|n| page.offer(id(n), || Some(n)));
            page.done()
        };
        assert_eq!(page(None), (None, None));
        assert_eq!(page(Some(Names { after: None, limit: 2 })), (Some(vec![1, 3]), Some(id(3))));
        assert_eq!(page(Some(Names { after: Some(id(3)), limit: 2 })), (Some(vec![4]), None));
        assert_eq!(page(Some(Names { after: None, limit: 3 })), (Some(vec![1, 3, 4]), None));
    }
}
