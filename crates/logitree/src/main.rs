//! See what a language model could have said.

fn main() {}
