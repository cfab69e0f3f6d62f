use super::*;
use crate::{Index, Limits, parse};

type Shape = Vec<(String, String)>;

/// Content-Type and body of each part.
fn shape(body: &str) -> Result<Shape, Cause> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    split(body.as_bytes(), b"BY")
        .map(|part| {
            let part = part?;
            let kind = part.content_type().map(|t| lossy(t.text)).unwrap_or_default();
            Ok((kind, lossy(part.body())))
        })
        .collect()
}

fn expect(parts: &[(&str, &str)]) -> Result<Shape, Cause> {
    Ok(parts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
}

#[test]
fn parts_lie_between_delimiters() {
    for (body, parts) in [
        ("--BY\r\nContent-Type: a/b\r\n\r\nx\r\n--BY--\r\n", &[("a/b", "x")][..]),
        ("--BY\r\nContent-Type: a/b\r\n\r\nx\r\n--BY--", &[("a/b", "x")]),
        ("preamble\r\n--BY \t\r\n\r\nx\r\n--BY--\r\nepilogue", &[("", "x")]),
        (
            "--BY\r\ncontent-type : a/b;\r\n c=d\r\nX: y\r\n\r\n\r\nx\r\n\r\n--BY\r\n\r\n--BY--",
            &[("a/b", "\r\nx\r\n"), ("", "")],
        ),
        ("--BY\r\nContent-Type: a/b\r\n--BY--", &[("a/b", "")]),
        ("--BY\r\nContent-Type: a/b\r\n\r\n--BY--", &[("a/b", "")]),
        ("--BY\r\n--BY--", &[("", "")]),
        ("--BY\r\n\r\n--BY2\r\n --BY\r\n--B\r\n--BY--", &[("", "--BY2\r\n --BY\r\n--B")]),
        ("--BY\r\n\r\na\nb\n\r\n--BY--", &[("", "a\nb\n")]),
    ] {
        assert_eq!(shape(body), expect(parts), "{body:?}");
    }
}

#[test]
fn what_is_no_multipart_is_refused() {
    for body in [
        "",
        "x",
        "--BY",
        "--BY\r\n",
        "--BY--\r\n",
        "\n--BY\r\n\r\nx\r\n--BY--",
        "--BY\r\nContent-Type: a/b\r\n\r\nx\r\n--BY\r\n",
        "--BY\r\nContent-Type: a/b\r\n\r\nx\r\n--BY",
        "--BY\r\nno header\r\n\r\nx\r\n--BY--",
        "--BY\r\n<?xml version=\"1.0\"?>\r\n<a/>\r\n--BY--",
        "--BY\r\n\r\nx\n--BY\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--BY--",
        "--BY\r\nA: b\nContent-Type: application/sdp\r\n\r\nv=0\r\n--BY--",
    ] {
        assert_eq!(shape(body), Err(Cause::BadMultipart), "{body:?}");
    }
    assert!(split(b"--\r\n\r\n----", b"").next().unwrap().is_err());
    let many = "--BY\r\n\r\n\r\n".repeat(PARTS_MAX + 1);
    assert_eq!(shape(&format!("{many}--BY--")), Err(Cause::BadMultipart));
    let many = "--BY\r\n\r\n\r\n".repeat(PARTS_MAX);
    assert!(shape(&format!("{many}--BY--")).is_ok());
}

#[test]
fn nothing_comes_after_an_error() {
    let mut parts = split(b"--BY\r\nbad\r\n\r\n--BY\r\n\r\n--BY--", b"BY");
    assert!(parts.next().unwrap().is_err());
    assert!(parts.next().is_none());
}

const TWO_PARTS: &str = "INVITE sip:a SIP/2.0\r\nContent-Type: Multipart/Mixed; boundary=\"BY\"\r\n\
    Content-Length: 167\r\n\r\n\
    --BY\r\nContent-Type: message/cpim\r\n\r\nNS: x\r\n\r\n\
    --BY\r\nContent-Disposition: session; handling=required\r\nContent-Type: application/SDP\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n\r\n--BY--\r\n";

#[test]
fn a_part_is_found_edited_and_measured() {
    let mut index = Index::default();
    let message = parse(TWO_PARTS.as_bytes(), &Limits::default(), &mut index).unwrap();
    assert_eq!(message.content_length(), Ok(Some(message.body().len() as u32)));
    let found = find(message, "application", "sdp").unwrap().unwrap();
    assert_eq!(message.text(found.span), b"v=0\r\n");
    let part = found.part.unwrap();
    assert!(part.disposition().unwrap().is("session"));
    let mut edits = EditList::new();
    edits.replace(found.span, b"v=0\r\ns=-\r\n");
    part.fit_content_length(&mut edits);
    crate::edit::fit_content_length(message, &mut edits);
    let mut out = Vec::new();
    edits.gather(message.bytes(), &mut out).unwrap();
    let expected = TWO_PARTS
        .replace("v=0\r\n", "v=0\r\ns=-\r\n")
        .replace("Content-Length: 5", "Content-Length: 10")
        .replace("167", "173");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn single_bodies_and_those_without_type() {
    let found = |head: &str, body: &str| {
        let text = format!("ACK sip:a SIP/2.0\r\n{head}\r\n{body}");
        let mut index = Index::default();
        let message = parse(text.as_bytes(), &Limits::default(), &mut index).unwrap();
        find(message, "application", "sdp").map(|f| f.is_some())
    };
    assert_eq!(found("c: application/sdp\r\n", "v=0"), Ok(true));
    assert_eq!(found("c: APPLICATION/sdp;x=y\r\n", "v=0"), Ok(true));
    assert_eq!(found("", "v=0\r\n"), Ok(true));
    assert_eq!(found("", "x"), Ok(false));
    assert_eq!(found("c: text/plain\r\n", "v=0"), Ok(false));
    assert_eq!(found("c: application/sdp\r\n", ""), Ok(false));
    assert_eq!(found("c: multipart/mixed\r\n", "v=0"), Err(Cause::MissingBoundary));
    assert_eq!(found("c: multipart/mixed;boundary=\"\"\r\n", "v=0"), Err(Cause::MissingBoundary));
    assert_eq!(found("c: multipart/mixed;boundary=B\r\n", "v=0"), Err(Cause::BadMultipart));
    assert_eq!(found("c: bad\r\n", "v=0"), Err(Cause::UnsupportedMediaType));
}
