//! What concerns single UEs: their NATs and their emergency calls.

use crate::read::{section, words};

words! {
    /// Which UEs on UDP are sent keep-alives.
    NatPing {
        /// None.
        Off = "off",
        /// Those whose Contact shows another address than their datagrams come from.
        Natted = "natted",
        /// All.
        All = "all",
    }
}

section! {
    /// `[nat]`: UEs behind address translators.
    Nat {
        /// Which UEs registered over UDP are sent OPTIONS, so that their NAT keeps its binding.
        ping: NatPing = NatPing::Off;
        /// A UE that was silent for so long is sent one; spread by a tenth.
        ping_seconds: u64 = 30, 5..=3_600;
        /// OPTIONS in a row without an answer after which the flow of a UE counts as lost.
        pings_lost_max: u32 = 3, 1..=100;
        /// OPTIONS that one shard sends in one second.
        pings_per_second_max: u32 = 2_000, 1..=1_000_000;
        /// Told to UEs that ask by `keep` in Via (RFC 6223): seconds between their keep-alives; 0: not answered.
        keep_seconds: u32 = 120, 0..=3_600;
        /// Flow-Timer (RFC 5626 §5.4) put into answers to REGISTER where the registrar used outbound; 0: none.
        flow_timer_seconds: u32 = 120, 0..=3_600;
    }
}

section! {
    /// `[[emergency.numbers]]`: what is dialled in an emergency.
    EmergencyNumber {
        /// As dialled.
        number: String = String::new();
        /// The service it means (RFC 5031).
        urn: String = "urn:service:sos".to_owned();
    }
}

section! {
    /// `[emergency]`: calls that must get through (TS 24.229 §5.2.10).
    Emergency {
        /// Pool that they go to; empty: where all others go.
        pool: String = String::new();
        /// Numbers that are emergency calls, whatever else the number plan says.
        numbers: Vec<EmergencyNumber> = default_numbers();
        /// Service URNs that are emergency calls, each with its sub-services.
        urns: Vec<String> = vec!["urn:service:sos".to_owned()];
        /// Puts the URN of a number into the Request-URI (TS 24.229 §5.2.10.2).
        urn_to_core: bool = true;
        /// Lets UEs call that are not registered.
        unregistered: bool = true;
        /// Such callers of one shard at a time.
        guests_max: usize = 1_000, 1..=1_000_000;
        /// How long such a caller may stay without a call.
        guest_seconds: u64 = 180, 30..=3_600;
        /// `Priority` put into the request; empty: none.
        priority: String = "emergency".to_owned();
        /// `Resource-Priority` put into the request, such as `esnet.1` (RFC 7135); empty: none.
        resource_priority: String = String::new();
        /// Transactions and calls of one shard kept free for them beyond the caps.
        reserve: usize = 64, 0..=100_000;
    }
}

/// China's; 112 is the number that every mobile network knows (TS 22.101 §10.1.1).
fn default_numbers() -> Vec<EmergencyNumber> {
    [
        ("112", "urn:service:sos"),
        ("110", "urn:service:sos.police"),
        ("119", "urn:service:sos.fire"),
        ("120", "urn:service:sos.ambulance"),
        ("122", "urn:service:sos.police"),
    ]
    .map(|(number, urn)| EmergencyNumber { number: number.to_owned(), urn: urn.to_owned() })
    .to_vec()
}
