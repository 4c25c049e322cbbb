//! Calls that run while other lines are typed: `async`, `yield` and `nb_yield`, as in gen_rpc.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::args::Message;
use crate::call;
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;

/// So many may wait for somebody to fetch their answers.
const JOBS_MAX: usize = 1000;

/// The calls that were begun, by number.
#[derive(Default)]
pub(super) struct Jobs {
    last: u64,
    running: BTreeMap<u64, JoinHandle<Result<Value, Report>>>,
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.running.values().for_each(JoinHandle::abort);
    }
}

impl Jobs {
    /// Begins a call; prints its number.
    pub(super) fn begin(
        &mut self,
        session: Session,
        message: Message,
        json: Option<Value>,
        output: &mut Output,
    ) -> Result<(), Report> {
        if self.running.len() >= JOBS_MAX {
            let what = format!("{JOBS_MAX} calls wait to be fetched");
            return Err(Report::here("too_many", what, "`yield N` fetches one"));
        }
        self.last += 1;
        let call = async move {
            let done = call::value(&session, &message, json.as_ref()).await;
            done.map_err(|report| session.explain(report))
        };
        self.running.insert(self.last, actix_rt::spawn(call));
        if output.is_json() { output.document(&self.last) } else { output.line(&format!("{}", self.last)) }
    }

    /// Waits for an answer, for so long at most; without a limit until the call's own time is over.
    pub(super) async fn fetch(
        &mut self,
        number: &str,
        within: Option<Duration>,
        output: &mut Output,
    ) -> Result<(), Report> {
        let unknown = || {
            let what = format!("there is no call {number} to be fetched");
            Report { exit: 2, ..Report::here("usage", what, "`async` prints the number of its call") }
        };
        let number: u64 = number.parse().map_err(|_| unknown())?;
        let running = self.running.get_mut(&number).ok_or_else(unknown)?;
        let ended = match within {
            None => running.await,
            Some(within) => match tokio::time::timeout(within, running).await {
                Ok(ended) => ended,
                Err(_) if output.is_json() => return output.document(&Value::Null),
                Err(_) => return output.line("no answer yet"),
            },
        };
        self.running.remove(&number);
        let answer = ended.map_err(|_| Report::here("interrupted", "the call was ended", ""))??;
        if output.is_json() {
            return output.document(&answer);
        }
        output.line(&serde_json::to_string_pretty(&answer).unwrap_or_else(|_| answer.to_string()))
    }
}
