//! Several futures under way at once, without a task for each.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Awaits all futures, at most `at_once` of them under way; the outputs in the order of the
/// futures. Every one under way is polled at every wake: keep `at_once` small.
pub(crate) async fn all<F: Future>(futures: Vec<F>, at_once: usize) -> Vec<F::Output> {
    assert!(at_once > 0, "nothing would ever be under way");
    let mut waiting = futures.into_iter().enumerate();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut done: Vec<(usize, F::Output)> = Vec::new();
    poll_fn(|context| {
        loop {
            while running.len() < at_once {
                let Some((index, future)) = waiting.next() else { break };
                running.push((index, Box::pin(future)));
            }
            let before = done.len();
            let mut place = 0;
            while place < running.len() {
                match running[place].1.as_mut().poll(context) {
                    Poll::Ready(output) => {
                        let (index, _) = running.swap_remove(place);
                        done.push((index, output));
                    }
                    Poll::Pending => place += 1,
                }
            }
            if running.is_empty() && waiting.len() == 0 {
                return Poll::Ready(());
            }
            // A future that ended made room for one that was not polled yet.
            if done.len() == before || waiting.len() == 0 {
                return Poll::Pending;
            }
        }
    })
    .await;
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::block_on;
    use std::cell::Cell;

    #[test]
    fn all_end_in_order_and_few_run_at_once() {
        let running = Cell::new(0_usize);
        let most = Cell::new(0_usize);
        let futures: Vec<_> = (0..50_usize)
            .map(|index| {
                let (running, most) = (&running, &most);
                async move {
                    running.set(running.get() + 1);
                    most.set(most.get().max(running.get()));
                    for _ in 0..(50 - index) % 7 {
                        yield_once().await;
                    }
                    running.set(running.get() - 1);
                    index
                }
            })
            .collect();
        assert_eq!(block_on(all(futures, 4)), (0..50).collect::<Vec<_>>());
        assert_eq!((running.get(), most.get()), (0, 4));
        assert!(block_on(all(Vec::<std::future::Ready<()>>::new(), 4)).is_empty());
    }

    async fn yield_once() {
        let mut first = true;
        poll_fn(|context| {
            if std::mem::take(&mut first) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}
