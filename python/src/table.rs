//! Tables with Arrow's PyCapsule interface, which pandas, polars, pyarrow and DuckDB read directly.

use crate::error;
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, Float64Builder, ListBuilder, StringBuilder, UInt32Builder};
use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchIterator};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use logitree::{Error, ErrorKind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyCapsule, PyList, PyTuple};
use std::sync::Arc;

/// A table. Its rows are those of the batches, one after another, which have one schema.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl From<RecordBatch> for Table {
    fn from(batch: RecordBatch) -> Table {
        Table { schema: batch.schema(), batches: vec![batch] }
    }
}

/// The kinds of columns with their names.
fn kind_of(data: &DataType) -> &'static str {
    match data {
        DataType::UInt32 => "u32",
        DataType::Float64 => "f64",
        DataType::Boolean => "bool",
        DataType::Binary => "bytes",
        DataType::List(field) => match field.data_type() {
            DataType::UInt32 => "list[u32]",
            DataType::Float64 => "list[f64]",
            _ => "list[str]",
        },
        _ => "str",
    }
}

/// A value of a column as Python's.
fn value<'py>(py: Python<'py>, column: &dyn Array, row: usize) -> PyResult<Bound<'py, PyAny>> {
    if column.is_null(row) {
        return Ok(py.None().into_bound(py));
    }
    Ok(match column.data_type() {
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into_pyobject(py)?.into_any(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into_pyobject(py)?.into_any(),
        DataType::Boolean => column.as_boolean().value(row).into_pyobject(py)?.to_owned().into_any(),
        DataType::Binary => PyBytes::new(py, column.as_binary::<i32>().value(row)).into_any(),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            let values = (0..list.len()).map(|i| value(py, &list, i)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, values)?.into_any()
        }
        _ => column.as_string::<i32>().value(row).into_pyobject(py)?.into_any(),
    })
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
    /// Columns as `(name, kind, values)`; a kind ends in `!` if no value is missing.
    #[new]
    fn new(py: Python<'_>, columns: Vec<(String, String, Bound<'_, PyAny>)>) -> PyResult<Table> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (name, kind, values) in columns {
            let array = column(kind.trim_end_matches('!'), &values)?;
            fields.push(Field::new(name, array.data_type().clone(), !kind.ends_with('!')));
            arrays.push(array);
        }
        let made = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        let broken = |e| error::exception(py, &Error::with_source(ErrorKind::Internal, "internal error: a table", e));
        Ok(made.map_err(broken)?.into())
    }

    /// Tables with the same columns, one below the other. Nothing is copied.
    #[staticmethod]
    fn join(py: Python<'_>, tables: Vec<PyRef<'_, Table>>) -> PyResult<Table> {
        let Some(first) = tables.first() else {
            return Err(error::parameter(py, "tables", "`tables`: there is none to join".into()));
        };
        let schema = first.schema.clone();
        if tables.iter().any(|t| t.schema != schema) {
            return Err(error::parameter(py, "tables", "`tables`: they have different columns".into()));
        }
        let batches = tables.iter().flat_map(|t| t.batches.iter().cloned()).collect();
        Ok(Table { schema, batches })
    }

    #[getter]
    fn names(&self) -> Vec<String> {
        self.schema.fields().iter().map(|f| f.name().clone()).collect()
    }

    /// The columns as `(name, kind, values)`, as the constructor takes them.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, String, Bound<'py, PyList>)>> {
        let column = |(i, field): (usize, &Arc<Field>)| {
            let cells = self.batches.iter().flat_map(|b| (0..b.num_rows()).map(move |row| (b.column(i), row)));
            let values = cells.map(|(column, row)| value(py, column, row)).collect::<PyResult<Vec<_>>>()?;
            let kind = format!("{}{}", kind_of(field.data_type()), if field.is_nullable() { "" } else { "!" });
            Ok((field.name().clone(), kind, PyList::new(py, values)?))
        };
        self.schema.fields().iter().enumerate().map(column).collect()
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn __eq__(&self, other: &Table) -> bool {
        self.schema == other.schema && self.batches == other.batches
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let columns = slf.get().columns(slf.py())?;
        Ok((slf.get_type().into_any(), PyTuple::new(slf.py(), [columns])?))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref());
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
        let rows = RecordBatchIterator::new(self.batches.clone().into_iter().map(Ok), self.schema.clone());
        let stream = FFI_ArrowArrayStream::new(Box::new(rows));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }
}
