//! Parses statements: turns tokens into a tree.

use super::ast::{Expr, Loop, Macro, Node, Statement, Target, Uses};
use super::fault::{Outcome, syntax};
use super::lex::Tok;
use super::parse::Parser;
use std::sync::Arc;

/// Tags of Jinja2 that are refused. Most of them need other files, and a chat template is a single file.
const REFUSED: [&str; 6] = ["extends", "include", "import", "from", "block", "autoescape"];

impl Parser {
    /// Parses a whole template.
    pub fn template(&mut self) -> Outcome<Vec<Node>> {
        let (nodes, _) = self.nodes(&[])?;
        Ok(nodes)
    }

    /// Parses statements up to one of the tags in `ends`, and returns the name of that tag too.
    fn nodes(&mut self, ends: &[&str]) -> Outcome<(Vec<Node>, String)> {
        let mut nodes = Vec::new();
        let opened = self.line();
        loop {
            let line = self.line();
            let kind = match self.take() {
                Tok::Data(text) => Statement::Data(text),
                Tok::VariableBegin => {
                    let expr = self.whole(|p| p.tuple(true, ""))?;
                    if *self.peek() != Tok::VariableEnd {
                        return self.unexpected("`}}`");
                    }
                    self.take();
                    Statement::Output(expr)
                }
                Tok::BlockBegin => {
                    let tag = self.name()?;
                    if ends.contains(&tag.as_str()) {
                        return Ok((nodes, tag));
                    }
                    self.nested(|p| p.statement(&tag, line))?
                }
                _ if ends.is_empty() => return Ok((nodes, String::new())),
                _ => {
                    let wanted = ends.join("` or `");
                    return syntax(opened, format!("a block that begins here has no `{wanted}`"));
                }
            };
            nodes.push(Node { line, kind });
        }
    }

    fn block_end(&mut self) -> Outcome<()> {
        if *self.peek() != Tok::BlockEnd {
            return self.unexpected("`%}`");
        }
        self.take();
        Ok(())
    }

    /// Parses the statements of a block, with the end of its opening tag and its closing tag.
    fn body(&mut self, end: &str) -> Outcome<Vec<Node>> {
        self.block_end()?;
        let (body, _) = self.nodes(&[end])?;
        Ok(body)
    }

    fn statement(&mut self, tag: &str, line: u32) -> Outcome<Statement> {
        let statement = match tag {
            "if" => return self.if_statement(),
            "for" => return self.for_statement(),
            "set" => self.set()?,
            "macro" => {
                let name = self.name()?;
                Statement::Macro(self.macro_like(name, "endmacro")?)
            }
            "call" => self.call()?,
            "generation" => {
                // transformers adds this tag to mark the assistant's text for training. It only prints its block, so it
                // becomes a call of a macro that prints the block.
                let block = self.macro_like("caller".into(), "endgeneration")?;
                Statement::Call(block, Expr::Name("caller".into()))
            }
            "filter" => {
                let filters = self.whole(|p| p.filter_list())?;
                Statement::Filter(filters, self.body("endfilter")?)
            }
            "with" => {
                let mut values = Vec::new();
                while *self.peek() != Tok::BlockEnd {
                    if !values.is_empty() {
                        self.expect_op(",")?;
                    }
                    let target = self.single_target()?;
                    self.expect_op("=")?;
                    values.push((target, self.whole(|p| p.expression())?));
                }
                Statement::With(values, self.body("endwith")?)
            }
            "print" => {
                let mut parts = Vec::new();
                while *self.peek() != Tok::BlockEnd {
                    if !parts.is_empty() {
                        self.expect_op(",")?;
                    }
                    parts.push(self.whole(|p| p.expression())?);
                }
                Statement::Output(Expr::Concat(parts))
            }
            "break" | "continue" if self.loops == 0 => {
                return syntax(line, format!("`{tag}` outside of a loop"));
            }
            "break" => Statement::Break,
            "continue" => Statement::Continue,
            refused if REFUSED.contains(&refused) => {
                return syntax(line, format!("the tag `{refused}` is not supported in a chat template"));
            }
            other => return syntax(line, format!("there is no tag `{other}`")),
        };
        self.block_end()?;
        Ok(statement)
    }

    fn if_statement(&mut self) -> Outcome<Statement> {
        let mut branches = Vec::new();
        loop {
            let test = self.whole(|p| p.tuple(false, ""))?;
            self.block_end()?;
            let (body, tag) = self.nodes(&["elif", "else", "endif"])?;
            branches.push((test, body));
            let otherwise = match tag.as_str() {
                "elif" => continue,
                "else" => self.body("endif")?,
                _ => Vec::new(),
            };
            self.block_end()?;
            return Ok(Statement::If(branches, otherwise));
        }
    }

    fn for_statement(&mut self) -> Outcome<Statement> {
        let target = self.target("in")?;
        if !self.skip_name("in") {
            return self.unexpected("`in`");
        }
        let over = self.whole(|p| p.tuple(false, "recursive"))?;
        let filter = if self.skip_name("if") { Some(self.whole(|p| p.expression())?) } else { None };
        let recursive = self.skip_name("recursive");
        self.block_end()?;
        self.loops += 1;
        let (body, tag) = self.nodes(&["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = if tag == "else" { self.body("endfor")? } else { Vec::new() };
        self.block_end()?;
        Ok(Statement::For(Arc::new(Loop { target, over, filter, body, otherwise, recursive })))
    }

    fn set(&mut self) -> Outcome<Statement> {
        let target = self.target("")?;
        if self.skip_op("=") {
            return Ok(Statement::Set(target, self.whole(|p| p.tuple(true, ""))?));
        }
        let filters = if self.skip_op("|") { self.whole(|p| p.filter_list())? } else { Vec::new() };
        Ok(Statement::SetBlock(target, filters, self.body("endset")?))
    }

    fn filter_list(&mut self) -> Outcome<Vec<super::ast::Filter>> {
        let mut filters = vec![self.filter()?];
        while self.skip_op("|") {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }

    fn single_target(&mut self) -> Outcome<Target> {
        Ok(Target::Name(self.name()?.into()))
    }

    fn call(&mut self) -> Outcome<Statement> {
        let parameters = if self.is_op("(") { self.parameters()? } else { Vec::new() };
        let call = self.whole(|p| p.expression())?;
        if !matches!(call, Expr::Call(..)) {
            return self.unexpected("a call");
        }
        let block = self.macro_body("caller".into(), parameters, "endcall")?;
        Ok(Statement::Call(block, call))
    }

    /// Parses the parameters, which only a `macro` tag has, and the body.
    fn macro_like(&mut self, name: String, end: &str) -> Outcome<Arc<Macro>> {
        let parameters = if end == "endmacro" { self.parameters()? } else { Vec::new() };
        self.macro_body(name, parameters, end)
    }

    fn parameters(&mut self) -> Outcome<Vec<(Arc<str>, Option<Expr>)>> {
        self.expect_op("(")?;
        let mut parameters: Vec<(Arc<str>, Option<Expr>)> = Vec::new();
        while !self.skip_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            let name = self.name()?;
            let default = if self.skip_op("=") { Some(self.whole(|p| p.expression())?) } else { None };
            if default.is_none() && parameters.last().is_some_and(|(_, d)| d.is_some()) {
                return syntax(
                    self.line(),
                    format!("the parameter `{name}` needs a default, as the one before it has"),
                );
            }
            parameters.push((name.into(), default));
        }
        Ok(parameters)
    }

    fn macro_body(
        &mut self,
        name: String,
        parameters: Vec<(Arc<str>, Option<Expr>)>,
        end: &str,
    ) -> Outcome<Arc<Macro>> {
        self.macros.push(Uses::default());
        let loops = std::mem::replace(&mut self.loops, 0);
        let body = self.body(end);
        self.loops = loops;
        let uses = self.macros.pop().unwrap_or_default();
        Ok(Arc::new(Macro { name: name.into(), parameters, body: body?, uses }))
    }
}
