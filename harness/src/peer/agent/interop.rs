//! Tests: our agent meets the stock peer connection of webrtc-rs, which speaks what browsers speak.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use webrtc::api::APIBuilder;
use webrtc::api::setting_engine::SettingEngine;
use webrtc::data_channel::RTCDataChannel;
use webrtc::ice::mdns::MulticastDnsMode;
use webrtc::ice::network_type::NetworkType;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::peer_connection::sdp::session_description::RTCSessionDescription;

use super::{Agent, Happening, Message, Settings, Warmth};
use crate::peer::control::event::CandidateType;

#[tokio::test]
async fn our_offer_is_taken_by_a_stock_peer_connection() {
    let stock = stock().await;
    let echo = echo_on_incoming(&stock);
    let (tell, _happenings) = mpsc::unbounded_channel();
    let ours = Agent::offering(&settings().await, tell).await.unwrap();
    let offer = RTCSessionDescription::offer(ours.description()).unwrap();
    stock.set_remote_description(offer).await.unwrap();
    let answer = stock.create_answer(None).await.unwrap();
    let answer = gathered(&stock, answer).await;
    let (_, channel) = tokio::join!(ours.gather(), ours.connect(Some(&answer)));
    assert_echo(&channel.unwrap()).await;
    drop(echo);
}

#[tokio::test]
async fn of_two_families_the_one_that_a_stock_peer_connection_has_will_do() {
    for stock_has in [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()] {
        let stock = stock_at(move |ip| ip == stock_has).await;
        let _echo = echo_on_incoming(&stock);
        let (tell, mut happenings) = mpsc::unbounded_channel();
        let addresses = vec![[127, 0, 0, 1].into(), Ipv6Addr::LOCALHOST.into()];
        let settings = Settings { addresses, ..settings().await };
        let ours = Agent::offering(&settings, tell).await.unwrap();
        let offer = RTCSessionDescription::offer(ours.description()).unwrap();
        stock.set_remote_description(offer).await.unwrap();
        let answer = stock.create_answer(None).await.unwrap();
        let answer = gathered(&stock, answer).await;
        let (_, channel) = tokio::join!(ours.gather(), ours.connect(Some(&answer)));
        assert_echo(&channel.unwrap()).await;
        let selected = std::iter::from_fn(|| happenings.try_recv().ok()).filter_map(|told| match told {
            Happening::Selected { local, remote } => Some((local, remote)),
            _ => None,
        });
        let (local, remote) = selected.last().unwrap();
        assert_eq!([&local.address, &remote.address], [&stock_has.to_string(); 2]);
        assert_eq!(
            [local.kind, remote.kind],
            [CandidateType::Host; 2],
            "everybody was told where checks came from"
        );
    }
}

#[tokio::test]
async fn the_offer_of_a_stock_peer_connection_is_taken_by_us() {
    let stock = stock().await;
    let channel = stock.create_data_channel("theirs", None).await.unwrap();
    echo(&channel);
    let offer = stock.create_offer(None).await.unwrap();
    let offer = gathered(&stock, offer).await;
    let (tell, _happenings) = mpsc::unbounded_channel();
    let ours = Agent::answering(&settings().await, tell, &offer).await.unwrap();
    let answer = RTCSessionDescription::answer(ours.description()).unwrap();
    stock.set_remote_description(answer).await.unwrap();
    let (_, channel) = tokio::join!(ours.gather(), ours.connect(None));
    assert_echo(&channel.unwrap()).await;
}

/// What agents over loopback begin with.
pub(super) async fn settings() -> Settings {
    Settings {
        addresses: vec![[127, 0, 0, 1].into()],
        stun: vec![],
        patience: Duration::from_millis(500),
        sctp_packet_bytes: 0,
        warmth: Warmth::new().await.unwrap(),
    }
}

async fn assert_echo(channel: &super::Channel) {
    channel.send_text("hello".to_owned()).await.unwrap();
    let mut buffer = [0; 100];
    let echoed = channel.receive(&mut buffer).await.unwrap();
    assert!(matches!(echoed, Message::Text(b"hello")));
}

async fn stock() -> RTCPeerConnection {
    stock_at(|ip| ip.is_loopback()).await
}

async fn stock_at(is_its: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> RTCPeerConnection {
    let mut engine = SettingEngine::default();
    engine.set_include_loopback_candidate(true);
    engine.set_ip_filter(Box::new(is_its));
    engine.set_network_types(vec![NetworkType::Udp4, NetworkType::Udp6]);
    engine.set_ice_multicast_dns_mode(MulticastDnsMode::Disabled);
    let api = APIBuilder::new().with_setting_engine(engine).build();
    api.new_peer_connection(Default::default()).await.unwrap()
}

/// Sets the description and gives it once all candidates are in it.
async fn gathered(stock: &RTCPeerConnection, description: RTCSessionDescription) -> String {
    let mut complete = stock.gathering_complete_promise().await;
    stock.set_local_description(description).await.unwrap();
    let _ = complete.recv().await;
    stock.local_description().await.unwrap().sdp
}

fn echo_on_incoming(stock: &RTCPeerConnection) -> mpsc::UnboundedReceiver<Arc<RTCDataChannel>> {
    let (keep, kept) = mpsc::unbounded_channel();
    stock.on_data_channel(Box::new(move |channel| {
        echo(&channel);
        let _ = keep.send(channel);
        Box::pin(async {})
    }));
    kept
}

fn echo(channel: &Arc<RTCDataChannel>) {
    let back = Arc::downgrade(channel);
    channel.on_message(Box::new(move |message| {
        let back = back.clone();
        Box::pin(async move {
            if let Some(back) = back.upgrade() {
                back.send_text(String::from_utf8_lossy(&message.data)).await.unwrap();
            }
        })
    }));
}
