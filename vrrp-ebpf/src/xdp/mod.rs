//! stub
mod maps;
use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};

#[xdp(frags)]
fn vrrp_xdp(_ctx: XdpContext) -> u32 {
    XDP_PASS
}
#[classifier]
fn vrrp_tcx(_ctx: TcContext) -> i32 {
    -1
}
#[xdp(frags)]
fn empty_xdp(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

#[classifier]
fn empty_tcx(_ctx: TcContext) -> i32 {
    -1
}
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
