//! Quantities as people write them: `2s`, `250ms`, `1 MiB`. A number without its unit is refused.

use std::time::Duration;

/// Milliseconds in each unit of time.
const TIME: [(&str, u64); 3] = [("ms", 1), ("s", 1000), ("min", 60_000)];

/// Bytes in each unit of size: powers of 1000 and of 1024 by their proper names.
const SIZE: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// What a duration looks like, for the schema: exactly what [`duration`] reads, but for the bounds of its numbers.
pub(super) const DURATION_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?(ms|s|min)$";

/// What a size looks like, for the schema: exactly what [`size`] reads, but for the bounds of its numbers.
pub(super) const SIZE_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?(B|kB|MB|GB|KiB|MiB|GiB)$";

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAQuantity {
    /// It does not begin with a number.
    #[error("`{0}` is not a number with a unit")]
    NoNumber(String),
    /// Only the number is there.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// The unit is not one of those known.
    #[error("unknown unit `{0}`")]
    UnknownUnit(String),
    /// More digits after the point than the smallest unit (a millisecond, a byte) has room for.
    #[error("`{0}` is finer than the smallest unit")]
    TooFine(String),
    /// More than fits.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Reads a duration: a number and `ms`, `s` or `min`.
pub fn duration(text: &str) -> Result<Duration, NotAQuantity> {
    quantity(text, &TIME).map(Duration::from_millis)
}

/// Reads a size in bytes: a number and `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
pub fn size(text: &str) -> Result<u64, NotAQuantity> {
    quantity(text, &SIZE)
}

/// The shortest text that reads back as this duration, in whole milliseconds.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// A text that reads back as this size: the largest unit of 1024 that divides it.
pub fn show_size(bytes: u64) -> String {
    let binary = SIZE.iter().rev().filter(|(name, unit)| name.ends_with("iB") || *unit == 1);
    let (name, unit) =
        binary.copied().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)).unwrap_or(("B", 1));
    format!("{} {name}", bytes / unit)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, NotAQuantity> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(NotAQuantity::NoNumber(text.to_owned())),
        None => (number, ""),
    };
    if whole.is_empty() || fraction.contains('.') {
        return Err(NotAQuantity::NoNumber(text.to_owned()));
    }
    let unit = rest.strip_prefix(' ').unwrap_or(rest);
    if unit.is_empty() {
        return Err(NotAQuantity::NoUnit(text.to_owned()));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(NotAQuantity::UnknownUnit(unit.trim().to_owned()));
    };
    let too_large = || NotAQuantity::TooLarge(text.to_owned());
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let whole = whole.checked_mul(*factor).ok_or_else(too_large)?;
    let part = part_of(*factor, fraction).ok_or_else(|| NotAQuantity::TooFine(text.to_owned()))?;
    whole.checked_add(part).ok_or_else(too_large)
}

/// `0.<digits>` of `factor`, where that is a whole number.
fn part_of(factor: u64, digits: &str) -> Option<u64> {
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let numerator = u128::from(factor) * digits.parse::<u128>().ok().filter(|_| digits.len() <= 18)?;
    let denominator = 10u128.pow(u32::try_from(digits.len()).ok()?);
    if numerator % denominator == 0 { u64::try_from(numerator / denominator).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2s", 2000)]
    #[case("250ms", 250)]
    #[case("1.5 s", 1500)]
    #[case("2min", 120_000)]
    #[case("0s", 0)]
    #[case("0.050s", 50)]
    fn durations_are_read(#[case] text: &str, #[case] millis: u64) {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
    }

    #[rstest]
    #[case("1 MiB", 1 << 20)]
    #[case("1MB", 1_000_000)]
    #[case("1.5 KiB", 1536)]
    #[case("7 B", 7)]
    #[case("3 kB", 3000)]
    fn sizes_are_read(#[case] text: &str, #[case] bytes: u64) {
        assert_eq!(size(text), Ok(bytes));
    }

    #[rstest]
    #[case("5", "`5` has no unit")]
    #[case("5 sec", "unknown unit `sec`")]
    #[case("5  s", "unknown unit `s`")]
    #[case("s", "`s` is not a number with a unit")]
    #[case("-5s", "`-5s` is not a number with a unit")]
    #[case("5.s", "`5.s` is not a number with a unit")]
    #[case("1.2.3s", "`1.2.3s` is not a number with a unit")]
    #[case("", "`` is not a number with a unit")]
    #[case("0.5ms", "`0.5ms` is finer than the smallest unit")]
    #[case("99999999999999999999s", "`99999999999999999999s` is too large")]
    #[case("18446744073709551615s", "`18446744073709551615s` is too large")]
    fn what_is_not_a_duration_is_refused_with_the_reason(#[case] text: &str, #[case] message: &str) {
        assert_eq!(duration(text).unwrap_err().to_string(), message);
    }

    #[test]
    fn a_small_k_and_a_large_m_are_not_interchangeable() {
        assert_eq!(size("1 KB"), Err(NotAQuantity::UnknownUnit("KB".to_owned())));
        assert_eq!(size("1 mib"), Err(NotAQuantity::UnknownUnit("mib".to_owned())));
    }

    proptest! {
        #[test]
        fn a_duration_that_is_shown_reads_back_the_same(millis in 0u64..u64::MAX / 2) {
            let shown = show_duration(Duration::from_millis(millis));
            prop_assert_eq!(duration(&shown), Ok(Duration::from_millis(millis)));
        }

        #[test]
        fn a_size_that_is_shown_reads_back_the_same(bytes: u64, shift in 0u32..40) {
            let bytes = bytes >> shift << shift;
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,12}|[0-9.]{0,30} ?(ms|s|MiB|GB)") {
            let _ = (duration(&text), size(&text));
        }
    }
}
