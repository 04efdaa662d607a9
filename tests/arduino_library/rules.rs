//! What Arduino's Library Manager, the Arduino IDE and PlatformIO ask of a library, as far as a folder shows it: the
//! specification of the library format and the rules that a submission is checked by.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::headers;

const CATEGORIES: &[&str] = &[
    "Communication",
    "Data Processing",
    "Data Storage",
    "Device Control",
    "Display",
    "Other",
    "Sensors",
    "Signal Input/Output",
    "Timing",
];
const REQUIRED: &[&str] = &[
    "name",
    "version",
    "author",
    "maintainer",
    "sentence",
    "paragraph",
    "category",
    "url",
    "architectures",
];
const OPTIONAL: &[&str] = &["includes", "depends"];
const KINDS: &[&str] = &["KEYWORD1", "KEYWORD2", "KEYWORD3", "LITERAL1", "LITERAL2"];
/// Of library, sketches and their files.
const NAME_MAX: usize = 63;

/// Everything that is wrong with the library in this folder, a sentence each. It is to have this version.
pub fn broken(root: &Path, version: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let files = files(root, &mut broken);
    properties(root, version, &mut broken);
    manifest(root, version, &files, &mut broken);
    sources(root, version, &mut broken);
    keywords(root, &mut broken);
    sketches(root, &mut broken);
    named(root, &mut broken);
    readme(root, &mut broken);
    for name in ["LICENSE", "README.md", "keywords.txt"] {
        if !root.join(name).is_file() {
            broken.push(format!("{name} is missing"));
        }
    }
    if root.join("utility").exists() {
        broken.push("utility/ belongs to the old layout, which has no src/".to_owned());
    }
    broken
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Paths below the root. What a repository with a tag adds is not looked into.
fn files(root: &Path, broken: &mut Vec<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .strip_prefix(root)
                .expect("below it")
                .to_str()
                .expect("text")
                .to_owned();
            if name == ".git" {
                continue;
            }
            if path.is_symlink() {
                broken.push(format!("{name} is a symbolic link"));
            } else if path.is_dir() {
                folders.push(path);
            } else {
                let last = name.rsplit('/').next().unwrap_or(&name).to_ascii_lowercase();
                if last.ends_with(".exe") {
                    broken.push(format!("{name} is a program"));
                } else if last == ".development" {
                    broken.push(format!("{name} marks a library that is not released"));
                } else if last == ".gitmodules" {
                    broken.push(format!("{name}: submodules are not fetched"));
                }
                found.insert(name);
            }
        }
    }
    found
}

fn is_semantic(version: &str) -> bool {
    let numbers: Vec<_> = version.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|number| {
            number.parse::<u32>().is_ok()
                && (*number == "0" || !number.starts_with('0'))
                && !number.starts_with('+')
        })
}

/// Letters, digits and `extra`, not beginning with one of the latter, and not too long.
fn is_name(name: &str, extra: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || extra.contains(letter))
}

fn properties(root: &Path, version: &str, broken: &mut Vec<String>) {
    let text = read(&root.join("library.properties"));
    let mut fields = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let Some((name, value)) = line.split_once('=') else {
            broken.push(format!("library.properties: {line:?} is no field"));
            continue;
        };
        if !REQUIRED.contains(&name) && !OPTIONAL.contains(&name) {
            broken.push(format!("library.properties: there is no field {name:?}"));
        }
        if value.trim() != value || value.is_empty() {
            broken.push(format!(
                "library.properties: {name} is empty, or has spaces at an end"
            ));
        }
        if fields.insert(name, value).is_some() {
            broken.push(format!("library.properties: {name} is there twice"));
        }
    }
    for name in REQUIRED.iter().chain(&["includes"]) {
        if !fields.contains_key(name) {
            broken.push(format!("library.properties: {name} is missing"));
        }
    }
    let field = |name: &str| fields.get(name).copied().unwrap_or_default();
    let name = field("name");
    if !is_name(name, " _.-") || name.to_ascii_lowercase().contains("arduino") {
        broken.push(format!(
            "library.properties: {name:?} is no name for a library of one's own"
        ));
    }
    if !is_semantic(field("version")) {
        broken.push(format!(
            "library.properties: version {:?} is not semantic",
            field("version")
        ));
    } else if field("version") != version {
        broken.push(format!(
            "library.properties: version {} is not {version}",
            field("version")
        ));
    }
    for person in ["author", "maintainer"] {
        if field(person).to_ascii_lowercase().contains("arduino") {
            broken.push(format!("library.properties: {person} claims to be Arduino"));
        }
    }
    if field("paragraph").starts_with(field("sentence")) {
        broken.push("library.properties: paragraph repeats the sentence that precedes it".to_owned());
    }
    if !CATEGORIES.contains(&field("category")) {
        broken.push(format!(
            "library.properties: {:?} is no category",
            field("category")
        ));
    }
    if !is_address(field("url")) {
        broken.push(format!(
            "library.properties: url {:?} leads nowhere",
            field("url")
        ));
    }
    for header in field("includes").split(',').map(str::trim) {
        if !root.join("src").join(header).is_file() {
            broken.push(format!(
                "library.properties: includes {header:?}, which is missing"
            ));
        }
    }
}

fn is_address(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| rest.contains('.') && !rest.contains(char::is_whitespace))
}

/// The pages that a library names as its own and that are somebody else's: until it is published, that is the one about what
/// it speaks. A published one is to have none.
pub fn foreign(root: &Path) -> Vec<String> {
    let properties = read(&root.join("library.properties"));
    let url = properties.lines().find_map(|line| line.strip_prefix("url="));
    let manifest: serde_json::Value =
        serde_json::from_str(&read(&root.join("library.json"))).unwrap_or_default();
    [
        ("library.properties: url", url),
        ("library.json: homepage", manifest["homepage"].as_str()),
        ("library.json: repository", manifest["repository"]["url"].as_str()),
    ]
    .into_iter()
    .filter_map(|(place, url)| Some((place, url.filter(|url| is_foreign(url))?)))
    .map(|(place, url)| format!("{place} {url:?} is somebody else's"))
    .collect()
}

fn is_foreign(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "buttplug.io" || host.ends_with(".buttplug.io")
}

/// PlatformIO's library.json.
fn manifest(root: &Path, version: &str, files: &BTreeSet<String>, broken: &mut Vec<String>) {
    let manifest: serde_json::Value = match serde_json::from_str(&read(&root.join("library.json"))) {
        Ok(manifest) => manifest,
        Err(error) => {
            broken.push(format!("library.json: {error}"));
            return;
        }
    };
    let text = |name: &str| manifest[name].as_str().unwrap_or_default();
    for name in ["name", "version", "description", "license", "headers", "homepage"] {
        if text(name).is_empty() {
            broken.push(format!("library.json: {name} is missing"));
        }
    }
    for name in ["frameworks", "platforms", "keywords", "authors"] {
        if manifest[name].is_null() {
            broken.push(format!("library.json: {name} is missing"));
        }
    }
    if text("version") != version {
        broken.push(format!(
            "library.json: version {:?} is not {version}",
            text("version")
        ));
    }
    if manifest["build"]["libArchive"] != false {
        // What nothing names is left out of an archive: an interrupt, and what ends a watchdog before main().
        broken.push("library.json: libArchive has to be false".to_owned());
    }
    let properties = read(&root.join("library.properties"));
    for (here, there) in [
        ("name", "name"),
        ("description", "sentence"),
        ("homepage", "url"),
        ("headers", "includes"),
    ] {
        if !properties
            .lines()
            .any(|line| line == format!("{there}={}", text(here)))
        {
            broken.push(format!(
                "library.json: {here} is not {there} of library.properties"
            ));
        }
    }
    let mut named = BTreeSet::new();
    for example in manifest["examples"].as_array().into_iter().flatten() {
        let base = example["base"].as_str().unwrap_or_default();
        for file in example["files"].as_array().into_iter().flatten() {
            named.insert(format!("{base}/{}", file.as_str().unwrap_or_default()));
        }
    }
    let present: BTreeSet<_> = files
        .iter()
        .filter(|name| name.ends_with(".ino"))
        .cloned()
        .collect();
    for name in named.symmetric_difference(&present) {
        broken.push(format!(
            "library.json: {name} is not both among the examples and in the folder"
        ));
    }
}

/// The version that the library itself reports, and the headers that its sources and sketches ask for.
fn sources(root: &Path, version: &str, broken: &mut Vec<String>) {
    let reported = format!("\"WsdmDevice-{version}\\n\"");
    if !read(&root.join("src/WsdmTcode.cpp")).contains(&reported) {
        broken.push(format!("src/WsdmTcode.cpp: the answer to D0 is not {reported}"));
    }
    for file in listed(&root.join("src"))
        .into_iter()
        .chain(listed(&root.join("examples")))
    {
        for header in headers::included(&read(&file)) {
            if header.starts_with("Wsdm") && !root.join("src").join(&header).is_file() {
                broken.push(format!("{}: includes {header}, which is missing", file.display()));
            }
        }
    }
}

/// The files in this folder and in those below it.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(listed(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn keywords(root: &Path, broken: &mut Vec<String>) {
    let text = read(&root.join("keywords.txt"));
    let mut found = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, kind] = fields[..] else {
            broken.push(format!(
                "keywords.txt: {line:?} is not a name, one tab and a kind"
            ));
            continue;
        };
        if !KINDS.contains(&kind) || name.is_empty() || name.contains(char::is_whitespace) {
            broken.push(format!(
                "keywords.txt: {line:?} has another kind than there are, or a space"
            ));
        }
        if found.insert(name.to_owned(), kind.to_owned()).is_some() {
            broken.push(format!("keywords.txt: {name} is there twice"));
        }
    }
    let public = headers::public(root);
    for (name, kind) in &public {
        if found.get(name).map(String::as_str) != Some(kind) {
            broken.push(format!("keywords.txt: {name} is public and not there as {kind}"));
        }
    }
    for name in found.keys().filter(|name| !public.contains_key(*name)) {
        broken.push(format!("keywords.txt: {name} is no public name"));
    }
}

fn sketches(root: &Path, broken: &mut Vec<String>) {
    for folder in fs::read_dir(root.join("examples"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let folder = folder.path();
        if !folder.is_dir() {
            continue;
        }
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .expect("text")
            .to_owned();
        if !folder.join(format!("{name}.ino")).is_file() {
            broken.push(format!("examples/{name} has no sketch of its own name"));
        }
        if !is_name(&name, "_.-") {
            broken.push(format!("examples/{name}: no name for a sketch"));
        }
    }
    if !root.join("examples").is_dir() {
        broken.push("examples/ is missing".to_owned());
    }
}

/// The folders of the examples.
pub fn examples(root: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(root.join("examples"))
        .into_iter()
        .flatten()
        .flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders
        .filter_map(|folder| folder.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// The words of a text that can only be examples: they begin as one does, such as `SerialTcode`.
pub fn called(text: &str, examples: &BTreeSet<String>) -> BTreeSet<String> {
    let first_word = |name: &str| {
        let end = name.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase());
        name[..end.map_or(name.len(), |(at, _)| at)].to_owned()
    };
    let kinds: BTreeSet<_> = examples.iter().map(|name| first_word(name)).collect();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| first_word(word).len() < word.len() && kinds.contains(&first_word(word)))
        .map(str::to_owned)
        .collect()
}

/// What is read beside them names each of the examples, and no other.
fn named(root: &Path, broken: &mut Vec<String>) {
    let examples = examples(root);
    for page in ["README.md", "examples/platformio.ini"] {
        for name in called(&read(&root.join(page)), &examples).symmetric_difference(&examples) {
            broken.push(format!("{page}: {name} is not both named there and an example"));
        }
    }
}

/// It is read where there is nothing but the library.
fn readme(root: &Path, broken: &mut Vec<String>) {
    let text = read(&root.join("README.md"));
    for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let path = link.split('#').next().unwrap_or_default();
        let leaves = path.starts_with("..") || path.starts_with('/');
        if !link.contains("://") && !path.is_empty() && (leaves || !root.join(path).exists()) {
            broken.push(format!("README.md: {link} is not in the library"));
        }
    }
}
