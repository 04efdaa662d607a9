//! The pages about trouble quote what a board, `flash` or the gateway prints, letter by letter: whoever looks for the line
//! on the screen finds it.

use std::fs;
use std::path::Path;

use super::root;

/// The pages. In their tables of what is seen, what stands in the first column is quoted; and in a section of reports all of
/// it.
const PAGES: [&str; 6] = [
    "firmware/docs/trouble.md",
    "firmware/docs/behaviour.md",
    "firmware/docs/boards/esp32-c3-c6.md",
    "firmware/docs/boards/esp32.md",
    "firmware/docs/boards/esp8266.md",
    "firmware/docs/boards/uno.md",
];
const TABLES: [&str; 2] = ["| what you see |", "| report |"];
const REPORTS: &str = "## What the board reports";
/// Where these texts come from.
const SOURCES: [&str; 10] = [
    "firmware/core/src",
    "firmware/board/src",
    "firmware/esp32-common/src",
    "firmware/esp32c3/src",
    "firmware/esp32c6/src",
    "firmware/arduino/WsdmDevice/src",
    "crates/wsdm-protocol/src",
    "src/cmd/flash",
    "src/device/refusal.rs",
    "src/link/serial/ports.rs",
];
/// What other programs print.
const FOREIGN: [&str; 1] = ["Connecting...."];
/// Shorter ones, such as `: `, would make a message of anything.
const PIECE_MIN: usize = 5;
/// A quotation of one message may break off, but not before it is clear what it quotes.
const QUOTED_MIN: usize = 8;

/// A text of the sources, cut where something is put in.
type Message = Vec<String>;

/// The string literals of a source: those behind another without anything between them are one.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let chars: Vec<char> = source.chars().collect();
    let mut found: Vec<String> = Vec::new();
    let (mut at, mut joins) = (0, false);
    while at < chars.len() {
        match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => {
                while at < chars.len() && chars[at] != '\n' {
                    at += 1;
                }
                continue;
            }
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 2,
            '\'' if chars.get(at + 1) == Some(&'\\') && chars.get(at + 3) == Some(&'\'') => at += 3,
            '"' => {
                let (text, end) = literal(&chars, at + 1);
                match found.last_mut() {
                    Some(last) if joins => last.push_str(&text),
                    _ => found.push(text),
                }
                at = end;
                joins = true;
            }
            c if c.is_whitespace() => {}
            _ => joins = false,
        }
        at += 1;
    }
    found
}

/// The literal that begins here, and where its closing quotation mark is.
fn literal(chars: &[char], mut at: usize) -> (String, usize) {
    let mut text = String::new();
    while at < chars.len() && chars[at] != '"' {
        if chars[at] != '\\' {
            text.push(chars[at]);
            at += 1;
            continue;
        }
        match chars.get(at + 1) {
            Some('n') => text.push('\n'),
            // In Rust the line goes on behind the blanks of the next.
            Some('\n') => {
                while chars.get(at + 2).is_some_and(|c| c.is_whitespace()) {
                    at += 1;
                }
            }
            Some(c) => text.push(*c),
            None => {}
        }
        at += 2;
    }
    (text, at)
}

/// Cut at `{...}`, and each line for itself.
fn messages(literals: &[String]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for line in literals.iter().flat_map(|literal| literal.lines()) {
        let mut message = vec![String::new()];
        let mut rest = line;
        while let Some((before, behind)) = rest.split_once('{') {
            message.last_mut().unwrap().push_str(before);
            match behind.split_once('}') {
                Some((_, behind)) => {
                    message.push(String::new());
                    rest = behind;
                }
                None => rest = behind,
            }
        }
        message.last_mut().unwrap().push_str(rest);
        let fixed = message.iter().map(String::len).sum::<usize>();
        if fixed >= PIECE_MIN && !message[0].is_empty() {
            messages.push(message);
        }
    }
    messages
}

/// What the sources print.
struct Sources(Vec<Message>);

impl Sources {
    fn read() -> Self {
        let mut messages = Vec::new();
        let mut add = |path: &Path| {
            let text = fs::read_to_string(path).unwrap();
            messages.extend(self::messages(&literals(&text)));
        };
        for source in SOURCES {
            let path = root().join(source);
            if path.is_file() {
                add(&path);
                continue;
            }
            for file in fs::read_dir(&path).unwrap_or_else(|e| panic!("{source}: {e}")) {
                let file = file.unwrap().path();
                let is_source = file
                    .extension()
                    .is_some_and(|e| e == "rs" || e == "cpp" || e == "h");
                if is_source && !file.ends_with("tests.rs") {
                    add(&file);
                }
            }
        }
        Self(messages)
    }

    /// Whether this is printed: a message, perhaps not to its end, or whole ones one behind the other.
    fn has(&self, quoted: &str) -> bool {
        self.is_printed(quoted, true)
    }

    fn is_printed(&self, quoted: &str, may_break_off: bool) -> bool {
        let begins = |message: &Message| self.matches(message, quoted, may_break_off);
        is_anything(quoted) || self.0.iter().any(begins)
    }

    fn matches(&self, message: &[String], quoted: &str, may_break_off: bool) -> bool {
        let (fixed, rest) = (&message[0], &message[1..]);
        if may_break_off && quoted.len() >= QUOTED_MIN && fixed.starts_with(quoted) {
            return true;
        }
        let Some(behind) = quoted.strip_prefix(fixed.as_str()) else {
            return false;
        };
        if rest.is_empty() {
            return behind.is_empty() || self.is_printed(behind, false);
        }
        // Something is put in here, up to where the text goes on, or the quotation ends.
        let ends = behind.char_indices().skip(1).map(|(at, _)| at);
        let mut ends = ends.chain([behind.len()]);
        ends.any(|at| {
            let (put_in, behind) = behind.split_at(at);
            let is_end = behind.is_empty() && (may_break_off || *rest == [""]);
            self.is_printed(put_in, false) && (is_end || self.matches(rest, behind, may_break_off))
        })
    }
}

/// What stands for anything: dots, words in capitals, and numbers.
fn is_anything(text: &str) -> bool {
    text.split(' ').all(|word| {
        let is = |kind: fn(&char) -> bool| word.chars().all(|c| kind(&c));
        word == "..." || (!word.is_empty() && (is(char::is_ascii_uppercase) || is(char::is_ascii_digit)))
    })
}

/// What a text quotes, of a board's words: a command, a flag and a code are one word.
fn quotations(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let is_message = |span: &&str| span.contains([' ', '.', ':']);
    spans.filter(is_message).map(str::to_owned).collect()
}

/// What a page quotes, with its line.
fn quoted(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut in_table, mut in_reports) = (false, false);
    for (n, line) in page.lines().enumerate() {
        if line.starts_with("## ") {
            in_reports = line == REPORTS;
        }
        in_table = TABLES.iter().any(|head| line.starts_with(head)) || in_table && line.starts_with('|');
        let first = line.split('|').nth(1).filter(|_| in_table);
        let prose = Some(line).filter(|line| in_reports && !line.starts_with('|'));
        let quotations = first.or(prose).map(quotations).unwrap_or_default();
        found.extend(quotations.into_iter().map(|quotation| (n + 1, quotation)));
    }
    found
}

#[test]
fn what_the_pages_quote_is_printed() {
    let sources = Sources::read();
    let (mut faults, mut checked) = (Vec::new(), 0);
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for (line, quotation) in quoted(&text) {
            checked += 1;
            if !FOREIGN.contains(&quotation.as_str()) && !sources.has(&quotation) {
                faults.push(format!("{page}:{line}: nothing prints {quotation:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        checked >= 25,
        "only {checked} quotations; are the tables still found?"
    );
}

#[test]
fn a_message_that_nothing_prints_is_found() {
    let sources = r#"
        // "a comment"
        write!(f, "refused {code} ({}): ", '"');
        write!(f, "lost: {loss}");
        f.write_str("nobody answers")
        write!(f, "stopped by {by}, {silent_ms} ms since last heard")
        "watchdog", "the first half, \
            and the second"
        println!("Wi-Fi: {trouble}; the board goes on trying");
        out.print(F("not connected: "));
        return F("no haptic driver answers\n"
                 "the password is wrong: set it");
        #[cfg(test)]
        "no connection"
    "#;
    let sources = Sources(messages(&literals(sources)));
    for printed in [
        "refused CODE (NAME): REASON",
        "refused 4001 (NAME): ...",
        "lost: nobody answers",
        "stopped by watchdog, 1000 ms since last heard",
        "stopped by watchdog",
        "the password is wrong",
        "no haptic driver",
        "Wi-Fi: the password is wrong: set it; the board goes on trying",
        "not connected: ...",
        "not connected: no haptic driver answers",
        "the first half, and the sec",
    ] {
        assert!(sources.has(printed), "{printed}");
    }
    for invented in [
        "a comment",
        "no connection",
        "Wi-Fi: no connection",
        "lost: somebody answers",
        "lost: nobody answers at all",
        "refused CODE NAME: REASON",
        "stopped by the watchdog",
        "stopped by watchdog, 1000 ms since last seen",
        "the pas",
        "the first half, and the third",
        // Where the rest of it stands, something else may stand too.
        "Wi-Fi: the password is wrong",
    ] {
        assert!(!sources.has(invented), "{invented}");
    }
    let page = "| what you see | why |\n|---|---|\n| `lost: x`, `401` | `no quotation` |\n\n`nor this one`\n\
                ## What the board reports\n\n`but: this` and `that`\n## Next\n`no more of it`\n";
    let lines: Vec<_> = quoted(page);
    assert_eq!(lines, [(3, "lost: x".to_owned()), (8, "but: this".to_owned())]);
}
