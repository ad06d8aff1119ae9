//! The JSON schema of a scenario file, for editors. It says what a schema can say; [`super::load`] says the rest.

mod nats;

use std::borrow::Cow;
use std::collections::BTreeMap;

use nats::{Axis, NatValue, RouterNat};
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
    /// The networks by name: a router each, and the peers and networks behind it.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    networks: Option<BTreeMap<PeerName, Option<NetworkFile>>>,
    /// The peers by name. An empty one has a public address.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    peers: Option<BTreeMap<PeerName, Option<PeerFile>>>,
    /// What is sent: one transfer, or a list of them.
    transfer: Option<OneOrMore<TransferFile>>,
    /// What is varied: PEER.nat or NETWORK.nat and the values it takes. Every combination is a case.
    #[schemars(extend("minProperties" = 1))]
    matrix: Option<BTreeMap<AxisName, Axis>>,
    /// What happens to routers in the middle of a case, one after the other.
    #[schemars(length(min = 1))]
    steps: Option<Vec<StepFile>>,
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
#[schemars(rename = "Network", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct NetworkFile {
    /// The NAT of its router: a preset, or a map. Needed, unless the matrix varies it.
    nat: Option<RouterNat>,
    /// The network that its router is behind. Left out: the internet.
    uplink: Option<PeerName>,
    /// The IPv4 addresses of its inside. Left out: some that nobody else has.
    inside: Option<Range>,
}

#[derive(JsonSchema)]
#[schemars(rename = "Peer", deny_unknown_fields)]
#[schemars(extend("not" = { "required": ["nat", "lan"] }))]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct PeerFile {
    /// The NAT of its own router: a preset, or a map. Left out: none, a public address.
    nat: Option<NatValue>,
    /// The network that it is on, in place of a router of its own.
    lan: Option<PeerName>,
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

/// One thing that happens.
#[derive(JsonSchema)]
#[schemars(rename = "Step", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["forget"] }, { "required": ["log-in"] }]))]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct StepFile {
    /// When: `connected`, a share of the transfer such as 50%, or a time since the step before.
    after: Moment,
    /// The router that reboots: a network, or a peer with a router of its own.
    forget: Option<PeerName>,
    /// The captive portal at which somebody logs in: a network, or a peer with a router of its own.
    log_in: Option<PeerName>,
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
    /// These networks' or peers' routers are built otherwise than declared.
    #[schemars(extend("minProperties" = 1))]
    lie: Option<BTreeMap<PeerName, RouterNat>>,
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
        pub(super) struct $name;

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

use form;

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
form!(
    Moment,
    json_schema!({
        "type": "string",
        "pattern": format!("^connected$|^[1-9][0-9]?%$|{DURATION_PATTERN}"),
        "examples": ["connected", "50%", "5s"]
    })
);
form!(
    Range,
    json_schema!({
        "type": "string",
        "pattern": r"^(\d{1,3}\.){3}\d{1,3}/\d{1,2}$",
        "examples": ["192.168.1.0/24"]
    })
);
form!(PathName, json_schema!({ "type": "string", "enum": ["direct", "lan", "none"] }));
form!(ViaName, json_schema!({ "type": "string", "enum": ["host", "srflx", "prflx"] }));
form!(FileName, json_schema!({ "type": "string", "enum": ["identical"] }));

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::check::check;
    use super::super::file::{Node, ScenarioFile as File, Value as Yaml};
    use super::super::{LoadOptions, load, units};
    use super::*;

    /// A file that is wrong in ways that no schema can tell says so in a comment.
    const SILENT: &str = "# schema: silent\n";

    #[test]
    fn the_schema_judges_like_the_checker() {
        let validator = jsonschema::draft7::new(&schema()).unwrap();
        let mut judged = [0, 0];
        for path in yaml_files(&["../scenarios", "tests/broken", "tests/invalid"]) {
            // What stops the YAML reader stops an editor too.
            let Ok(file) = File::read(&path) else { continue };
            let errors: Vec<String> =
                validator.iter_errors(&json(&file.root)).map(|error| error.to_string()).collect();
            let is_right = load(std::slice::from_ref(&path), LoadOptions { allow_break: true }).is_ok();
            let expected = is_right || file.source.starts_with(SILENT);
            assert_eq!(errors.is_empty(), expected, "{}: {errors:#?}", path.display());
            judged[usize::from(is_right)] += 1;
        }
        assert!(judged[0] > 25 && judged[1] > 14, "{judged:?}");
    }

    #[test]
    fn the_starter_suits_the_schema() {
        let validator = jsonschema::draft7::new(&schema()).unwrap();
        let file =
            File::parse(Path::new("starter"), include_str!("../../templates/starter.yaml").into()).unwrap();
        assert!(validator.is_valid(&json(&file.root)));
    }

    proptest::proptest! {
        #[test]
        fn the_patterns_of_quantities_are_what_the_readers_read(
            text in "[0-9]{0,3}(\\.[0-9]{0,2})? {0,2}(ms|s|min|m|h|B|kB|KB|MB|MiB|mib|GiB| )?",
        ) {
            let agree = |pattern: &str, is_read: bool| {
                let schema = serde_json::json!({ "type": "string", "pattern": pattern });
                let matches = jsonschema::draft7::new(&schema).unwrap().is_valid(&Value::from(text.as_str()));
                assert_eq!(matches, is_read, "{text:?}");
            };
            // Digits finer than the smallest unit are the one thing that a pattern cannot see.
            let too_fine = |error| matches!(error, units::NotAQuantity::TooFine(_));
            agree(DURATION_PATTERN, units::duration(&text).map_or_else(too_fine, |_| true));
            agree(SIZE_PATTERN, units::size(&text).map_or_else(too_fine, |_| true));
        }
    }

    /// Keys of a `nat` map with values that are right and values that are not. None of them is impossible together:
    /// what only `Nat::check` can tell a schema cannot.
    const NAT_KEYS: [(&str, &[&str]); 12] = [
        ("preset", &["open", "symmetric", "cgnat", "udp-blocked", "restricted-cone", "symmetrc"]),
        ("mapping", &["endpoint-independent", "address-dependent", "none"]),
        ("filtering", &["address-and-port-dependent", "7"]),
        (
            "allocation",
            &["random", "{ blocks: 512 }", "{ blocks: 64, on-demand: on }", "{ on-demand: true }", "{}"],
        ),
        ("timeout", &["30s", "1.5 min", "30", "[]"]),
        ("inbound-refresh", &["true", "off", "1", "maybe"]),
        ("hairpin", &["off", "false", "internal", "true"]),
        ("on-drop", &["reject", "true"]),
        ("addresses", &["1", "0", "256", "1.5"]),
        ("pooling", &["arbitrary", "~"]),
        ("family", &["ipv4", "dual", "ipv5"]),
        ("adresses", &["2"]),
    ];

    proptest::proptest! {
        #[test]
        fn the_schema_judges_every_nat_map_like_the_checker(
            picked in proptest::collection::btree_map(0..NAT_KEYS.len(), 0usize..6, 0..5),
            place in 0usize..3,
        ) {
            let entry = |(&key, &value): (&usize, &usize)| {
                let (key, values) = NAT_KEYS[key];
                format!("{key}: {}", values[value % values.len()])
            };
            let nat = picked.iter().map(entry).collect::<Vec<_>>().join(", ");
            let places = [
                format!("peers: {{ a: {{ nat: {{ {nat} }} }}, b: }}"),
                format!("networks: {{ n: {{ nat: {{ {nat} }} }} }}\npeers: {{ a: {{ lan: n }}, b: }}"),
                format!("matrix: {{ a.nat: [{{ {nat} }}, full-cone] }}\npeers: {{ b: }}"),
            ];
            let text = format!("name: some\n{}\nexpect: {{ between: [a, b] }}\n", places[place]);
            let file = File::parse(Path::new("some.yaml"), text.as_str().into()).unwrap();
            let is_valid = VALIDATOR.with(|validator| validator.is_valid(&json(&file.root)));
            proptest::prop_assert_eq!(is_valid, check(&file, false).is_ok(), "{}", text);
        }
    }

    thread_local! {
        static VALIDATOR: jsonschema::Validator = jsonschema::draft7::new(&schema()).unwrap();
    }

    fn schema() -> Value {
        serde_json::from_str(&json_schema().unwrap()).unwrap()
    }

    fn yaml_files(folders: &[&str]) -> Vec<PathBuf> {
        let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
        super::super::read(&folders, LoadOptions::default()).files
    }

    /// The file as an editor's schema validator sees it.
    fn json(node: &Node) -> Value {
        match &node.value {
            Yaml::Null => Value::Null,
            Yaml::Bool(value) => (*value).into(),
            Yaml::Whole(number) => (*number).into(),
            Yaml::Number => (-1.5).into(),
            Yaml::Text(text) => text.as_str().into(),
            Yaml::List(items) => items.iter().map(json).collect(),
            Yaml::Map(entries) => {
                let text = |key: &Node| match &key.value {
                    Yaml::Text(text) => text.clone(),
                    _ => "0".to_owned(),
                };
                entries.iter().map(|(key, value)| (text(key), json(value))).collect()
            }
        }
    }
}
