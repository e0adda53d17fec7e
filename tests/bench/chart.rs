//! The table and the chart of a run, with Guild beside BuildBot.

use crate::figures::{Figure, OWN, median, sorted};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// `Row` is one metric, with the median of its figures for Guild (`own`) and for BuildBot (`peer`).
struct Row {
    metric: String,
    unit: String,
    own: Option<f64>,
    peer: Option<f64>,
}

/// Writes the figures as lines of JSON, as a table and as a chart into a directory. Returns the text of the table.
pub fn write(dir: &Path, figures: &[Figure]) -> io::Result<String> {
    std::fs::create_dir_all(dir)?;
    let lines = figures.iter().filter_map(|figure| serde_json::to_string(figure).ok());
    std::fs::write(dir.join("bench.jsonl"), lines.map(|line| line + "\n").collect::<String>())?;
    let rows = rows(figures);
    let table = table(&rows);
    std::fs::write(dir.join("bench.md"), &table)?;
    std::fs::write(dir.join("bench.svg"), chart(&rows))?;
    Ok(table)
}

/// Returns the rows in the order in which their metrics were measured.
fn rows(figures: &[Figure]) -> Vec<Row> {
    let mut order: Vec<(String, String)> = Vec::new();
    let mut values: BTreeMap<(String, bool), Vec<f64>> = BTreeMap::new();
    for figure in figures {
        let metric = sized(figure);
        values.entry((metric.clone(), figure.peer == OWN)).or_default().push(figure.value);
        if !order.iter().any(|(name, _)| *name == metric) {
            order.push((metric, figure.unit.clone()));
        }
    }
    let value = |metric: &str, own| values.get(&(metric.to_owned(), own)).map(|all| median(&sorted(all.clone())));
    let row =
        |(metric, unit): (String, String)| Row { own: value(&metric, true), peer: value(&metric, false), metric, unit };
    order.into_iter().map(row).collect()
}

/// Returns the metric's name, with the size of the work (`name @size`) if the figure depends on it. So figures of work of different
/// sizes come into different rows.
fn sized(figure: &Figure) -> String {
    let name = common_name(&figure.metric);
    let size = figure.detail.get("builds").and_then(serde_json::Value::as_u64);
    let size = size.or_else(|| (figure.n > 1 && matches!(figure.unit.as_str(), "s" | "MiB")).then_some(figure.n));
    match size {
        Some(size) if !name.ends_with(&format!("_{size}")) => format!("{name} @{size}"),
        Some(_) | None => name.to_owned(),
    }
}

/// Returns our name of a metric that BuildBot's harness measures with the same work under another name.
fn common_name(metric: &str) -> &str {
    match metric {
        "event_ws_from_command_end_p50" => "event_from_command_end_p50",
        "event_ws_from_command_end_p95" => "event_from_command_end_p95",
        "fanout_ws" => "fanout_100",
        "fanout_none" => "fanout_0",
        other => other,
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = "| metric | Guild | BuildBot | unit | ratio |\n| --- | ---: | ---: | --- | ---: |\n".to_owned();
    for row in rows {
        let cell = |value: Option<f64>| value.map_or(String::new(), shown);
        let ratio = row.ratio().map_or(String::new(), |ratio| format!("{} x", shown(ratio)));
        let _ = writeln!(text, "| {} | {} | {} | {} | {ratio} |", row.metric, cell(row.own), cell(row.peer), row.unit);
    }
    text
}

impl Row {
    /// Returns how many times better Guild is. More is better for rates (units that end in `/s`, except `ms/s`), and less is better
    /// for all else. `None` means that the values cannot be compared.
    fn ratio(&self) -> Option<f64> {
        let (own, peer) = (self.own?, self.peer?);
        let more_is_better = self.unit.ends_with("/s") && self.unit != "ms/s";
        let ratio = if more_is_better { own / peer } else { peer / own };
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    }
}

fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

const BAR: f64 = 18.0;
const LEFT: f64 = 230.0;
const WIDTH: f64 = 760.0;

/// Draws the ratios to BuildBot as bars on a logarithmic scale, as SVG.
fn chart(rows: &[Row]) -> String {
    let bars: Vec<(&Row, f64)> = rows.iter().filter_map(|row| Some((row, row.ratio()?))).collect();
    let most = bars.iter().map(|(_, ratio)| ratio.abs().log10()).fold(1.0, f64::max);
    let height = BAR * bars.len() as f64 + 50.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\" font-weight=\"bold\">Guild beside BuildBot: times better, logarithmic</text>\n"
    );
    for (index, (row, ratio)) in bars.iter().enumerate() {
        let y = 36.0 + BAR * index as f64;
        let width = (ratio.log10() / most * (WIDTH - LEFT - 90.0)).max(1.0);
        let color = if *ratio >= 1.0 { "#2f6f4f" } else { "#a33b2e" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.0}\" \
             height=\"{:.0}\" fill=\"{color}\"/><text x=\"{:.0}\" y=\"{:.0}\">{} x</text>",
            LEFT - 8.0,
            y + 12.0,
            row.metric,
            BAR - 4.0,
            LEFT + width + 6.0,
            y + 12.0,
            shown(*ratio)
        );
    }
    svg.push_str("</svg>\n");
    svg
}
