//! The question before something is deleted that cannot be brought back. Knows nothing of what that is.

use std::io::{self, IsTerminal as _, Write as _};

use super::Error;

/// Refuses what nobody is there to be asked about: too much would be lost by a slip of a script.
pub(super) fn refuse_unasked(what: &str) -> Result<(), Error> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    Err(Error::Usage(format!("{what} needs --yes where nobody can be asked")))
}

/// Asks on standard error; anything but a yes is an error.
pub(super) fn ask(question: &str) -> Result<(), Error> {
    let mut stderr = anstream::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::Failed("nothing was deleted; answer y, or give --yes".to_owned())),
    }
}
