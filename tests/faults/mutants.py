#!/usr/bin/env python3
"""Shows what the simulation is worth: puts faults into the product, and looks how soon the simulation finds each.

    tests/faults/mutants.py [--seeds N] [NUMBER...]      all faults, 1,000 seeds each, two processes side by side

Works on a copy of the checkout below target/mutants; the checkout itself does not change. All faults are built into one
program, and GUILD_MUTANT wakes one of them. A fault that no seed finds is one that the simulation's checkers do not see: mend
the checkers. Exit 1 where more than one in ten is not found.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

LEASE = "master/src/decide/coordinator/lease.rs"
LOAD = "master/src/decide/coordinator/rows/load.rs"
SESSION = "worker/src/session/mod.rs"
DRIVER = "master/src/commit/driver.rs"
# what is wrong -> [(file, what stands there once, what stands there instead)]; MUTANT: whether this one is awake
MUTANTS = {
    "an accepted attempt is not recorded": [
        (LEASE, "let row = lease.attempt.edit(&mut self.effects, |row| row.started = now);",
         "let mut lost = std::collections::VecDeque::new();\n"
         "        let effects = if MUTANT { &mut lost } else { &mut self.effects };\n"
         "        let row = lease.attempt.edit(effects, |row| row.started = now);")],
    "a step's end may be told twice": [
        ("master/src/decide/coordinator/report.rs", "Some(row) if row.state == State::Finished => return Ok(()),",
         "Some(row) if row.state == State::Finished && !MUTANT => return Ok(()),")],
    "who lost its lease is not fenced when the job is placed again": [
        (LEASE, "if let Some(token) = self.job(job).lease {", "if let Some(token) = self.job(job).lease.filter(|_| !MUTANT) {")],
    "a job whose holder resumed stays in the queue": [
        (LEASE, "self.queue.leave(job);", "if !MUTANT { self.queue.leave(job); }")],
    "a master's start gives leases no full term": [
        (LOAD, "let until = now.after(attempt.term);",
         "let until = now.after(if MUTANT { std::time::Duration::from_secs(5) } else { attempt.term });")],
    "a restart gives leases the term of the file as it is now": [
        (LOAD, "if attempt.term.is_zero() {\n            attempt.term = self.terms.longest_lease();",
         "if MUTANT || attempt.term.is_zero() {\n            attempt.term = if MUTANT { self.terms.lease } else { self.terms.longest_lease() };")],
    "the term does not travel with the assignment": [
        ("master/src/decide/coordinator/place.rs", "term_ms: u64::try_from(attempt.term.as_millis()).unwrap_or(u64::MAX),",
         "term_ms: if MUTANT { 0 } else { u64::try_from(attempt.term.as_millis()).unwrap_or(u64::MAX) },")],
    "a worker lives by what it was told when it attached": [
        (SESSION, "if told_ms == 0 { self.term_ms } else { told_ms }",
         "if told_ms == 0 || MUTANT { self.term_ms } else { told_ms }")],
    "who comes without an attempt frees it, whoever that is": [
        ("master/src/decide/coordinator/absence.rs", "is_same && !self.alive.contains(&token)",
         "MUTANT || is_same && !self.alive.contains(&token)")],
    "a lease that is accepted again gets no term": [
        (LEASE, "            self.resume(now, token);\n            return Ok(());",
         "            if !MUTANT { self.resume(now, token); }\n            return Ok(());")],
    "answered requests are forgotten at a restart": [
        ("master/src/decide/coordinator/request.rs", "rows.into_iter().for_each(|row| requests.insert(row));",
         "rows.into_iter().filter(|_| !MUTANT).for_each(|row| requests.insert(row));")],
    "a cancel is not recorded": [
        ("master/src/decide/coordinator/builds/build.rs",
         "lease.attempt.edit(&mut self.effects, |row| (row.outcome, row.reason) = ended);",
         "if MUTANT { lease.attempt.edit_unrecorded(|row| (row.outcome, row.reason) = ended); }\n"
         "        else { lease.attempt.edit(&mut self.effects, |row| (row.outcome, row.reason) = ended); }")],
    "answers leave before their commit": [
        (DRIVER, "let wanted = if idle { open - 1 } else { open };",
         "let wanted = if idle || MUTANT { open - 1 } else { open };")],
    "what a full disk refused is dropped": [
        (DRIVER, "records = batch;", "records = if MUTANT { Vec::new() } else { batch };")],
    "offers and events leave before their commit": [
        (DRIVER, "        if let Err(why) = driver.commit(batch.records).await {",
         "        let effects = batch.effects;\n        let (events, effects) = match MUTANT {\n"
         "            true => { driver.deliver(number, events, effects); Default::default() }\n"
         "            false => (events, effects),\n        };\n"
         "        if let Err(why) = driver.commit(batch.records).await {"),
        (DRIVER, "driver.deliver(number, events, batch.effects);", "driver.deliver(number, events, effects);")],
    "a worker does not name attempts that ended": [
        (SESSION, "let in_hand: Vec<Rc<Entry>> = worker.shared.ledger.all();",
         "let mut in_hand = worker.shared.ledger.all();\n    in_hand.retain(|entry| !MUTANT || entry.result().is_none());")],
    "a worker goes on with a lease that is over": [
        (SESSION, "true => self.worker.shared.ledger.abandon(entry, \"its lease is over\"),",
         "true if MUTANT => {}\n                true => self.worker.shared.ledger.abandon(entry, \"its lease is over\"),")],
    "a worker that attaches keeps what is stale": [
        (SESSION, "Ok(worker_desk::Standing::Stale) =>",
         "Ok(worker_desk::Standing::Stale) if MUTANT => {}\n            Ok(worker_desk::Standing::Stale) =>")],
    "a worker does not send again what a killed master had in memory": [
        ("worker/src/attempt/report/mod.rs", "(0..count).for_each(|step| entry.step(step).tell_again());",
         "if !MUTANT { (0..count).for_each(|step| entry.step(step).tell_again()); }")],
}
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
    arguments.add_argument("numbers", nargs="*", type=int, help="from 1; all where none is named")
    options = arguments.parse_args()
    top = pathlib.Path(__file__).resolve().parents[2]
    base = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", top / "target")).resolve() / "mutants"
    program = build(top, base)
    found, tried = 0, options.numbers or range(1, len(MUTANTS) + 1)
    for number in tried:
        what = list(MUTANTS)[number - 1]
        said = hunt(program, base / "tree" / "tests", number, options.seeds)
        found += said.startswith("found")
        print(f"{number:>3} {what}: {said}", flush=True)
    print(f"{found} of {len(tried)} faults found within {options.seeds} seeds")
    return 0 if found * 10 >= len(tried) * 9 else 1


def build(top, base):
    tree = base / "tree"
    names = subprocess.run(["git", "-C", top, "ls-files", "-z"], check=True, stdout=subprocess.PIPE).stdout
    files = {name: (top / name).read_bytes() for name in names.decode().split("\0") if name}
    for number, changes in enumerate(MUTANTS.values(), 1):
        for file, old, new in changes:
            files[file] = change(file, files[file], old, new.replace("MUTANT", f"schema::mutant::is_awake({number})"))
    files["schema/src/lib.rs"] += AWAKE.encode()
    for name, content in files.items():
        write(tree / name, content)
    environment = dict(os.environ, CARGO_TARGET_DIR=str(base / "target"), RUSTFLAGS="--cfg tokio_unstable")
    command = ["cargo", "test", "--release", "-p", "tests", "--test", "simulation", "--locked", "--no-run"]
    built = subprocess.run(command, cwd=tree, env=environment, stderr=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.stderr)
    return tree / re.findall(r"\((.*simulation-[0-9a-f]+)\)", built.stderr)[-1]


def change(file, content, old, new):
    text = content.decode()
    if text.count(old) != 1:
        sys.exit(f"{file}: `{old.strip()}` stands there {text.count(old)} times, not once: bring the fault up to date")
    return text.replace(old, new).encode()


def write(path, content):
    """What is the same keeps its time, and is not built again."""
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
