//! Header by header: what the edge emits against what the specification prints.

/// `(name, value)` of each header in order, and the body.
fn split(message: &str) -> (String, Vec<(String, String)>, String) {
    let (head, body) = message.split_once("\r\n\r\n").expect("a whole message");
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap().to_owned();
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(':').expect(line);
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    (start, headers, body.to_owned())
}

/// Asserts that `got` is `expected`: the start line, every header except those in `but`, in the
/// order of `expected` (headers that the edge adds may stand anywhere), and the body.
#[track_caller]
pub fn assert_message(got: &str, expected: &str, but: &[&str]) {
    let (start, headers, body) = split(got);
    let (wanted_start, wanted_headers, wanted_body) = split(expected);
    assert_eq!(start, wanted_start);
    let relevant = |list: &[(String, String)]| -> Vec<(String, String)> {
        list.iter().filter(|(name, _)| !but.iter().any(|b| b.eq_ignore_ascii_case(name))).cloned().collect()
    };
    assert_eq!(relevant(&headers), relevant(&wanted_headers), "\n{got}\n--- expected\n{expected}");
    assert_eq!(body, wanted_body);
}
