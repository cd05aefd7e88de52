//! `-l` of Grid Engine: which resources there are, and how times and sizes are written.

/// Resources that are times.
pub(crate) const TIMES: [&str; 4] = ["h_rt", "s_rt", "h_cpu", "s_cpu"];
/// Resources that are sizes.
pub(crate) const SIZES: [&str; 12] = [
    "h_vmem",
    "s_vmem",
    "h_rss",
    "s_rss",
    "h_data",
    "s_data",
    "h_stack",
    "s_stack",
    "h_fsize",
    "s_fsize",
    "mem_free",
    "virtual_free",
];
/// What else may be asked for.
pub(crate) const OTHERS: [&str; 18] = [
    "arch",
    "hostname",
    "h",
    "qname",
    "q",
    "num_proc",
    "p",
    "mem_total",
    "swap_free",
    "slots",
    "tmpdir",
    "cpu",
    "calendar",
    "h_core",
    "s_core",
    "rerun",
    "gpu",
    "exclusive",
];

/// A time of `-l`: `90`, `1:30:00`, in seconds.
pub(crate) fn time(text: &str) -> Option<u64> {
    if text.eq_ignore_ascii_case("infinity") {
        return Some(u64::from(u32::MAX));
    }
    let fields: Vec<&str> = text.split(':').collect();
    if fields.len() > 3 || text.is_empty() {
        return None;
    }
    fields.iter().try_fold(0_u64, |sum, field| {
        let value = if field.is_empty() { 0 } else { field.parse().ok()? };
        sum.checked_mul(60)?.checked_add(value)
    })
}

/// A size of `-l`: `900G`, `200M`, in MiB, rounded up.
pub(crate) fn mebibytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: f64 = number.parse().ok()?;
    let scale = match unit {
        "" => 1.0,
        "k" => 1e3,
        "K" => 1024.0,
        "m" => 1e6,
        "M" => 1024.0 * 1024.0,
        "g" => 1e9,
        "G" => 1024.0 * 1024.0 * 1024.0,
        "t" => 1e12,
        "T" => 1024.0_f64.powi(4),
        _ => return None,
    };
    let mebibytes = (number * scale / (1024.0 * 1024.0)).ceil();
    mebibytes.is_finite().then_some(mebibytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read() {
        assert_eq!(time("48:0:0"), Some(172_800));
        assert_eq!(time("5"), Some(5));
        assert_eq!(time("abc"), None);
        assert_eq!(mebibytes("900G"), Some(921_600));
        assert_eq!(mebibytes("200M"), Some(200));
        assert_eq!(mebibytes("lots"), None);
    }
}
