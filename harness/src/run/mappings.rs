//! The mappings of a router, for whoever asks inside its node: over a socket without a name in the file system, which
//! only that node's network namespace knows.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;

use netns::lab::Lab;

const NAME: &str = "natlab nat table";

fn address() -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(NAME)
}

/// Tells every router's mappings from now on, for as long as this process lives.
pub fn tell(lab: &Arc<Lab>) -> io::Result<()> {
    for node in lab.nodes().filter(|node| lab.router(node.name()).is_some()) {
        let opened = node.within(|| UnixListener::bind_addr(&address()?)).map_err(io::Error::other)?;
        let (listener, lab, name) = (opened?, Arc::clone(lab), node.name().to_owned());
        std::thread::Builder::new().name(name.clone()).spawn(move || {
            for asking in listener.incoming().flatten() {
                let Some(router) = lab.router(&name) else { return };
                let told =
                    router.mappings().map_or_else(|error| format!("error: {error}\n"), |all| all.to_string());
                // Whoever asked may have gone.
                let _ = (&asking).write_all(told.as_bytes());
            }
        })?;
    }
    Ok(())
}

/// Asks the router whose node this process is in.
pub fn ask() -> io::Result<String> {
    let mut told = String::new();
    UnixStream::connect_addr(&address()?)?.read_to_string(&mut told)?;
    Ok(told)
}
