//! Text for the demo's agents: found on disk, split into paragraphs, counted in words. Knows nothing of
//! coordinators.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::texts;
use crate::cli::Error;

/// Larger files are skipped.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Reading stops before so much text is exceeded.
const TOTAL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Reading stops after so many files with text.
const FILES_MAX: usize = 500;
/// Looking stops after so many directory entries.
const VISITED_MAX: usize = 50_000;
/// Later paragraphs are left out.
const PARAGRAPHS_MAX: usize = 4_000;
/// Longer paragraphs are cut into pieces.
const PARAGRAPH_BYTES_MAX: usize = 8 * 1024;

/// Words too common to tell texts apart.
const COMMON: &[&str] = &[
    "about", "after", "also", "because", "been", "before", "between", "both", "could", "does", "each",
    "even", "every", "from", "have", "into", "more", "most", "must", "never", "only", "other", "over",
    "same", "should", "some", "such", "than", "that", "their", "them", "then", "there", "these", "they",
    "this", "those", "through", "under", "until", "very", "were", "what", "when", "where", "which", "while",
    "will", "with", "without", "would", "your",
];

/// The texts that were found.
#[derive(Debug, Default)]
pub(super) struct Library {
    pub texts: Vec<Text>,
    /// Files that hold no text, are too large, or came after a bound was reached.
    pub skipped: usize,
    /// Whether a bound ended the search.
    pub cut: bool,
}

/// One text.
#[derive(Debug)]
pub(super) struct Text {
    /// Its path below what was asked for, with `/` between segments.
    pub name: String,
    pub body: String,
}

/// One paragraph of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paragraph {
    /// Its place among all paragraphs, from 1.
    pub number: usize,
    /// The name of the text it is from.
    pub file: String,
    /// The heading it stands under, or nothing.
    pub heading: String,
    pub content: String,
}

impl Paragraph {
    /// Its key wherever it is stored.
    pub(super) fn key(&self) -> String {
        format!("p{:05}", self.number)
    }
}

impl Library {
    /// The texts inside the binary.
    pub(super) fn embedded() -> Self {
        let texts = texts::DOCUMENTS.iter();
        let texts = texts.map(|(name, body)| Text { name: (*name).to_owned(), body: (*body).to_owned() });
        Self { texts: texts.collect(), skipped: 0, cut: false }
    }

    /// The text at a path, or the texts below it. Hidden files and symbolic links below it are not looked at.
    pub(super) fn at(path: &Path) -> Result<Self, Error> {
        let unreadable =
            |error: std::io::Error| Error::Input(format!("cannot read {}: {error}", path.display()));
        let metadata = fs::metadata(path).map_err(unreadable)?;
        let mut library = Self::default();
        if metadata.is_dir() {
            let files = library.find(path).map_err(unreadable)?;
            library.read_all(path, &files);
        } else {
            fs::File::open(path).map_err(unreadable)?;
            let parent = path.parent().unwrap_or(Path::new(""));
            library.read_all(parent, &[path.to_owned()]);
        }
        if library.texts.is_empty() {
            return Err(Error::Input(format!(
                "no text in {}: give UTF-8 files of up to 1 MiB, or no path for the built-in texts",
                path.display()
            )));
        }
        Ok(library)
    }

    pub(super) fn bytes(&self) -> usize {
        self.texts.iter().map(|text| text.body.len()).sum()
    }

    /// All paragraphs, numbered, up to a bound.
    pub(super) fn paragraphs(&mut self) -> Vec<Paragraph> {
        let all = self.texts.iter().flat_map(|text| split(&text.name, &text.body));
        let mut paragraphs: Vec<_> = all.take(PARAGRAPHS_MAX + 1).collect();
        self.cut |= paragraphs.len() > PARAGRAPHS_MAX;
        paragraphs.truncate(PARAGRAPHS_MAX);
        for (index, paragraph) in paragraphs.iter_mut().enumerate() {
            paragraph.number = index + 1;
        }
        paragraphs
    }

    /// The regular files below a directory, in order of their names. What cannot be listed is skipped.
    fn find(&mut self, root: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
        let mut files = Vec::new();
        let mut visited = 0;
        let mut pending = vec![fs::read_dir(root)?];
        while let Some(directory) = pending.pop() {
            for entry in directory.flatten() {
                visited += 1;
                if visited > VISITED_MAX {
                    self.cut = true;
                    files.sort();
                    return Ok(files);
                }
                let hidden = entry.file_name().to_string_lossy().starts_with('.');
                match entry.file_type() {
                    Ok(kind) if kind.is_file() && !hidden => files.push(entry.path()),
                    Ok(kind) if kind.is_dir() && !hidden => pending.extend(fs::read_dir(entry.path())),
                    _ => {}
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn read_all(&mut self, root: &Path, files: &[PathBuf]) {
        let mut bytes = 0;
        for file in files {
            let Some(body) = read_text(file) else {
                self.skipped += 1;
                continue;
            };
            if self.texts.len() == FILES_MAX || bytes + body.len() > TOTAL_BYTES_MAX {
                self.cut = true;
                self.skipped += 1;
                continue;
            }
            bytes += body.len();
            let name = file.strip_prefix(root).unwrap_or(file);
            let segments = name.iter().map(|segment| segment.to_string_lossy());
            self.texts.push(Text { name: segments.collect::<Vec<_>>().join("/"), body });
        }
    }
}

/// The file's text, unless it is none, nothing, or too much.
fn read_text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > FILE_BYTES_MAX || bytes.contains(&0) {
        return None;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.trim().is_empty())
}

/// Paragraphs end at blank lines, but not inside a fenced block. Headings are no paragraphs of their own.
fn split(file: &str, text: &str) -> Vec<Paragraph> {
    let mut paragraphs = Vec::new();
    let mut heading = String::new();
    let mut content = String::new();
    let mut fenced = false;
    let mut finish = |content: &mut String, heading: &str| {
        for piece in pieces(content.trim_end()) {
            paragraphs.push(Paragraph {
                number: 0,
                file: file.to_owned(),
                heading: heading.to_owned(),
                content: piece.to_owned(),
            });
        }
        content.clear();
    };
    for line in text.lines() {
        let title = line.trim_start_matches('#');
        let is_heading = title.len() < line.len() && title.starts_with(' ');
        if !fenced && (is_heading || line.trim().is_empty()) {
            finish(&mut content, &heading);
            if is_heading {
                heading = title.trim().to_owned();
            }
            continue;
        }
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        content.push_str(line);
        content.push('\n');
    }
    finish(&mut content, &heading);
    paragraphs
}

/// Cuts a text into pieces of bounded size, behind a line or a word where there is one.
fn pieces(mut text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while text.len() > PARAGRAPH_BYTES_MAX {
        let end = text.floor_char_boundary(PARAGRAPH_BYTES_MAX);
        let end =
            text[..end].rfind('\n').or_else(|| text[..end].rfind(' ')).filter(|at| *at > 0).unwrap_or(end);
        pieces.push(text[..end].trim_end());
        text = text[end..].trim_start();
    }
    pieces.push(text);
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// The words of a text that tell it apart from others, in lower case, in order.
pub(super) fn terms(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() >= 4 && word.chars().any(char::is_alphabetic))
        .map(str::to_lowercase)
        .filter(|word| !COMMON.contains(&word.as_str()))
}

/// The most frequent terms and their counts, the most frequent first, equals by name.
pub(super) fn frequent<'a>(texts: impl Iterator<Item = &'a str>, count_max: usize) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    for term in texts.flat_map(terms) {
        *counts.entry(term).or_insert(0) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(count_max);
    counts
}

/// The distinct terms of a text that are long enough to be worth a link.
pub(super) fn notable(text: &str) -> BTreeSet<String> {
    terms(text).filter(|term| term.chars().count() >= 6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_up(text: &str) -> Vec<(String, String)> {
        split("f", text).into_iter().map(|paragraph| (paragraph.heading, paragraph.content)).collect()
    }

    fn pair(heading: &str, content: &str) -> (String, String) {
        (heading.to_owned(), content.to_owned())
    }

    #[test]
    fn blank_lines_and_headings_part_paragraphs() {
        let text = "lead\r\nin\r\n\r\n# One\nfirst\n\n \nsecond\n## Two #\nthird\n#hashtag\n\n# Empty\n";
        let expected = [
            pair("", "lead\nin"),
            pair("One", "first"),
            pair("One", "second"),
            pair("Two #", "third\n#hashtag"),
        ];
        assert_eq!(split_up(text), expected);
    }

    #[test]
    fn a_fenced_block_stays_together() {
        let text = "```sh\n# not a heading\n\nls\n```\n\nafter";
        assert_eq!(split_up(text), [pair("", "```sh\n# not a heading\n\nls\n```"), pair("", "after")]);
    }

    #[test]
    fn a_long_paragraph_is_cut_and_nothing_is_lost() {
        let text = "grün ".repeat(5_000);
        let parts = split_up(&text);
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|(_, part)| part.len() <= PARAGRAPH_BYTES_MAX));
        let words: usize = parts.iter().map(|(_, part)| part.split(' ').count()).sum();
        assert_eq!(words, 5_000);
        assert_eq!(pieces(&"ü".repeat(PARAGRAPH_BYTES_MAX)).concat(), "ü".repeat(PARAGRAPH_BYTES_MAX));
    }

    #[test]
    fn a_directory_is_read_without_what_is_no_text() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::write(root.join("b/c/deep.md"), "deep").unwrap();
        fs::write(root.join("a.txt"), "a").unwrap();
        fs::write(root.join(".hidden"), "h").unwrap();
        fs::write(root.join(".git/config"), "g").unwrap();
        fs::write(root.join("binary"), [0, 159, 146]).unwrap();
        fs::write(root.join("latin1"), [0x66, 0xfc]).unwrap();
        fs::write(root.join("large"), "x".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();

        let library = Library::at(root).unwrap();

        let names: Vec<_> = library.texts.iter().map(|text| text.name.as_str()).collect();
        assert_eq!(names, ["a.txt", "b/c/deep.md"]);
        assert_eq!(library.skipped, 3);
        assert_eq!(Library::at(&root.join("a.txt")).unwrap().texts[0].name, "a.txt");
    }

    #[test]
    fn a_path_without_text_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Library::at(directory.path()).unwrap_err().exit_code(), 7);
        let missing = Library::at(&directory.path().join("none")).unwrap_err();
        assert!(missing.line().contains("No such file"), "{}", missing.line());
    }

    #[test]
    fn the_embedded_texts_are_enough_for_every_agent() {
        assert!(Library::embedded().paragraphs().len() >= 16);
    }

    #[test]
    fn frequent_terms_are_counted_without_common_words() {
        let top = frequent(["Swarm swarm with with with token", "Token 1234 swarm"].into_iter(), 2);
        assert_eq!(top, [("swarm".to_owned(), 3), ("token".to_owned(), 2)]);
    }
}
