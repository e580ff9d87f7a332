//! One trace from the request to the read model.
//!
//! A trace crosses three borders: HTTP → command (a header), command → projection (a commit's `traceparent`),
//! NATS request → command (a header). At each, the receiver creates its span with a field `traceparent`, and that
//! becomes the span's parent. It cannot be set later: a span that was entered once has its ids.
//!
//! The OpenTelemetry layer takes a new span's parent from the context that is active on the thread. So two layers
//! stand around it: [`AdoptParent`] before it activates the context that the field names, [`ReleaseParent`] after it
//! puts the former one back. Both calls happen on one thread, within the creation of one span.

use std::cell::RefCell;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry::{Context, ContextGuard};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::layer;

use super::ids;

/// The field's and the header's name.
const TRACEPARENT: &str = "traceparent";

thread_local! {
    /// The adopted parent of the span that is being created on this thread.
    static ADOPTED: RefCell<Option<ContextGuard>> = const { RefCell::new(None) };
}

/// The W3C `traceparent` of the span in which this is called; none outside every span, or when telemetry is off.
pub fn current_traceparent() -> Option<String> {
    if let Some(text) = ids::current() {
        return Some(text);
    }
    let context = Context::current();
    let span = context.span();
    let ids = span.span_context();
    ids.is_valid().then(|| format!("00-{}-{}-{:02x}", ids.trace_id(), ids.span_id(), ids.trace_flags()))
}

/// What to hand on with something that is sent from here: the current span, otherwise the `given` one.
pub fn traceparent_for(given: Option<&str>) -> Option<String> {
    current_traceparent().or_else(|| given.filter(|text| parse(text).is_some()).map(str::to_owned))
}

/// Makes `traceparent` the parent of `span`, which must not have been entered yet. False: it is no valid
/// `traceparent`, or too late. Prefer the field `traceparent` at the span's creation.
pub fn set_parent(span: &Span, traceparent: &str) -> bool {
    parse(traceparent).is_some_and(|remote| span.set_parent(Context::new().with_remote_span_context(remote)).is_ok())
}

/// The remote span that a `traceparent` names.
fn parse(traceparent: &str) -> Option<SpanContext> {
    struct Header<'a>(&'a str);
    impl Extractor for Header<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == TRACEPARENT).then_some(self.0)
        }
        fn keys(&self) -> Vec<&str> {
            vec![TRACEPARENT]
        }
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(traceparent));
    let ids = context.span().span_context().clone();
    ids.is_valid().then_some(ids)
}

/// Stands before the OpenTelemetry layer.
pub(super) struct AdoptParent;

impl<S: Subscriber> Layer<S> for AdoptParent {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: layer::Context<'_, S>) {
        if let Some(remote) = Parent::of(attributes) {
            let guard = Context::new().with_remote_span_context(remote).attach();
            ADOPTED.with(|adopted| adopted.replace(Some(guard)));
        }
    }
}

/// Stands after the OpenTelemetry layer.
pub(super) struct ReleaseParent;

impl<S: Subscriber> Layer<S> for ReleaseParent {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: layer::Context<'_, S>) {
        ADOPTED.with(|adopted| adopted.take());
    }
}

/// The value of the field `traceparent`, if it is valid.
pub(super) struct Parent(Option<SpanContext>);

impl Parent {
    /// The remote span that a new span names as its parent.
    pub(super) fn of(attributes: &Attributes<'_>) -> Option<SpanContext> {
        attributes.metadata().fields().field(TRACEPARENT)?;
        let mut found = Self(None);
        attributes.record(&mut found);
        found.0
    }
}

impl Visit for Parent {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == TRACEPARENT {
            self.0 = parse(value);
        }
    }

    /// `%display` values arrive here.
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == TRACEPARENT {
            self.0 = parse(&format!("{value:?}"));
        }
    }
}
