//! How far the writing of a round is, for those who wait for a moment in it.

use tokio::sync::watch;

/// How many commands were acknowledged, and whether more will be.
pub(super) struct Tide(watch::Sender<(usize, bool)>);

impl Tide {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new((0, false)))
    }

    /// One more.
    pub(super) fn rise(&self) {
        self.0.send_modify(|(acknowledged, _)| *acknowledged += 1);
    }

    /// Nobody needs to wait any more.
    pub(super) fn end(&self) {
        self.0.send_modify(|(_, over)| *over = true);
    }

    /// Waits until so many are acknowledged; false: it ended before.
    pub(super) async fn reaches(&self, count: usize) -> bool {
        let mut state = self.0.subscribe();
        let reached = state.wait_for(|(acknowledged, over)| *acknowledged >= count || *over).await;
        reached.is_ok_and(|state| state.0 >= count)
    }
}
