//! `natlab stun`, hidden: the STUN server of a lab. Started by natlab itself.

use std::ffi::OsString;
use std::net::IpAddr;
use std::process::ExitCode;

use netns::nat::stun;

use crate::exit::Exit;

const USAGE: &str = "usage: natlab stun ADDRESS OTHER-ADDRESS [ADDRESS OTHER-ADDRESS] PORT OTHER-PORT";

/// `stun ADDRESS OTHER-ADDRESS [ADDRESS OTHER-ADDRESS] PORT OTHER-PORT`, two addresses for each family: serves until it
/// is asked to end.
pub(super) fn serve(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Option<Vec<String>> = arguments.map(|word| word.into_string().ok()).collect();
    let Some((ports, pairs)) = words.as_deref().and_then(parse) else {
        eprintln!("{USAGE}");
        return Exit::CommandLine.into();
    };
    match stun::serve_forever(&pairs, ports) {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Unfit.into()
        }
    }
}

fn parse(words: &[String]) -> Option<([u16; 2], Vec<[IpAddr; 2]>)> {
    let (addresses, ports) = words.split_last_chunk::<2>()?;
    let (pairs, rest) = addresses.as_chunks::<2>();
    if !rest.is_empty() || pairs.is_empty() {
        return None;
    }
    let ports = [ports[0].parse().ok()?, ports[1].parse().ok()?];
    let pairs = pairs.iter().map(|[here, there]| Some([here.parse().ok()?, there.parse().ok()?]));
    Some((ports, pairs.collect::<Option<_>>()?))
}
