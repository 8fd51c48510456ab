//! Tables with Arrow's PyCapsule interface, which pandas, polars, pyarrow and DuckDB read directly.

use crate::error;
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, Float64Builder, ListBuilder, StringBuilder, UInt32Builder};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchIterator};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{Field, Schema};
use logitree::{Error, ErrorKind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::PyCapsule;
use std::sync::Arc;

/// A table.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Table {
    batch: RecordBatch,
}

impl From<RecordBatch> for Table {
    fn from(batch: RecordBatch) -> Table {
        Table { batch }
    }
}

/// Makes a column of the named kind from a list of Python values.
fn column(kind: &str, values: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    macro_rules! build {
        ($builder:expr, $value:ty) => {{
            let mut builder = $builder;
            for value in values.try_iter()? {
                builder.append_option(value?.extract::<Option<$value>>()?);
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    macro_rules! lists {
        ($builder:expr, $value:ty) => {{
            let mut builder = ListBuilder::new($builder);
            for list in values.try_iter()? {
                for value in list?.try_iter()? {
                    builder.values().append_value(value?.extract::<$value>()?);
                }
                builder.append(true);
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    Ok(match kind {
        "u32" => build!(UInt32Builder::new(), u32),
        "f64" => build!(Float64Builder::new(), f64),
        "bool" => build!(BooleanBuilder::new(), bool),
        "str" => build!(StringBuilder::new(), PyBackedStr),
        "bytes" => build!(BinaryBuilder::new(), PyBackedBytes),
        "list[u32]" => lists!(UInt32Builder::new(), u32),
        "list[f64]" => lists!(Float64Builder::new(), f64),
        "list[str]" => lists!(StringBuilder::new(), PyBackedStr),
        _ => return Err(PyValueError::new_err(format!("no kind of column is named {kind}"))),
    })
}

#[pymethods]
impl Table {
    /// Columns as `(name, kind, values)`.
    #[new]
    fn new(py: Python<'_>, columns: Vec<(String, String, Bound<'_, PyAny>)>) -> PyResult<Table> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (name, kind, values) in columns {
            let array = column(&kind, &values)?;
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let made = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        let broken = |e| error::exception(py, &Error::with_source(ErrorKind::Internal, "internal error: a table", e));
        Ok(made.map_err(broken)?.into())
    }

    #[getter]
    fn names(&self) -> Vec<String> {
        self.batch.schema().fields().iter().map(|f| f.name().clone()).collect()
    }

    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.batch.schema().as_ref());
        let schema = schema.map_err(|e| PyValueError::new_err(e.to_string()))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// The rows as a stream; what the reader asks for of the schema is for it to convert.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let rows = RecordBatchIterator::new([Ok(self.batch.clone())], self.batch.schema());
        let stream = FFI_ArrowArrayStream::new(Box::new(rows));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }
}
