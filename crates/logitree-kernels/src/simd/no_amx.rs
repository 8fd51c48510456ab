//! Stands in for [AMX](super::amx) on other processors. Its types have no values, so none of its functions can be
//! called.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileUnit {}

pub(crate) struct Tiles(TileUnit);

impl TileUnit {
    pub(crate) fn configure(self, _rows: usize, _bytes: usize) -> Tiles {
        match self {}
    }
}

impl Tiles {
    pub(crate) fn zero(&mut self, _i: usize) {
        match self.0 {}
    }
    pub(crate) unsafe fn load_left(&mut self, _pieces: [*const u8; 3]) {
        match self.0 {}
    }
    pub(crate) unsafe fn multiply(&mut self, _i: usize, _right: *const u8) {
        match self.0 {}
    }
    pub(crate) unsafe fn load(&mut self, _i: usize, _from: *const f32, _apart: usize) {
        match self.0 {}
    }
    pub(crate) unsafe fn store(&mut self, _i: usize, _to: *mut f32, _apart: usize) {
        match self.0 {}
    }
}
