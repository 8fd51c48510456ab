//! Every format with good and bad rows, read in little steps; journals that end anywhere.

use super::row::MAX_ROW;
use super::*;
use crate::error::Result;
use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use logitree_core::run;
use serde_json::Value;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

fn source(path: &Path) -> Source {
    Source { path: path.into(), format: None, field: "text".into(), id_field: None }
}

/// The rows of a file with this content, and the number that is counted.
fn read(name: &str, content: &[u8]) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let source = source(&path);
    let rows: Vec<Row> = source.rows().unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(source.count().unwrap(), Some(rows.len() as u64));
    rows
}

fn row(number: u64, id: impl Into<Value>, text: &str) -> Row {
    Row { number, id: id.into(), text: Ok(text.into()) }
}

/// What is wrong with a row.
fn wrong(row: &Row) -> &str {
    row.text.as_ref().unwrap_err()
}

#[test]
fn lines_are_texts_or_objects_and_bad_ones_say_why() {
    let texts = read("a.txt", b"\xef\xbb\xbfone\r\n\n  two \n\xff\nthree");
    assert_eq!(texts[..2], [row(1, 1, "one"), row(3, 3, "  two ")]);
    assert_eq!((texts[2].number, wrong(&texts[2])), (4, "the line is not UTF-8 (byte 0)"));
    assert_eq!(texts[3..], [row(5, 5, "three")]);
    let lines = [
        r#"{"id": "a", "text": "one"}"#,
        r#"{"id": 7, "text": "two\n"}"#,
        r#"{"text": "no id"}"#,
        r#"{"id": null, "text": "null id"}"#,
        r#"{"id": "b"}"#,
        r#"{"id": "c", "text": 5}"#,
        r#"{"id": [], "text": "x"}"#,
        r#"["x"]"#,
        r#"{"text": "x""#,
        "",
        r#"{"text": "end", "more": {}}"#,
    ];
    let rows = read("a.jsonl", lines.join("\n").as_bytes());
    assert_eq!(rows[..4], [row(1, "a", "one"), row(2, 7, "two\n"), row(3, 3, "no id"), row(4, 4, "null id")]);
    assert_eq!((wrong(&rows[4]), &rows[4].id), (r#"there is no "text"; there are "id""#, &json!("b")));
    assert_eq!((wrong(&rows[5]), &rows[5].id), (r#""text" is a number, not a text"#, &json!("c")));
    assert_eq!(wrong(&rows[6]), r#""id" is a list, not a text or a number"#);
    assert_eq!(wrong(&rows[7]), "the line is a list, not a JSON object");
    assert!(wrong(&rows[8]).starts_with("the line is not JSON: "), "{}", wrong(&rows[8]));
    assert_eq!(rows[9..], [row(11, 11, "end")]);
}

#[test]
fn a_line_without_end_is_passed_over() {
    let long = vec![b'x'; MAX_ROW + 2];
    let rows = read("a.txt", &[&b"one\n"[..], &long, b"\ntwo\n"].concat());
    assert_eq!([rows[0].clone(), rows[2].clone()], [row(1, 1, "one"), row(3, 3, "two")]);
    assert_eq!(wrong(&rows[1]), "the line is longer than 64 MB");
}

#[test]
fn tables_as_text_have_quotes_lines_and_other_delimiters() {
    let rows = read("a.csv", b"\xef\xbb\xbfid,text\r\na,\"one, \"\"two\"\"\nthree\"\r\n,four\r\nx,y,z\nb,\xff\nc\n");
    assert_eq!(rows[..2], [row(1, "a", "one, \"two\"\nthree"), row(2, 2, "four")]);
    assert_eq!((wrong(&rows[2]), rows[2].number), ("3 cells where the head has 2", 3));
    assert_eq!((wrong(&rows[3]), &rows[3].id), (r#""text" is not UTF-8 (byte 0)"#, &json!("b")));
    assert_eq!(wrong(&rows[4]), "1 cells where the head has 2");
    assert_eq!(read("a.tsv", b"text\tid\none, two\t3\n"), [row(1, "3", "one, two")]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "id,prompt\n1,x\n").unwrap();
    let error = |source: &Source| source.rows().err().unwrap();
    let missing = error(&source(&path));
    assert_eq!(missing.parameter(), Some("field"));
    assert!(missing.chain().contains(r#"it has "id", "prompt""#), "{missing:?}");
    let named = Source { field: "prompt".into(), id_field: Some("name".into()), ..source(&path) };
    assert_eq!(error(&named).parameter(), Some("id_field"));
    // A quote that is not closed does not take the memory of the rest of the file.
    let long = [&b"text\none\n\""[..], &vec![b'x'; MAX_ROW + (1 << 20)]].concat();
    std::fs::write(&path, long).unwrap();
    let mut rows = source(&path).rows().unwrap();
    assert_eq!(rows.next().unwrap().unwrap(), row(1, 1, "one"));
    assert!(rows.next().unwrap().unwrap_err().chain().contains("is a quote not closed?") && rows.next().is_none());
}

/// A text and a name.
type Texts<'a> = (Option<&'a [u8]>, i64);

/// Writes a Parquet file with texts and names in groups of rows.
fn parquet_file(path: &Path, groups: &[Vec<Texts<'_>>], codec: Compression) {
    let schema = Arc::new(parse_message_type("message m { optional binary text; required int64 id; }").unwrap());
    let properties = WriterProperties::builder().set_compression(codec).build();
    let file = std::fs::File::create(path).unwrap();
    let mut file = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for rows in groups {
        let mut group = file.next_row_group().unwrap();
        let texts: Vec<ByteArray> = rows.iter().filter_map(|r| r.0).map(|t| ByteArray::from(t.to_vec())).collect();
        let levels: Vec<i16> = rows.iter().map(|r| i16::from(r.0.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).unwrap();
        column.close().unwrap();
        let ids: Vec<i64> = rows.iter().map(|r| r.1).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    file.close().unwrap();
}

#[test]
fn parquet_is_read_group_by_group_and_what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let many: Vec<String> = (0..1000).map(|i| format!("text {i}")).collect();
    let rows = |range: std::ops::Range<usize>| range.map(|i| (Some(many[i].as_bytes()), i as i64 * 3)).collect();
    let bad: Vec<Texts<'_>> = vec![(None, -1), (Some(b"\xff"), -2), (Some(b""), -3)];
    parquet_file(&path, &[rows(0..700), bad, Vec::new(), rows(700..1000)], Compression::SNAPPY);
    let source = source(&path);
    let found: Vec<Row> = source.rows().unwrap().collect::<Result<_>>().unwrap();
    assert_eq!((found.len(), source.count().unwrap()), (1003, Some(1003)));
    assert_eq!(found[699], row(700, 2097, "text 699"));
    assert_eq!([wrong(&found[700]), wrong(&found[701])], [r#""text" is null"#, r#""text" is not UTF-8 (byte 0)"#]);
    assert_eq!(found[702], row(703, -3, ""));
    assert_eq!(found[1002], row(1003, 2997, "text 999"));
    let refused = |source: Source| source.rows().err().unwrap().chain();
    assert!(refused(Source { field: "texts".into(), ..source.clone() }).contains(r#"it has "text", "id""#));
    assert!(refused(Source { field: "id".into(), ..source.clone() }).contains("has INT64, not texts"));
    // Any prefix of the file is refused or read, and nothing panics.
    let whole = std::fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..end]).unwrap();
        if let Ok(rows) = source.rows() {
            rows.for_each(drop);
        }
    }
    let mut changed = whole.clone();
    for at in (0..whole.len()).step_by(53) {
        changed[at] ^= 0x55;
        std::fs::write(&path, &changed).unwrap();
        if let Ok(rows) = source.rows() {
            rows.take(5000).for_each(drop);
        }
        changed[at] = whole[at];
    }
}

fn made(sha256: &str, top: u32) -> Made {
    let model = run::Model {
        name: "m".into(),
        sha256: "1".into(),
        architecture: "a".into(),
        dtype: "f32".into(),
        tokenizer: "bpe".into(),
        tokenizer_sha256: None,
        vocab: 2,
        context: 8,
        end_tokens: Vec::new(),
        arithmetic: None,
        summation_orders: Vec::new(),
    };
    let input = Input {
        name: "a.csv".into(),
        sha256: Some(sha256.into()),
        format: Format::Csv,
        field: "text".into(),
        id_field: None,
    };
    let parameters = json!({ "top": top });
    let (engine, logitree, created) = (String::new(), String::new(), String::new());
    Made { command: "score".into(), input, table: TableFormat::Csv, model, engine, parameters, logitree, created }
}

fn begin(path: &Path, made: Made, force: bool) -> Result<Begun> {
    Making::check(path, force, &[])?;
    Making::begin(path, made, force)
}

fn going(path: &Path, made: Made, force: bool) -> Making {
    match begin(path, made, force).unwrap() {
        Begun::Going(making) => making,
        Begun::Done(ended) => panic!("{ended:?}"),
    }
}

fn columns() -> [Column; 4] {
    [("row", ColumnKind::Integer), ("n", ColumnKind::Number), ("yes", ColumnKind::Flag), ("error", ColumnKind::Text)]
        .map(|(name, kind)| Column::new(name, kind))
}

fn cells(line: &Value) -> Vec<Vec<Value>> {
    vec![columns().map(|c| line[&c.name].clone()).to_vec()]
}

#[test]
fn a_table_goes_on_behind_the_last_complete_line_whatever_ended_it() {
    let lines = [r#"{"row":1,"n":0.1,"yes":true}"#, r#"{"row":3,"error":"it, is \"bad\""}"#, r#"{"row":4,"n":1e-7}"#];
    let wanted = "row,n,yes,error\n1,0.1,true,\n3,,,\"it, is \"\"bad\"\"\"\n4,0.0000001,,\n";
    let whole = {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let mut making = going(&path, made("x", 5), false);
        assert_eq!((making.last(), making.counts()), (0, (0, 0)));
        for (number, line) in [1, 3, 4].into_iter().zip(lines) {
            making.add(number, line, number == 3).unwrap();
        }
        making.flush().unwrap();
        assert!(!path.exists(), "the table appears whole");
        std::fs::read(making.journal()).unwrap()
    };
    let header = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
    for end in header..=whole.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(folder.path().join("t.csv.part.jsonl"), &whole[..end]).unwrap();
        let mut making = going(&path, made("x", 5), false);
        let last = making.last();
        assert_eq!(making.counts().0, [1, 3, 4].iter().filter(|n| **n <= last).count() as u64);
        for (number, line) in [1, 3, 4].into_iter().zip(lines).filter(|(n, _)| *n > last) {
            making.add(number, line, number == 3).unwrap();
        }
        let ended = making.finish(&columns(), &cells).unwrap();
        assert_eq!((ended.rows, ended.bad), (3, 1));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted);
        assert!(!folder.path().join("t.csv.part.jsonl").exists());
        // The same again is done; something else is refused, and makes it anew with `force`.
        assert!(matches!(begin(&path, made("x", 5), false).unwrap(), Begun::Done(e) if e == ended));
        let refused = begin(&path, made("x", 6), false).err().unwrap().to_string();
        assert!(refused.contains("made with another top: 5, not 6"), "{refused}");
        assert_eq!(going(&path, made("x", 6), true).last(), 0);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted, "it stays until there is a better one");
    }
}

#[test]
fn what_was_begun_with_something_else_is_refused_and_names_what() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    let mut making = going(&path, made("x", 5), false);
    making.add(1, r#"{"row":1}"#, false).unwrap();
    assert!(begin(&path, made("x", 5), false).err().unwrap().to_string().contains("another logitree is writing"));
    drop(making);
    let refused = |made: Made| begin(&path, made, false).err().unwrap().to_string();
    assert!(refused(made("y", 5)).contains("begun with another input: a.csv (sha256 x), not a.csv (sha256 y)"));
    assert!(refused(Made { command: "next".into(), ..made("x", 5) }).contains("another command: score, not next"));
    let mut other = made("x", 5);
    other.model.sha256 = "2".into();
    assert!(refused(other).contains("another model: m (sha256 1), not m (sha256 2)"));
    let mut other = made("x", 5);
    other.model.summation_orders = vec![9];
    assert!(refused(other).contains("another order of sums: [1], not [9]"));
    let mut other = made("x", 5);
    other.model.arithmetic = Some("8-bit".into());
    assert!(refused(other).contains("another arithmetic: f32, not 8-bit"));
    // Names and times may be others.
    let mut same = made("x", 5);
    (same.created, same.input.name, same.model.name) = ("now".into(), "b.csv".into(), "n".into());
    assert_eq!(going(&path, same, false).last(), 1);
    // What cannot be read again cannot be gone on with.
    std::fs::remove_file(folder.path().join("t.csv.part.jsonl")).unwrap();
    let mut stream = made("x", 5);
    stream.input.sha256 = None;
    drop(going(&path, stream.clone(), false));
    assert!(refused(stream).contains("cannot be read again"));
    // A file of somebody else stays, and so does one that was changed since.
    std::fs::remove_file(folder.path().join("t.csv.part.jsonl")).unwrap();
    std::fs::write(&path, "mine").unwrap();
    assert!(refused(made("x", 5)).contains("exists: `force` overwrites it"));
    assert!(Making::check(&folder.path().join("t.txt"), false, &[]).is_err());
    assert!(Making::check(&path, true, &[&path]).is_err(), "the input is not overwritten");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn a_table_of_numbers_is_read_back_from_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let mut making = going(&path, Made { table: TableFormat::Parquet, ..made("x", 5) }, false);
    let rows = 20_000;
    for number in 1..=rows {
        making.add(number, &json!({ "row": number, "error": format!("row {number}") }).to_string(), true).unwrap();
    }
    making.finish(&columns(), &cells).unwrap();
    let source = Source { field: "error".into(), id_field: Some("row".into()), ..source(&path) };
    let found: Vec<Row> = source.rows().unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(found.len() as u64, rows);
    assert!(found.iter().zip(1..).all(|(r, n)| *r == row(n, n, &format!("row {n}"))));
}
