//! What failed, out of all that the tests print: it is said again where a reader looks first, at the end.

use std::path::{Path, PathBuf};

use crate::layout;

/// Of what one test program prints of its failed tests. The end tells more than the beginning.
const MAX_LINES_OF_A_PROGRAM: usize = 200;

/// Reads the output of `cargo test` line by line and keeps what each test program prints between
/// `failures:` and its result.
#[derive(Default)]
pub(crate) struct Failures {
    open: Option<Vec<String>>,
    kept: Vec<Vec<String>>,
}

impl Failures {
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(lines) = &mut self.open {
            lines.push(line.to_owned());
            if line.starts_with("test result: ") {
                self.close();
            }
        } else if line == "failures:" {
            self.open = Some(Vec::new());
        }
    }

    fn close(&mut self) {
        if let Some(lines) = self.open.take() {
            self.kept.push(lines);
        }
    }

    /// All that was kept, also of a program that ended before it gave its result; None when nothing
    /// failed.
    pub(crate) fn into_text(mut self) -> Option<String> {
        self.close();
        let mut text = String::new();
        for lines in &self.kept {
            let left_out = lines.len().saturating_sub(MAX_LINES_OF_A_PROGRAM);
            if left_out > 0 {
                text.push_str(&format!("({left_out} lines before this)\n"));
            }
            for line in lines.iter().skip(left_out) {
                text.push_str(line);
                text.push('\n');
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Where a run of the tests leaves what failed, for the checks to say it again.
fn path() -> PathBuf {
    layout::target().join("test").join("failures.txt")
}

/// # Errors
/// When what an earlier run left cannot be removed.
pub(crate) fn forget() -> std::io::Result<()> {
    match std::fs::remove_file(path()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// # Errors
/// When it cannot be written.
pub(crate) fn leave(text: &str) -> std::io::Result<()> {
    let path = path();
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(path, text)
}

/// What the last run of the tests left, if anything failed in it.
pub(crate) fn left() -> Option<String> {
    std::fs::read_to_string(path()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(output: &str) -> Option<String> {
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        failures.into_text()
    }

    #[test]
    fn what_failed_is_kept_of_each_program() {
        let output = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nleft: 1\n\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest c ... ok\n\ntest result: ok. 1 passed; 0 failed\n";
        let text = kept(output).unwrap();
        assert!(text.contains("---- b stdout ----\nleft: 1\n"), "{text}");
        assert!(text.contains("\nfailures:\n    b\n"), "{text}");
        assert!(
            text.ends_with("test result: FAILED. 1 passed; 1 failed\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_kept_where_nothing_failed() {
        assert_eq!(kept("test a ... ok\n\ntest result: ok. 1 passed\n"), None);
    }

    #[test]
    fn a_long_failure_keeps_its_end() {
        let noise = "noise\n".repeat(500);
        let text = kept(&format!("failures:\n{noise}the end\n")).unwrap();
        assert!(text.starts_with("(301 lines before this)\n"), "{text}");
        assert!(text.ends_with("the end\n"), "{text}");
    }
}
