//! Java and its relatives, built by Maven or Gradle. If the repository has a wrapper, the wrapper is used.

use super::Guess;
use super::folder::Folder;

const GRADLE: [&str; 4] = ["build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle"];

pub(super) fn guess(folder: &Folder) -> Option<Guess> {
    if let Some(file) = folder.first(&GRADLE) {
        return Some(wrapped(folder, file, "gradlew", "gradle", "--no-daemon --console=plain build"));
    }
    folder.has("pom.xml").then(|| wrapped(folder, "pom.xml", "mvnw", "mvn", "--batch-mode verify"))
}

fn wrapped(folder: &Folder, saw: &str, wrapper: &str, program: &str, arguments: &str) -> Guess {
    let guess = Guess::new("java", saw);
    if folder.has(wrapper) {
        return guess.saw(wrapper).step("verify", format!("sh {wrapper} {arguments}"));
    }
    guess.step("verify", format!("{program} {arguments}"))
}
