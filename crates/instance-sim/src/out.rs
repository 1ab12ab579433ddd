//! What is meant for the person at the terminal goes to stdout; the log goes to stderr.

/// Prints one line.
pub(crate) fn line(text: &str) {
    #[expect(clippy::print_stdout, reason = "the results of a command line program")]
    {
        println!("{text}");
    }
}
