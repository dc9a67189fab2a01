//! Sounds: Ogg (RFC 3533) with Vorbis or Opus (RFC 7845), FLAC (RFC 9639), WAV, MP3.

use memchr::memmem::rfind;

use super::{Facts, Source, ms};

fn lasting(duration_ms: Option<u64>) -> Option<Facts> {
    Some(Facts { duration_ms, ..Facts::default() })
}

/// What is looked through for the last page: one is 64 KiB at most.
const OGG_TAIL_LEN: usize = 66 * 1024;

/// The last page says up to which sample the stream goes that the first page begins.
pub fn ogg(source: &mut Source<'_>) -> Option<Facts> {
    let [segment_count] = source.array(26)?;
    let serial: [u8; 4] = source.array(14)?;
    let packet: [u8; 16] = source.array(27 + u64::from(segment_count))?;
    let little = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (rate, skipped) = match &packet {
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', _, _, low, high, ..] => {
            (48_000, little(&[*low, *high]))
        }
        [1, b'v', b'o', b'r', b'b', b'i', b's', _, _, _, _, _, rate @ ..] => (little(rate), 0),
        _ => return None,
    };
    let tail_len = source.len.min(OGG_TAIL_LEN as u64) as usize;
    let mut tail = vec![0; tail_len];
    source.fill(source.len - tail_len as u64, &mut tail)?;
    let mut rest = &tail[..];
    loop {
        let at = rfind(rest, b"OggS")?;
        let page = &rest[at..];
        let sample = little(page.get(6..14).unwrap_or(&[0xff; 8]));
        // All ones: no packet ends there.
        if page.get(14..18) == Some(&serial[..]) && sample != u64::MAX {
            return lasting(ms(sample.saturating_sub(skipped), rate));
        }
        rest = &rest[..at];
    }
}

/// Twenty bits of samples a second, eight of others, thirty-six of samples.
pub fn flac(source: &mut Source<'_>) -> Option<Facts> {
    let bits = u64::from_be_bytes(source.array(18)?);
    let (rate, count) = (bits >> 44, bits & ((1 << 36) - 1));
    lasting(ms(count, rate).filter(|_| count > 0))
}

/// Chunks, as many as there are.
pub fn wav(source: &mut Source<'_>) -> Option<Facts> {
    let (mut at, mut bytes_per_second) = (12, None);
    loop {
        let [k0, k1, k2, k3, s0, s1, s2, s3] = source.array(at)?;
        let len = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
        match &[k0, k1, k2, k3] {
            b"fmt " => bytes_per_second = Some(u64::from(u32::from_le_bytes(source.array(at + 16)?))),
            // A length that was never written is that of what is there.
            b"data" => return lasting(ms(len.min(source.len - at - 8), bytes_per_second?)),
            _ => {}
        }
        at += 8 + len + len % 2;
    }
}

/// Bits of a second, in thousands, of a frame: MPEG 1, then 2 and 2.5; layer 1, 2, 3.
const BIT_RATES: [[[u16; 15]; 3]; 2] = [
    [
        [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    ],
    [
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ],
];

/// How many frames there are says the first one, if it is none itself (Xing); else all are as long as the first.
pub fn mp3(source: &mut Source<'_>) -> Option<Facts> {
    let start = match source.array(0)? {
        [b'I', b'D', b'3', _, _, flags, a, b, c, d] => {
            let len = [a, b, c, d].iter().fold(0, |len, byte| len << 7 | u64::from(byte & 0x7f));
            10 + len + u64::from(flags & 0x10) / 16 * 10
        }
        _ => 0,
    };
    let [0xff, kind, speed, mode] = source.array(start)? else { return None };
    let (version, layer) = (kind >> 3 & 3, kind >> 1 & 3);
    if kind < 0xe0 || version == 1 || layer == 0 {
        return None;
    }
    let (is_first, layer) = (version == 3, usize::from(3 - layer));
    let rate =
        [44_100, 48_000, 32_000].get(usize::from(speed >> 2 & 3))? >> [2, 0, 1, 0][usize::from(version)];
    let samples: u64 = match (layer, is_first) {
        (0, _) => 384,
        (2, false) => 576,
        _ => 1_152,
    };
    let side_len = match (is_first, mode >> 6 == 3) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    if let Some([tag @ .., f0, f1, f2, flags, c0, c1, c2, c3]) = source.array::<12>(start + 4 + side_len)
        && (&tag == b"Xing" || &tag == b"Info")
        && [f0, f1, f2] == [0; 3]
        && flags & 1 == 1
    {
        let count = u64::from(u32::from_be_bytes([c0, c1, c2, c3]));
        return lasting(ms(count * samples, rate));
    }
    let bit_rate = u64::from(*BIT_RATES[usize::from(!is_first)][layer].get(usize::from(speed >> 4))?);
    lasting(ms((source.len - start) * 8, bit_rate * 1_000))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cut, read};

    fn duration(bytes: &[u8]) -> Option<u64> {
        cut(bytes);
        read(bytes).duration_ms
    }

    fn page(serial: u32, sample: u64, packet: &[u8]) -> Vec<u8> {
        let len = [packet.len() as u8];
        [&b"OggS\0\x02"[..], &sample.to_le_bytes(), &serial.to_le_bytes(), &[0; 8], &[1], &len, packet]
            .concat()
    }

    #[test]
    fn ogg() {
        let opus = page(7, 0, b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0");
        let vorbis = page(7, 0, b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0\0\0\0\0");
        let body = page(7, u64::MAX, &[9; 200]);
        let end =
            |sample| [page(7, sample, &[9; 99]), page(8, 5, b"xxxx"), page(7, u64::MAX, b"xx")].concat();
        assert_eq!(duration(&[&*opus, &body, &end(48_000 + 312)].concat()), Some(1_000));
        assert_eq!(duration(&[&*vorbis, &body, &end(22_050)].concat()), Some(500));
        assert_eq!(duration(&[&*vorbis, &body].concat()), Some(0), "of the first page");
        assert_eq!(duration(&page(7, 5, b"Speex   and so on")), None);
    }

    #[test]
    fn flac() {
        let file = |rate: u64, count: u64| {
            let bits = rate << 44 | 1 << 41 | 15 << 36 | count;
            [&b"fLaC\0\0\0\x22"[..], &[0; 10], &bits.to_be_bytes(), &[0; 16]].concat()
        };
        assert_eq!(duration(&file(44_100, 441_000)), Some(10_000));
        assert_eq!(duration(&file(44_100, 0)), None);
        assert_eq!(duration(&file(0, 9)), None);
    }

    #[test]
    fn wav() {
        let file = |len: u32, there: usize| {
            let format = [
                &b"fmt \x10\0\0\0"[..],
                &[1, 0, 1, 0],
                &8_000u32.to_le_bytes(),
                &16_000u32.to_le_bytes(),
                &[2, 0, 16, 0],
            ];
            let data = [&b"data"[..], &len.to_le_bytes(), &vec![7; there]].concat();
            [&b"RIFF\0\0\0\0WAVE"[..], &format.concat(), b"LIST\x03\0\0\0abc\0", &data].concat()
        };
        assert_eq!(duration(&file(4_000, 4_000)), Some(250));
        assert_eq!(duration(&file(u32::MAX, 1_600)), Some(100), "it was never finished");
        assert_eq!(read(b"RIFF\0\0\0\0WAVEdata\x05\0\0\0hello").duration_ms, None);
    }

    #[test]
    fn mp3() {
        // MPEG 1, layer 3, 128 kbit/s, 44.1 kHz.
        let frame = |mode: u8, more: &[u8]| {
            let side_len = if mode == 0xc0 { 17 } else { 32 };
            let mut frame = [&[0xff, 0xfb, 0x90, mode][..], &vec![0; side_len], more].concat();
            frame.resize(417, 0);
            frame
        };
        let plain = frame(0, b"").repeat(40);
        assert_eq!(duration(&plain), Some(plain.len() as u64 / 16));
        for mode in [0, 0xc0] {
            let counted = [frame(mode, b"Xing\0\0\0\x0f\0\0\x01\0"), plain.clone()].concat();
            assert_eq!(duration(&counted), Some(256 * 1_152 * 1_000 / 44_100));
            let tagged = [&b"ID3\x04\0\0\0\0\x01\x02"[..], &[7; 130], &counted].concat();
            assert_eq!(read(&tagged), read(&counted));
        }
        let far = b"ID3\x04\0\0\x7f\x7f\x7f\x7fxx";
        assert_eq!(duration(far), None);
        for bad in [
            [0xff, 0xeb, 0x90, 0],
            [0xff, 0xf9, 0x90, 0],
            [0xff, 0xfb, 0xf0, 0],
            [0xff, 0xfb, 0x9c, 0],
            [0xff, 0xfb, 0, 0],
        ] {
            assert_eq!(read(&[&bad[..], &[0; 100]].concat()).duration_ms, None, "{bad:?}");
        }
    }
}
