//! Runs the statements of a template.
//!
//! Variables live in scopes. The scopes are kept in a list, and each refers to its parent by its index there. A block
//! adds a scope and removes it at the end, unless a macro was defined meanwhile: a macro refers to the scope of its
//! definition and may be called later.

use super::ast::{Expr, Filter, Loop, Macro, Name, Node, Statement, Target};
use super::fault::{Kind, Outcome, failed, stopped};
use super::text::{push, with_str};
use super::value::{Closure, Meter, VALUE, Value};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// Number of bytes that the meter counts for one step.
const STEP: usize = 32;
/// Largest nesting depth of statements, expressions and macro calls at run time. [`super::STACK`] is large enough for
/// it.
const DEPTH: u32 = 2500;
/// Stands for the absent parent of the outermost scope.
const NONE: usize = usize::MAX;

/// Says how execution continues after a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

/// The evaluated arguments of a call.
#[derive(Default)]
pub(super) struct Call {
    pub positional: Vec<Value>,
    pub named: Vec<(Name, Value)>,
}

/// The variables of a block.
struct Scope {
    variables: HashMap<Name, Value>,
    parent: usize,
}

/// The state of a loop. It is kept after the loop has ended, because the template may have stored the variable `loop`.
pub(super) struct Looping {
    pub items: Rc<Vec<Value>>,
    pub index: usize,
    pub depth: usize,
    pub changed: Option<Vec<Value>>,
    recursive: Option<Arc<Loop>>,
    scope: usize,
}

/// The state of a rendering.
pub(super) struct Run {
    pub meter: Meter,
    pub namespaces: Vec<Vec<(Name, Value)>>,
    pub loops: Vec<Looping>,
    pub cyclers: Vec<(Vec<Value>, usize)>,
    pub joiners: Vec<(Value, bool)>,
    pub now: SystemTime,
    /// Whether the template asked for the date.
    pub asked_date: bool,
    scopes: Vec<Scope>,
    current: usize,
    /// Number of macros that were defined so far. If a block defines a macro, its scope must be kept.
    closures: usize,
    depth: u32,
    longest: usize,
}

impl Run {
    /// Starts a rendering with these variables at the time `now`. It may spend `units` and write `longest` bytes.
    pub fn new(variables: Vec<(Name, Value)>, now: SystemTime, units: u64, longest: usize) -> Run {
        let global = Scope { variables: variables.into_iter().collect(), parent: NONE };
        Run {
            meter: Meter::new(units),
            namespaces: Vec::new(),
            loops: Vec::new(),
            cyclers: Vec::new(),
            joiners: Vec::new(),
            now,
            asked_date: false,
            scopes: vec![global],
            current: 0,
            closures: 0,
            depth: 0,
            longest,
        }
    }

    /// Runs `inner` one nesting level deeper.
    pub fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.meter.spend(STEP)?;
        if self.depth == DEPTH {
            return stopped("its macros or expressions call each other without end");
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Runs `inner` in a new scope inside the scope `parent`.
    fn scoped<T>(&mut self, parent: usize, inner: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.meter.spend(4 * STEP)?;
        let (before, closures, length) = (self.current, self.closures, self.scopes.len());
        self.scopes.push(Scope { variables: HashMap::new(), parent });
        self.current = length;
        let result = inner(self);
        self.current = before;
        if self.closures == closures {
            self.scopes.truncate(length);
        }
        result
    }

    /// The value of a name.
    pub fn lookup(&self, name: &str) -> Outcome<Value> {
        let mut at = self.current;
        while at != NONE {
            self.meter.spend(STEP)?;
            if let Some(value) = self.scopes[at].variables.get(name) {
                return Ok(value.clone());
            }
            at = self.scopes[at].parent;
        }
        if name == "self" {
            return failed("the name `self`, of a template with blocks, is not supported in a chat template");
        }
        Ok(super::builtins::global(name).unwrap_or_else(|| Value::undefined(format!("'{name}' is undefined"))))
    }

    fn set(&mut self, name: &Name, value: Value) -> Outcome<()> {
        self.meter.spend(4 * VALUE)?;
        self.scopes[self.current].variables.insert(name.clone(), value);
        Ok(())
    }

    fn assign(&mut self, target: &Target, value: Value) -> Outcome<()> {
        match target {
            Target::Name(name) => self.set(name, value),
            Target::Attribute(of, name) => {
                let Value::Namespace(n) = self.lookup(of)? else {
                    return failed("cannot assign attribute on non-namespace object");
                };
                self.meter.spend(4 * VALUE + name.len())?;
                set_attribute(&mut self.namespaces[n], name.clone(), value)
            }
            Target::Tuple(targets) => {
                let values = value.iterate(&self.meter)?;
                if values.len() != targets.len() {
                    let (found, wanted) = (values.len(), targets.len());
                    return failed(format!("{found} values cannot be unpacked to {wanted} names"));
                }
                targets.iter().zip(values).try_for_each(|(target, value)| self.assign(target, value))
            }
        }
    }

    /// Writes a value.
    fn write(&self, out: &mut String, value: &Value) -> Outcome<()> {
        with_str(value, &self.meter, |text| self.write_text(out, text))
    }

    fn write_text(&self, out: &mut String, text: &str) -> Outcome<()> {
        if text.len() > self.longest - out.len() {
            return stopped("it wrote far more than the messages hold");
        }
        push(out, text, &self.meter)
    }

    /// Runs statements one by one.
    pub fn statements(&mut self, nodes: &[Node], out: &mut String) -> Outcome<Flow> {
        for node in nodes {
            let flow = self.deeper(|run| run.statement(&node.kind, out)).map_err(|fault| fault.at(node.line))?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Statement, out: &mut String) -> Outcome<Flow> {
        match statement {
            Statement::Data(text) => self.write_text(out, text)?,
            Statement::Output(expr) => {
                let value = self.eval(expr)?;
                self.write(out, &value)?;
            }
            Statement::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.eval(test)?.is_true() {
                        return self.statements(body, out);
                    }
                }
                return self.statements(otherwise, out);
            }
            Statement::For(definition) => self.for_loop(definition, out)?,
            Statement::Set(target, expr) => {
                let value = self.eval(expr)?;
                self.assign(target, value)?;
            }
            Statement::SetBlock(target, filters, body) => {
                let value = self.filtered(filters, body)?;
                self.assign(target, value)?;
            }
            Statement::Filter(filters, body) => {
                let value = self.filtered(filters, body)?;
                self.write(out, &value)?;
            }
            Statement::Macro(definition) => {
                let closure = self.closure(definition);
                self.set(&definition.name, closure)?;
            }
            Statement::Call(block, call) => {
                let caller = self.closure(block);
                let value = match call {
                    Expr::Call(callee, args) => {
                        let mut call = self.arguments(args)?;
                        call.named.push(("caller".into(), caller));
                        self.call_expr(callee, call)?
                    }
                    _ => self.call(&caller, Call::default())?,
                };
                self.write(out, &value)?;
            }
            Statement::With(values, body) => {
                let values =
                    values.iter().map(|(t, e)| Ok((t, self.eval(e)?))).collect::<Outcome<Vec<(&Target, Value)>>>()?;
                let current = self.current;
                return self.scoped(current, |run| {
                    for (target, value) in values {
                        run.assign(target, value)?;
                    }
                    run.statements(body, out)
                });
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// The text that a block writes, after the filters.
    fn filtered(&mut self, filters: &[Filter], body: &[Node]) -> Outcome<Value> {
        let mut text = String::new();
        let current = self.current;
        self.scoped(current, |run| run.statements(body, &mut text))?;
        let mut value = Value::str(text);
        for filter in filters {
            let call = self.arguments(&filter.args)?;
            value = self.filter(&filter.name, value, call)?;
        }
        Ok(value)
    }

    fn for_loop(&mut self, definition: &Arc<Loop>, out: &mut String) -> Outcome<()> {
        let items = self.eval(&definition.over)?;
        self.iterate(definition, &items, 0, out)
    }

    fn iterate(&mut self, definition: &Arc<Loop>, over: &Value, depth: usize, out: &mut String) -> Outcome<()> {
        let mut items = over.iterate(&self.meter)?;
        let parent = self.current;
        if let Some(test) = &definition.filter {
            let mut kept = Vec::new();
            for item in items {
                let keep = self.scoped(parent, |run| {
                    run.assign(&definition.target, item.clone())?;
                    Ok(run.eval(test)?.is_true())
                })?;
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            self.scoped(parent, |run| run.statements(&definition.otherwise, out))?;
            return Ok(());
        }
        self.meter.spend(8 * VALUE)?;
        let (number, items) = (self.loops.len(), Rc::new(items));
        let recursive = definition.recursive.then(|| definition.clone());
        self.loops.push(Looping { items: items.clone(), index: 0, depth, changed: None, recursive, scope: parent });
        let name: Name = "loop".into();
        for (index, item) in items.iter().enumerate() {
            self.loops[number].index = index;
            let flow = self.scoped(parent, |run| {
                run.set(&name, Value::Loop(number))?;
                run.assign(&definition.target, item.clone())?;
                run.statements(&definition.body, out)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    /// Calls `loop(items)`, which runs the same loop for other items, one level deeper.
    pub fn recurse(&mut self, number: usize, call: Call) -> Outcome<Value> {
        let state = &self.loops[number];
        let (Some(definition), depth, scope) = (state.recursive.clone(), state.depth + 1, state.scope) else {
            return failed("the loop is called, and is not marked `recursive`");
        };
        let over = call.bind("loop", &["iterable"], 1)?.remove(0).unwrap_or(Value::None);
        let mut text = String::new();
        let before = std::mem::replace(&mut self.current, scope);
        self.iterate(&definition, &over, depth, &mut text)?;
        self.current = before;
        Ok(Value::str(text))
    }

    fn closure(&mut self, definition: &Arc<Macro>) -> Value {
        self.closures += 1;
        Value::Macro(Rc::new(Closure { definition: definition.clone(), scope: self.current }))
    }

    /// Calls a macro.
    pub fn call_macro(&mut self, closure: &Closure, call: Call) -> Outcome<Value> {
        let (definition, name) = (&closure.definition, &closure.definition.name);
        let mut positional = call.positional.into_iter();
        let mut named = call.named;
        let mut text = String::new();
        let flow = self.scoped(closure.scope, |run| {
            for (parameter, default) in &definition.parameters {
                let by_name = named.iter().position(|(n, _)| n == parameter).map(|at| named.remove(at).1);
                let value = match (positional.next(), by_name) {
                    (Some(_), Some(_)) => return failed(format!("macro {name:?} got two values for {parameter:?}")),
                    (Some(value), None) | (None, Some(value)) => value,
                    (None, None) => match default {
                        Some(expr) => run.eval(expr)?,
                        None => Value::undefined(format!("parameter '{parameter}' was not provided")),
                    },
                };
                run.set(parameter, value)?;
            }
            if definition.uses.caller && !definition.parameters.iter().any(|(p, _)| &**p == "caller") {
                let caller = named.iter().position(|(n, _)| &**n == "caller").map(|at| named.remove(at).1);
                run.set(&"caller".into(), caller.unwrap_or_else(|| Value::undefined("No caller defined")))?;
            }
            if definition.uses.kwargs {
                let rest = std::mem::take(&mut named);
                let entries = rest.into_iter().map(|(n, v)| (Value::Str(n), v)).collect();
                run.set(&"kwargs".into(), Value::dict(entries)?)?;
            } else if let Some((extra, _)) = named.first() {
                return failed(format!("macro '{name}' takes no keyword argument '{extra}'"));
            }
            if definition.uses.varargs {
                run.set(&"varargs".into(), Value::tuple(positional.by_ref().collect())?)?;
            } else if positional.next().is_some() {
                let n = definition.parameters.len();
                return failed(format!("macro '{name}' takes not more than {n} argument(s)"));
            }
            run.statements(&definition.body, &mut text)
        })?;
        debug_assert!(flow == Flow::Next, "the parser lets `break` stand only in loops");
        Ok(Value::str(text))
    }
}

/// Sets an attribute of a namespace. Names with an underscore at the start are refused.
pub(super) fn set_attribute(namespace: &mut Vec<(Name, Value)>, name: Name, value: Value) -> Outcome<()> {
    if name.starts_with('_') {
        return failed(format!("chat templates cannot store the attribute {name:?}: it begins with an underscore"));
    }
    match namespace.iter_mut().find(|(n, _)| *n == name) {
        Some((_, old)) => *old = value,
        None => namespace.push((name, value)),
    }
    Ok(())
}

impl Call {
    /// The arguments in the order of `names`. It is an error if one of the first `required` is missing.
    pub fn bind(self, of: &str, names: &[&str], required: usize) -> Outcome<Vec<Option<Value>>> {
        if self.positional.len() > names.len() {
            return failed(format!("{of} takes {} arguments at most", names.len()));
        }
        let mut bound: Vec<Option<Value>> = self.positional.into_iter().map(Some).collect();
        bound.resize_with(names.len(), || None);
        for (name, value) in self.named {
            match names.iter().position(|n| **n == *name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => return failed(format!("{of} got two values for {name:?}")),
                None => return failed(format!("{of} has no argument {name:?}")),
            }
        }
        if let Some(at) = bound[..required].iter().position(Option::is_none) {
            return failed(format!("{of} needs its argument {:?}", names[at]));
        }
        Ok(bound)
    }
}

/// The error that the template function `raise_exception` raises.
pub(super) fn reject(message: String) -> super::fault::Fault {
    super::fault::Fault::new(Kind::Rejected, message)
}
