//! The documentation holds together: each link leads somewhere, the README stays short, every page can be reached from it,
//! what is wired as it says is what the code drives, and what it quotes is printed.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

#[path = "docs/code_pins.rs"]
mod code_pins;
#[path = "docs/firmware.rs"]
mod firmware;
#[path = "docs/messages.rs"]
mod messages;
#[path = "docs/picture.rs"]
mod picture;
#[path = "docs/steps.rs"]
mod steps;
#[path = "docs/wiring.rs"]
mod wiring;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The README is read on one screen or two; everything else has a page of its own under `docs/`.
const README_BYTES: u64 = 9_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One page, as far as links are concerned.
#[derive(Debug, Default, PartialEq)]
struct Page {
    /// The targets of its links and images, in order, with their line.
    links: Vec<(usize, String)>,
    /// What `#...` can name in it.
    anchors: BTreeSet<String>,
    /// Labels that a link uses and that the page does not define.
    undefined: Vec<(usize, String)>,
}

/// GitHub's rule: lower case, without punctuation, blanks as hyphens.
fn slug(heading: &str) -> String {
    heading
        .trim()
        .chars()
        .flat_map(char::to_lowercase)
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The page with everything that is code blanked out, byte for byte, so that places stay what they are.
fn without_code(text: &str) -> String {
    let mut prose = String::new();
    let mut fence: Option<String> = None;
    let (mut after_blank, mut indented) = (true, false);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let marker: String = ["`", "~"]
            .iter()
            .map(|mark| trimmed.chars().take_while(|c| mark.contains(*c)).collect())
            .find(|run: &String| run.len() >= 3)
            .unwrap_or_default();
        let code = if let Some(open) = &fence {
            if marker.starts_with(open.as_str()) && trimmed.trim_end() == marker {
                fence = None;
            }
            true
        } else if !marker.is_empty() {
            fence = Some(marker);
            true
        } else {
            line.starts_with("    ") && (after_blank || indented)
        };
        after_blank = trimmed.is_empty();
        indented = code && fence.is_none() && !after_blank || indented && after_blank;
        if code {
            prose.extend(line.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            prose.push_str(line);
        }
    }
    blank_spans(&prose)
}

/// Code spans, which end with as many backticks as they begin with, and never go beyond their paragraph.
fn blank_spans(prose: &str) -> String {
    let mut out = String::new();
    let mut rest = prose;
    while let Some(start) = rest.find('`') {
        let (before, span) = rest.split_at(start);
        out.push_str(before);
        let ticks = span.len() - span.trim_start_matches('`').len();
        let (open, inside) = span.split_at(ticks);
        let paragraph = inside.find("\n\n").unwrap_or(inside.len());
        let end = closing_ticks(&inside[..paragraph], ticks);
        let Some(end) = end else {
            out.push_str(open);
            rest = inside;
            continue;
        };
        out.push_str(open);
        // The text of a span counts in a heading, but a bracket in it is none.
        out.extend(
            inside[..end]
                .chars()
                .map(|c| if "[]()<>".contains(c) { ' ' } else { c }),
        );
        out.push_str(open);
        rest = &inside[end + ticks..];
    }
    out + rest
}

/// Where the next run of exactly so many backticks begins.
fn closing_ticks(text: &str, ticks: usize) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].find('`') {
        let at = from + found;
        let run = text[at..].len() - text[at..].trim_start_matches('`').len();
        if run == ticks {
            return Some(at);
        }
        from = at + run;
    }
    None
}

fn scan(text: &str) -> Page {
    let prose = without_code(text);
    let mut page = Page::default();
    let mut slugs: BTreeMap<String, usize> = BTreeMap::new();
    let mut labels = BTreeMap::new();
    let mut used = Vec::new();

    for (n, line) in prose.lines().enumerate() {
        let level = line.len() - line.trim_start_matches('#').len();
        if let Some(heading) = line[level..]
            .strip_prefix(' ')
            .filter(|_| (1..=6).contains(&level))
        {
            let slug = slug(&shown(heading));
            let times = slugs.entry(slug.clone()).or_default();
            page.anchors.insert(match times {
                0 => slug,
                _ => format!("{slug}-{times}"),
            });
            *times += 1;
        }
        if let Some((label, target)) = line.strip_prefix('[').and_then(|l| l.split_once("]:"))
            && !label.contains(']')
            && let Some(target) = target.split_whitespace().next()
        {
            labels.insert(label.to_lowercase(), target.to_owned());
            page.links.push((n + 1, target.to_owned()));
        }
        for attribute in ["href=\"", "src=\"", "srcset=\""] {
            for (at, _) in line.match_indices(attribute) {
                let target = &line[at + attribute.len()..];
                page.links
                    .push((n + 1, target.split('"').next().unwrap_or_default().to_owned()));
            }
        }
    }

    // Text and target of a link may stand on different lines.
    for (at, _) in prose.match_indices("](") {
        let line = prose[..at].lines().count();
        let target = prose[at + 2..].trim_start();
        let target = match target.strip_prefix('<') {
            Some(target) => target.split('>').next(),
            None => target.split([')', ' ', '\n']).next(),
        };
        page.links.push((line, target.unwrap_or_default().to_owned()));
    }
    for (at, _) in prose.match_indices("][") {
        if let Some((label, _)) = prose[at + 2..].split_once(']')
            && !label.is_empty()
        {
            used.push((prose[..at].lines().count(), label.to_lowercase()));
        }
    }
    page.undefined = used
        .into_iter()
        .filter(|(_, label)| !labels.contains_key(label))
        .collect();
    page.links.sort();
    page
}

/// A heading as it is shown: of a link only its text.
fn shown(heading: &str) -> String {
    let mut out = String::new();
    let mut rest = heading;
    while let Some((before, target)) = rest.split_once("](") {
        out.push_str(before);
        rest = target.split_once(')').map_or("", |(_, after)| after);
    }
    out + rest
}

/// Every page of the repository, by its path from the root.
fn pages() -> BTreeMap<PathBuf, Page> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.insert(path.strip_prefix(root()).unwrap().to_owned(), scan(&text));
            }
        }
    }
    pages
}

/// The path that a link means, from the root: `None` if it leaves the repository.
fn resolve(page: &Path, target: &str) -> Option<PathBuf> {
    let mut path = page.parent()?.to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    Some(path)
}

/// Links that lead out of the repository are not looked at: the tests need no network.
fn is_external(target: &str) -> bool {
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

/// Where a link leads: a path of the repository, and an anchor there.
fn destination<'a>(page: &Path, target: &'a str) -> Result<(PathBuf, Option<&'a str>), String> {
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let path = match path {
        "" if anchor.is_none() => return Err("is empty".to_owned()),
        "" => page.to_owned(),
        _ => resolve(page, path).ok_or("leaves the repository")?,
    };
    Ok((path, anchor))
}

fn fault(pages: &BTreeMap<PathBuf, Page>, page: &Path, target: &str) -> Option<String> {
    let (path, anchor) = match destination(page, target) {
        Ok(destination) => destination,
        Err(fault) => return Some(fault),
    };
    if !root().join(&path).exists() {
        return Some("does not exist".to_owned());
    }
    let anchor = anchor?;
    match pages.get(&path) {
        None => Some("has an anchor, but is no Markdown page".to_owned()),
        Some(page) if page.anchors.contains(anchor) => None,
        Some(page) => Some(format!("names no heading; there are {:?}", page.anchors)),
    }
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut faults = Vec::new();
    let mut checked = 0;
    for (path, page) in &pages {
        for (line, label) in &page.undefined {
            faults.push(format!("{}:{line}: [{label}] is not defined", path.display()));
        }
        for (line, target) in page.links.iter().filter(|(_, target)| !is_external(target)) {
            checked += 1;
            if let Some(fault) = fault(&pages, path, target) {
                faults.push(format!("{}:{line}: {target:?} {fault}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        checked >= 50,
        "only {checked} links were found; does the scanner still work?"
    );
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let pages = pages();
    let mut reached = BTreeSet::new();
    let mut ahead = vec![PathBuf::from("README.md")];
    while let Some(path) = ahead.pop() {
        // A folder shows its README.
        let path = if root().join(&path).is_dir() {
            path.join("README.md")
        } else {
            path
        };
        let Some(page) = pages.get(&path) else { continue };
        if reached.insert(path.clone()) {
            let targets = page.links.iter().filter(|(_, target)| !is_external(target));
            ahead.extend(targets.filter_map(|(_, target)| Some(destination(&path, target).ok()?.0)));
        }
    }
    let unreached: Vec<_> = pages.keys().filter(|path| !reached.contains(*path)).collect();
    assert!(
        unreached.is_empty(),
        "no link leads from README.md to {unreached:?}"
    );
}

#[test]
fn the_readme_is_short() {
    let bytes = fs::metadata(root().join("README.md")).unwrap().len();
    assert!(
        bytes <= README_BYTES,
        "README.md has {bytes} bytes; move what is beyond {README_BYTES} to a page under docs/"
    );
}

#[test]
fn slugs_are_those_of_github() {
    for (heading, wanted) in [
        ("Close codes", "close-codes"),
        (
            "  A first device, in three steps ",
            "a-first-device-in-three-steps",
        ),
        ("ESP32-C3, ESP32-C6", "esp32-c3-esp32-c6"),
        ("`[[serial]]` and `[devices]`", "serial-and-devices"),
        ("What is it? -- snake_case", "what-is-it----snake_case"),
        ("Über Größe", "über-größe"),
    ] {
        assert_eq!(slug(heading), wanted, "{heading:?}");
    }
}

#[test]
fn links_and_headings_are_found_and_code_is_skipped() {
    let page = scan(
        "# One `two` [three](a.md)\n\
         \n\
         Text [over\n\
         two lines](b.md#x) and ![an\n\
         image](c.svg \"title\"), `[no](d.md)`, ``[no](`e.md)``, [angle](<f g.md>).\n\
         A lone ` tick and [after](g.md).\n\
         \n\
         \x20   [code](h.md)\n\
         \n\
         \x20   # code\n\
         \n\
         ```\n\
         [fenced](i.md)\n\
         # fenced\n\
         ```\n\
         \n\
         # Same\n\
         ## Same\n\
         #no heading\n\
         1. item\n\
         \x20   [continued](j.md)\n\
         \n\
         [known][k] [unknown][l] <img src=\"m.png\">\n\
         \n\
         [k]: k.md\n",
    );
    let links: Vec<_> = page
        .links
        .iter()
        .map(|(line, target)| (*line, target.as_str()))
        .collect();
    assert_eq!(
        links,
        [
            (1, "a.md"),
            (4, "b.md#x"),
            (5, "c.svg"),
            (5, "f g.md"),
            (6, "g.md"),
            (21, "j.md"),
            (23, "m.png"),
            (25, "k.md"),
        ]
    );
    assert_eq!(
        page.anchors.iter().map(String::as_str).collect::<Vec<_>>(),
        ["one-two-three", "same", "same-1"]
    );
    assert_eq!(page.undefined, [(23, "l".to_owned())]);
}

#[test]
fn faulty_links_are_found() {
    let pages = BTreeMap::from([
        (PathBuf::from("README.md"), scan("# Here\n")),
        (PathBuf::from("docs/page.md"), scan("# There\n")),
    ]);
    for (page, target, faulty) in [
        ("README.md", "#here", false),
        ("README.md", "#there", true),
        ("README.md", "src", false),
        ("README.md", "src#here", true),
        ("README.md", "no-such-file.md", true),
        ("README.md", "../README.md", true),
        ("README.md", "/README.md", true),
        ("README.md", "", true),
        ("docs/page.md", "../README.md#here", false),
        ("docs/page.md", "README.md", true),
        ("docs/page.md", "../README.md#Here", true),
    ] {
        let fault = fault(&pages, Path::new(page), target);
        assert_eq!(fault.is_some(), faulty, "{target:?} in {page}: {fault:?}");
    }
}
