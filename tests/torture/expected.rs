// The messages of RFC 4475 and RFC 5118 and what the RFCs ask for.
//
// Included by the reader's test in `crates/sip` and by the test over sockets, so that both speak of
// one table.

/// What has to become of one message.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Directory and name, without `.sip`.
    pub file: &'static str,
    /// Section of the RFC that the directory names.
    pub section: &'static str,
    /// What the reader says, as the label of a cause; `ok` if every mandatory field can be read.
    pub reader: &'static str,
    /// What a proxy does with it.
    pub proxy: Proxy,
    /// What is special, and where the RFC leaves a choice, which one was taken and why.
    pub why: &'static str,
}

/// What a proxy does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// A request: passes it on. A response: would pass it on if a transaction waited for it.
    Forward,
    /// Answers with this status.
    Answer(u16),
    /// Discards it without an answer: a response.
    Discard,
}

const fn forward(file: &'static str, section: &'static str, why: &'static str) -> Case {
    Case { file, section, reader: "ok", proxy: Proxy::Forward, why }
}

const fn answer(
    file: &'static str,
    section: &'static str,
    reader: &'static str,
    status: u16,
    why: &'static str,
) -> Case {
    Case { file, section, reader, proxy: Proxy::Answer(status), why }
}

const fn discard(file: &'static str, section: &'static str, reader: &'static str, why: &'static str) -> Case {
    Case { file, section, reader, proxy: Proxy::Discard, why }
}

/// Every message of both RFCs.
pub const CASES: [Case; 61] = [
    forward(
        "rfc4475/wsinv",
        "3.1.1.1",
        "folding and blanks wherever the grammar has them, compact names, an empty Subject",
    ),
    forward(
        "rfc4475/intmeth",
        "3.1.1.2",
        "every character of a token in method, branch, tag and Call-ID; NUL, BEL and DEL escaped in a quoted string",
    ),
    forward("rfc4475/esc01", "3.1.1.3", "escaped characters do not change what a URI is"),
    forward("rfc4475/escnull", "3.1.1.4", "%00 in user parts: no C string here"),
    forward(
        "rfc4475/esc02",
        "3.1.1.5",
        "% in a method, a display name or a field name is no escape: RE%47IST%45R is an unknown method",
    ),
    forward("rfc4475/lwsdisp", "3.1.1.6", "no blank between display name and <"),
    forward("rfc4475/longreq", "3.1.1.7", "34 Vias and long values"),
    forward("rfc4475/dblreq", "3.1.1.8", "what follows Content-Length in a datagram is discarded"),
    forward("rfc4475/semiuri", "3.1.1.9", "a semicolon in the user part begins no parameter"),
    forward("rfc4475/transports", "3.1.1.10", "unknown transports in lower Vias are nobody's business"),
    forward("rfc4475/mpart01", "3.1.1.11", "a binary body part with NULs, framed by length"),
    forward("rfc4475/unreason", "3.1.1.12", "UTF-8 in a reason phrase"),
    forward("rfc4475/noreason", "3.1.1.13", "an empty reason phrase after its blank"),
    answer("rfc4475/badinv01", "3.1.2.1", "bad_via", 400, "separators without members in Via and Contact"),
    answer("rfc4475/clerr", "3.1.2.2", "truncated", 400, "Content-Length beyond the datagram"),
    answer("rfc4475/ncl", "3.1.2.3", "bad_content_length", 400, "a negative Content-Length"),
    answer(
        "rfc4475/scalar02",
        "3.1.2.4",
        "bad_cseq",
        400,
        "CSeq, Max-Forwards, Expires and expires beyond their ranges",
    ),
    discard("rfc4475/scalarlg", "3.1.2.5", "bad_cseq", "a response with a CSeq that nobody sent"),
    answer("rfc4475/quotbal", "3.1.2.6", "bad_to", 400, "a display name whose quote is never closed"),
    answer(
        "rfc4475/ltgtruri",
        "3.1.2.7",
        "bad_request_uri",
        400,
        "a Request-URI in angle brackets: the liberal choice would route on a guess",
    ),
    answer(
        "rfc4475/lwsruri",
        "3.1.2.8",
        "bad_request_uri",
        400,
        "a blank inside the Request-URI (requirements §9)",
    ),
    answer(
        "rfc4475/lwsstart",
        "3.1.2.9",
        "bad_request_uri",
        400,
        "two blanks between the parts of the request line",
    ),
    answer("rfc4475/trws", "3.1.2.10", "bad_start_line", 400, "blanks behind the version"),
    answer("rfc4475/escruri", "3.1.2.11", "bad_request_uri", 400, "a header part in the Request-URI"),
    forward("rfc4475/baddate", "3.1.2.12", "a Date in another time zone: a proxy does not read it"),
    answer("rfc4475/regbadct", "3.1.2.13", "bad_contact", 400, "a Contact with ? and no brackets"),
    forward("rfc4475/badaspec", "3.1.2.14", "blanks inside <>: tolerated (requirements §9)"),
    forward(
        "rfc4475/baddn",
        "3.1.2.15",
        "a comma in an unquoted display name: the liberal choice, From is no list",
    ),
    answer("rfc4475/badvers", "3.1.2.16", "bad_version", 505, "SIP/7.0"),
    answer("rfc4475/mismatch01", "3.1.2.17", "bad_cseq", 400, "the method of CSeq is another one"),
    answer(
        "rfc4475/mismatch02",
        "3.1.2.18",
        "bad_cseq",
        400,
        "the same with an unknown method: 501 would do as well",
    ),
    discard("rfc4475/bigcode", "3.1.2.19", "bad_start_line", "a status beyond 32 bits"),
    forward(
        "rfc4475/badbranch",
        "3.2.1",
        "a branch that is nothing but the cookie: unique only together with the rest",
    ),
    answer("rfc4475/insuf", "3.3.1", "bad_from", 400, "no Call-ID, From, To and Max-Forwards"),
    answer("rfc4475/unkscm", "3.3.2", "bad_uri_scheme", 416, "an unknown scheme in the Request-URI"),
    answer("rfc4475/novelsc", "3.3.3", "bad_uri_scheme", 416, "a scheme that is known, but not to SIP"),
    forward(
        "rfc4475/unksm2",
        "3.3.4",
        "unknown schemes in To, From and Contact are the registrar's business",
    ),
    answer("rfc4475/bext01", "3.3.5", "ok", 420, "Proxy-Require names extensions that no proxy has"),
    forward(
        "rfc4475/invut",
        "3.3.6",
        "an unknown body type: 415 is the UAS's answer; where R39 applies the edge says 400",
    ),
    forward("rfc4475/regaut01", "3.3.7", "an unknown authorization scheme is the registrar's business (R19)"),
    answer("rfc4475/multi01", "3.3.8", "duplicate_header", 400, "two of each field that may stand once"),
    answer("rfc4475/mcl01", "3.3.9", "bad_content_length", 400, "two lengths"),
    discard(
        "rfc4475/bcast",
        "3.3.10",
        "ok",
        "a 200 that nobody waits for, whose next Via is the broadcast address",
    ),
    answer("rfc4475/zeromf", "3.3.11", "ok", 483, "Max-Forwards used up (R31)"),
    forward(
        "rfc4475/cparam01",
        "3.3.12",
        "a parameter behind a Contact without brackets belongs to the field",
    ),
    forward("rfc4475/cparam02", "3.3.13", "the same inside the brackets belongs to the URI"),
    forward("rfc4475/regescrt", "3.3.14", "a header part in a Contact is kept"),
    forward("rfc4475/sdp01", "3.3.15", "an Accept that no answer can satisfy is the UAS's business"),
    forward("rfc4475/inv2543", "3.4.1", "RFC 2543: no branch, no tag, no Max-Forwards, no Content-Length"),
    forward("rfc5118/ipv6-good", "4.1", "an IPv6 reference in Request-URI, Via and Contact"),
    answer("rfc5118/ipv6-bad", "4.2", "bad_request_uri", 400, "an IPv6 address without brackets"),
    forward(
        "rfc5118/port-ambiguous",
        "4.3",
        "the port stands inside the brackets: it is part of the address",
    ),
    forward("rfc5118/port-unambiguous", "4.4", "the port stands behind the brackets"),
    forward("rfc5118/via-received-param-with-delim", "4.5", "received in brackets: tolerated on the way in"),
    forward("rfc5118/via-received-param-no-delim", "4.5", "received without brackets, as the grammar has it"),
    forward("rfc5118/ipv6-in-sdp", "4.6", "IPv6 in a session description stands without brackets"),
    forward("rfc5118/mult-ip-in-header", "4.7", "both families in one stack of Vias"),
    forward("rfc5118/mult-ip-in-sdp", "4.8", "both families in one session description"),
    forward("rfc5118/ipv4-mapped-ipv6", "4.9", "mapped addresses in Via, Contact and session description"),
    answer(
        "rfc5118/ipv6-bug-abnf-3-colons",
        "4.10",
        "bad_request_uri",
        400,
        "three colons, which the grammar of RFC 3261 allows by mistake; tolerating them is a choice, but no such host can be reached",
    ),
    forward("rfc5118/ipv6-correct-abnf-2-colons", "4.10", "two colons before an embedded IPv4 address"),
];
