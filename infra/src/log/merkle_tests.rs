use proptest::prelude::*;

use super::*;
use crate::log::levels::MemoryLevels;

/// The definition of RFC 6962, section 2.1, word by word.
fn naive(entries: &[Vec<u8>]) -> Hash {
    match entries {
        [] => empty_root(),
        [entry] => leaf_hash(entry),
        _ => {
            let (left, right) = entries.split_at(half(entries.len() as u64) as usize);
            node_hash(&naive(left), &naive(right))
        }
    }
}

fn log(entries: &[Vec<u8>]) -> MemoryLevels {
    let mut log = MemoryLevels::default();
    entries.iter().for_each(|entry| log.push(leaf_hash(entry)));
    log
}

fn entries(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_be_bytes().to_vec()).collect()
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The leaves and roots with which implementations of Certificate Transparency test themselves.
#[test]
fn the_roots_are_those_of_certificate_transparency() {
    let leaves: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let log = log(&leaves.map(<[u8]>::to_vec));
    let mut peaks = Peaks::default();
    for (size, expected) in roots.iter().enumerate() {
        assert_eq!(hex(&root(&log, size as u64).unwrap()), *expected, "{size} leaves");
        assert_eq!(hex(&peaks.root()), *expected, "{size} leaves");
        leaves.get(size).iter().for_each(|entry| peaks.push(leaf_hash(entry)));
    }
}

#[test]
fn every_proof_of_a_small_log_holds_and_no_other() {
    let entries = entries(33);
    let log = log(&entries);
    for new in 1..=33_u64 {
        let new_root = naive(&entries[..new as usize]);
        assert_eq!(root(&log, new).unwrap(), new_root);
        for old in 0..=new {
            let old_root = naive(&entries[..old as usize]);
            let proof = consistency(&log, old, new).unwrap();
            assert!(is_consistent((old, &old_root), (new, &new_root), &proof), "{old} {new}");
            if old > 0 && old < new {
                let other = node_hash(&old_root, &old_root);
                assert!(!is_consistent((old, &other), (new, &new_root), &proof), "{old} {new}");
                assert!(!is_consistent((old, &old_root), (new, &other), &proof), "{old} {new}");
                assert!(!is_consistent((old, &old_root), (new, &new_root), &proof[1..]), "{old} {new}");
                assert!(!is_consistent((old - 1, &old_root), (new, &new_root), &proof), "{old} {new}");
            }
        }
        for index in 0..new {
            let proof = inclusion(&log, index, new).unwrap();
            let leaf = leaf_hash(&entries[index as usize]);
            assert!(is_included(&leaf, index, new, &new_root, &proof), "{index} {new}");
            for other in (0..new).filter(|other| *other != index) {
                assert!(!is_included(&leaf, other, new, &new_root, &proof), "{index} as {other} of {new}");
            }
        }
    }
}

#[test]
fn what_is_not_there_cannot_be_proven() {
    let log = log(&entries(5));
    assert!(root(&log, 6).is_err());
    assert!(inclusion(&log, 5, 5).is_err());
    assert!(consistency(&log, 3, 6).is_err());
    assert!(consistency(&log, 4, 3).is_err());
    let (empty, root) = (empty_root(), root(&log, 5).unwrap());
    assert!(!is_consistent((0, &root), (5, &root), &[]), "an empty log has one root only");
    assert!(is_consistent((0, &empty), (5, &root), &[]));
    assert!(!is_consistent((5, &root), (0, &empty), &[]));
}

proptest! {
    #[test]
    fn a_changed_entry_breaks_consistency(size in 2_u64..300, old in 1_u64..300, at in 0_u64..300) {
        let (old, at) = (1 + old % (size - 1), at % size);
        let mut entries = entries(size);
        let old_root = naive(&entries[..old as usize]);
        entries[at as usize].push(1);
        let log = log(&entries);
        let (new_root, proof) = (root(&log, size).unwrap(), consistency(&log, old, size).unwrap());
        prop_assert_eq!(new_root, naive(&entries));
        prop_assert_eq!(is_consistent((old, &old_root), (size, &new_root), &proof), at >= old);
    }

    #[test]
    fn a_flipped_bit_in_a_proof_is_seen(size in 2_u64..200, index in 0_u64..200, bit in 0_usize..100_000) {
        let index = index % size;
        let entries = entries(size);
        let log = log(&entries);
        let root = naive(&entries);
        let leaf = leaf_hash(&entries[index as usize]);
        let mut proof = inclusion(&log, index, size).unwrap();
        prop_assert!(is_included(&leaf, index, size, &root, &proof));
        let bit = bit % (proof.len() * 256);
        proof[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
        prop_assert!(!is_included(&leaf, index, size, &root, &proof));
    }
}
