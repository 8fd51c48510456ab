//! The library's errors as Python's exceptions.

use logitree::{Error, ErrorKind};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

/// The class in `logitree._errors` for a kind of error.
fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Parameter(_) => "ParameterError",
        ErrorKind::Input => "InputError",
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::Model => "ModelError",
        ErrorKind::Network => "NetworkError",
        ErrorKind::Io | ErrorKind::Closed => "FileError",
        _ => "InternalError",
    }
}

/// The exception for an error. Its message includes the error's causes.
pub fn exception(py: Python<'_>, e: &Error) -> PyErr {
    if e.kind() == ErrorKind::Interrupted {
        return PyKeyboardInterrupt::new_err(e.chain());
    }
    named(py, class(e.kind()), e.chain(), e.parameter())
}

/// An exception of one of our own classes.
pub fn named(py: Python<'_>, class: &str, message: String, parameter: Option<&str>) -> PyErr {
    let made = || -> PyResult<Bound<'_, PyAny>> {
        let made = py.import("logitree._errors")?.getattr(class)?.call1((&message,))?;
        made.setattr("parameter", parameter)?;
        Ok(made)
    };
    match made() {
        Ok(value) => PyErr::from_value(value),
        Err(_) => PyRuntimeError::new_err(message),
    }
}

/// The exception for an invalid value of a parameter.
pub fn parameter(py: Python<'_>, name: &'static str, message: String) -> PyErr {
    exception(py, &Error::new(ErrorKind::Parameter(name), message))
}
