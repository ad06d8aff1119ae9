//! `natlab stun`, hidden: the STUN server of a lab. Started by natlab itself.

use std::ffi::OsString;
use std::process::ExitCode;

use netns::nat::stun;

use crate::exit::Exit;

/// `stun ADDRESS OTHER-ADDRESS PORT OTHER-PORT`: serves until it is asked to end.
pub(super) fn serve(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Option<Vec<String>> = arguments.map(|word| word.into_string().ok()).collect();
    let parsed = match words.as_deref() {
        Some([address, other, port, other_port]) => {
            let addresses = address.parse().ok().zip(other.parse().ok());
            addresses.zip(port.parse().ok().zip(other_port.parse().ok()))
        }
        _ => None,
    };
    let Some(((address, other), (port, other_port))) = parsed else {
        eprintln!("usage: natlab stun ADDRESS OTHER-ADDRESS PORT OTHER-PORT");
        return Exit::CommandLine.into();
    };
    match stun::serve_forever([address, other], [port, other_port]) {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Unfit.into()
        }
    }
}
