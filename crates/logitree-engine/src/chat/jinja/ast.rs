//! A compiled template.

use std::sync::Arc;

/// A name.
pub(super) type Name = Arc<str>;

/// An expression.
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
    /// Texts joined by `~`.
    Concat(Vec<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    /// A chain such as `a < b <= c`.
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// Test, then, else.
    If(Box<(Expr, Expr, Option<Expr>)>),
    Attribute(Box<Expr>, Name),
    Item(Box<Expr>, Box<Expr>),
    /// Start, stop and step.
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

/// Arithmetic.
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

/// Comparisons.
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

/// What is assigned to.
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

/// A statement.
#[derive(Debug)]
pub(super) enum Statement {
    Data(String),
    Output(Expr),
    /// Branches, and what else.
    If(Vec<(Expr, Vec<Node>)>, Vec<Node>),
    For(Arc<Loop>),
    Set(Target, Expr),
    SetBlock(Target, Vec<Filter>, Vec<Node>),
    Macro(Arc<Macro>),
    /// The block as a macro, and the call that gets it as `caller`.
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

/// A macro.
#[derive(Debug)]
pub(super) struct Macro {
    pub name: Name,
    pub parameters: Vec<(Name, Option<Expr>)>,
    pub body: Vec<Node>,
    /// Whether the body asks for these.
    pub uses: Uses,
}

/// Special names of a macro's body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses {
    pub caller: bool,
    pub varargs: bool,
    pub kwargs: bool,
}
