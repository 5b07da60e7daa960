//! Reads Rust source and lists the paths it names, made absolute. Knows no rule about them.
//!
//! Names are resolved as far as text allows: `crate`, `self`, `super`, the modules and imports of the file, globs. What
//! stands in macros is read token by token, so a path in a macro counts as one outside.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    ItemExternCrate, ItemMod, ItemUse, Macro, MetaList, UseTree, VisRestricted,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// The name under which the binary knows the library.
const LIBRARY: &str = "swarmem";

/// A path that a module names.
#[derive(Debug)]
pub struct Reference {
    /// The module that names it, without `crate`.
    pub module: Vec<String>,
    /// The path, from `crate` or the name of an outside crate.
    pub path: Vec<String>,
    /// The line, from 1.
    pub line: usize,
}

/// `store/sqlite.rs` is the module `store::sqlite`. The roots are called `lib` and `main`.
pub fn module_of(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// The modules that a file declares.
pub fn submodules(source: &str) -> Vec<String> {
    let file = syn::parse_file(source).unwrap();
    let name = |item: syn::Item| match item {
        syn::Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    };
    file.items.into_iter().filter_map(name).collect()
}

/// Every path in the source of a module that leads to this crate or to an outside one.
pub fn references(module: &[String], source: &str) -> Vec<Reference> {
    let file = syn::parse_file(source).unwrap_or_else(|error| panic!("{}: {error}", module.join("/")));
    let root = ["lib", "main"].iter().any(|root| module == [*root]);
    let mut names = Names { here: if root { Vec::new() } else { module.to_vec() }, scopes: BTreeMap::new() };
    // First what the names mean, wherever in the file they are declared; then who uses them.
    names.visit_file(&file);
    let mut uses = Uses { scopes: names.scopes, here: names.here, file: module, root, found: Vec::new() };
    uses.visit_file(&file);
    uses.found
}

/// What the first segment of a path can mean in one module.
#[derive(Default)]
struct Scope {
    /// Imports and declared modules, with what they stand for.
    names: BTreeMap<String, Vec<String>>,
    /// Imports of everything below a path.
    globs: Vec<Vec<String>>,
}

/// Collects the scopes of a file, by module.
struct Names {
    here: Vec<String>,
    scopes: BTreeMap<Vec<String>, Scope>,
}

impl Names {
    fn scope(&mut self) -> &mut Scope {
        self.scopes.entry(self.here.clone()).or_default()
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let name = item.ident.to_string();
        let path = in_crate(self.here.iter().cloned().chain([name.clone()]));
        self.scope().names.insert(name.clone(), path);
        self.here.push(name);
        visit::visit_item_mod(self, item);
        self.here.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let here = self.here.clone();
        for leaf in leaves(item) {
            let absolute = anchored(&here, &leaf.path).unwrap_or(leaf.path);
            match leaf.name {
                None => self.scope().globs.push(absolute),
                // `use tonic;` and `use a::a;` would stand for themselves.
                Some(name) if absolute.first() == Some(&name) => {}
                Some(name) => {
                    self.scope().names.insert(name, absolute);
                }
            }
        }
    }
}

/// Collects the references of a file.
struct Uses<'a> {
    scopes: BTreeMap<Vec<String>, Scope>,
    here: Vec<String>,
    file: &'a [String],
    root: bool,
    found: Vec<Reference>,
}

impl Uses<'_> {
    /// A root's own references are its file's; elsewhere they are the module's, inline ones included.
    fn note(&mut self, path: Vec<String>, line: usize) {
        let module = if self.root { self.file.to_vec() } else { self.here.clone() };
        self.found.push(Reference { module, path, line });
    }

    fn path(&mut self, path: &[String], line: usize) {
        for absolute in self.meanings(path) {
            self.note(absolute, line);
        }
    }

    /// What a path can stand for: one thing, unless globs are in scope.
    fn meanings(&self, path: &[String]) -> Vec<Vec<String>> {
        let scope = self.scopes.get(&self.here);
        let mut path = path.to_vec();
        // An import may itself begin at an imported name: `use std::time; use time::X;`. Imports that name each other
        // do not compile, so a few steps are enough.
        for _ in 0..8 {
            if let Some(absolute) = anchored(&self.here, &path) {
                return vec![absolute];
            }
            let Some(base) = scope.and_then(|scope| scope.names.get(&path[0])) else { break };
            path.splice(..1, base.iter().cloned());
        }
        // What comes through a glob over the whole crate cannot be told; that glob is noted itself.
        let globs = scope.into_iter().flat_map(|scope| &scope.globs).filter(|glob| *glob != &["crate"]);
        let through = globs.map(|glob| glob.iter().chain(&path).cloned().collect());
        // A name alone is a local one, unless a glob brings it in: only a longer path can begin at a crate.
        let outside = (path.len() > 1).then(|| path.clone());
        through.chain(outside).collect()
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.macro_path(&mut path, line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    // `a::{b, c}`: what is before the braces is enough.
                    self.macro_path(&mut path, line);
                    self.tokens(group.stream());
                    colons = 0;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.macro_path(&mut path, line);
                    colons = 0;
                }
            }
        }
        self.macro_path(&mut path, line);
    }

    fn macro_path(&mut self, path: &mut Vec<String>, line: usize) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.path(&path, line);
        }
    }
}

impl<'ast> Visit<'ast> for Uses<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        let Some((_, items)) = &item.content else { return };
        self.here.push(item.ident.to_string());
        for item in items {
            self.visit_item(item);
        }
        self.here.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for leaf in leaves(item) {
            match anchored(&self.here, &leaf.path) {
                Some(absolute) if absolute == ["crate"] => {
                    if leaf.name.is_none() && !self.root {
                        self.note(in_crate(["*".to_owned()]), leaf.line);
                    }
                }
                Some(absolute) => self.note(absolute, leaf.line),
                None if leaf.path.len() > 1 => self.path(&leaf.path, leaf.line),
                None => self.note(leaf.path, leaf.line),
            }
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        self.note(vec![item.ident.to_string()], item.span().start().line);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.span().start().line;
        if path.leading_colon.is_some() {
            self.note(segments, line)
        } else {
            self.path(&segments, line)
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }

    /// `pub(super)` and its like use nothing.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}

/// One name that a `use` brings in.
struct Leaf {
    path: Vec<String>,
    /// `None`: everything below the path.
    name: Option<String>,
    line: usize,
}

fn leaves(item: &ItemUse) -> Vec<Leaf> {
    let mut found = Vec::new();
    let mut open: Vec<(Vec<String>, &UseTree)> = vec![(Vec::new(), &item.tree)];
    while let Some((mut path, tree)) = open.pop() {
        let line = tree.span().start().line;
        let name = match tree {
            UseTree::Path(next) => {
                path.push(next.ident.to_string());
                open.push((path, &next.tree));
                continue;
            }
            UseTree::Group(group) => {
                open.extend(group.items.iter().map(|tree| (path.clone(), tree)));
                continue;
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                None
            }
            UseTree::Rename(rename) => {
                path.push(rename.ident.to_string());
                Some(rename.rename.to_string())
            }
            UseTree::Glob(_) => {
                found.push(Leaf { path, name: None, line });
                continue;
            }
        };
        // `a::{self}` is `a`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = name.or_else(|| path.last().cloned());
        found.push(Leaf { path, name, line });
    }
    found
}

/// The absolute form of a path that begins with `crate`, `self`, `super` or the library's name.
fn anchored(here: &[String], path: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" | LIBRARY => Some(in_crate(rest.iter().cloned())),
        "self" if !rest.is_empty() => Some(in_crate(here.iter().chain(rest).cloned())),
        "super" => {
            let ups = path.iter().take_while(|segment| *segment == "super").count();
            let kept = here.len().saturating_sub(ups);
            Some(in_crate(here[..kept].iter().chain(&path[ups..]).cloned()))
        }
        _ => None,
    }
}

fn in_crate(path: impl IntoIterator<Item = String>) -> Vec<String> {
    std::iter::once("crate".to_owned()).chain(path).collect()
}
