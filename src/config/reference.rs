//! The example and the reference page, as the tables have them.

use super::SECTIONS;
use super::table::{Key, Kind, Preset, Section, variable};

/// The example that `init` prints: every key, commented out, with its default or an example.
pub fn example() -> String {
    let mut out = String::from(
        "# gateway.toml for wsdm-gateway. Every key is optional. What is commented out shows the default, or an example\n\
         # if its comment names the default. The command line overrides the environment, which overrides this file;\n\
         # wsdm-gateway check shows the result. Bytes are written as text with \\n, \\r, \\t, \\0, \\xNN and \\\\ in single\n\
         # quotes, or as { hex = \"05 80 80\" }.\n",
    );
    for section in SECTIONS {
        out.push('\n');
        if section.repeated {
            repeated(section, &mut out);
        } else {
            out += &format!("[{}]\n", section.name);
            comment(section.help, "# ", &mut out);
            for key in section.keys {
                out.push('\n');
                comment(&sentences(key, true), "# ", &mut out);
                out += &format!("# {} = {}\n", key.name, value(key));
            }
        }
    }
    out
}

/// A section that is not there unless somebody writes it is commented out as a whole.
fn repeated(section: &Section, out: &mut String) {
    comment(&about(section), "# ", out);
    *out += &format!("# [[{}]]\n", section.name);
    for key in section.keys {
        *out += "#\n";
        comment(&sentences(key, true), "#   # ", out);
        let off = if key.alternative { "# " } else { "" };
        *out += &format!("#   {off}{} = {}\n", key.name, value(key));
    }
}

/// The page that lists every key.
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration reference\n\
         \n\
         <!-- Generated from the tables in src/config/: UPDATE_REFERENCE=1 cargo test --test configuration -->\n\
         \n\
         `wsdm-gateway init` prints a `gateway.toml` with all of this in comments, and `wsdm-gateway check` shows the\n\
         value of each key and where it comes from. Without `--config` the file is `wsdm-gateway/gateway.toml` in the\n\
         user's configuration directory (`~/.config` on Linux), if there is one. The command line overrides the\n\
         environment, the environment the file, the file the default. An empty variable counts as not set.\n\
         \n\
         **Bytes** are written as text, with the escapes of `monitor --send`: `\\n`, `\\r`, `\\t`, `\\0`, `\\xNN` for one byte\n\
         and `\\\\`. Put such text in single quotes, which TOML leaves as it is: `on_close = '\\x05\\x80\\x80'`. Or write them\n\
         in hexadecimal: `on_close = { hex = \"05 80 80\" }`. In double quotes TOML makes characters of escapes before the\n\
         gateway sees them, `\"\\x80\"` for example U+0080, which is two bytes in UTF-8. Text with characters outside ASCII\n\
         is refused for that reason; `check` shows the bytes that will be sent.\n",
    );
    for section in SECTIONS {
        let (open, close) = if section.repeated {
            ("[[", "]]")
        } else {
            ("[", "]")
        };
        out += &format!("\n## `{open}{}{close}`\n\n", section.name);
        comment(&about(section), "", &mut out);
        out += "\n| key | value | default | meaning |\n|---|---|---|---|\n";
        for key in section.keys {
            let cells = [
                format!("`{}`", key.name),
                key.kind.in_words(),
                default(key),
                meaning(key),
            ];
            out += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
    }
    out
}

fn about(section: &Section) -> String {
    let several = if section.repeated {
        " There may be any number of these sections."
    } else {
        ""
    };
    format!("{}{several}", section.help)
}

fn default(key: &Key) -> String {
    match (&key.default, key.default_in_words()) {
        (Preset::Unset(_), words) => words,
        _ => format!("`{}`", value(key)),
    }
}

fn meaning(key: &Key) -> String {
    let mut meaning = sentences(key, false);
    if let Some(flag) = key.flag {
        meaning += &format!(" Also `--{flag}` and `{}`.", variable(flag));
    }
    if !key.aliases.is_empty() {
        meaning += &format!(" Formerly `{}`.", key.aliases.join("`, `"));
    }
    meaning
}

/// What there is to read about a key.
fn sentences(key: &Key, with_default: bool) -> String {
    let mut text = format!("{}.", key.help);
    if !key.note.is_empty() {
        text += &format!(" {}", key.note);
    }
    if with_default {
        if let Kind::Choice(words) = key.kind {
            text += &format!(" One of {}.", words.join(", "));
        }
        if let Preset::Unset(words) = key.default
            && !words.is_empty()
        {
            text += &format!(" Default: {words}.");
        }
    }
    text
}

/// A key's value as the example has it.
fn value(key: &Key) -> String {
    match key.given_default() {
        None => key.example.to_owned(),
        // Numbers among the choices need no quotes.
        Some(super::Given::Text(word)) if word.parse::<u64>().is_ok() => word,
        Some(given) => given.toml(),
    }
}

/// Adds text in lines of at most 118 characters.
fn comment(text: &str, prefix: &str, out: &mut String) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && prefix.len() + line.len() + 1 + word.len() > 118 {
            *out += &format!("{prefix}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    *out += &format!("{prefix}{line}\n");
}
