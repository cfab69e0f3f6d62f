use super::*;
use config::PlanName;
use proptest::prelude::*;

fn china(output: NumberOutput) -> NumberPlan {
    let settings = Settings { area_code: "10".into(), output, ..Settings::default() };
    NumberPlan::new(&settings, "ims.example.net")
}

fn named(name: PlanName, area_code: &str) -> NumberPlan {
    let settings = Settings { area_code: area_code.into(), ..Settings::named(name) };
    NumberPlan::new(&settings, "ims.example.net")
}

/// The plan of a configuration file.
fn plan(toml: &str) -> NumberPlan {
    let listener =
        "[[realm.access.sip]]\nbind = \"127.0.0.1:5060\"\ntransport = \"udp\"\nname = \"berlin\"\n";
    let text = format!("{toml}\n{listener}");
    match config::Config::from_toml(&text, "numbers.toml") {
        Ok(config) => NumberPlan::new(&config.number_plan, &config.core.domain),
        Err(errors) => panic!("{errors:?}"),
    }
}

fn completed(plan: &NumberPlan, uri: &str, caller: Option<&str>) -> String {
    completed_for(plan, uri, &Who { number: caller.map(str::as_bytes), ..Who::default() })
}

fn completed_for(plan: &NumberPlan, uri: &str, who: &Who<'_>) -> String {
    let mut out = Vec::new();
    match plan.complete(uri.as_bytes(), who, &mut out) {
        Completion::Untouched => "-".to_owned(),
        Completion::Completed => String::from_utf8(out).expect("the inputs are ASCII"),
    }
}

fn table(plan: &NumberPlan, caller: Option<&str>, rows: &[(&str, &str)]) {
    for (uri, expected) in rows {
        assert_eq!(completed(plan, uri, caller), *expected, "{uri}");
    }
}

/// R32, spam-01, voip-01, voip-02.
#[test]
fn china_in_tel_form() {
    let shenzhen = Some("sip:+8675520000001@chinamobile.com");
    table(
        &china(NumberOutput::Tel),
        shenzhen,
        &[
            ("+861008699999", "tel:+861008699999"),
            ("<+861008699999>", "tel:+861008699999"),
            ("tel:+8675520000002", "-"),
            ("tel:28880001", "tel:+8675528880001"),
            ("TEL:2888-0001", "tel:+8675528880001"),
            ("28880001", "tel:+8675528880001"),
            ("tel:01028880001", "tel:+861028880001"),
            ("tel:13812342821", "tel:+8613812342821"),
            ("tel:0085221234567", "tel:+85221234567"),
            ("0085221234567", "tel:+85221234567"),
            ("tel:28880001;phone-context=+86755", "tel:+8675528880001"),
            ("tel:28880001;phone-context=+86", "tel:+8675528880001"),
            ("tel:028880001;phone-context=+86755", "tel:+8628880001"),
            ("tel:28880001;phone-context=+852", "tel:+85228880001"),
            ("tel:28880001;phone-context=ims.example.net", "tel:+8675528880001"),
            ("tel:28880001;phone-context=bj.ims.example.net", "tel:+8675528880001"),
            ("tel:28880001;phone-context=elsewhere.example", "-"),
            ("tel:28880001;isub=1;phone-context=+86", "tel:+8675528880001;isub=1"),
            ("sip:28880001@d;user=phone", "sip:+8675528880001@d;user=phone"),
            (
                "sip:28880001;phone-context=+86@d:5060;lr;User=Phone",
                "sip:+8675528880001@d:5060;lr;User=Phone",
            ),
            ("sip:+8675520000002@d;user=phone", "-"),
            ("sip:28880001@d", "-"),
            ("sip:125XX001XX@as1.gc.rcs.chinamobile.com", "-"),
            ("sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org", "-"),
            ("urn:service:sos", "-"),
            ("tel:user2", "-"),
            ("tel:*21#", "-"),
            ("", "-"),
            ("tel:", "-"),
            ("+", "-"),
        ],
    );
}

#[test]
fn short_codes_and_emergency_numbers_are_left_alone_but_become_uris() {
    table(
        &china(NumberOutput::Tel),
        None,
        &[
            ("tel:110", "-"),
            ("tel:10086", "-"),
            ("tel:12560022345678", "-"),
            ("tel:10086;phone-context=+86", "-"),
            ("sip:112@d;user=phone", "-"),
            ("112", "tel:112;phone-context=+86"),
            ("tel:12345", "-"),
            ("12345", "tel:12345;phone-context=+86"),
        ],
    );
}

#[test]
fn china_in_sip_form() {
    table(
        &china(NumberOutput::Sip),
        Some("tel:+8613812342821"),
        &[
            ("+861008699999", "sip:+861008699999@ims.example.net;user=phone"),
            // A mobile caller has no area: the configured one counts.
            ("tel:28880001", "sip:+861028880001@ims.example.net;user=phone"),
            ("tel:+861028880001", "-"),
            ("112", "sip:112@ims.example.net;user=phone"),
        ],
    );
}

#[test]
fn america_in_tel_form() {
    table(
        &named(PlanName::NorthAmerica, "212"),
        Some("tel:+14155550100"),
        &[
            ("tel:5550123", "tel:+14155550123"),
            ("tel:2125550123", "tel:+12125550123"),
            ("tel:12125550123", "tel:+12125550123"),
            ("tel:011442079460123", "tel:+442079460123"),
            ("tel:911", "-"),
            ("tel:(212)555-0123", "tel:+12125550123"),
        ],
    );
}

#[test]
fn a_number_of_more_than_15_digits_is_no_number() {
    let plan = china(NumberOutput::Tel);
    table(
        &plan,
        None,
        &[
            ("tel:001234567890123456", "-"),
            ("tel:00123456789012345", "tel:+123456789012345"),
            ("tel:11111111111111111111111111111111111111111", "-"),
        ],
    );
}

#[test]
fn request_uri_and_to_are_completed_together() {
    for (request, expected) in [
        (
            "INVITE +861008699999 SIP/2.0\r\nTo: <+861008699999>\r\n\r\n",
            "INVITE tel:+861008699999 SIP/2.0\r\nTo: <tel:+861008699999>\r\n\r\n",
        ),
        (
            "INVITE 10086 SIP/2.0\r\nt: 10086;x=1\r\n\r\n",
            "INVITE tel:10086;phone-context=+86 SIP/2.0\r\nt: <tel:10086;phone-context=+86>;x=1\r\n\r\n",
        ),
        (
            "INVITE sip:a@b SIP/2.0\r\nTo: \"A\" <tel:28880001>;tag=7\r\n\r\n",
            "INVITE sip:a@b SIP/2.0\r\nTo: \"A\" <tel:+861028880001>;tag=7\r\n\r\n",
        ),
    ] {
        let mut index = sip::Index::default();
        let message = sip::parse(request.as_bytes(), &sip::Limits::default(), &mut index).expect(request);
        let mut edits = EditList::new();
        china(NumberOutput::Tel).complete_request(message, &Who::default(), &mut Vec::new(), &mut edits);
        let mut out = Vec::new();
        edits.gather(request.as_bytes(), &mut out).expect("no overlap");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}

proptest! {
    #[test]
    fn completion_is_idempotent(
        uri in "(tel:|sip:|sips:|<)?[+]?[0-9*x-]{0,18}(;phone-context=([+][0-9]{1,4}|ims.example.net|x))?(@d)?(;user=phone)?>?",
        sip_form: bool,
        caller in prop::option::of("sip:[+]86(10|755|138)[0-9]{8}@d"),
    ) {
        let plan = china(if sip_form { NumberOutput::Sip } else { NumberOutput::Tel });
        let once = completed(&plan, &uri, caller.as_deref());
        if once != "-" {
            prop_assert_eq!(completed(&plan, &once, caller.as_deref()), "-", "{}", once);
        }
    }

    #[test]
    fn hostile_uris_never_panic(uri: Vec<u8>, caller: Vec<u8>) {
        let who = Who { number: Some(&caller), user: Some(&uri), access_point: Some("berlin") };
        let _ = china(NumberOutput::Tel).complete(&uri, &who, &mut Vec::new());
        let _ = plan(PLACES).complete(&uri, &who, &mut Vec::new());
        lists::EntryUris::new(&uri).for_each(|(from, to)| assert!(from <= to && to <= uri.len()));
    }

    /// A document of any quality: what is found are the values of `uri` in `entry`, and nothing else.
    #[test]
    fn entries_are_found_whatever_stands_around_them(
        before in "[^<]{0,20}(<list>|<!-- <entry uri='no'/> -->|<![CDATA[<entry uri='no'>]]>|</a>)?",
        attributes in "( a='<entry uri=no>'| b = \"x\")?",
        tag in "(rl:)?entry",
        value in "[a-z0-9:+]{0,12}",
        after in "(/>|>|>x</entry>)( <x uri='no'/>)?",
    ) {
        let text = format!("{before}<{tag}{attributes} uri = '{value}'{after}");
        let found: Vec<&str> =
            lists::EntryUris::new(text.as_bytes()).map(|(from, to)| &text[from..to]).collect();
        prop_assert_eq!(found, [value.as_str()], "{}", text);
    }
}

const PLACES: &str = "[number_plan]
area_code = '10'
[[number_plan.places]]
users = ['+8675528880009', 'boss@*']
area_code = '21'
[[number_plan.places]]
access_points = ['berlin']
plan = 'germany'
area_code = '30'
[[number_plan.places]]
users = ['+49*']
plan = 'germany'
";

/// R32: country and area by access point, by user and by numbers that begin so.
#[test]
fn places() {
    let plan = plan(PLACES);
    let of = |number: &'static str, user: &'static str, access_point: Option<&'static str>| Who {
        number: Some(number.as_bytes()),
        user: Some(user.as_bytes()),
        access_point,
    };
    let boss = of("tel:+8675528880009", "sip:b@h", None);
    let also_boss = of("tel:+8613900000001", "sip:boss@h", Some("berlin"));
    let visitor = of("tel:+8613900000001", "sip:u@h", Some("berlin"));
    let german = of("tel:+4989123456", "sip:g@h", None);
    let roaming = of("tel:+4989123456", "sip:g@h", Some("berlin"));
    let anyone = of("tel:+8675528880001", "sip:u@h", Some("shanghai"));
    for (who, uri, expected) in [
        // What is said for one user goes before the area of its own number.
        (boss, "tel:28880001", "tel:+862128880001"),
        (also_boss, "tel:28880001", "tel:+862128880001"),
        (visitor, "tel:28880001", "tel:+493028880001"),
        (visitor, "tel:01728880001", "tel:+491728880001"),
        (visitor, "tel:0086108888001", "tel:+86108888001"),
        (visitor, "tel:110", "-"),
        (visitor, "tel:119", "-"),
        (visitor, "tel:120120", "tel:+4930120120"),
        (german, "tel:123456", "tel:+4989123456"),
        (roaming, "tel:123456", "tel:+4989123456"),
        (anyone, "tel:28880001", "tel:+8675528880001"),
        (Who::default(), "tel:28880001", "tel:+861028880001"),
        (visitor, "112", "tel:112;phone-context=+49"),
    ] {
        assert_eq!(completed_for(&plan, uri, &who), expected, "{uri} {who:?}");
    }
}

#[test]
fn germany_by_name() {
    let munich = Some("sip:+4989123456@d");
    table(
        &named(PlanName::Germany, ""),
        munich,
        &[
            ("tel:654321", "tel:+4989654321"),
            ("tel:030654321", "tel:+4930654321"),
            ("tel:01711234567", "tel:+491711234567"),
            ("tel:004312345678", "tel:+4312345678"),
            ("tel:112", "-"),
            ("tel:116117", "-"),
            ("tel:11833", "-"),
            ("tel:01033030123456", "-"),
            ("tel:010330", "-"),
            ("654321", "tel:+4989654321"),
        ],
    );
    for (caller, expected) in [
        ("tel:+4935112345", "tel:+49351654321"),
        ("tel:+4921112345", "tel:+49211654321"),
        ("tel:+4961512345", "tel:+496151654321"),
        // Neither a mobile number nor one of 03x that is no city tells an area.
        ("tel:+491711234567", "-"),
        ("tel:+493378123456", "-"),
    ] {
        assert_eq!(
            completed(&named(PlanName::Germany, ""), "tel:654321", Some(caller)),
            expected,
            "{caller}"
        );
    }
}

/// A file that names a plan gets all of it, but for the keys it sets itself.
#[test]
fn keys_that_are_left_out_are_the_plan_s() {
    let plan = plan("[number_plan]\nplan = 'germany'\narea_code = '30'\nspecial = ['4321']\n");
    table(
        &plan,
        None,
        &[
            ("tel:4321", "-"),
            ("tel:4322", "tel:+49304322"),
            ("tel:110", "-"),
            ("tel:13900000001", "tel:+493013900000001"),
        ],
    );
}

#[test]
fn china_leaves_its_services_alone() {
    table(
        &china(NumberOutput::Tel),
        None,
        &[
            ("tel:4008123123", "-"),
            ("tel:95588", "-"),
            ("tel:95013123", "-"),
            ("tel:10690000123", "-"),
            ("tel:12306", "-"),
            ("sip:12560022345678@as1.pa.rcs.chinamobile.com;user=phone", "-"),
            ("4008123123", "tel:4008123123;phone-context=+86"),
        ],
    );
    let plan = china(NumberOutput::Tel);
    for (uri, kind) in [
        ("tel:110", Some(Special::Emergency)),
        ("sip:120@d;user=phone", Some(Special::Emergency)),
        ("119", Some(Special::Emergency)),
        ("tel:95588", Some(Special::Service)),
        ("tel:125600", Some(Special::ShortCode)),
        ("tel:+86110", None),
        ("tel:28880001", None),
        ("sip:110@d", None),
    ] {
        assert_eq!(plan.special(uri.as_bytes(), &Who::default()), kind, "{uri}");
    }
}

/// RFC 3261 §19.1.6, by option: a number changes its scheme where nothing is lost.
#[test]
fn schemes_are_converted_both_ways() {
    let to = |output: &str| {
        plan(&format!("[number_plan]\narea_code = '10'\nconvert = true\noutput = '{output}'\n"))
    };
    table(
        &to("sip"),
        None,
        &[
            ("tel:+861028880001", "sip:+861028880001@ims.example.net;user=phone"),
            ("tel:28880001;isub=1", "sip:+861028880001;isub=1@ims.example.net;user=phone"),
            ("sip:+861028880001@d;user=phone", "-"),
            ("sip:28880001@d;user=phone", "sip:+861028880001@d;user=phone"),
            ("tel:110", "-"),
        ],
    );
    table(
        &to("tel"),
        None,
        &[
            ("sip:+861028880001@ims.example.net;user=phone", "tel:+861028880001"),
            ("sip:28880001@ims.example.net;user=phone", "tel:+861028880001"),
            ("sip:+861028880001@IMS.example.net;User=Phone", "tel:+861028880001"),
            // Another network's, or with more to say than a number can.
            ("sip:+861028880001@d;user=phone", "-"),
            ("sip:+861028880001@ims.example.net:5070;user=phone", "-"),
            ("sip:+861028880001@ims.example.net;user=phone;method=BYE", "-"),
            ("sip:+861028880001@ims.example.net", "-"),
            ("tel:+861028880001", "-"),
        ],
    );
}

const LIST: &str = "<?xml version=\"1.0\"?><resource-lists><list>\
    <entry uri=\"tel:28880001\" cp:copyControl=\"to\"/><!-- <entry uri=\"tel:28880002\"/> -->\
    <rl:entry cp:x='a' uri = '28880003'><display-name>28880004</display-name></rl:entry>\
    <entry uri=\"sip:user2@h\"/><entry uri=\"tel:110\"/></list></resource-lists>";

fn request(content_type: &str, body: &str) -> String {
    format!(
        "REFER sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\nRefer-To: tel:28880001;method=BYE\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn edited(plan: &NumberPlan, message: &str) -> String {
    let mut index = sip::Index::default();
    let message = sip::parse(message.as_bytes(), &sip::Limits::default(), &mut index).expect("a message");
    let mut edits = EditList::new();
    plan.complete_request(message, &Who::default(), &mut Vec::new(), &mut edits);
    sip::edit::fit_content_length(message, &mut edits);
    let mut out = Vec::new();
    edits.gather(message.bytes(), &mut out).expect("no overlap");
    String::from_utf8(out).expect("the inputs are UTF-8")
}

/// R44, R54: Refer-To and the entries of lists pass verbatim unless the operator says otherwise.
#[test]
fn refer_to_and_lists_only_by_option() {
    let kind = "application/resource-lists+xml";
    let message = request(kind, LIST);
    assert_eq!(edited(&plan("[number_plan]\narea_code = '10'\n"), &message), message);
    let options = plan("[number_plan]\narea_code = '10'\nrefer_to = true\nresource_lists = true\n");
    let list = LIST
        .replace("uri=\"tel:28880001\" cp", "uri=\"tel:+861028880001\" cp")
        .replace("'28880003'", "'tel:+861028880003'");
    let expected = request(kind, &list).replace("tel:28880001;method=BYE", "<tel:+861028880001>;method=BYE");
    assert_eq!(edited(&options, &message), expected);
    // In a part of a multipart body: its own length, and the outer one, follow.
    let parts = |list: &str| {
        let length = list.len();
        request(
            "multipart/mixed;boundary=b",
            &format!(
                "--b\r\nContent-Type: text/plain\r\n\r\ntel:28880001\r\n--b\r\nContent-Type: {kind}\r\n\
                      Content-Length: {length}\r\n\r\n{list}\r\n--b--\r\n"
            ),
        )
    };
    let expected = parts(&list).replace("tel:28880001;method=BYE", "<tel:+861028880001>;method=BYE");
    assert_eq!(edited(&options, &parts(LIST)), expected);
}

#[test]
fn every_step_has_its_sentence() {
    let plan = plan(PLACES);
    let steps = |uri: &str, who: &Who<'_>| {
        let mut lines = Vec::new();
        let _ = plan
            .complete_watched(uri.as_bytes(), who, &mut Vec::new(), &mut |step| lines.push(step.to_string()));
        lines
    };
    let shenzhen = Who { number: Some(b"tel:+8675528880001"), user: Some(b"sip:u@h"), access_point: None };
    assert_eq!(
        steps("tel:2888-0001;phone-context=+86", &shenzhen),
        [
            "read as tel: 28880001, as dialled",
            "no place of its own: plan china, country code 86, area code 10",
            "phone-context 86",
            "a local number: area code 755 of the caller's own number goes before it",
        ]
    );
    let berlin = Who { access_point: Some("berlin"), ..Who::default() };
    assert_eq!(
        steps("112", &berlin),
        [
            "read as bare digits: 112, as dialled",
            "place of access point \"berlin\": plan germany, country code 49, area code 30",
            "emergency \"112\": an emergency number, never completed",
        ]
    );
    assert_eq!(steps("sip:user1@h", &berlin), ["no number: left alone"]);
}
