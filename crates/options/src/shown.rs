//! How texts from outside are shown in messages.

/// The text without control characters; of a long one the beginning, as a message shows it.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            // Quotes and letters of any script stay as they are; only what a terminal would act on is escaped.
            if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
