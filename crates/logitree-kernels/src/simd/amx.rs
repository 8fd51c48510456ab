//! AMX: a unit that multiplies tiles of bytes, beside AVX-512.
//!
//! Eight tile registers of up to 16 rows of 64 bytes. `tdpbssd c, a, b` adds to the 32-bit element `c[m][n]` the products of
//! the signed bytes of `a[m]` with those of column `n` of `b`, four from each of its rows: `Σ a[m][4 r + j] · b[r][4 n + j]`.
//! It is written in assembly, because Rust's intrinsics for it are not stable.
//!
//! While tile registers are in use, half of the floating-point multiplications of AVX-512 have to wait: use them in one go.

use super::{LANES, Lanes};
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

/// Proof that the CPU has AMX with products of bytes and that this process may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileUnit(());

impl TileUnit {
    pub(super) fn detect() -> Option<TileUnit> {
        const TILES: u32 = 1 << 24;
        const BYTES: u32 = 1 << 25;
        // SAFETY: every x86-64 CPU has the instruction. Newer compilers know that.
        #[allow(unused_unsafe)]
        let found = unsafe { __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (TILES | BYTES) == TILES | BYTES };
        (found && allowed()).then_some(TileUnit(()))
    }
}

/// Asks the system for the use of the tile registers, for all threads of this process; it is asked again at no harm.
#[cfg(target_os = "linux")]
fn allowed() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XTILEDATA: libc::c_long = 18;
    // SAFETY: this call takes two numbers and touches no memory of ours. It fails where the kernel or the CPU has no such registers.
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

/// The tile registers for products of `rows` × `bytes` with `bytes` × 16 signed bytes; released when dropped.
///
/// They keep what they hold between calls, because nothing else in this program uses them.
pub(crate) struct Tiles(std::marker::PhantomData<*const ()>);

impl TileUnit {
    #[inline(always)]
    pub(crate) fn configure(self, rows: usize, bytes: usize) -> Tiles {
        assert!((1..=LANES).contains(&rows) && bytes <= 64 && bytes.is_multiple_of(4));
        // Registers 0 to 3 hold sums, 6 the right matrix and 7 the left one.
        let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        config.row_bytes[..7].fill(64);
        config.rows[..8].fill(rows as u8);
        config.rows[6] = (bytes / 4) as u8;
        config.row_bytes[7] = bytes as u16;
        // SAFETY: a `TileUnit` proves that the instruction exists; it reads a valid configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        Tiles(std::marker::PhantomData)
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: nothing but this value uses the registers.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}

impl Tiles {
    /// Takes the left matrix, its rows 32 bytes apart.
    ///
    /// # Safety
    /// All rows must lie in memory that may be read.
    #[inline(always)]
    pub(crate) unsafe fn load(&mut self, from: *const u8) {
        // SAFETY: the caller vouches for the rows.
        unsafe {
            asm!("tileloadd tmm7, [{from} + 1*{apart}]", from = in(reg) from, apart = in(reg) 32usize,
                out("tmm7") _, options(nostack, readonly, preserves_flags));
        }
    }

    /// Multiplies the left matrix with a right one, whose rows follow each other, into sums `i` of four.
    ///
    /// # Safety
    /// All rows must lie in memory that may be read.
    #[inline(always)]
    pub(crate) unsafe fn multiply(&mut self, i: usize, right: *const u8) {
        macro_rules! multiply {
            ($sums:tt) => {
                asm!(
                    concat!("tilezero ", $sums),
                    "tileloadd tmm6, [{right} + 1*{apart}]",
                    concat!("tdpbssd ", $sums, ", tmm7, tmm6"),
                    right = in(reg) right, apart = in(reg) 64usize,
                    out($sums) _, out("tmm6") _, options(nostack, readonly, preserves_flags)
                )
            };
        }
        // SAFETY: the caller vouches for the rows.
        unsafe {
            match i {
                0 => multiply!("tmm0"),
                1 => multiply!("tmm1"),
                2 => multiply!("tmm2"),
                3 => multiply!("tmm3"),
                _ => unreachable!("sums {i}"),
            }
        }
    }

    /// Stores sums `i`, as bits, a vector for each row of the left matrix.
    #[inline(always)]
    pub(crate) fn store(&mut self, i: usize, to: &mut [Lanes<f32>; LANES]) {
        macro_rules! store {
            ($sums:tt) => {
                asm!(concat!("tilestored [{to} + 1*{apart}], ", $sums), to = in(reg) to, apart = in(reg) 64usize,
                    options(nostack, preserves_flags))
            };
        }
        // SAFETY: 16 rows of 64 bytes lie within `to`.
        unsafe {
            match i {
                0 => store!("tmm0"),
                1 => store!("tmm1"),
                2 => store!("tmm2"),
                3 => store!("tmm3"),
                _ => unreachable!("sums {i}"),
            }
        }
    }
}
