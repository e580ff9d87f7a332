//! The read models: what they are, how they are kept up to date, how they are read.
//!
//! - One projection, one file: its rows, how a commit changes them, its readers, its tests ([`studies`],
//!   [`overview`], [`participants`], [`matrix`], [`casebook`], [`queries`], [`figures`], [`identity`],
//!   [`audit`], [`erasures`], [`exports`], [`tokens`], [`accounts`], [`reviews`], [`sign_ins`],
//!   [`access`], [`incidents`]).
//! - [`projection`] says what a projection is; [`fold`] takes commits into one table; [`runner`] follows the journal
//!   streams of a tenant; [`check`](Runner::check) compares the journal with what the read models have seen;
//!   [`mod@rebuild`] builds beside the table that serves, compares and switches.
//! - [`row`] and [`cells`]: a row is structure in the clear and one sealed cell for each (scope, part).
//!
//! Nothing here can be rebuilt from anything but the journal, and everything can be rebuilt from that.

pub mod access;
pub mod accounts;
pub mod audit;
pub mod casebook;
pub mod cells;
mod check;
pub mod compare;
pub mod erasures;
pub mod exports;
pub mod figures;
pub mod fold;
mod frame;
pub mod identity;
pub mod impact;
pub mod incidents;
mod marker;
pub mod matrix;
pub mod overview;
pub mod participants;
pub mod projection;
pub mod queries;
pub mod rebuild;
pub mod reviews;
pub mod row;
pub mod runner;
pub mod shown;
pub mod sign_ins;
pub mod studies;
pub mod tables;
#[cfg(any(test, feature = "testing"))]
#[expect(missing_docs, reason = "for tests, here and of those who show the read models")]
pub mod testing;
pub mod tokens;
mod view;

pub use rebuild::{RebuildProgress, RebuildReport, Stage, Which, rebuild};
pub use runner::{JournalHealth, JournalState, ModelHealth, Runner};
pub use shown::{Page, Shown, Visible};

/// Every read model there is. A new one is a file and a line here.
pub fn projections() -> Vec<Box<dyn fold::Model>> {
    vec![
        fold::model::<studies::Studies>(),
        fold::model::<overview::Overviews>(),
        fold::model::<participants::Participants>(),
        fold::model::<casebook::Casebooks>(),
        fold::model::<matrix::Matrix>(),
        fold::model::<queries::QueryLists>(),
        fold::model::<figures::Happenings>(),
        fold::model::<identity::Identities>(),
        fold::model::<audit::Audit>(),
        fold::model::<erasures::Erasures>(),
        fold::model::<exports::Exports>(),
        fold::model::<tokens::Tokens>(),
        fold::model::<accounts::Accounts>(),
        fold::model::<reviews::Reviews>(),
        fold::model::<sign_ins::SignIns>(),
        fold::model::<access::Accesses>(),
        fold::model::<incidents::Incidents>(),
    ]
}
