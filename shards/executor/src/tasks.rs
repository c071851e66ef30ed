//! The slab of spawned tasks.
//!
//! Invariant: a slot's generation rises when its task ends, so an id names one task for ever.

use crate::ready::{ReadyQueue, TaskHeader, TaskId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(crate) struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    header: Arc<TaskHeader>,
    waker: Waker,
}

impl Task {
    pub(crate) fn poll(&mut self) -> Poll<()> {
        self.header.begin_poll();
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

struct Slot {
    generation: u32,
    /// Empty while the slot is free and while its task is being polled.
    task: Option<Task>,
}

#[derive(Default)]
pub(crate) struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Tasks {
    /// Stores a task and returns the waker that makes it ready for the first time.
    pub(crate) fn insert(
        &mut self,
        future: Pin<Box<dyn Future<Output = ()>>>,
        ready: &Arc<ReadyQueue>,
    ) -> Waker {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                assert!(slot < crate::ready::MAIN_SLOT, "fewer than 2^32 - 1 tasks");
                self.slots.push(Slot { generation: 0, task: None });
                slot
            }
        };
        let entry = &mut self.slots[slot as usize];
        let header = TaskHeader::new(TaskId { slot, generation: entry.generation }, ready);
        let waker = Waker::from(header.clone());
        entry.task = Some(Task { future, header, waker: waker.clone() });
        waker
    }

    /// Takes a task out for a poll; nothing if it has ended.
    pub(crate) fn take(&mut self, id: TaskId) -> Option<Task> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        entry.task.take()
    }

    pub(crate) fn put_back(&mut self, id: TaskId, task: Task) {
        self.slots[id.slot as usize].task = Some(task);
    }

    /// The task taken out has ended: its slot may serve another.
    pub(crate) fn release(&mut self, id: TaskId) {
        let entry = &mut self.slots[id.slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.slot);
    }

    /// Takes every task out; the caller drops them while nothing is borrowed.
    pub(crate) fn take_all(&mut self) -> Vec<Task> {
        let mut taken = Vec::new();
        for (slot, entry) in (0u32..).zip(self.slots.iter_mut()) {
            if let Some(task) = entry.task.take() {
                entry.generation = entry.generation.wrapping_add(1);
                self.free.push(slot);
                taken.push(task);
            }
        }
        taken
    }

    pub(crate) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
