//! Code shared by the BPF program and the daemon: the clock, the wire formats, the layouts of the BPF maps,
//! and the path of an advert.
//!
//! Enters: the bytes of a frame. Leaves: a valid advert, or the [`wire::Reject`] that names the failed check.
//! Absent: sockets, reading a clock, allocation, protocol rules. The program in `main.rs` adds only packet and map
//! access.
//!
//! Read the modules in this order: [`time`], [`wire`], [`map`], [`path`].

#![cfg_attr(not(test), no_std)]

pub mod map;
pub mod path;
pub mod time;
pub mod wire;

/// Defines an enum with a word for each variant: `ALL`, in their order, and `as_str` follow from it.
#[macro_export]
macro_rules! words {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$about_variant:meta])* $variant:ident $(= $number:literal)? => $word:literal,)+
        }
    ) => {
        $(#[$about])*
        $visibility enum $name {
            $($(#[$about_variant])* $variant $(= $number)?,)+
        }

        impl $name {
            /// All of them, in their order.
            $visibility const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// Its word.
            $visibility const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}
