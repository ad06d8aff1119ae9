//! `natlab schema`: the JSON schema of a scenario file, for editors.

use std::io;

use super::Streams;
use crate::exit::Exit;
use crate::scenario::json_schema;

/// Print the JSON schema of a scenario file.
#[derive(Debug, Clone, clap::Args)]
pub struct SchemaArgs {}

/// Prints the schema that is checked in as `harness/schema/scenario.schema.json`.
pub fn schema(_: &SchemaArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    streams.out.write_all(json_schema().map_err(io::Error::other)?.as_bytes())?;
    Ok(Exit::Ok)
}
