//! The room's rules without sockets or clocks: takeover, coalescing, and the law that everybody's last list is right.

use proptest::prelude::*;

use super::*;

const ALICE: Connection = Connection(1);
const BOB: Connection = Connection(2);
const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_late_close_of_the_old_socket_never_removes_the_new_one() {
    let mut room = room();
    let now = Instant::now();
    register(&mut room, ALICE, "alice", now).unwrap();
    let newer = Connection(3);
    let outputs = register(&mut room, newer, "alice", now).unwrap();
    assert_eq!(outputs, [Output::Replaced(ALICE), Output::List(newer)]);
    assert_eq!(room.leave(ALICE, now), []);
    assert!(room.is_registered(newer));
    assert!(!room.is_registered(ALICE));
    assert_eq!(room.receive(ALICE, &frame(r#"{"type":"x","to":"alice"}"#), now), Err(Mistake::NotRegistered));
}

#[test]
fn a_takeover_is_no_news_to_the_others() {
    let mut room = room();
    let now = Instant::now();
    register(&mut room, ALICE, "alice", now).unwrap();
    register(&mut room, BOB, "bob", now).unwrap();
    let later = now + 10 * room.window;
    room.tick(later);
    let outputs = register(&mut room, Connection(3), "alice", later + (later - now)).unwrap();
    assert_eq!(outputs, [Output::Replaced(ALICE), Output::List(Connection(3))]);
    assert_eq!(room.due(), None);
}

#[test]
fn a_lone_change_is_told_at_once_and_a_burst_once_at_the_end_of_its_window() {
    let mut room = room();
    let start = Instant::now();
    register(&mut room, ALICE, "alice", start).unwrap();
    let quiet = start + 10 * room.window;
    let outputs = register(&mut room, BOB, "bob", quiet).unwrap();
    assert_eq!(outputs, [Output::List(BOB), Output::List(ALICE)]);

    for (number, delay) in (10..20).zip(1..) {
        let newcomer = Connection(number);
        let outputs = register(&mut room, newcomer, &format!("peer {number}"), quiet + delay * MILLISECOND);
        assert_eq!(outputs.unwrap(), [Output::List(newcomer)]);
    }
    assert_eq!(room.due(), Some(quiet + room.window));
    assert_eq!(room.tick(quiet + room.window - MILLISECOND), []);
    let told = room.tick(quiet + room.window);
    assert_eq!(told.len(), 11, "all but the last newcomer, whose list was complete: {told:?}");
    assert_eq!(room.due(), None);
}

#[test]
fn a_join_wave_of_n_costs_each_peer_one_list_a_window() {
    let mut room = room();
    let start = Instant::now();
    let mut lists = 0;
    for number in 0..800_u32 {
        let now = start + number * MILLISECOND;
        let connection = Connection(u64::from(number));
        lists += room.tick(now).len();
        lists += register(&mut room, connection, &format!("peer {number}"), now).unwrap().len();
    }
    lists += room.tick(room.due().unwrap()).len();
    // Ten windows of 75 ms and the first and last change: a naive server sends 320,000.
    assert!(lists <= 800 + 12 * 800, "{lists} lists");
}

#[test]
fn a_list_is_no_longer_than_its_limit() {
    let mut room = Room::new(&Limits { list: 3 * r#""peer 0","#.len(), ..Limits::default() });
    let now = Instant::now();
    for number in 0..3 {
        register(&mut room, Connection(number), &format!("peer {number}"), now).unwrap();
    }
    assert_eq!(register(&mut room, Connection(3), "peer 3", now), Err(Mistake::RoomFull));
    assert!(register(&mut room, Connection(4), "peer 0", now).is_ok(), "a takeover needs no more room");
    room.leave(Connection(1), now);
    assert!(register(&mut room, Connection(3), "peer 3", now).is_ok());
}

#[derive(Debug, Clone)]
enum Step {
    Register(u64, u8),
    Leave(u64),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..12_u64, 0..6_u8).prop_map(|(connection, id)| Step::Register(connection, id)),
        1 => (0..12_u64).prop_map(Step::Leave),
        2 => (0..100_u32).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn everybodys_last_list_is_everybody_else(steps in steps()) {
        let mut room = room();
        let mut now = Instant::now();
        let mut owner: BTreeMap<u8, u64> = BTreeMap::new();
        let mut lists: HashMap<Connection, String> = HashMap::new();
        for step in steps {
            let outputs = match step {
                Step::Register(connection, id) => {
                    let holds = owner.iter().find(|(_, of)| **of == connection).map(|(id, _)| *id);
                    let result = register(&mut room, Connection(connection), &id.to_string(), now);
                    prop_assert_eq!(result.is_err(), holds.is_some_and(|own| own != id));
                    if result.is_ok() {
                        owner.insert(id, connection);
                    }
                    result.unwrap_or_default()
                }
                Step::Leave(connection) => {
                    owner.retain(|_, of| *of != connection);
                    room.leave(Connection(connection), now)
                }
                Step::Wait(milliseconds) => {
                    now += milliseconds * MILLISECOND;
                    room.tick(now)
                }
            };
            deliver(&mut room, outputs, &mut lists);
        }
        let outputs = room.due().map_or_else(Vec::new, |due| room.tick(due));
        deliver(&mut room, outputs, &mut lists);

        prop_assert_eq!(room.connections.len(), owner.len());
        prop_assert_eq!(room.length, 4 * owner.len());
        for (own, connection) in &owner {
            let others: Vec<String> = owner.keys().filter(|id| *id != own).map(u8::to_string).collect();
            let expected = serde_json::json!({ "type": "peers", "peers": others }).to_string();
            prop_assert_eq!(lists.get(&Connection(*connection)), Some(&expected));
        }
    }
}

fn room() -> Room {
    Room::new(&Limits::default())
}

fn frame(text: &str) -> Envelope<'_> {
    Envelope::parse(text).unwrap()
}

fn register(room: &mut Room, connection: Connection, id: &str, now: Instant) -> Result<Vec<Output>, Mistake> {
    let text = serde_json::json!({ "type": "register", "clientId": id }).to_string();
    room.receive(connection, &frame(&text), now)
}

fn deliver(room: &mut Room, outputs: Vec<Output>, lists: &mut HashMap<Connection, String>) {
    for output in outputs {
        if let Output::List(connection) = output {
            lists.insert(connection, room.list(connection).unwrap());
        }
    }
}
