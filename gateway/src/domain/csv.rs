//! Rows of CSV (RFC 4180) that open safely in a spreadsheet.

use std::fmt::Write;

/// A spreadsheet that meets one of these first takes the cell for a formula. The wide forms count,
/// because some spreadsheets read them as the narrow ones.
const FORMULA_BEGINS: [char; 12] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '|', '＝', '＋', '－', '＠',
];

/// A row that is being written.
#[derive(Debug)]
pub(crate) struct CsvRow {
    text: String,
    divider: char,
}

impl CsvRow {
    /// A row without cells.
    pub(crate) fn divided_by(divider: char) -> Self {
        Self {
            text: String::new(),
            divider,
        }
    }

    /// Adds a cell. Text that would be a formula gets an apostrophe before it, which spreadsheets read
    /// as "this is text"; every cell is quoted, so that none can become two.
    pub(crate) fn cell(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push(self.divider);
        }
        let is_formula = text.trim_start_matches(' ').starts_with(FORMULA_BEGINS);
        let apostrophe = if is_formula { "'" } else { "" };
        // Writing into a text never fails.
        let _written = write!(self.text, "\"{apostrophe}{}\"", text.replace('"', "\"\""));
    }

    /// The row's text, with its end of line.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_stranger_wrote_is_a_formula() {
        for (text, cell) in [
            ("Acme", "\"Acme\"\r\n"),
            ("", "\"\"\r\n"),
            (
                "=HYPERLINK(\"http://x\")",
                "\"'=HYPERLINK(\"\"http://x\"\")\"\r\n",
            ),
            ("+1", "\"'+1\"\r\n"),
            ("-1", "\"'-1\"\r\n"),
            ("@SUM(A1)", "\"'@SUM(A1)\"\r\n"),
            ("\t=1", "\"'\t=1\"\r\n"),
            ("\r=1", "\"'\r=1\"\r\n"),
            ("  =1", "\"'  =1\"\r\n"),
            ("＝1", "\"'＝1\"\r\n"),
            ("a,b;c\"d\ne", "\"a,b;c\"\"d\ne\"\r\n"),
        ] {
            let mut row = CsvRow::divided_by(',');
            row.cell(text);
            assert_eq!(row.finish(), cell, "{text:?}");
        }
    }

    #[test]
    fn cells_are_divided() {
        let mut row = CsvRow::divided_by(';');
        row.cell("");
        row.cell("a;b");
        row.cell("c");
        assert_eq!(row.finish(), "\"\";\"a;b\";\"c\"\r\n");
    }
}
