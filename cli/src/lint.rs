//! `openrtc lint`: what in deployment files would cut calls.

use std::fs::File as Open;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use openrtc_advise::lint::{self, Cloud, File, Finding, Options, Severity};
use openrtc_runtime::{Exit, parse_duration};

use crate::Usage;

/// No file is longer, in bytes.
const FILE_MAX: u64 = 8 << 20;

/// No folder has more files.
const FILES_MAX: usize = 10_000;

/// Find what in deployment files would cut calls: deadlines that do not fit, known traps, limits of platforms.
///
/// It reads Kubernetes manifests (rendered: `helm template … | openrtc lint -`), systemd units, compose files,
/// Dockerfiles, env files, HAProxy and nginx, fly.toml, render.yaml and ECS task definitions. A comment allows a
/// finding where it stands: `# openrtc-lint: allow ORT-K014 the reason`.
///
/// Exit codes: 0 if nothing was found that is an error; 1 if something was, or with --strict a warning; 2 for bad usage
/// and for files that cannot be read.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct LintArgs {
    /// Files or folders; - reads Kubernetes manifests from standard input.
    #[arg(required_unless_present = "rules", value_name = "FILES")]
    files: Vec<PathBuf>,
    /// How long the workers' drain takes, if their settings do not say it, e.g. 1h.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    drain: Option<Duration>,
    /// The longest call that is expected.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    longest_call: Option<Duration>,
    /// The worker among what the files start: the name of its workload, container, service or unit. Repeat it for
    /// several.
    #[arg(long, value_name = "NAME")]
    worker: Vec<String>,
    /// The cloud that it is for.
    #[arg(long, value_name = "CLOUD")]
    target: Option<Target>,
    /// Exit with 1 for warnings as well.
    #[arg(long)]
    strict: bool,
    /// Leave out hints.
    #[arg(long)]
    no_hints: bool,
    /// Print JSON: one object per finding.
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// Print SARIF 2.1.0, for code review.
    #[arg(long)]
    sarif: bool,
    /// Print all rules as a Markdown table.
    #[arg(long)]
    rules: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    Gke,
    Eks,
    Aks,
    Oke,
}

impl From<Target> for Cloud {
    fn from(target: Target) -> Self {
        match target {
            Target::Gke => Self::Gke,
            Target::Eks => Self::Eks,
            Target::Aks => Self::Aks,
            Target::Oke => Self::Oke,
        }
    }
}

/// Reads, judges, and says.
#[expect(clippy::unused_async, reason = "as the command of a build without it")]
pub(crate) async fn run(args: LintArgs) -> anyhow::Result<ExitCode> {
    if args.rules {
        print!("{}", lint::catalogue());
        return Ok(ExitCode::SUCCESS);
    }
    let mut files = Vec::new();
    for path in &args.files {
        read(path, true, &mut files).map_err(Usage)?;
    }
    let options = Options {
        drain: args.drain,
        longest_call: args.longest_call,
        workers: args.worker.clone(),
        target: args.target.map(Into::into),
    };
    let mut findings = lint::lint(&files, &options);
    findings.retain(|finding| !(args.no_hints && finding.severity == Severity::Hint));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else if args.sarif {
        println!("{}", serde_json::to_string_pretty(&lint::sarif(&findings))?);
    } else {
        print!("{}", findings.iter().map(Finding::text).collect::<String>());
        println!("{}", summary(&findings, files.len()));
    }
    let least = if args.strict { Severity::Warning } else { Severity::Error };
    let fails = findings.iter().any(|finding| finding.allowed.is_none() && finding.severity >= least);
    Ok(if fails { Exit::FAILURE.into() } else { ExitCode::SUCCESS })
}

fn summary(findings: &[Finding], files: usize) -> String {
    let count = |severity| findings.iter().filter(|it| it.allowed.is_none() && it.severity == severity).count();
    let allowed = findings.iter().filter(|finding| finding.allowed.is_some()).count();
    let [errors, warnings, hints] = [Severity::Error, Severity::Warning, Severity::Hint].map(count);
    format!("{files} files: {errors} errors, {warnings} warnings, {hints} hints, {allowed} allowed")
}

/// Reads a file, or every file of a folder that has the name of a known kind. Links are not followed within folders.
fn read(path: &Path, is_named: bool, files: &mut Vec<File>) -> anyhow::Result<()> {
    if path == Path::new("-") {
        files.push(File { path: "stdin.yaml".into(), text: text(stdin()).context("standard input")? });
        return Ok(());
    }
    let about = || path.display().to_string();
    if path.is_dir() {
        let mut entries: Vec<_> = path.read_dir().and_then(Iterator::collect).with_context(about)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().with_context(about)?;
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            if kind.is_dir() && !is_hidden || kind.is_file() && lint::is_known(&entry.file_name().to_string_lossy()) {
                read(&entry.path(), false, files)?;
            }
        }
        return Ok(());
    }
    if files.len() == FILES_MAX {
        bail!("there are more than {FILES_MAX} files: name a folder below");
    }
    match Open::open(path).map_err(Into::into).and_then(text) {
        Ok(text) => files.push(File { path: about(), text }),
        // What nobody named may be anything.
        Err(_) if !is_named => {}
        Err(error) => return Err(error.context(about())),
    }
    Ok(())
}

fn text(input: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    input.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(anyhow!("it is longer than 8 MiB"));
    }
    Ok(text)
}
