//! What one client and the runner say to each other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cluster_core::{BatchId, ByteString, JobId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::broadcast;

use super::protocol::{RefusalKind, Reply, Request, frame, frame_len};
use super::root::News;
use super::serve::{Runner, refusal};
use crate::capacity::Amount;

/// One client, until it leaves.
pub(super) async fn serve(runner: Arc<Runner>, mut stream: UnixStream) {
    // The directory is ours alone already; this is the second lock on the same door.
    let ours = stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::getuid().as_raw());
    if !ours {
        return;
    }
    runner.connections.fetch_add(1, Ordering::SeqCst);
    runner.activity.fetch_add(1, Ordering::SeqCst);
    // Whoever leaves in the middle is just gone.
    let _ = converse(&runner, &mut stream).await;
    runner.connections.fetch_sub(1, Ordering::SeqCst);
    runner.activity.fetch_add(1, Ordering::SeqCst);
}

async fn converse(runner: &Arc<Runner>, stream: &mut UnixStream) -> io::Result<()> {
    loop {
        let text = read_frame(stream).await?;
        let reply = match serde_json::from_slice(&text) {
            Ok(Request::Watch { root, batches, lend, leased }) => {
                return watch(runner, stream, root, batches, lend, leased).await;
            }
            Ok(Request::Lease(most)) => return lease(runner, stream, most).await,
            Ok(request) => runner.answer(request).await,
            Err(error) => Reply::Refused(refusal(RefusalKind::Usage, format!("not understood: {error}"))),
        };
        stream.write_all(&frame(&reply)?).await?;
    }
}

async fn read_frame(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let mut text = vec![0; frame_len(head)?];
    stream.read_exact(&mut text).await?;
    Ok(text)
}

/// Says when something changes, until the client leaves; lent cores come back then.
async fn watch(
    runner: &Arc<Runner>,
    stream: &mut UnixStream,
    root: ByteString,
    batches: Vec<BatchId>,
    lend: Option<(ByteString, JobId)>,
    leased: Option<(u32, Amount)>,
) -> io::Result<()> {
    let mut news = runner.news.subscribe();
    match runner.root(root.as_path()).await {
        Ok(root) => root.look_for_orphans(),
        Err(refusal) => return stream.write_all(&frame(&Reply::Refused(refusal))?).await,
    }
    let mut lent = None;
    if let Some((root, job)) = &lend
        && let Ok(root) = runner.root(root.as_path()).await
    {
        let key = (root.id(), job.batch);
        lent = runner.engine.lend(key, job.index, true).then_some((key, job.index));
    }
    let of_lease = lend.filter(|_| lent.is_none()).zip(leased);
    if let Some((job, (holder, need))) = &of_lease {
        runner.leases.lend(*holder, job, *need);
    }
    let result = tell_news(stream, &mut news, &root, &batches).await;
    if let Some((key, index)) = lent {
        runner.engine.lend(key, index, false);
    }
    if let Some((job, (holder, _))) = &of_lease {
        runner.leases.take_back(*holder, job);
    }
    result
}

/// Cores that a client uses itself, until it leaves.
async fn lease(runner: &Arc<Runner>, stream: &mut UnixStream, most: Amount) -> io::Result<()> {
    let holder = stream.peer_cred()?.pid().map_or(0, i32::unsigned_abs);
    let Some(leased) = runner.leases.begin(holder, most) else {
        let no = refusal(RefusalKind::TooLarge, "no core is free now: running jobs have them all");
        return stream.write_all(&frame(&Reply::Refused(no))?).await;
    };
    let mut left = leased;
    let result = keep_lease(runner, stream, holder, &mut left).await;
    runner.leases.end(holder, left);
    result
}

/// Until the end of the connection, which is the end of the lease. Asked again, it can only become less.
async fn keep_lease(
    runner: &Arc<Runner>,
    stream: &mut UnixStream,
    holder: u32,
    leased: &mut Amount,
) -> io::Result<()> {
    loop {
        stream.write_all(&frame(&Reply::Leased(*leased))?).await?;
        let text = read_frame(stream).await?;
        if let Ok(Request::Lease(most)) = serde_json::from_slice(&text) {
            let left = leased.min(&most);
            runner.leases.end(holder, leased.saturating_sub(&left));
            *leased = left;
        }
    }
}

async fn tell_news(
    stream: &mut UnixStream,
    news: &mut broadcast::Receiver<News>,
    root: &ByteString,
    batches: &[BatchId],
) -> io::Result<()> {
    stream.write_all(&frame(&Reply::News(batches.to_vec()))?).await?;
    let (mut from, mut to) = stream.split();
    let mut byte = [0];
    loop {
        tokio::select! {
            // The client says nothing more; this is how we see that it left.
            read = from.read(&mut byte) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            got = news.recv() => {
                let changed = match got {
                    Ok(news) if *news.root == *root.as_path() => {
                        news.batches.iter().filter(|batch| batches.contains(batch)).copied().collect()
                    }
                    Ok(_) => Vec::new(),
                    // Too much at once: anything may have changed.
                    Err(broadcast::error::RecvError::Lagged(_)) => batches.to_vec(),
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                };
                if !changed.is_empty() {
                    to.write_all(&frame(&Reply::News(changed))?).await?;
                }
            }
        }
    }
}
