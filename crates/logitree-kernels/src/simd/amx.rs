//! AMX: a unit that multiplies tiles of bytes, beside AVX-512.
//!
//! Eight tile registers of up to 16 rows of 64 bytes. `tdpbsud c, a, b` adds to the 32-bit element `c[m][n]` the products
//! of 64 signed bytes of `a[m]` with 64 unsigned ones, four from each row of `b`: `Σ a[m][4r + j] · b[r][4n + j]`.
//! It is written in assembly, because Rust's intrinsics for it are not stable; a call leaves the registers released.

use crate::fixed::{DIGITS, Row};
use crate::simd::{LANES, Lanes};
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

/// Proof that the CPU has AMX with products of bytes and that this process may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileUnit(());

impl TileUnit {
    pub(crate) fn detect() -> Option<TileUnit> {
        const TILES: u32 = 1 << 24;
        const BYTES: u32 = 1 << 25;
        let found = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (TILES | BYTES) == TILES | BYTES;
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

/// The tile registers, configured; released when dropped. They keep what they hold between calls, because nothing else in
/// this program uses them.
pub(crate) struct Tiles(std::marker::PhantomData<*const ()>);

impl TileUnit {
    /// For so many columns of activations.
    pub(crate) fn configure(self, columns: usize) -> Tiles {
        assert!((1..=LANES).contains(&columns));
        // Registers 0 to 3 hold sums, 6 weights and 7 activations.
        let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        config.row_bytes[..8].fill(64);
        config.rows[..8].fill(columns as u8);
        config.rows[6] = LANES as u8;
        // SAFETY: a `TileUnit` proves that the instruction exists; it reads a valid configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack)) };
        Tiles(std::marker::PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: nothing but this value uses the registers.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}

impl Tiles {
    /// Steps of a chunk: each multiplies one digit of weights with one of activations.
    pub(crate) const STEPS: usize = 9;

    /// Begins with these sums, `[power][16]` rows.
    pub(crate) fn start(&mut self, start: &[Row; DIGITS * LANES]) {
        // SAFETY: the tiles lie within `start`.
        unsafe {
            asm!(
                "tileloadd tmm0, [{start} + 1*{row}]",
                "tileloadd tmm1, [{start} + 1*{row} + 1024]",
                "tileloadd tmm2, [{start} + 1*{row} + 2048]",
                "tileloadd tmm3, [{start} + 1*{row} + 3072]",
                start = in(reg) start, row = in(reg) size_of::<Row>(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, options(nostack)
            );
        }
    }

    /// Stores the sums, likewise, as bits.
    pub(crate) fn finish(&mut self, sums: &mut [Lanes<f32>; DIGITS * LANES]) {
        // SAFETY: the tiles lie within `sums`.
        unsafe {
            asm!(
                "tilestored [{sums} + 1*{row}], tmm0",
                "tilestored [{sums} + 1*{row} + 1024], tmm1",
                "tilestored [{sums} + 1*{row} + 2048], tmm2",
                "tilestored [{sums} + 1*{row} + 3072], tmm3",
                sums = in(reg) sums, row = in(reg) size_of::<Row>(), options(nostack)
            );
        }
    }

    /// One step of a chunk; all must be taken in order. `x` are signed digits of activations, `[digit, highest first][16]` rows,
    /// `weights` unsigned ones of 16 rows, `[digit, lowest first][16]` vectors of four columns a lane.
    ///
    /// Each digit of weights, from the highest on, meets those of activations with which its power is among the first four.
    #[inline(always)]
    pub(crate) fn step(&mut self, step: usize, x: &[Row; DIGITS * LANES], weights: &[Lanes<f32>; 3 * LANES]) {
        macro_rules! product {
            ($sum:tt, $x:literal) => {
                asm!(
                    concat!("tileloadd tmm7, [{x} + 1*{row} + ", $x, "]"),
                    concat!("tdpbsud ", $sum, ", tmm7, tmm6"),
                    x = in(reg) x, row = in(reg) size_of::<Row>(), out($sum) _, out("tmm7") _, options(nostack)
                )
            };
            ($sum:tt, $x:literal, $weights:literal) => {
                asm!(
                    concat!("tileloadd tmm6, [{weights} + 1*{row} + ", $weights, "]"),
                    concat!("tileloadd tmm7, [{x} + 1*{row} + ", $x, "]"),
                    concat!("tdpbsud ", $sum, ", tmm7, tmm6"),
                    x = in(reg) x, weights = in(reg) weights, row = in(reg) size_of::<Row>(),
                    out($sum) _, out("tmm6") _, out("tmm7") _, options(nostack)
                )
            };
        }
        // SAFETY: the tiles lie within `x` and `weights`.
        unsafe {
            match step {
                0 => product!("tmm0", "0", "2048"),
                1 => product!("tmm1", "1024"),
                2 => product!("tmm2", "2048"),
                3 => product!("tmm3", "3072"),
                4 => product!("tmm1", "0", "1024"),
                5 => product!("tmm2", "1024"),
                6 => product!("tmm3", "2048"),
                7 => product!("tmm2", "0", "0"),
                8 => product!("tmm3", "1024"),
                _ => unreachable!("step {step}"),
            }
        }
    }
}

const _: () = assert!(size_of::<Config>() == 64 && size_of::<Row>() == 64);
