//! The syntax tree of a template.

use std::sync::Arc;

pub(super) type Name = Arc<str>;

#[derive(Debug)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Name),
    Name(Name),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// Values joined as text by `~`.
    Concat(Vec<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    /// A chain such as `a < b <= c`.
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// `then if test else otherwise`, stored as test, then, else.
    If(Box<(Expr, Expr, Option<Expr>)>),
    Attribute(Box<Expr>, Name),
    Item(Box<Expr>, Box<Expr>),
    /// `value[start:stop:step]`.
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Args),
    Filter(Box<Expr>, Filter),
    Test(Box<Expr>, Filter),
}

/// Arguments of a call.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub positional: Vec<Expr>,
    pub named: Vec<(Name, Expr)>,
    pub star: Option<Box<Expr>>,
    pub star_star: Option<Box<Expr>>,
}

/// A filter or test with its arguments.
#[derive(Debug)]
pub(super) struct Filter {
    pub name: Name,
    pub args: Args,
}

/// The arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

/// The comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

/// The target of an assignment.
#[derive(Debug)]
pub(super) enum Target {
    Name(Name),
    /// An attribute of a namespace.
    Attribute(Name, Name),
    Tuple(Vec<Target>),
}

/// A statement with its line.
#[derive(Debug)]
pub(super) struct Node {
    pub line: u32,
    pub kind: Statement,
}

#[derive(Debug)]
pub(super) enum Statement {
    Data(String),
    Output(Expr),
    /// The branches with their conditions, and the statements of `else`.
    If(Vec<(Expr, Vec<Node>)>, Vec<Node>),
    For(Arc<Loop>),
    Set(Target, Expr),
    SetBlock(Target, Vec<Filter>, Vec<Node>),
    Macro(Arc<Macro>),
    /// A `call` block: its body as a macro, and the call, which gets that macro as `caller`.
    Call(Arc<Macro>, Expr),
    Filter(Vec<Filter>, Vec<Node>),
    With(Vec<(Target, Expr)>, Vec<Node>),
    Break,
    Continue,
}

/// A `for` loop.
#[derive(Debug)]
pub(super) struct Loop {
    pub target: Target,
    pub over: Expr,
    pub filter: Option<Expr>,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
    pub recursive: bool,
}

/// The definition of a macro.
#[derive(Debug)]
pub(super) struct Macro {
    pub name: Name,
    pub parameters: Vec<(Name, Option<Expr>)>,
    pub body: Vec<Node>,
    /// Which special names the body uses.
    pub uses: Uses,
}

/// Says which special names the body of a macro uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses {
    pub caller: bool,
    pub varargs: bool,
    pub kwargs: bool,
}
