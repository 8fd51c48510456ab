//! Builds anew when the web app was built anew, or was not there before, and says where it is missing.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=app");
    if !Path::new("app/index.html").is_file() {
        println!(
            "cargo::warning=the web app is not built, so the program will have none; `npm --prefix web ci` and `npm --prefix web run build` build it"
        );
    }
}
