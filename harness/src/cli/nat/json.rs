//! Certificates for programs.

use netns::nat::certify::{Judged, Verdict};
use serde::Serialize;
use serde_json::{Value, json};

use super::Certified;

const SCHEMA_VERSION: u32 = 1;

/// One requirement, judged.
#[derive(Serialize)]
struct Row<'a> {
    source: &'static str,
    requirement: String,
    title: &'static str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    found: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'static str>,
}

pub(super) fn render(certified: &[Certified]) -> Value {
    let nats = certified.iter().map(|one| {
        let rows: Vec<Row<'_>> = one.certificate.judged.iter().map(row).collect();
        json!({
            "name": one.name,
            "as_declared": one.certificate.is_as_declared(),
            "requirements": rows,
        })
    });
    json!({ "schema_version": SCHEMA_VERSION, "nats": nats.collect::<Vec<_>>() })
}

fn row(judged: &Judged) -> Row<'_> {
    Row {
        source: judged.requirement.source.name(),
        requirement: judged.requirement.name(),
        title: judged.requirement.title,
        verdict: match judged.verdict {
            Verdict::Conforms => "conforms",
            Verdict::ViolatesAsNamed => "violates-as-named",
            Verdict::Violates => "violates",
            Verdict::NotApplicable(_) => "not-applicable",
            Verdict::NotTested(_) => "not-tested",
        },
        found: &judged.found,
        because: judged.verdict.reason(),
    }
}
