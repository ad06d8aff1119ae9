//! Every router is measured before it is used: alone, from directly behind it, and every peer through all its layers.
//! Then all of them are rebooted, so that the case starts on virgin ones.

mod ipv6;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use netns::lab::{Drops, Lab, Router};
use netns::nat::probe::{self, Declared, Found, Questions};
use netns::nat::{Allocation, Egress, Hairpin, Translation};
use tokio::time::Instant;

use super::CaseRun;
use crate::plan;
use crate::run::broken::{Broken, joined};
use crate::run::event::LabEvent;
use crate::run::outcome::Stage;
use crate::run::standing::{self, SIGNALING_PORTS, STUN_PORTS, Standing};
use crate::scenario::{Case, CasePeer, CaseRouter};
use ipv6::Ipv6Access;

/// What one measurement came to.
struct Finding {
    /// The peer, or the router that was measured alone.
    of: String,
    declared: String,
    /// What was found, in words.
    measured: String,
    /// The address that the world sees.
    outside: Option<String>,
    mismatch: Option<String>,
    /// The addresses of the outermost router that translates, where there are several.
    pool: Vec<String>,
}

impl CaseRun {
    /// Measures what every router is and what every peer is behind, and reboots all routers.
    pub(super) async fn measure(&mut self, standing: &Standing) -> Result<(), Broken> {
        let began = Instant::now();
        let survey = Arc::new(Survey::of(&self.case, standing)?);
        // What shares a router is measured one after the other: the drops of all of it are counted together.
        let trees = self.case.routers.iter().filter(|router| router.uplink.is_none());
        let trees = trees.map(|router| Some(router.name.clone())).chain([None]);
        let measuring: Vec<_> = trees
            .map(|tree| {
                let survey = Arc::clone(&survey);
                tokio::task::spawn_blocking(move || survey.measure_tree(tree.as_deref()))
            })
            .collect();
        let mut mismatch = None;
        for tree in measuring {
            for finding in joined(tree.await)?? {
                mismatch = mismatch.or(finding.mismatch);
                let Finding { declared, measured, outside, pool, .. } = finding;
                let event = LabEvent::Measured { declared, measured, outside, pool };
                self.journal.lab(&finding.of, event);
            }
        }
        self.measure = began.elapsed();
        mismatch.map_or(Ok(()), |message| Err(Broken { stage: Stage::Nat, message }))
    }
}

fn outside(found: &Found) -> Option<String> {
    found.udp.as_ref().map(|udp| udp.mapped.ip().to_string())
}

/// What is needed to measure.
struct Survey {
    case: Case,
    lab: Arc<Lab>,
    stun: SocketAddrV4,
    /// Where the lab has IPv6.
    stun_v6: Option<SocketAddr>,
    tcp: Vec<SocketAddr>,
}

impl Survey {
    fn of(case: &Case, standing: &Standing) -> Result<Survey, Broken> {
        let v4 = |name: &str| {
            let node = standing::node(&standing.lab, name)?;
            node.addresses().first().copied().ok_or_else(|| Broken::no_node(name))
        };
        let signaling = v4(plan::SIGNALING)?;
        Ok(Survey {
            case: case.clone(),
            lab: Arc::clone(&standing.lab),
            stun: SocketAddrV4::new(v4(plan::STUN)?, STUN_PORTS[0]),
            stun_v6: standing.stun_v6(),
            tcp: SIGNALING_PORTS.map(|port| SocketAddr::from((signaling, port))).into(),
        })
    }

    /// Everything behind one outermost router; without one, all public peers.
    fn measure_tree(&self, outermost: Option<&str>) -> Result<Vec<Finding>, Broken> {
        let routers: Vec<&CaseRouter> =
            self.case.routers.iter().filter(|router| self.outermost(router) == outermost).collect();
        let mut findings = Vec::new();
        for router in &routers {
            findings.extend(self.measure_router(router)?);
        }
        for peer in &self.case.peers {
            let layers = self.case.routers_of(peer);
            if layers.last().map(|router| router.name.as_str()) == outermost {
                findings.extend(self.measure_peer(peer, &layers)?);
            }
        }
        for router in &routers {
            self.router(&router.name)?.reboot()?;
        }
        Ok(findings)
    }

    fn outermost<'c>(&'c self, router: &'c CaseRouter) -> Option<&'c str> {
        let up = |router: &&'c CaseRouter| {
            let uplink = router.uplink.as_ref()?;
            self.case.routers.iter().find(|known| known.name == *uplink)
        };
        std::iter::successors(Some(router), up).last().map(|router| router.name.as_str())
    }

    /// A router alone: from a host directly behind it, towards a server directly in front of it. A portal is measured
    /// closed, and left open.
    fn measure_router(&self, router: &CaseRouter) -> Result<Vec<Finding>, Broken> {
        let place = plan::place_behind(&self.case, &router.name);
        let server = match &router.uplink {
            None => Some(self.stun),
            Some(uplink) => {
                self.address(&plan::stun_inside(uplink))?.map(|ip| SocketAddrV4::new(ip, STUN_PORTS[0]))
            }
        };
        let (Some(from), Some(server)) = (self.address(&place)?, server) else {
            return Ok(Vec::new());
        };
        let tcp = if router.uplink.is_none() { self.tcp.clone() } else { Vec::new() };
        let mut findings = Vec::new();
        let mut declared = Declared::through([router.nat]);
        if router.nat.egress == Egress::Portal {
            let questions = Questions { tcp, ..Questions::default() };
            findings.push(self.ask(
                &router.name,
                &router.label,
                &place,
                from,
                server,
                &[router],
                &declared,
                &questions,
            )?);
            self.router(&router.name)?.log_in()?;
            declared = declared.logged_in();
        }
        // Where a peer has nothing but this router before it, measuring the peer is the same.
        let is_a_peers = self.case.peers.iter().any(|peer| peer.name == place) && router.uplink.is_none();
        if !is_a_peers {
            let questions = self.questions(&[router], router.uplink.is_none());
            findings.push(self.ask(
                &router.name,
                &router.label,
                &place,
                from,
                server,
                &[router],
                &declared,
                &questions,
            )?);
        }
        Ok(findings)
    }

    fn measure_peer(&self, peer: &CasePeer, layers: &[&CaseRouter]) -> Result<Option<Finding>, Broken> {
        let declared = Declared::through(layers.iter().map(|router| router.nat)).logged_in();
        let labels: Vec<&str> = layers.iter().map(|router| router.label.as_str()).collect();
        let label = if labels.is_empty() { peer.nat.label.clone() } else { labels.join(" behind ") };
        let ipv4 = match self.address(&peer.name)? {
            Some(from) => {
                let questions = self.questions(layers, true);
                let place = &peer.name;
                Some(self.ask(&peer.name, &label, place, from, self.stun, layers, &declared, &questions)?)
            }
            None => None,
        };
        let Some((words, mismatch)) = self.measure_ipv6(peer, &label, layers, &declared)? else {
            return Ok(ipv4);
        };
        let finding = ipv4.map_or_else(
            || Finding {
                of: peer.name.clone(),
                declared: label,
                measured: words.to_owned(),
                outside: None,
                mismatch: mismatch.clone(),
                pool: Vec::new(),
            },
            |ipv4| Finding {
                measured: format!("{}, {words}", ipv4.measured),
                mismatch: ipv4.mismatch.or(mismatch.clone()),
                ..ipv4
            },
        );
        Ok(Some(finding))
    }

    /// What IPv6 meets, in words, and how that is not what was declared; `None` where a peer has no IPv6.
    fn measure_ipv6(
        &self,
        peer: &CasePeer,
        label: &str,
        layers: &[&CaseRouter],
        declared: &Declared,
    ) -> Result<Option<(&'static str, Option<String>)>, Broken> {
        let node = standing::node(&self.lab, &peer.name)?;
        let (Some(&own), Some(server)) = (node.addresses_v6().first(), self.stun_v6) else { return Ok(None) };
        let routers = layers.iter().map(|router| self.router(&router.name)).collect::<Result<Vec<_>, _>>()?;
        let mut drops = || {
            let drops = routers.iter().map(|router| router.drops()).sum::<Result<Drops, _>>();
            drops.map_err(io::Error::other)
        };
        let found = node.within(|| ipv6::measure(own, server, &mut drops))?;
        let found = found.map_err(|error| Broken {
            stage: Stage::Nat,
            message: format!("the IPv6 of {label} of {} could not be measured: {error}", peer.name),
        })?;
        let meant = match declared.passes_udp() {
            true => Ipv6Access::Untranslated { filtered: !layers.is_empty() },
            false => Ipv6Access::Refused,
        };
        let mismatch = (found != meant).then(|| {
            let (name, meant, found) = (&peer.name, meant.words(), found.words());
            format!("{label} of {name} is not what it is called: declared {meant}, measured {found}")
        });
        Ok(Some((found.words(), mismatch)))
    }

    /// How ports are chosen and what becomes of hairpins is asked where it is more than what every preset has.
    fn questions(&self, layers: &[&CaseRouter], towards_servers: bool) -> Questions {
        let is_any = |is: fn(&CaseRouter) -> bool| layers.iter().any(|router| is(router));
        let shares_a_router = layers.iter().any(|router| {
            let behind =
                |peer: &&CasePeer| self.case.routers_of(peer).iter().any(|known| known.name == router.name);
            self.case.peers.iter().filter(behind).count() > 1
        });
        let restricts = is_any(|router| router.nat.egress != Egress::Everything);
        Questions {
            allocation: is_any(|router| {
                matches!(router.nat.allocation, Allocation::Sequential | Allocation::Blocks { .. })
            }),
            // Of several layers each is asked alone: what the outer one turns round, the inner one may filter.
            hairpin: layers.len() == 1
                && (shares_a_router || is_any(|router| router.nat.hairpin != Hairpin::External)),
            tcp: if restricts && towards_servers { self.tcp.clone() } else { Vec::new() },
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is one thing that a measurement is made of")]
    fn ask(
        &self,
        of: &str,
        label: &str,
        place: &str,
        from: Ipv4Addr,
        server: SocketAddrV4,
        layers: &[&CaseRouter],
        declared: &Declared,
        questions: &Questions,
    ) -> Result<Finding, Broken> {
        let routers = layers.iter().map(|router| self.router(&router.name)).collect::<Result<Vec<_>, _>>()?;
        let mut drops = || routers.iter().map(|router| router.drops()).sum::<Result<Drops, _>>();
        let node = standing::node(&self.lab, place)?;
        let found = node.within(|| probe::measure(from, server, &mut drops, questions))?;
        let found = found.map_err(|error| {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            let message = format!("{label} of {of} could not be measured: {error}{cause}");
            Broken { stage: Stage::Nat, message }
        })?;
        let mismatch = found.agrees_with(declared).err();
        let mismatch = mismatch.map(|differs| format!("{label} of {of} is not what it is called: {differs}"));
        let outermost = layers.iter().rposition(|router| router.nat.translation != Translation::None);
        let outermost = outermost.filter(|&at| layers[at].nat.addresses > 1);
        let pool = outermost.map_or(&[][..], |at| routers[at].outsides());
        let pool = pool.iter().map(ToString::to_string).collect();
        let (measured, outside) = (found.to_string(), outside(&found));
        Ok(Finding { of: of.to_owned(), declared: label.to_owned(), measured, outside, mismatch, pool })
    }

    fn router(&self, name: &str) -> Result<&Router, Broken> {
        self.lab.router(name).ok_or_else(|| Broken::no_node(name))
    }

    /// The IPv4 address of a node, if it has one.
    fn address(&self, name: &str) -> Result<Option<Ipv4Addr>, Broken> {
        Ok(standing::node(&self.lab, name)?.addresses().first().copied())
    }
}
