//! The way between simulated drives: in order for each drive, after any delay.

use engine_env::{Env, Rule};
use engine_set::{DriveOutcome, DriveRequest, Installed, Member, Peers};
use engine_store::DriveError;
use engine_types::Position;
use futures_channel::oneshot;
use shards_sim::SimEnv;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;

type Message = (DriveRequest, oneshot::Sender<DriveOutcome>);

#[derive(Default)]
struct Link {
    member: Option<Member<SimEnv, SimPeers>>,
    queue: VecDeque<Message>,
    pumping: bool,
}

/// The way to the drives of a simulated set.
#[derive(Clone)]
pub struct SimPeers {
    env: SimEnv,
    links: Rc<RefCell<Vec<Link>>>,
    views_written: Rc<Cell<u64>>,
}

impl SimPeers {
    /// A set of `count` positions, none of them there yet.
    #[must_use]
    pub fn new(env: SimEnv, count: usize) -> Self {
        let links = (0..count).map(|_| Link::default()).collect();
        Self { env, links: Rc::new(RefCell::new(links)), views_written: Rc::default() }
    }

    /// How many views drives have made durable; one that three drives wrote counts three times.
    #[must_use]
    pub fn views_written(&self) -> u64 {
        self.views_written.get()
    }

    /// Puts a member in its position.
    pub fn join(&self, member: Member<SimEnv, SimPeers>) {
        let position = usize::from(member.position().0);
        self.links.borrow_mut()[position].member = Some(member);
    }

    /// The member at a position, if its drive was opened.
    #[must_use]
    pub fn member(&self, position: Position) -> Option<Member<SimEnv, SimPeers>> {
        self.links.borrow()[usize::from(position.0)].member.clone()
    }

    /// The newest view that is served.
    #[must_use]
    pub fn installed(&self) -> Option<Rc<Installed>> {
        let links = self.links.borrow();
        let members = links.iter().filter_map(|link| link.member.as_ref());
        members
            .map(Member::installed)
            .max_by_key(|installed| (installed.view.epoch, installed.serving))
            .filter(|installed| installed.serving)
    }

    /// The process is gone: nobody answers any more. Members hold the way to each other, so that
    /// nothing of it would ever be freed otherwise.
    pub fn clear(&self) {
        let links = std::mem::take(&mut *self.links.borrow_mut());
        drop(links);
    }

    async fn pump(self, position: usize) {
        loop {
            // Messages wait in mailboxes for any time, and stay in order.
            let delay_us = self.env.random_u64() % 60;
            if delay_us > 20 {
                self.env.sleep_us(delay_us).await;
            }
            let (message, member) = {
                let mut links = self.links.borrow_mut();
                let link = &mut links[position];
                let Some(message) = link.queue.pop_front() else {
                    link.pumping = false;
                    return;
                };
                (message, link.member.clone())
            };
            let (request, reply) = message;
            match member {
                None => _ = reply.send(Err(DriveError::Failed)),
                Some(member) => {
                    let is_view = matches!(request, DriveRequest::WriteView(_));
                    let views = Rc::clone(&self.views_written);
                    let serving = member.serve(request);
                    self.env.spawn(async move {
                        let outcome = serving.await;
                        views.set(views.get() + u64::from(is_view && outcome.is_ok()));
                        _ = reply.send(outcome);
                    });
                }
            }
        }
    }
}

impl Peers for SimPeers {
    fn call(
        &self,
        position: Position,
        request: DriveRequest,
    ) -> impl Future<Output = DriveOutcome> + 'static + use<> {
        let (reply, answer) = oneshot::channel();
        let index = usize::from(position.0);
        let start = {
            let mut links = self.links.borrow_mut();
            let link = &mut links[index];
            link.queue.push_back((request, reply));
            !std::mem::replace(&mut link.pumping, true)
        };
        if start {
            self.env.spawn(self.clone().pump(index));
        }
        async move { answer.await.unwrap_or(Err(DriveError::Failed)) }
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.env.breaks(rule)
    }
}
