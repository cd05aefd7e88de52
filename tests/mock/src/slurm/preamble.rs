//! What every command does before its own work: version, help, and a refusal of what this mock does not serve.

use super::args::Parsed;
use crate::front::Call;

/// Answers `--version` and `--help`. An option that is read but not served is refused: without it the answer, or
/// what is cancelled, would be another than was asked for.
pub(super) fn answer(
    call: &mut Call<'_>,
    given: &Parsed,
    table: &str,
    unserved: &[&'static str],
) -> Option<i32> {
    let name = call.name.clone();
    if given.has("version") {
        call.out("slurm-wlm 22.05.8\n");
        return Some(0);
    }
    if given.has("help") || given.has("usage") {
        call.out(help(&name, table));
        return Some(0);
    }
    let option = unserved.iter().find(|option| given.has(option))?;
    call.err(format!(
        "{name}: error: --{option} is not served by the mock of Slurm: leave it out, or add it (tests/mock/README.md)\n"
    ));
    Some(1)
}

/// The options, one a line, as the real ones begin.
fn help(name: &str, table: &str) -> String {
    let operands = match name {
        "sbatch" => " script [args...]",
        "scancel" => " [job_id[_array_id][.step_id]]...",
        _ => "",
    };
    let mut text = format!("Usage: {name} [OPTIONS...]{operands}\n");
    for word in table.split_whitespace() {
        let at = word.find(['=', '/', '?']).unwrap_or(word.len());
        let (long, rest) = word.split_at(at);
        let short = rest.chars().nth(1).map_or_else(|| String::from("    "), |short| format!("-{short}, "));
        let value = if rest.starts_with('=') { format!("={long}") } else { String::new() };
        text += &format!("  {short}--{long}{value}\n");
    }
    text
}
