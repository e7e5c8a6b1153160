//! Nothing grows without end: files and functions have a longest length.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Block, File, ImplItemFn, ItemFn, Macro, TraitItemFn};

use super::plan::{FILE_LINES_MAX, FUNCTION_LINES_MAX};
use super::source::{Source, Violation};

pub(crate) fn check(source: &Source, file: &File, violations: &mut Vec<Violation>) {
    let lines: Vec<&str> = source.text.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        violations.push(Violation {
            path: source.path.clone(),
            line: FILE_LINES_MAX + 1,
            rule: format!("the file has {} lines of {FILE_LINES_MAX}", lines.len()),
        });
    }
    let mut functions = Functions::default();
    functions.visit_file(file);
    for function in functions.0 {
        let body = lines.get(function.open..function.close - 1).unwrap_or(&[]);
        let is_code = |line: &&&str| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//")
        };
        let length = body.iter().filter(is_code).count();
        if length > FUNCTION_LINES_MAX {
            let name = function.name;
            violations.push(Violation {
                path: source.path.clone(),
                line: function.line,
                rule: format!("`{name}` has {length} lines of {FUNCTION_LINES_MAX}"),
            });
        }
    }
}

#[derive(Debug)]
struct Function {
    name: String,
    line: usize,
    /// The lines of its braces, counted from 1.
    open: usize,
    close: usize,
}

#[derive(Debug, Default)]
struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, name: &Ident, block: &Block) {
        self.0.push(Function {
            name: name.to_string(),
            line: name.span().start().line,
            open: block.span().start().line,
            close: block.span().end().line,
        });
    }

    /// Functions that are written inside a macro's arguments.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut name: Option<Ident> = None;
        let mut after_fn = false;
        for token in tokens {
            let was_after_fn = std::mem::take(&mut after_fn);
            match token {
                TokenTree::Ident(ident) if was_after_fn => name = Some(ident),
                TokenTree::Ident(ident) => after_fn = ident == "fn",
                TokenTree::Group(group) => {
                    let is_body = group.delimiter() == Delimiter::Brace;
                    if let Some(name) = name.take_if(|_| is_body) {
                        self.0.push(Function {
                            name: name.to_string(),
                            line: name.span().start().line,
                            open: group.span_open().start().line,
                            close: group.span_close().end().line,
                        });
                    }
                    self.read_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.add(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.add(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig.ident, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.read_tokens(call.tokens.clone());
    }
}
