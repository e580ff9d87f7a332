//! Conditions, methods and the expressions in them: kept as they stand, in whatever language.

use std::io::BufRead;

use domain::design::expression::is_executed;
use domain::design::{Expression, ExpressionDef, Labels};
use exchange::odm::metadata::alias;

use super::{Aliases, Draft, Kind};
use crate::odm::design::File;
use crate::odm::error::{OdmError, shown};
use crate::odm::reader::Element;
use crate::odm::report::Severity;

impl Draft {
    pub(super) fn condition<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (expressions, labels, aliases) = self.expressions(file, element)?;
        if let Some(oid) = self.named(element, Kind::Condition) {
            self.original(&aliases, Kind::Condition, element);
            let name = Self::name_of(&aliases, element);
            self.design.conditions.push(ExpressionDef { oid, name, labels, expressions });
        }
        Ok(())
    }

    pub(super) fn method<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (expressions, labels, aliases) = self.expressions(file, element)?;
        if let Some(oid) = self.named(element, Kind::Method) {
            self.original(&aliases, Kind::Method, element);
            let name = Self::name_of(&aliases, element);
            self.design.methods.push(ExpressionDef { oid, name, labels, expressions });
        }
        Ok(())
    }

    fn expressions<R: BufRead>(
        &mut self,
        file: &mut File<R>,
        of: &Element,
    ) -> Result<(Vec<Expression>, Labels, Aliases), OdmError> {
        let (mut expressions, mut labels, mut aliases) = (Vec::new(), Labels::new(), Aliases::default());
        while let Some(element) = file.xml.child(of)? {
            match element.name.as_str() {
                "FormalExpression" => expressions.push(self.expression(file, &element, of)?),
                "Alias" => aliases.take(file, &element, of),
                "Description" => labels = file.labels(&element)?,
                // ODM demands it, and it says nothing that is carried out.
                "MethodSignature" => {}
                _ => file.not_kept.inside(&of.name, &element),
            }
        }
        let expressions = self.json(&aliases, alias::EXPRESSIONS, of).unwrap_or(expressions);
        // ODM demands a description: one that repeats the name in no language stands for none.
        if labels.len() == 1 && labels.get("").map(String::as_str) == of.attribute("Name") {
            labels.clear();
        }
        let labels = self.labels_of(&aliases, labels, of);
        Ok((expressions, labels, aliases))
    }

    /// One expression, kept as it stands. That of a context which is not ours is reported: nobody carries it out.
    pub(in crate::odm) fn expression<R: BufRead>(
        &mut self,
        file: &mut File<R>,
        element: &Element,
        of: &Element,
    ) -> Result<Expression, OdmError> {
        let context = element.attribute("Context").unwrap_or_default().to_owned();
        let text = file.xml.text(element)?;
        if !is_executed(&context) {
            let what = format!("its expression in the context \"{}\" is kept, not executed", shown(&context));
            let at = (element.at, of.name.as_str(), of.attribute("OID"));
            self.report.add(Severity::Note, at, "expression-not-executed", what);
        }
        Ok(Expression { context, text })
    }
}
