//! Jobs held, released, cancelled, prioritised, wherever they are.

use cluster_core::dialect::Control;
use cluster_jobsdb::Selection;
use cluster_localqueue::runner::connect;
use cluster_localqueue::runner::protocol::{Action, Reply, Request, Target};

use crate::client::{Client, LOCAL, odd_answer};
use crate::error::ClientError;
use crate::local::elsewhere;

impl Client {
    /// Holds, releases, cancels or prioritises jobs. How many it changed; the runner of another host ends its
    /// jobs when it sees that it was asked to.
    ///
    /// # Errors
    /// Where the runner cannot be reached or the store fails.
    pub fn act(&mut self, action: Action, selected: &[Selection]) -> Result<u64, ClientError> {
        let mut local = Vec::new();
        let mut elsewhere: Vec<(String, Vec<Selection>)> = Vec::new();
        for selection in selected {
            let batch = self.batch(selection.batch)?;
            if batch.scheduler == LOCAL {
                local.push(selection.clone());
                continue;
            }
            match elsewhere.iter_mut().find(|(system, _)| *system == batch.system) {
                Some((_, selections)) => selections.push(selection.clone()),
                None => elsewhere.push((batch.system, vec![selection.clone()])),
            }
        }
        let mut count = 0;
        for (name, selections) in elsewhere {
            let control = match action {
                Action::Cancel(_) => Control::Cancel,
                Action::Hold => Control::Hold,
                Action::Release => Control::Release,
                _ => {
                    return Err(ClientError::Usage(format!(
                        "{name} orders its jobs itself: only jobs of the local queue can be given another priority"
                    )));
                }
            };
            let system = self.system(&name)?;
            count += self.control(&system, control, &selections)?;
        }
        if !local.is_empty() {
            count += self.act_locally(action, &local)?;
        }
        Ok(count)
    }

    fn act_locally(&mut self, action: Action, selected: &[Selection]) -> Result<u64, ClientError> {
        let (here, mut count) = elsewhere::ask(self.store()?, &action, selected)?;
        let (ours, theirs) = elsewhere::of_processes(self.store()?, here)?;
        let act = |selections: Vec<Selection>| {
            let targets: Vec<Target> =
                selections.into_iter().map(|selection| (selection.batch, selection.jobs)).collect();
            Request::Act { root: self.root(), action: action.clone(), targets }
        };
        for (pid, selections) in theirs {
            let batch = selections[0].batch;
            let reply = connect(&self.place().of_process(pid))
                .and_then(|mut connection| Ok(connection.ask(&act(selections))?));
            match reply {
                Ok(Reply::Acted(changed)) => count += changed,
                Ok(Reply::Refused(refusal)) => return Err(ClientError::Refused(refusal)),
                Ok(_) => return Err(odd_answer()),
                Err(error) => return Err(elsewhere::unheard(batch, pid, &error)),
            }
        }
        if ours.is_empty() {
            return Ok(count);
        }
        match self.ask(&act(ours))? {
            Reply::Acted(changed) => Ok(count + changed),
            _ => Err(odd_answer()),
        }
    }
}
