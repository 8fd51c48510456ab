//! Parses expressions: turns tokens into a tree.
//!
//! This is a recursive-descent parser with one function per level of precedence, from the weakest binding to the
//! strongest:
//!
//! ```text
//! conditional          a if b else c
//! or, and, not
//! compare              == != < <= > >= in, not in
//! binary               + -, then ~, then * / // %, then **
//! filters_and_tests    a | filter, a is test
//! unary                -a, +a
//! postfix              a.b, a[b], a(b)
//! primary              names, literals, parentheses, lists, dicts
//! ```

use super::ast::{Args, Comparison, Expr, Filter, Op, Target, Uses};
use super::fault::{Outcome, syntax};
use super::lex::{Tok, Token};

/// Largest nesting depth of parentheses, blocks and the like. Python allows 200 nested parentheses.
const NESTING: u32 = 200;
/// Largest number of links in the chains of operators, attributes, filters and calls of one expression. The longest
/// chains of published templates have some dozens.
const LINKS: u32 = 1000;

/// The tokens, and the state of parsing.
pub(super) struct Parser {
    pub tokens: Vec<Token>,
    pub at: usize,
    pub nesting: u32,
    links: u32,
    /// The special names used in each macro around the current position, outermost macro first.
    pub macros: Vec<Uses>,
    /// Number of loops around the current position, within the innermost macro.
    pub loops: u32,
}

impl Parser {
    pub fn new(tokens: Vec<Token>) -> Parser {
        Parser { tokens, at: 0, nesting: 0, links: 0, macros: Vec::new(), loops: 0 }
    }

    pub fn peek(&self) -> &Tok {
        &self.tokens[self.at].tok
    }

    fn peek_second(&self) -> &Tok {
        self.tokens.get(self.at + 1).map_or(&Tok::End, |t| &t.tok)
    }

    pub fn line(&self) -> u32 {
        self.tokens[self.at].line
    }

    /// Takes the current token and moves to the next. The last token marks the end and is never passed.
    pub fn take(&mut self) -> Tok {
        let tok = std::mem::replace(&mut self.tokens[self.at].tok, Tok::End);
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        tok
    }

    pub fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Tok::Op(o) if *o == op)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Tok::Name(n) if n == name)
    }

    pub fn skip_op(&mut self, op: &str) -> bool {
        let is = self.is_op(op);
        if is {
            self.take();
        }
        is
    }

    pub fn skip_name(&mut self, name: &str) -> bool {
        let is = self.is_name(name);
        if is {
            self.take();
        }
        is
    }

    pub fn expect_op(&mut self, op: &str) -> Outcome<()> {
        if self.skip_op(op) { Ok(()) } else { self.unexpected(&format!("`{op}`")) }
    }

    pub fn unexpected<T>(&self, wanted: &str) -> Outcome<T> {
        let found = match self.peek() {
            Tok::Data(_) | Tok::VariableBegin | Tok::BlockBegin => "text".into(),
            Tok::VariableEnd | Tok::BlockEnd => "the end of the tag".into(),
            Tok::Name(n) => format!("`{n}`"),
            Tok::Str(_) => "a string".into(),
            Tok::Int(_) | Tok::Float(_) => "a number".into(),
            Tok::Op(o) => format!("`{o}`"),
            Tok::End => "the end of the template".into(),
        };
        syntax(self.line(), format!("{found} where {wanted} is needed"))
    }

    pub fn name(&mut self) -> Outcome<String> {
        if !matches!(self.peek(), Tok::Name(_)) {
            return self.unexpected("a name");
        }
        match self.take() {
            Tok::Name(name) => Ok(name),
            _ => self.unexpected("a name"),
        }
    }

    /// Runs `inner` one nesting level deeper.
    pub fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.nesting == NESTING {
            return syntax(self.line(), format!("it is nested more than {NESTING} deep"));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn link(&mut self) -> Outcome<()> {
        self.links += 1;
        if self.links > LINKS {
            return syntax(self.line(), format!("one expression has more than {LINKS} operators in a chain"));
        }
        Ok(())
    }

    /// Parses a separate expression, whose links are counted from zero.
    pub fn whole<T>(&mut self, parse: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let links = std::mem::replace(&mut self.links, 0);
        let result = parse(self);
        self.links = links;
        result
    }

    pub fn expression(&mut self) -> Outcome<Expr> {
        self.nested(|p| p.conditional())
    }

    /// Parses expressions up to the end of the tag or the name `end`. More than one expression make a tuple.
    pub fn tuple(&mut self, conditional: bool, end: &str) -> Outcome<Expr> {
        let ends = |p: &Self| {
            matches!(p.peek(), Tok::VariableEnd | Tok::BlockEnd | Tok::End)
                || p.is_op(")")
                || (!end.is_empty() && p.is_name(end))
        };
        if ends(self) {
            return self.unexpected("an expression");
        }
        let item = |p: &mut Self| if conditional { p.expression() } else { p.nested(|p| p.or()) };
        let first = item(self)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_op(",") && !ends(self) {
            items.push(item(self)?);
        }
        Ok(Expr::Tuple(items))
    }

    fn conditional(&mut self) -> Outcome<Expr> {
        let mut then = self.or()?;
        while self.skip_name("if") {
            self.link()?;
            let test = self.or()?;
            let otherwise = if self.skip_name("else") { Some(self.expression()?) } else { None };
            then = Expr::If(Box::new((test, then, otherwise)));
        }
        Ok(then)
    }

    fn or(&mut self) -> Outcome<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            self.link()?;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Outcome<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            self.link()?;
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Outcome<Expr> {
        if self.skip_name("not") {
            return Ok(Expr::Not(Box::new(self.nested(|p| p.not())?)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Outcome<Expr> {
        let left = self.binary(0)?;
        let mut chain = Vec::new();
        loop {
            let comparison = match self.peek() {
                Tok::Op("==") => Comparison::Eq,
                Tok::Op("!=") => Comparison::Ne,
                Tok::Op("<") => Comparison::Lt,
                Tok::Op("<=") => Comparison::Le,
                Tok::Op(">") => Comparison::Gt,
                Tok::Op(">=") => Comparison::Ge,
                Tok::Name(n) if n == "in" => Comparison::In,
                Tok::Name(n) if n == "not" && matches!(self.peek_second(), Tok::Name(n) if n == "in") => {
                    self.take();
                    Comparison::NotIn
                }
                _ => break,
            };
            self.take();
            chain.push((comparison, self.binary(0)?));
        }
        Ok(if chain.is_empty() { left } else { Expr::Compare(Box::new(left), chain) })
    }

    /// Parses arithmetic. `level` 0 is `+ -`, 1 is `~`, 2 is `* / // %`, 3 is `**`. As in Jinja2, all of them are
    /// grouped from the left.
    fn binary(&mut self, level: u32) -> Outcome<Expr> {
        if level == 4 {
            return self.unary(true);
        }
        let mut left = self.binary(level + 1)?;
        loop {
            let op = match (level, self.peek()) {
                (0, Tok::Op("+")) => Op::Add,
                (0, Tok::Op("-")) => Op::Sub,
                (1, Tok::Op("~")) => {
                    let mut parts = vec![left];
                    while self.skip_op("~") {
                        parts.push(self.binary(level + 1)?);
                    }
                    left = Expr::Concat(parts);
                    continue;
                }
                (2, Tok::Op("*")) => Op::Mul,
                (2, Tok::Op("/")) => Op::Div,
                (2, Tok::Op("//")) => Op::FloorDiv,
                (2, Tok::Op("%")) => Op::Rem,
                (3, Tok::Op("**")) => Op::Pow,
                _ => return Ok(left),
            };
            self.take();
            self.link()?;
            left = Expr::Binary(op, Box::new(left), Box::new(self.binary(level + 1)?));
        }
    }

    fn unary(&mut self, with_filter: bool) -> Outcome<Expr> {
        let mut expr = if self.skip_op("-") {
            Expr::Negative(Box::new(self.nested(|p| p.unary(false))?))
        } else if self.skip_op("+") {
            Expr::Positive(Box::new(self.nested(|p| p.unary(false))?))
        } else {
            self.primary()?
        };
        expr = self.postfix(expr)?;
        if with_filter { self.filters_and_tests(expr) } else { Ok(expr) }
    }

    fn primary(&mut self) -> Outcome<Expr> {
        match self.peek() {
            Tok::Name(_) | Tok::Str(_) | Tok::Int(_) | Tok::Float(_) => {}
            Tok::Op("(" | "[" | "{") => {}
            _ => return self.unexpected("an expression"),
        }
        Ok(match self.take() {
            Tok::Name(name) => match name.as_str() {
                "true" | "True" => Expr::Bool(true),
                "false" | "False" => Expr::Bool(false),
                "none" | "None" => Expr::None,
                _ => {
                    for uses in &mut self.macros {
                        uses.caller |= name == "caller";
                        uses.varargs |= name == "varargs";
                        uses.kwargs |= name == "kwargs";
                    }
                    Expr::Name(name.into())
                }
            },
            Tok::Str(mut text) => {
                while let Tok::Str(_) = self.peek() {
                    if let Tok::Str(more) = self.take() {
                        text += &more;
                    }
                }
                Expr::Str(text.into())
            }
            Tok::Int(i) => Expr::Int(i),
            Tok::Float(x) => Expr::Float(x),
            Tok::Op("(") => {
                if self.skip_op(")") {
                    return Ok(Expr::Tuple(Vec::new()));
                }
                let inner = self.tuple(true, "")?;
                self.expect_op(")")?;
                inner
            }
            Tok::Op("[") => Expr::List(self.items("]", |p| p.expression())?),
            _ => Expr::Dict(self.items("}", |p| {
                let key = p.expression()?;
                p.expect_op(":")?;
                Ok((key, p.expression()?))
            })?),
        })
    }

    /// Parses items between commas, up to the closing bracket `end`.
    fn items<T>(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> Outcome<T>) -> Outcome<Vec<T>> {
        let mut items = Vec::new();
        while !self.skip_op(end) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(end) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn postfix(&mut self, mut expr: Expr) -> Outcome<Expr> {
        loop {
            expr = if self.skip_op(".") {
                self.link()?;
                match self.peek() {
                    Tok::Int(i) => {
                        let i = *i;
                        self.take();
                        Expr::Item(Box::new(expr), Box::new(Expr::Int(i)))
                    }
                    _ => Expr::Attribute(Box::new(expr), self.name()?.into()),
                }
            } else if self.skip_op("[") {
                self.link()?;
                self.subscript(expr)?
            } else if self.is_op("(") {
                self.link()?;
                Expr::Call(Box::new(expr), self.args()?)
            } else {
                return Ok(expr);
            };
        }
    }

    fn subscript(&mut self, of: Expr) -> Outcome<Expr> {
        let mut parts = [None, None, None];
        let (mut n, mut colons) = (0, 0);
        while !self.skip_op("]") {
            if self.skip_op(":") {
                colons += 1;
                n += 1;
                if n > 2 {
                    return self.unexpected("`]`");
                }
            } else if self.is_op(",") {
                return syntax(self.line(), "an item by several indices is not supported");
            } else if parts[n].is_some() {
                return self.unexpected("`]`");
            } else {
                parts[n] = Some(self.expression()?);
            }
        }
        match (colons, parts) {
            (0, [Some(index), ..]) => Ok(Expr::Item(Box::new(of), Box::new(index))),
            (0, _) => self.unexpected("an index"),
            (_, parts) => Ok(Expr::Slice(Box::new(of), Box::new(parts))),
        }
    }

    pub fn args(&mut self) -> Outcome<Args> {
        self.expect_op("(")?;
        let mut args = Args::default();
        let mut first = true;
        while !self.skip_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            first = false;
            let late = args.star.is_some() || args.star_star.is_some();
            if self.skip_op("*") && !late {
                args.star = Some(Box::new(self.expression()?));
            } else if self.skip_op("**") && args.star_star.is_none() {
                args.star_star = Some(Box::new(self.expression()?));
            } else if matches!((self.peek(), self.peek_second()), (Tok::Name(_), Tok::Op("="))) {
                let name = self.name()?;
                self.take();
                args.named.push((name.into(), self.expression()?));
            } else if args.named.is_empty() && !late {
                args.positional.push(self.expression()?);
            } else {
                return self.unexpected("an argument by name");
            }
        }
        Ok(args)
    }

    fn dotted(&mut self) -> Outcome<String> {
        let mut name = self.name()?;
        while self.skip_op(".") {
            name = name + "." + &self.name()?;
        }
        Ok(name)
    }

    /// Parses a filter after `|`.
    pub fn filter(&mut self) -> Outcome<Filter> {
        let name = self.dotted()?.into();
        let args = if self.is_op("(") { self.args()? } else { Args::default() };
        Ok(Filter { name, args })
    }

    fn filters_and_tests(&mut self, mut expr: Expr) -> Outcome<Expr> {
        loop {
            expr = if self.skip_op("|") {
                self.link()?;
                Expr::Filter(Box::new(expr), self.filter()?)
            } else if self.skip_name("is") {
                self.link()?;
                let negated = self.skip_name("not");
                let test = Expr::Test(Box::new(expr), self.test()?);
                if negated { Expr::Not(Box::new(test)) } else { test }
            } else if self.is_op("(") {
                self.link()?;
                Expr::Call(Box::new(expr), self.args()?)
            } else {
                return Ok(expr);
            };
        }
    }

    /// Parses a test after `is`. A single argument may be written without parentheses.
    fn test(&mut self) -> Outcome<Filter> {
        let name = self.dotted()?.into();
        let bare = match self.peek() {
            Tok::Op("(") => return Ok(Filter { name, args: self.args()? }),
            Tok::Name(n) if n == "is" => return syntax(self.line(), "tests cannot be chained with `is`"),
            Tok::Name(n) => !matches!(n.as_str(), "else" | "or" | "and"),
            Tok::Str(_) | Tok::Int(_) | Tok::Float(_) | Tok::Op("[" | "{") => true,
            _ => false,
        };
        let mut args = Args::default();
        if bare {
            let argument = self.nested(|p| {
                let primary = p.primary()?;
                p.postfix(primary)
            })?;
            args.positional.push(argument);
        }
        Ok(Filter { name, args })
    }

    /// Parses the target of an assignment, up to `=`, `in` or the end of the tag.
    pub fn target(&mut self, end: &str) -> Outcome<Target> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            let ends = matches!(self.peek(), Tok::BlockEnd) || self.is_op(")") || self.is_op("=");
            if ends || (!end.is_empty() && self.is_name(end)) {
                break;
            }
            targets.push(if self.skip_op("(") {
                let inner = self.nested(|p| p.target(""))?;
                self.expect_op(")")?;
                inner
            } else {
                let name = self.name()?;
                if matches!(name.as_str(), "true" | "True" | "false" | "False" | "none" | "None") {
                    return syntax(self.line(), format!("`{name}` cannot be assigned to"));
                }
                if self.skip_op(".") {
                    Target::Attribute(name.into(), self.name()?.into())
                } else {
                    Target::Name(name.into())
                }
            });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        match targets.pop() {
            Some(one) if !is_tuple => Ok(one),
            Some(last) => {
                targets.push(last);
                Ok(Target::Tuple(targets))
            }
            None => self.unexpected("a name"),
        }
    }
}
