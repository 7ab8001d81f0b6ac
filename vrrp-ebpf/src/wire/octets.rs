//! Checked access to bytes, in the kernel and in user space.

/// Checked access to bytes.
pub trait ByteAccess {
    /// `N` bytes from `at` on; `None` if they are not all there.
    fn get<const N: usize>(&self, at: usize) -> Option<[u8; N]>;
}

impl ByteAccess for [u8] {
    #[inline]
    fn get<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk::<N>().copied()
    }
}

/// The reverse of [`ByteAccess::get`] for buffers: `None` if the bytes do not fit.
pub(crate) fn put<const N: usize>(buffer: &mut [u8], at: usize, bytes: [u8; N]) -> Option<()> {
    *buffer.get_mut(at..)?.first_chunk_mut::<N>()? = bytes;
    Some(())
}
