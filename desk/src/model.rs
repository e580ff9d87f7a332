//! What pages read of the API's answers: what they show, and nothing else.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub(crate) mod operations;

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    #[serde(default)]
    pub(crate) next: Option<String>,
}

/// A value, or why there is none to see.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Shown {
    Erased {
        #[serde(rename = "erased")]
        _scope: String,
    },
    Withheld {
        #[serde(rename = "withheld")]
        _scope: String,
    },
    Value(Value),
}

impl Shown {
    /// The value as text; empty where there is none to see.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Value(Value::String(text)) => text.clone(),
            Self::Value(Value::Null) | Self::Erased { .. } | Self::Withheld { .. } => String::new(),
            Self::Value(other) => other.to_string(),
        }
    }

    pub(crate) fn is_erased(&self) -> bool {
        matches!(self, Self::Erased { .. })
    }

    pub(crate) fn is_withheld(&self) -> bool {
        matches!(self, Self::Withheld { .. })
    }
}

/// Who did something, and when.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Act {
    pub(crate) actor: Actor,
    pub(crate) stored_at: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Actor {
    pub(crate) id: String,
    pub(crate) role: String,
}

/// A study.
#[derive(Debug, Deserialize)]
pub(crate) struct Study {
    pub(crate) study: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) environment: String,
    pub(crate) sites: Vec<Site>,
    #[serde(default)]
    pub(crate) live_design: Option<String>,
    #[serde(default)]
    pub(crate) designs: Vec<Version>,
    #[serde(default)]
    pub(crate) drafts: Vec<Draft>,
    #[serde(default)]
    pub(crate) retention: Vec<Retention>,
    #[serde(default)]
    pub(crate) consents: Vec<ConsentForm>,
}

impl Study {
    /// What people call a design version.
    pub(crate) fn version_of<'a>(&'a self, design: &'a str) -> &'a str {
        let published = self.designs.iter().find(|one| one.design == design).map(|one| one.version.as_str());
        let draft = || self.drafts.iter().find(|one| one.design == design).map(|one| one.version.as_str());
        published.or_else(draft).unwrap_or(design)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Site {
    pub(crate) site: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) opened: Option<Act>,
    #[serde(default)]
    pub(crate) in_force: Option<String>,
    #[serde(default)]
    pub(crate) approvals: Vec<Approval>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Approval {
    pub(crate) design: String,
    pub(crate) reference: String,
}

/// A published design version.
#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) design: String,
    pub(crate) version: String,
    pub(crate) published: Act,
}

/// One that is in force nowhere.
#[derive(Debug, Deserialize)]
pub(crate) struct Draft {
    pub(crate) design: String,
    pub(crate) version: String,
    pub(crate) drafted: Act,
}

/// How long a study keeps what, and why.
#[derive(Debug, Deserialize)]
pub(crate) struct Retention {
    pub(crate) rule: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) trigger: String,
    pub(crate) months: u64,
    pub(crate) legal_basis: String,
    pub(crate) ground: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConsentForm {
    pub(crate) version: String,
    pub(crate) months: Option<u64>,
    pub(crate) published: Act,
}

/// What differs between two design versions.
#[derive(Debug, Deserialize)]
pub(crate) struct Difference {
    pub(crate) changes: Vec<Differs>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Differs {
    pub(crate) kind: String,
    pub(crate) oid: String,
    pub(crate) name: String,
    pub(crate) how: String,
    #[serde(default)]
    pub(crate) fields: Vec<FieldDiffers>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FieldDiffers {
    pub(crate) field: String,
    #[serde(default)]
    pub(crate) before: Option<Value>,
    #[serde(default)]
    pub(crate) after: Option<Value>,
}

impl FieldDiffers {
    /// A value of a definition, for people: text as it is, the rest as JSON.
    pub(crate) fn said(value: &Option<Value>) -> String {
        match value {
            None | Some(Value::Null) => "–".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

/// What is unusual in a stretch of an audit trail.
#[derive(Debug, Deserialize)]
pub(crate) struct Looked {
    pub(crate) after: u64,
    pub(crate) through: u64,
    pub(crate) more: bool,
    pub(crate) saved: u64,
    pub(crate) lines: Lines,
    pub(crate) items: Vec<Unusual>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Lines {
    pub(crate) late_days: u64,
    pub(crate) often: u64,
    pub(crate) day_begins: u64,
    pub(crate) day_ends: u64,
    pub(crate) much: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Unusual {
    pub(crate) rule: String,
    pub(crate) participant: Option<String>,
    pub(crate) subject_number: Option<String>,
    pub(crate) site: Option<String>,
    pub(crate) form: Option<FormKey>,
    pub(crate) item: Option<ItemKey>,
    pub(crate) actor: Actor,
    pub(crate) stored_at: String,
    pub(crate) count: u64,
}

/// A review.
#[derive(Debug, Deserialize)]
pub(crate) struct Review {
    pub(crate) of: ReviewOf,
    pub(crate) finding: Shown,
    pub(crate) act: Act,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ReviewOf {
    #[serde(default)]
    pub(crate) sites: Value,
    #[serde(default)]
    pub(crate) after: u64,
    #[serde(default)]
    pub(crate) through: u64,
}

/// A participant, without values.
#[derive(Debug, Deserialize)]
pub(crate) struct Participant {
    pub(crate) participant: String,
    pub(crate) subject_number: String,
    pub(crate) site: String,
    pub(crate) state: String,
    pub(crate) ended: Option<String>,
    pub(crate) restricted: bool,
    pub(crate) erased: Vec<String>,
    pub(crate) forms: u64,
    pub(crate) last_activity: String,
}

impl Participant {
    /// Whether a kind of data was erased.
    pub(crate) fn has_lost(&self, scope: &str) -> bool {
        self.erased.iter().any(|erased| erased == scope)
    }
}

/// A line of the matrix.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) participant: String,
    pub(crate) subject_number: String,
    pub(crate) site: String,
    pub(crate) state: String,
    pub(crate) restricted: bool,
    pub(crate) open_queries: u64,
    pub(crate) visits: Vec<LineVisit>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LineVisit {
    pub(crate) visit: String,
    pub(crate) state: String,
    pub(crate) forms: Vec<LineForm>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LineForm {
    pub(crate) form: String,
    pub(crate) state: String,
    pub(crate) held: Option<String>,
    pub(crate) open_queries: u64,
    pub(crate) signatures: u64,
}

/// A study's design.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Design {
    pub(crate) visits: Vec<VisitDef>,
    pub(crate) forms: Vec<FormDef>,
    pub(crate) item_groups: Vec<GroupDef>,
    pub(crate) items: Vec<ItemDef>,
    pub(crate) code_lists: Vec<CodeList>,
    #[serde(default)]
    pub(crate) units: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Ref {
    pub(crate) oid: String,
    #[serde(default)]
    pub(crate) mandatory: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct VisitDef {
    pub(crate) oid: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) repeating: bool,
    pub(crate) forms: Vec<Ref>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FormDef {
    pub(crate) oid: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) repeating: bool,
    pub(crate) item_groups: Vec<Ref>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GroupDef {
    pub(crate) oid: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) repeating: bool,
    pub(crate) items: Vec<Ref>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ItemDef {
    pub(crate) oid: String,
    pub(crate) name: String,
    pub(crate) data_type: String,
    pub(crate) unit: Option<String>,
    pub(crate) code_list: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CodeList {
    pub(crate) oid: String,
    pub(crate) codes: Vec<CodeEntry>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CodeEntry {
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

impl Design {
    pub(crate) fn visit_name<'a>(&'a self, oid: &'a str) -> &'a str {
        self.visits.iter().find(|visit| visit.oid == oid).map_or(oid, |visit| &visit.name)
    }

    pub(crate) fn form_name<'a>(&'a self, oid: &'a str) -> &'a str {
        self.forms.iter().find(|form| form.oid == oid).map_or(oid, |form| &form.name)
    }

    pub(crate) fn item(&self, oid: &str) -> Option<&ItemDef> {
        self.items.iter().find(|item| item.oid == oid)
    }

    /// What people call an item.
    pub(crate) fn item_name<'a>(&'a self, oid: &'a str, language: &str) -> &'a str {
        self.item(oid).map_or(oid, |item| item.labels.get(language).unwrap_or(&item.name))
    }

    /// The unit of an item, as it is printed.
    pub(crate) fn unit_of(&self, oid: &str, language: &str) -> &str {
        let unit = self.item(oid).and_then(|item| item.unit.as_ref());
        let labels = unit.and_then(|unit| self.units.get(unit));
        labels.and_then(|labels| labels.get(language).or_else(|| labels.values().next())).map_or("", String::as_str)
    }

    /// The codes that an item takes.
    pub(crate) fn codes(&self, item: &ItemDef) -> &[CodeEntry] {
        let list = item.code_list.as_ref().and_then(|oid| self.code_lists.iter().find(|list| list.oid == *oid));
        list.map_or(&[], |list| &list.codes)
    }

    /// What the code means that stands as a value; empty where it is none.
    pub(crate) fn code_label(&self, item: &Item, language: &str) -> &str {
        let value = item.value.as_ref().map(Shown::text).unwrap_or_default();
        let codes = self.item(&item.item).map_or(&[][..], |def| self.codes(def));
        let code = codes.iter().find(|code| code.value == value);
        code.and_then(|code| code.labels.get(language)).map_or("", String::as_str)
    }

    /// The groups of a form in their order.
    pub(crate) fn groups_of(&self, form: &str) -> impl Iterator<Item = &GroupDef> {
        let form = self.forms.iter().find(|def| def.oid == form);
        let groups = form.into_iter().flat_map(|form| &form.item_groups);
        groups.filter_map(|reference| self.item_groups.iter().find(|group| group.oid == reference.oid))
    }

    /// The items of a form in their order, each with its group.
    pub(crate) fn items_of(&self, form: &str) -> Vec<(&str, &ItemDef, bool)> {
        let items =
            self.groups_of(form).flat_map(|group| group.items.iter().map(move |item| (group.oid.as_str(), item)));
        items.filter_map(|(group, item)| Some((group, self.item(&item.oid)?, item.mandatory))).collect()
    }
}

/// All current values of a participant.
#[derive(Debug, Deserialize)]
pub(crate) struct Casebook {
    pub(crate) forms: Vec<Form>,
    pub(crate) visits: Vec<Visited>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Visited {
    pub(crate) visit: String,
    pub(crate) visit_repeat: u64,
    #[serde(default)]
    pub(crate) on: Option<Shown>,
    #[serde(default)]
    pub(crate) reason: Option<Shown>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    pub(crate) visit: String,
    pub(crate) visit_repeat: u64,
    pub(crate) form: String,
    pub(crate) form_repeat: u64,
    pub(crate) completed: bool,
    pub(crate) removed: bool,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) tag: u64,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Signature {
    pub(crate) meaning: String,
    pub(crate) printed_name: Shown,
    pub(crate) act: Act,
    pub(crate) dropped: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Item {
    pub(crate) group: String,
    pub(crate) group_repeat: u64,
    pub(crate) item: String,
    pub(crate) value: Option<Shown>,
    pub(crate) not_done: Option<String>,
    pub(crate) verified: bool,
    pub(crate) computed: bool,
    pub(crate) act: Act,
}

/// A query with its thread.
#[derive(Debug, Deserialize)]
pub(crate) struct Query {
    pub(crate) query: String,
    pub(crate) participant: String,
    pub(crate) subject_number: String,
    pub(crate) site: String,
    pub(crate) state: String,
    pub(crate) message: Option<String>,
    pub(crate) place: Place,
    pub(crate) thread: Vec<Remark>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) visit: Option<String>,
    pub(crate) form: Option<String>,
    pub(crate) item: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Remark {
    pub(crate) step: String,
    pub(crate) text: Option<Shown>,
    #[serde(flatten)]
    pub(crate) act: Act,
}

/// An entry of the audit trail.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) event: String,
    pub(crate) action: String,
    pub(crate) act: Act,
    pub(crate) field: Option<String>,
    pub(crate) form: Option<FormKey>,
    pub(crate) item: Option<ItemKey>,
    pub(crate) old: Option<Shown>,
    pub(crate) new: Option<Shown>,
    pub(crate) reason: Option<Shown>,
    #[serde(default)]
    pub(crate) subject_number: Option<String>,
    #[serde(default)]
    details: Value,
}

impl Entry {
    /// What the fact says beside its place and its values; what is long stays in the export.
    pub(crate) fn said(&self) -> String {
        let details = self.details.as_object().into_iter().flatten();
        let short = details.filter_map(|(name, value)| match value {
            Value::String(text) if text.len() <= 40 => Some(format!("{name} {text}")),
            Value::Number(_) | Value::Bool(_) => Some(format!("{name} {value}")),
            _ => None,
        });
        short.take(4).collect::<Vec<_>>().join(" · ")
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct FormKey {
    pub(crate) visit: String,
    pub(crate) visit_repeat: u64,
    pub(crate) form: String,
    pub(crate) form_repeat: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ItemKey {
    pub(crate) group: String,
    pub(crate) group_repeat: u64,
    pub(crate) item: String,
}

/// An erasure.
#[derive(Debug, Deserialize)]
pub(crate) struct Erasure {
    pub(crate) erasure: String,
    pub(crate) study: String,
    pub(crate) participant: String,
    pub(crate) phase: String,
    pub(crate) open: bool,
    pub(crate) justification: String,
    pub(crate) requested: Vec<String>,
    pub(crate) requested_values: Vec<OneValue>,
    pub(crate) requested_by: String,
    pub(crate) granted: Vec<String>,
    pub(crate) granted_values: Vec<OneValue>,
    pub(crate) refused: Vec<Kept>,
    pub(crate) approved_by: Option<String>,
    pub(crate) instruction: Option<String>,
    pub(crate) key_tree_copies: String,
    pub(crate) single_copy_accepted: bool,
    pub(crate) waiting_for: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) destroyed: Option<Destroyed>,
    pub(crate) probed: Option<u64>,
    pub(crate) certificate: Option<String>,
    pub(crate) tell: Vec<Recipient>,
    pub(crate) reason: Option<Shown>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OneValue {
    pub(crate) scope: String,
    pub(crate) part: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Kept {
    pub(crate) scope: String,
    pub(crate) part: Option<String>,
    pub(crate) ground: String,
    pub(crate) rule: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) after: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) phase: String,
    pub(crate) act: Act,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Destroyed {
    pub(crate) keys: u64,
    pub(crate) root_before: u64,
    pub(crate) root_after: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Recipient {
    pub(crate) recipient: String,
}

/// What an erasure touches.
#[derive(Debug, Deserialize)]
pub(crate) struct Impact {
    pub(crate) streams: Vec<StreamTouched>,
    pub(crate) keys: u64,
    pub(crate) read_models: Vec<ModelTouched>,
    pub(crate) exports: Vec<ExportTouched>,
    pub(crate) recipients: Vec<String>,
}

impl Impact {
    /// How many exports are held here.
    pub(crate) fn held(&self) -> u64 {
        self.exports.iter().filter(|export| export.held).count() as u64
    }

    /// How many there are.
    pub(crate) fn exported(&self) -> u64 {
        self.exports.len() as u64
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamTouched {
    pub(crate) stream: String,
    pub(crate) commits: u64,
    pub(crate) values_gone: u64,
    pub(crate) values_kept: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ModelTouched {
    pub(crate) model: String,
    pub(crate) rows: u64,
    pub(crate) cells_gone: u64,
    pub(crate) cells_kept: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ExportTouched {
    pub(crate) held: bool,
}

/// A hold in force.
#[derive(Debug, Deserialize)]
pub(crate) struct Hold {
    pub(crate) hold: String,
    pub(crate) participant: String,
    pub(crate) authority: String,
    pub(crate) review_on: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) placed: Act,
}

/// A restriction in force.
#[derive(Debug, Deserialize)]
pub(crate) struct Restriction {
    pub(crate) participant: String,
    pub(crate) ground: String,
    pub(crate) placed: Act,
}

/// A session that is not over.
#[derive(Debug, Deserialize)]
pub(crate) struct Session {
    pub(crate) session: String,
    pub(crate) begun_at: String,
    pub(crate) last_used_at: String,
    pub(crate) expires_at: String,
    pub(crate) this: bool,
}

/// A passkey of one's own.
#[derive(Debug, Deserialize)]
pub(crate) struct Passkey {
    pub(crate) passkey: String,
    name: Option<String>,
    pub(crate) added_at: String,
    used_at: Option<String>,
}

impl Passkey {
    /// What its holder calls it.
    pub(crate) fn called(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// When it was used last, if it was.
    pub(crate) fn used_last(&self) -> &str {
        self.used_at.as_deref().unwrap_or_default()
    }
}

/// Somebody with an account or a token.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) user: String,
    pub(crate) kind: String,
    pub(crate) name: Option<Shown>,
    pub(crate) login: Option<Shown>,
    pub(crate) opened: bool,
    pub(crate) link_until: Option<String>,
    pub(crate) rights: Vec<Right>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Right {
    pub(crate) right: String,
    pub(crate) role: String,
    pub(crate) environment: String,
    pub(crate) sites: Value,
    #[serde(default)]
    pub(crate) expires_at: Option<String>,
    #[serde(default)]
    pub(crate) given_at: Option<String>,
    #[serde(default)]
    pub(crate) used_at: Option<String>,
}

impl Right {
    /// The sites, or nothing for all of them.
    pub(crate) fn only(&self) -> String {
        let sites = self.sites.get("only").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        sites.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Figures of a study.
pub(crate) mod figures {
    use serde::Deserialize;

    #[derive(Debug, Default, Clone, Copy, Deserialize)]
    #[serde(default)]
    pub(crate) struct Funnel {
        pub(crate) screened: u64,
        pub(crate) failed: u64,
        pub(crate) consented: u64,
        pub(crate) enrolled: u64,
        pub(crate) randomised: u64,
        pub(crate) completed: u64,
        pub(crate) withdrawn: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Enrolment {
        pub(crate) as_of: AsOf,
        pub(crate) target: u64,
        pub(crate) total: Funnel,
        pub(crate) sites: Vec<SiteEnrolment>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct AsOf {
        pub(crate) time: String,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct SiteEnrolment {
        pub(crate) site: String,
        pub(crate) target: Option<Target>,
        pub(crate) total: Funnel,
        pub(crate) weeks: Vec<Week>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Target {
        pub(crate) participants: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Week {
        pub(crate) week: String,
        pub(crate) counts: Funnel,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct BySite<T> {
        pub(crate) total: T,
        #[serde(default = "Vec::new")]
        pub(crate) sites: Vec<Of<T>>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Of<T> {
        pub(crate) site: String,
        #[serde(flatten)]
        pub(crate) counts: T,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Forms {
        pub(crate) expected: u64,
        pub(crate) complete: u64,
        pub(crate) in_progress: u64,
        pub(crate) not_started: u64,
        pub(crate) missing_items: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Queries {
        pub(crate) open: u64,
        pub(crate) answered: u64,
        pub(crate) closed: u64,
        pub(crate) ages: Ages,
        pub(crate) median_response_hours: Option<f64>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Ages {
        #[serde(rename = "0-7")]
        pub(crate) week: u64,
        #[serde(rename = "8-14")]
        pub(crate) fortnight: u64,
        #[serde(rename = "15-30")]
        pub(crate) month: u64,
        #[serde(rename = "over-30")]
        pub(crate) older: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Verification {
        pub(crate) required: u64,
        pub(crate) verified: u64,
        pub(crate) backlog: u64,
        pub(crate) to_verify_again: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Visits {
        pub(crate) upcoming: u64,
        pub(crate) due: u64,
        pub(crate) overdue: u64,
        pub(crate) in_window: u64,
        pub(crate) out_of_window: u64,
        pub(crate) missed: u64,
        pub(crate) undated: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Signatures {
        pub(crate) to_sign: u64,
        pub(crate) signed: u64,
        pub(crate) to_sign_again: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Readiness {
        pub(crate) participants: u64,
        pub(crate) ready: u64,
        pub(crate) by_kind: std::collections::BTreeMap<String, u64>,
    }
}

/// Counts for those who see no figures.
#[derive(Debug, Deserialize)]
pub(crate) struct Overview {
    pub(crate) total: Counts,
    pub(crate) sites: Vec<SiteCounts>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Counts {
    pub(crate) registered: u64,
    pub(crate) consented: u64,
    pub(crate) withdrawn: u64,
    pub(crate) erased: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SiteCounts {
    pub(crate) site: String,
    pub(crate) total: Counts,
}
