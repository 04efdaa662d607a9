//! Tells the linker where `rwtext_hook.x` is.

fn main() {
    if let Ok(here) = std::env::var("CARGO_MANIFEST_DIR") {
        println!("cargo:rustc-link-search={here}");
    }
    println!("cargo:rerun-if-changed=rwtext_hook.x");
    println!("cargo:rerun-if-changed=build.rs");
}
