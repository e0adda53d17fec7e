//! Runs the master of a test in a process of its own until standard input ends. Its arguments are `STATE ADDRESS REPOSITORY`.

use master::config::{Config, ProjectConfig};
use std::path::Path;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [state, address, repository] = arguments.as_slice() else { panic!("STATE ADDRESS REPOSITORY") };
    let mut config = Config::standalone(Path::new(state), address);
    let mut project = ProjectConfig::of(repository.clone());
    project.poll = Duration::from_millis(200);
    config.projects.insert("demo".to_owned(), project);
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = master::listen(address).await.unwrap();
        master::open(config, listener).await.unwrap().serve(std::future::pending()).await.unwrap();
    });
}
