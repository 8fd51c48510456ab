//! Storage of key and value rows.

use std::cell::UnsafeCell;

/// Slots of a page.
pub(crate) const PAGE_ROWS: usize = 64;

/// Key and value rows of all layers that have some, in pages that never move.
///
/// A slot is one node's row in every layer; a page holds `PAGE_ROWS` slots as
/// `[layer][key, value][head][slot][head size]`, so that the rows of a head lie one after the other. Rows are f32.
pub struct KvPages {
    layers: Vec<LayerRows>,
    /// Elements of a page.
    page: usize,
    pages: Vec<Box<[UnsafeCell<f32>]>>,
}

/// Where the rows of a layer lie in every page.
#[derive(Clone, Copy)]
struct LayerRows {
    start: usize,
    width: usize,
}

// SAFETY: shared access only reads, except through `write`, whose caller keeps writers apart.
unsafe impl Sync for KvPages {}

/// Which of the two rows of a slot is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KvKind {
    /// Key row.
    Key,
    /// Value row.
    Value,
}

impl KvPages {
    /// Slots of a page.
    pub const PAGE_ROWS: usize = PAGE_ROWS;

    /// Storage without any pages, for layers whose rows have these widths (KV heads × head size).
    pub fn new(widths: impl IntoIterator<Item = usize>) -> KvPages {
        let mut page = 0;
        let layers = widths
            .into_iter()
            .map(|width| {
                let start = page;
                page += 2 * PAGE_ROWS * width;
                LayerRows { start, width }
            })
            .collect();
        KvPages { layers, page, pages: Vec::new() }
    }

    /// Slots that exist.
    pub fn slots(&self) -> usize {
        self.pages.len() * PAGE_ROWS
    }

    /// Elements of a row of this layer.
    pub(crate) fn width(&self, layer: usize) -> usize {
        self.layers[layer].width
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.pages.len() * self.page * 4
    }

    /// Adds a page of zeros and returns its first slot.
    pub fn grow(&mut self) -> u32 {
        let first = self.slots() as u32;
        let page: Box<[f32]> = vec![0.0f32; self.page].into_boxed_slice();
        // SAFETY: `UnsafeCell<f32>` has the layout of `f32`, and the box is owned.
        self.pages.push(unsafe { Box::from_raw(Box::into_raw(page) as *mut [UnsafeCell<f32>]) });
        first
    }

    /// Drops the last page with what is in it.
    pub fn shrink(&mut self) {
        self.pages.pop();
    }

    /// The part of a slot's row that belongs to one head of `dim` elements.
    fn cells(&self, layer: usize, kind: KvKind, slot: u32, head: usize, dim: usize) -> &[UnsafeCell<f32>] {
        let LayerRows { start, width } = self.layers[layer];
        let (page, slot) = (slot as usize / PAGE_ROWS, slot as usize % PAGE_ROWS);
        let rows = (usize::from(kind == KvKind::Value) * width + head * dim) * PAGE_ROWS;
        &self.pages[page][start + rows + slot * dim..][..dim]
    }

    /// A head of a row, `[dim]`.
    #[inline]
    pub(crate) fn row(&self, layer: usize, kind: KvKind, slot: u32, head: usize, dim: usize) -> &[f32] {
        let cells = self.cells(layer, kind, slot, head, dim);
        // SAFETY: a cell has the layout of its f32. Rows are written (`write`) in an earlier step of the team than the
        // one that reads them.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
    }

    /// Writes a row, `[heads][dim]`.
    ///
    /// # Safety
    /// Nobody else may read or write this row at the same time.
    pub(crate) unsafe fn write(&self, layer: usize, kind: KvKind, slot: u32, dim: usize, row: &[f32]) {
        for (head, x) in row.chunks_exact(dim).enumerate() {
            let cells = self.cells(layer, kind, slot, head, dim);
            // SAFETY: the cells allow mutation and the caller is alone with this row.
            let to = unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) };
            to.copy_from_slice(x);
        }
    }
}
