//! The library, in a program of its own.

use std::time::Duration;

use cluster_client::Filter;
use cluster_client::output::Stream;
use cluster_client::{Client, Scheduling, Settings, Waited};
use cluster_core::JobState;
use cluster_localqueue::runner::Place;
use cluster_tests::World;

fn client(world: &World) -> Client {
    Client::new(Settings {
        root: world.root(),
        place: Place::new(Some(world.queue())),
        launcher: None,
        user: "somebody".to_owned(),
        terminal: None,
        systems: None,
        scheduling: Scheduling::default(),
    })
}

#[test]
fn handles_of_another_process_go_through_a_whole_life() {
    let world = World::new();
    let text = "echo out-$1; [ $1 = a ] || [ $CLUSTER_RUN = 2 ]";
    let batch = world.map(["--hold", "--", "sh", "-c", text, "sh", ":::", "a", "b", "c"]);
    let client = &mut client(&world);
    let mut jobs = client.jobs(&Filter::default()).unwrap();
    assert_eq!(jobs.len(), 3);
    assert!(jobs.iter().all(|job| job.row.state == JobState::Held && job.id().batch.to_string() == batch));
    let [good, bad, never] = jobs.as_mut_slice() else { panic!() };
    never.cancel(client).unwrap();
    never.refresh(client).unwrap();
    assert_eq!(never.row.state, JobState::Failed);
    for job in [&mut *good, &mut *bad] {
        job.release(client).unwrap();
        assert_eq!(job.wait(client, Some(Duration::from_secs(60))).unwrap(), Waited::Done);
    }
    assert_eq!((good.row.state, bad.row.state), (JobState::Succeeded, JobState::Failed));
    bad.retry(client).unwrap();
    bad.wait(client, None).unwrap();
    assert_eq!((bad.row.state, bad.row.run), (JobState::Succeeded, 2));
    let mut text = Vec::new();
    assert_eq!(bad.collect(client, Stream::Out, Duration::from_secs(2), &mut text).unwrap(), 6);
    assert_eq!(text, b"out-b\n");
    assert!(bad.row.collected.is_some() && good.row.collected.is_none());
    good.clean(client).unwrap();
    assert!(good.row.cleaned.is_some() && bad.row.cleaned.is_none());
    assert_eq!(good.row.state, JobState::Succeeded);
}
