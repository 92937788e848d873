//! `openrtc completions`: what makes a shell complete our commands.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::Cli;

/// Print completions for a shell.
///
/// For bash: `openrtc completions bash > ~/.local/share/bash-completion/completions/openrtc`; for zsh into a file
/// `_openrtc` in a directory of $fpath; for fish into ~/.config/fish/completions/openrtc.fish.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints them.
pub(crate) fn run(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "openrtc", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
