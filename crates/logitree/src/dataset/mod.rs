//! Data sets: texts from a file, one row after another, and one table with what was found for each.
//!
//! Both ends are streams: a file of any size is read and answered in little memory. A row that cannot be used says what
//! is wrong with it, and the rows after it are read all the same.

mod csv;
mod lines;
mod made;
mod parquet;
mod read;
mod row;
mod table;

pub use made::{Begun, Ended, Input, Made, Making};
pub use row::{Format, Row, Rows, Source};
pub use table::{Column, ColumnKind, TableFormat};

#[cfg(test)]
mod tests;
