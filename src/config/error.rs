//! Why settings are refused, in one line that an operator can act on. Knows no setting.

use std::{fmt, io, path::PathBuf};

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the file {} is not TOML, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// There is no such setting.
    #[error("unknown setting {name}, {origin}; {}", hint(nearest.as_deref()))]
    Unknown {
        /// The name as it was given.
        name: String,
        /// Who gave it.
        origin: Origin,
        /// The known name that is most like it, if one is like it at all.
        nearest: Option<String>,
    },
    /// The setting does not take this value.
    #[error("{name} = {value}, {origin}: must be {allowed}")]
    Invalid {
        /// The setting, dotted.
        name: String,
        /// The value as TOML.
        value: String,
        /// Who gave it.
        origin: Origin,
        /// What is taken.
        allowed: String,
    },
    /// The file that holds a secret cannot be used.
    #[error("{name} = {}, {origin}: {problem}", path.display())]
    SecretFile {
        /// The setting, dotted, with `_file`.
        name: String,
        /// The file.
        path: PathBuf,
        /// Who gave it.
        origin: Origin,
        /// What is wrong with it.
        problem: String,
    },
    /// Two settings cannot both be as they are.
    #[error("{name} = {value}, {origin}: {conflict}")]
    Conflict {
        /// The setting, dotted.
        name: String,
        /// The value as TOML.
        value: String,
        /// Who gave it.
        origin: Origin,
        /// What it contradicts, and the way out.
        conflict: String,
    },
}

/// Who gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: it is the default.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
    /// A flag.
    CommandLine,
    /// The program that embeds the coordinator.
    Code,
}

impl Origin {
    /// Whether both come from the same layer, so that neither overrides the other.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "the default"),
            Self::File(path) => write!(f, "from the file {}", path.display()),
            Self::Environment(name) => write!(f, "from the environment variable {name}"),
            Self::CommandLine => write!(f, "from the command line"),
            Self::Code => write!(f, "set in code"),
        }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "`swarmem config print-default` lists them all".to_owned(),
        |nearest| format!("the nearest is {nearest}"),
    )
}
