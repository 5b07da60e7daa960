//! `doctor` on the command line: its arguments, and how what was found is told. Knows nothing of what is looked at.

use clap::Args;
use serde::Serialize;

use super::{
    Error, ServeArgs, error,
    output::{Format, Output},
};

/// Look for what would keep a coordinator from running well.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// What `serve` would be given
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Read the whole database and check that it is intact; takes a while
    #[arg(long)]
    pub deep: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// It runs, but somebody should look at it.
    Warning,
    /// It does not run, or not safely.
    Failure,
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it came out.
    pub status: Verdict,
    /// What was seen.
    pub figure: String,
    /// What to do; none where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// Nothing to do.
    pub fn ok(check: &'static str, figure: impl Into<String>) -> Self {
        Self { check, status: Verdict::Ok, figure: figure.into(), mend: None }
    }

    /// Somebody should look at it.
    pub fn warning(check: &'static str, figure: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, status: Verdict::Warning, figure: figure.into(), mend: Some(mend.into()) }
    }

    /// It does not run, or not safely.
    pub fn failure(check: &'static str, figure: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, status: Verdict::Failure, figure: figure.into(), mend: Some(mend.into()) }
    }
}

/// Prints what was found, and returns the exit code: 0 unless something failed.
///
/// # Errors
/// When it cannot be printed.
pub fn tell(findings: &[Finding], format: Format) -> Result<u8, Error> {
    let mut output = Output::stdout(format);
    for finding in findings {
        match format {
            Format::Json => output.json(finding)?,
            Format::Human => {
                let status = match finding.status {
                    Verdict::Ok => "ok",
                    Verdict::Warning => "warning",
                    Verdict::Failure => "FAILURE",
                };
                output.plain(&format!(
                    "{status:<8} {:<12} {}",
                    finding.check,
                    error::one_line(&finding.figure)
                ))?;
                if let Some(mend) = &finding.mend {
                    output.plain(&format!("{:21} → {mend}", ""))?;
                }
            }
        }
    }
    output.flush()?;
    let failed = findings.iter().any(|finding| finding.status == Verdict::Failure);
    Ok(if failed { error::FAILED } else { error::OK })
}
