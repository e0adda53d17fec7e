#!/usr/bin/env python3
"""Shows what the simulation is worth: puts faults into the product, and measures how soon the simulation finds each.

    tests/faults/mutants.py [--seeds N] [NUMBER...]      tries all faults, or these, with 1,000 seeds each, in two processes
    tests/faults/mutants.py --check                      checks whether each fault can be put in, and builds nothing

The faults are in mutants.toml beside this program, which needs Python 3.11. It works on a copy of the checkout below
target/mutants; the checkout itself does not change. All faults are built into one program, and GUILD_MUTANT activates one.
If no seed finds a fault, the checks of the simulation do not see it: mend the checks. The exit status is 1 if more than one
fault in ten is not found.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import tomllib

# the table of faults, which explains its keys
TABLE = pathlib.Path(__file__).with_name("mutants.toml")
AWAKE = """
pub mod mutant {
    pub fn is_awake(number: usize) -> bool {
        static AWAKE: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
        *AWAKE.get_or_init(|| std::env::var("GUILD_MUTANT").ok().and_then(|it| it.parse().ok())) == Some(number)
    }
}
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=1000)
    arguments.add_argument("--check", action="store_true", help="only check whether each fault can be put in")
    arguments.add_argument("numbers", nargs="*", type=int, help="numbers of faults, from 1 (default: all)")
    options = arguments.parse_args()
    top = pathlib.Path(__file__).resolve().parents[2]
    faults = tomllib.loads(TABLE.read_text())["fault"]
    if options.check:
        put_in(faults, read(top, {change["file"] for fault in faults for change in fault["changes"]}))
        print(f"each of {len(faults)} faults can be put in")
        return 0
    base = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", top / "target")).resolve() / "mutants"
    program = build(top, base, faults)
    found, tried = 0, options.numbers or range(1, len(faults) + 1)
    for number in tried:
        said = hunt(program, base / "tree" / "tests", number, options.seeds)
        found += said.startswith("found")
        print(f"{number:>3} {faults[number - 1]['what']}: {said}", flush=True)
    print(f"{found} of {len(tried)} faults found within {options.seeds} seeds")
    return 0 if found * 10 >= len(tried) * 9 else 1


def build(top, base, faults):
    tree = base / "tree"
    names = subprocess.run(["git", "-C", top, "ls-files", "-z"], check=True, stdout=subprocess.PIPE).stdout
    files = read(top, filter(None, names.decode().split("\0")))
    put_in(faults, files)
    files["schema/src/lib.rs"] += AWAKE.encode()
    for name, content in files.items():
        write(tree / name, content)
    environment = dict(os.environ, CARGO_TARGET_DIR=str(base / "target"), RUSTFLAGS="--cfg tokio_unstable")
    command = ["cargo", "test", "--release", "-p", "tests", "--test", "simulation", "--locked", "--no-run"]
    built = subprocess.run(command, cwd=tree, env=environment, stderr=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.stderr)
    return tree / re.findall(r"\((.*simulation-[0-9a-f]+)\)", built.stderr)[-1]


def read(top, names):
    return {name: (top / name).read_bytes() for name in names if (top / name).is_file()}


def put_in(faults, files):
    for number, fault in enumerate(faults, 1):
        for change in fault["changes"]:
            file, old = change["file"], change["old"]
            text = files.get(file, b"").decode()
            count = text.count(old)
            if count != 1:
                sys.exit(f"{fault['what']}: {file} has `{old}` {count} times, not once: bring the fault up to date")
            new = change["new"].replace("MUTANT", f"schema::mutant::is_awake({number})")
            files[file] = text.replace(old, new).encode()


def write(path, content):
    """Writes a file if its content has changed, so that cargo does not build unchanged files again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def hunt(program, folder, number, seeds):
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        said = [pathlib.Path(scratch) / str(half) for half in (0, 1)]
        halves = [start(program, folder, said[half], GUILD_MUTANT=number, GUILD_SEEDS=seeds, GUILD_SHARE=f"{half}/2")
                  for half in (0, 1)]
        first = None
        while first is None and any(half.poll() is None for half in halves):
            time.sleep(0.2)
            first = next((index for index, half in enumerate(halves) if half.poll() not in (None, 0)), None)
        for half in halves:
            half.kill()
            half.wait()
        return f"NOT found in {seeds} seeds" if first is None else tell(said[first].read_text(), time.monotonic() - began)


def start(program, folder, said, **environment):
    environment = dict(os.environ, **{name: str(value) for name, value in environment.items()})
    with said.open("w") as out:
        return subprocess.Popen([program, "half_hours", "--nocapture"], cwd=folder, stdout=out, stderr=subprocess.STDOUT,
                                env=environment)


def tell(text, took):
    seed = re.search(r"seed (\d+) fails", text)
    why = re.search(r"^P\d+: .{0,90}", text, re.MULTILINE) or re.search(r"panicked at .{0,90}", text)
    return f"found by seed {seed.group(1) if seed else '?'} after {took:.0f} s ({why.group(0).strip() if why else 'it died'})"


if __name__ == "__main__":
    sys.exit(main())
