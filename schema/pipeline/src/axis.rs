//! Reads `[axis.NAME]`: the values of an axis, each with the keys that it gives to its jobs.

use super::axis_value::AxisValue;
use super::{entry, keys};
use std::collections::BTreeMap;
use std::rc::Rc;
use toml_file::{At, NAME_MAX, Page, Table, Value, is_name};

/// The axes by name, each with its values in the order of the file. Each cell shares its values with the axes.
pub(super) type Axes = BTreeMap<String, Vec<Rc<AxisValue>>>;

pub(super) fn read(root: &Table<'_>) -> Axes {
    let Some(axes) = root.get("axis").and_then(|value| value.table("[axis]")) else { return Axes::new() };
    let read = axes.named().into_iter().filter_map(|(name, value)| {
        check_name(axes.page(), &name, "an axis");
        Some((name.value.to_owned(), axis(name.value, &value)?))
    });
    read.collect()
}

fn axis(name: &str, value: &Value<'_>) -> Option<Vec<Rc<AxisValue>>> {
    let table = value.table(format!("[axis.{name}]"))?;
    let values: Vec<Rc<AxisValue>> =
        table.named().into_iter().filter_map(|(key, value)| axis_value(name, key, &value)).collect();
    if values.is_empty() && table.page().is_clean() {
        value.refuse("has no values", "", "write one a line: NAME = {}");
    }
    Some(values)
}

fn axis_value(axis: &str, key: At<&str>, value: &Value<'_>) -> Option<Rc<AxisValue>> {
    let table = value.table(format!("[axis.{axis}.{}]", key.value))?;
    check_name(table.page(), &key, "an axis value");
    let mut read = AxisValue { name: key.value.to_owned(), ..AxisValue::default() };
    entry::read(&table, keys::AXIS_VALUE, &mut read);
    table.close(keys::AXIS_VALUE_LATER);
    Some(Rc::new(read))
}

/// Reports a name that is not valid, and returns whether it is valid. Names are parts of selectors, in which they need no quotes.
pub(super) fn check_name(page: &Page<'_>, name: &At<&str>, what: &str) -> bool {
    let good = is_name(name.value);
    if !good {
        let message = format!("`{}` is not a valid name for {what}", name.value);
        page.error(name.span.clone(), message, "", format!("use letters, digits and `.` `_` `-`, at most {NAME_MAX}"));
    }
    good
}
