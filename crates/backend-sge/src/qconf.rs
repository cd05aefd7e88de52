//! `qconf`: the configuration of the cell.

use cluster_core::dialect::{DialectError, Partition, Reading, Site};
use cluster_core::host::{Invocation, Output};

use crate::call::{self, Call};
use crate::{lexeme, refusal};

pub(crate) fn invocation(words: &[&str]) -> Invocation {
    call::invocation(std::iter::once("qconf").chain(words.iter().copied()))
}

pub(crate) fn read<'o>(call: &Call<'_>, output: &'o Output) -> Result<Reading<'o>, DialectError> {
    if !output.status.is_success() {
        return Err(refusal::refused(call, output));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut site = Site { up: Some(true), ..Site::default() };
    let Some(option) = call.words.first() else {
        return Err(call.not_read("without an option it shows nothing"));
    };
    let names = || text.split_ascii_whitespace().map(str::to_owned);
    match *option {
        "-sconf" => global(&mut site, &entries(&text)),
        "-sq" => site.partitions = queues(&entries(&text)),
        "-sql" => {
            site.partitions = names().map(|name| Partition { name, ..Partition::default() }).collect();
        }
        "-spl" => site.parallel_environments = names().collect(),
        "-sp" => {
            let name = entries(&text).into_iter().find(|(key, _)| key == "pe_name");
            site.parallel_environments.extend(name.map(|(_, name)| name));
        }
        // That the qmaster answers is all of these that we can use.
        "-sel" | "-se" | "-sc" | "-ssconf" | "-sss" | "-sm" | "-so" | "-sh" | "-ss" => {}
        _ => return Err(call.not_read("of qconf, -sconf, -sq, -sql, -spl and -sp are read")),
    }
    Ok(Reading::Site(site))
}

/// Keys and values, a line each; a backslash at the end of a line goes on with the next.
fn entries(text: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let (line, goes_on) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        if open {
            if let Some((_, value)) = entries.last_mut() {
                value.push_str(line.trim());
                value.push(' ');
            }
        } else if let Some((key, value)) = line.split_once([' ', '\t']) {
            entries.push((key.to_owned(), format!("{} ", value.trim())));
        }
        open = goes_on;
    }
    for (_, value) in &mut entries {
        value.truncate(value.trim_end().len());
    }
    entries
}

fn global(site: &mut Site, entries: &[(String, String)]) {
    for (key, value) in entries {
        match key.as_str() {
            // 0 is no limit.
            "max_aj_tasks" => site.max_array = lexeme::number(value).filter(|&most| most > 0),
            "reporting_params" => {
                let mut words = value.split([' ', ',']);
                site.accounting = words.find_map(|word| word.strip_prefix("accounting=")).map(is_true);
            }
            _ => {}
        }
    }
    // `-w e`, with which we submit, sees to it.
    site.refuses_over_limit = Some(true);
}

fn is_true(word: &str) -> bool {
    word.eq_ignore_ascii_case("true") || word == "1"
}

/// The queues, each beginning with its `qname`. A value is that of all hosts, and `[host=value]` of some:
/// the largest counts, as some host grants it.
fn queues(entries: &[(String, String)]) -> Vec<Partition> {
    let mut queues: Vec<Partition> = Vec::new();
    for (key, value) in entries {
        if key == "qname" {
            queues.push(Partition { name: value.clone(), ..Partition::default() });
        }
        let Some(queue) = queues.last_mut() else { continue };
        match key.as_str() {
            "slots" => queue.cores_per_node = values(value).filter_map(lexeme::number).max(),
            // Unlimited for some is unlimited for the queue.
            "h_rt" => {
                let limits: Option<Vec<_>> = values(value).map(lexeme::limit).collect();
                queue.max_time = limits.and_then(|limits| limits.into_iter().max());
            }
            _ => {}
        }
    }
    queues
}

/// `8,[node1=4],[@big=16]` → 8, 4, 16.
fn values(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|part| !part.is_empty()).map(|part| {
        let part = part.trim_start_matches('[').trim_end_matches(']');
        part.split_once('=').map_or(part, |(_, value)| value)
    })
}

#[cfg(test)]
mod tests {
    use cluster_core::Walltime;

    use super::*;

    #[test]
    fn the_largest_value_of_any_host() {
        let text = "qname a\nslots 8,[n1=4], \\\n   [@big=16]\nh_rt 24:0:0,[n1=48:0:0]\n\n\
                    qname b\nslots 1\nh_rt INFINITY,[n1=1:0:0]\n";
        let queues = queues(&entries(text));
        assert_eq!(queues.len(), 2);
        assert_eq!((queues[0].name.as_str(), queues[0].cores_per_node), ("a", Some(16)));
        assert_eq!(queues[0].max_time, Some(Walltime::from_secs(172_800)));
        assert_eq!((queues[1].cores_per_node, queues[1].max_time), (Some(1), None));
    }
}
