//! Figures that were counted a moment ago, for readers who see the same.
//!
//! A dashboard is open in many windows, and a large study has figures that take a tenth of a second of a processor. A figure is a
//! pure function of a study's state, of the day and of what the reader reaches. So as long as the study stands where it stood, what
//! was counted a moment ago is counted again for nobody. Figures that open days of visits are no part of this: they are
//! counted for each answer and not kept.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use projection_svc::figures::answer::Wanted;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

use super::Desk;

/// How old an answer may be: it says as of when it is.
const AGE_MAX: Duration = Duration::seconds(30);

/// How many answers are kept: sites that readers reach, times figures.
const KEPT_MAX: usize = 256;

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counted(Mutex<BTreeMap<String, Place>>);

/// One figure for one kind of reader, with whoever counts it.
type Place = Arc<Mutex<Option<Kept>>>;

#[derive(Debug)]
struct Kept {
    incarnation: u64,
    sequence: u64,
    at: OffsetDateTime,
    figure: Arc<dyn Any + Send + Sync>,
}

impl Counted {
    /// The figure as it was counted a moment ago, or as `count` counts it now. The desk is as of the moment of that.
    pub(super) async fn figure<T: Clone + Send + Sync + 'static>(
        &self,
        name: &str,
        desk: &mut Desk,
        count: impl FnOnce(&projection_svc::figures::Snapshot, &Wanted<'_>) -> T,
    ) -> T {
        // What stands up to an earlier moment is asked for once.
        if desk.asked.as_of.is_some() || desk.asked.as_of_position.is_some() {
            return count(&desk.snapshot, &desk.wanted());
        }
        let place = self.place(desk.reader(name)).await;
        // Whoever comes second waits for the first, instead of counting the same beside.
        let mut kept = place.lock().await;
        let (incarnation, sequence, now) = (desk.incarnation(), desk.snapshot.sequence(), desk.snapshot.at);
        if let Some(known) = kept.as_ref()
            && (known.incarnation, known.sequence) == (incarnation, sequence)
            && is_fresh(known.at, now)
            && let Some(figure) = known.figure.downcast_ref::<T>()
        {
            desk.snapshot.at = known.at;
            return figure.clone();
        }
        let figure = count(&desk.snapshot, &desk.wanted());
        *kept = Some(Kept { incarnation, sequence, at: now, figure: Arc::new(figure.clone()) });
        figure
    }

    async fn place(&self, reader: String) -> Place {
        let mut places = self.0.lock().await;
        if places.len() >= KEPT_MAX && !places.contains_key(&reader) {
            places.clear();
        }
        Arc::clone(places.entry(reader).or_default())
    }
}

/// Counted on this very day, not long ago, and not by a clock that was ahead.
fn is_fresh(counted: OffsetDateTime, now: OffsetDateTime) -> bool {
    counted <= now && now - counted <= AGE_MAX && counted.date() == now.date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn what_was_counted_counts_for_a_moment_of_the_same_day() {
        let counted = datetime!(2026-11-22 23:59:50 UTC);
        for (now, fresh) in [
            (counted, true),
            (datetime!(2026-11-22 23:59:59 UTC), true),
            (datetime!(2026-11-23 00:00:01 UTC), false),
            (datetime!(2026-11-22 23:59:49 UTC), false),
        ] {
            assert_eq!(is_fresh(counted, now), fresh, "{now}");
        }
        assert!(!is_fresh(datetime!(2026-11-22 12:00:00 UTC), datetime!(2026-11-22 12:00:31 UTC)));
    }
}
