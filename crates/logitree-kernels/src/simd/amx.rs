//! AMX: a unit beside AVX-512 that multiplies tiles of bf16 numbers.
//!
//! It has eight tile registers of up to 16 rows of 64 bytes. `tdpbf16ps c, a, b` adds to the f32 `c[m][n]` the products
//! of row `m` of `a` with column `n` of `b`, which has two of its numbers in each row: `Σ a[m][2 r] · b[r][2 n]` and `Σ
//! a[m][2 r + 1] · b[r][2 n + 1]`, two chains of multiply-adds over `r`, rounded to nearest, are added up and their sum
//! is added to `c`. Numbers too small to be normal count as zero.
//!
//! This file is written in assembly, because Rust's intrinsics for AMX are not stable.
//!
//! While tile registers are in use, half of the floating-point multiplications of AVX-512 have to wait, so the
//! registers should be released before other work.

use super::LANES;
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

/// Proof that the CPU has AMX with products of bf16 numbers and that this process may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileUnit(());

impl TileUnit {
    pub(super) fn detect() -> Option<TileUnit> {
        const BF16: u32 = 1 << 22;
        const TILES: u32 = 1 << 24;
        // SAFETY: every x86-64 CPU has the instruction. Newer compilers know this and need no `unsafe`.
        #[allow(unused_unsafe)]
        let found = unsafe { __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (BF16 | TILES) == BF16 | TILES };
        (found && allowed()).then_some(TileUnit(()))
    }
}

/// Asks the system to let all threads of this process use the tile registers. Asking more than once does no harm.
#[cfg(target_os = "linux")]
fn allowed() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XTILEDATA: libc::c_long = 18;
    // SAFETY: this call takes two numbers and touches none of the program's memory. It fails if the operating system or
    // the CPU has no such registers.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> bool {
    false
}

/// Shapes of the tile registers, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const _: () = assert!(size_of::<Config>() == 64);

/// The tile registers of the current thread: four tiles of sums, a right matrix, and the three pieces of a left matrix.
/// They are released when this value is dropped.
///
/// Registers keep their contents between calls, because nothing else in this program uses them. A value belongs to the
/// thread that made it.
pub(crate) struct Tiles(std::marker::PhantomData<*const ()>);

impl TileUnit {
    /// Configures the registers for products of left matrices of `rows` × `bytes / 2` numbers with right ones of `bytes
    /// / 2` × 16.
    #[inline(always)]
    pub(crate) fn configure(self, rows: usize, bytes: usize) -> Tiles {
        assert!((1..=LANES).contains(&rows) && bytes <= 64 && bytes.is_multiple_of(4));
        // Registers 0 to 3 hold sums, 4 the right matrix and 5 to 7 the left one.
        let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        config.row_bytes[..5].fill(64);
        config.row_bytes[5..8].fill(bytes as u16);
        config.rows[..8].fill(rows as u8);
        config.rows[4] = (bytes / 4) as u8;
        // SAFETY: a `TileUnit` proves that the instruction exists; it reads a valid configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        Tiles(std::marker::PhantomData)
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: only this value uses the registers.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}

/// Calls `$run!("tmm<i>")` with the name of the register that holds sums `i`.
macro_rules! sums {
    ($i:expr, $run:ident) => {
        match $i {
            0 => $run!("tmm0"),
            1 => $run!("tmm1"),
            2 => $run!("tmm2"),
            3 => $run!("tmm3"),
            i => unreachable!("sums {i}"),
        }
    };
}

impl Tiles {
    /// Loads the three pieces of the left matrix. The rows of a piece are 64 bytes apart.
    ///
    /// # Safety
    /// All rows must lie in memory that may be read.
    #[inline(always)]
    pub(crate) unsafe fn load_left(&mut self, pieces: [*const u8; 3]) {
        // SAFETY: the caller promises that the rows may be accessed.
        unsafe {
            asm!("tileloadd tmm5, [{a} + 1*{apart}]", "tileloadd tmm6, [{b} + 1*{apart}]", "tileloadd tmm7, [{c} + 1*{apart}]",
                a = in(reg) pieces[0], b = in(reg) pieces[1], c = in(reg) pieces[2], apart = in(reg) 64usize,
                out("tmm5") _, out("tmm6") _, out("tmm7") _, options(nostack, readonly, preserves_flags));
        }
    }

    /// Multiplies the pieces of the left matrix, one after the other, with a right matrix and adds the products to sums
    /// `i`. The rows of the right matrix are 64 bytes apart.
    ///
    /// # Safety
    /// All rows must lie in memory that may be read.
    #[inline(always)]
    pub(crate) unsafe fn multiply(&mut self, i: usize, right: *const u8) {
        macro_rules! multiply {
            ($sums:tt) => {
                asm!(
                    "tileloadd tmm4, [{right} + 1*{apart}]",
                    concat!("tdpbf16ps ", $sums, ", tmm5, tmm4"),
                    concat!("tdpbf16ps ", $sums, ", tmm6, tmm4"),
                    concat!("tdpbf16ps ", $sums, ", tmm7, tmm4"),
                    right = in(reg) right, apart = in(reg) 64usize,
                    out($sums) _, out("tmm4") _, options(nostack, readonly, preserves_flags)
                )
            };
        }
        // SAFETY: the caller promises that the rows may be accessed.
        unsafe { sums!(i, multiply) }
    }

    /// Clears sums `i`.
    #[inline(always)]
    pub(crate) fn zero(&mut self, i: usize) {
        macro_rules! zero {
            ($sums:tt) => {
                asm!(concat!("tilezero ", $sums), out($sums) _, options(nostack, nomem, preserves_flags))
            };
        }
        // SAFETY: only this value uses the registers.
        unsafe { sums!(i, zero) }
    }

    /// Loads sums `i`: a vector for each row of the left matrix, `apart` f32 from one to the next.
    ///
    /// # Safety
    /// All rows must lie in memory that may be read.
    #[inline(always)]
    pub(crate) unsafe fn load(&mut self, i: usize, from: *const f32, apart: usize) {
        macro_rules! load {
            ($sums:tt) => {
                asm!(concat!("tileloadd ", $sums, ", [{from} + 1*{apart}]"), from = in(reg) from, apart = in(reg) 4 * apart,
                    out($sums) _, options(nostack, readonly, preserves_flags))
            };
        }
        // SAFETY: the caller promises that the rows may be accessed.
        unsafe { sums!(i, load) }
    }

    /// Stores sums `i`, a vector for each row of the left matrix, `apart` f32 from one to the next.
    ///
    /// # Safety
    /// All rows must lie in memory that may be written.
    #[inline(always)]
    pub(crate) unsafe fn store(&mut self, i: usize, to: *mut f32, apart: usize) {
        macro_rules! store {
            ($sums:tt) => {
                asm!(concat!("tilestored [{to} + 1*{apart}], ", $sums), to = in(reg) to, apart = in(reg) 4 * apart,
                    options(nostack, preserves_flags))
            };
        }
        // SAFETY: the caller promises that the rows may be accessed.
        unsafe { sums!(i, store) }
    }
}
