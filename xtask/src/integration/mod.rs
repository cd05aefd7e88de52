//! `cargo xtask integration`: suites that are run beside the usual tests.

mod conformance;
mod faults;
mod fuzz;

use anyhow::bail;

use crate::workspace::Workspace;
pub(crate) use conformance::{on_mocks, on_real_ones};

use conformance::Site;

/// The words after `integration`.
pub(crate) fn command(workspace: &Workspace, words: &[&str]) -> anyhow::Result<()> {
    match words {
        ["faults"] => faults::run(workspace),
        ["fuzz", rest @ ..] => fuzz::run(workspace, rest),
        [name, rest @ ..] => {
            let (real, filters): (Vec<&str>, Vec<&str>) = rest.iter().partition(|word| **word == "--real");
            let site = Site::parse(name, !real.is_empty())?;
            conformance::build(workspace)?;
            if let Some(why) = site.obstacle() {
                bail!("*** SKIPPED *** {site}: {why}");
            }
            conformance::run(workspace, site, &filters)
        }
        [] => bail!(
            "usage: cargo xtask integration faults | fuzz | sample | slurm|pbs|torque|sge [--real] [TEST]…"
        ),
    }
}
