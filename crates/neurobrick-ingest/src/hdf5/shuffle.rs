//! Byte shuffle, as HDF5 and Blosc have it: first the first byte of every value, then the second of every value.

/// Puts the bytes of every value together again, behind what is in `bytes`; what does not fill a value stays at the end.
pub(super) fn unshuffle(block: &[u8], type_size: usize, bytes: &mut Vec<u8>) {
    if type_size <= 1 || block.len() < type_size {
        bytes.extend_from_slice(block);
        return;
    }
    let n_values = block.len() / type_size;
    let planes = &block[..n_values * type_size];
    let start = bytes.len();
    bytes.resize(start + planes.len(), 0);
    let values = &mut bytes[start..];
    match type_size {
        2 => interleave::<2>(planes, values),
        4 => interleave::<4>(planes, values),
        8 => interleave::<8>(planes, values),
        _ => {
            for (byte, plane) in planes.chunks_exact(n_values).enumerate() {
                for (at, &found) in plane.iter().enumerate() {
                    values[at * type_size + byte] = found;
                }
            }
        }
    }
    bytes.extend_from_slice(&block[planes.len()..]);
}

/// Values of a width that is known to the compiler.
fn interleave<const N: usize>(planes: &[u8], values: &mut [u8]) {
    let n_values = planes.len() / N;
    let planes: [&[u8]; N] = std::array::from_fn(|byte| &planes[byte * n_values..][..n_values]);
    for (at, value) in values.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        *value = std::array::from_fn(|byte| planes[byte][at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_width_and_number_come_back() {
        for type_size in [0, 1, 2, 3, 4, 8, 16] {
            for length in (0..300).chain([4096, 4099]) {
                let bytes: Vec<u8> =
                    (0..length).map(|at: usize| at.wrapping_mul(167).to_le_bytes()[0]).collect();
                let width = type_size.max(1);
                let n_values = length / width;
                let mut shuffled: Vec<u8> =
                    (0..width * n_values).map(|at| bytes[at % n_values * width + at / n_values]).collect();
                shuffled.extend_from_slice(&bytes[width * n_values..]);
                let mut found = vec![7];
                unshuffle(&shuffled, type_size, &mut found);
                assert_eq!(
                    (found[0], &found[1..]),
                    (7, &bytes[..]),
                    "{length} bytes in values of {type_size}"
                );
            }
        }
    }
}
