//! Code lists: our own, and those that are kept elsewhere.

use std::collections::BTreeSet;
use std::io::BufRead;

use domain::design::{Code, CodeListDef, Labels};
use domain::scope::Scope;
use exchange::odm::flags;
use exchange::odm::metadata::{UNITS, alias};

use super::{Aliases, Draft, Kind, in_order, number};
use crate::odm::design::File;
use crate::odm::error::{OdmError, shown};
use crate::odm::reader::Element;

impl Draft {
    pub(super) fn code_list<R: BufRead>(&mut self, file: &mut File<R>, list: &Element) -> Result<(), OdmError> {
        let (mut codes, mut seen) = (Vec::new(), BTreeSet::new());
        let mut external = None;
        let mut aliases = Aliases::default();
        while let Some(element) = file.xml.child(list)? {
            match (element.name.as_str(), element.attribute("CodedValue")) {
                ("CodeListItem" | "EnumeratedItem", Some(value)) => {
                    if !seen.insert(value.to_owned()) {
                        let what = "its code stands in the list already: this one is left out";
                        self.warn(&element, list.attribute("OID"), "second-code", what);
                        continue;
                    }
                    let labels = self.decode(file, &element)?;
                    codes.push((number(&element, "OrderNumber"), Code { value: value.to_owned(), labels }));
                }
                ("Alias", _) => aliases.take(file, &element, list),
                ("Coding", _) if file.is_v2() => external = Some(element),
                ("ExternalCodeList", _) => external = Some(element),
                _ => file.not_kept.inside(&list.name, &element),
            }
        }
        let Some(oid) = self.named(list, Kind::CodeList) else {
            return Ok(());
        };
        if oid == UNITS {
            self.design.units = in_order(codes).into_iter().map(|code| (code.value, code.labels)).collect();
            return Ok(());
        }
        if oid.starts_with(flags::PREFIX) {
            return Ok(()); // what stands in annotations of data: not of the design
        }
        self.original(&aliases, Kind::CodeList, list);
        let empty = aliases.has(alias::EMPTY);
        if let Some(external) = external.filter(|_| codes.is_empty() && !empty) {
            let dictionary = external.attribute("Dictionary").or(external.attribute("SystemName"));
            let dictionary = shown(dictionary.unwrap_or("another system"));
            let what = format!("its codes are kept elsewhere ({dictionary}): values are not checked against them");
            self.warn(list, Some(&oid), "external-code-list", what);
            self.external_lists.insert(oid);
            return Ok(());
        }
        if codes.is_empty() && !empty {
            self.warn(list, Some(&oid), "empty-code-list", "it has no codes: no value fits it");
        }
        self.design.code_lists.push(CodeListDef { oid, name: Self::name_of(&aliases, list), codes: in_order(codes) });
        Ok(())
    }

    fn decode<R: BufRead>(&mut self, file: &mut File<R>, code: &Element) -> Result<Labels, OdmError> {
        let (mut labels, mut aliases) = (Labels::new(), Aliases::default());
        while let Some(element) = file.xml.child(code)? {
            match element.name.as_str() {
                "Alias" => aliases.take(file, &element, code),
                "Decode" | "Description" => labels.extend(file.labels(&element)?),
                _ => file.not_kept.inside(&code.name, &element),
            }
        }
        Ok(self.labels_of(&aliases, labels, code))
    }

    /// Items of a list that is kept elsewhere: coded, though nothing here knows the codes, so no free text.
    pub(in crate::odm) fn settle_external_lists(&mut self) {
        for item in &mut self.design.items {
            if item.code_list.as_ref().is_some_and(|list| self.external_lists.contains(list)) {
                item.code_list = None;
                item.scope = item.scope.or(Some(Scope::HealthClinical));
            }
        }
    }
}
