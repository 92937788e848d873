//! `openrtc keygen`: a key pair for membership, audit and certificates.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use openrtc_core::membership::{KeyId, SigningKey, VerifyingKey};
use openrtc_runtime::write_key_pair;

/// Make a key pair: FILE, which only its owner may read, and FILE.pub to give away.
///
/// Files that are there are not overwritten, and the secret key is never printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeygenArgs {
    /// Where to write the secret key.
    #[arg(value_name = "FILE")]
    out: PathBuf,
}

/// Makes the pair.
pub(crate) fn run(args: &KeygenArgs) -> anyhow::Result<ExitCode> {
    let (key, public) = make(&args.out)?;
    println!("key {}: secret in {}, public in {}", KeyId::of(&key), args.out.display(), public.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes a new pair; returns the public key and its file.
pub(crate) fn make(out: &Path) -> anyhow::Result<(VerifyingKey, PathBuf)> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice())?;
    let key = SigningKey::from_bytes(&seed);
    let public = write_key_pair(out, &key)?;
    Ok((key.verifying_key(), public))
}
