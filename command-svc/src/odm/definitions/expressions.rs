//! Conditions, methods and the expressions in them: kept as they stand, in whatever language.

use std::io::BufRead;

use domain::design::{Expression, ExpressionDef};

use super::{Draft, Kind, name};
use crate::odm::design::File;
use crate::odm::error::{OdmError, shown};
use crate::odm::reader::Element;
use crate::odm::report::Severity;

impl Draft {
    pub(super) fn condition<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let expressions = self.expressions(file, element)?;
        if let Some(oid) = self.named(element, Kind::Condition) {
            self.design.conditions.push(ExpressionDef { oid, name: name(element), expressions });
        }
        Ok(())
    }

    pub(super) fn method<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let expressions = self.expressions(file, element)?;
        if let Some(oid) = self.named(element, Kind::Method) {
            self.design.methods.push(ExpressionDef { oid, name: name(element), expressions });
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
    pub(in crate::odm) fn expression<R: BufRead>(
        &mut self,
        file: &mut File<R>,
        element: &Element,
        of: &Element,
    ) -> Result<Expression, OdmError> {
        let context = element.attribute("Context").unwrap_or_default().to_owned();
        let text = file.xml.text(element)?;
        let what = format!("its expression in the context \"{}\" is kept, not executed", shown(&context));
        let at = (element.at, of.name.as_str(), of.attribute("OID"));
        self.report.add(Severity::Note, at, "expression-not-executed", what);
        Ok(Expression { context, text })
    }
}
