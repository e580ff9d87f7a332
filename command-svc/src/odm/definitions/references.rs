//! What is defined, and who refers to it: a target may be defined later in the file.

use domain::ids::Oid;

use super::Draft;
use crate::odm::error::Place;
use crate::odm::limits::Mode;
use crate::odm::reader::Element;
use crate::odm::report::Severity;

/// What an OID names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::odm) enum Kind {
    Visit,
    Form,
    ItemGroup,
    Item,
    CodeList,
    Unit,
    Condition,
    Method,
    /// The one of the version; it has no OID.
    Protocol,
}

/// A reference whose target may be defined later in the file.
pub(super) struct Pending {
    at: Place,
    element: String,
    kind: Kind,
    oid: String,
}

impl Draft {
    /// The OID of something that is defined here for the first time.
    pub(in crate::odm) fn defines(&mut self, element: &Element, kind: Kind) -> Option<Oid> {
        let oid = self.oid(element, "OID")?;
        self.is_new(element, kind, oid.as_str()).then_some(oid)
    }

    /// The same, where the domain takes any text for an OID.
    pub(super) fn named(&mut self, element: &Element, kind: Kind) -> Option<String> {
        let Some(oid) = element.attribute("OID").filter(|oid| !oid.is_empty()) else {
            self.fault(element, "no-oid", "it has no OID");
            return None;
        };
        self.is_new(element, kind, oid).then(|| oid.to_owned())
    }

    fn is_new(&mut self, element: &Element, kind: Kind, oid: &str) -> bool {
        let key = (kind, oid.to_owned());
        let new = !self.defined.contains_key(&key);
        if new {
            self.defined.insert(key, (element.at, element.name.clone()));
        } else {
            self.report.add(Severity::Refused, (element.at, &element.name, Some(oid)), "twice", "it is defined twice");
        }
        new
    }

    pub(in crate::odm) fn oid(&mut self, element: &Element, attribute: &str) -> Option<Oid> {
        match element.attribute(attribute).unwrap_or_default() {
            "" => {
                self.fault(element, "no-oid", format!("it has no {attribute}"));
                None
            }
            text => match text.parse() {
                Ok(oid) => Some(oid),
                Err(invalid) => {
                    self.fault(element, "bad-oid", format!("its {attribute} is {invalid}"));
                    None
                }
            },
        }
    }

    pub(in crate::odm) fn refers(&mut self, element: &Element, kind: Kind, oid: &str) {
        self.pending.push(Pending { at: element.at, element: element.name.clone(), kind, oid: oid.to_owned() });
    }

    pub(in crate::odm) fn optional(&mut self, element: &Element, attribute: &str, kind: Kind) -> Option<String> {
        let oid = element.attribute(attribute).filter(|oid| !oid.is_empty())?;
        self.refers(element, kind, oid);
        Some(oid.to_owned())
    }

    /// What is referred to must be there. Without a unit, condition or method the rest can be used: a lenient reading
    /// leaves the reference out.
    pub(in crate::odm) fn check_references(&mut self, mode: Mode) {
        for pending in std::mem::take(&mut self.pending) {
            let there = match pending.kind {
                Kind::Unit => self.design.units.contains_key(&pending.oid),
                kind => self.defined.contains_key(&(kind, pending.oid.clone())),
            };
            let severity = match pending.kind {
                Kind::Unit | Kind::Condition | Kind::Method if mode == Mode::Lenient => Severity::Warning,
                _ => Severity::Refused,
            };
            if !there {
                let at = (pending.at, pending.element.as_str(), Some(pending.oid.as_str()));
                let what = match severity {
                    Severity::Refused => "what it refers to is not defined in the file",
                    _ => "what it refers to is not defined in the file: the reference is left out",
                };
                self.report.add(severity, at, "dangling", what);
            }
        }
    }
}
