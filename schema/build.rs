//! Generates the bindings from the committed `CodeGeneratorRequest`, so that no `capnp` program is needed.
//! `schema/regenerate` makes that file from `guild/*.capnp`; a test fails when it is stale.

fn main() {
    println!("cargo:rerun-if-changed=guild.cgr");
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let request = std::fs::File::open("guild.cgr").expect("guild.cgr is committed");
    capnpc::codegen::CodeGenerationCommand::new()
        .output_directory(&out)
        .run(std::io::BufReader::new(request))
        .expect("guild.cgr is a CodeGeneratorRequest");
}
