//! `guild-master up --once` as a process, which is master and worker in one, with ordinary and with hostile repositories.

#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(pipeline: &str) -> Place {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.repository()).unwrap();
        place.git(&["init", "-q", "-b", "main"]);
        std::fs::write(place.repository().join("guild.toml"), pipeline).unwrap();
        std::fs::create_dir(place.repository().join("dir")).unwrap();
        std::fs::write(place.repository().join("dir/tool"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(place.repository().join("dir/tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        // line ends must be committed as they are
        place.git(&["-c", "core.autocrlf=false", "add", "-A"]);
        place.git(&["commit", "-qm", "first"]);
        place
    }

    fn repository(&self) -> PathBuf {
        self.directory.path().join("demo")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn git(&self, arguments: &[&str]) {
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        let status = Command::new("git").arg("-C").arg(self.repository()).args(who).args(arguments).status().unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.repository()).stdin(Stdio::null()).env("HOME", self.directory.path());
        command.env("XDG_CONFIG_HOME", self.directory.path().join("config")).env("TERM", "xterm");
        command
    }

    fn words(&self) -> Vec<String> {
        let words = [env!("CARGO_BIN_EXE_guild-master"), "up", "--once", "--state"];
        words.into_iter().map(str::to_owned).chain([self.state().to_string_lossy().into_owned()]).collect()
    }

    fn up(&self) -> Output {
        let words = self.words();
        self.command(&words[0]).args(&words[1..]).output().unwrap()
    }

    /// Starts `up`, which builds each commit until it is stopped. Its output goes to `log`.
    fn start_following(&self, log: &Path) -> Child {
        let log = std::fs::File::create(log).unwrap();
        let words: Vec<String> = self.words().into_iter().filter(|word| word != "--once").collect();
        let mut command = self.command(&words[0]);
        command.args(&words[1..]).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Runs `up --once` on a terminal, and returns both streams as the terminal gets them.
    fn up_on_a_terminal(&self) -> String {
        let line = self.words().join(" ");
        let mut script = self.command("script");
        let output = script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_pipeline_with_other_line_ends_runs() {
    let pipeline = "version = 1\n[job.a]\nenv.TEXT = '''x\ny'''\nrun = \"\"\"\nset -e\necho one\nprintf '%s' \"$TEXT\" | od -An -c\nexit 0\n\"\"\"\n";
    let place = Place::new(&pipeline.replace('\n', "\r\n"));
    let output = place.up();
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!((output.status.code(), out.as_str()), (Some(0), "one\n   x  \\n   y\n"), "{}", said(&output));
}

#[test]
fn nothing_that_a_repository_says_speaks_to_the_terminal() {
    let hostile = "\\u001b]52;c;UFdO\\u0007\\u001b]0;TITLE\\u0007\\u001b[2J";
    let log = "printf 'one \\\\033[31mred\\\\033[0m \\\\033]0;T\\\\007\\\\033[6n\\\\302\\\\2332J\\\\nend\\\\n'";
    let place = Place::new(&format!(
        "version = 1\n[[job.a.step]]\nname = \"s{hostile}\"\nrun = \"{log}\"\n[[job.a.step]]\nrun = [\"{hostile}no-such-program\"]\n"
    ));
    let text = place.up_on_a_terminal();
    assert!(
        text.contains("one \u{1b}[31mred\u{1b}[0m ⟨U+009B⟩2J\r\nend") && text.contains("no-such-program"),
        "{text:?}"
    );
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once('\u{1b}') {
        let colour = after.strip_prefix('[').and_then(|after| after.split_once('m'));
        let (colour, after) = colour.unwrap_or_else(|| panic!("{text:?}"));
        assert!(colour.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'), "{text:?}");
        rest = after;
    }
    assert!(!text.contains(['\u{7}', '\u{9b}']), "{text:?}");
    // a program that reads the output gets the bytes unchanged
    let output = place.up();
    assert!(output.stdout.windows(5).any(|part| part == b"\x1b]0;T"), "{:?}", String::from_utf8_lossy(&output.stdout));
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o7777
}

/// Adds everything below a directory to `found`, with its mode. Links are left out.
fn walk(dir: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let seen = std::fs::symlink_metadata(&path).unwrap();
        if seen.is_symlink() {
            continue;
        }
        found.push((path.clone(), seen.permissions().mode() & 0o7777));
        if seen.is_dir() {
            walk(&path, found);
        }
    }
}

#[test]
fn the_state_is_its_owner_s_and_a_checkout_has_the_usual_modes() {
    let look = "stat -c '%a %n' . guild.toml dir dir/tool .git .git/HEAD .git/config .git/objects; umask; touch new; mkdir made; stat -c '%a %n' new made";
    let place = Place::new(&format!("version = 1\n[job.a]\nrun = \"{look}\"\n"));
    // a directory as `install -d` makes it, with files that an earlier version left readable for others
    std::fs::create_dir(place.state()).unwrap();
    std::fs::create_dir(place.state().join("logs")).unwrap();
    for path in [place.state(), place.state().join("logs")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = place.up();
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    let wanted = "755 .\n644 guild.toml\n755 dir\n755 dir/tool\n755 .git\n644 .git/HEAD\n644 .git/config\n755 .git/objects\n0022\n644 new\n755 made\n";
    assert_eq!((output.status.code(), out.as_str()), (Some(0), wanted), "{}", said(&output));
    assert!(said(&output).contains("was open to other users (mode 0755)"), "{}", said(&output));
    assert_eq!((mode(&place.state()), mode(&place.state().join("logs"))), (0o700, 0o700));
    let mut found = Vec::new();
    walk(&place.state(), &mut found);
    let is_of_a_step = |path: &Path| path.components().any(|part| part.as_os_str() == "workspaces");
    let open: Vec<_> = found.iter().filter(|(path, mode)| !is_of_a_step(path) && mode & 0o077 != 0).collect();
    assert!(found.len() > 10 && open.is_empty(), "{open:?}");
    let lanes = std::fs::read_dir(place.state().join("worker/workspaces")).unwrap();
    lanes.for_each(|lane| assert_eq!(mode(&lane.unwrap().path()) & 0o077, 0));
    // the second run has nothing to close, so it says nothing
    assert!(!said(&place.up()).contains("was open"));
    let database = place.state().join("guild.db");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    let again = said(&place.up());
    assert!(again.contains("guild.db was open to other users (mode 0644)"), "{again}");
    assert_eq!(mode(&database), 0o600);
}

/// If workspaces are on a disk that others use too, the worker closes only its own directories to other users.
#[test]
fn workspaces_elsewhere_are_closed_one_by_one() {
    let place = Place::new("version = 1\n[job.a]\nrun = \"pwd\"\n");
    let disk = place.directory.path().join("disk");
    let (old, foreign) = (disk.join("old-lane"), disk.join("films"));
    for dir in [&disk, &old, &foreign] {
        std::fs::create_dir(dir).unwrap();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::write(old.join("lock"), "").unwrap();
    std::fs::create_dir_all(place.state().join("worker")).unwrap();
    std::fs::write(place.state().join("worker/worker.toml"), format!("workspace = \"{}\"\r\n", disk.display()))
        .unwrap();
    let output = place.up();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("old-lane was open to other users"), "{}", said(&output));
    assert_eq!([mode(&disk), mode(&old), mode(&foreign)], [0o755, 0o700, 0o755]);
    let ran = PathBuf::from(String::from_utf8(output.stdout.clone()).unwrap().trim());
    assert!(ran.starts_with(disk.canonicalize().unwrap()), "{}", ran.display());
    assert_eq!((mode(&ran), mode(ran.parent().unwrap())), (0o755, 0o700));
}

/// Waits until a program has written `words` to its log, and returns the log.
fn await_words(log: &Path, words: &str) -> String {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        if text.contains(words) {
            return text;
        }
        assert!(Instant::now() < end, "{words:?} is not in {text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Stops a program as Ctrl-C does, and waits for its end.
fn interrupt(child: &mut Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    child.wait().unwrap();
}

#[test]
fn an_open_build_is_shown_again_and_an_ended_one_is_not() {
    let place = Place::new("version = 1\n[job.a]\nrun = \"test ! -e wait || sleep 5\"\n");
    assert_eq!(place.up().status.code(), Some(0));
    std::fs::write(place.repository().join("wait"), "").unwrap();
    place.git(&["add", "-A"]);
    place.git(&["commit", "-qm", "second"]);
    let [first, second] = ["first.log", "second.log"].map(|name| place.directory.path().join(name));
    let mut stopped = place.start_following(&first);
    await_words(&first, "▸ a");
    stopped.kill().unwrap();
    stopped.wait().unwrap();
    let mut again = place.start_following(&second);
    let text = await_words(&second, "demo/2 succeeded");
    interrupt(&mut again);
    assert!(!text.contains("demo/1"), "the ended build is shown again: {text}");
}
