//! Bytes as lower-case hexadecimal digits.

/// Two digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `None` for anything but two lower-case digits for each of `LEN` bytes.
pub fn decode<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != LEN || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; LEN];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_and_nothing_else_is_taken() {
        for byte in 0..=255_u8 {
            assert_eq!(decode(&encode(&[byte, 255 - byte])), Some([byte, 255 - byte]));
            let is_digit = b"0123456789abcdef".contains(&byte);
            let texts =
                [[byte, b'0'], [b'0', byte]].map(|text| text.map(char::from).iter().collect::<String>());
            assert!(texts.iter().all(|text| decode::<1>(text).is_some() == is_digit), "{byte}");
        }
        assert_eq!(encode(&[0, 0x9f, 0xa0]), "009fa0");
        for text in ["", "0", "000", "00000", "ää"] {
            assert_eq!(decode::<2>(text), None, "{text}");
        }
    }
}
