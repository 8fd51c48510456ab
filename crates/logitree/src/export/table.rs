//! Tables whose columns are defined once, with names, types and values, and which become CSV, Parquet and Arrow.

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "parquet")]
mod parquet;

use std::borrow::Cow;
use std::io::Write;

/// A table that is made when it is written: `R` is what the values of a row are computed from.
pub struct Table<'a, R> {
    columns: Vec<Column<'a, R>>,
    rows: Box<dyn Iterator<Item = R> + 'a>,
}

// CSV has no types.
#[cfg_attr(not(any(feature = "arrow", feature = "parquet")), allow(dead_code))]
struct Column<'a, R> {
    name: Cow<'static, str>,
    kind: Kind,
    /// Whether there is a value in every row.
    required: bool,
    cell: Box<dyn Fn(&R) -> Cell + 'a>,
}

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unsigned numbers of 32 bits.
    Integer,
    /// Signed numbers of 64 bits.
    Long,
    /// Numbers of double precision.
    Number,
    /// UTF-8 texts.
    Text,
    /// True or false.
    Flag,
}

/// A value in a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Empty,
    /// A value of [`Kind::Integer`].
    Integer(u32),
    /// A value of [`Kind::Long`].
    Long(i64),
    /// A value of [`Kind::Number`].
    Number(f64),
    /// A value of [`Kind::Text`].
    Text(Cow<'static, str>),
    /// A value of [`Kind::Flag`].
    Flag(bool),
}

impl Cell {
    /// The value as in CSV: numbers have as many digits as it takes to read the same number back.
    fn into_text(self) -> Cow<'static, str> {
        match self {
            Cell::Empty => "".into(),
            Cell::Integer(i) => i.to_string().into(),
            Cell::Long(i) => i.to_string().into(),
            Cell::Number(x) => x.to_string().into(),
            Cell::Text(text) => text,
            Cell::Flag(flag) => flag.to_string().into(),
        }
    }
}

/// What can stand in a column. An `Option` makes a column whose values may be missing.
pub trait Value {
    /// The column's type.
    const KIND: Kind;
    /// Whether there is a value in every row.
    const REQUIRED: bool = true;
    /// The value.
    fn cell(self) -> Cell;
}

macro_rules! value {
    ($($type:ty => $kind:ident($convert:expr)),*) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::$kind;
            fn cell(self) -> Cell {
                let convert: fn($type) -> _ = $convert;
                Cell::$kind(convert(self))
            }
        }
    )*};
}

value!(
    u32 => Integer(|n| n), usize => Integer(|n| n as u32), i64 => Long(|n| n), f64 => Number(|x| x),
    String => Text(Cow::Owned), &'static str => Text(Cow::Borrowed), bool => Flag(|b| b)
);

impl<V: Value> Value for Option<V> {
    const KIND: Kind = V::KIND;
    const REQUIRED: bool = false;
    fn cell(self) -> Cell {
        self.map_or(Cell::Empty, V::cell)
    }
}

impl<'a, R> Table<'a, R> {
    /// A table without columns.
    pub fn of(rows: impl IntoIterator<Item = R, IntoIter: 'a>) -> Table<'a, R> {
        Table { columns: Vec::new(), rows: Box::new(rows.into_iter()) }
    }

    /// Adds a column. Its type is that of the values.
    #[must_use]
    pub fn column<V: Value>(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Fn(&R) -> V + 'a,
    ) -> Table<'a, R> {
        let cell = Box::new(move |row: &R| value(row).cell());
        self.columns.push(Column { name: name.into(), kind: V::KIND, required: V::REQUIRED, cell });
        self
    }

    /// Names of the columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| &*c.name)
    }

    /// Writes a head and the rows as CSV, one row at a time.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn csv(self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(self.names())?;
        for row in self.rows {
            let fields = self.columns.iter().map(|c| (c.cell)(&row).into_text());
            fields.into_iter().try_for_each(|field| csv.write_field(&*field))?;
            csv.write_record(None::<&[u8]>)?;
        }
        csv.flush()
    }
}
