//! Builds anew when the web app was built anew, or was not there before.

fn main() {
    println!("cargo::rerun-if-changed=../../web/dist");
}
