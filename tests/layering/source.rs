//! Rust source as far as the layering test needs it: paths and words with their lines, without
//! comments, strings and test code.

/// A file of `src`.
pub struct Source {
    /// Below `src`, with slashes.
    pub path: String,
    pub text: String,
}

/// A path as it stands in the code (`use` trees flattened), with its line.
#[derive(Debug, PartialEq, Eq)]
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// What a file says outside of its tests.
pub struct Reading {
    pub mentions: Vec<Mention>,
    /// The files, below `src`, that are modules for tests only.
    pub test_files: Vec<String>,
    /// Lines with the word `unsafe`, in tests too.
    pub unsafe_lines: Vec<usize>,
}

pub fn read(source: &Source) -> Reading {
    let tokens = tokens(&source.text);
    let unsafe_lines = tokens
        .iter()
        .filter(|token| token.text == "unsafe")
        .map(|token| token.line)
        .collect();
    let (tokens, test_files) = without_tests(&tokens, &source.path);
    Reading {
        mentions: mentions(&tokens),
        test_files,
        unsafe_lines,
    }
}

/// Words, `::`, strings (with their quotes) and single signs.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            'r' if at(i + 1) == '"' || (at(i + 1) == '#' && matches!(at(i + 2), '"' | '#')) => {
                i += 1;
                let mut hashes = 0;
                while at(i) == '#' {
                    (hashes, i) = (hashes + 1, i + 1);
                }
                i += 1;
                let closes = |i: usize| at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#');
                while i < chars.len() && !closes(i) {
                    i += 1;
                }
                i += 1 + hashes;
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += 1 + usize::from(at(i) == '\\');
                }
                i += 1;
                let text = chars[start..i.min(chars.len())].iter().collect();
                tokens.push(Token { text, line });
            }
            // A character; a lifetime is a sign and a word.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += 2 + usize::from(at(i + 1) == '\\');
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                let text = "::".into();
                tokens.push(Token { text, line });
            }
            c if word(c) => {
                while word(at(i)) {
                    i += 1;
                }
                let text = chars[start..i].iter().collect();
                tokens.push(Token { text, line });
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    let text = c.into();
                    tokens.push(Token { text, line });
                }
            }
        }
        let end = i.min(chars.len());
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Leaves out the items behind `#[cfg(test)]`, and tells which files they name.
fn without_tests(tokens: &[Token], path: &str) -> (Vec<Token>, Vec<String>) {
    let is = |i: usize, text: &str| tokens.get(i).is_some_and(|t| t.text == text);
    let starts = |i: usize, texts: &[&str]| texts.iter().enumerate().all(|(n, t)| is(i + n, t));
    let (mut kept, mut files, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if !starts(i, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i += 7;
        let mut named = None;
        while is(i, "#") {
            if starts(i, &["#", "[", "path", "="]) {
                named = tokens
                    .get(i + 4)
                    .map(|t| t.text.trim_matches('"').to_owned());
            }
            while i < tokens.len() && !is(i, "]") {
                i += 1;
            }
            i += 1;
        }
        if is(i, "mod") && is(i + 2, ";") {
            files.extend(files_of(path, &tokens[i + 1].text, named));
        }
        let mut depth = 0;
        while i < tokens.len() {
            match tokens[i].text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            let ends = depth == 0 && (is(i, ";") || is(i, "}"));
            i += 1;
            if ends {
                break;
            }
        }
    }
    (kept, files)
}

/// Where module `name` of the file `path` may be; a name with a slash at its end: all in there.
fn files_of(path: &str, name: &str, named: Option<String>) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some(named) = named {
        return vec![format!("{folder}/{named}")];
    }
    let stem = file.trim_end_matches(".rs");
    let inside = match stem {
        "mod" | "lib" | "main" => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    };
    let module = format!("{inside}/{name}");
    let module = module.trim_start_matches('/');
    vec![format!("{module}.rs"), format!("{module}/")]
}

fn mentions(tokens: &[Token]) -> Vec<Mention> {
    let (mut found, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i].text == "use" {
            i = tree(tokens, i + 1, &[], &mut found);
        } else if is_word(&tokens[i]) {
            let line = tokens[i].line;
            let mut path = vec![tokens[i].text.clone()];
            i += 1;
            while i + 1 < tokens.len() && tokens[i].text == "::" && is_word(&tokens[i + 1]) {
                path.push(tokens[i + 1].text.clone());
                i += 2;
            }
            found.push(Mention { path, line });
        } else {
            i += 1;
        }
    }
    found
}

/// Reads a `use` tree behind `prefix`; returns the place behind it.
fn tree(tokens: &[Token], mut i: usize, prefix: &[String], found: &mut Vec<Mention>) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens.get(i).map_or(0, |t| t.line);
    while let Some(token) = tokens.get(i) {
        match token.text.as_str() {
            "::" | "*" => i += 1,
            "{" => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t.text != "}") {
                    i = tree(tokens, i, &path, found);
                    i += usize::from(tokens.get(i).is_some_and(|t| t.text == ","));
                }
                return i + 1;
            }
            "as" => i += 2,
            _ if is_word(token) => {
                path.push(token.text.clone());
                i += 1;
            }
            _ => break,
        }
    }
    found.push(Mention { path, line });
    i
}

fn is_word(token: &Token) -> bool {
    token
        .text
        .starts_with(|c: char| c.is_alphabetic() || c == '_')
}
