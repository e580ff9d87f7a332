//! The `Context` of each `Alias` of ours. A text unless said; `true` stands for a flag that is set.

/// The OID of the design, where another definition of the file has it too.
pub const OID: &str = "lethe.oid";
/// The name, where it is empty.
pub const NAME: &str = "lethe.name";
/// Labels that are not said in full by `TranslatedText` (JSON).
pub const LABELS: &str = "lethe.labels";
/// When a visit is due (JSON).
pub const WINDOW: &str = "lethe.window";
/// How much of a form is compared with its source: `part` or `all`.
pub const SDV_PLAN: &str = "lethe.sdv-plan";
/// A form is to be signed.
pub const SIGNATURE: &str = "lethe.signature";
/// Methods that compute a whole form or item group (JSON: OID to method), for which ODM 1.3.2 has no attribute.
pub const METHODS: &str = "lethe.methods";
/// An item's scope.
pub const SCOPE: &str = "lethe.scope";
/// An item names or finds a person.
pub const IDENTIFIER: &str = "lethe.identifier";
/// An item tells the arm.
pub const BLINDED: &str = "lethe.blinded";
/// An item matters for the result or for safety.
pub const CRITICAL: &str = "lethe.critical";
/// An item is compared with its source.
pub const SDV: &str = "lethe.sdv";
/// The OID of an item's unit, in ODM 2.0.
pub const UNIT: &str = "lethe.unit";
/// An item's length, where ODM gives it no meaning.
pub const LENGTH: &str = "lethe.length";
/// An item's range checks, where ODM cannot say them in full (JSON).
pub const RANGE_CHECKS: &str = "lethe.range-checks";
/// The expressions of a condition or method, where blanks around them count (JSON).
pub const EXPRESSIONS: &str = "lethe.expressions";
/// A code list without codes, for which ODM 1.3.2 has no form.
pub const EMPTY: &str = "lethe.empty";
/// The edit checks across items (JSON).
pub const CHECKS: &str = "lethe.checks";
/// The name of the study, where it is empty.
pub const STUDY_NAME: &str = "lethe.study-name";
