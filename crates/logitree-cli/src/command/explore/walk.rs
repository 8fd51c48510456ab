//! The state of `logitree explore`: a text in a growing tree, and a place in it.

use anyhow::Result;
use logitree::{Exploration, Following};
use logitree_core::explore::{BeamParameters, Strategy};
use logitree_core::{NodeId, Stop, TokenStats};

/// A text and the place of the user in it.
pub struct Walk {
    pub exploration: Exploration,
    /// The nodes of the text, without the root.
    pub path: Vec<NodeId>,
    /// Number of tokens before the place.
    pub at: usize,
    /// Index of the alternative that is marked in the list.
    pub choice: usize,
    /// Texts and places before each change.
    undo: Vec<(Vec<NodeId>, usize)>,
    /// The text is being written.
    following: Option<Following>,
    /// Tokens written at a time.
    steps: usize,
}

impl Walk {
    /// Begins at the start of a text that is still to be written.
    pub fn new(exploration: Exploration, steps: usize) -> Result<Walk> {
        let mut walk =
            Walk { exploration, path: Vec::new(), at: 0, choice: 0, undo: Vec::new(), following: None, steps };
        walk.go_on()?;
        Ok(walk)
    }

    /// The node before the place.
    fn before(&self) -> NodeId {
        self.at.checked_sub(1).map_or(NodeId::ROOT, |i| self.path[i])
    }

    fn last(&self) -> NodeId {
        self.path.last().copied().unwrap_or(NodeId::ROOT)
    }

    /// What could stand at the place, most likely first; nothing if that is not known yet, or if nothing can follow.
    pub fn list(&self) -> &[TokenStats] {
        self.exploration.tree().expansion(self.before()).map_or(&[], |e| &e.top)
    }

    /// The index in [`Walk::list`] of the token that stands at the place.
    pub fn chosen(&self) -> Option<usize> {
        let token = self.exploration.tree().token(*self.path.get(self.at)?)?;
        self.list().iter().position(|t| t.id == token)
    }

    /// Whether the text is being written.
    pub fn is_writing(&self) -> bool {
        self.following.is_some()
    }

    /// Why nothing can follow the text; `None` if something can.
    pub fn end(&self) -> Option<Stop> {
        self.exploration.tree().stop(self.last()).filter(|stop| matches!(stop, Stop::EndToken | Stop::Context))
    }

    /// Writes on at the end of the text.
    pub fn go_on(&mut self) -> Result<()> {
        self.stop()?;
        let tree = self.exploration.tree();
        let greedy = BeamParameters { width: 1, max_depth: self.steps, ..BeamParameters::default() };
        let from = self.last();
        if tree.stop(from).is_some_and(|stop| matches!(stop, Stop::EndToken | Stop::Context)) {
            return Ok(());
        }
        self.following = self.exploration.begin_following(from, Some(Strategy::Beam(greedy)), self.steps)?;
        Ok(())
    }

    /// Stops writing.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(following) = self.following.take() {
            self.exploration.end_following(following)?;
        }
        Ok(())
    }

    /// Writes the next token, if the text is being written.
    pub fn step(&mut self) -> Result<()> {
        let Some(following) = &mut self.following else { return Ok(()) };
        let goes_on = self.exploration.follow(following)?;
        if !goes_on {
            self.stop()?;
        }
        self.lengthen();
        self.mark();
        Ok(())
    }

    /// Follows the most likely nodes that are in the tree already.
    fn lengthen(&mut self) {
        let tree = self.exploration.tree();
        let mut last = self.last();
        while let Some(&child) = tree.children(last).first() {
            self.path.push(child);
            last = child;
        }
    }

    /// Marks the token that stands at the place.
    fn mark(&mut self) {
        self.choice = self.chosen().unwrap_or(self.choice.min(self.list().len().saturating_sub(1)));
    }

    /// Moves by so many tokens, to the end of the text at most.
    pub fn walk(&mut self, by: isize) {
        self.at = self.at.saturating_add_signed(by).min(self.path.len());
        self.choice = 0;
        self.mark();
    }

    /// Marks another alternative.
    pub fn choose(&mut self, by: isize) {
        self.choice = self.choice.saturating_add_signed(by).min(self.list().len().saturating_sub(1));
    }

    /// Puts an alternative at the place, and writes on from there. Nothing happens if there is no such alternative.
    pub fn take(&mut self, index: usize) -> Result<()> {
        let Some(token) = self.list().get(index).map(|t| t.id) else { return Ok(()) };
        self.stop()?;
        let place = (self.path.clone(), self.at);
        let child = self.exploration.child(self.before(), token)?;
        if self.path.get(self.at) != Some(&child) {
            self.undo.push(place);
            self.path.truncate(self.at);
            self.path.push(child);
            self.lengthen();
            self.go_on()?;
        }
        self.walk(1);
        Ok(())
    }

    /// Takes the last change back: the text and the place are as they were. What was found stays in the tree.
    pub fn undo(&mut self) -> Result<()> {
        if let Some((path, at)) = self.undo.pop() {
            self.stop()?;
            (self.path, self.at) = (path, at);
            self.mark();
        }
        Ok(())
    }
}
