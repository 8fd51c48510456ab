//! Numbers that Python reads in place, by the buffer protocol: read-only and without a copy.

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// Numbers of one kind.
enum Numbers {
    U32(Vec<u32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Numbers that `memoryview` and `numpy.asarray` take as they are.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Vector {
    numbers: Numbers,
    /// The number of elements. Buffers point to this while they are lent, and to the size of an element in bytes.
    shape: [ffi::Py_ssize_t; 1],
    strides: [ffi::Py_ssize_t; 1],
}

impl Vector {
    fn new(numbers: Numbers, length: usize, size: usize) -> Vector {
        Vector { numbers, shape: [length as ffi::Py_ssize_t], strides: [size as ffi::Py_ssize_t] }
    }
}

impl From<Vec<u32>> for Vector {
    fn from(v: Vec<u32>) -> Vector {
        let length = v.len();
        Vector::new(Numbers::U32(v), length, 4)
    }
}

impl From<Vec<f32>> for Vector {
    fn from(v: Vec<f32>) -> Vector {
        let length = v.len();
        Vector::new(Numbers::F32(v), length, 4)
    }
}

impl From<Vec<f64>> for Vector {
    fn from(v: Vec<f64>) -> Vector {
        let length = v.len();
        Vector::new(Numbers::F64(v), length, 8)
    }
}

#[pymethods]
impl Vector {
    fn __len__(&self) -> usize {
        self.shape[0] as usize
    }

    /// Lends the numbers.
    ///
    /// # Safety
    /// Python calls this with a view that it owns.
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view"));
        }
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("these numbers are read-only: copy them to change them"));
        }
        let vector = slf.get();
        let (data, format): (*const c_void, &'static CStr) = match &vector.numbers {
            Numbers::U32(v) => (v.as_ptr().cast(), c"I"),
            Numbers::F32(v) => (v.as_ptr().cast(), c"f"),
            Numbers::F64(v) => (v.as_ptr().cast(), c"d"),
        };
        let wants = |flag: c_int| flags & flag == flag;
        let or_null = |wanted: bool, p: *const ffi::Py_ssize_t| if wanted { p.cast_mut() } else { ptr::null_mut() };
        // SAFETY: `view` is Python's own and valid. The numbers, shape and strides are fields of a frozen object that
        // neither moves nor changes, and `obj` keeps it alive until the view is released.
        unsafe {
            (*view).buf = data.cast_mut();
            (*view).len = vector.shape[0] * vector.strides[0];
            (*view).readonly = 1;
            (*view).itemsize = vector.strides[0];
            (*view).format = if wants(ffi::PyBUF_FORMAT) { format.as_ptr().cast_mut() } else { ptr::null_mut() };
            (*view).ndim = 1;
            (*view).shape = or_null(wants(ffi::PyBUF_ND), vector.shape.as_ptr());
            (*view).strides = or_null(wants(ffi::PyBUF_STRIDES), vector.strides.as_ptr());
            (*view).suboffsets = ptr::null_mut();
            (*view).internal = ptr::null_mut();
            (*view).obj = slf.into_ptr();
        }
        Ok(())
    }

    /// Nothing was made for a view that would have to go.
    ///
    /// # Safety
    /// Python calls this with a view that `__getbuffer__` filled.
    #[allow(unsafe_code)]
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {}
}
