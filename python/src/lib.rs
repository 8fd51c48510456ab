//! The extension module of the Python package: a thin layer over the `logitree` library.
//!
//! The classes here hold models, sessions and results and return their numbers as columns. How results are shown, and
//! everything that can be done as well in Python, is in `package/logitree`.

mod analyses;
mod call;
mod error;
mod exploration;
mod generation;
mod layers;
mod lens;
mod model;
mod prompt;
mod run;
mod scores;
mod server;
mod session;
mod table;
mod vector;

use pyo3::prelude::*;
use std::ffi::OsString;

/// The `logitree` command: does what the arguments ask for, the program's name first, and gives the exit code.
#[pyfunction]
fn run_cli(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| logitree_cli::main_with_args(args))
}

/// Panics, so that a test can check which exception Python gets.
#[pyfunction]
fn panic(py: Python<'_>) -> PyResult<()> {
    let call = call::Call::new(None);
    call.whole(py, || -> logitree::Result<()> { panic!("as the test asked") })
}

#[pymodule]
fn _logitree(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("DEFAULT_MODEL", logitree::models::DEFAULT)?;
    m.add_class::<model::Model>()?;
    m.add_class::<prompt::Prompt>()?;
    m.add_class::<session::Session>()?;
    m.add_class::<generation::Generation>()?;
    m.add_class::<exploration::Exploration>()?;
    m.add_class::<lens::Lens>()?;
    m.add_class::<run::Run>()?;
    m.add_class::<server::Server>()?;
    m.add_class::<table::Table>()?;
    m.add_class::<vector::Vector>()?;
    m.add_function(wrap_pyfunction!(run_cli, m)?)?;
    m.add_function(wrap_pyfunction!(panic, m)?)?;
    m.add_function(wrap_pyfunction!(analyses::compare_texts, m)?)?;
    m.add_function(wrap_pyfunction!(analyses::compare_runs, m)?)?;
    m.add_function(wrap_pyfunction!(analyses::decide, m)?)?;
    m.add_function(wrap_pyfunction!(analyses::attribute, m)?)?;
    m.add_function(wrap_pyfunction!(run::read, m)?)?;
    m.add_function(wrap_pyfunction!(server::framed, m)?)?;
    m.add_function(wrap_pyfunction!(scores::record, m)?)
}
