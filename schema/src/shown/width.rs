//! Counts the columns that a text takes on a terminal.

/// The characters that take two columns, as ranges from the first to the last, in order. They are East Asian characters and pictures
/// (Unicode TR 11, "wide" and "full width").
const WIDE: [(char, char); 46] = [
    ('\u{1100}', '\u{115f}'),
    ('\u{231a}', '\u{231b}'),
    ('\u{2329}', '\u{232a}'),
    ('\u{23e9}', '\u{23ec}'),
    ('\u{23f0}', '\u{23f0}'),
    ('\u{23f3}', '\u{23f3}'),
    ('\u{25fd}', '\u{25fe}'),
    ('\u{2614}', '\u{2615}'),
    ('\u{2648}', '\u{2653}'),
    ('\u{267f}', '\u{267f}'),
    ('\u{2693}', '\u{2693}'),
    ('\u{26a1}', '\u{26a1}'),
    ('\u{26aa}', '\u{26ab}'),
    ('\u{26bd}', '\u{26be}'),
    ('\u{26c4}', '\u{26c5}'),
    ('\u{26ce}', '\u{26ce}'),
    ('\u{26d4}', '\u{26d4}'),
    ('\u{26ea}', '\u{26ea}'),
    ('\u{26f2}', '\u{26f5}'),
    ('\u{26fa}', '\u{26fd}'),
    ('\u{2705}', '\u{2705}'),
    ('\u{270a}', '\u{270b}'),
    ('\u{2728}', '\u{2728}'),
    ('\u{274c}', '\u{274e}'),
    ('\u{2753}', '\u{2757}'),
    ('\u{2795}', '\u{2797}'),
    ('\u{27b0}', '\u{27bf}'),
    ('\u{2b1b}', '\u{2b1c}'),
    ('\u{2b50}', '\u{2b55}'),
    ('\u{2e80}', '\u{303e}'),
    ('\u{3041}', '\u{4dbf}'),
    ('\u{4e00}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97f}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe10}', '\u{fe19}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff01}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{16fe0}', '\u{18aff}'),
    ('\u{1aff0}', '\u{1b2ff}'),
    ('\u{1f004}', '\u{1f004}'),
    ('\u{1f0cf}', '\u{1f0cf}'),
    ('\u{1f18e}', '\u{1f19a}'),
    ('\u{1f200}', '\u{1faff}'),
    ('\u{20000}', '\u{3fffd}'),
];

/// The characters that are drawn over the previous character and take no column, as ranges. Rarer ones count as one column, so that a
/// text may seem too wide but never too narrow.
const OVER: [(char, char); 5] = [
    ('\u{300}', '\u{36f}'),
    ('\u{1ab0}', '\u{1aff}'),
    ('\u{20d0}', '\u{20f0}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{fe20}', '\u{fe2f}'),
];

/// Returns the number of columns that a text without controls takes on a terminal. The text may take fewer columns, but not more.
pub fn columns(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(columns_of).sum() }
}

/// Returns the number of columns that a character takes, from 0 to 2.
pub fn columns_of(c: char) -> usize {
    match (is_in(&WIDE, c), is_in(&OVER, c)) {
        (true, _) => 2,
        (false, true) => 0,
        (false, false) => 1,
    }
}

/// Returns the longest beginning of a text that takes at most `most` columns.
pub fn of_columns(text: &str, most: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += columns_of(*c);
        taken > most
    });
    end.map_or(text, |(end, _)| &text[..end])
}

fn is_in(ranges: &[(char, char)], c: char) -> bool {
    let before = ranges.partition_point(|(first, _)| *first <= c);
    before.checked_sub(1).is_some_and(|index| c <= ranges[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns_and_accents_none() {
        for (text, width) in [
            ("", 0),
            ("main", 4),
            ("日本", 4),
            ("한글", 4),
            ("ü", 1),
            ("u\u{308}", 1),
            ("✓ ◐ …", 5),
            ("🎉!", 3),
            ("ｆｕ", 4),
        ] {
            assert_eq!(columns(text), width, "{text}");
        }
    }

    #[test]
    fn a_beginning_never_takes_more_than_it_may() {
        assert_eq!(of_columns("日本語", 5), "日本");
        assert_eq!(of_columns("日本語", 6), "日本語");
        assert_eq!(of_columns("u\u{308}x", 1), "u\u{308}");
        assert_eq!(of_columns("日", 1), "");
    }

    #[test]
    fn the_ranges_are_in_order() {
        for ranges in [&WIDE[..], &OVER[..]] {
            assert!(ranges.iter().all(|(first, last)| first <= last));
            assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
        }
    }
}
