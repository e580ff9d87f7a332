//! What kinds of values there are, and which operator and function takes which.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators as op};

use super::{DEPTH_MAX, Here, NODES_MAX, Read, read};
use crate::design::StudyDesign;
use crate::ids::Oid;

/// What kind of value an expression comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A number. There is one kind only, so that 1/2 is a half.
    Number,
    /// A text; dates and times too, as they are written.
    Text,
    /// True or false.
    Truth,
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Truth => "true or false",
        })
    }
}

use Type::{Number, Text, Truth};

pub(super) struct Typing<'a> {
    pub design: &'a StudyDesign,
    pub here: Here<'a>,
    pub reads: BTreeSet<Read>,
    pub nodes: usize,
}

impl Typing<'_> {
    pub(super) fn of(&mut self, expr: &IdedExpr, depth: usize) -> Result<Type, String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("an expression has at most {NODES_MAX} operators, values and calls"));
        }
        // Operators of one kind in a row lean to one side: each is a level, and none is a nesting that one sees.
        if depth > 4 * DEPTH_MAX {
            return Err(format!("an expression has at most {} operators in a row", 4 * DEPTH_MAX));
        }
        if let Some(read) = read(expr) {
            return self.read(read?);
        }
        match &expr.expr {
            Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_)) => Ok(Number),
            Expr::Literal(LiteralValue::String(_)) => Ok(Text),
            Expr::Literal(LiteralValue::Boolean(_)) => Ok(Truth),
            Expr::Literal(LiteralValue::Null | LiteralValue::Bytes(_)) => {
                Err("there is no null and no bytes: ask known(…)".to_owned())
            }
            Expr::Call(call) if call.target.is_none() => self.call(call, depth),
            Expr::Call(call) => self.method(call, depth),
            Expr::Ident(name) => Err(format!("there is no variable {name}: write item(\"{name}\")")),
            Expr::List(_) => Err("a list stands only after in".to_owned()),
            Expr::Comprehension(_) => Err("there are no loops: no all, exists, map, filter".to_owned()),
            Expr::Select(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err("there are no fields, maps and structures".to_owned())
            }
        }
    }

    fn read(&mut self, read: Read) -> Result<Type, String> {
        let kind = match &read {
            Read::Item(item) => {
                let there = self.here.form.is_none_or(|form| self.stands_on(form, item));
                let kind = self.design.type_of(item).filter(|_| there);
                kind.ok_or_else(|| format!("reads the item {item}, which is not there"))?
            }
            Read::At { visit, form, item } => {
                let visits =
                    self.design.visit(visit).is_some_and(|visit| visit.forms.iter().any(|one| one.oid == *form));
                let kind = self.design.type_of(item).filter(|_| visits && self.stands_on(form, item));
                kind.ok_or_else(|| format!("reads {item} of form {form} at visit {visit}, which is not there"))?
            }
            Read::VisitDate(None) => Text,
            Read::VisitDate(Some(visit)) if self.design.visit(visit).is_some() => Text,
            Read::VisitDate(Some(visit)) => return Err(format!("reads the day of visit {visit}, which is not there")),
            Read::Value => {
                let kind = self.here.item.and_then(|item| self.design.type_of(item));
                kind.ok_or("value is an item's own: here it stands at none")?
            }
        };
        self.reads.insert(read);
        Ok(kind)
    }

    fn stands_on(&self, form: &Oid, item: &Oid) -> bool {
        let groups = self.design.form(form).into_iter().flat_map(|form| &form.item_groups);
        groups
            .filter_map(|group| self.design.item_group(&group.oid))
            .any(|group| group.items.iter().any(|one| one.oid == *item))
    }

    fn all(&mut self, args: &[IdedExpr], depth: usize) -> Result<Vec<Type>, String> {
        args.iter().map(|arg| self.of(arg, depth + 1)).collect()
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Result<Type, String> {
        let name = call.func_name.as_str();
        if matches!(name, "known" | "not_done") {
            return self.asks(call, depth);
        }
        if name == op::IN {
            return self.is_in(call, depth);
        }
        let types = self.all(&call.args, depth)?;
        match (name, types.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR, [Truth, Truth]) | (op::LOGICAL_NOT, [Truth]) => Ok(Truth),
            (op::CONDITIONAL, [Truth, a, b]) if a == b => Ok(a.clone()),
            (op::EQUALS | op::NOT_EQUALS, [a, b]) if a == b => Ok(Truth),
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [Number, Number] | [Text, Text]) => {
                Ok(Truth)
            }
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE, [Number, Number]) | (op::NEGATE, [Number]) => {
                Ok(Number)
            }
            (op::ADD, [Text, Text]) => Ok(Text),
            ("days" | "years", [Text, Text]) | ("round", [Number, Number]) | ("abs", [Number]) => Ok(Number),
            ("min" | "max", [Number, Number]) | ("length", [Text]) | ("number", [Text]) => Ok(Number),
            (_, types) => {
                let types: Vec<_> = types.iter().map(ToString::to_string).collect();
                Err(format!(
                    "{} does not take {}",
                    shown(name),
                    if types.is_empty() { "nothing".into() } else { types.join(" and ") }
                ))
            }
        }
    }

    /// `known(…)` and `not_done(…)` ask about a place, not about a value.
    fn asks(&mut self, call: &CallExpr, depth: usize) -> Result<Type, String> {
        match call.args.as_slice() {
            [place] if read(place).is_some() => self.of(place, depth + 1).map(|_| Truth),
            _ => Err(format!("{} takes item(…), at(…), visit_date(…) or value", call.func_name)),
        }
    }

    fn is_in(&mut self, call: &CallExpr, depth: usize) -> Result<Type, String> {
        let [one, list] = call.args.as_slice() else { return Err("in takes a value and a list".to_owned()) };
        let Expr::List(list) = &list.expr else { return Err("after in stands a list such as [1, 2]".to_owned()) };
        let kind = self.of(one, depth + 1)?;
        match self.all(&list.elements, depth)?.iter().all(|element| *element == kind) {
            true => Ok(Truth),
            false => Err(format!("the list after in holds other things than {kind}")),
        }
    }

    fn method(&mut self, call: &CallExpr, depth: usize) -> Result<Type, String> {
        let target = match &call.target {
            Some(target) => self.of(target, depth + 1)?,
            None => return Err(format!("{} is called on nothing", call.func_name)),
        };
        let types = self.all(&call.args, depth)?;
        match (call.func_name.as_str(), &target, types.as_slice()) {
            ("startsWith" | "endsWith" | "contains", Text, [Text]) => Ok(Truth),
            (name, target, _) => Err(format!("there is no {name} of {target}")),
        }
    }
}

/// `_+_` → `+`.
fn shown(name: &str) -> String {
    match name {
        op::CONDITIONAL => "? :".to_owned(),
        name => name.replace('_', ""),
    }
}
