//! Source files and the modules that they make.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::plan::BINARY;

/// A source file, by its path from the workspace's root.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A rule that is broken, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// A module's path from the crate's root. The binary's modules start with [`BINARY`], as if they
/// were a room of the library.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModulePath(pub(crate) Vec<String>);

impl ModulePath {
    /// The module that a file of the broker's `src` makes.
    pub(crate) fn of_file(path_in_src: &str) -> Self {
        let path = path_in_src.trim_end_matches(".rs");
        let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
        if names.len() > 1 && names.last().is_some_and(|name| name == "mod") {
            names.pop();
        }
        if names == ["lib"] {
            names.clear();
        }
        Self(names)
    }

    pub(crate) fn child(&self, name: &str) -> Self {
        let mut names = self.0.clone();
        names.push(name.to_owned());
        Self(names)
    }

    pub(crate) fn parent(&self) -> Self {
        let above = self.0.len().saturating_sub(1);
        Self(self.0[..above].to_vec())
    }

    /// Whether the module's path is written like that.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.0.iter().map(String::as_str).eq(name.split("::"))
    }

    /// The room the module lies in; none for the crate's root.
    pub(crate) fn room(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    pub(crate) fn is_of_binary(&self, binary_modules: &BTreeSet<String>) -> bool {
        self.room()
            .is_some_and(|room| room == BINARY || binary_modules.contains(room))
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("::"))
    }
}

/// Every Rust file below `folder`, in the order of their paths. Built and hidden folders are left
/// out.
pub(crate) fn read_all(root: &Path, folder: &str) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root.join(&folder)).with_context(|| folder.clone())?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(entry.path()).with_context(|| path.clone())?;
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sources)
}

/// The names under which code can use the dependencies that a manifest lists.
pub(crate) fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut listing = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            listing = line.ends_with("dependencies]");
        } else if listing && !line.is_empty() && !line.starts_with('#') {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            names.insert(line[..end].replace('-', "_"));
        }
    }
    names
}
