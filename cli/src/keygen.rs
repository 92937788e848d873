//! `openrtc keygen`: a key pair for membership, audit and certificates.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use openrtc_core::membership::{KeyId, SigningKey};
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
    let key = generate()?;
    let public = write_key_pair(&args.out, &key)?;
    let id = KeyId::of(&key.verifying_key());
    println!("key {id}: secret in {}, public in {}", args.out.display(), public.display());
    Ok(ExitCode::SUCCESS)
}

/// A new secret key.
pub(crate) fn generate() -> anyhow::Result<SigningKey> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice())?;
    Ok(SigningKey::from_bytes(&seed))
}
