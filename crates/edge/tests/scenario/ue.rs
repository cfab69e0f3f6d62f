//! A registered UE to start from.

use crate::world::{Sent, World, response};

/// Where the core should find a UE, and what it stored.
#[derive(Clone, Debug)]
pub struct Registered {
    pub contact_at_core: String,
    pub path: String,
}

pub const SERVICE_ROUTE: &str = "<sip:orig@cmcc.rcs.com;lr;Dpt=75e4_4858e246;ca=5>";

pub fn register(user: &str, contact: &str, cseq: u32, more: &str) -> String {
    format!(
        "REGISTER sip:bj.ims.mnc000.mcc460.3gppnetwork.org SIP/2.0\r\n\
         Via: SIP/2.0/UDP {contact};branch=z9hG4bKreg{user}{cseq};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{user}@bj.ims.mnc000.mcc460.3gppnetwork.org>;tag=f{user}\r\n\
         To: <sip:{user}@bj.ims.mnc000.mcc460.3gppnetwork.org>\r\n\
         Call-ID: reg-{user}@{contact}\r\n\
         CSeq: {cseq} REGISTER\r\n\
         Contact: <sip:{user}@{contact}>\r\n\
         {more}\
         Content-Length: 0\r\n\r\n"
    )
}

/// Answers a REGISTER at the core with 200.
pub fn accept(world: &mut World, request: &Sent, expires: u32) -> Registered {
    let contact_at_core = request.header("Contact").unwrap();
    let contact_at_core = contact_at_core[..=contact_at_core.find('>').unwrap()].to_owned();
    let to = request.header("To").unwrap();
    let path = request.header("Path").unwrap();
    let answer = response(
        request,
        "200 OK",
        &format!(
            "Contact: {contact_at_core};expires={expires}\r\nService-Route: {SERVICE_ROUTE}\r\n\
             P-Associated-URI: {to}, <tel:+8613900000001>\r\nPath: {path}\r\n"
        ),
    );
    world.core(&answer);
    Registered { contact_at_core, path }
}

/// Registers `user` over UDP from `source`.
pub fn registered_udp(world: &mut World, user: &str, source: &str) -> Registered {
    world.datagram(source, register(user, source, 1, "").as_bytes());
    let request = world.one();
    let registered = accept(world, &request, 3600);
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 200 "), "{}", answer.text());
    registered
}

/// A MESSAGE of the core to a UE, over its Path.
pub fn message_to_ue(path: &str, branch: &str, more: &str) -> String {
    format!(
        "MESSAGE sip:someone@183.1.28.128:11065 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 182.1.1.64:5070;branch=z9hG4bK{branch}\r\n\
         Via: SIP/2.0/UDP 10.9.9.9:5060;branch=z9hG4bKinner{branch}\r\n\
         Route: {path}\r\n\
         Record-Route: <sip:10.9.9.9;lr>\r\n\
         Max-Forwards: 68\r\n\
         From: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>;tag=c1\r\n\
         To: <sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org>\r\n\
         Call-ID: {branch}@182.1.1.64\r\n\
         CSeq: 1 MESSAGE\r\n\
         P-Asserted-Identity: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>\r\n\
         P-Charging-Vector: icid-value=1;orig-ioi=10.9.9.9\r\n\
         P-Charging-Odd: 10.9.9.9\r\n\
         P-Access-Network-Info: IEEE-802.11\r\n\
         {more}\
         Content-Type: text/plain\r\n\
         Content-Length: 5\r\n\r\nhello"
    )
}
