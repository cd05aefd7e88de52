//! `cluster job`, and the sh functions for where there is no `cluster`.

use cluster_tests::{World, wait_for};

fn meta(world: &World, id: &str) -> serde_json::Value {
    world.job(id)["meta"].clone()
}

#[test]
fn a_job_says_facts_about_itself() {
    let world = World::new();
    let bin = cluster_tests::binary().display().to_string();
    let text = format!("'{bin}' job set loss=0.5 'note=it'\"'\"'s \"x\" = y' && '{bin}' job set loss=0.25");
    world.cluster(["run", "--quiet", "--sh", &text]).good().silent();
    wait_for("the facts are in the store", || meta(&world, "1")["loss"] == "0.25");
    assert_eq!(meta(&world, "1")["note"], "it's \"x\" = y");
    assert_eq!(world.cluster(["show", "--short", "meta.loss=0.25"]).good().lines().len(), 1);
}

#[test]
fn the_shell_functions_do_the_same() {
    let world = World::new();
    let text = ". \"$CLUSTER_ROOT/lib/cluster-job\"; cluster_job set a=1 'b=q\"\\\t$x'; cluster_job set a=2 c=; cluster_job info";
    let outcome = world.cluster(["run", "--quiet", "--sh", text]).good().silent();
    for part in ["job 1.0", "batch 1", "index 0", "run 1", "root "] {
        assert!(outcome.out().contains(part), "{}", outcome.out());
    }
    wait_for("the facts are in the store", || meta(&world, "1")["a"] == "2");
    assert_eq!((&meta(&world, "1")["b"], &meta(&world, "1")["c"]), (&"q\"\\\t$x".into(), &"".into()));
    let text = ". \"$CLUSTER_ROOT/lib/cluster-job\"; cluster_job set nonsense";
    world.cluster(["run", "--quiet", "--sh", text]).code(2).says(["KEY=VALUE"]);
}

#[test]
fn job_info_is_who_it_is() {
    let world = World::new();
    let bin = cluster_tests::binary().display().to_string();
    let text = format!("'{bin}' job set x=7; '{bin}' job info --json");
    let info = world.cluster(["run", "--quiet", "--cores", "2", "--name", "me", "--sh", &text]).good().json();
    assert_eq!((&info["job"], &info["run"], &info["name"]), (&"1.0".into(), &1.into(), &"me".into()));
    assert_eq!((&info["cores"], &info["meta"]["x"]), (&2.into(), &"7".into()), "{info}");
    world.cluster(["job", "info"]).code(2).says(["CLUSTER_JOB_ID"]);
    world.cluster(["job", "set", "a=1"]).code(2).says(["CLUSTER_JOB_ID"]);
}

#[test]
fn facts_of_a_retried_job_are_its_own() {
    let world = World::new();
    let bin = cluster_tests::binary().display().to_string();
    let text = format!("'{bin}' job set ran=$CLUSTER_RUN; [ -e fixed ]");
    let batch = world.map(["--range", "0-1", "--", "sh", "-c", &text]);
    world.cluster(["wait", &batch]).code(1);
    // Each is sent again by a submission of its own: its number is not that of the run.
    world.cluster(["retry", &format!("{batch}.0")]).good();
    world.cluster(["wait", &batch]).code(1);
    world.file("fixed", "");
    world.cluster(["retry", &format!("{batch}.1")]).good();
    world.cluster(["wait", &format!("{batch}.1")]).good();
    wait_for("the facts are in the store", || {
        meta(&world, &format!("{batch}.0"))["ran"] == "2" && meta(&world, &format!("{batch}.1"))["ran"] == "2"
    });
}

#[test]
fn rubbish_in_the_events_is_put_aside() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    let events = world.root().join("events");
    std::fs::write(events.join("tmp/x"), "{ no json").unwrap();
    std::fs::rename(events.join("tmp/x"), events.join("new/1.0.0.5.rubbish")).unwrap();
    wait_for("it is put aside", || events.join("bad/1.0.0.5.rubbish").exists());
    assert_eq!(std::fs::read_dir(events.join("new")).unwrap().count(), 0);
    world.check_store();
}
