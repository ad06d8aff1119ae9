//! `natlab nat`: what routers are. `certify` builds and judges them, `table` shows the mappings of one.

mod chosen;
mod json;
mod table;

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::{Subcommand, ValueEnum};
use netns::nat::certify::{Broken, Certificate, Verdict, certify};
use netns::sandbox;

use super::Streams;
use crate::exit::Exit;
use crate::run::mappings;
use chosen::{Chosen, Wrong};

/// What routers are: certify them, or see the mappings of one.
#[derive(Debug, Clone, clap::Args)]
pub struct NatArgs {
    #[command(subcommand)]
    verb: NatVerb,
}

#[derive(Debug, Clone, Subcommand)]
enum NatVerb {
    Certify(CertifyArgs),
    Table(TableArgs),
}

/// Build routers and judge each, requirement by requirement, by RFC 4787, 5382, 5508 and 6888 and by its declaration.
///
/// Exit code 1 where a router is not what it is called.
#[derive(Debug, Clone, clap::Args)]
pub struct CertifyArgs {
    /// Presets, or scenario files whose NATs are meant; every preset where nothing is named.
    #[arg(value_name = "PRESET|FILE")]
    pub names: Vec<String>,
    /// How many routers at once; by default twice the number of cores.
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// How certificates are told.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Also tell what was found where a requirement holds, or is violated as named, and why one was not tested.
    #[arg(short, long)]
    pub verbose: bool,
}

/// How certificates are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A row for each requirement, a column for each NAT.
    Table,
    /// Everything, for programs.
    Json,
}

/// Show the mappings of the router in whose node this runs (`natlab shell CASE ROUTER -- natlab nat table`).
#[derive(Debug, Clone, clap::Args)]
pub struct TableArgs {}

/// A NAT by its name, and what it was certified as.
struct Certified {
    name: String,
    certificate: Certificate,
}

/// Does what the second word says.
pub fn nat(args: &NatArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match &args.verb {
        NatVerb::Certify(args) => certify_all(args, streams),
        NatVerb::Table(_) => show_table(streams),
    }
}

/// Outside the sandbox: checks what was asked, then runs itself inside one. Inside: certifies.
fn certify_all(args: &CertifyArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    // Nobody may be reading what is wrong; the exit code tells as well.
    let chosen = match chosen::choose(&args.names, streams.look) {
        Ok(chosen) => chosen,
        Err(Wrong { words, exit }) => {
            let _ = write!(streams.err, "{words}");
            return Ok(exit);
        }
    };
    if !sandbox::is_inside() {
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        return Ok(sandbox::launch(&arguments).map_or_else(
            |error| {
                let _ = writeln!(streams.err, "error: {error}\nhelp: {}", error.help());
                Exit::Unfit
            },
            Exit::Inside,
        ));
    }
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    // Most of a certificate is waiting for timers.
    let jobs = args.jobs.map_or(2 * cores, Into::into);
    let mut certified = Vec::with_capacity(chosen.len());
    let mut exit = Exit::Ok;
    for (name, result) in run(&chosen, jobs, &mut *streams.err) {
        match result {
            Ok(certificate) => certified.push(Certified { name, certificate }),
            Err(error) => {
                let _ =
                    writeln!(streams.err, "error: {name} could not be certified: {error}{}", help(&error));
                exit = Exit::Unfit;
            }
        }
    }
    match args.format {
        Format::Table => write!(streams.out, "{}", table::render(&certified, args.verbose))?,
        Format::Json => writeln!(streams.out, "{:#}", json::render(&certified))?,
    }
    let is_caught = certified.iter().any(|one| !one.certificate.is_as_declared());
    Ok(if exit == Exit::Ok && is_caught { Exit::CaseFailed } else { exit })
}

fn help(error: &Broken) -> String {
    match error {
        Broken::Lab(error) => format!("\nhelp: {}", error.help()),
        _ => "\nhelp: run `natlab doctor`: it checks what a lab needs".to_owned(),
    }
}

/// Certifies several at once, and tells of each as it is done. In the order in which they were chosen.
fn run(
    chosen: &[Chosen],
    jobs: usize,
    progress: &mut dyn io::Write,
) -> Vec<(String, Result<Certificate, Broken>)> {
    let next = Mutex::new(chosen.iter().enumerate());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(chosen.len()) {
            let (next, tell) = (&next, tell.clone());
            scope.spawn(move || {
                loop {
                    let Some((index, one)) = next.lock().ok().and_then(|mut next| next.next()) else {
                        return;
                    };
                    let began = Instant::now();
                    // A thread that panics would be waited for by nobody who could tell of it.
                    let result = std::panic::catch_unwind(AssertUnwindSafe(|| certify(&one.nat)));
                    if tell.send((index, result, began.elapsed())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        let mut done: Vec<Option<Result<Certificate, Broken>>> = chosen.iter().map(|_| None).collect();
        for (index, result, took) in told {
            let result = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let _ = writeln!(progress, "{}", line(&chosen[index].name, &result, took));
            done[index] = Some(result);
        }
        let names = chosen.iter().map(|one| one.name.clone());
        names.zip(done).filter_map(|(name, result)| Some((name, result?))).collect()
    })
}

fn line(name: &str, result: &Result<Certificate, Broken>, took: Duration) -> String {
    let word = match result {
        Ok(certificate) if certificate.is_as_declared() => "certified",
        Ok(_) => "caught",
        Err(_) => "failed",
    };
    let what = result.as_ref().map_or_else(ToString::to_string, |certificate| {
        let of = |is: fn(&Verdict) -> bool| certificate.judged.iter().filter(|one| is(&one.verdict)).count();
        let [conforms, named, violates] = [
            of(|verdict| *verdict == Verdict::Conforms),
            of(|verdict| *verdict == Verdict::ViolatesAsNamed),
            of(|verdict| *verdict == Verdict::Violates),
        ];
        format!("{conforms} conform, {named} violated as named, {violates} violated")
    });
    format!("{word:<9} {:6.1}s  {name}  {what}", took.as_secs_f64())
}

fn show_table(streams: &mut Streams<'_>) -> io::Result<Exit> {
    match mappings::ask() {
        Ok(told) => {
            write!(streams.out, "{told}")?;
            Ok(Exit::Ok)
        }
        Err(_) => {
            let _ = writeln!(
                streams.err,
                "error: this is not inside a router of a lab\nhelp: enter one: natlab shell CASE ROUTER -- natlab nat table"
            );
            Ok(Exit::CommandLine)
        }
    }
}
