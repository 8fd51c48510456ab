//! The global names, which templates need not define.

use super::value::{Value, View};

/// The value of a global name.
pub(super) fn global(name: &str) -> Option<Value> {
    let names = ["range", "dict", "lipsum", "cycler", "joiner", "namespace", "raise_exception", "strftime_now"];
    names.iter().find(|n| **n == name).map(|n| Value::Function(n))
}

/// The view of a dict that the method `name` returns.
pub(super) fn view(of: &Value, name: &str) -> Option<Value> {
    let Value::Dict(dict) = of else { return None };
    let kind = match name {
        "items" => View::Items,
        "keys" => View::Keys,
        "values" => View::Values,
        _ => return None,
    };
    Some(Value::View(kind, dict.clone()))
}
