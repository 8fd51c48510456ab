//! Exploration: which nodes to evaluate, and what becomes of them.
