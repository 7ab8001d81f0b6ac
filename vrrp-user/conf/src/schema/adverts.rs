//! Keywords for adverts: source, destination and form.

use vrrp_ebpf::wire::ChecksumForm;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::tree::Statement;
use super::draft::{Checksum, InstanceDraft, PeerDraft};
use super::table::{self, Kind, Row};
use super::value;

pub(super) const ROWS: &[Row<InstanceDraft>] = &[
    Row::works(
        "unicast_src_ip",
        Kind::Own("ADDRESS", unicast_source),
        "address of `interface`",
        "source of adverts",
    ),
    Row::works(
        "unicast_peer",
        Kind::Block("", unicast_peer),
        "",
        "send adverts to each of these instead of the group",
    ),
    Row::works(
        "unicast_ttl",
        Kind::Integer(0, 255, |it, n| it.ttl = Some(n)),
        "255",
        "TTL or hop limit to peers",
    ),
    Row::works(
        "mcast_src_ip",
        Kind::Own("ADDRESS", multicast_source),
        "address of `interface`",
        "source of adverts",
    ),
    Row::works(
        "mcast_dst_ip",
        Kind::Own("ADDRESS", multicast_group),
        "`vrrp_mcast_group4`, `vrrp_mcast_group6`",
        "group for adverts",
    ),
    Row::works(
        "v3_checksum_as_v2",
        Kind::Bool(|it, on| it.checksum_as_v2 = Some(on)),
        "global",
        "version 3 over IPv4: send the checksum without pseudo-header (RFC 9568); both forms are accepted",
    ),
    Row::works(
        "checksum",
        Kind::Own("auto, pseudo or plain", checksum),
        "`v3_checksum_as_v2`",
        "version 3 over IPv4: send the checksum with pseudo-header, without, or `auto`: in the form of the other \
         router; not a keyword of keepalived",
    ),
    Row::works(
        "also_version_2",
        Kind::Flag(|it, at| it.also_version_2 = Some(at.at)),
        "off",
        "send and accept version 2 in addition to version 3, during a migration; not a keyword of keepalived",
    ),
];

/// Options after a unicast peer.
pub(super) const PEER_OPTIONS: &[Row<PeerDraft>] = &[
    Row::works(
        "min_ttl",
        Kind::Integer(0, 255, |peer, n| peer.min_ttl = u8::try_from(n.value).unwrap_or_default()),
        "0",
        "least TTL or hop limit of its adverts; adverts of unlisted senders are then refused",
    ),
    Row::works(
        "max_ttl",
        Kind::Integer(0, 255, |peer, n| peer.max_ttl = u8::try_from(n.value).unwrap_or(u8::MAX)),
        "255",
        "most TTL or hop limit of its adverts; as `min_ttl`",
    ),
];

fn unicast_source(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    it.unicast.get_or_insert(keyword.at);
    it.source = value::read_address(&keyword.text, keyword.at, args, report);
    it.is_of(it.source);
}

fn unicast_peer(it: &mut InstanceDraft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    it.unicast.get_or_insert(statement.keyword.at);
    for line in value::lines(inner, report, &|word| value::host_address(&word.text).0.is_some()) {
        let word = std::slice::from_ref(&line.keyword);
        let Some(address) = value::read_address("unicast_peer", line.keyword.at, word, report) else {
            continue;
        };
        it.is_of(Some(address));
        let mut peer = PeerDraft { address, min_ttl: 0, max_ttl: u8::MAX };
        table::read_options(PEER_OPTIONS, "after a peer", &line.args, &mut peer, report);
        if it.peers.iter().any(|other| other.address.value == address.value) {
            report.warning(address.at, format!("the peer {} is listed already", address.value));
        } else {
            if peer.min_ttl > peer.max_ttl {
                report.left_out(
                    address.at,
                    format!("`min_ttl` {} is above `max_ttl` {}", peer.min_ttl, peer.max_ttl),
                );
            }
            it.peers.push(peer);
        }
    }
}

fn multicast_source(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    it.source = value::read_address(&keyword.text, keyword.at, args, report);
    it.is_of(it.source);
}

fn multicast_group(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    it.group = value::read_group(&keyword.text, keyword.at, args, report);
    it.is_of(it.group);
}

fn checksum(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let known = [
        ("auto", Checksum::Auto),
        ("pseudo", Checksum::Form(ChecksumForm::Pseudo)),
        ("plain", Checksum::Form(ChecksumForm::Plain)),
    ];
    it.checksum = value::read_choice(&known, keyword, args, report).or(it.checksum);
}
