//! The tour: four nodes in four processes on this machine, every operation between them, one of them killed while
//! calls run, and brought back.
//!
//! `make demo`, or `cargo run -p farcall-examples --bin demo`. It ends by itself within half a minute, with
//! 0 if everything went as told and with 1 if not. This process is alpha; it runs itself again as beta, gamma and
//! delta, which end when it does, whatever ends it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

mod actors;
mod asking;
mod fleet;
mod loss;
mod many;
mod more;
mod refused;
mod story;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use farcall::prelude::*;

use fleet::Fleet;
use story::Story;

/// Alpha, the processes of the others, and where they are.
struct Stage {
    alpha: Node,
    own: Target,
    beta: Target,
    gamma: Target,
    delta: Target,
    fleet: Fleet,
}

impl Stage {
    /// The other three nodes.
    fn others(&self) -> [Target; 3] {
        [self.beta.clone(), self.gamma.clone(), self.delta.clone()]
    }
}

/// The whole tour takes a few seconds; something is wrong when it takes this long.
const STORY_TIMEOUT: Duration = Duration::from_secs(25);

#[actix::main]
async fn main() -> ExitCode {
    env_logger::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let told = match arguments.as_slice() {
        [] => tell().await,
        ["node", name, folder] => fleet::run_node(name, folder.as_ref()).await.map(|()| true),
        _ => Err("usage: demo (without arguments)".into()),
    };
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells the story; true if it went as told.
async fn tell() -> Result<bool, Box<dyn Error>> {
    tokio::select! {
        told = tokio::time::timeout(STORY_TIMEOUT, chapters()) => {
            told.map_err(|_| format!("the story did not end within {STORY_TIMEOUT:?}"))?
        }
        _ = tokio::signal::ctrl_c() => Err("stopped".into()),
    }
}

async fn chapters() -> Result<bool, Box<dyn Error>> {
    let mut story = Story::begin();
    story.chapter("Four nodes, four processes", "Each has a name and listens on a free port of 127.0.0.1.");
    let mut stage = fleet::set_up(&mut story).await?;
    asking::tell(&mut story, &stage).await;
    many::tell(&mut story, &stage).await;
    more::tell(&mut story, &stage).await?;
    refused::tell(&mut story, &stage).await;
    loss::tell(&mut story, &mut stage).await?;
    story.chapter("The end", "Alpha drains: what is in flight finishes, then the connections close.");
    let finished = if stage.alpha.shutdown().await { "all is finished" } else { "something was cut off" };
    story.same("alpha shuts down", "all is finished", finished);
    drop(stage);
    Ok(story.end())
}
