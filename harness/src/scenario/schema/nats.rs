//! The schema of `nat`: a preset's name, or a map of axes.

use std::borrow::Cow;

use netns::nat::{Allocation, Filtering, Mapping, Nat, Preset};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Time, form};

/// The NAT of a router: a preset that is changed, or mapping and filtering and what else is not as usual.
#[derive(JsonSchema)]
#[schemars(rename = "Nat", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend(
    "anyOf" = [{ "required": ["preset"] }, { "required": ["mapping", "filtering"] }],
    "if" = { "required": ["preset"], "properties": { "preset": { "const": "open" } } },
    "then" = { "propertyNames": { "enum": ["preset", "family"] } },
))]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
pub(super) struct NatFile {
    /// The preset to start from.
    preset: Option<NatName>,
    /// When two flows of one inside socket share an outside port.
    mapping: Option<MappingName>,
    /// Who may send to an outside port.
    filtering: Option<FilteringName>,
    /// How the outside port of a new mapping is chosen. Left out: the preset's; without one preserved where mapping is
    /// endpoint-independent, else random.
    allocation: Option<AllocationValue>,
    /// How long a UDP mapping lives after its last packet. Left out: 120s.
    timeout: Option<Time>,
    /// Whether inbound packets keep a mapping alive, too. Left out: no.
    inbound_refresh: Option<Switch>,
    /// What becomes of packets from inside to the own outside address. Left out: external.
    hairpin: Option<HairpinName>,
    /// How refused packets end. Left out: silent.
    on_drop: Option<OnDropName>,
    /// How many outside addresses there are. Left out: one.
    #[schemars(range(min = 1, max = 255))]
    addresses: Option<u8>,
    /// Whether all mappings of an inside address share one outside address. Left out: paired.
    pooling: Option<PoolingName>,
    /// The address families. Left out: ipv4.
    family: Option<FamilyName>,
}

/// Blocks of ports, one for each inside address.
#[derive(JsonSchema)]
#[schemars(rename = "Blocks", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
struct BlocksFile {
    /// Ports of a block.
    blocks: BlockSize,
    /// Whether an inside address gets its block with its first packet. Left out: every one has one from the start.
    on_demand: Option<Switch>,
}

/// A preset's name or a map.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
pub(super) enum NatValue {
    Preset(NatName),
    Map(NatFile),
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used; the checker walks the file's own tree")]
enum AllocationValue {
    Word(AllocationName),
    Blocks(BlocksFile),
}

/// The same where there must be a router.
pub(super) struct RouterNat;

impl JsonSchema for RouterNat {
    fn schema_name() -> Cow<'static, str> {
        "RouterNat".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = NatValue::json_schema(generator);
        let open = Preset::Open.name();
        let is_open =
            serde_json::json!({ "required": ["preset"], "properties": { "preset": { "const": open } } });
        let is_open = serde_json::json!([{ "const": open }, { "type": "object", "allOf": [is_open] }]);
        schema.insert("not".to_owned(), serde_json::json!({ "anyOf": is_open }));
        schema
    }
}

/// The values of an axis of the matrix.
pub(super) struct Axis;

impl JsonSchema for Axis {
    fn schema_name() -> Cow<'static, str> {
        "Axis".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = NatValue::json_schema(generator);
        json_schema!({ "type": "array", "items": items, "minItems": 1, "uniqueItems": true })
    }
}

form!(NatName, {
    let aliases = Preset::ALIASES.into_iter().map(|(alias, _)| alias);
    let names: Vec<&str> = Preset::ALL.into_iter().map(Preset::name).chain(aliases).collect();
    json_schema!({ "type": "string", "enum": names })
});
form!(MappingName, {
    use Mapping::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    let names = [EndpointIndependent, AddressDependent, AddressAndPortDependent].map(Mapping::name);
    json_schema!({ "type": "string", "enum": names })
});
form!(FilteringName, {
    use Filtering::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    let names = [EndpointIndependent, AddressDependent, AddressAndPortDependent].map(Filtering::name);
    json_schema!({ "type": "string", "enum": names })
});
form!(AllocationName, json_schema!({ "type": "string", "enum": ["preserve", "random", "sequential"] }));
form!(BlockSize, {
    let blocks = |size| {
        Preset::Cgnat
            .nat()
            .map(|cgnat| Nat { allocation: Allocation::Blocks { size, on_demand: true }, ..cgnat })
    };
    let is_possible = |size: &u16| blocks(*size).is_some_and(|nat| nat.check().is_ok());
    let sizes: Vec<u16> = (0..=15).map(|bits| 1 << bits).filter(is_possible).collect();
    json_schema!({ "type": "integer", "enum": sizes })
});
form!(Switch, json_schema!({ "enum": [true, false, "on", "off"] }));
// YAML 1.1 takes `off` for false.
form!(HairpinName, json_schema!({ "enum": ["off", "external", "internal", false] }));
form!(OnDropName, json_schema!({ "type": "string", "enum": ["silent", "reject"] }));
form!(PoolingName, json_schema!({ "type": "string", "enum": ["paired", "arbitrary"] }));
form!(FamilyName, json_schema!({ "type": "string", "enum": ["ipv4", "ipv6", "dual"] }));
