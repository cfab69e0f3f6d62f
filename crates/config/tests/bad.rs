//! Bad files and the exact lines they are answered with.
#![allow(clippy::unwrap_used)]

use config::Config;

/// `(name, text, expected lines)`; the position is where an editor should jump to.
type Case = (&'static str, &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    // MSRP
    (
        "msrp_over_udp_to_the_core",
        "[msrp]\ncore_transport = \"udp\"\n",
        &["f:2:18: MSRP is not carried over UDP (tcp or tls)"],
    ),
    (
        "msrps_to_the_core_without_a_listener",
        "[msrp]\ncore_transport = \"tls\"\n",
        &["f:2:18: no listener of `realm.core` serves MSRP over TLS (add one to [[realm.core.msrp]]: it is what the core is told in SDP)"],
    ),
    // syntax
    ("unclosed_string", "[node]\nname = \"edge\n", &["f:2:13: syntax: invalid basic string, expected `\"`"]),
    (
        "no_value",
        "[node]\nname =\n",
        &["f:2:7: syntax: string values must be quoted, expected literal string"],
    ),
    ("duplicate_key", "[node]\nname = \"a\"\nname = \"b\"\n", &["f:3:1: syntax: duplicate key"]),
    // unknown keys
    (
        "unknown_section",
        "[timer]\nt1_ms = 500\n",
        &["f:1:2: unknown key `timer` in the top level (did you mean `timers`?)"],
    ),
    (
        "unknown_key_with_hint",
        "[timers]\ntls_idle = 5\ntls_idle_second = 5\n",
        &[
            "f:2:1: unknown key `tls_idle` in timers (known here: t1_ms, t2_ms, t4_ms, c_seconds, \
             tls_idle_seconds, tcp_idle_seconds, core_idle_seconds, \
             unregistered_idle_seconds, handshake_seconds, connect_seconds, message_seconds, rkeep_seconds, \
             drain_seconds)",
            "f:3:1: unknown key `tls_idle_second` in timers (did you mean `tls_idle_seconds`?)",
        ],
    ),
    (
        "unknown_key_in_a_list",
        "[realm.access]\n[[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"udp\"\ntransprt = 1\n",
        &["f:5:1: unknown key `transprt` in realm.access.sip[0] (did you mean `transport`?)"],
    ),
    // types
    (
        "string_for_number",
        "[timers]\nt1_ms = \"500\"\n",
        &["f:2:9: `timers.t1_ms` must be an integer, not a string"],
    ),
    (
        "float_for_number",
        "[timers]\nt1_ms = 0.5\n",
        &["f:2:9: `timers.t1_ms` must be an integer, not a float"],
    ),
    (
        "number_for_bool",
        "[validation]\nstrict = 1\n",
        &["f:2:10: `validation.strict` must be true or false, not an integer"],
    ),
    ("value_for_table", "node = 3\n", &["f:1:8: `node` must be a table, not an integer"]),
    (
        "table_for_list",
        "[realm.access.sip]\nbind = \"127.0.0.1:5060\"\n",
        &[
            "f:1:1: `realm.access.sip` must be an array, not a table",
            "f:1:1: `realm.access` serves no SIP address (add a [[realm.access.sip]] table)",
        ],
    ),
    (
        "word_with_hint",
        "[log]\nformat = \"jsn\"\nlevel = \"loud\"\n",
        &[
            "f:2:10: `log.format` does not know \"jsn\" (did you mean \"json\"?)",
            "f:3:9: `log.level` does not know \"loud\" (one of error, warn, info, debug, trace)",
        ],
    ),
    // ranges
    ("below_range", "[timers]\nt1_ms = 1\n", &["f:2:9: `timers.t1_ms` is out of range (allowed: 10..10000)"]),
    ("negative", "[node]\nshards = -1\n", &["f:2:10: `node.shards` is out of range (allowed: 0..65535)"]),
    (
        "too_many_shards",
        "[node]\nshards = 257\n",
        &["f:2:10: `node.shards` is out of range (allowed: 0..256)"],
    ),
    // addresses
    (
        "bind_without_port",
        "[admin]\nlisten = \"127.0.0.1\"\n",
        &["f:2:10: `admin.listen` is not an address with port: \"127.0.0.1\" \
           (for example \"192.0.2.7:5060\" or \"[2001:db8::7]:5060\")"],
    ),
    (
        "admin_in_the_open",
        "[admin]\nlisten = \"0.0.0.0:9080\"\n",
        &["f:2:10: `admin.listen` must be a loopback address \
           (it carries neither TLS nor authentication: put a proxy with both before it)"],
    ),
    (
        "next_hop_by_name",
        "[core]\nnext_hops = [\"sip:scscf.example.net\"]\n",
        &["f:2:14: `core.next_hops[0]` is not a next hop (addresses only, names are not resolved): \
           \"sip:scscf.example.net\" (for example \"sip:192.0.2.9:5060;transport=udp\")"],
    ),
    (
        "no_next_hop",
        "[core]\nnext_hops = []\n",
        &["f:2:13: `core.next_hops` is empty (name at least one S-CSCF or I-CSCF)"],
    ),
    (
        "next_hop_nobody_can_reach",
        "[core]\nnext_hops = [\"sip:[::1]:5070\"]\n",
        &["f:2:14: no listener of `realm.core` speaks udp over IPv6 \
           (add one to [[realm.core.sip]], or change next hop sip:[::1]:5070;transport=udp)"],
    ),
    (
        "multicast_bind",
        "[realm.access]\nhost = \"a.example\"\n[[realm.access.sip]]\nbind = \"224.0.0.1:5060\"\ntransport = \"udp\"\n",
        &["f:4:8: `realm.access.sip[0].bind` is not an address of a host (unicast or 0.0.0.0 / [::])"],
    ),
    (
        "open_bind_without_host",
        "[[realm.access.sip]]\nbind = \"0.0.0.0:5060\"\ntransport = \"udp\"\n",
        &["f:2:8: `realm.access.host` must be set when SIP is served beyond loopback \
           (the name or address that peers reach this node by)"],
    ),
    (
        "host_with_port",
        "[realm.access]\nhost = \"a.example:5060\"\n[[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"udp\"\n",
        &[
            "f:2:8: `realm.access.host` is neither a host name nor an address: \"a.example:5060\" (without port)",
        ],
    ),
    (
        "media_address_unspecified",
        "[realm.access]\nmedia_address = \"0.0.0.0\"\n[[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"udp\"\n",
        &["f:2:17: `realm.access.media_address` cannot be told to peers: 0.0.0.0 \
           (the address that reaches this node)"],
    ),
    (
        "msrp_v6_without_media_address",
        "[[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"udp\"\n\
         [[realm.access.msrp]]\nbind = \"[::1]:2855\"\ntransport = \"tcp\"\n",
        &["f:5:8: `realm.access.media_address_v6` must be set to serve MSRP over IPv6 \
           (the address that peers are told in SDP)"],
    ),
    // listeners
    (
        "listener_without_bind",
        "[[realm.access.sip]]\ntransport = \"udp\"\n",
        &["f:1:1: `bind` is missing in realm.access.sip[0] (every listener needs it)"],
    ),
    (
        "realm_without_listener",
        "[realm.access]\nhost = \"a.example\"\n",
        &["f:1:1: `realm.access` serves no SIP address (add a [[realm.access.sip]] table)"],
    ),
    (
        "msrp_over_udp",
        "[[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"udp\"\n\
         [[realm.access.msrp]]\nbind = \"127.0.0.1:2855\"\ntransport = \"udp\"\n",
        &["f:6:13: MSRP is not carried over UDP (tcp or tls)"],
    ),
    (
        "tls_without_certificate",
        "[[realm.access.sip]]\nbind = \"127.0.0.1:5061\"\ntransport = \"tls\"\n",
        &["f:3:13: TLS is served without a certificate on `realm.access` \
           (set `certificate` and `key` in [realm.access.tls])"],
    ),
    (
        "certificate_without_key",
        "[[realm.access.sip]]\nbind = \"127.0.0.1:5061\"\ntransport = \"tls\"\n\
         [realm.access.tls]\ncertificate = \"a.pem\"\n",
        &["f:4:1: `realm.access.tls.key` is missing (the path of a PEM file)"],
    ),
    (
        "duplicate_bind",
        "[[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"tcp\"\n\
         [[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"tcp\"\n",
        &["f:5:8: `realm.access.sip[1].bind` (127.0.0.1:5060) collides with `realm.access.sip[0].bind` \
           (choose another port)"],
    ),
    (
        "shard_ports_collide",
        "[node]\nshards = 4\n[[realm.core.sip]]\nbind = \"127.0.0.1:5080\"\ntransport = \"udp\"\n\
         [[realm.core.sip]]\nbind = \"127.0.0.1:5083\"\ntransport = \"udp\"\n",
        &["f:7:8: `realm.core.sip[1].bind` (127.0.0.1:5083) collides with `realm.core.sip[0].bind` \
           (shard i listens on port + i: 4 ports from the first on)"],
    ),
    (
        "rtp_ports_without_a_pair_for_each_shard",
        "[node]\nshards = 2\n[media]\n[realm.access]\nmedia_ports_first = 40001\nmedia_ports_last = 40004\n\
         [[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"udp\"\n",
        &[
            "f:5:21: 40001 to 40004 holds no pair of ports for each shard (from 1024 on, two ports for each of 2 shards)",
        ],
    ),
    (
        "rtp_ports_of_both_sides_overlap",
        "[realm.access]\nmedia_ports_first = 30000\nmedia_ports_last = 40000\n\
         [[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"udp\"\n",
        &[
            "f:1:2: the RTP ports of both sides overlap on one address (give `realm.access` and `realm.core` ranges of \
           their own)",
        ],
    ),
    (
        "no_room_for_shards",
        "[node]\nshards = 2\n[[realm.core.sip]]\nbind = \"127.0.0.1:65535\"\ntransport = \"udp\"\n",
        &["f:4:8: `realm.core.sip[0].bind` leaves no room for the ports of the shards \
           (2 shards need 2 ports from here on)"],
    ),
    (
        "next_hop_tls_without_ca",
        "[core]\nnext_hops = [\"sip:127.0.0.1:5071;transport=tls\"]\n\
         [[realm.core.sip]]\nbind = \"127.0.0.1:5081\"\ntransport = \"tls\"\n\
         [realm.core.tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n",
        &["f:2:14: a next hop over TLS needs authorities to check it against (set `ca` in [realm.core.tls])"],
    ),
    // keys that do not fit together
    (
        "t1_over_t2",
        "[timers]\nt1_ms = 5000\n",
        &["f:2:9: `t1_ms` is longer than `t2_ms` (RFC 3261 §17.1.2.1: T1 ≤ T2)"],
    ),
    (
        "queue_smaller_than_a_message",
        "[limits]\nsend_queue_bytes_max = 65536\n",
        &["f:2:24: `send_queue_bytes_max` does not hold one message of the largest size \
           (head_bytes_max + body_bytes_max = 278528)"],
    ),
    (
        "queue_marks_swapped",
        "[msrp]\nqueue_low_bytes = 524288\n",
        &[
            "f:2:19: `queue_low_bytes` is not below `queue_high_bytes` (reading stops above high and goes on below low)",
        ],
    ),
    (
        "one_source_above_all",
        "[limits]\nconnections_max = 100\n",
        &[
            "f:1:1: `connections_per_source_max` is above `connections_max` (one source cannot have more than all)",
        ],
    ),
    (
        "country_code",
        "[number_plan]\ncountry_code = \"+86\"\nspecial = [\"110\", \"12a\"]\n",
        &[
            "f:2:16: `country_code` is not a country code: \"+86\" (1 to 3 digits without `+`)",
            "f:3:19: \"12a\" is not a short code (digits, `x` for any digit, `*`, `#`; a final `*` is any digits)",
        ],
    ),
    (
        "node_name",
        "[node]\nname = \"edge one\"\n",
        &["f:2:8: `node.name` is not a name (1 to 64 letters, digits, `-`, `_`, `.`)"],
    ),
    (
        "domain",
        "[core]\ndomain = \"ims..net\"\n",
        &["f:2:10: `core.domain` is not a domain name: \"ims..net\""],
    ),
    // all at once, in the order of the file
    (
        "all_at_once",
        "[node]\nnam = \"x\"\n[timers]\nt1_ms = true\nt4_ms = 1\n[core]\ndomain = \"-\"\n",
        &[
            "f:2:1: unknown key `nam` in node (did you mean `name`?)",
            "f:4:9: `timers.t1_ms` must be an integer, not a boolean",
            "f:5:9: `timers.t4_ms` is out of range (allowed: 10..60000)",
            "f:7:10: `core.domain` is not a domain name: \"-\"",
        ],
    ),
];

#[test]
fn every_bad_file_is_answered_exactly() {
    let mut wrong = Vec::new();
    for (name, text, expected) in CASES {
        let got: Vec<String> = match Config::from_toml(text, "f") {
            Ok(_) => vec!["accepted".to_owned()],
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        };
        if got != *expected {
            wrong.push(format!("{name}\n  expected {expected:#?}\n  got      {got:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

#[test]
fn a_file_that_is_not_there_is_one_error() {
    let errors = Config::load(std::path::Path::new("/nowhere/gatehouse.toml")).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].to_string().starts_with("/nowhere/gatehouse.toml:1:1: cannot be read: "),
        "{}",
        errors[0]
    );
}
