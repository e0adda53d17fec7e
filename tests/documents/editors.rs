//! Checks the JSON schemas for editors: each is valid, accepts every example of its file, and refuses values of another form.

use crate::examples::completed;
use crate::files::FILES;
use crate::form::{dubious, good, takes, value};
use crate::keys::{each, texts};
use crate::prose::all_blocks;
use crate::read;
use boon::{Compiler, Draft, SchemaIndex, Schemas};
use pipeline::infer;
use std::collections::BTreeMap;
use toml_file::json_schema;

struct Judge {
    schemas: Schemas,
    of: BTreeMap<&'static str, SchemaIndex>,
}

impl Judge {
    fn new() -> Judge {
        let mut judge = Judge { schemas: Schemas::new(), of: BTreeMap::new() };
        let mut compiler = Compiler::new();
        // this also checks the schema against the schema of the draft
        compiler.set_default_draft(Draft::V2020_12);
        for reference in FILES.iter().map(|file| file.reference) {
            let name = reference.file;
            compiler.add_resource(name, json_schema(reference)).unwrap();
            let index = compiler.compile(name, &mut judge.schemas).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            judge.of.insert(name, index);
        }
        judge
    }

    fn refuses(&self, file: &str, text: &str) -> Option<String> {
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{text}\n{error}"));
        let json = serde_json::to_value(table).unwrap();
        self.schemas.validate(&json, self.of[file]).err().map(|error| format!("{error:#}"))
    }

    fn must_take(&self, file: &str, text: &str) {
        if let Some(why) = self.refuses(file, text) {
            panic!("the schema of {file} does not take\n{text}\n{why}");
        }
    }
}

#[test]
fn schemas_take_every_example() {
    let judge = Judge::new();
    for block in all_blocks() {
        if let Some(file) = block.kind.strip_prefix("toml ") {
            judge.must_take(file, &completed(file, &block.text));
        }
    }
    judge.must_take("guild.toml", &read("guild.toml"));
    let dir = tempfile::tempdir().unwrap();
    for name in ["Makefile", "configure", "setup.py", "Cargo.toml"] {
        std::fs::write(dir.path().join(name), "test:\n").unwrap();
        judge.must_take("guild.toml", &infer(dir.path()).unwrap().text);
    }
    let starter = master::config::starter("ci.example.org:7711", None, Some("0.0.0.0:8080"), None).unwrap();
    judge.must_take("master.toml", &starter);
}

#[test]
fn schemas_know_the_forms() {
    let judge = Judge::new();
    let mut refused = 0;
    each(|file, section, key| {
        let name = file.reference.file;
        for right in [key.example.to_owned()].into_iter().chain(good(&key.form)) {
            texts(file, section, key, Some(&right)).iter().for_each(|text| judge.must_take(name, text));
        }
        for wrong in dubious(&key.form).iter().filter(|text| !takes(file.reference, &key.form, &value(text))) {
            for text in texts(file, section, key, Some(wrong)) {
                assert!(judge.refuses(name, &text).is_some(), "the schema of {name} takes\n{text}");
                refused += 1;
            }
        }
    });
    assert!(refused > 500, "only {refused} were tried");
    let unknown = "version = 1\n[job.a]\nrun = 'x'\ntimout = '1h'\n";
    assert!(judge.refuses("guild.toml", unknown).is_some());
}
