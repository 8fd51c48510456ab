//! A sort whose comparison can fail, because comparing two values can be an error of the template.

use super::fault::Outcome;
use std::cmp::Ordering;

/// Sorts `items` with a comparison that can fail. Equal items keep their order.
pub(super) fn sort_by<T: Clone>(
    items: &mut [T],
    mut compare: impl FnMut(&T, &T) -> Outcome<Option<Ordering>>,
) -> Outcome<()> {
    let mut width = 1;
    let mut merged = Vec::with_capacity(items.len());
    while width < items.len() {
        merged.clear();
        for run in items.chunks(2 * width) {
            let (mut left, mut right) = run.split_at(width.min(run.len()));
            while let ([a, ..], [b, ..]) = (left, right) {
                let from = if compare(b, a)? == Some(Ordering::Less) { &mut right } else { &mut left };
                merged.push(from[0].clone());
                *from = &from[1..];
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        items.clone_from_slice(&merged);
        width *= 2;
    }
    Ok(())
}
