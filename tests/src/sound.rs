//! What was heard: recordings, and how much of their energy lies at one frequency.

use std::f64::consts::TAU;
use std::path::Path;

/// A WAV file of a sine: 8 kHz, one channel, 16 bits.
#[must_use]
pub fn tone(hertz: u32, seconds: u32) -> Vec<u8> {
    const RATE: u32 = 8_000;
    let count = RATE * seconds;
    let mut bytes = Vec::with_capacity(44 + 2 * count as usize);
    let mut word = |n: u32| bytes.extend_from_slice(&n.to_le_bytes());
    word(u32::from_le_bytes(*b"RIFF"));
    word(36 + 2 * count);
    word(u32::from_le_bytes(*b"WAVE"));
    word(u32::from_le_bytes(*b"fmt "));
    word(16);
    word(1 | 1 << 16); // PCM, one channel
    word(RATE);
    word(2 * RATE);
    word(2 | 16 << 16); // octets of a sample, bits of a sample
    word(u32::from_le_bytes(*b"data"));
    word(2 * count);
    for n in 0..count {
        let sample = 8_000.0 * (TAU * f64::from(hertz) * f64::from(n) / f64::from(RATE)).sin();
        bytes.extend_from_slice(&(sample as i16).to_le_bytes());
    }
    bytes
}

/// A recording of 16-bit samples, one channel.
#[derive(Debug)]
pub struct Recording {
    rate: f64,
    samples: Vec<f64>,
}

impl Recording {
    /// Reads a WAV file.
    ///
    /// # Panics
    /// If it is none of PCM with 16 bits.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::of(&bytes)
    }

    fn of(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4).expect("a WAV file has a header");
            u32::from_le_bytes(bytes.try_into().expect("four octets"))
        };
        assert_eq!(bytes.get(..4), Some(&b"RIFF"[..]), "a WAV file");
        let (mut at, mut rate, mut channels, mut samples) = (12, 0, 1, Vec::new());
        while at + 8 <= bytes.len() {
            let kind = &bytes[at..at + 4];
            // A recording that was cut off says too much, or nothing.
            let len = (word(at + 4) as usize).min(bytes.len() - at - 8);
            let body = &bytes[at + 8..at + 8 + len];
            match kind {
                b"fmt " => {
                    channels = usize::from(u16::from_le_bytes([body[2], body[3]])).max(1);
                    rate = word(at + 12);
                    assert_eq!(u16::from_le_bytes([body[14], body[15]]), 16, "bits of a sample");
                }
                b"data" => {
                    let body = if len == 0 { &bytes[at + 8..] } else { body };
                    let pairs =
                        body.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])));
                    samples = pairs.step_by(channels).collect();
                    break;
                }
                _ => {}
            }
            at += 8 + len + len % 2;
        }
        Self { rate: f64::from(rate), samples }
    }

    /// How long something was to be heard.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.loud().len() as f64 / self.rate.max(1.0)
    }

    /// The share of its energy that lies at one frequency, 0.0..=1.0: 1.0 for a pure tone of it, by the
    /// Goertzel algorithm over pieces of a tenth of a second, so that a gap between packets costs little.
    #[must_use]
    pub fn energy_at(&self, hertz: u32) -> f64 {
        let step = TAU * f64::from(hertz) / self.rate.max(1.0);
        let piece = (self.rate / 10.0).max(1.0) as usize;
        let (mut at_hertz, mut whole) = (0.0, 0.0);
        for samples in self.loud().chunks(piece) {
            let (mut one, mut two) = (0.0, 0.0);
            for sample in samples {
                let next = sample + 2.0 * step.cos() * one - two;
                (two, one) = (one, next);
            }
            let power = one * one + two * two - 2.0 * step.cos() * one * two;
            at_hertz += 2.0 * power / samples.len() as f64;
            whole += samples.iter().map(|s| s * s).sum::<f64>();
        }
        if whole == 0.0 { 0.0 } else { at_hertz / whole }
    }

    /// From the first to the last sample that is no silence.
    fn loud(&self) -> &[f64] {
        let is_loud = |sample: &f64| sample.abs() > 50.0;
        let first = self.samples.iter().position(is_loud).unwrap_or(0);
        let last = self.samples.iter().rposition(is_loud).map_or(0, |at| at + 1);
        self.samples.get(first..last).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_energy_of_a_tone_is_at_its_frequency() {
        let sine =
            |hertz: f64| (0..8_000).map(move |n| 8_000.0 * (TAU * hertz * f64::from(n) / 8_000.0).sin());
        let pure = Recording { rate: 8_000.0, samples: sine(440.0).collect() };
        assert!(pure.energy_at(440) > 0.95 && pure.energy_at(1_250) < 0.01, "{}", pure.energy_at(440));
        assert!((pure.seconds() - 1.0).abs() < 0.01);
        let both = Recording {
            rate: 8_000.0,
            samples: sine(440.0).zip(sine(1_250.0)).map(|(a, b)| a + b).collect(),
        };
        assert!((both.energy_at(1_250) - 0.5).abs() < 0.05);
        let written = Recording::of(&tone(1_250, 2));
        assert!(written.energy_at(1_250) > 0.95 && (written.seconds() - 2.0).abs() < 0.01);
        let silence = Recording { rate: 8_000.0, samples: vec![0.0; 800] };
        assert!(silence.seconds() == 0.0 && silence.energy_at(440) == 0.0);
    }
}
