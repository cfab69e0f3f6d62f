//! `docs/causes.md`: the operators' table, written from the one table in the code.

use crate::step::{Failure, root};
use std::fmt::Write as _;
use wire::Cause;

/// Where the table stands.
pub(crate) const PATH: &str = "docs/causes.md";

/// The document as it must be.
pub(crate) fn document() -> String {
    let mut out = String::from(
        "# Causes\n\n\
         Every message that is rejected or dropped, and every flow, dialog or session that ends, names one of\n\
         these causes: as the label `cause` of its metric, as the field `cause` of its log line, and as the text\n\
         of the Warning header (code 399) of a SIP answer. Written from the code by `cargo xtask causes`.\n\n\
         | cause | answer | fault | meaning |\n|---|---|---|---|\n",
    );
    for cause in Cause::ALL {
        let status = cause.status().map_or_else(|| "-".to_owned(), |s| s.to_string());
        let fault = format!("{:?}", cause.fault()).to_lowercase();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{}` | {status} | {fault} | {} |", cause.label(), cause.text());
    }
    out
}

/// Writes the document.
pub(crate) fn write() -> Result<(), Failure> {
    std::fs::write(root().join(PATH), document())?;
    Ok(())
}
