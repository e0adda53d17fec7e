//! C, C++ and other languages that are built by configure, Meson, CMake or make. If a repository has several of these, the one that
//! needs the fewest tools is used.

use super::Guess;
use super::folder::Folder;

const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

pub(super) fn guess(folder: &Folder) -> Option<Guess> {
    let kinds: [fn(&Folder) -> Option<Guess>; 4] = [configure, meson, cmake, autotools];
    kinds.into_iter().find_map(|kind| kind(folder))
}

fn configure(folder: &Folder) -> Option<Guess> {
    let guess = || Guess::new("native", "configure").step("build", "./configure && make");
    folder.has("configure").then(|| made(folder, guess()))
}

fn meson(folder: &Folder) -> Option<Guess> {
    let guess = || {
        Guess::new("native", "meson.build")
            .step("build", "meson setup build && meson compile -C build")
            .step("test", "meson test -C build --print-errorlogs")
    };
    folder.has("meson.build").then(guess)
}

fn cmake(folder: &Folder) -> Option<Guess> {
    let text = folder.text("CMakeLists.txt");
    // a `CMakeLists.txt` without `project` is a part of another project
    if !says(&text, "project(") {
        return None;
    }
    let guess = Guess::new("native", "CMakeLists.txt")
        .step("build", "cmake -S . -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build --parallel");
    let has_tests = says(&text, "enable_testing(") || says(&text, "include(ctest");
    // `ctest --test-dir` exists since CMake 3.20, and `cd` also works with older versions
    Some(if has_tests { guess.step("test", "cd build && ctest --output-on-failure") } else { guess })
}

/// Whether a line of the text begins with this call. CMake ignores case, and blanks before the parenthesis.
fn says(text: &str, call: &str) -> bool {
    let plain = |line: &str| line.split_whitespace().collect::<String>().to_lowercase();
    text.lines().any(|line| plain(line).starts_with(call))
}

/// Guesses for a repository whose `configure` must be generated first.
fn autotools(folder: &Folder) -> Option<Guess> {
    let file = folder.first(&["configure.ac", "configure.in"])?;
    let guess = Guess::new("native", file);
    let guess = match folder.first(&["autogen.sh", "bootstrap", "bootstrap.sh"]) {
        Some(script) => guess.saw(script).step("configure", format!("NOCONFIGURE=1 sh {script} && ./configure")),
        None => guess.step("configure", "autoreconf --install --force && ./configure"),
    };
    Some(made(folder, guess.step("build", "make")))
}

/// Guesses for a folder with only a makefile.
pub(super) fn makefile(folder: &Folder) -> Option<Guess> {
    let file = folder.first(&MAKEFILES)?;
    Some(tested(Guess::new("native", file).step("build", "make"), &folder.text(file), false))
}

/// Adds the tests to a guess, as the template of the makefile has them.
fn made(folder: &Folder, guess: Guess) -> Guess {
    let template = folder.first(&["Makefile.in", "Makefile.am"]).or_else(|| folder.first(&MAKEFILES));
    let Some(template) = template else { return guess };
    // automake adds the target `check` to every makefile
    tested(guess, &folder.text(template), template.ends_with(".am"))
}

fn tested(guess: Guess, makefile: &str, is_automake: bool) -> Guess {
    let found = ["test", "check"].into_iter().find(|target| makefile.lines().any(|line| names(line, target)));
    match found.or(is_automake.then_some("check")) {
        Some(target) => guess.step(target, format!("make {target}")),
        None => guess,
    }
}

/// Whether a line is a rule for this target, such as `test check: all`, and not an assignment, such as `test := x`.
fn names(line: &str, target: &str) -> bool {
    line.split_once(':').is_some_and(|(targets, rest)| {
        !line.starts_with(['\t', '#', '.'])
            && !rest.starts_with('=')
            && !rest.starts_with(":=")
            && targets.split_whitespace().any(|name| name == target)
    })
}
