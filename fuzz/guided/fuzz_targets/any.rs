//! Any target under libFuzzer: the one that `CORDON_FUZZ_TARGET` names. One program for all of them, because building
//! one takes minutes.

#![no_main]

use fuzz::Target;
use std::sync::LazyLock;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CORDON_FUZZ_TARGET").expect("CORDON_FUZZ_TARGET names the target");
    fuzz::named(&name).expect("there is a target of that name")
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.check)(input));
