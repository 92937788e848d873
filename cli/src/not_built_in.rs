//! Commands that this build was made without.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use crate::Usage;

/// LiveKit's side of the agent protocol, for development. This build was made without it.
#[derive(Args, Clone, Debug)]
pub(crate) struct LivekitArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<String>,
}

/// Says how to get the command.
#[expect(clippy::unused_async, reason = "the command itself is async")]
pub(crate) async fn run(_: LivekitArgs) -> anyhow::Result<ExitCode> {
    let how =
        "this openrtc was built without LiveKit: build it with `cargo build --release -p openrtc --features livekit`";
    Err(Usage(anyhow!(how)).into())
}
