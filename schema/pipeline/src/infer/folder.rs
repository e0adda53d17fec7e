//! A directory as the guesses see it: the names of its entries, and the beginnings of its files.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The most bytes of one file that are read. The lines that tell how to build are near its beginning.
const TEXT_MAX: u64 = 1 << 20;
/// The most entries of one directory that are looked at, so that a huge directory costs little.
const ENTRIES_MAX: usize = 10_000;

pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Folder {
        Folder { path: path.to_owned() }
    }

    pub(super) fn below(&self, name: &str) -> Folder {
        Folder { path: self.path.join(name) }
    }

    pub(super) fn has(&self, file: &str) -> bool {
        self.path.join(file).is_file()
    }

    pub(super) fn has_folder(&self, name: &str) -> bool {
        self.path.join(name).is_dir()
    }

    /// Returns the first of these files that exists.
    pub(super) fn first(&self, files: &[&'static str]) -> Option<&'static str> {
        files.iter().copied().find(|file| self.has(file))
    }

    /// Returns the beginning of a file, or an empty text if there is no such file.
    pub(super) fn text(&self, file: &str) -> String {
        let mut bytes = Vec::new();
        // `has` excludes pipes and devices, whose bytes would never end
        if self.has(file) {
            let _ = File::open(self.path.join(file)).and_then(|file| file.take(TEXT_MAX).read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn toml(&self, file: &str) -> toml::Table {
        self.text(file).parse().unwrap_or_default()
    }

    /// Returns the names of the files in the directory, in order.
    pub(super) fn files(&self) -> Vec<String> {
        self.names(|path| path.is_file())
    }

    /// Returns the names of at most `most` folders, in order, without hidden folders and folders that tools make.
    pub(super) fn folders(&self, most: usize) -> Vec<String> {
        let mut names = self.names(|path| path.is_dir() && !path.is_symlink());
        names.retain(|name| {
            let foreign = ["node_modules", "vendor", "third_party", "target", "build", "dist", "venv"];
            !foreign.contains(&name.as_str()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        });
        names.truncate(most);
        names
    }

    fn names(&self, wanted: impl Fn(&Path) -> bool) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten().take(ENTRIES_MAX);
        let mut names: Vec<String> = entries
            .filter(|entry| wanted(&entry.path()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}
