//! What subscriptions are called in other contracts: found by it, kept over restarts, and never given twice.

use waxwing::domain::public_id::{PublicId, PublicIds};
use waxwing::domain::subscription::Subscription;
use waxwing::domain::tenant::Tenant;
use waxwing::store::StoreError;

use super::world::*;

const MAREA: &str = "mk_we_0123456789abcdef";
const AGENTMESSAGE: &str = "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f";

fn imported() -> Subscription {
    let public_ids = PublicIds { marea: MAREA.parse().ok(), agentmessage: AGENTMESSAGE.parse().ok() };
    Subscription { public_ids, ..subscription_to("*") }
}

/// Who is called so in the tenant.
fn called(world: &World, of: &Subscription, id: PublicId) -> Option<Subscription> {
    let catalogue = world.store.catalogue();
    let tenant = catalogue.tenant(of.tenant).unwrap();
    tenant.subscription_by_public_id(&id).map(|found| (**found).clone())
}

#[test]
fn a_subscription_is_found_by_each_of_its_names_after_a_power_cut_too() {
    let mut world = World::new();
    let (own, imported) = (world.subscribe(subscription_to("*")), world.subscribe(imported()));
    let mut world = world.after_power_cut();
    assert_eq!(imported.marea_id().to_string(), MAREA);
    assert_eq!(imported.agentmessage_id().to_string(), AGENTMESSAGE);
    for known in [&own, &imported] {
        for name in [PublicId::Marea(known.marea_id()), PublicId::AgentMessage(known.agentmessage_id())] {
            assert_eq!(called(&world, known, name).as_ref(), Some(known), "{name:?}");
        }
    }
    // The names that would follow from its own id are not its names.
    let derived = PublicIds::default().all_of(imported.id);
    assert!(derived.into_iter().all(|name| called(&world, &imported, name).is_none()));
    // A change leaves them, whatever it says.
    let store = world.store.clone();
    let change = Box::new(|subscription: &mut Subscription| {
        subscription.public_ids = PublicIds::default();
        subscription.is_active = false;
        Ok(())
    });
    let changed = world.run(store.update_subscription(imported.id, change, None)).unwrap();
    assert_eq!(changed.public_ids, imported.public_ids);
    assert_eq!(called(&world, &changed, PublicId::Marea(changed.marea_id())), Some(changed));
    assert_clean(world.check());
}

#[test]
fn a_name_is_given_once_in_a_tenant_and_again_when_its_bearer_is_gone() {
    let mut world = World::new();
    let first = world.subscribe(imported());
    let store = world.store.clone();
    let other_tenant = world.run(store.create_tenant(Tenant { external_id: None, ..tenant("other") }, None)).unwrap();
    for (marea, agentmessage) in [(Some(MAREA), None), (None, Some(AGENTMESSAGE))] {
        let public_ids = PublicIds {
            marea: marea.map(|id| id.parse().unwrap()),
            agentmessage: agentmessage.map(|id| id.parse().unwrap()),
        };
        let second = Subscription { public_ids, ..subscription_to("*") };
        let refused = world.run(store.create_subscription(second.clone(), None));
        assert!(matches!(refused, Err(StoreError::AlreadyExists)), "{refused:?}");
        let elsewhere = Subscription { tenant: other_tenant.id, ..second };
        world.run(store.create_subscription(elsewhere, None)).unwrap();
    }
    world.run(store.delete_subscription(first.id, None)).unwrap();
    assert_eq!(called(&world, &first, PublicId::Marea(first.marea_id())), None);
    world.subscribe(imported());
}
