//! What stands for [AMX](super::amx) where there is none: nothing of it can be made.

use super::{LANES, Lanes};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileUnit {}

pub(crate) struct Tiles(TileUnit);

impl TileUnit {
    pub(crate) fn configure(self, _rows: usize, _bytes: usize) -> Tiles {
        match self {}
    }
}

impl Tiles {
    pub(crate) unsafe fn load(&mut self, _from: *const u8) {
        match self.0 {}
    }
    pub(crate) unsafe fn multiply(&mut self, _i: usize, _right: *const u8) {
        match self.0 {}
    }
    pub(crate) fn store(&mut self, _i: usize, _to: &mut [Lanes<f32>; LANES]) {
        match self.0 {}
    }
}
