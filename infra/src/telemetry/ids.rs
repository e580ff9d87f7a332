//! Trace ids where no collector is: each span of ours has the ids that OpenTelemetry would give it, and nothing is recorded.
//!
//! A trace goes on through the journal and may be joined with one that somebody else records, so the ids are made and handed on
//! in any case. OpenTelemetry's layer does that too, at several times the price: it keeps fields, events and times of a span
//! until it is over, only to drop them then.

use std::cell::RefCell;

use opentelemetry::trace::{SpanId, TraceId};
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::context::Parent;
use crate::chance::fill_random;

/// How many random bytes are asked for at once.
const POOL: usize = 256;

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<(Id, Ids)>> = const { RefCell::new(Vec::new()) };
    /// Random bytes and how many of them are used up.
    static RANDOM: RefCell<([u8; POOL], usize)> = const { RefCell::new(([0; POOL], POOL)) };
}

/// The ids of a span.
#[derive(Debug, Clone, Copy)]
struct Ids {
    trace: TraceId,
    span: SpanId,
}

/// The `traceparent` of the span that this thread is in, if this layer gave it ids.
pub(super) fn current() -> Option<String> {
    innermost().map(|Ids { trace, span }| format!("00-{trace}-{span}-00"))
}

fn innermost() -> Option<Ids> {
    ENTERED.with_borrow(|entered| entered.last().map(|(_, ids)| *ids))
}

/// Gives each span its ids.
pub(super) struct IdsLayer;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for IdsLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let above = match attributes.parent() {
            _ if attributes.is_root() => None,
            Some(_) => span.scope().skip(1).find_map(|span| span.extensions().get::<Ids>().map(|ids| ids.trace)),
            None => innermost().map(|ids| ids.trace),
        };
        let trace = Parent::of(attributes).map(|remote| remote.trace_id()).or(above);
        let trace = trace.unwrap_or_else(|| TraceId::from_bytes(random()));
        span.extensions_mut().insert(Ids { trace, span: SpanId::from_bytes(random()) });
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let ids = context.span(id).and_then(|span| span.extensions().get::<Ids>().copied());
        if let Some(ids) = ids {
            ENTERED.with_borrow_mut(|entered| entered.push((id.clone(), ids)));
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|(entered, _)| entered == id) {
                entered.remove(at);
            }
        });
    }
}

/// Random bytes, not all zero.
fn random<const N: usize>() -> [u8; N] {
    RANDOM.with_borrow_mut(|(pool, used)| {
        loop {
            if *used + N > POOL {
                fill_random(pool);
                *used = 0;
            }
            let mut bytes = [0; N];
            bytes.copy_from_slice(&pool[*used..*used + N]);
            *used += N;
            if bytes != [0; N] {
                return bytes;
            }
        }
    })
}
