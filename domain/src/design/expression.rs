//! The language of edit checks, computations and skip conditions: a small part of CEL. `docs/expressions.md` is its
//! reference, ADR 0018 says why it is this one.
//!
//! An expression is parsed and typed against its design ([`StudyDesign::compile`]): what does not fit is a fault of the
//! design, not of the data. What it reads is written out in it ([`Read`]), so that a change of one value finds every
//! expression that looks at it. To evaluate it, each read is replaced by what stands there; a read that finds nothing
//! makes the whole not evaluable, unless the rest decides without it.

use std::collections::BTreeSet;

use cel::common::ast::{Expr, IdedExpr};

use super::{DataType, StudyDesign};
use crate::ids::Oid;

mod faults;
mod run;
mod types;

pub use run::{Answer, Outcome, Seen};
pub use types::Type;

/// The longest expression, in bytes.
pub const LENGTH_MAX: usize = 2000;

/// How deep an expression may be nested.
pub const DEPTH_MAX: usize = 32;

/// How many operators, values and calls an expression may have.
pub const NODES_MAX: usize = 400;

/// What an expression reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// An item of the same form: in the same occurrence of its group, or in the first of another group.
    Item(Oid),
    /// An item of the first occurrence of a form of a visit.
    At {
        /// The visit.
        visit: Oid,
        /// The form.
        form: Oid,
        /// The item.
        item: Oid,
    },
    /// The day of a visit; none: of the visit of this form.
    VisitDate(Option<Oid>),
    /// The item itself at which a check stands.
    Value,
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Here<'a> {
    /// Its form, if it stands on one only.
    pub form: Option<&'a Oid>,
    /// Its item, if it is about one: what `value` is.
    pub item: Option<&'a Oid>,
}

/// An expression that fits its design.
#[derive(Debug, Clone)]
pub struct Compiled {
    tree: IdedExpr,
    /// Everything that it reads, whether or not each evaluation comes to it.
    pub reads: BTreeSet<Read>,
    /// What comes out.
    pub result: Type,
}

/// Whether expressions of this context are carried out; others are kept as they are.
pub fn is_executed(context: &str) -> bool {
    matches!(context.to_ascii_lowercase().as_str(), "lethe" | "cel")
}

impl StudyDesign {
    /// Parses an expression and checks it against the design; otherwise what is wrong with it.
    pub fn compile(&self, text: &str, here: Here<'_>) -> Result<Compiled, String> {
        let tree = parse(text)?;
        let mut typing = types::Typing { design: self, here, reads: BTreeSet::new(), nodes: 0 };
        let result = typing.of(&tree, 0)?;
        Ok(Compiled { tree, reads: typing.reads, result })
    }

    /// What kind of value an item has in expressions.
    pub(crate) fn type_of(&self, item: &Oid) -> Option<Type> {
        self.item(item).map(|item| match item.data_type {
            DataType::Integer | DataType::Decimal => Type::Number,
            DataType::Boolean => Type::Truth,
            DataType::Text
            | DataType::Date
            | DataType::PartialDate
            | DataType::Time
            | DataType::DateTime
            | DataType::File => Type::Text,
        })
    }
}

fn parse(text: &str) -> Result<IdedExpr, String> {
    if text.len() > LENGTH_MAX {
        return Err(format!("an expression has at most {LENGTH_MAX} bytes"));
    }
    if !text.chars().all(|c| (c.is_ascii() && !c.is_ascii_control()) || matches!(c, '\n' | '\r' | '\t')) {
        return Err("an expression is plain ASCII text: compare with codes, not with labels".to_owned());
    }
    if nesting(text) > DEPTH_MAX {
        return Err(format!("an expression is nested at most {DEPTH_MAX} deep"));
    }
    let parser = cel::parser::PrattParser::new()
        .max_recursion_depth(DEPTH_MAX as u16)
        .error_recovery_limit(0)
        .max_expression_node_count(4 * NODES_MAX);
    parser.parse(text).map_err(|errors| {
        // The one without a place only says that there are others.
        let first = errors
            .errors
            .iter()
            .max_by_key(|error| error.pos.0 > 0)
            .map(|error| (error.pos.0.max(1), error.pos.1.max(1), error.msg.clone()));
        let (line, column, what) = first.unwrap_or((1, 1, "it cannot be read".to_owned()));
        format!("line {line}, column {column}: {what}")
    })
}

/// An upper bound for the depth to which a parser would go: brackets, and signs in a row.
fn nesting(text: &str) -> usize {
    let (mut open, mut signs, mut deepest) = (0_usize, 0_usize, 0_usize);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' | '?' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        match c {
            '!' | '-' => signs += 1,
            c if c.is_ascii_whitespace() => {}
            _ => signs = 0,
        }
        deepest = deepest.max(open + signs);
    }
    deepest
}

/// The text of a literal.
fn literal(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(cel::common::ast::LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// What a node reads, if it is a read: `value`, or one of the calls with literal OIDs.
fn read(expr: &IdedExpr) -> Option<Result<Read, String>> {
    match &expr.expr {
        Expr::Ident(name) if name == "value" => Some(Ok(Read::Value)),
        Expr::Call(call) if call.target.is_none() => {
            let wrong = |how: &str| Err(format!("{} takes {how}", call.func_name));
            let oids: Option<Vec<Oid>> = call.args.iter().map(|arg| literal(arg)?.parse().ok()).collect();
            match (call.func_name.as_str(), oids.as_deref()) {
                ("item", Some([item])) => Some(Ok(Read::Item(item.clone()))),
                ("item", _) => Some(wrong("one OID in quotes")),
                ("at", Some([visit, form, item])) => {
                    Some(Ok(Read::At { visit: visit.clone(), form: form.clone(), item: item.clone() }))
                }
                ("at", _) => Some(wrong("three OIDs in quotes: visit, form, item")),
                ("visit_date", Some([])) => Some(Ok(Read::VisitDate(None))),
                ("visit_date", Some([visit])) => Some(Ok(Read::VisitDate(Some(visit.clone())))),
                ("visit_date", _) => Some(wrong("nothing, or the OID of a visit in quotes")),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
