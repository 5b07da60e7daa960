//! The log on standard error: how it is set up, and that an event is one line whatever stands in it. Knows nothing of who logs.

use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config;

/// Begins to log on standard error, for the whole process.
///
/// # Errors
/// When the level cannot be read.
pub fn log_to_stderr(log: &config::Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&log.level).context("log.level")?;
    let colours = log.format == config::Format::Text && io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    let lines = lines.with_writer(OneLine { to: io::stderr, colours });
    match log.format {
        config::Format::Text => lines.init(),
        config::Format::Json => lines.json().init(),
    }
    Ok(())
}

/// What servers and peers say gets into the log, and whoever answers in their place could write lines of his own there. An
/// event is given to the writer as a whole: what controls a terminal or ends a line inside of it is escaped.
#[derive(Clone)]
struct OneLine<W> {
    to: W,
    /// The formatter colours lines.
    colours: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = Escaping<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping { to: self.to.make_writer(), colours: self.colours }
    }
}

struct Escaping<W> {
    to: W,
    colours: bool,
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.to.write_all(one_line(&String::from_utf8_lossy(event), self.colours).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn one_line(event: &str, colours: bool) -> String {
    let (event, end) = event.strip_suffix('\n').map_or((event, ""), |event| (event, "\n"));
    let mut line = String::with_capacity(event.len() + 1);
    for (at, letter) in event.char_indices() {
        match letter {
            '\u{1b}' if colours && is_colour(&event[at + 1..]) => line.push(letter),
            letter if letter.is_control() => line.extend(letter.escape_default()),
            letter => line.push(letter),
        }
    }
    line + end
}

/// Whether what stands behind an escape does no more than colour what follows.
fn is_colour(rest: &str) -> bool {
    let numbers = |letter: char| letter.is_ascii_digit() || letter == ';';
    rest.strip_prefix('[').is_some_and(|rest| rest.trim_start_matches(numbers).starts_with('m'))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_else_writes_a_line() {
        let strange = "ERR no\r\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2J\u{7}\u{9b}31m ü";
        let logged = |colours| {
            let kept = Kept::default();
            let to = kept.clone();
            let writer = OneLine { to: move || to.clone(), colours };
            let lines = tracing_subscriber::fmt().with_ansi(colours).with_writer(writer).finish();
            tracing::subscriber::with_default(lines, || {
                tracing::warn!(trouble = %strange, said = ?strange, "{strange}");
                tracing::warn!("the next");
            });
            let bytes = kept.0.lock().unwrap().clone();
            String::from_utf8(bytes).unwrap()
        };
        let plain = logged(false);
        assert_eq!(plain.lines().count(), 2, "{plain}");
        assert!(plain.contains("trouble=ERR no\\r\\n2026") && plain.contains('ü'), "{plain}");
        assert!(!plain.chars().any(|letter| letter.is_control() && letter != '\n'), "{plain:?}");
        let coloured = logged(true);
        assert_eq!(coloured.lines().count(), 2, "{coloured}");
        assert!(coloured.contains("\u{1b}[") && !coloured.contains("\u{1b}[2J"), "{coloured:?}");
        assert!(!coloured.contains(['\r', '\u{7}', '\u{9b}']), "{coloured:?}");
    }
}
