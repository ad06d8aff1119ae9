//! "Did you mean": the known word that is nearest to a mistyped one.

/// No known word comes near a longer one, and comparing would cost its length.
const LONGEST: usize = 64;

/// The help of an unknown word: the nearest known one, or all of them.
pub(crate) fn suggest(word: &str, what: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("{what}: {}", known.join(", ")),
    }
}

/// The known word with the fewest edits, where at most a third of the letters (and always one) had to change.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase().replace('_', "-");
    let allowed = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|candidate| (edits(&word, candidate), *candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, with two neighbours swapped counted as one edit.
fn edits(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (i, &a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in to.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a == to[j - 1] && from[i - 1] == b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PRESETS: [&str; 3] = ["open", "full-cone", "symmetric"];

    #[rstest]
    #[case("fullcone", Some("full-cone"))]
    #[case("full_cone", Some("full-cone"))]
    #[case("Symmetric", Some("symmetric"))]
    #[case("symetric", Some("symmetric"))]
    #[case("opne", Some("open"))]
    #[case("cgnat", None)]
    #[case("", None)]
    fn a_mistyped_word_finds_its_nearest(#[case] word: &str, #[case] meant: Option<&str>) {
        assert_eq!(nearest(word, &PRESETS), meant);
    }

    #[test]
    fn a_word_that_is_near_to_none_gets_the_whole_list() {
        assert_eq!(suggest("cgnat", "known", &PRESETS), "known: open, full-cone, symmetric");
    }
}
