//! One `MetaDataVersion`: the definitions of visits, forms, item groups, code lists, conditions and methods.
//! Items are in [`super::items`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use domain::design::{
    Code, CodeListDef, Expression, ExpressionDef, FormDef, ItemGroupDef, Labels, Ref, StudyDesign, VisitDef,
};
use domain::ids::Oid;

use super::design::File;
use super::error::{OdmError, Place, shown};
use super::reader::Element;
use super::report::{Report, Severity, Tally};

/// What an OID names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Visit,
    Form,
    ItemGroup,
    Item,
    CodeList,
    Unit,
    Condition,
    Method,
}

/// A reference whose target may be defined later in the file.
pub(super) struct Pending {
    at: Place,
    element: String,
    kind: Kind,
    oid: String,
}

/// A `MetaDataVersion` while it is read.
pub(super) struct Draft {
    pub(super) at: Place,
    pub(super) design: StudyDesign,
    pub(super) report: Report,
    pub(super) include: Option<Place>,
    pub(super) range_checks: Tally,
    pub(super) pending: Vec<Pending>,
    /// Lists that are kept elsewhere.
    pub(super) external_lists: BTreeSet<String>,
    defined: BTreeSet<(Kind, String)>,
    protocol: Vec<(Option<u32>, String)>,
}

pub(super) fn range_checks_say(_: &str) -> &'static str {
    "kept, not executed yet"
}

impl Draft {
    pub(super) fn read<R: BufRead>(file: &mut File<R>, version: &Element) -> Result<Self, OdmError> {
        let mut draft = Self {
            at: version.at,
            design: StudyDesign::default(),
            report: Report::default(),
            include: None,
            range_checks: Tally::default(),
            pending: Vec::new(),
            external_lists: BTreeSet::new(),
            defined: BTreeSet::new(),
            protocol: Vec::new(),
        };
        draft.design.version = version.attribute("OID").unwrap_or_default().to_owned();
        if draft.design.version.is_empty() {
            draft.fault(version, "no-oid", "it has no OID");
        }
        while let Some(element) = file.xml.child(version)? {
            match element.name.as_str() {
                "Include" => draft.include = Some(element.at),
                "Protocol" => draft.protocol(file, &element)?,
                "StudyEventDef" => draft.visit(file, &element)?,
                "FormDef" => draft.form(file, &element)?,
                "ItemGroupDef" => draft.item_group(file, &element)?,
                "ItemDef" => draft.item(file, &element)?,
                "CodeList" => draft.code_list(file, &element)?,
                "ConditionDef" => draft.condition(file, &element)?,
                "MethodDef" => draft.method(file, &element)?,
                _ => file.not_kept.inside(&version.name, &element),
            }
        }
        Ok(draft)
    }

    pub(super) fn version(&self) -> &str {
        &self.design.version
    }

    // --- visits, forms, item groups

    fn protocol<R: BufRead>(&mut self, file: &mut File<R>, protocol: &Element) -> Result<(), OdmError> {
        while let Some(element) = file.xml.child(protocol)? {
            match (element.name.as_str(), element.attribute("StudyEventOID")) {
                ("StudyEventRef", Some(oid)) => {
                    self.refers(&element, Kind::Visit, oid);
                    self.protocol.push((number(&element, "OrderNumber"), oid.to_owned()));
                    if element.attribute("CollectionExceptionConditionOID").is_some() {
                        file.not_kept.count(
                            "CollectionExceptionConditionOID in StudyEventRef",
                            element.at,
                            "not-kept",
                        );
                    }
                }
                _ => file.not_kept.inside(&protocol.name, &element),
            }
        }
        Ok(())
    }

    fn visit<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (labels, forms) = self.parts(file, element, ("FormRef", "FormOID", Kind::Form))?;
        if let Some(oid) = self.defines(element, Kind::Visit) {
            let visit = VisitDef {
                name: name(element),
                repeating: yes(element, "Repeating"),
                oid,
                labels,
                forms,
            };
            self.design.visits.push(visit);
        }
        Ok(())
    }

    fn form<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (labels, groups) = self.parts(file, element, ("ItemGroupRef", "ItemGroupOID", Kind::ItemGroup))?;
        if let Some(oid) = self.defines(element, Kind::Form) {
            let repeating = yes(element, "Repeating");
            self.design.forms.push(FormDef {
                name: name(element),
                repeating,
                oid,
                labels,
                item_groups: groups,
            });
        }
        Ok(())
    }

    fn item_group<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (labels, items) = self.parts(file, element, ("ItemRef", "ItemOID", Kind::Item))?;
        if let Some(oid) = self.defines(element, Kind::ItemGroup) {
            let group = ItemGroupDef {
                name: name(element),
                repeating: yes(element, "Repeating"),
                oid,
                labels,
                items,
            };
            self.design.item_groups.push(group);
        }
        Ok(())
    }

    /// The labels of a definition and what it is made of, in order.
    fn parts<R: BufRead>(
        &mut self,
        file: &mut File<R>,
        parent: &Element,
        (reference, attribute, kind): (&str, &str, Kind),
    ) -> Result<(Labels, Vec<Ref>), OdmError> {
        let mut labels = Labels::new();
        let mut parts: Vec<(Option<u32>, Ref)> = Vec::new();
        while let Some(element) = file.xml.child(parent)? {
            match element.name.as_str() {
                "Description" => labels = file.labels(&element)?,
                name if name == reference => {
                    let Some(oid) = self.oid(&element, attribute) else {
                        continue;
                    };
                    if parts.iter().any(|(_, part)| part.oid == oid) {
                        let what = "referred to twice here: the second time is left out";
                        self.warn(&element, Some(oid.as_str()), "twice", what);
                        continue;
                    }
                    self.refers(&element, kind, oid.as_str());
                    let skip_condition = self.optional(&element, "CollectionExceptionConditionOID", Kind::Condition);
                    let method = self.optional(&element, "MethodOID", Kind::Method);
                    let mandatory = yes(&element, "Mandatory");
                    parts.push((
                        number(&element, "OrderNumber"),
                        Ref {
                            oid,
                            mandatory,
                            skip_condition,
                            method,
                        },
                    ));
                }
                _ => file.not_kept.inside(&parent.name, &element),
            }
        }
        Ok((labels, in_order(parts)))
    }

    // --- code lists

    fn code_list<R: BufRead>(&mut self, file: &mut File<R>, list: &Element) -> Result<(), OdmError> {
        let mut codes = Vec::new();
        let mut external = None;
        while let Some(element) = file.xml.child(list)? {
            match (element.name.as_str(), element.attribute("CodedValue")) {
                ("CodeListItem" | "EnumeratedItem", Some(value)) => {
                    let labels = self.decode(file, &element)?;
                    codes.push((
                        number(&element, "OrderNumber"),
                        Code {
                            value: value.to_owned(),
                            labels,
                        },
                    ));
                }
                ("ExternalCodeList", _) => external = Some(element),
                _ => file.not_kept.inside(&list.name, &element),
            }
        }
        let Some(oid) = self.named(list, Kind::CodeList) else {
            return Ok(());
        };
        if let Some(external) = external.filter(|_| codes.is_empty()) {
            let dictionary = shown(external.attribute("Dictionary").unwrap_or("another system"));
            let what = format!("its codes are kept elsewhere ({dictionary}): values are not checked against them");
            self.warn(list, Some(&oid), "external-code-list", what);
            self.external_lists.insert(oid);
            return Ok(());
        }
        if codes.is_empty() {
            self.warn(list, Some(&oid), "empty-code-list", "it has no codes: no value fits it");
        }
        self.design.code_lists.push(CodeListDef {
            oid,
            name: name(list),
            codes: in_order(codes),
        });
        Ok(())
    }

    fn decode<R: BufRead>(&mut self, file: &mut File<R>, code: &Element) -> Result<Labels, OdmError> {
        let mut labels = Labels::new();
        while let Some(element) = file.xml.child(code)? {
            match element.name.as_str() {
                "Decode" | "Description" => labels.extend(file.labels(&element)?),
                _ => file.not_kept.inside(&code.name, &element),
            }
        }
        Ok(labels)
    }

    // --- expressions

    fn condition<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let expressions = self.expressions(file, element)?;
        if let Some(oid) = self.named(element, Kind::Condition) {
            self.design.conditions.push(ExpressionDef {
                oid,
                name: name(element),
                expressions,
            });
        }
        Ok(())
    }

    fn method<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let expressions = self.expressions(file, element)?;
        if let Some(oid) = self.named(element, Kind::Method) {
            self.design.methods.push(ExpressionDef {
                oid,
                name: name(element),
                expressions,
            });
        }
        Ok(())
    }

    fn expressions<R: BufRead>(&mut self, file: &mut File<R>, of: &Element) -> Result<Vec<Expression>, OdmError> {
        let mut expressions = Vec::new();
        while let Some(element) = file.xml.child(of)? {
            match element.name.as_str() {
                "FormalExpression" => expressions.push(self.expression(file, &element, of)?),
                _ => file.not_kept.inside(&of.name, &element),
            }
        }
        Ok(expressions)
    }

    /// One expression, kept as it stands. No context is executed yet, so each is reported.
    pub(super) fn expression<R: BufRead>(
        &mut self,
        file: &mut File<R>,
        element: &Element,
        of: &Element,
    ) -> Result<Expression, OdmError> {
        let context = element.attribute("Context").unwrap_or_default().to_owned();
        let text = file.xml.text(element)?;
        let what = format!(
            "its expression in the context \"{}\" is kept, not executed",
            shown(&context)
        );
        let at = (element.at, of.name.as_str(), of.attribute("OID"));
        self.report.add(Severity::Note, at, "expression-not-executed", what);
        Ok(Expression { context, text })
    }

    // --- OIDs

    /// The OID of something that is defined here for the first time.
    pub(super) fn defines(&mut self, element: &Element, kind: Kind) -> Option<Oid> {
        let oid = self.oid(element, "OID")?;
        self.is_new(element, kind, oid.as_str()).then_some(oid)
    }

    /// The same, where the domain takes any text for an OID.
    fn named(&mut self, element: &Element, kind: Kind) -> Option<String> {
        let Some(oid) = element.attribute("OID").filter(|oid| !oid.is_empty()) else {
            self.fault(element, "no-oid", "it has no OID");
            return None;
        };
        self.is_new(element, kind, oid).then(|| oid.to_owned())
    }

    fn is_new(&mut self, element: &Element, kind: Kind, oid: &str) -> bool {
        let new = self.defined.insert((kind, oid.to_owned()));
        if !new {
            self.report.add(
                Severity::Refused,
                (element.at, &element.name, Some(oid)),
                "twice",
                "it is defined twice",
            );
        }
        new
    }

    pub(super) fn oid(&mut self, element: &Element, attribute: &str) -> Option<Oid> {
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

    pub(super) fn refers(&mut self, element: &Element, kind: Kind, oid: &str) {
        self.pending.push(Pending {
            at: element.at,
            element: element.name.clone(),
            kind,
            oid: oid.to_owned(),
        });
    }

    pub(super) fn optional(&mut self, element: &Element, attribute: &str, kind: Kind) -> Option<String> {
        let oid = element.attribute(attribute).filter(|oid| !oid.is_empty())?;
        self.refers(element, kind, oid);
        Some(oid.to_owned())
    }

    /// What is referred to must be there; for what is not executed yet, a warning will do.
    pub(super) fn check_references(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let there = match pending.kind {
                Kind::Unit => self.design.units.contains_key(&pending.oid),
                kind => self.defined.contains(&(kind, pending.oid.clone())),
            };
            let severity = match pending.kind {
                Kind::Unit | Kind::Condition | Kind::Method => Severity::Warning,
                Kind::Visit | Kind::Form | Kind::ItemGroup | Kind::Item | Kind::CodeList => Severity::Refused,
            };
            if !there {
                let at = (pending.at, pending.element.as_str(), Some(pending.oid.as_str()));
                self.report
                    .add(severity, at, "dangling", "what it refers to is not defined in the file");
            }
        }
    }

    /// Visits in protocol order; those that the protocol does not name come last.
    pub(super) fn sort_visits(&mut self) {
        let order = in_order(std::mem::take(&mut self.protocol));
        let rank: BTreeMap<&str, usize> = order.iter().enumerate().map(|(n, oid)| (oid.as_str(), n)).collect();
        if rank.is_empty() {
            return;
        }
        self.design
            .visits
            .sort_by_key(|visit| rank.get(visit.oid.as_str()).copied().unwrap_or(usize::MAX));
        for visit in self
            .design
            .visits
            .iter()
            .filter(|visit| !rank.contains_key(visit.oid.as_str()))
        {
            let at = (self.at, "StudyEventDef", Some(visit.oid.as_str()));
            self.report.add(
                Severity::Note,
                at,
                "not-in-protocol",
                "the protocol does not name it: it comes last",
            );
        }
    }

    // --- rows

    pub(super) fn fault(&mut self, element: &Element, rule: &'static str, what: impl Into<String>) {
        // An OID that does not fit may be anything, so it is not repeated.
        self.report
            .add(Severity::Refused, (element.at, &element.name, None), rule, what);
    }

    pub(super) fn warn(&mut self, element: &Element, oid: Option<&str>, rule: &'static str, what: impl Into<String>) {
        self.report
            .add(Severity::Warning, (element.at, &element.name, oid), rule, what);
    }
}

/// By order number; what has none comes last, as it stands.
fn in_order<T>(mut things: Vec<(Option<u32>, T)>) -> Vec<T> {
    things.sort_by_key(|(order, _)| order.unwrap_or(u32::MAX));
    things.into_iter().map(|(_, thing)| thing).collect()
}

pub(super) fn name(element: &Element) -> String {
    element
        .attribute("Name")
        .or(element.attribute("OID"))
        .unwrap_or_default()
        .to_owned()
}

pub(super) fn yes(element: &Element, attribute: &str) -> bool {
    element.attribute(attribute) == Some("Yes")
}

pub(super) fn number(element: &Element, attribute: &str) -> Option<u32> {
    element.attribute(attribute)?.trim().parse().ok()
}
