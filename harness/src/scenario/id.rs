//! The name of a case, as it is printed and pasted back: `name[alice.nat=full-cone,bob.nat=open]#2`.

use std::fmt;
use std::str::FromStr;

/// One case, or several: parts that are left out match every case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseId {
    /// The scenario.
    pub name: String,
    /// The cell of the matrix: axes and their values.
    pub cell: Vec<(String, String)>,
    /// The repetition, counted from one.
    pub repetition: Option<u32>,
}

/// A text that is no case id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a case")]
pub struct NotACaseId;

impl CaseId {
    /// Whether it names no more than a scenario.
    pub fn is_whole_scenario(&self) -> bool {
        self.cell.is_empty() && self.repetition.is_none()
    }

    /// Whether every axis that it names has the same value in `cell`.
    pub(super) fn matches_cell(&self, cell: &[(String, String)]) -> bool {
        self.cell.iter().all(|wanted| cell.contains(wanted))
    }
}

impl FromStr for CaseId {
    type Err = NotACaseId;

    fn from_str(text: &str) -> Result<CaseId, NotACaseId> {
        let (text, repetition) = match text.rsplit_once('#') {
            Some((text, number)) => (text, Some(number.parse().ok().filter(|n| *n > 0).ok_or(NotACaseId)?)),
            None => (text, None),
        };
        let (name, cell) = match text.split_once('[') {
            Some((name, rest)) => (name, rest.strip_suffix(']').ok_or(NotACaseId)?),
            None => (text, ""),
        };
        let is_plain = |text: &str, more: &[char]| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || more.contains(&c))
        };
        if !is_plain(name, &[]) || (text.ends_with(']') && cell.is_empty()) {
            return Err(NotACaseId);
        }
        let pair = |part: &str| {
            let (axis, value) = part.split_once('=').ok_or(NotACaseId)?;
            let is_good = is_plain(axis, &['.']) && is_plain(value, &[]);
            if is_good { Ok((axis.to_owned(), value.to_owned())) } else { Err(NotACaseId) }
        };
        let parts = if cell.is_empty() { Vec::new() } else { cell.split(',').collect() };
        let cell = parts.into_iter().map(pair).collect::<Result<_, _>>()?;
        Ok(CaseId { name: name.to_owned(), cell, repetition })
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)?;
        for (index, (axis, value)) in self.cell.iter().enumerate() {
            write!(out, "{}{axis}={value}", if index == 0 { '[' } else { ',' })?;
        }
        if !self.cell.is_empty() {
            out.write_str("]")?;
        }
        self.repetition.map_or(Ok(()), |number| write!(out, "#{number}"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("two-homes")]
    #[case("two-homes#2")]
    #[case("stun-only[alice.nat=full-cone]")]
    #[case("stun-only[alice.nat=full-cone,bob.nat=open]#12")]
    fn an_id_that_was_printed_can_be_pasted_back(#[case] text: &str) {
        assert_eq!(text.parse::<CaseId>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("Two")]
    #[case("a.yaml")]
    #[case("smoke/a")]
    #[case("a#0")]
    #[case("a#")]
    #[case("a#x")]
    #[case("a[]")]
    #[case("a[alice.nat=open")]
    #[case("a[alice.nat]")]
    #[case("a[alice.nat=]")]
    #[case("[alice.nat=open]")]
    fn what_no_case_is_called_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<CaseId>(), Err(NotACaseId));
    }
}
