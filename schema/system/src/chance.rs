//! Random numbers on which no secret depends, such as pauses before the next try and the names of requests and processes. They come
//! from the system. A simulation draws them from a seed, so that it can be repeated.

use std::cell::Cell;

thread_local! {
    static SEEDED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes all later random numbers of this thread follow from `seed`.
pub fn seed(seed: u64) {
    SEEDED.set(Some(seed));
}

/// Draws `N` random bytes, from the seed if this thread has one.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    match SEEDED.get() {
        Some(state) => SEEDED.set(Some(draw(state, &mut bytes))),
        None => getrandom::fill(&mut bytes).expect("the system gives random bytes"),
    }
    bytes
}

pub fn word() -> u64 {
    u64::from_le_bytes(bytes())
}

/// Draws bytes by SplitMix64 (https://prng.di.unimi.it/splitmix64.c).
fn draw(mut state: u64, bytes: &mut [u8]) -> u64 {
    for part in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..part.len()]);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_only_on_its_thread() {
        let drawn = |at| {
            std::thread::spawn(move || {
                seed(at);
                (word(), bytes::<16>(), word())
            })
        };
        let (first, again, other) = (drawn(7).join().unwrap(), drawn(7).join().unwrap(), drawn(8).join().unwrap());
        assert_eq!(first, again);
        assert!(first.0 != first.2 && first != other);
        assert_ne!(word(), word());
    }

    #[test]
    fn splitmix_is_as_published() {
        let mut bytes = [0; 16];
        draw(1_234_567, &mut bytes);
        assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()), 6_457_827_717_110_365_317);
        assert_eq!(u64::from_le_bytes(bytes[8..].try_into().unwrap()), 3_203_168_211_198_807_973);
    }
}
