//! Rust source as far as imports need it: comments, text and what is for tests only are passed over.

/// A path that code names, and where.
#[derive(Debug)]
pub struct Import {
    pub line: usize,
    /// Its parts; the last may be `*`.
    pub path: Vec<String>,
    /// It stands in a `use`, where one name alone may be a crate.
    in_use: bool,
}

impl Import {
    /// The path from the crate's root; `None` if it leads elsewhere, or nowhere that can be told.
    pub fn inside(&self, module: &[String]) -> Option<Vec<String>> {
        let supers = self.path.iter().take_while(|part| *part == "super").count();
        match self.path.first().map(String::as_str) {
            // Alone it is the `crate` of `pub(crate)`.
            Some("crate") if self.path.len() > 1 => Some(self.path[1..].to_vec()),
            // More of them than there are modules: inside a module that has no file of its own.
            Some("super") if supers <= module.len() => {
                let mut path = module[..module.len() - supers].to_vec();
                path.extend_from_slice(&self.path[supers..]);
                (!path.is_empty()).then_some(path)
            }
            _ => None,
        }
    }

    /// The name that is a crate's if it is one's.
    pub fn outside(&self) -> Option<&str> {
        let name = self.path.first()?;
        (self.in_use || self.path.len() > 1).then_some(name)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Then,
    Other(char),
}

use Token::{Other, Then, Word};

/// Every path that the code of a file names.
pub fn imports(text: &str) -> Vec<Import> {
    let (tokens, _) = code(text);
    let mut found = Vec::new();
    let mut at = 0;
    let mut in_use = false;
    while at < tokens.len() {
        match &tokens[at].0 {
            // But not the `use<'a>` of a type.
            Word(word) if word == "use" => {
                in_use = tokens.get(at + 1).is_some_and(|(next, _)| *next != Other('<'));
            }
            Other(';') => in_use = false,
            // The `::` of `<T as Trait>::f`: what follows is no path of its own.
            Then if at > 0 && tokens[at - 1].0 == Other('>') => at += 1,
            Word(_) | Other('{') if in_use || matches!(tokens[at].0, Word(_)) => {
                at = paths(&tokens, at, Vec::new(), in_use, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads one path, with all that its braces hold; gives the place after it.
fn paths(
    tokens: &[(Token, usize)],
    mut at: usize,
    mut path: Vec<String>,
    in_use: bool,
    found: &mut Vec<Import>,
) -> usize {
    let line = tokens.get(at).map_or(0, |(_, line)| *line);
    loop {
        match tokens.get(at).map(|(token, _)| token) {
            Some(Word(word)) => {
                // `net::{self}` is `net`.
                if word != "self" || path.is_empty() {
                    path.push(word.clone());
                }
                at += 1;
                if tokens.get(at).map(|(token, _)| token) != Some(&Then) {
                    break;
                }
                at += 1;
            }
            // In front of everything, as in `{::dbus}`.
            Some(Then) if path.is_empty() => at += 1,
            Some(Other('*')) if in_use => {
                path.push("*".to_owned());
                at += 1;
                break;
            }
            Some(Other('{')) if in_use => {
                at += 1;
                loop {
                    match tokens.get(at).map(|(token, _)| token) {
                        None => return at,
                        Some(Other('}')) => return at + 1,
                        Some(Other(',')) => at += 1,
                        Some(Word(word)) if word == "as" => at += 2,
                        Some(_) => at = paths(tokens, at, path.clone(), in_use, found).max(at + 1),
                    }
                }
            }
            _ => break,
        }
    }
    if !path.is_empty() {
        found.push(Import { line, path, in_use });
    }
    at
}

/// The modules of files of their own that are for tests only.
pub fn test_modules(text: &str) -> Vec<String> {
    code(text).1
}

/// The tokens of a file without the items that are for tests only, and those of them that are modules elsewhere.
fn code(text: &str) -> (Vec<(Token, usize)>, Vec<String>) {
    let tokens = tokens(text);
    let mut kept = Vec::new();
    let mut modules = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let after = attribute(&tokens, at);
        if after > at && for_tests(&tokens[at..after]) {
            at = after;
            while attribute(&tokens, at) > at {
                at = attribute(&tokens, at);
            }
            let end = item(&tokens, at);
            let words: Vec<_> = tokens[at..end].iter().map(|(token, _)| token).collect();
            if let [.., Word(keyword), Word(name), Other(';')] = &words[..]
                && keyword == "mod"
            {
                modules.push(name.clone());
            }
            at = end;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, modules)
}

/// The place after the attribute that begins here; `at` if none does.
fn attribute(tokens: &[(Token, usize)], at: usize) -> usize {
    let opens = |n: usize, c| tokens.get(at + n).is_some_and(|(token, _)| *token == Other(c));
    if !opens(0, '#') || !opens(1, '[') {
        return at;
    }
    let mut depth = 0;
    for (n, (token, _)) in tokens.iter().enumerate().skip(at + 1) {
        match token {
            Other('[') => depth += 1,
            Other(']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return n + 1;
        }
    }
    tokens.len()
}

fn for_tests(attribute: &[(Token, usize)]) -> bool {
    let has = |word: &str| attribute.iter().any(|(token, _)| *token == Word(word.to_owned()));
    has("cfg") && has("test") && !has("not")
}

/// The place after the item that begins here: its `;`, or its braces.
fn item(tokens: &[(Token, usize)], at: usize) -> usize {
    let mut depth = 0;
    for (n, (token, _)) in tokens.iter().enumerate().skip(at) {
        match token {
            Other('{' | '(' | '[') => depth += 1,
            Other('}' | ')' | ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token, Other(';' | '}')) {
            return n + 1;
        }
    }
    tokens.len()
}

fn tokens(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let is = |at: usize, what: &str| {
        what.chars()
            .enumerate()
            .all(|(n, c)| chars.get(at + n) == Some(&c))
    };
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&c) = chars.get(at) {
        let from = at;
        if is(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if is(at, "/*") {
            at = after_comment(&is, chars.len(), at);
        } else if let Some(end) = after_raw(&chars, at) {
            at = end;
        } else if c == '"' {
            at = after_quote(&chars, at, '"');
        } else if c == '\'' && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'')) {
            at = after_quote(&chars, at, '\'');
        } else if c.is_alphanumeric() || c == '_' {
            while chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                at += 1;
            }
            tokens.push((Word(chars[from..at].iter().collect()), line));
        } else if is(at, "::") {
            at += 2;
            tokens.push((Then, line));
        } else {
            at += 1;
            if !c.is_whitespace() {
                tokens.push((Other(c), line));
            }
        }
        line += chars[from..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn after_comment(is: &impl Fn(usize, &str) -> bool, end: usize, mut at: usize) -> usize {
    let mut depth = 0;
    while at < end {
        if is(at, "/*") {
            depth += 1;
            at += 2;
        } else if is(at, "*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn after_quote(chars: &[char], mut at: usize, quote: char) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The place after raw text such as `r#"..."#` or `br"..."`; `None` if none begins here.
fn after_raw(chars: &[char], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).and_then(|at| chars.get(at));
    if before.is_some_and(|c| c.is_alphanumeric() || *c == '_') {
        return None;
    }
    let mut open = at;
    while chars.get(open).is_some_and(|c| matches!(c, 'b' | 'c')) {
        open += 1;
    }
    if chars.get(open) != Some(&'r') {
        return None;
    }
    open += 1;
    let hashes = chars[open..].iter().take_while(|c| **c == '#').count();
    if chars.get(open + hashes) != Some(&'"') {
        return None;
    }
    let mut end = open + hashes + 1;
    while end < chars.len() {
        let rest = &chars[end + 1..];
        if chars[end] == '"' && rest.iter().take_while(|c| **c == '#').count() >= hashes {
            return Some(end + 1 + hashes);
        }
        end += 1;
    }
    Some(end)
}
