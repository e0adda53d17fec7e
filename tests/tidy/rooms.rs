//! The rooms of the master: their order, which rooms each uses, and the picture of that in `docs/architecture.svg`. The uses are
//! read from the imports of the code, so neither the order nor the picture can become wrong.

use super::{code, sources, top};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

/// The rooms from the top to the bottom, with the purpose of each. A room may use only rooms below it.
const ROOMS: [(&str, &str); 8] = [
    ("program", "what a person starts"),
    ("serve", "who is told: capabilities, pages, reporters"),
    ("explain", "why a job waits, what to do about it, the doctor"),
    ("intake", "a change becomes a plan"),
    ("commit", "one transaction, and only then anyone is told"),
    ("keep", "where facts and bytes lie"),
    ("config", "the master file, the clock"),
    ("decide", "what is so: pure, and told the time"),
];

/// `Arrows` has the number of files of the first room that use the second, for each pair of rooms.
type Arrows = BTreeMap<(usize, usize), usize>;

fn rank(name: &str) -> Option<usize> {
    ROOMS.iter().position(|(room, _)| *room == name)
}

/// Returns the modules below the root of the crate that a file uses. For example, `crate::keep::store` uses `keep`.
fn named(text: &str) -> Vec<String> {
    let code = code(text);
    let code = code.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code = code.split("#[cfg(test)]\n#[path").next().unwrap_or_default();
    let words = code.split("crate::").skip(1);
    words.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '{').collect()).collect()
}

/// Returns the files of a room without tests, with the modules that each of them uses.
fn files_of(room: &str) -> Vec<(String, Vec<String>)> {
    let files = sources(&format!("master/src/{room}")).into_iter().filter_map(|(path, text)| {
        let name = path.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
        let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
        (!is_test).then(|| (name, named(&text)))
    });
    files.collect()
}

fn arrows() -> Arrows {
    let mut arrows = Arrows::new();
    for (from, (room, _)) in ROOMS.iter().enumerate() {
        for (_, names) in files_of(room) {
            let mut targets: Vec<usize> = names.iter().filter_map(|name| rank(name)).filter(|to| *to != from).collect();
            targets.sort_unstable();
            targets.dedup();
            for to in targets {
                *arrows.entry((from, to)).or_default() += 1;
            }
        }
    }
    arrows
}

#[test]
fn no_arrow_runs_up() {
    let mut wrong = Vec::new();
    for (from, (room, _)) in ROOMS.iter().enumerate() {
        for (file, names) in files_of(room) {
            let is_plain = from == 0 || !names.iter().any(|name| name.starts_with('{'));
            assert!(is_plain, "{file}: write one `use crate::ROOM::…` per room");
            let up = names.iter().filter(|name| rank(name).is_some_and(|to| to < from));
            wrong.extend(up.map(|name| format!("{file} names `{name}`, which stands above `{room}`")));
            // the items of `lib.rs` wire the rooms, so only the room `program` may use them
            let roots = names.iter().filter(|name| rank(name).is_none() && from > 0);
            wrong.extend(roots.map(|name| format!("{file} names `crate::{name}`, which wires the rooms")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_master_stands_in_a_room() {
    for entry in fs::read_dir(top().join("master/src")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let is_root = ["lib.rs", "main.rs"].contains(&name.as_str());
        assert!(is_root || rank(&name).is_some(), "master/src/{name} stands in no room");
    }
}

/// Returns the modules of a room that other rooms can use, for the picture.
fn modules_of(room: &str) -> Vec<String> {
    let text = fs::read_to_string(top().join("master/src").join(room).join("mod.rs")).unwrap();
    let declared =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("pub(crate) mod ")));
    declared.filter_map(|rest| rest.strip_suffix(';')).map(str::to_owned).collect()
}

/// The width of the picture in pixels. The constants below are the sizes and places of the rooms in it.
const WIDTH: usize = 960;
const ROOM_WIDTH: usize = 660;
const ROOM_HEIGHT: usize = 74;
const ROOM_APART: usize = 92;
const LEFT: usize = 20;
const TOP: usize = 20;

fn picture() -> String {
    let height = TOP + ROOMS.len() * ROOM_APART;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\">\n<title>The rooms of the master, each above those that it uses</title>\n\
         <style>.room{{fill:#f6f4ee;stroke:#8a8372}}.name{{font-size:19px;font-weight:600;fill:#2c2a25}}\
         .for{{font-size:13px;fill:#6b6556}}.modules{{font-size:13px;fill:#2c2a25;font-family:ui-monospace,monospace}}\
         .arrow{{fill:none;stroke:#4a7a8c;stroke-opacity:.55}}.tip{{fill:#4a7a8c}}.count{{font-size:11px;fill:#4a7a8c}}\
         @media (prefers-color-scheme:dark){{.room{{fill:#26241f;stroke:#8a8372}}.name,.modules{{fill:#ece8dc}}.for{{fill:#b0a994}}\
         .arrow{{stroke:#8fc1d4}}.tip,.count{{fill:#8fc1d4}}}}</style>\n"
    );
    for (row, (room, purpose)) in ROOMS.iter().enumerate() {
        draw_room(&mut svg, row, room, purpose);
    }
    for ((from, to), files) in arrows() {
        draw_arrow(&mut svg, from, to, files);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_room(svg: &mut String, row: usize, room: &str, purpose: &str) {
    let y = TOP + row * ROOM_APART;
    let (text, modules) = (LEFT + 18, modules_of(room).join(" · "));
    let lines = [("name", 26, room), ("for", 45, purpose), ("modules", 63, modules.as_str())];
    let _ = writeln!(
        svg,
        "<rect class=\"room\" x=\"{LEFT}\" y=\"{y}\" width=\"{ROOM_WIDTH}\" height=\"{ROOM_HEIGHT}\" rx=\"8\"/>"
    );
    for (class, below, line) in lines {
        let _ = writeln!(svg, "<text class=\"{class}\" x=\"{text}\" y=\"{}\">{line}</text>", y + below);
    }
}

/// Draws an arrow as an arc at the right of the rooms. It leaves the upper room in its lower half and reaches the lower room in its
/// upper half. The farther apart the rooms are, the farther right the arc goes.
fn draw_arrow(svg: &mut String, from: usize, to: usize, files: usize) {
    let right = LEFT + ROOM_WIDTH;
    let (span, places) = (to - from, ROOMS.len());
    // each arrow has a height of its own at both ends, so that no two arrows touch there
    let leaves = TOP + from * ROOM_APART + ROOM_HEIGHT / 2 + (places - span) * 4;
    let arrives = TOP + to * ROOM_APART + ROOM_HEIGHT / 2 - (places - span) * 4;
    let (bend, width) = (right + 24 + span * 42, 1.0 + (files as f64).sqrt() / 2.0);
    let _ = writeln!(
        svg,
        "<path class=\"arrow\" stroke-width=\"{width:.1}\" d=\"M{right} {leaves}C{bend} {leaves} {bend} {arrives} {} {arrives}\"/>\
         <path class=\"tip\" d=\"M{right} {arrives}l9 -4v8z\"/><text class=\"count\" x=\"{}\" y=\"{}\">{files}</text>",
        right + 8,
        right + 24 + (bend - right - 24) * 3 / 4,
        (leaves + arrives) / 2 + 4,
    );
}

#[test]
fn the_picture_of_the_rooms_is_fresh() {
    let drawn = fs::read_to_string(top().join("docs/architecture.svg")).unwrap_or_default();
    let draw = "draw it again: cargo test --workspace --all-features --test tidy -- --ignored";
    assert!(drawn == picture(), "docs/architecture.svg differs from the imports: {draw}");
}

#[test]
#[ignore = "writes docs/architecture.svg"]
fn draw_the_rooms() {
    fs::write(top().join("docs/architecture.svg"), picture()).unwrap();
}
