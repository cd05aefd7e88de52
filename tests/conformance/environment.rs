//! What a job sees: the submitter's environment, its words, who it is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cluster_tests::{Kind, Site, is_real, skipped};

#[test]
fn the_environment_goes_through_byte_for_byte() {
    let site = Site::new();
    let values: [&[u8]; 7] = [
        b"it's \"quoted\" $HOME `x` \\n",
        b"two\nlines\n",
        b"\xff\xfe\x80",
        b"",
        b" , ",
        b"a,b=c;d",
        "🎉 ü".as_bytes(),
    ];
    let mut call = site.call(["run", "--quiet", "--", "env", "-0"]);
    for (i, value) in values.iter().enumerate() {
        call = call.env(format!("ODD_{i}"), OsStr::from_bytes(value));
    }
    let out = call.end().good().stdout;
    let variables: Vec<_> = out.split(|&b| b == 0).collect();
    for (i, value) in values.iter().enumerate() {
        let wanted = [format!("ODD_{i}=").as_bytes(), value].concat();
        assert!(variables.contains(&&wanted[..]), "{}", String::from_utf8_lossy(&wanted));
    }
}

#[test]
fn words_go_through_byte_for_byte() {
    let site = Site::new();
    let words: [&[u8]; 10] = [
        b"it's",
        b"\"",
        b"a\nb\n",
        b"$(touch x)",
        b"; rm -rf .",
        b"\xff\x80",
        b"",
        b"*",
        b"\\",
        "🎉".as_bytes(),
    ];
    let mut call = site.call(["run", "--quiet", "--", "printf", "%s\\0"]);
    for word in words {
        call = call.arg(OsStr::from_bytes(word));
    }
    let wanted: Vec<u8> = words.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect();
    call.end().good().prints(wanted);
    assert!(!site.work().join("x").exists());
}

#[test]
fn export_chooses_variables() {
    let site = Site::new();
    let run = |list: &str| {
        let text = "echo ${ONE-no} ${TWO-no} ${THREE-no}";
        let words = ["run", "--quiet", "--export", list, "--", "sh", "-c", text];
        site.call(words).env("ONE", "1").env("TWO", "2").end().good().out()
    };
    assert_eq!(run("all"), "1 2 no\n");
    assert_eq!(run("none"), "no no no\n");
    assert_eq!(run("TWO"), "no 2 no\n");
    assert_eq!(run("ONE,THREE=3"), "1 no 3\n");
}

#[test]
fn what_belongs_to_a_login_stays_behind() {
    let site = Site::new();
    let text = "echo ${SSH_TTY-no} ${DISPLAY-no} $KEPT; [ \"$TMPDIR\" != /ours ]";
    let call = site.call(["run", "--quiet", "--", "sh", "-c", text]);
    let call = call.env("TMPDIR", "/ours").env("SSH_TTY", "x").env("DISPLAY", ":0").env("KEPT", "yes");
    call.end().good().prints("no no yes\n");
}

#[test]
fn no_login_environment_is_loaded() {
    let site = Site::new();
    let mark = site.path("mark");
    // A node looks where the password file has the home, whatever $HOME was at the submission.
    let home = if is_real() { home_in_passwd() } else { site.path("home") };
    let _login = Login::marking(&home, &mark);
    site.cluster(["run", "--quiet", "--export", "none", "--", "true"]).good();
    if is_real() && site.kind() == Kind::Sge {
        return skipped(
            "a login environment",
            "its queue starts a login shell, which is the site's to decide",
        );
    }
    assert!(!mark.exists());
}

fn home_in_passwd() -> std::path::PathBuf {
    let out =
        std::process::Command::new("sh").args(["-c", "getent passwd \"$(id -un)\""]).output().unwrap().stdout;
    String::from_utf8(out).unwrap().split(':').nth(5).unwrap().into()
}

/// Files of a login that leave a mark, put back as they were.
struct Login(Vec<(std::path::PathBuf, Option<Vec<u8>>)>);

impl Login {
    fn marking(home: &std::path::Path, mark: &std::path::Path) -> Self {
        let names = [".profile", ".bash_profile", ".bash_login", ".bashrc", ".login"];
        let before = names.map(|name| (home.join(name), std::fs::read(home.join(name)).ok()));
        let login = Self(before.into());
        for (path, text) in &login.0 {
            let mut text = text.clone().unwrap_or_default();
            text.extend(
                format!("\n[ -d '{}' ] && : > '{}'\n", mark.parent().unwrap().display(), mark.display())
                    .bytes(),
            );
            std::fs::write(path, text).unwrap();
        }
        login
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        for (path, text) in &self.0 {
            let _ = match text {
                Some(text) => std::fs::write(path, text),
                None => std::fs::remove_file(path),
            };
        }
    }
}

#[test]
fn a_job_knows_who_it_is() {
    let site = Site::new();
    let text = "echo $CLUSTER_BATCH_ID $CLUSTER_JOB_ID $CLUSTER_JOB_INDEX $CLUSTER_RUN $CLUSTER_ROOT $CLUSTER_NNODES \
        $CLUSTER_TOT_NCORES $CLUSTER_NCORES_PER_NODE";
    let wanted = format!("1 1.0 0 1 {} 1 2 2\n", site.root().display());
    site.cluster(["run", "--quiet", "--cores", "2", "--", "sh", "-c", text]).good().prints(wanted);
}

#[test]
fn the_schedulers_own_variables_are_there() {
    let site = Site::new();
    let variable = match site.kind() {
        Kind::Slurm => "SLURM_JOB_ID",
        Kind::Pbs | Kind::Torque => "PBS_JOBID",
        Kind::Sge => "JOB_ID",
        Kind::Sample => "PLAIN_JOB",
    };
    let text = format!("echo ${variable} ${{SLURM_EXPORT_ENV-unset}}");
    let out = site.cluster(["run", "--quiet", "--", "sh", "-c", &text]).good().out();
    let (id, export) = out.trim().split_once(' ').unwrap();
    assert_eq!(Some(id), site.job("last")["remote_id"].as_str());
    assert_eq!(export, "unset", "srun in a job would lose its environment");
}

#[test]
fn a_submission_from_inside_a_job_is_as_from_outside() {
    let site = Site::new();
    let enclosing: &[(&str, &str)] = match site.kind() {
        Kind::Slurm => &[
            ("SLURM_JOB_ID", "99"),
            ("SLURM_JOBID", "99"),
            ("SLURM_NTASKS", "7"),
            ("SLURM_CPUS_PER_TASK", "3"),
            ("SLURM_ARRAY_TASK_ID", "5"),
            ("SLURM_MEM_PER_CPU", "77"),
        ],
        Kind::Pbs | Kind::Torque => &[
            ("PBS_JOBID", "99.elsewhere"),
            ("PBS_ARRAY_INDEX", "5"),
            ("PBS_ARRAYID", "5"),
            ("PBS_O_HOME", "/no"),
        ],
        Kind::Sge => &[("JOB_ID", "99"), ("SGE_TASK_ID", "5"), ("NSLOTS", "7")],
        Kind::Sample => &[("PLAIN_JOB", "99"), ("PLAIN_ELEMENT", "5")],
    };
    let text = "echo ${SLURM_NTASKS-none} ${SLURM_CPUS_PER_TASK-none} ${SLURM_ARRAY_TASK_ID-none} \
        ${SLURM_MEM_PER_CPU-none} ${PBS_ARRAY_INDEX-none} ${PBS_ARRAYID-none} ${SGE_TASK_ID-none} ${NSLOTS-none}";
    let outside = site.cluster(["run", "--quiet", "--", "sh", "-c", text]).good().out();
    let mut call = site.call(["run", "--quiet", "--", "sh", "-c", text]);
    for (name, value) in enclosing {
        call = call.env(name, value);
    }
    call.end().good().prints(outside);
}

#[test]
fn output_does_not_depend_on_the_users_taste() {
    let site = Site::new();
    let call = site.call(["run", "--quiet", "--", "true"]);
    let call =
        call.env("LC_ALL", "tr_TR.UTF-8").env("TZ", "Pacific/Apia").env("SLURM_TIME_FORMAT", "relative");
    let call = call.env("SQUEUE_FORMAT", "%i").env("SACCT_FORMAT", "JobName").env("SQUEUE_STATES", "FAILED");
    call.end().good();
    let job = site.job("last");
    assert_eq!(job["state"], "succeeded", "{job}");
}

#[test]
fn setup_runs_in_the_job_and_pre_submit_here() {
    let site = Site::wished(&cluster_tests::Wish {
        system: "setup: ['export PREPARED=yes'], pre_submit: ['echo here >> presubmit']".to_owned(),
        ..Default::default()
    });
    site.cluster(["run", "--quiet", "--sh", "echo $PREPARED"]).good().prints("yes\n");
    assert_eq!(std::fs::read_to_string(site.work().join("presubmit")).unwrap(), "here\n");
}

#[test]
fn nodes_that_cannot_be_asked_for_are_not_told_to_the_job() {
    let site = Site::new();
    if site.kind().name() != "sge" {
        return;
    }
    let run = site.cluster(["run", "--nodes", "2", "--sh", "echo $CLUSTER_NNODES"]).good();
    run.prints("1\n").says(["--nodes: ", "no effect"]);
}
