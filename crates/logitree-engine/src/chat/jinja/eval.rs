//! Evaluates expressions.

use super::ast::{Args, Comparison, Expr};
use super::fault::{Outcome, failed};
use super::ops;
use super::run::{Call, Run};
use super::text::{push, with_str};
use super::value::{Dict, VALUE, Value};
use std::cmp::Ordering;
use std::rc::Rc;

impl Run {
    /// Computes the value of an expression.
    pub fn eval(&mut self, expr: &Expr) -> Outcome<Value> {
        self.deeper(|run| match expr {
            Expr::None => Ok(Value::None),
            Expr::Bool(b) => Ok(Value::Bool(*b)),
            Expr::Int(i) => Ok(Value::Int(*i)),
            Expr::Float(x) => Ok(Value::Float(*x)),
            Expr::Str(text) => Ok(Value::Str(text.clone())),
            Expr::Name(name) => run.lookup(name),
            Expr::List(items) => Value::list(run.eval_all(items)?),
            Expr::Tuple(items) => Value::tuple(run.eval_all(items)?),
            Expr::Dict(entries) => run.eval_dict(entries),
            Expr::Concat(parts) => run.eval_concat(parts),
            Expr::Binary(op, left, right) => {
                let (left, right) = (run.eval(left)?, run.eval(right)?);
                run.binary(*op, &left, &right)
            }
            Expr::And(left, right) => {
                let left = run.eval(left)?;
                if left.is_true() { run.eval(right) } else { Ok(left) }
            }
            Expr::Or(left, right) => {
                let left = run.eval(left)?;
                if left.is_true() { Ok(left) } else { run.eval(right) }
            }
            Expr::Not(inner) => Ok(Value::Bool(!run.eval(inner)?.is_true())),
            Expr::Negative(inner) => ops::negative(&run.eval(inner)?),
            Expr::Positive(inner) => ops::positive(&run.eval(inner)?),
            Expr::Compare(left, chain) => run.eval_compare(left, chain),
            Expr::If(parts) => {
                let (test, then, otherwise) = &**parts;
                if run.eval(test)?.is_true() {
                    return run.eval(then);
                }
                match otherwise {
                    Some(expr) => run.eval(expr),
                    None => Ok(Value::undefined("the inline if-expression evaluated to false and has no else")),
                }
            }
            Expr::Attribute(of, name) => {
                let of = run.eval(of)?;
                run.attribute(&of, name)
            }
            Expr::Item(of, key) => {
                let (of, key) = (run.eval(of)?, run.eval(key)?);
                run.item(&of, &key)
            }
            Expr::Slice(of, parts) => run.eval_slice(of, parts),
            Expr::Call(callee, args) => {
                let call = run.arguments(args)?;
                run.call_expr(callee, call)
            }
            Expr::Filter(of, filter) => {
                let of = run.eval(of)?;
                let call = run.arguments(&filter.args)?;
                run.filter(&filter.name, of, call)
            }
            Expr::Test(of, test) => {
                let of = run.eval(of)?;
                let call = run.arguments(&test.args)?;
                run.test(&test.name, &of, call).map(Value::Bool)
            }
        })
    }

    fn eval_all(&mut self, items: &[Expr]) -> Outcome<Vec<Value>> {
        self.meter.spend(items.len() * VALUE)?;
        items.iter().map(|item| self.eval(item)).collect()
    }

    fn eval_dict(&mut self, entries: &[(Expr, Expr)]) -> Outcome<Value> {
        let mut dict = Vec::new();
        for (key, value) in entries {
            let (key, value) = (self.eval(key)?, self.eval(value)?);
            Dict::set(&mut dict, key, value, &self.meter)?;
        }
        Value::dict(dict)
    }

    fn eval_concat(&mut self, parts: &[Expr]) -> Outcome<Value> {
        let mut text = String::new();
        for part in parts {
            let value = self.eval(part)?;
            with_str(&value, &self.meter, |part| push(&mut text, part, &self.meter))?;
        }
        Ok(Value::str(text))
    }

    fn eval_compare(&mut self, left: &Expr, chain: &[(Comparison, Expr)]) -> Outcome<Value> {
        let mut left = self.eval(left)?;
        for (comparison, right) in chain {
            let right = self.eval(right)?;
            let meter = &self.meter;
            let holds = match comparison {
                Comparison::Eq => left.equals(&right, meter)?,
                Comparison::Ne => !left.equals(&right, meter)?,
                Comparison::Lt => left.compare(&right, meter)? == Some(Ordering::Less),
                Comparison::Gt => left.compare(&right, meter)? == Some(Ordering::Greater),
                Comparison::Le => left.compare(&right, meter)?.is_some_and(Ordering::is_le),
                Comparison::Ge => left.compare(&right, meter)?.is_some_and(Ordering::is_ge),
                Comparison::In => right.contains(&left, meter)?,
                Comparison::NotIn => !right.contains(&left, meter)?,
            };
            if !holds {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn eval_slice(&mut self, of: &Expr, parts: &[Option<Expr>; 3]) -> Outcome<Value> {
        let of = self.eval(of)?;
        let mut bounds = [None; 3];
        for (bound, part) in bounds.iter_mut().zip(parts) {
            let Some(part) = part else { continue };
            *bound = match self.eval(part)? {
                Value::None => None,
                other => match other.as_int() {
                    Some(i) => Some(i),
                    None => return failed(format!("a slice by values of type {} is not supported", other.type_name())),
                },
            };
        }
        if let Value::Undefined(message) = &of {
            return failed(&**message);
        }
        ops::slice(&of, bounds, &self.meter)
    }

    /// Computes the arguments of a call.
    pub fn arguments(&mut self, args: &Args) -> Outcome<Call> {
        let mut call = Call { positional: self.eval_all(&args.positional)?, named: Vec::new() };
        if let Some(star) = &args.star {
            let more = self.eval(star)?.iterate(&self.meter)?;
            call.positional.extend(more);
        }
        for (name, value) in &args.named {
            let value = self.eval(value)?;
            call.named.push((name.clone(), value));
        }
        if let Some(more) = &args.star_star {
            let Value::Dict(more) = self.eval(more)? else { return failed("only a dict can stand behind `**`") };
            self.meter.spend(more.entries.len() * 2 * VALUE)?;
            for (key, value) in &more.entries {
                let Value::Str(name) = key else { return failed("keywords must be strings") };
                call.named.push((name.clone(), value.clone()));
            }
        }
        Ok(call)
    }

    /// Calls the value of an expression.
    pub fn call_expr(&mut self, callee: &Expr, call: Call) -> Outcome<Value> {
        let callee = self.eval(callee)?;
        self.call(&callee, call)
    }

    /// Calls a value.
    pub fn call(&mut self, callee: &Value, call: Call) -> Outcome<Value> {
        match callee {
            Value::Undefined(message) => failed(&**message),
            Value::Function(name) => self.function(name, call),
            Value::Macro(closure) => {
                let closure = Rc::clone(closure);
                self.deeper(|run| run.call_macro(&closure, call))
            }
            Value::Method(method) => {
                let method = Rc::clone(method);
                self.method(&method.0, &method.1, call)
            }
            Value::Loop(number) => {
                let number = *number;
                self.deeper(|run| run.recurse(number, call))
            }
            Value::Cycler(n) => {
                call.bind("a cycler", &[], 0)?;
                let n = *n;
                self.next_of_cycler(n)
            }
            Value::Joiner(n) => {
                call.bind("a joiner", &[], 0)?;
                let (separator, used) = &mut self.joiners[*n];
                let again = std::mem::replace(used, true);
                Ok(if again { separator.clone() } else { Value::str("") })
            }
            other => failed(format!("'{}' object is not callable", other.type_name())),
        }
    }

    /// Computes `of.name`. As in Jinja2, attributes are looked up first, then items.
    pub fn attribute(&mut self, of: &Value, name: &str) -> Outcome<Value> {
        if let Some(found) = self.own_attribute(of, name)? {
            return Ok(found);
        }
        if let Value::Dict(dict) = of
            && let Some(found) = dict.get(&Value::str(name), &self.meter)?
        {
            return Ok(found.clone());
        }
        Ok(Value::undefined(format!("'{}' has no attribute '{name}'", of.object_name())))
    }

    /// Computes `of[key]`. As in Jinja2, items are looked up first, then attributes.
    pub fn item(&mut self, of: &Value, key: &Value) -> Outcome<Value> {
        if let Value::Undefined(message) = of {
            return failed(&**message);
        }
        if let Some(found) = ops::item(of, key, &self.meter)? {
            return Ok(found);
        }
        if let Value::Str(name) = key
            && let Some(found) = self.own_attribute(of, name)?
        {
            return Ok(found);
        }
        let key = super::text::to_str(key, &self.meter).unwrap_or_default();
        Ok(Value::undefined(format!("'{}' has no attribute '{key}'", of.object_name())))
    }
}
