use super::*;
use proptest::prelude::*;

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&s| s.to_owned()).collect()
}

fn china(output: NumberOutput) -> NumberPlan {
    let settings = Settings { area_code: "10".into(), output, ..Settings::default() };
    NumberPlan::new(&settings, "ims.example.net")
}

/// Without area codes in any form: ten digits are a whole national number, seven stay in the area.
fn america() -> NumberPlan {
    let settings = Settings {
        country_code: "1".into(),
        area_code: "212".into(),
        national_prefix: "1".into(),
        international_prefix: "011".into(),
        area_codes: strings(&["xxx"]),
        national_numbers: strings(&["xxxxxxxxxx"]),
        special: strings(&["911", "x11"]),
        subscriber_digits_min: 7,
        output: NumberOutput::Tel,
    };
    NumberPlan::new(&settings, "ims.example.net")
}

fn completed(plan: &NumberPlan, uri: &str, caller: Option<&str>) -> String {
    let mut out = Vec::new();
    match plan.complete(uri.as_bytes(), caller.map(str::as_bytes), &mut out) {
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
        &america(),
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
        china(NumberOutput::Tel).complete_request(message, None, &mut Vec::new(), &mut edits);
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
        let _ = china(NumberOutput::Tel).complete(&uri, Some(&caller), &mut Vec::new());
    }
}
