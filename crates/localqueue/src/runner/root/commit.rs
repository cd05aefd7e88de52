//! From the feed to the store: facts in groups, what follows from them, and what is done when the store fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use cluster_core::{BatchId, Cause};

use super::News;
use super::thread::Thread;
use crate::event::{Ended, Event, StreamPlace};
use crate::queue::Happened;
use crate::runner::store::StoreFailure;

/// Facts are committed at the latest after this time while they keep coming, where the disk is quick.
const LONGEST_GROUP: Duration = Duration::from_millis(150);
/// The journal has facts at once; each commit waits for the disk, and on ext4 everybody who makes files waits
/// with it. So commits take no more than this part of the time, and never come later than the second.
const PART_OF_TIME: u32 = 20;
const LATEST_GROUP: Duration = Duration::from_millis(600);
/// Each fact of a group puts the next commit off by this much: a single one is committed at once.
const PER_EVENT: Duration = Duration::from_millis(10);
/// A full disk is tried again after this time, then after twice as long, up to the last.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);

impl Thread {
    /// Gives the store all events there are, and those that follow from them.
    pub(super) fn commit(&mut self) {
        while self.commit_once() {}
    }

    /// True where it made jobs impossible that others waited for: more is to be committed.
    fn commit_once(&mut self) -> bool {
        let (events, failed) = {
            let mut feed = self.root.feed.lock().unwrap_or_else(PoisonError::into_inner);
            feed.woken = false;
            if self.retry.is_none() {
                feed.journal.turn();
            }
            (std::mem::take(&mut feed.events), feed.failed.take())
        };
        let began = Instant::now();
        let result = if events.is_empty() { Ok(()) } else { self.feed_store(&events) };
        let took = began.elapsed();
        let result = result.and_then(|()| self.do_pending());
        if let Err(failure) = result {
            // Back to the front: the order of a job's facts is kept.
            let mut feed = self.root.feed.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = std::mem::replace(&mut feed.events, events);
            feed.events.extend(newer);
            drop(feed);
            self.trouble(failure.0);
            return false;
        }
        {
            let mut feed = self.root.feed.lock().unwrap_or_else(PoisonError::into_inner);
            // After a failure both sides hold what the store has now; only what came since is new.
            let emptied = match self.retry {
                None => feed.journal.forget_other(),
                Some(_) if feed.events.is_empty() => feed.journal.forget_all(),
                Some(_) => Ok(()),
            };
            if let Err(error) = emptied {
                tracing::warn!("the journal of {} cannot be emptied: {error}", self.root.path.display());
            }
        }
        self.last_commit = Instant::now();
        let longest = (took * PART_OF_TIME).clamp(LONGEST_GROUP, LATEST_GROUP);
        self.wait = longest.min(PER_EVENT * events.len() as u32);
        match failed {
            Some(why) => self.trouble(why),
            None if self.retry.is_some() => {
                self.retry = None;
                *self.root.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                tracing::info!("{} works again", self.root.path.display());
                self.engine.pause_root(self.id, false);
                // What could not be obeyed meanwhile.
                self.root.intake();
            }
            None => {}
        }
        let batches: BTreeSet<_> = events.iter().map(Event::batch).collect();
        self.tell(batches);
        self.release_dependents(&events);
        self.retry.is_none()
            && self.root.feed.lock().unwrap_or_else(PoisonError::into_inner).events.iter().any(is_doom)
    }

    /// Tells those that wait for the ends that the store has now.
    fn release_dependents(&self, events: &[Event]) {
        let mut ends: BTreeMap<BatchId, [Vec<(u32, u32)>; 3]> = BTreeMap::new();
        for event in events {
            match event {
                Event::Started { batch, index, .. } => {
                    ends.entry(*batch).or_default()[2].push((*index, *index + 1));
                }
                Event::Ended(ended) => {
                    let failed = usize::from(ended.cause != Cause::Exit(0));
                    ends.entry(ended.batch).or_default()[failed].push((ended.index, ended.index + 1));
                }
                Event::Unstarted { batch, jobs, .. } => {
                    ends.entry(*batch).or_default()[1].extend_from_slice(jobs.ranges());
                }
            }
        }
        for (batch, [succeeded, failed, started]) in ends {
            let key = (self.id, batch);
            if self.engine.has_dependents(key) {
                self.engine.happened(key, &started.into_iter().collect(), Happened::Started);
                self.engine.happened(key, &succeeded.into_iter().collect(), Happened::Succeeded);
                self.engine.happened(key, &failed.into_iter().collect(), Happened::Failed);
            }
        }
    }

    /// What could not be told the store before.
    fn do_pending(&mut self) -> Result<(), StoreFailure> {
        while let Some((batch, jobs, change)) = self.pending.first() {
            self.store.change(*batch, jobs.as_ref(), change)?;
            self.pending.remove(0);
        }
        Ok(())
    }

    fn feed_store(&mut self, events: &[Event]) -> Result<(), StoreFailure> {
        // The outputs first: no record may name bytes that a power cut could take.
        let packs: BTreeSet<_> = events.iter().filter_map(pack_of).collect();
        for (batch, k) in packs {
            let path = self.root.path.join("jobs").join(batch.to_string()).join(format!("{k}.pack"));
            let synced = std::fs::File::open(&path).and_then(|pack| pack.sync_data());
            if let Err(error) = synced
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(StoreFailure(format!("{} cannot be put on disk: {error}", path.display())));
            }
        }
        self.store.commit(&without_overtaken(events))
    }

    /// The disk is full, or the root is gone: nothing of it starts until it works again.
    pub(super) fn trouble(&mut self, why: String) {
        let wait = self.retry.map_or(FIRST_RETRY, |(_, wait)| LAST_RETRY.min(wait * 2));
        if self.retry.is_none() {
            tracing::error!("{}: {why}", self.root.path.display());
            self.engine.pause_root(self.id, true);
        }
        *self.root.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.retry = Some((Instant::now() + wait, wait));
    }

    pub(super) fn tell(&self, batches: BTreeSet<BatchId>) {
        if !batches.is_empty() {
            // Nobody may be listening.
            let _ =
                self.news.send(News { root: self.root.path.clone(), batches: batches.into_iter().collect() });
        }
    }
}

/// Whether it is about jobs that never ran, and others may wait for them.
fn is_doom(event: &Event) -> bool {
    matches!(event, Event::Unstarted { .. })
}

fn pack_of(event: &Event) -> Option<(BatchId, u32)> {
    let Event::Ended(Ended { batch, k, out, err, .. }) = event else { return None };
    let packed = |place: &StreamPlace| matches!(place, StreamPlace::Pack { len: 1.., .. });
    (packed(out) || packed(err)).then_some((*batch, *k))
}

/// The events without starts of jobs whose end is among them.
fn without_overtaken(events: &[Event]) -> Vec<Event> {
    let ended: BTreeSet<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Ended(ended) => Some((ended.batch, ended.index, ended.run)),
            _ => None,
        })
        .collect();
    let overtaken = |event: &&Event| match event {
        Event::Started { batch, index, run, .. } => !ended.contains(&(*batch, *index, *run)),
        _ => true,
    };
    events.iter().filter(overtaken).cloned().collect()
}
