//! The public names of a C++ header, read line by line: enough for headers that are formatted as this library's are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a source includes, in brackets or quotation marks.
pub fn included(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("#include "))
        .filter_map(|rest| rest.split(['"', '<', '>']).nth(1))
        .map(str::to_owned)
        .collect()
}

/// The names in the headers that are for sketches, with the kind that keywords.txt has for each. A header is for sketches
/// if one of the examples includes it, or if nothing in the library does. One that only lists others stands for these; what
/// others include besides is nothing that a sketch calls.
pub fn public(root: &Path) -> BTreeMap<String, &'static str> {
    let examples = sketches(&root.join("examples"));
    let files: BTreeMap<String, String> = fs::read_dir(root.join("src"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().into_string().ok()?,
                fs::read_to_string(entry.path()).ok()?,
            ))
        })
        .collect();
    let mut names = BTreeMap::new();
    for (header, text) in &files {
        let Some(stem) = header.strip_suffix(".h") else {
            continue;
        };
        let is_needed = files
            .iter()
            .any(|(file, text)| *file != format!("{stem}.cpp") && included(text).contains(header));
        let is_shown = examples.iter().any(|text| included(text).contains(header));
        if is_needed && !is_shown {
            continue;
        }
        let before = names.len();
        names_of(text, &mut names);
        if names.len() == before {
            for header in included(text) {
                names_of(files.get(&header).map_or("", String::as_str), &mut names);
            }
        }
    }
    names
}

/// The texts of the examples' sketches.
fn sketches(examples: &Path) -> Vec<String> {
    let folders = fs::read_dir(examples).into_iter().flatten().flatten();
    folders
        .filter_map(|folder| {
            let name = folder.file_name().into_string().ok()?;
            fs::read_to_string(folder.path().join(format!("{name}.ino"))).ok()
        })
        .collect()
}

fn names_of(text: &str, names: &mut BTreeMap<String, &'static str>) {
    enum Within {
        Nothing,
        Public,
        Private,
        Values,
    }
    let mut within = Within::Nothing;
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default().trim_end();
        if code == "};" {
            within = Within::Nothing;
        } else if let Some(rest) = code.strip_prefix("enum class ") {
            names.insert(word(rest), "KEYWORD1");
            within = Within::Values;
        } else if let Some(rest) = code.strip_prefix("struct ").filter(|rest| rest.ends_with('{')) {
            names.insert(word(rest), "KEYWORD1");
            within = Within::Public;
        } else if let Some(rest) = code.strip_prefix("class ").filter(|rest| rest.ends_with('{')) {
            names.insert(word(rest), "KEYWORD1");
            within = Within::Private;
        } else if let Some(at) = code.strip_prefix("typedef ").and_then(|_| code.find("(*")) {
            names.insert(word(&code[at + 2..]), "KEYWORD1");
        } else if code == " public:" {
            within = Within::Public;
        } else if code == " private:" || code == " protected:" {
            within = Within::Private;
        } else {
            match within {
                Within::Values => {
                    let value = word(code.trim_start());
                    if !value.is_empty() {
                        names.insert(value, "LITERAL1");
                    }
                }
                Within::Public => method(code, names),
                Within::Nothing => constant_or_function(code, names),
                Within::Private => {}
            }
        }
    }
}

/// The identifier that it begins with.
fn word(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        .collect()
}

/// The identifier before the first parenthesis, unless nothing is before that, as with a constructor.
fn called(code: &str) -> Option<String> {
    let before = &code[..code.find('(')?];
    let start = before.rfind([' ', '&', '*']).map(|at| at + 1)?;
    let (kind, name) = before.split_at(start);
    let kind = kind.trim();
    (!name.is_empty() && word(name) == name && !kind.is_empty() && kind != "explicit")
        .then(|| name.to_owned())
}

fn method(code: &str, names: &mut BTreeMap<String, &'static str>) {
    // One level of indentation: a declaration, and not what is in it.
    let Some(declared) = code
        .strip_prefix("  ")
        .filter(|rest| !rest.starts_with([' ', '}', '#']))
    else {
        return;
    };
    if let Some(name) = called(declared) {
        names.insert(name, "KEYWORD2");
    }
}

fn constant_or_function(code: &str, names: &mut BTreeMap<String, &'static str>) {
    if let Some((declared, _)) = code
        .strip_prefix("static const ")
        .and_then(|rest| rest.split_once(" = "))
    {
        names.insert(word(declared.rsplit(' ').next().unwrap_or_default()), "LITERAL1");
    } else if let Some((name, _)) = code
        .strip_prefix("#define ")
        .and_then(|rest| rest.split_once(' '))
    {
        names.insert(name.to_owned(), "LITERAL1");
    } else if let Some(declared) = code.strip_prefix("extern ") {
        let declared = declared.split(['[', ';']).next().unwrap_or_default();
        names.insert(
            declared
                .rsplit([' ', '*', '&'])
                .next()
                .unwrap_or_default()
                .to_owned(),
            "KEYWORD2",
        );
    } else if !code.starts_with([' ', '#', '}']) {
        names.extend(called(code).map(|name| (name, "KEYWORD2")));
    }
}
