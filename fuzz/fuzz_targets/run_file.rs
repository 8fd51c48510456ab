#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    logitree_fuzz::run_file(data);
});
