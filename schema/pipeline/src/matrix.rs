//! Computes the cells of a job from its keys `matrix`, `skip` and `only`.

use super::axis::{Axes, check_name};
use super::axis_value::AxisValue;
use crate::limits::{AXES_MAX, CELLS_MAX, RULES_MAX};
use std::collections::BTreeSet;
use std::rc::Rc;
use toml_file::{At, Page, Table, Value};

/// A cell: one value of each axis of the matrix, in the order of the axes. It is empty if the job has no matrix.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell(pub Vec<Coordinate>);

#[derive(Clone, Debug)]
pub(super) struct Coordinate {
    pub axis: Rc<str>,
    pub value: Rc<AxisValue>,
}

impl Cell {
    pub(super) fn get(&self, axis: &str) -> Option<&str> {
        self.0.iter().find(|it| &*it.axis == axis).map(|it| it.value.name.as_str())
    }

    /// Whether both cells have the same value on each axis that both have.
    pub(super) fn agrees(&self, other: &Cell) -> bool {
        self.0.iter().all(|it| other.get(&it.axis).is_none_or(|value| value == it.value.name))
    }

    pub(super) fn label(&self) -> String {
        let values: Vec<&str> = self.0.iter().map(|it| it.value.name.as_str()).collect();
        values.join(",")
    }
}

struct Axis {
    name: Rc<str>,
    values: Vec<Rc<AxisValue>>,
}

/// Returns the cells of a job, whose table is `job`.
pub(super) fn cells(job: &Table<'_>, axes: &Axes) -> Vec<Cell> {
    let (skip, only) = (job.get("skip"), job.get("only"));
    let Some(value) = job.get("matrix") else {
        for rule in [skip, only].into_iter().flatten() {
            rule.refuse("needs a `matrix`", "", "");
        }
        return vec![Cell::default()];
    };
    let Some(matrix) = read(job, &value, axes) else { return Vec::new() };
    let skip = skip.map(|value| rules(&value, &matrix)).unwrap_or_default();
    let only = only.map(|value| rules(&value, &matrix));
    let all = product(&matrix).into_iter();
    let kept = all.filter(|cell| only.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.matches(cell))));
    let kept: Vec<Cell> = kept.filter(|cell| !skip.iter().any(|rule| rule.matches(cell))).collect();
    if kept.is_empty() && job.page().is_clean() {
        value.refuse("has no cell left after `skip` and `only`", "", "");
    }
    kept
}

fn read(job: &Table<'_>, value: &Value<'_>, axes: &Axes) -> Option<Vec<Axis>> {
    let table = value.table(value.what())?;
    let named = table.named();
    let wanted = named.len();
    let matrix: Vec<Axis> =
        named.into_iter().filter_map(|(name, value)| axis(job.page(), name, &value, axes)).collect();
    if matrix.len() < wanted {
        return None;
    }
    if matrix.is_empty() || matrix.len() > AXES_MAX {
        value.refuse(format_args!("has {} axes, but 1 to {AXES_MAX} are allowed", matrix.len()), "", "");
        return None;
    }
    let count = matrix.iter().fold(1_usize, |count, axis| count.saturating_mul(axis.values.len()));
    if count > CELLS_MAX {
        value.refuse(format_args!("has {count} cells, but only {CELLS_MAX} are allowed"), "", "");
        return None;
    }
    check_variables(job.page(), value, &matrix).then_some(matrix)
}

/// Reports two axes that set the same environment variable, or that both name the platform. Returns whether there were none.
fn check_variables(page: &Page<'_>, value: &Value<'_>, matrix: &[Axis]) -> bool {
    let before = page.diagnostics().0.len();
    for (index, axis) in matrix.iter().enumerate() {
        for other in &matrix[..index] {
            if variable(&axis.name) == variable(&other.name) {
                let names = format!("`{}` and `{}`", other.name, axis.name);
                value.refuse(format_args!("has the axes {names}, which both are {}", variable(&axis.name)), "", "");
            }
        }
    }
    let says_on = |axis: &&Axis| axis.values.iter().any(|value| value.on.is_some());
    let platforms: Vec<_> = matrix.iter().filter(says_on).map(|axis| format!("`{}`", axis.name)).collect();
    if platforms.len() > 1 {
        value.refuse(format_args!("has two axes that say `on`: {}", platforms.join(" and ")), "", "");
    }
    page.diagnostics().0.len() == before
}

/// Returns the name of the environment variable that holds the cell's value of this axis.
pub(super) fn variable(axis: &str) -> String {
    format!("GUILD_AXIS_{}", axis.to_ascii_uppercase().replace(['.', '-'], "_"))
}

fn axis(page: &Page<'_>, name: At<&str>, value: &Value<'_>, axes: &Axes) -> Option<Axis> {
    if !check_name(page, &name, "an axis") {
        return None;
    }
    let defined = axes.get(name.value);
    let values = if value.is_string() { every(page, &name, value, axes)? } else { listed(page, value, defined)? };
    if values.is_empty() {
        value.refuse("has no values", "", "");
        return None;
    }
    Some(Axis { name: name.value.into(), values })
}

/// Reads the value `"*"`, which means every value of the axis.
fn every(page: &Page<'_>, name: &At<&str>, value: &Value<'_>, axes: &Axes) -> Option<Vec<Rc<AxisValue>>> {
    if value.string()?.value != "*" {
        value.refuse("must be \"*\" or an array", "", format!("\"*\" means all of [axis.{}]", name.value));
        return None;
    }
    let defined = axes.get(name.value).cloned();
    if defined.is_none() {
        let message = format!("{} takes all values of [axis.{}], which is not defined", value.what(), name.value);
        page.unknown(name.span.clone(), message, "no such axis", name.value, axes.keys().map(String::as_str));
    }
    defined
}

fn listed(page: &Page<'_>, value: &Value<'_>, defined: Option<&Vec<Rc<AxisValue>>>) -> Option<Vec<Rc<AxisValue>>> {
    let mut values: Vec<Rc<AxisValue>> = Vec::new();
    let names = value.strings()?;
    if names.len() < value.array()?.len() {
        return None;
    }
    if names.len() > CELLS_MAX {
        value.refuse(format_args!("has {} values, but only {CELLS_MAX} are allowed", names.len()), "", "");
        return None;
    }
    for name in names {
        let as_str = At { value: name.value.as_str(), span: name.span.clone() };
        if values.iter().any(|it| it.name == name.value) {
            page.error(name.span, format!("{} has `{}` twice", value.what(), name.value), "", "");
            return None;
        }
        values.push(match defined {
            Some(defined) => known(page, value.what(), &name, defined)?,
            None if check_name(page, &as_str, "an axis value") => {
                Rc::new(AxisValue { name: name.value, ..AxisValue::default() })
            }
            None => return None,
        });
    }
    Some(values)
}

/// Returns the value with this name. If there is none, it reports that.
fn known(page: &Page<'_>, what: &str, name: &At<String>, values: &[Rc<AxisValue>]) -> Option<Rc<AxisValue>> {
    let found = values.iter().find(|it| it.name == name.value);
    if found.is_none() {
        let message = format!("{what} has `{}`, which is not a value of the axis", name.value);
        let names = values.iter().map(|it| it.name.as_str());
        page.unknown(name.span.clone(), message, "no such value", &name.value, names);
    }
    found.cloned()
}

fn product(matrix: &[Axis]) -> Vec<Cell> {
    matrix.iter().fold(vec![Cell::default()], |cells, axis| {
        let longer = |cell: &Cell, value: &Rc<AxisValue>| {
            let coordinate = Coordinate { axis: axis.name.clone(), value: value.clone() };
            Cell(cell.0.iter().cloned().chain([coordinate]).collect())
        };
        cells.iter().flat_map(|cell| axis.values.iter().map(move |value| longer(cell, value))).collect()
    })
}

/// One table of `skip` or `only`. It matches a cell that has one of the listed values on each axis that the table names.
struct Rule(Vec<(Rc<str>, BTreeSet<String>)>);

impl Rule {
    fn matches(&self, cell: &Cell) -> bool {
        self.0.iter().all(|(axis, values)| cell.get(axis).is_some_and(|value| values.contains(value)))
    }
}

fn rules(value: &Value<'_>, matrix: &[Axis]) -> Vec<Rule> {
    let tables = if value.is_table() { vec![value.clone()] } else { value.array().unwrap_or_default() };
    if tables.len() > RULES_MAX {
        value.refuse(format_args!("has {} tables, but only {RULES_MAX} are allowed", tables.len()), "", "");
        return Vec::new();
    }
    tables.iter().filter_map(|it| it.table(it.what())).map(|table| rule(&table, matrix)).collect()
}

fn rule(table: &Table<'_>, matrix: &[Axis]) -> Rule {
    let named = table.named();
    if named.is_empty() {
        table.page().error(table.span(), format!("{} names no axis", table.place()), "", "");
    }
    let entries = named.into_iter().filter_map(|(name, value)| {
        let Some(axis) = matrix.iter().find(|axis| &*axis.name == name.value) else {
            let message = format!("{} names `{}`, which is not an axis of the matrix", table.place(), name.value);
            let names = matrix.iter().map(|axis| &*axis.name);
            table.page().unknown(name.span, message, "no such axis", name.value, names);
            return None;
        };
        let known = |it: At<String>| Some(known(table.page(), value.what(), &it, &axis.values)?.name.clone());
        Some((axis.name.clone(), value.one_or_more()?.into_iter().filter_map(known).collect()))
    });
    Rule(entries.collect())
}
