//! org-svc: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    org_svc::cli::run()
}
