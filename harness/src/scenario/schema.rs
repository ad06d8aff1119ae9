//! The JSON schema of a scenario file, for editors. It says what a schema can say; [`super::load`] says the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use netns::nat::Preset;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::units::{DURATION_PATTERN, SIZE_PATTERN};

/// The schema, as it stands in `harness/schema/scenario.schema.json` (draft-07, which every editor reads).
pub fn json_schema() -> Result<String, serde_json::Error> {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(left_out_is_not_null));
    let schema = settings.into_generator().into_root_schema_for::<ScenarioFile>();
    let mut text = serde_json::to_string_pretty(&schema)?;
    text.push('\n');
    Ok(text)
}

/// A key may be left out, which is not to say that it may be empty.
fn left_out_is_not_null(schema: &mut Schema) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|name| name != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                property.insert("type".to_owned(), one);
            }
        }
        if let Some(Value::Array(words)) = property.get_mut("enum") {
            words.retain(|word| !word.is_null());
        }
        if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        }
    }
}

/// A natlab scenario: who stands behind which NAT, what they send each other, and what is expected of them.
#[derive(JsonSchema)]
#[schemars(rename = "Scenario", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct ScenarioFile {
    /// Its name, unique among those that run together. Case ids and folders are called by it.
    name: Name,
    /// Why it is there, in a sentence.
    why: Option<Text>,
    /// Words to select it by. Left out: the name of its folder.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    tags: Option<Vec<Name>>,
    /// The peers by name. An empty one has a public address.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    peers: Option<BTreeMap<PeerName, Option<PeerFile>>>,
    /// What is sent: one transfer, or a list of them.
    transfer: Option<OneOrMore<TransferFile>>,
    /// What is varied: PEER.nat and the presets it takes. Every combination is a case.
    #[schemars(extend("minProperties" = 1))]
    matrix: Option<BTreeMap<AxisName, Axis>>,
    /// What is expected, of the only pair of peers or of each pair (`between`). Left out: what RFC 4787 predicts.
    expect: Option<OneOrMore<ExpectFile>>,
    /// How often each case runs. Left out: once.
    #[schemars(range(min = 1, max = 10_000))]
    repeat: Option<u32>,
    /// Where every random draw comes from. Left out: drawn, printed and saved.
    seed: Option<u64>,
    /// How long ICE looks for a path before it gives up. Left out: 5s.
    patience: Option<Time>,
    /// What is broken on purpose, to see the harness fail. Needs --allow-break.
    r#break: Option<BreakFile>,
}

#[derive(JsonSchema)]
#[schemars(rename = "Peer", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct PeerFile {
    /// The NAT of its own router. Left out: none, a public address.
    nat: Option<NatName>,
    /// How long after the start of the case it starts. Left out: at once.
    start: Option<Time>,
}

#[derive(JsonSchema)]
#[schemars(rename = "Transfer", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct TransferFile {
    /// The peer that sends. It also makes the offer.
    from: PeerName,
    /// The peer that receives.
    to: PeerName,
    /// How much: `1 MiB`.
    size: Size,
}

#[derive(JsonSchema)]
#[schemars(rename = "Expect", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct ExpectFile {
    /// The two peers. Needed where more than one pair is connected.
    #[schemars(extend("uniqueItems" = true))]
    between: Option<[PeerName; 2]>,
    /// When both have discovered each other at the latest, from the start of the case. Left out: 5s and their delays.
    discovered_within: Option<Time>,
    /// When they are connected at the latest, from the start of the case. Left out: 10s and their delays.
    connected_within: Option<Time>,
    /// The path between them. Left out: what the oracle says.
    path: Option<PathName>,
    /// Which candidate types may be the most indirect of the four selected. Left out: what the oracle says.
    via: Option<OneOrMore<ViaName>>,
    /// That every file arrives byte for byte. Left out: expected wherever a path is.
    file: Option<FileName>,
    /// Why, in your own words. Printed with the result.
    because: Option<Text>,
}

/// Exactly one of these.
#[derive(JsonSchema)]
#[schemars(rename = "Break", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct BreakFile {
    /// This sender flips one byte after hashing.
    flip_byte: Option<PeerName>,
    /// These peers' routers are built as another preset than declared.
    #[schemars(extend("minProperties" = 1))]
    lie: Option<BTreeMap<PeerName, RouterName>>,
    /// What is killed: `signaling`, `stun` or a peer.
    kill: Option<Name>,
    /// All peers hold their signaling frames back for this long.
    hold_signaling: Option<Time>,
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
enum OneOrMore<T> {
    One(T),
    More(#[schemars(length(min = 1))] Vec<T>),
}

/// A type of the schema that is a string, or a list of strings, of a certain form.
macro_rules! form {
    ($name:ident, $schema:expr) => {
        struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

form!(Text, json_schema!({ "type": "string" }));
form!(Name, json_schema!({ "type": "string", "pattern": "^[a-z][a-z0-9-]{0,63}$" }));
form!(PeerName, json_schema!({ "type": "string", "pattern": "^(?!(signaling|stun)$)[a-z][a-z0-9-]{0,63}$" }));
form!(
    AxisName,
    json_schema!({ "type": "string", "pattern": "^(?!(signaling|stun)\\.)[a-z][a-z0-9-]{0,63}\\.nat$" })
);
form!(Time, json_schema!({ "type": "string", "pattern": DURATION_PATTERN, "examples": ["2s", "250ms"] }));
form!(
    Size,
    json_schema!({ "type": "string", "pattern": SIZE_PATTERN, "examples": ["1 MiB", "64 KiB", "10 MB"] })
);
form!(NatName, json_schema!({ "type": "string", "enum": nat_names(Preset::ALL) }));
form!(RouterName, {
    let routers = Preset::ALL.into_iter().filter(|preset| preset.nat().is_some());
    json_schema!({ "type": "string", "enum": nat_names(routers) })
});
form!(Axis, {
    let names = nat_names(Preset::ALL);
    json_schema!({ "type": "array", "items": { "enum": names }, "minItems": 1, "uniqueItems": true })
});
form!(PathName, json_schema!({ "type": "string", "enum": ["direct", "none"] }));
form!(ViaName, json_schema!({ "type": "string", "enum": ["host", "srflx", "prflx"] }));
form!(FileName, json_schema!({ "type": "string", "enum": ["identical"] }));

fn nat_names(presets: impl IntoIterator<Item = Preset>) -> Vec<&'static str> {
    let aliases = Preset::ALIASES.into_iter().map(|(alias, _)| alias);
    presets.into_iter().map(Preset::name).chain(aliases).collect()
}
