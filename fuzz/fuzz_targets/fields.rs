#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| piecemeal_fuzz::fields::check(bytes));
