//! The client is killed at the worst moments.

use cluster_tests::{Site, wait_for};

fn marking(site: &Site) -> String {
    format!("echo x >> '{}'", site.path("ran").display())
}

fn lines(site: &Site) -> usize {
    std::fs::read_to_string(site.path("ran")).unwrap_or_default().lines().count()
}

#[test]
fn killed_after_the_scheduler_took_the_job() {
    let site = Site::new();
    let (said, never) = (site.fifo("said"), site.fifo("never"));
    // The command does its work and then tells nobody.
    let text = format!("\"$REAL\" \"$@\" > '{}'\n{}", site.path("answer").display(), never.wait_text());
    site.wrap(site.kind().submit(), &text);
    let submit = site.start(["submit", "--sh", &format!("{}; {}", marking(&site), said.say_text("up"))]);
    said.hear();
    submit.signal(9);
    let _ = submit.end();
    site.unwrap_command(site.kind().submit());
    let calls = site.counted(site.kind().submit());
    site.cluster(["wait", "last"]).good();
    let job = site.job("last");
    assert_eq!(job["state"], "succeeded", "{job}");
    let answer = std::fs::read_to_string(site.path("answer")).unwrap();
    let number = Site::number(job["remote_id"].as_str().unwrap()).to_string();
    assert!(answer.contains(&number), "{answer} {job}");
    assert_eq!((calls.count(), lines(&site)), (0, 1));
    never.let_go(1);
}

#[test]
fn killed_after_it_took_a_job_that_still_waits() {
    let site = Site::new();
    let (never, answer) = (site.fifo("never"), site.path("answer"));
    let text = format!("\"$REAL\" \"$@\" > '{}'\n{}", answer.display(), never.wait_text());
    site.wrap(site.kind().submit(), &text);
    let submit = site.start(["map", "--detach", "--hold", "--range", "0-3", "--sh", &marking(&site)]);
    wait_for("the scheduler has it", || std::fs::metadata(&answer).is_ok_and(|meta| meta.len() > 0));
    submit.signal(9);
    let _ = submit.end();
    site.unwrap_command(site.kind().submit());
    let calls = site.counted(site.kind().submit());
    wait_for("it is found by its tag", || {
        let _ = site.cluster(["ls", "--refresh"]);
        site.count("1", "held") == 4
    });
    site.cluster(["release", "last"]).good();
    site.cluster(["wait", "last"]).good();
    assert_eq!((calls.count(), lines(&site)), (0, 4));
    never.let_go(1);
}

#[test]
fn killed_while_it_waits() {
    let site = Site::new();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let text = format!("{}; {}; exit 6", said.say_text("up"), gate.wait_text());
    let run = site.start(["run", "--sh", &text]);
    said.hear();
    run.signal(9);
    assert_eq!(run.end().code, 137);
    gate.let_go(1);
    site.cluster(["wait", "last"]).code(1);
    assert_eq!(site.state("last"), "failed exit 6");
    site.check_store();
}

#[test]
fn the_submit_command_is_killed_after_the_job_was_taken() {
    let site = Site::new();
    let calls = site.path("calls");
    let text = format!(
        "echo x >> '{}'\n\"$REAL\" \"$@\" > /dev/null 2>&1\necho 'quota of the login node' >&2\nexit 137",
        calls.display()
    );
    site.wrap(site.kind().submit(), &text);
    let outcome = site.cluster(["submit", "--sh", &marking(&site)]).good();
    assert!(outcome.err().contains("looking for it by its tag"), "{outcome:?}");
    assert!(outcome.err().contains("was killed before it gave an id"), "{outcome:?}");
    site.cluster(["wait", "last"]).good();
    assert_eq!((std::fs::read_to_string(&calls).unwrap().lines().count(), lines(&site)), (1, 1));
}

#[test]
fn the_answer_is_rubbish() {
    let site = Site::new();
    // It is in, but what is printed is no id: found by its tag.
    site.wrap(site.kind().submit(), "\"$REAL\" \"$@\" > /dev/null\nprintf '\\377\\000 what?\\n'");
    let outcome = site.cluster(["submit", "--sh", &marking(&site)]);
    assert!([0, 7].contains(&outcome.code), "{outcome:?}");
    site.unwrap_command(site.kind().submit());
    let calls = site.counted(site.kind().submit());
    site.cluster(["wait", "last"]).good();
    assert_eq!((calls.count(), lines(&site)), (0, 1));
}

#[test]
fn a_cancel_while_nobody_knows_reaches_what_comes_through_late() {
    let site =
        Site::wished(&cluster_tests::Wish { config: "submit_retries: 0\n".to_owned(), ..Default::default() });
    let (late, said, never) = (site.fifo("late"), site.fifo("said"), site.fifo("never"));
    // The command is killed, and what it had handed over is worked off later.
    let away = site.path("away");
    // Without what it inherited: the lock of the submission is let go, as where a controller does this.
    let text = format!(
        "if [ -n \"$LATE\" ]; then touch '{0}'; {1}; exec \"$REAL\" \"$@\"; fi\n\
         LATE=1 setsid -f bash -c 'for f in /proc/self/fd/*; do f=${{f##*/}}; [ $f -lt 3 ] || eval \"exec $f>&-\"; done; \
         exec \"$0\" \"$@\"' \"$0\" \"$@\" > /dev/null 2>&1\n\
         until [ -e '{0}' ]; do :; done\nexit 137",
        away.display(),
        late.wait_text()
    );
    site.wrap(site.kind().submit(), &text);
    site.cluster(["submit", "--sh", &format!("{}; {}", said.say_text("up"), never.wait_text())]).code(7);
    site.unwrap_command(site.kind().submit());
    let _ = site.cluster(["cancel", "last"]);
    site.cluster(["ls", "--refresh"]).good();
    assert_eq!(
        site.state("last"),
        "submitting",
        "nobody has looked long enough to say that there is nothing"
    );
    late.let_go(1);
    wait_for("it is found, and cancelled", || {
        let _ = site.cluster(["ls", "--refresh"]);
        site.state("last") == "failed cancelled"
    });
    assert!(site.job("last")["remote_id"].is_string(), "{}", site.job("last"));
}

#[test]
fn the_files_of_a_batch_that_the_store_lost_are_not_sent_by_another() {
    let site = Site::new();
    site.cluster(["submit", "--hold", "--", "echo", "kept"]).good();
    let stores = ["store.db", "store.db-wal"].map(|name| site.root().join(name));
    let backup = stores.clone().map(|file| std::fs::read(file).unwrap_or_default());
    site.cluster(["submit", "--hold", "--", "echo", "lost"]).good();
    site.cluster(["cancel", "2"]).good();
    for (file, bytes) in stores.iter().zip(backup) {
        std::fs::write(file, bytes).unwrap();
    }
    let calls = site.counted(site.kind().submit());
    let said = site.cluster(["submit", "--", "echo", "mine"]);
    assert_ne!(said.code, 0, "{said:?}");
    said.says(["jobs/2 is there already, of a batch that the store lost: submit again"]);
    assert_eq!((calls.count(), site.state("2").as_str()), (0, "failed submit_refused"));
    site.cluster(["run", "--", "echo", "mine"]).good().prints("mine\n");
    site.cluster(["cancel", "1"]).good();
}
