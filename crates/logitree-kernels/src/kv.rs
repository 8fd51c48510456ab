//! Storage of key and value rows.

use std::cell::UnsafeCell;

/// Slots of a page.
pub(crate) const PAGE_ROWS: usize = 64;

/// Key and value rows of all layers, in pages that never move.
///
/// A slot is one node's row in every layer; a page holds `PAGE_ROWS` slots as
/// `[layer][key, value][slot][width]`. Rows are f32.
pub struct KvPages {
    layers: usize,
    width: usize,
    pages: Vec<Box<[UnsafeCell<f32>]>>,
}

// SAFETY: shared access only reads, except through `row_mut`, whose caller keeps writers apart.
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
    /// Storage without any pages, for rows of `width` elements (KV heads × head size).
    pub fn new(layers: usize, width: usize) -> KvPages {
        KvPages { layers, width, pages: Vec::new() }
    }

    /// Slots that exist.
    pub fn slots(&self) -> usize {
        self.pages.len() * PAGE_ROWS
    }

    /// Elements of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.pages.len() * self.page_len() * 4
    }

    fn page_len(&self) -> usize {
        self.layers * 2 * PAGE_ROWS * self.width
    }

    /// Adds a page of zeros and returns its first slot.
    pub fn grow(&mut self) -> u32 {
        let first = self.slots() as u32;
        let page: Box<[f32]> = vec![0.0f32; self.page_len()].into_boxed_slice();
        // SAFETY: `UnsafeCell<f32>` has the layout of `f32`, and the box is owned.
        self.pages.push(unsafe { Box::from_raw(Box::into_raw(page) as *mut [UnsafeCell<f32>]) });
        first
    }

    fn cells(&self, layer: usize, kind: KvKind, slot: u32) -> &[UnsafeCell<f32>] {
        assert!(layer < self.layers);
        let plane = layer * 2 + usize::from(kind == KvKind::Value);
        let slot = slot as usize;
        &self.pages[slot / PAGE_ROWS][(plane * PAGE_ROWS + slot % PAGE_ROWS) * self.width..][..self.width]
    }

    /// A row, `[width]`.
    #[inline]
    pub(crate) fn row(&self, layer: usize, kind: KvKind, slot: u32) -> &[f32] {
        let cells = self.cells(layer, kind, slot);
        // SAFETY: a cell has the layout of its f32. Rows are written (`row_mut`) in an earlier step of the team than the one
        // that reads them.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
    }

    /// A row for writing.
    ///
    /// # Safety
    /// Nobody else may read or write this row at the same time.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn row_mut(&self, layer: usize, kind: KvKind, slot: u32) -> &mut [f32] {
        let cells = self.cells(layer, kind, slot);
        // SAFETY: the cells allow mutation and the caller is alone with this row.
        unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
    }
}
