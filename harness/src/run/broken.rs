//! Why a case has no verdict: the lab, not the product, broke.

use std::io;

use nix::errno::Errno;

use super::outcome::Stage;

/// What broke, and where.
#[derive(Debug)]
pub struct Broken {
    /// Where.
    pub stage: Stage,
    /// What, in words.
    pub message: String,
}

impl Broken {
    /// Something of the lab failed with an error of the system: `lab("start a peer")`.
    pub(super) fn lab(what: &str) -> impl FnOnce(io::Error) -> Broken {
        move |error| match error.raw_os_error().map(Errno::from_raw) {
            // A lab meets the same lack, and knows what to do about it.
            Some(Errno::EMFILE | Errno::ENFILE) => {
                netns::Error::System { what: what.to_owned(), source: error }.into()
            }
            _ => Broken { stage: Stage::Lab, message: format!("could not {what}: {error}") },
        }
    }

    pub(super) fn no_node(name: &str) -> Broken {
        Broken { stage: Stage::Lab, message: format!("the lab has no node `{name}`") }
    }
}

impl From<netns::Error> for Broken {
    fn from(error: netns::Error) -> Self {
        Broken { stage: Stage::Lab, message: format!("{error} ({})", error.help()) }
    }
}

/// Does what blocks on a thread where that is no harm.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Broken> {
    joined(tokio::task::spawn_blocking(work).await)
}

pub(super) fn joined<T>(joined: Result<T, tokio::task::JoinError>) -> Result<T, Broken> {
    joined.map_err(|error| Broken { stage: Stage::Lab, message: error.to_string() })
}
