//! What a file refers to: every `use`, every path in code, and what macros are given.

use proc_macro2::{Ident, Spacing, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, File, Item, ItemMod, ItemUse, Lit, Macro, Meta, UseTree};

use super::source::ModulePath;

/// A path of at least one name, as a file writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The module in which it stands.
    pub(crate) from: ModulePath,
    pub(crate) names: Vec<String>,
    /// Whether it starts with `::`.
    pub(crate) is_absolute: bool,
    pub(crate) line: usize,
    /// Whether it is compiled for tests alone.
    pub(crate) in_test: bool,
    /// Whether it makes the names it imports part of the module: `pub use`.
    pub(crate) is_export: bool,
}

/// What a file says about modules.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) references: Vec<Reference>,
    /// The modules it declares, whether in files of their own or in place; and whether for tests.
    pub(crate) declared: Vec<(ModulePath, bool)>,
}

pub(crate) fn read(file: &File, module: ModulePath, in_test: bool) -> Contents {
    let mut reader = Reader {
        module,
        in_test: in_test || file.attrs.iter().any(is_test_attribute),
        contents: Contents::default(),
    };
    reader.visit_file(file);
    reader.contents
}

struct Reader {
    module: ModulePath,
    in_test: bool,
    contents: Contents,
}

fn is_test_attribute(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else {
        return attribute.path().is_ident("test");
    };
    let condition = list.tokens.to_string();
    list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all (test"))
}

/// The modules whose files have names of their own: `#[path = "file.rs"] mod name;`.
pub(crate) fn named_files(file: &File) -> Vec<(String, String)> {
    let mut named = Vec::new();
    for item in &file.items {
        let Item::Mod(item) = item else { continue };
        for attribute in &item.attrs {
            if let Meta::NameValue(pair) = &attribute.meta
                && pair.path.is_ident("path")
                && let Expr::Lit(literal) = &pair.value
                && let Lit::Str(path) = &literal.lit
            {
                named.push((item.ident.to_string(), path.value()));
            }
        }
    }
    named
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl Reader {
    fn add(&mut self, names: Vec<String>, is_absolute: bool, line: usize, is_export: bool) {
        self.contents.references.push(Reference {
            from: self.module.clone(),
            names,
            is_absolute,
            line,
            in_test: self.in_test,
            is_export,
        });
    }

    fn add_use(&mut self, tree: &UseTree, before: &[String], is_absolute: bool, is_export: bool) {
        let mut names = before.to_vec();
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(path) => {
                names.push(path.ident.to_string());
                self.add_use(&path.tree, &names, is_absolute, is_export);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, before, is_absolute, is_export);
                }
            }
            UseTree::Name(name) => {
                names.extend(Some(name.ident.to_string()).filter(|name| name != "self"));
                self.add(names, is_absolute, line, is_export);
            }
            UseTree::Rename(rename) => {
                names.extend(Some(rename.ident.to_string()).filter(|name| name != "self"));
                self.add(names, is_absolute, line, is_export);
            }
            UseTree::Glob(_) => self.add(names, is_absolute, line, is_export),
        }
    }

    /// Paths in a macro's arguments, which are not parsed as code.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut index = 0;
        while index < tokens.len() {
            match &tokens[index] {
                TokenTree::Group(group) => {
                    self.read_tokens(group.stream());
                    index += 1;
                }
                TokenTree::Ident(first) => {
                    let (names, next) = path_from(&tokens, index, first);
                    if names.len() > 1 {
                        self.add(names, false, first.span().start().line, false);
                    }
                    index = next;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => index += 1,
            }
        }
    }
}

/// The names of `a::b::c`, and where the tokens go on.
fn path_from(tokens: &[TokenTree], start: usize, first: &Ident) -> (Vec<String>, usize) {
    let mut names = vec![first.to_string()];
    let mut index = start + 1;
    while let [
        TokenTree::Punct(one),
        TokenTree::Punct(two),
        TokenTree::Ident(name),
        ..,
    ] = &tokens[index..]
    {
        let is_separator = one.as_char() == ':' && one.spacing() == Spacing::Joint;
        if !is_separator || two.as_char() != ':' {
            break;
        }
        names.push(name.to_string());
        index += 3;
    }
    (names, index)
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let outside = self.in_test;
        self.in_test |= attributes(item).iter().any(is_test_attribute);
        visit::visit_item(self, item);
        self.in_test = outside;
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let module = self.module.child(&item.ident.to_string());
        self.contents.declared.push((module.clone(), self.in_test));
        let outside = std::mem::replace(&mut self.module, module);
        visit::visit_item_mod(self, item);
        self.module = outside;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_absolute = item.leading_colon.is_some();
        let is_export = !matches!(item.vis, syn::Visibility::Inherited);
        self.add_use(&item.tree, &[], is_absolute, is_export);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 || path.leading_colon.is_some() {
            let names = path.segments.iter().map(|part| part.ident.to_string());
            let line = path.span().start().line;
            self.add(names.collect(), path.leading_colon.is_some(), line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in path)` names an ancestor, which is no import.
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // Attributes of derive macros are the business of the derive that is imported.
        let _ = attribute;
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.read_tokens(call.tokens.clone());
    }
}
