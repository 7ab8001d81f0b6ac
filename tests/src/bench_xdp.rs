//! tmp
use anyhow::Result;
use std::time::Instant;
use vrrp_ebpf::map::{InstanceKey, Slot};
use vrrp_ebpf::wire::Family;
use vrrp_user::driver::xdp::{Entry, Program};

fn sum(parts: &[&[u8]]) -> u16 {
    let mut s = 0u64;
    for p in parts {
        for c in p.chunks(2) {
            s += u64::from(u16::from_be_bytes([c[0], *c.get(1).unwrap_or(&0)]));
        }
    }
    while s >> 16 != 0 {
        s = (s & 0xffff) + (s >> 16);
    }
    !(s as u16)
}
pub fn v3v4(vrid: u8, prio: u8, n: u8, ttl: u8, bad: bool) -> Vec<u8> {
    let mut m = vec![0x31, vrid, prio, n, 0, 100, 0, 0];
    for i in 0..n {
        m.extend_from_slice(&[10, 0, 1, i]);
    }
    let src = [10, 0, 0, 2];
    let dst = [224, 0, 0, 18];
    let len = (m.len() as u16).to_be_bytes();
    let mut c = sum(&[&src, &dst, &[0, 112], &len, &m]);
    if bad {
        c ^= 0x55;
    }
    m[6..8].copy_from_slice(&c.to_be_bytes());
    ip4(ttl, 112, src, dst, &m)
}
pub fn ip4(ttl: u8, proto: u8, src: [u8; 4], dst: [u8; 4], m: &[u8]) -> Vec<u8> {
    let mut f = vec![1, 0, 0x5e, 0, 0, 18, 0, 0, 0x5e, 0, 1, 51, 8, 0];
    let mut h = vec![0x45, 0xc0];
    h.extend_from_slice(&((20 + m.len()) as u16).to_be_bytes());
    h.extend_from_slice(&[0, 1, 0, 0, ttl, proto, 0, 0]);
    h.extend_from_slice(&src);
    h.extend_from_slice(&dst);
    let c = sum(&[&h]);
    h[10..12].copy_from_slice(&c.to_be_bytes());
    f.extend(h);
    f.extend_from_slice(m);
    while f.len() < 60 {
        f.push(0)
    }
    f
}
pub fn v3v6(vrid: u8, prio: u8, n: u8) -> Vec<u8> {
    let mut m = vec![0x31, vrid, prio, n, 0, 100, 0, 0];
    for i in 0..n {
        m.extend_from_slice(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i]);
    }
    let mut src = [0; 16];
    src[0] = 0xfe;
    src[1] = 0x80;
    src[15] = 2;
    let mut dst = [0; 16];
    dst[0] = 0xff;
    dst[1] = 2;
    dst[15] = 18;
    let len = (m.len() as u16).to_be_bytes();
    let c = sum(&[&src, &dst, &[0, 112], &len, &m]);
    m[6..8].copy_from_slice(&c.to_be_bytes());
    ip6(112, src, dst, &m)
}
pub fn ip6(proto: u8, src: [u8; 16], dst: [u8; 16], m: &[u8]) -> Vec<u8> {
    let mut f = vec![0x33, 0x33, 0, 0, 0, 18, 0, 0, 0x5e, 0, 2, 51, 0x86, 0xdd, 0x60, 0, 0, 0];
    f.extend_from_slice(&(m.len() as u16).to_be_bytes());
    f.extend_from_slice(&[proto, 255]);
    f.extend_from_slice(&src);
    f.extend_from_slice(&dst);
    f.extend_from_slice(m);
    f
}

pub fn run() -> Result<()> {
    let t = Instant::now();
    let mut p = Program::load(4)?;
    println!("load {:?}", t.elapsed());
    for e in Entry::ALL {
        println!("{e:?} verified {:?}", p.verified_instructions(e));
    }
    let maps = p.maps();
    for (slot, family) in [(0, Family::V4), (1, Family::V6)] {
        maps.set_slot(slot, &Slot { version: 3, ..Slot::UNUSED });
        p.insert(InstanceKey::new(1, 0, family, 51), slot)?;
    }
    let mut ring = p.ring()?;
    let cases: Vec<(&str, Vec<u8>, Option<u32>)> = vec![
        ("tcp4", ip4(64, 6, [10, 0, 0, 1], [10, 0, 0, 3], &[0; 40]), None),
        ("tcp6", ip6(6, [1; 16], [2; 16], &[0; 40]), None),
        (
            "arp",
            {
                let mut f = vec![0; 60];
                f[12] = 8;
                f[13] = 6;
                f
            },
            None,
        ),
        ("unknown", v3v4(52, 100, 1, 255, false), None),
        ("steady 1", v3v4(51, 100, 1, 255, false), Some(0)),
        ("steady 20", v3v4(51, 100, 20, 255, false), Some(0)),
        ("steady6 1", v3v6(51, 100, 1), Some(1)),
        ("steady6 20", v3v6(51, 100, 20), Some(1)),
        ("steady 255", v3v4(51, 100, 255, 255, false), Some(0)),
        ("ttl", v3v4(51, 100, 1, 64, false), None),
        ("badsum 1", v3v4(51, 100, 1, 255, true), None),
        ("badsum 20", v3v4(51, 100, 20, 255, true), None),
        ("overbudget 1", v3v4(51, 101, 1, 255, false), None),
    ];
    for (name, frame, steady) in &cases {
        for e in Entry::ALL {
            if let Some(slot) = steady {
                maps.disarm(*slot);
                for _ in 0..3 {
                    std::thread::sleep(std::time::Duration::from_millis(120));
                    p.run(e, frame, 1)?;
                }
                let mut got = None;
                ring.drain(10000, |ev| got = Some((ev.source, ev.peer, ev.message().to_vec(), ev.stamp)));
                let (s, pe, m, st) = got.unwrap();
                maps.arm(*slot, s, pe, &m, vrrp_ebpf::time::Timestamp::from_nanos(st));
            }
            let (mut a, mut b) = (vec![], vec![]);
            let mut v = 0;
            for _ in 0..7 {
                a.push(p.run_empty(e, frame, 500_000)?.duration.as_nanos());
                let r = p.run(e, frame, 500_000)?;
                v = r.verdict as i32;
                b.push(r.duration.as_nanos());
            }
            a.sort();
            b.sort();
            print!(
                "{name:14} {e:?} verdict {v} empty {} {} ours {} {} diff {} {} hits {} | ",
                a[0],
                a[3],
                b[0],
                b[3],
                b[0] - a[0].min(b[0]),
                b[3] - a[3].min(b[3]),
                maps.watch_hits(steady.unwrap_or(0))
            );
        }
        println!();
    }
    println!("{:?}", maps.counters(Some(0)));
    println!("{:?}", maps.counters(None));
    Ok(())
}
