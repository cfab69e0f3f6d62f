//! Bad files and the exact lines they are answered with.
#![allow(clippy::unwrap_used)]

use config::Config;

/// `(name, text, expected lines)`; the position is where an editor should jump to.
type Case = (&'static str, &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    // content policies
    (
        "content_policy_of_nonsense",
        "[[content_policies]]\nservice = \"a b\"\ntypes = [\"image\"]\nsuffixes_blocked = [\"\"]\n",
        &[
            "f:2:11: not a feature tag (as in Accept-Contact, without quotes)",
            "f:3:10: not a media type (\"image/jpeg\" or \"image/*\")",
            "f:4:21: not the end of a file name (\".exe\")",
        ],
    ),
    (
        "content_policy_behind_a_general_one",
        "[[content_policies]]\n[[content_policies]]\nservice = \"x\"\n",
        &[
            "f:2:1: never used: content_policies[0] means all that this one means (the first that fits counts: put the special before the general)",
        ],
    ),
    // MSRP
    (
        "msrp_over_udp_to_the_core",
        "[msrp]\ncore_transport = \"udp\"\n",
        &["f:2:18: MSRP is not carried over UDP (tcp or tls)"],
    ),
    (
        "msrps_to_the_core_without_a_listener",
        "[msrp]\ncore_transport = \"tls\"\n",
        &[
            "f:2:18: no listener of `realm.core` serves MSRP over TLS (add one to [[realm.core.msrp]]: it is what the core is told in SDP)",
        ],
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
        "[msrp]\nend_calls = 1\n",
        &["f:2:13: `msrp.end_calls` must be true or false, not an integer"],
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
    // validation
    (
        "a_level_that_is_none",
        "[validation]\nstrict = true\n[validation.access]\nmandatory = \"lenent\"\n",
        &[
            "f:2:1: unknown key `strict` in validation (known here: access, core)",
            "f:4:13: `validation.access.mandatory` does not know \"lenent\" (did you mean \"lenient\"?)",
        ],
    ),
    // number plan
    (
        "a_plan_nobody_can_dial_with",
        "[number_plan]\nplan = \"germny\"\nemergency = [\"\"]\npsi = [\"125*\"]\n\
         [[number_plan.places]]\narea_code = \"x\"\n[[number_plan.places]]\nusers = [\"+86*\", \"+8a\", \"user1\"]\n\
         access_points = [\"a\"]\n",
        &[
            "f:2:8: `number_plan.plan` does not know \"germny\" (did you mean \"germany\"?)",
            "f:3:14: \"\" is not a short code (digits, `x` for any digit, `*`, `#`; a final `*` is any digits)",
            "f:4:8: \"125*\" is not the pattern of a PSI (for example \"125*@*\")",
            "f:5:1: nobody dials from this place (set `access_points` or `users`)",
            "f:6:13: `area_code` is not a run of digits: \"x\" (0 to 8 digits)",
            "f:7:1: this place is like everywhere else (set `plan`, `country_code` or `area_code`)",
            "f:8:18: \"+8a\" is not a user (for example \"+8610*\" or \"user1@ims.example.net\")",
            "f:8:25: \"user1\" is not a user (for example \"+8610*\" or \"user1@ims.example.net\")",
            "f:9:18: no access point is named \"a\" (give a [[realm.access.sip]] table a `name`)",
        ],
    ),
    // header rules
    (
        "a_rule_without_anything",
        "[[header_rules]]\n",
        &[
            "f:1:1: a rule needs a name (1 to 64 letters, digits, `-`, `_`, `.`)",
            "f:1:1: the rule does nothing (add a [[header_rules.then]] table)",
        ],
    ),
    (
        "a_rule_that_would_break_framing",
        "[[header_rules]]\nname = \"a\"\nthen = [\n{ action = \"set\", header = \"Content-Length\", value = \"0\" },\n\
         { action = \"remove\", header = \"v\" },\n{ action = \"rename\", header = \"X-A\", to = \"Route\" },\n\
         { action = \"add\", header = \"X-A\", value = \"a\\r\\nVia: b\" },\n\
         { action = \"add\", header = \"X: y\\r\\nVia\", value = \"b\" },\n\
         { action = \"remove\", header = \"Request-URI\" },\n]\n",
        &[
            "f:4:28: no rule may change Content-Length (it says where the body ends and how it is read)",
            "f:5:31: no rule may change v (messages are routed by it, and topology hiding depends on it)",
            "f:6:43: no rule may change Route (messages are routed by it, and topology hiding depends on it)",
            "f:7:43: `header_rules[0].then[3].value` is not a value: holds a control character: a line end would \
             start another header field",
            "f:8:28: \"X: y\\r\\nVia\" is not the name of a header field (for example \"User-Agent\")",
            "f:9:31: no rule may change the Request-URI (numbers are the number plan's, routes the core's)",
        ],
    ),
    (
        "a_rule_with_a_bad_pattern",
        "[[header_rules]]\nname = \"a\"\nkind = \"request\"\nmethods = [\"CANCEL\", \"a b\"]\nstatuses = [\"200\", \"9xx\"]\n\
         sources = [\"10.0.0.1/8\"]\naccess_points = [\"x\"]\n\
         when = [{ header = \"To\", matches = \"a(\" }]\nthen = [{ action = \"remov\", header = \"X-A\" }]\n",
        &[
            "f:4:12: no rule sees a CANCEL (each side has its own CANCEL, made from the INVITE that the rules have seen)",
            "f:4:22: \"a b\" is not a method (for example \"INVITE\")",
            "f:5:12: a request has no status (take out `kind` or `statuses`)",
            "f:5:20: `header_rules[0].statuses[1]` is not a status code: write \"404\", \"4xx\" or \"400-499\"",
            "f:6:12: `header_rules[0].sources[0]` is not a range of addresses: \"10.0.0.1/8\" (for example \"10.0.0.0/8\" or \
             \"2001:db8::/32\")",
            "f:7:18: no access point is named \"x\" (give a [[realm.access.sip]] table a `name`)",
            "f:8:36: `header_rules[0].when[0].matches` is not a regular expression: unclosed group",
            "f:9:20: `header_rules[0].then[0].action` does not know \"remov\" (did you mean \"remove\"?)",
        ],
    ),
    (
        "a_rule_with_actions_that_do_not_fit",
        "[[header_rules]]\nname = \"a\"\nwhen = [{ header = \"Y\", matches = \"(?<n>.)\" }, { header = \"Z\", matches = \"(?<n>.)\" }]\n\
         then = [\n{ action = \"reject\", reason = \"\\\"\" },\n{ action = \"add\", header = \"X-A\", value = \"${n}$1\" },\n\
         { action = \"rewrite\", header = \"X-A\", matches = \"(.)\", value = \"$1$2\", to = \"X-W\" },\n]\n\
         [[header_rules]]\nname = \"a\"\nkind = \"response\"\nthen = [{ action = \"reject\", status = 200 }]\n",
        &[
            "f:3:74: two conditions capture `n` (give each group its own name)",
            "f:5:1: `reject` needs `status`",
            "f:5:1: nothing is done after `reject` (put it last)",
            "f:5:31: `reason` is not a reason phrase (at most 64 printable ASCII characters, no quotes or backslashes)",
            "f:6:43: nothing captures `1` (a named group of a condition: `(?<name>...)`)",
            "f:7:64: nothing captures `2` (a group of `matches`, or a named group of a condition)",
            "f:7:77: `to` means nothing for `rewrite` (take it out)",
            "f:10:8: the name \"a\" is taken by header_rules[0] (each rule has its own counter)",
            "f:12:9: only requests can be rejected (the far side has done its work when it answers)",
            "f:12:39: `header_rules[1].then[0].status` is out of range (allowed: 400..699)",
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
        &[
            "f:2:14: `core.next_hops[0]` is not a next hop (addresses only: names belong into [[core.pools]]): \
           \"sip:scscf.example.net\" (for example \"sip:192.0.2.9:5060;transport=udp\")",
        ],
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
        "pools_that_cannot_work",
        "[core]\npool = \"a\"\n[[core.pools]]\nname = \"b c\"\n[[core.pools]]\nname = \"d\"\n\
         [[core.pools.members]]\nuri = \"sip:[::1]\"\n[[core.pools]]\nname = \"d\"\n\
         [[core.pools.members]]\nuri = \"sip:x.example;transport=tls\"\n",
        &[
            "f:2:8: there is no pool \"a\" (add it to [[core.pools]])",
            "f:3:1: pool \"b c\" has no members (add [[core.pools.members]])",
            "f:4:8: \"b c\" is not the name of a pool (1 to 32 letters, digits, `-`, `_`)",
            "f:8:7: no listener of `realm.core` speaks udp over IPv6 \
           (add one to [[realm.core.sip]], or change the member sip:[::1])",
            "f:10:8: two pools are named \"d\"",
            "f:12:7: no listener of `realm.core` speaks tls \
           (add one to [[realm.core.sip]], or change the member sip:x.example;transport=tls)",
        ],
    ),
    (
        "member_that_is_no_host",
        "[[core.pools]]\nname = \"a\"\n[[core.pools.members]]\nuri = \"sip:192.0.2.300\"\n",
        &["f:4:7: `core.pools[0].members[0].uri` is not a SIP host: \"sip:192.0.2.300\" \
           (for example \"sip:icscf.example.net\" or \"sip:192.0.2.9:5060;transport=udp\")"],
    ),
    (
        "emergency_of_nobody",
        "[emergency]\nurns = [\"urn:nena:service\"]\nresource_priority = \"es net\"\n\
         [[emergency.numbers]]\nnumber = \"1x0\"\nurn = \"sos\"\n",
        &[
            "f:2:9: \"urn:nena:service\" is not a service URN (such as urn:service:sos, RFC 5031)",
            "f:3:21: `emergency.resource_priority` is not a token: \"es net\" (such as esnet.1)",
            "f:5:10: \"1x0\" is not an emergency number (digits, `*`, `#`)",
            "f:6:7: \"sos\" is not a service URN (such as urn:service:sos.police, RFC 5031)",
        ],
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
