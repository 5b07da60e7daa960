//! Where a command's answer goes: lines and tables for people, objects for machines. Knows nothing of what is
//! printed.

use std::io::{self, BufWriter, IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Error;

/// For whom the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned, coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The standard output.
pub(super) struct Output {
    format: Format,
    terminal: bool,
    out: Box<dyn Write + Send>,
}

impl Output {
    pub(super) fn stdout(format: Format) -> Self {
        let out: Box<dyn Write + Send> = match format {
            Format::Human => Box::new(BufWriter::new(anstream::stdout())),
            // JSON carries no colours, and must pass as it is.
            Format::Json => Box::new(BufWriter::new(io::stdout())),
        };
        Self { format, terminal: io::stdout().is_terminal(), out }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), Error> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// A line that holds stored text.
    pub(super) fn plain(&mut self, text: &str) -> Result<(), Error> {
        self.line(&printable(text))
    }

    pub(super) fn faint(&mut self, text: &str) -> Result<(), Error> {
        Ok(writeln!(self.out, "{DIM}{text}{DIM:#}")?)
    }

    pub(super) fn heading(&mut self, text: &str) -> Result<(), Error> {
        Ok(writeln!(self.out, "{BOLD}{text}{BOLD:#}")?)
    }

    /// A statement that was checked.
    pub(super) fn verdict(&mut self, holds: bool, statement: &str) -> Result<(), Error> {
        let (word, colour) = if holds { ("yes", AnsiColor::Green) } else { ("NO ", AnsiColor::Red) };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        Ok(writeln!(self.out, "{style}{word}{style:#}  {statement}")?)
    }

    /// A stored text as it is, but without the power to command a terminal.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Error> {
        if self.terminal {
            let shown = text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}");
            self.out.write_all(shown.as_bytes())?;
            if !shown.ends_with('\n') {
                self.out.write_all(b"\n")?;
            }
            return Ok(());
        }
        // Past the writer that takes colours out: these bytes are somebody's content.
        self.out.flush()?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Names and values in two columns.
    pub(super) fn fields(&mut self, fields: &[(&str, String)]) -> Result<(), Error> {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in fields {
            writeln!(self.out, "{BOLD}{name:width$}{BOLD:#}  {}", printable(value))?;
        }
        Ok(())
    }

    /// Rows in columns under a bold header.
    pub(super) fn table(&mut self, table: &Rows) -> Result<(), Error> {
        for (index, line) in table.lines().into_iter().enumerate() {
            if index == 0 && table.has_header {
                self.heading(&line)?;
            } else {
                writeln!(self.out, "{line}")?;
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        Ok(self.out.flush()?)
    }
}

/// Rows of cells, aligned when they are printed.
pub(super) struct Rows {
    table: Table,
    has_header: bool,
}

impl Rows {
    pub(super) fn new(header: &[&str]) -> Self {
        let mut rows = Self::without_header();
        rows.table.set_header(header.iter().copied());
        rows.has_header = true;
        rows
    }

    pub(super) fn without_header() -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        Self { table, has_header: false }
    }

    pub(super) fn push(&mut self, cells: &[String]) {
        self.table.add_row(cells.iter().map(|cell| printable(cell)));
    }

    /// Numbers read better with their units below each other.
    pub(super) fn align_right(mut self, columns: &[usize]) -> Self {
        for &index in columns {
            if let Some(column) = self.table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self
    }

    fn lines(&self) -> Vec<String> {
        let mut table = self.table.clone();
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// A text in one line of at most so many characters.
pub(super) fn excerpt(text: &str, chars_max: usize) -> String {
    let line = text.split_whitespace().flat_map(|word| [" ", word]).skip(1).flat_map(str::chars);
    // One more than fits tells whether anything is left out.
    let mut line: Vec<char> = line.take(chars_max + 1).collect();
    if line.len() > chars_max {
        line.truncate(chars_max.saturating_sub(1));
        return printable(&format!("{}…", line.iter().collect::<String>().trim_end()));
    }
    printable(&line.iter().collect::<String>())
}

/// Control characters made visible, so that no stored text breaks a table or commands a terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt("one\ntwo   three", 20), "one two three");
        assert_eq!(excerpt("one two three", 9), "one two…");
        assert_eq!(excerpt("abcdefghij", 5), "abcd…");
        assert_eq!(excerpt("red\u{1b}[31m", 20), "red\u{fffd}[31m");
        assert_eq!(excerpt("", 5), "");
    }

    #[test]
    fn columns_are_aligned() {
        let mut rows = Rows::new(&["NAME", "COUNT"]).align_right(&[1]);
        rows.push(&["a".into(), "7".into()]);
        rows.push(&["longer".into(), "1234567".into()]);
        assert_eq!(rows.lines(), ["NAME      COUNT", "a             7", "longer  1234567"]);
    }
}
