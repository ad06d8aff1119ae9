//! The ICE agent of the library: how it is set up, and how it is listened to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use webrtc::ice;
use webrtc::ice::agent::agent_config::AgentConfig;
use webrtc::ice::mdns::MulticastDnsMode;
use webrtc::ice::network_type::NetworkType;
use webrtc::ice::state::ConnectionState as State;
use webrtc::ice::udp_network::UDPNetwork;

use super::socket::{OneSocket, Socket};
use super::{Happening, Settings, disguise};
use crate::peer::control::Role;
use crate::peer::control::event::IceState;

/// Time between two rounds of connectivity checks; RFC 8445 section 14.2 allows 5 ms. It also passes between the first
/// good check and the nomination, and the library's default of 200 ms would be most of the time to connect.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// As many checks as patience allows: by default a pair is given up after 8, and for good.
const MAX_CHECKS: u16 = u16::MAX;

/// Longest time between two refreshes of consent.
const KEEPALIVE: Duration = Duration::from_millis(500);

/// How the library is to behave.
pub(super) fn ice_config(role: Role, settings: &Settings, socket: &Arc<Socket>) -> AgentConfig {
    let base = socket.bases()[0].ip();
    let none = Some(Duration::ZERO);
    AgentConfig {
        udp_network: UDPNetwork::Muxed(Arc::new(OneSocket(Arc::clone(socket)))),
        network_types: vec![if base.is_ipv4() { NetworkType::Udp4 } else { NetworkType::Udp6 }],
        ip_filter: Arc::new(Some(Box::new(move |ip| ip == base))),
        include_loopback: base.is_loopback(),
        multicast_dns_mode: MulticastDnsMode::Disabled,
        is_controlling: role == Role::Offer,
        // Their sum is how long the agent looks for a path; apart they tell a path in trouble from a lost one.
        disconnected_timeout: Some(settings.patience * 2 / 5),
        failed_timeout: Some(settings.patience * 3 / 5),
        keepalive_interval: Some(KEEPALIVE.min(settings.patience / 10)),
        check_interval: CHECK_INTERVAL,
        max_binding_requests: Some(MAX_CHECKS),
        host_acceptance_min_wait: none,
        srflx_acceptance_min_wait: none,
        prflx_acceptance_min_wait: none,
        relay_acceptance_min_wait: none,
        ..AgentConfig::default()
    }
}

/// Tells of the library's states and of the pairs that it selects.
pub(super) fn watch_state(
    ice: &ice::agent::Agent,
    socket: &Arc<Socket>,
    happenings: &mpsc::UnboundedSender<Happening>,
) -> watch::Receiver<State> {
    let (state, watched) = watch::channel(State::New);
    let (socket_of_states, tell_state) = (Arc::clone(socket), happenings.clone());
    ice.on_connection_state_change(Box::new(move |new| {
        if new == State::Failed {
            socket_of_states.checks().fail();
        }
        let _ = tell_state.send(Happening::Ice(ice_state(new)));
        state.send_replace(new);
        Box::pin(async {})
    }));
    let (socket, tell) = (Arc::clone(socket), happenings.clone());
    ice.on_selected_candidate_pair_change(Box::new(move |_, remote| {
        let mut checks = socket.checks();
        checks.select(disguise::real(remote.addr()));
        if let Some((local, remote)) = checks.selected() {
            let _ = tell.send(Happening::Selected { local, remote });
        }
        Box::pin(async {})
    }));
    watched
}

fn ice_state(state: State) -> IceState {
    match state {
        State::Checking => IceState::Checking,
        State::Connected => IceState::Connected,
        State::Completed => IceState::Completed,
        State::Disconnected => IceState::Disconnected,
        State::Failed => IceState::Failed,
        State::Closed => IceState::Closed,
        State::New | State::Unspecified => IceState::New,
    }
}
