//! Writers: requests, responses and end-lines, appended to a buffer of the caller.

use crate::head::{FailureReport, Head, HeaderId, Method};
use crate::range::ByteRange;
use crate::reader::Flag;
use crate::uri;
use wire::bytes_class::push_decimal;

/// The head of a SEND.
#[derive(Clone, Copy, Debug)]
pub struct Send<'a> {
    /// Transaction id, 4..=32 octets; must not occur in the body behind `CRLF -------`.
    pub id: &'a [u8],
    /// Where it goes, the next hop first.
    pub to_path: &'a [u8],
    /// Where it comes from.
    pub from_path: &'a [u8],
    /// Names the message.
    pub message_id: &'a [u8],
    /// Which octets of it.
    pub range: ByteRange,
    /// `Success-Report`, written if not `None`.
    pub success_report: Option<bool>,
    /// `Failure-Report`, written if not `None`.
    pub failure_report: Option<FailureReport>,
    /// The type of the body; a SEND without one has no body.
    pub content_type: Option<&'a [u8]>,
}

impl Send<'_> {
    /// Appends the head: the body and `end_of_body` follow, or `end_line` if there is no content type.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        request_line(self.id, b"SEND", out);
        paths(self.to_path, self.from_path, out);
        header(HeaderId::MessageId, self.message_id, out);
        out.extend_from_slice(b"Byte-Range: ");
        self.range.write(out);
        out.extend_from_slice(b"\r\n");
        if let Some(wanted) = self.success_report {
            header(HeaderId::SuccessReport, if wanted { b"yes" } else { b"no" }, out);
        }
        if let Some(wanted) = self.failure_report {
            let word: &[u8] = match wanted {
                FailureReport::Yes => b"yes",
                FailureReport::Partial => b"partial",
                FailureReport::No => b"no",
            };
            header(HeaderId::FailureReport, word, out);
        }
        if let Some(content_type) = self.content_type {
            header(HeaderId::ContentType, content_type, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// A REPORT, RFC 4975 §7.1.2.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Transaction id.
    pub id: &'a [u8],
    /// The From-Path of the SEND.
    pub to_path: &'a [u8],
    /// Who reports.
    pub from_path: &'a [u8],
    /// The message.
    pub message_id: &'a [u8],
    /// The octets of it.
    pub range: ByteRange,
    /// What became of them, in namespace 000.
    pub status: u16,
    /// For people; may be empty.
    pub comment: &'a [u8],
}

impl Report<'_> {
    /// Appends the whole request.
    pub fn write(&self, out: &mut Vec<u8>) {
        request_line(self.id, b"REPORT", out);
        paths(self.to_path, self.from_path, out);
        header(HeaderId::MessageId, self.message_id, out);
        out.extend_from_slice(b"Byte-Range: ");
        self.range.write(out);
        out.extend_from_slice(b"\r\nStatus: 000 ");
        status_and_comment(self.status, self.comment, out);
        end_line(self.id, Flag::Last, out);
    }
}

/// Appends an AUTH (RFC 4976 §5.1), with credentials if there was a challenge.
pub fn auth(id: &[u8], to_path: &[u8], from_path: &[u8], authorization: Option<&[u8]>, out: &mut Vec<u8>) {
    request_line(id, b"AUTH", out);
    paths(to_path, from_path, out);
    if let Some(value) = authorization {
        header(HeaderId::Authorization, value, out);
    }
    end_line(id, Flag::Last, out);
}

/// Appends the response to a request: paths swapped as RFC 4975 §7.2 asks.
///
/// The answer to a SEND goes one hop back, so its To-Path is the first URI of the From-Path; other
/// methods are answered along the whole path.
pub fn response(request: &Head<'_>, status: u16, comment: &[u8], out: &mut Vec<u8>) {
    let back = match request.method() {
        Some(Method::Send) => uri::first(request.from_path()),
        _ => request.from_path(),
    };
    response_line(request.id(), status, comment, out);
    paths(back, uri::first(request.to_path()), out);
    end_line(request.id(), Flag::Last, out);
}

/// The same for an AUTH or another request that is answered with more than a status: along its whole path
/// (RFC 4976 §5.1), with these fields.
pub fn response_with(request: &Head<'_>, status: u16, fields: &[(HeaderId, &[u8])], out: &mut Vec<u8>) {
    response_line(request.id(), status, comment(status), out);
    paths(request.from_path(), uri::first(request.to_path()), out);
    fields.iter().for_each(|(id, value)| header(*id, value, out));
    end_line(request.id(), Flag::Last, out);
}

/// Appends a response when the head of the request is not at hand any longer.
pub fn response_parts(id: &[u8], to_path: &[u8], from_path: &[u8], status: u16, out: &mut Vec<u8>) {
    response_line(id, status, comment(status), out);
    paths(to_path, from_path, out);
    end_line(id, Flag::Last, out);
}

/// Appends the end-line of a message without body.
pub fn end_line(id: &[u8], flag: Flag, out: &mut Vec<u8>) {
    out.extend_from_slice(b"-------");
    out.extend_from_slice(id);
    out.push(flag.byte());
    out.extend_from_slice(b"\r\n");
}

/// Appends what ends a body: CRLF and the end-line.
pub fn end_of_body(id: &[u8], flag: Flag, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
    end_line(id, flag, out);
}

/// Appends what ends a message: with the CRLF in front if it has a body.
pub fn end(id: &[u8], flag: Flag, has_body: bool, out: &mut Vec<u8>) {
    match has_body {
        true => end_of_body(id, flag, out),
        false => end_line(id, flag, out),
    }
}

/// The comment that goes with a status, for people who read traces.
#[must_use]
pub const fn comment(status: u16) -> &'static [u8] {
    match status {
        200 => b"OK",
        400 => b"Bad Request",
        401 => b"Unauthorized",
        403 => b"Forbidden",
        408 => b"Timeout",
        413 => b"Message Too Large",
        415 => b"Unsupported Media Type",
        423 => b"Interval Out Of Bounds",
        481 => b"No Such Session",
        501 => b"Not Implemented",
        506 => b"Session Already Bound",
        _ => b"",
    }
}

fn request_line(id: &[u8], method: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"MSRP ");
    out.extend_from_slice(id);
    out.push(b' ');
    out.extend_from_slice(method);
    out.extend_from_slice(b"\r\n");
}

fn response_line(id: &[u8], status: u16, comment: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"MSRP ");
    out.extend_from_slice(id);
    out.push(b' ');
    status_and_comment(status, comment, out);
}

fn paths(to: &[u8], from: &[u8], out: &mut Vec<u8>) {
    header(HeaderId::ToPath, to, out);
    header(HeaderId::FromPath, from, out);
}

fn header(id: HeaderId, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(id.name().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn status_and_comment(status: u16, comment: &[u8], out: &mut Vec<u8>) {
    push_decimal(u64::from(status), out);
    if !comment.is_empty() {
        out.push(b' ');
        out.extend_from_slice(comment);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Event, Reader, Scan};

    fn with_head<T>(bytes: &[u8], look: impl FnOnce(Head<'_>) -> T) -> T {
        let mut reader = Reader::new(Scan::Every, 8192);
        let mut at = 0;
        match reader.next(bytes, &mut at) {
            Event::Head(head) => look(head),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_send_is_written_as_the_vector_stands() {
        let vector: &[u8] = include_bytes!("../../../tests/vectors/msrp-05-send-chat.msrp");
        let body = &vector[memchr::memmem::find(vector, b"\r\n\r\n").unwrap() + 4..];
        let body = &body[..memchr::memmem::find(body, b"\r\n-------").unwrap()];
        let send = Send {
            id: b"msrprequest4951",
            to_path: b"msrp://182.3.1.7:40410/hwK3zBbqenxBFB;tcp",
            from_path: b"msrp://182.1.1.203:10110/10110;tcp",
            message_id: b"msrprequest4951",
            range: ByteRange { start: 1, end: Some(294), total: Some(294) },
            success_report: Some(false),
            failure_report: Some(FailureReport::Yes),
            content_type: Some(b"message/CPIM"),
        };
        let mut out = Vec::new();
        send.write_head(&mut out);
        out.extend_from_slice(body);
        end_of_body(send.id, Flag::Last, &mut out);
        assert_eq!(out.escape_ascii().to_string(), vector.escape_ascii().to_string());
    }

    #[test]
    fn responses_swap_the_paths() {
        let request = |method: &str| {
            format!(
                "MSRP abcd {method}\r\nTo-Path: msrp://b:1/y;tcp msrp://c:1/z;tcp\r\n\
From-Path: msrp://r:1/q;tcp msrp://a:1/x;tcp\r\n-------abcd$\r\n"
            )
        };
        for (method, to) in [("SEND", "msrp://r:1/q;tcp"), ("AUTH", "msrp://r:1/q;tcp msrp://a:1/x;tcp")] {
            let mut out = Vec::new();
            with_head(request(method).as_bytes(), |head| {
                response(&head, 481, comment(481), &mut out);
            });
            let expected = format!(
                "MSRP abcd 481 No Such Session\r\nTo-Path: {to}\r\nFrom-Path: msrp://b:1/y;tcp\r\n-------abcd$\r\n"
            );
            assert_eq!(out.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
        }
    }

    #[test]
    fn report_and_auth_read_back() {
        let mut out = Vec::new();
        Report {
            id: b"abcd",
            to_path: b"msrp://a:1/x;tcp",
            from_path: b"msrp://b:1/y;tcp",
            message_id: b"m1",
            range: ByteRange { start: 1, end: Some(7), total: Some(7) },
            status: 200,
            comment: b"OK",
        }
        .write(&mut out);
        with_head(&out, |head| {
            assert_eq!(head.method(), Some(Method::Report));
            assert_eq!(head.report_status(), Some(200));
            assert!(head.has_clear_paths() && !head.has_body());
        });
        out.clear();
        auth(b"abcd", b"msrps://r:1;tcp", b"msrp://a:1/x;tcp", Some(b"Digest x"), &mut out);
        with_head(&out, |head| {
            assert_eq!(head.method(), Some(Method::Auth));
            assert_eq!(head.value(HeaderId::Authorization), b"Digest x");
        });
    }
}
