//! Patterns of model and product names: `*` is any run of bytes, `?` one byte, `|` parts
//! alternatives.

/// Whether the text is the pattern, or matches one of its alternatives from end to end.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    pattern == text || pattern.split('|').any(|one| one_matches(one.as_bytes(), text.as_bytes()))
}

/// Goes back to the last `*` only: linear for one star, at worst the product of both lengths.
fn one_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[place] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((star_at, star_place)) = star else { return false };
                star = Some((star_at, star_place + 1));
                at = star_at + 1;
                place = star_place + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("loop", "loop"),
            ("i3en.*", "i3en.24xlarge"),
            ("*MZQL21T9HCJR*", "SAMSUNG MZQL21T9HCJR-00A07"),
            ("nvme_card|nvme_card?|nvme_card??", "nvme_card"),
            ("nvme_card|nvme_card?|nvme_card??", "nvme_card15"),
            ("a*b*c", "aXbXbc"),
            ("*", ""),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("i3en.*", "i3.large"),
            ("nvme_card|nvme_card?|nvme_card??", "nvme_card-pd"),
            ("a*b", "abc"),
            ("", "a"),
            ("?", ""),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
