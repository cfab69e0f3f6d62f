//! Authentication and key agreement with Milenage: 3GPP TS 33.102 §6.3, TS 35.206; RFC 3310.
//!
//! ```text
//! AUTN = (SQN ⊕ AK) ‖ AMF ‖ MAC-A        6 + 2 + 8 octets
//! AUTS = (SQNms ⊕ AK*) ‖ MAC-S           6 + 8 octets
//! nonce = base64(RAND ‖ AUTN)
//! ```

use milenage::Milenage;

/// What a SIM card and the home subscriber server both know.
#[derive(Clone, PartialEq, Eq)]
pub struct Sim {
    /// The subscriber key.
    pub k: [u8; 16],
    /// The operator's variant, already mixed with `k`.
    pub opc: [u8; 16],
}

impl core::fmt::Debug for Sim {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sim(secret)")
    }
}

impl Sim {
    fn milenage(&self) -> Milenage {
        Milenage::new_with_opc(self.k, self.opc)
    }
}

/// An authentication vector (TS 33.102 §6.3.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Vector {
    /// The random challenge.
    pub rand: [u8; 16],
    /// The network's proof.
    pub autn: [u8; 16],
    /// What the UE must answer.
    pub xres: [u8; 8],
    /// The confidentiality key.
    pub ck: [u8; 16],
    /// The integrity key.
    pub ik: [u8; 16],
}

impl Vector {
    /// Makes the vector for `rand` and the 48-bit sequence number `sqn`.
    #[must_use]
    pub fn generate(sim: &Sim, rand: [u8; 16], sqn: u64, amf: [u8; 2]) -> Self {
        let mut functions = sim.milenage();
        let sqn = sqn_octets(sqn);
        let mac = functions.f1(&rand, &sqn, &amf);
        let (xres, ck, ik, ak) = functions.f2345(&rand);
        let mut autn = [0; 16];
        autn[..6].copy_from_slice(&xor(sqn, ak));
        autn[6..8].copy_from_slice(&amf);
        autn[8..].copy_from_slice(&mac);
        Self { rand, autn, xres, ck, ik }
    }

    /// The Digest nonce that carries this challenge.
    #[must_use]
    pub fn nonce(&self) -> String {
        super::text::base64(&[self.rand, self.autn].concat())
    }
}

/// What the UE gets out of a challenge it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The answer.
    pub res: [u8; 8],
    /// The confidentiality key.
    pub ck: [u8; 16],
    /// The integrity key.
    pub ik: [u8; 16],
    /// The sequence number to remember.
    pub sqn: u64,
}

/// Why the UE refuses a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// MAC-A is wrong: this is not our network.
    Mac,
    /// The sequence number is not fresh; AUTS tells the network ours.
    Sync([u8; 14]),
}

/// The UE's side: checks `autn`, and answers if the network proved itself.
///
/// `sqn_seen` is the highest sequence number accepted before.
/// # Errors
/// [`Distrust`].
pub fn check(sim: &Sim, sqn_seen: u64, rand: &[u8; 16], autn: &[u8; 16]) -> Result<Agreed, Distrust> {
    let mut functions = sim.milenage();
    let (res, ck, ik, ak) = functions.f2345(rand);
    let (concealed, amf, mac) = split_autn(autn);
    let sqn = xor(concealed, ak);
    if functions.f1(rand, &sqn, &amf) != mac {
        return Err(Distrust::Mac);
    }
    let number = sqn_number(sqn);
    if number <= sqn_seen {
        return Err(Distrust::Sync(auts(sim, rand, sqn_seen)));
    }
    Ok(Agreed { res, ck, ik, sqn: number })
}

/// The network's side of resynchronisation: the UE's sequence number, if MAC-S proves it.
#[must_use]
pub fn resynchronise(sim: &Sim, rand: &[u8; 16], auts: &[u8]) -> Option<u64> {
    let auts: &[u8; 14] = auts.try_into().ok()?;
    let mut functions = sim.milenage();
    let ak = functions.f5star(rand);
    let mut concealed = [0; 6];
    concealed.copy_from_slice(&auts[..6]);
    let sqn = xor(concealed, ak);
    (functions.f1star(rand, &sqn, &RESYNC_AMF) == auts[6..]).then(|| sqn_number(sqn))
}

/// Splits a nonce into RAND and AUTN; server data behind them is ignored (RFC 3310 §3.2).
#[must_use]
pub fn split_nonce(nonce: &str) -> Option<([u8; 16], [u8; 16])> {
    let bytes = super::text::unbase64(nonce)?;
    let rand = bytes.get(..16)?.try_into().ok()?;
    let autn = bytes.get(16..32)?.try_into().ok()?;
    Some((rand, autn))
}

/// TS 33.102 §6.3.3: the AMF used for MAC-S is all zeroes.
const RESYNC_AMF: [u8; 2] = [0, 0];

fn auts(sim: &Sim, rand: &[u8; 16], sqn_seen: u64) -> [u8; 14] {
    let mut functions = sim.milenage();
    let sqn = sqn_octets(sqn_seen);
    let mut out = [0; 14];
    out[..6].copy_from_slice(&xor(sqn, functions.f5star(rand)));
    out[6..].copy_from_slice(&functions.f1star(rand, &sqn, &RESYNC_AMF));
    out
}

fn split_autn(autn: &[u8; 16]) -> ([u8; 6], [u8; 2], [u8; 8]) {
    let mut concealed = [0; 6];
    let mut amf = [0; 2];
    let mut mac = [0; 8];
    concealed.copy_from_slice(&autn[..6]);
    amf.copy_from_slice(&autn[6..8]);
    mac.copy_from_slice(&autn[8..]);
    (concealed, amf, mac)
}

fn xor(a: [u8; 6], b: [u8; 6]) -> [u8; 6] {
    core::array::from_fn(|i| a[i] ^ b[i])
}

fn sqn_octets(number: u64) -> [u8; 6] {
    let octets = number.to_be_bytes();
    core::array::from_fn(|i| octets[i + 2])
}

fn sqn_number(octets: [u8; 6]) -> u64 {
    octets.iter().fold(0, |n, &b| n << 8 | u64::from(b))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::auth::text::{hex, unhex};

    /// One test set of TS 35.208 §4: K, OP, RAND, SQN, AMF, then f1, f2, f3, f4, f5, f1*, f5*.
    struct Set([&'static str; 12]);

    #[rustfmt::skip] // seven rows a set, as printed
    const SETS: &[Set] = &[
        Set([
            "465b5ce8b199b49faa5f0a2ee238a6bc", "cdc202d5123e20f62b6d676ac72cb318",
            "23553cbe9637a89d218ae64dae47bf35", "ff9bb4d0b607", "b9b9", "4a9ffac354dfafb3",
            "a54211d5e3ba50bf", "b40ba9a3c58b2a05bbf0d987b21bf8cb", "f769bcd751044604127672711c6d3441",
            "aa689c648370", "01cfaf9ec4e871e9", "451e8beca43b",
        ]),
        Set([
            "0396eb317b6d1c36f19c1c84cd6ffd16", "ff53bade17df5d4e793073ce9d7579fa",
            "c00d603103dcee52c4478119494202e8", "fd8eef40df7d", "af17", "5df5b31807e258b0",
            "d3a628ed988620f0", "58c433ff7a7082acd424220f2b67c556", "21a8c1f929702adb3e738488b9f5c5da",
            "c47783995f72", "a8c016e51ef4a343", "30f1197061c1",
        ]),
        Set([
            "fec86ba6eb707ed08905757b1bb44b8f", "dbc59adcb6f9a0ef735477b7fadf8374",
            "9f7c8d021accf4db213ccff0c7f71a6a", "9d0277595ffc", "725c", "9cabc3e99baf7281",
            "8011c48c0c214ed2", "5dbdbb2954e8f3cde665b046179a5098", "59a92d3b476a0443487055cf88b2307b",
            "33484dc2136b", "95814ba2b3044324", "deacdd848cc6",
        ]),
        Set([
            "9e5944aea94b81165c82fbf9f32db751", "223014c5806694c007ca1eeef57f004f",
            "ce83dbc54ac0274a157c17f80d017bd6", "0b604a81eca8", "9e09", "74a58220cba84c49",
            "f365cd683cd92e96", "e203edb3971574f5a94b0d61b816345d", "0c4524adeac041c4dd830d20854fc46b",
            "f0b9c08ad02e", "ac2cc74a96871837", "6085a86c6f63",
        ]),
        Set([
            "4ab1deb05ca6ceb051fc98e77d026a84", "2d16c5cd1fdf6b22383584e3bef2a8d8",
            "74b0cd6031a1c8339b2b6ce2b8c4a186", "e880a1b580b6", "9f07", "49e785dd12626ef2",
            "5860fc1bce351e7e", "7657766b373d1c2138f307e3de9242f9", "1c42e960d89b8fa99f2744e0708ccb53",
            "31e11a609118", "9e85790336bb3fa2", "fe2555e54aa9",
        ]),
        Set([
            "6c38a116ac280c454f59332ee35c8c4f", "1ba00a1a7c6700ac8c3ff3e96ad08725",
            "ee6466bc96202c5a557abbeff8babf63", "414b98222181", "4464", "078adfb488241a57",
            "16c8233f05a0ac28", "3f8c7587fe8e4b233af676aede30ba3b", "a7466cc1e6b2a1337d49d3b66e95d7b4",
            "45b0f69ab06c", "80246b8d0186bcf1", "1f53cd2b1113",
        ]),
    ];

    fn octets<const N: usize>(text: &str) -> [u8; N] {
        unhex(text).unwrap().try_into().unwrap()
    }

    fn sim(set: &Set) -> Sim {
        let k = octets(set.0[0]);
        let opc = *Milenage::new_with_op(k, octets(set.0[1])).opc();
        Sim { k, opc }
    }

    fn vector(set: &Set) -> Vector {
        let sqn = sqn_number(octets(set.0[3]));
        Vector::generate(&sim(set), octets(set.0[2]), sqn, octets(set.0[4]))
    }

    #[test]
    fn vectors_of_ts_35_208() {
        for set in SETS {
            let v = vector(set);
            let [.., sqn, amf, f1, f2, f3, f4, f5, _, _] = set.0;
            assert_eq!(hex(&v.xres), f2);
            assert_eq!(hex(&v.ck), f3);
            assert_eq!(hex(&v.ik), f4);
            let (concealed, seen_amf, mac) = split_autn(&v.autn);
            assert_eq!(hex(&xor(concealed, octets(f5))), sqn);
            assert_eq!(hex(&seen_amf), amf);
            assert_eq!(hex(&mac), f1);
        }
    }

    #[test]
    fn the_ue_trusts_a_fresh_vector_and_agrees_on_the_keys() {
        for set in SETS {
            let v = vector(set);
            let sqn = sqn_number(octets(set.0[3]));
            let (rand, autn) = split_nonce(&v.nonce()).unwrap();
            let agreed = check(&sim(set), sqn - 1, &rand, &autn).unwrap();
            assert_eq!((agreed.res, agreed.ck, agreed.ik, agreed.sqn), (v.xres, v.ck, v.ik, sqn));
        }
    }

    #[test]
    fn one_wrong_bit_in_autn_is_not_our_network() {
        let v = vector(&SETS[0]);
        for bit in 0..128 {
            let mut autn = v.autn;
            autn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&sim(&SETS[0]), 0, &v.rand, &autn), Err(Distrust::Mac), "bit {bit}");
        }
    }

    #[test]
    fn a_stale_sequence_number_is_resynchronised() {
        for set in SETS {
            let v = vector(set);
            let sqn = sqn_number(octets(set.0[3]));
            let Err(Distrust::Sync(auts)) = check(&sim(set), sqn, &v.rand, &v.autn) else {
                panic!("a replayed challenge was accepted");
            };
            assert_eq!(resynchronise(&sim(set), &v.rand, &auts), Some(sqn));
            let mut forged = auts;
            forged[13] ^= 1;
            assert_eq!(resynchronise(&sim(set), &v.rand, &forged), None);
            assert_eq!(resynchronise(&sim(set), &v.rand, &auts[..13]), None);
            // f1* and f5* as printed, with the AMF of the set
            let mut m = sim(set).milenage();
            assert_eq!(hex(&m.f1star(&v.rand, &octets(set.0[3]), &octets(set.0[4]))), set.0[10]);
            assert_eq!(hex(&m.f5star(&v.rand)), set.0[11]);
        }
    }

    #[test]
    fn short_nonces_carry_no_challenge() {
        for nonce in ["", "AAAA", "####", "byBHG58VWbURzSgIMb4SU21+OPwlnJMjLuYPCrdGw4="] {
            assert_eq!(split_nonce(nonce), None, "{nonce}");
        }
    }
}
