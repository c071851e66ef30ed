//! Pieces never overlap, come back from any thread, and join again.

use super::{ArenaScope, ArenaStatistics, PIECE_BYTES_MAX};
use crate::{BLOCK_BYTES, DmaBuf};
use std::sync::Arc;

const MIB: usize = 1 << 20;

fn statistics(scope: &ArenaScope) -> ArenaStatistics {
    scope.arena().expect("there is memory").statistics()
}

fn is_inside(buffer: &DmaBuf, scope: &ArenaScope) -> bool {
    buffer.lies_in(scope.arena().expect("there is memory"))
}

#[test]
fn without_a_scope_or_with_too_few_bytes_buffers_are_made_all_the_same() {
    assert_eq!(DmaBuf::zeroed(BLOCK_BYTES).len(), BLOCK_BYTES);
    let scope = ArenaScope::begin(PIECE_BYTES_MAX - 1);
    assert!(scope.arena().is_none());
    assert_eq!(DmaBuf::copy_of(&[7; 100])[99], 7);
}

#[test]
fn what_does_not_fit_is_allocated_by_itself_and_counted() {
    let scope = ArenaScope::begin(2 * PIECE_BYTES_MAX + 1);
    let all: Vec<DmaBuf> = (0..4).map(|_| DmaBuf::zeroed(MIB)).collect();
    assert!(all.iter().all(|buffer| is_inside(buffer, &scope)));
    let beyond = DmaBuf::zeroed(BLOCK_BYTES);
    assert!(!is_inside(&beyond, &scope));
    let full = ArenaStatistics {
        bytes: 2 * PIECE_BYTES_MAX as u64,
        used_bytes: 4 * MIB as u64,
        served: 4,
        plain: 1,
    };
    assert_eq!(statistics(&scope), full);
    drop(all);
    let large = DmaBuf::zeroed(PIECE_BYTES_MAX + 1);
    assert!(!is_inside(&large, &scope), "larger than any piece");
    let largest = DmaBuf::zeroed(MIB + 2 * BLOCK_BYTES);
    assert!(is_inside(&largest, &scope), "the halves joined again");
    let after = ArenaStatistics { used_bytes: PIECE_BYTES_MAX as u64, served: 5, plain: 2, ..full };
    assert_eq!(statistics(&scope), after);
}

#[test]
fn used_pieces_hold_zeros_again() {
    let scope = ArenaScope::begin(PIECE_BYTES_MAX);
    let mut buffer = DmaBuf::zeroed(PIECE_BYTES_MAX);
    buffer.fill(0xff);
    drop(buffer);
    let zeroed = DmaBuf::zeroed(5000);
    assert!(is_inside(&zeroed, &scope) && zeroed.iter().all(|byte| *byte == 0));
    let mut copy = DmaBuf::copy_of(&[7; 5000]);
    copy.set_len_to_capacity();
    assert!(copy[..5000].iter().all(|byte| *byte == 7));
    assert!(copy[5000..].iter().all(|byte| *byte == 0));
    assert_eq!(DmaBuf::for_read(2 * BLOCK_BYTES).len(), 2 * BLOCK_BYTES);
}

#[test]
fn other_threads_give_pieces_back() {
    let scope = ArenaScope::begin(PIECE_BYTES_MAX);
    for round in 0..50_u8 {
        let mut buffers: Vec<DmaBuf> = Vec::new();
        for index in 0..32_u8 {
            let mut buffer = DmaBuf::zeroed(16 * BLOCK_BYTES);
            assert!(is_inside(&buffer, &scope), "round {round}: all came back");
            buffer.fill(index);
            buffers.push(buffer);
        }
        std::thread::scope(|threads| {
            for _ in 0..4 {
                let part = buffers.split_off(buffers.len() - 8);
                threads.spawn(move || {
                    for buffer in part {
                        let first = buffer[0];
                        assert!(buffer.iter().all(|byte| *byte == first));
                    }
                });
            }
        });
        assert_eq!(statistics(&scope).used_bytes, 0);
    }
}

#[test]
fn other_threads_have_no_part_in_the_arena() {
    let scope = ArenaScope::begin(PIECE_BYTES_MAX);
    std::thread::scope(|threads| {
        threads.spawn(|| drop(DmaBuf::zeroed(BLOCK_BYTES)));
    });
    assert_eq!((statistics(&scope).served, statistics(&scope).plain), (0, 0));
}

#[test]
fn a_buffer_outlives_its_scope_and_scopes_nest() {
    let outer = ArenaScope::begin(PIECE_BYTES_MAX);
    let late = {
        let inner = ArenaScope::begin(PIECE_BYTES_MAX);
        let late = DmaBuf::copy_of(&[9; BLOCK_BYTES]);
        assert!(is_inside(&late, &inner) && !is_inside(&late, &outer));
        late
    };
    assert!(is_inside(&DmaBuf::zeroed(1), &outer));
    std::thread::scope(|threads| {
        threads.spawn(move || assert!(late.iter().all(|byte| *byte == 9)));
    });
}

#[test]
fn random_buffers_never_overlap() {
    let scope = ArenaScope::begin(3 * PIECE_BYTES_MAX);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 16) % bound as u64) as usize
    };
    let mut live: Vec<(u8, DmaBuf)> = Vec::new();
    for step in 0..6000_usize {
        if live.len() > 1 && random(2) == 0 {
            let (mark, buffer) = live.swap_remove(random(live.len()));
            assert!(buffer.iter().all(|byte| *byte == mark), "step {step}");
        } else if live.len() < 64 {
            let blocks = 1 << random(9);
            let mut buffer = DmaBuf::zeroed(1 + random(blocks * BLOCK_BYTES));
            assert!(buffer.as_ptr().addr().is_multiple_of(BLOCK_BYTES));
            assert!(buffer.iter().all(|byte| *byte == 0), "step {step}");
            let mark = (step % 251) as u8;
            buffer.set_len_to_capacity();
            buffer.fill(mark);
            live.push((mark, buffer));
        }
    }
    live.clear();
    assert!(statistics(&scope).plain > 0, "it was full at times");
    let whole: Vec<DmaBuf> = (0..3).map(|_| DmaBuf::zeroed(PIECE_BYTES_MAX)).collect();
    assert!(whole.iter().all(|buffer| is_inside(buffer, &scope)), "all is one again");
    let arena = Arc::clone(scope.arena().expect("there is memory"));
    drop(scope);
    drop(whole);
    assert_eq!(arena.statistics().used_bytes, 0);
}
