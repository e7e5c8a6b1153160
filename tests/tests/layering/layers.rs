//! Imports run downward, and never in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{self, Reference};
use super::plan::{BINARY, BROKER, KNOWN_CIRCLES, ONE_FILE_CRATES, Package};
use super::source::{ModulePath, Source, Violation};

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Module(ModulePath),
    /// A crate, and the path in it.
    Crate(Vec<String>),
    /// Something local, or in the standard library.
    Nothing,
}

/// A package's modules and what they refer to.
#[derive(Debug)]
pub(crate) struct Modules {
    package: &'static Package,
    /// In which file a module is, and whether it is for tests alone.
    modules: BTreeMap<ModulePath, bool>,
    files: BTreeMap<ModulePath, String>,
    references: Vec<(String, Reference)>,
    /// Names that a module passes on, and where they come from.
    exports: BTreeMap<ModulePath, ModulePath>,
    /// The names of crates that the manifest lists.
    dependencies: BTreeSet<String>,
    /// The modules that `main.rs` declares.
    binary: BTreeSet<String>,
}

impl Modules {
    /// Reads the files of the package among these.
    pub(crate) fn read(
        files: &[(&Source, &syn::File)],
        package: &'static Package,
        dependencies: BTreeSet<String>,
    ) -> Self {
        let folder = package.source;
        let mut modules = Self {
            package,
            modules: BTreeMap::new(),
            files: BTreeMap::new(),
            references: Vec::new(),
            exports: BTreeMap::new(),
            dependencies,
            binary: BTreeSet::new(),
        };
        let named = named_files(files, folder);
        for (source, file) in files {
            let Some(path_in_src) = source.path.strip_prefix(folder) else {
                continue;
            };
            let by_place = || ModulePath::of_file(path_in_src);
            let module = named.get(path_in_src).cloned().unwrap_or_else(by_place);
            modules.modules.entry(module.clone()).or_default();
            modules.files.insert(module.clone(), source.path.clone());
            let contents = imports::read(file, module.clone(), false);
            for (declared, in_test) in contents.declared {
                if module.room() == Some(BINARY) {
                    modules.binary.extend(declared.0.get(1).cloned());
                }
                *modules.modules.entry(declared).or_default() |= in_test;
            }
            let references = contents.references.into_iter();
            let located = references.map(|reference| (source.path.clone(), reference));
            modules.references.extend(located);
        }
        modules.collect_exports();
        modules
    }

    fn collect_exports(&mut self) {
        let mut exports = BTreeMap::new();
        for (_, reference) in &self.references {
            if let (true, Target::Module(target)) = (reference.is_export, self.resolve(reference))
                && let Some(name) = reference.names.last()
            {
                exports.insert(reference.from.child(name), target);
            }
        }
        self.exports = exports;
    }

    /// Whether the reference is compiled for tests alone, because of where it stands or because of
    /// how its module is declared.
    fn is_in_test(&self, reference: &Reference) -> bool {
        let mut module = reference.from.clone();
        let mut in_test = reference.in_test;
        while !module.0.is_empty() {
            in_test |= self.modules.get(&module).copied().unwrap_or_default();
            module = module.parent();
        }
        in_test
    }

    fn resolve(&self, reference: &Reference) -> Target {
        let Some((first, rest)) = reference.names.split_first() else {
            return Target::Nothing;
        };
        let in_binary = reference.from.is_of_binary(&self.binary);
        let root = ModulePath(if in_binary {
            vec![BINARY.to_owned()]
        } else {
            Vec::new()
        });
        let mut rest = rest;
        let start = match first.as_str() {
            "std" | "core" | "alloc" | "Self" => return Target::Nothing,
            _ if reference.is_absolute => return Target::Crate(reference.names.clone()),
            "crate" => root,
            "self" => reference.from.clone(),
            "super" => {
                let mut module = reference.from.parent();
                while let Some((_, further)) =
                    rest.split_first().filter(|(name, _)| *name == "super")
                {
                    module = module.parent();
                    rest = further;
                }
                module
            }
            name => {
                let child = reference.from.child(name);
                if self.modules.contains_key(&child) {
                    child
                } else if self.dependencies.contains(name) {
                    return Target::Crate(reference.names.clone());
                } else {
                    return Target::Nothing;
                }
            }
        };
        Target::Module(self.descend(start, rest))
    }

    /// The innermost module on the way of `names`, through what modules pass on.
    fn descend(&self, start: ModulePath, names: &[String]) -> ModulePath {
        let mut module = start;
        for name in names {
            let child = module.child(name);
            if let Some(origin) = self.exports.get(&child) {
                module = origin.clone();
            } else if self.modules.contains_key(&child) {
                module = child;
            } else {
                break;
            }
        }
        module
    }

    pub(crate) fn check(&self, violations: &mut Vec<Violation>) {
        self.check_rooms(violations);
        for (path, reference) in &self.references {
            let Some(room) = self.room_of(&reference.from) else {
                continue;
            };
            let rule = match self.resolve(reference) {
                Target::Module(target) => self.import_rule(room, &target),
                Target::Crate(names) if !self.is_in_test(reference) => self
                    .crate_rule(room, &names)
                    .or_else(|| self.one_file_rule(path, &names)),
                Target::Crate(_) | Target::Nothing => None,
            };
            violations.extend(rule.map(|rule| Violation {
                path: path.clone(),
                line: reference.line,
                rule,
            }));
        }
        self.check_circles(violations);
    }

    fn room_of<'m>(&self, module: &'m ModulePath) -> Option<&'m str> {
        if module.is_of_binary(&self.binary) {
            Some(BINARY)
        } else {
            module.room()
        }
    }

    fn check_rooms(&self, violations: &mut Vec<Violation>) {
        for (module, path) in &self.files {
            if let Some(room) = self.room_of(module)
                && self.package.room(room).is_none()
            {
                violations.push(Violation {
                    path: path.clone(),
                    line: 1,
                    rule: format!("`{room}` is not in the plan of rooms"),
                });
            }
        }
    }

    fn import_rule(&self, room: &str, target: &ModulePath) -> Option<String> {
        let target = self.room_of(target)?;
        let allowed = self.package.room(room).map_or(&[][..], |room| room.rooms);
        let is_allowed = room == target || allowed.contains(&target);
        (!is_allowed).then(|| format!("`{room}` may not import from `{target}`"))
    }

    fn crate_rule(&self, room: &str, names: &[String]) -> Option<String> {
        let allowed = self.package.room(room).map_or(&[][..], |room| room.crates);
        let is_allowed = allowed.iter().any(|allowed| {
            let mut names = names.iter();
            allowed
                .split("::")
                .all(|part| names.next().is_some_and(|name| name == part))
        });
        (!is_allowed).then(|| format!("`{room}` may not use `{}`", names.join("::")))
    }

    /// Some crates are the business of one file.
    fn one_file_rule(&self, path: &str, names: &[String]) -> Option<String> {
        let name = names.first()?;
        let (_, _, file) = ONE_FILE_CRATES.iter().find(|(folder, listed, file)| {
            *folder == self.package.source && listed == name && *file != path
        })?;
        Some(format!("only {file} may use `{name}`"))
    }

    /// Who imports whom among the modules of one parent, each with the place of one such import.
    fn edges(&self) -> BTreeMap<ModulePath, BTreeMap<ModulePath, Edges>> {
        let mut edges: BTreeMap<ModulePath, BTreeMap<ModulePath, Edges>> = BTreeMap::new();
        for (path, reference) in &self.references {
            let Target::Module(target) = self.resolve(reference) else {
                continue;
            };
            if self.is_in_test(reference) {
                continue;
            }
            let pairs = reference.from.0.iter().zip(&target.0);
            let common = pairs.take_while(|(one, other)| one == other).count();
            if common < reference.from.0.len() && common < target.0.len() {
                let parent = ModulePath(target.0[..common].to_vec());
                let from = parent.child(&reference.from.0[common]);
                let to = parent.child(&target.0[common]);
                let of_parent = edges.entry(parent).or_default();
                let of_module = of_parent.entry(from).or_default();
                of_module
                    .0
                    .entry(to)
                    .or_insert((path.clone(), reference.line));
            }
        }
        edges
    }

    fn check_circles(&self, violations: &mut Vec<Violation>) {
        let mut needed = BTreeSet::new();
        for modules in self.edges().into_values() {
            for (from, edges) in &modules {
                for (to, (path, line)) in &edges.0 {
                    if !leads(&modules, to, from) {
                        continue;
                    }
                    if let Some(known) = known_circle(from, to) {
                        needed.insert(known);
                        continue;
                    }
                    violations.push(Violation {
                        path: path.clone(),
                        line: *line,
                        rule: format!("`{from}` imports `{to}` in a circle"),
                    });
                }
            }
        }
        for (number, (names, _)) in KNOWN_CIRCLES.iter().enumerate() {
            let exists = |name: &&str| self.modules.keys().any(|module| module.is_named(name));
            // The list is the broker's; the other packages have no circles.
            if self.package.source == BROKER.source
                && !needed.contains(&number)
                && names.iter().all(exists)
            {
                violations.push(Violation {
                    path: "tests/tests/layering/plan.rs".to_owned(),
                    line: 1,
                    rule: format!("{} are no circle any more", names.join(", ")),
                });
            }
        }
    }
}

/// The number of the known circle that both modules are part of.
fn known_circle(from: &ModulePath, to: &ModulePath) -> Option<usize> {
    KNOWN_CIRCLES.iter().position(|(names, _)| {
        let is_part = |module: &ModulePath| names.iter().any(|name| module.is_named(name));
        is_part(from) && is_part(to)
    })
}

/// The modules that one module imports from, and where.
#[derive(Clone, Debug, Default)]
struct Edges(BTreeMap<ModulePath, (String, usize)>);

/// Whether imports lead from one module to another.
fn leads(modules: &BTreeMap<ModulePath, Edges>, from: &ModulePath, to: &ModulePath) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module)
            && let Some(edges) = modules.get(module)
        {
            open.extend(edges.0.keys());
        }
    }
    false
}

/// The files whose modules are not where their paths say, by their paths.
fn named_files(files: &[(&Source, &syn::File)], folder: &str) -> BTreeMap<String, ModulePath> {
    let mut named = BTreeMap::new();
    for (source, file) in files {
        let Some(path_in_src) = source.path.strip_prefix(folder) else {
            continue;
        };
        let directory = path_in_src
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        for (name, path) in imports::named_files(file) {
            let place = format!("{directory}/{path}");
            let module = ModulePath::of_file(path_in_src).child(&name);
            named.insert(place.trim_start_matches('/').to_owned(), module);
        }
    }
    named
}
