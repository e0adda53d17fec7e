//! Generates the bindings from committed `CodeGeneratorRequest`s, so that no `capnp` program is needed.
//! `schema/regenerate` makes those files from `guild/*.capnp` and `tests/*.capnp`; a test fails when they are stale.

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    // Only the tests of this crate use the second request. The library does not contain its bindings.
    for request in ["guild.cgr", "tests/echo.cgr"] {
        println!("cargo:rerun-if-changed={request}");
        let request = std::fs::File::open(request).expect("the request is committed");
        capnpc::codegen::CodeGenerationCommand::new()
            .output_directory(&out)
            .run(std::io::BufReader::new(request))
            .expect("it is a CodeGeneratorRequest");
    }
}
