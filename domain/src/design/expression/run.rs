//! Evaluating an expression on what stands in a record.

use std::sync::{Arc, OnceLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::{CelBool, CelDouble, CelString};
use cel::{Context, Env, ExecutionError, Value};
use time::Date;

use super::{Compiled, Read, read};

/// What stands at a place.
#[derive(Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing was entered, or it was cleared.
    Missing,
    /// It was said that there is nothing to enter.
    NotDone,
    /// There was something, and an erasure took it.
    Erased,
    /// A value, as captured.
    Known(String),
}

/// Never prints the value.
impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "Missing",
            Self::NotDone => "NotDone",
            Self::Erased => "Erased",
            Self::Known(_) => "Known(…)",
        })
    }
}

/// What an expression comes to.
#[derive(Clone, PartialEq)]
pub enum Answer {
    /// True or false.
    Truth(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// Never prints the value: it follows from somebody's data.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer(…)")
    }
}

/// What came of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It has a value.
    Is(Answer),
    /// It has none, for something that it reads was not entered.
    Missing,
    /// It has none, for something that it reads is erased.
    Erased,
    /// It has none: a division by zero, days between what is no whole date, a number too long to compute with.
    Undefined,
}

impl Outcome {
    /// Whether it came out true; none if it has no value.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Is(Answer::Truth(truth)) => Some(*truth),
            _ => None,
        }
    }
}

/// More digits than this are not kept by the arithmetic.
const DIGITS_MAX: usize = 15;

/// A name that no expression can spell and no context knows: whoever comes to it has no value.
const NOTHING: &str = "@nothing";

impl Compiled {
    /// Evaluates it on what `look` finds.
    pub fn run(&self, look: &mut dyn FnMut(&Read) -> (Seen, super::Type)) -> Outcome {
        let mut found = Found { look, missing: false, erased: false };
        let tree = found.replace(&self.tree);
        let (missing, erased) = (found.missing, found.erased);
        match Value::resolve(&tree, context()) {
            Ok(Value::Bool(truth)) => Outcome::Is(Answer::Truth(truth)),
            Ok(Value::Float(number)) if number.is_finite() => Outcome::Is(Answer::Number(number)),
            Ok(Value::String(text)) => Outcome::Is(Answer::Text(text.to_string())),
            _ if erased => Outcome::Erased,
            _ if missing => Outcome::Missing,
            _ => Outcome::Undefined,
        }
    }
}

struct Found<'a> {
    look: &'a mut dyn FnMut(&Read) -> (Seen, super::Type),
    missing: bool,
    erased: bool,
}

impl Found<'_> {
    /// The tree with values in the place of reads, and with one kind of numbers.
    fn replace(&mut self, expr: &IdedExpr) -> IdedExpr {
        if let Some(Ok(read)) = read(expr) {
            return self.value(&read);
        }
        let replaced = match &expr.expr {
            Expr::Call(call) if matches!(call.func_name.as_str(), "known" | "not_done") => self.asks(call),
            Expr::Call(call) => Expr::Call(CallExpr {
                func_name: call.func_name.clone(),
                target: call.target.as_ref().map(|target| Box::new(self.replace(target))),
                args: call.args.iter().map(|arg| self.replace(arg)).collect(),
            }),
            Expr::List(list) => {
                let mut list = list.clone();
                list.elements = list.elements.iter().map(|element| self.replace(element)).collect();
                Expr::List(list)
            }
            Expr::Literal(LiteralValue::Int(number)) => float(*number.inner() as f64),
            Expr::Literal(LiteralValue::UInt(number)) => float(*number.inner() as f64),
            other => other.clone(),
        };
        IdedExpr { id: expr.id, expr: replaced }
    }

    fn value(&mut self, read: &Read) -> IdedExpr {
        let (seen, kind) = (self.look)(read);
        let expr = match seen {
            Seen::Known(text) => literal(text, &kind),
            Seen::Missing | Seen::NotDone => {
                self.missing = true;
                Expr::Ident(NOTHING.to_owned())
            }
            Seen::Erased => {
                self.erased = true;
                Expr::Ident(NOTHING.to_owned())
            }
        };
        IdedExpr { id: 0, expr }
    }

    /// Whether something is known must not turn with an erasure, so of an erased place it has no answer.
    fn asks(&mut self, call: &CallExpr) -> Expr {
        let Some(Ok(read)) = call.args.first().and_then(read) else { return Expr::Ident(NOTHING.to_owned()) };
        let (seen, _) = (self.look)(&read);
        match (call.func_name.as_str(), seen) {
            (_, Seen::Erased) => {
                self.erased = true;
                Expr::Ident(NOTHING.to_owned())
            }
            ("known", seen) => truth(matches!(seen, Seen::Known(_))),
            (_, seen) => truth(seen == Seen::NotDone),
        }
    }
}

fn literal(text: String, kind: &super::Type) -> Expr {
    match kind {
        super::Type::Text => Expr::Literal(LiteralValue::String(CelString::from(text))),
        super::Type::Truth => truth(matches!(text.as_str(), "true" | "1")),
        super::Type::Number => match parsed(&text) {
            Some(number) => float(number),
            None => Expr::Ident(NOTHING.to_owned()),
        },
    }
}

fn parsed(text: &str) -> Option<f64> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.parse().ok().filter(|_| digits <= DIGITS_MAX)
}

fn truth(truth: bool) -> Expr {
    Expr::Literal(LiteralValue::Boolean(CelBool::from(truth)))
}

fn float(number: f64) -> Expr {
    Expr::Literal(LiteralValue::Double(CelDouble::from(number)))
}

/// The functions of the language: they are the same for everybody and hold nothing.
fn context() -> &'static Context<'static, 'static> {
    static CONTEXT: OnceLock<Context<'static, 'static>> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let mut context = Context::with_env(Arc::new(Env::default().with_stdlib()));
        let added = [
            context.add_function("days", |from: Arc<String>, to: Arc<String>| {
                let (from, to) = (day("days", &from)?, day("days", &to)?);
                Ok::<f64, ExecutionError>((to - from).whole_days() as f64)
            }),
            context.add_function("years", |from: Arc<String>, to: Arc<String>| {
                Ok::<f64, ExecutionError>(f64::from(years(day("years", &from)?, day("years", &to)?)))
            }),
            context.add_function("round", round),
            context.add_function("abs", f64::abs),
            context.add_function("min", |a: f64, b: f64| a.min(b)),
            context.add_function("max", |a: f64, b: f64| a.max(b)),
            context.add_function("length", |text: Arc<String>| text.chars().count() as f64),
            context.add_function("number", |text: Arc<String>| {
                parsed(&text).ok_or_else(|| ExecutionError::function_error("number", "no number"))
            }),
        ];
        debug_assert!(added.iter().all(Result::is_ok), "each name is free");
        context
    })
}

/// A whole date, or the date of a date and time.
fn day(function: &str, text: &str) -> Result<Date, ExecutionError> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let date = text.split_once('T').map_or(text, |(date, _)| date);
    Date::parse(date, format).map_err(|_| ExecutionError::function_error(function, "no whole date"))
}

/// Birthdays between two days; who was born on 29 February has it on 1 March in other years.
fn years(from: Date, to: Date) -> i32 {
    let (early, late, sign) = if from <= to { (from, to, 1) } else { (to, from, -1) };
    let before = (late.month() as u8, late.day()) < (early.month() as u8, early.day());
    sign * (late.year() - early.year() - i32::from(before))
}

/// Halves go away from zero, as people round. The number is taken as it is written: 1.005 has no binary form, and
/// would otherwise become 1.
fn round(number: f64, digits: f64) -> Result<f64, ExecutionError> {
    if !(0.0..=10.0).contains(&digits) || digits.fract() != 0.0 {
        return Err(ExecutionError::function_error("round", "0 to 10 digits"));
    }
    let written = format!("{number:.*}", DIGITS_MAX.saturating_sub(whole_digits(number)));
    let wide: f64 = format!("{written}e{digits}").parse().unwrap_or(f64::NAN);
    format!("{}e-{digits}", wide.round()).parse().map_err(|_| ExecutionError::function_error("round", "too large"))
}

fn whole_digits(number: f64) -> usize {
    format!("{:.0}", number.abs().trunc()).len()
}
