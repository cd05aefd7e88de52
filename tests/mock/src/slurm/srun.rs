//! `srun`, the least of it: inside a job the command runs in place of `srun`, once.

use super::args;
use crate::engine::Launch;
use crate::front::Call;

pub(super) fn run(call: &mut Call<'_>) -> i32 {
    let args = call.args.clone();
    let options = super::sbatch::OPTIONS;
    let given = match args::parse(options, &args, true) {
        Ok(given) => given,
        Err(error) => {
            call.err(format!("srun: {error}\nTry \"srun --help\" for more information\n"));
            return 255;
        }
    };
    if given.has("version") {
        call.out("slurm-wlm 22.05.8\n");
        return 0;
    }
    if given.rest.is_empty() {
        call.err("srun: fatal: No command given to execute.\n");
        return 1;
    }
    if call.var("SLURM_JOB_ID").is_none() {
        call.err("srun: error: this mock runs srun inside a job only\n");
        return 1;
    }
    let argv = call.raw_args[call.raw_args.len() - given.rest.len()..].to_vec();
    let mut env = call.env.clone();
    env.retain(|(key, _)| key != b"SLURM_STEP_ID");
    env.push((b"SLURM_STEP_ID".to_vec(), b"0".to_vec()));
    let cwd = given.get("chdir").map_or_else(|| call.cwd.clone(), |dir| call.path(dir));
    call.exec(Launch { argv, env, cwd, umask: call.umask, ..Launch::default() });
    0
}
