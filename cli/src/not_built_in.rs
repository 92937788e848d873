//! Commands that this build was made without: each says how to get it.

use anyhow::anyhow;

use crate::Usage;

/// A module that stands for a command's own: its arguments, any, and an answer.
macro_rules! not_built_in {
    ($module:ident, $args:ident, $feature:literal, $about:literal) => {
        #[cfg(not(feature = $feature))]
        pub(crate) mod $module {
            #[doc = $about]
            #[derive(clap::Args, Clone, Debug)]
            pub(crate) struct $args {
                #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
                _words: Vec<String>,
            }

            /// Says how to get the command.
            pub(crate) async fn run(_: $args) -> anyhow::Result<std::process::ExitCode> {
                super::how_to_get(stringify!($module), $feature)
            }
        }
    };
}

not_built_in!(
    livekit,
    LivekitArgs,
    "livekit",
    "LiveKit's side of the agent protocol, for development. This build was made without it."
);
not_built_in!(
    lint,
    LintArgs,
    "advise",
    "Find what in deployment files would cut calls. This build was made without it."
);
not_built_in!(
    plan,
    PlanArgs,
    "advise",
    "Say when to roll, how long the drain will take, what a deadline would cut. This build was made without it."
);

pub(crate) fn how_to_get<T>(command: &str, feature: &str) -> anyhow::Result<T> {
    let build = format!("cargo build --release -p openrtc --features {feature}");
    Err(Usage(anyhow!("this openrtc was built without `{command}`: build it with `{build}`")).into())
}
