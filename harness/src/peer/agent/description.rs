//! Session descriptions (SDP, RFC 8866, RFC 8841) for one data channel: as much as we write, and as much as we must
//! understand of what browsers and others write.

use std::fmt;

/// What one side says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) ufrag: String,
    pub(super) password: String,
    /// SHA-256 of the certificate: 32 pairs of digits with colons.
    pub(super) fingerprint: String,
    pub(super) setup: Setup,
    /// The name of the media section; an answer repeats the offer's.
    pub(super) mid: String,
    pub(super) sctp_port: u16,
    /// The longest message it takes.
    pub(super) max_message_size: u32,
    /// Candidates that did not wait to be trickled.
    pub(super) candidates: Vec<String>,
}

/// Who begins the DTLS handshake (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// The writer leaves it to the other side; only an offer may.
    ActPass,
    /// The writer.
    Active,
    /// The reader.
    Passive,
}

/// What a description lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the description has no usable {0}")]
pub(super) struct Lacking(&'static str);

/// RFC 8841 section 6.1: the size where nothing is said.
const DEFAULT_MAX_MESSAGE_SIZE: u32 = 65_536;

impl Description {
    /// Reads what the other side wrote. The attributes of the session count where the media section has none.
    pub(super) fn parse(sdp: &str) -> Result<Self, Lacking> {
        let mut sections = sdp.split("\nm=");
        let session = sections.next().unwrap_or_default();
        let media =
            sections.find(|section| section.starts_with("application ")).ok_or(Lacking("data channel"))?;
        let find = |name| attribute(media, name).or_else(|| attribute(session, name));
        let needed = |name| find(name).map(str::to_owned).ok_or(Lacking(name));
        let fingerprints =
            [media, session].into_iter().flat_map(|section| attributes(section, "fingerprint"));
        Ok(Self {
            ufrag: needed("ice-ufrag")?,
            password: needed("ice-pwd")?,
            fingerprint: fingerprints
                .filter_map(|value| value.split_once(' '))
                .find(|(algorithm, _)| algorithm.eq_ignore_ascii_case("sha-256"))
                .map(|(_, digits)| digits.trim().to_ascii_uppercase())
                .ok_or(Lacking("fingerprint"))?,
            setup: match find("setup") {
                Some("active") => Setup::Active,
                Some("passive") => Setup::Passive,
                Some("actpass") => Setup::ActPass,
                _ => return Err(Lacking("setup")),
            },
            mid: find("mid").unwrap_or("0").to_owned(),
            sctp_port: find("sctp-port").and_then(|port| port.parse().ok()).unwrap_or(5_000),
            max_message_size: match find("max-message-size").and_then(|size| size.parse().ok()) {
                None => DEFAULT_MAX_MESSAGE_SIZE,
                // Zero is "any size".
                Some(0) => u32::MAX,
                Some(size) => size,
            },
            candidates: attributes(media, "candidate").map(|value| format!("candidate:{value}")).collect(),
        })
    }
}

fn attribute<'a>(section: &'a str, name: &'a str) -> Option<&'a str> {
    attributes(section, name).next()
}

fn attributes<'a>(section: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = section.lines().filter_map(|line| line.strip_prefix("a="));
    lines.filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setup = match self.setup {
            Setup::ActPass => "actpass",
            Setup::Active => "active",
            Setup::Passive => "passive",
        };
        // RFC 8829 section 5.2.1: a number that differs from session to session, positive as an i64.
        let session: u64 = rand::random::<u64>() >> 2;
        let lines = [
            "v=0".to_owned(),
            format!("o=- {session} 2 IN IP4 127.0.0.1"),
            "s=-".to_owned(),
            "t=0 0".to_owned(),
            format!("a=group:BUNDLE {}", self.mid),
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel".to_owned(),
            "c=IN IP4 0.0.0.0".to_owned(),
            format!("a=ice-ufrag:{}", self.ufrag),
            format!("a=ice-pwd:{}", self.password),
            "a=ice-options:trickle".to_owned(),
            format!("a=fingerprint:sha-256 {}", self.fingerprint),
            format!("a=setup:{setup}"),
            format!("a=mid:{}", self.mid),
            format!("a=sctp-port:{}", self.sctp_port),
            format!("a=max-message-size:{}", self.max_message_size),
        ];
        lines.iter().try_for_each(|line| write!(f, "{line}\r\n"))?;
        self.candidates.iter().try_for_each(|candidate| write!(f, "a={candidate}\r\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What Chromium writes, shortened; Firefox puts fingerprint and ice-options above the first m= line.
    const CHROMIUM: &str = "v=0\r\no=- 6 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE data\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=candidate:1 1 udp 2113937151 \
        192.0.2.5 5000 typ host\r\na=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlpv\r\n\
        a=fingerprint:sha-256 ab:CD\r\na=setup:actpass\r\na=mid:data\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

    #[test]
    fn what_a_browser_writes_is_understood() {
        let description = Description::parse(CHROMIUM).unwrap();
        assert_eq!(description.ufrag, "4ZcD");
        assert_eq!(description.fingerprint, "AB:CD");
        assert_eq!((description.setup, description.mid.as_str()), (Setup::ActPass, "data"));
        assert_eq!(description.max_message_size, 262_144);
        assert_eq!(description.candidates, ["candidate:1 1 udp 2113937151 192.0.2.5 5000 typ host"]);
    }

    #[test]
    fn attributes_of_the_session_count_where_the_media_has_none() {
        let line = "a=fingerprint:sha-256 ab:CD\r\n";
        let firefox = CHROMIUM.replace(line, "").replace("t=0 0\r\n", &format!("t=0 0\r\n{line}"));
        assert_eq!(Description::parse(&firefox), Description::parse(CHROMIUM));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let description = Description::parse(CHROMIUM).unwrap();
        assert_eq!(Description::parse(&description.to_string()), Ok(description));
    }

    #[test]
    fn what_lacks_is_named() {
        for line in [
            "a=ice-pwd:2/1muCWoOi3uLifh0NuRHlpv\r\n",
            "a=setup:actpass\r\n",
            "a=fingerprint:sha-256 ab:CD\r\n",
        ] {
            let lacking = Description::parse(&CHROMIUM.replace(line, "")).unwrap_err();
            assert!(line.contains(lacking.0), "{lacking} for {line}");
        }
        assert_eq!(Description::parse("v=0\r\nm=audio 9 X 0\r\n"), Err(Lacking("data channel")));
    }
}
