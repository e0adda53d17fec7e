//! Replaces `{axis}` in strings. It is not used for scripts, because a value must never become code.

use super::matrix::Cell;

/// Replaces each `{axis}` of a text by the cell's value. Fails with the name in the braces if it is not an axis.
///
/// `{{name}}` becomes `{name}`. `${name}`, which belongs to a shell, stays, and so do braces around anything that is not a name, such
/// as `{}` or `{"a": 1}`.
pub(super) fn fill(text: &str, cell: &Cell) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, open) = rest.split_at(at);
        filled.push_str(before);
        if let Some(name) = braced(open.strip_prefix("{{").unwrap_or_default()).filter(|name| doubled(open, name)) {
            filled.push_str(&format!("{{{name}}}"));
            rest = &open[name.len() + 4..];
        } else if let Some(name) = braced(&open[1..]).filter(|_| !before.ends_with('$')) {
            filled.push_str(cell.get(name).ok_or_else(|| name.to_owned())?);
            rest = &open[name.len() + 2..];
        } else {
            filled.push('{');
            rest = &open[1..];
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Returns the first axis of the cell that a script has in braces, where another string would have its value.
pub(super) fn axis_in<'c>(script: &str, cell: &'c Cell) -> Option<&'c str> {
    let axes = || cell.0.iter().map(|it| &*it.axis);
    script.match_indices('{').find_map(|(at, _)| {
        let (before, after) = (&script[..at], &script[at + 1..]);
        let name = braced(after).filter(|_| !before.ends_with(['$', '{']))?;
        axes().find(|axis| *axis == name)
    })
}

fn doubled(open: &str, name: &str) -> bool {
    open[name.len() + 2..].starts_with("}}")
}

/// Returns the name at the beginning of a text that a `}` follows.
fn braced(text: &str) -> Option<&str> {
    let name = &text[..text.find('}')?];
    let starts = name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (starts && name.bytes().all(allowed)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::axis_value::AxisValue;
    use super::super::matrix::Coordinate;
    use super::*;

    #[test]
    fn what_is_replaced() {
        let value = AxisValue { name: "3.14".to_owned(), ..AxisValue::default() };
        let cell = Cell(vec![Coordinate { axis: "py".into(), value: value.into() }]);
        for (text, wanted) in [
            ("py={py}", Ok("py=3.14")),
            ("{py}{py}", Ok("3.143.14")),
            ("{{py}} {}", Ok("{py} {}")),
            ("{{ .Name }} {\"a\":{}}", Ok("{{ .Name }} {\"a\":{}}")),
            ("${HOME} {py", Ok("${HOME} {py")),
            ("{{py}", Ok("{3.14")),
            ("é{py}é", Ok("é3.14é")),
            ("{other}", Err("other")),
        ] {
            assert_eq!(fill(text, &cell), wanted.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }
}
