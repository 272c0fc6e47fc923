#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwether_fuzz::alertmanager(data));
