//! Listings beside changes of view, on a whole node (rule 18).

use super::*;
use crate::rig::Rig;
use engine_set::{DriveRequest, Installed};

const SET: SetId = SetId(0);
const BUCKET: BucketId = BucketId(1);

/// The view in force, as it would be installed once more.
fn next_view(node: &Node) -> Installed {
    let before = node.shared.view(SET);
    Installed { number: before.number + 1, ..Installed::clone(&before) }
}

/// Puts a view in force at one member: a change of view comes to one after the other.
async fn install(node: &Node, position: Position, installed: Installed) {
    let shard = node.shared.shard_of(SET, position).unwrap();
    let told = node.run(shard, move |local| async move {
        let member = local.member(SET, position).unwrap();
        member.serve(DriveRequest::Install(Box::new(installed))).await.unwrap();
    });
    told.await.unwrap();
}

/// Why objects are not listed, and why uploads are not.
async fn refusals(node: &Node) -> [Option<SetError>; 2] {
    let query = SetListQuery { entries_max: 10, ..SetListQuery::default() };
    let objects = node.list(BUCKET, &query).await.err();
    let uploads = node.list_uploads(BUCKET, "", "", None, 10).await.err();
    [objects, uploads]
}

#[test]
fn pages_of_two_views_are_never_put_together() {
    let mut rig = Rig::start();
    let node = rig.node.clone();
    rig.run(async move {
        let next = next_view(&node);
        let pages = node.at_all_leaders(|| {
            let next = next.clone();
            move |member: NodeMember| async move {
                // The first reads its page under the old view, the second under the next one.
                if member.position() == Position(1) {
                    member.serve(DriveRequest::Install(Box::new(next))).await?;
                }
                Ok::<_, SetError>(member.position())
            }
        });
        assert_eq!(pages.await, Err(SetError::Unavailable));
    });
}

#[test]
fn a_listing_needs_every_member_under_the_newest_view() {
    let mut rig = Rig::start();
    let node = rig.node.clone();
    rig.run(async move {
        assert_eq!(refusals(&node).await, [None, None]);
        let next = next_view(&node);
        node.shared.publish(SET, next.clone());
        install(&node, Position(1), next.clone()).await;
        let unavailable = Some(SetError::Unavailable);
        assert_eq!(refusals(&node).await, [unavailable, unavailable]);
        install(&node, Position(0), next).await;
        assert_eq!(refusals(&node).await, [None, None]);
    });
}
