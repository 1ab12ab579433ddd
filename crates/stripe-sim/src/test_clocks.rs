//! `/v1/test_helpers/test_clocks`: timelines that only their own `advance` moves.
//!
//! Guesses: an advance is carried out at once, and its answer alone says `advancing`; it may be of
//! any length, where Stripe stops at two billing intervals.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agenda::Timeline;
use crate::calendar::DAY_S;
use crate::errors::Refusal;
use crate::lifecycle;
use crate::moment::Moment;
use crate::page::{self, PageRequest};
use crate::store::Record;
use crate::world::{Answer, Call, World};

const KEPT_S: i64 = 30 * DAY_S;
/// Stripe's limit on the customers of one clock.
const MAX_CUSTOMERS: usize = 3;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TestClock {
    pub(crate) id: String,
    pub(crate) frozen_time: i64,
    pub(crate) deleted: bool,
    created: i64,
    name: Option<String>,
}

impl Record for TestClock {
    const NOUN: &'static str = "test clock";

    fn id(&self) -> &str {
        &self.id
    }
}

impl TestClock {
    pub(crate) fn to_value(&self) -> Value {
        json!({
            "id": self.id,
            "object": "test_helpers.test_clock",
            "created": self.created,
            "deletes_after": self.created + KEPT_S,
            "frozen_time": self.frozen_time,
            "livemode": false,
            "name": self.name,
            "status": "ready",
            "status_details": {},
        })
    }
}

impl World {
    /// What time it is on a timeline, of which `now` is the simulator's own.
    pub(crate) fn time_on(&self, timeline: &Timeline, now: i64) -> i64 {
        let clock = timeline.as_ref().and_then(|id| self.test_clocks.get(id));
        clock.map_or(now, |clock| clock.frozen_time)
    }

    /// What time it is for a customer, known or not.
    pub(crate) fn time_of(&self, customer: &str, now: i64) -> i64 {
        let customer = self.customers.get(customer);
        customer.map_or(now, |it| self.time_on(&it.test_clock, now))
    }
}

/// The clock that a new customer is to live on.
pub(crate) fn admit_customer(world: &World, id: &str) -> Result<i64, Refusal> {
    let clock = world.test_clocks.get(id).filter(|clock| !clock.deleted);
    let clock = clock.ok_or_else(|| Refusal::no_such_in("test_clock", TestClock::NOUN, id))?;
    let customers = world.customers.as_slice().iter();
    let of_clock = customers.filter(|it| !it.deleted && it.test_clock.as_deref() == Some(id));
    if of_clock.count() >= MAX_CUSTOMERS {
        return Err(Refusal::refused(
            Some("test_clock"),
            None,
            format!("Test clocks can have at most {MAX_CUSTOMERS} customers."),
        ));
    }
    Ok(clock.frozen_time)
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let frozen_time = call.fields.timestamp("frozen_time");
    let frozen_time = call.fields.need("frozen_time", frozen_time);
    let name = call.fields.text("name", 300);
    call.fields.finish()?;
    let clock = TestClock {
        id: call.ids.test_clock(),
        frozen_time,
        deleted: false,
        created: call.now,
        name,
    };
    let value = clock.to_value();
    call.world.test_clocks.push(clock);
    Ok(value)
}

fn living<'w>(world: &'w World, id: &str) -> Result<&'w TestClock, Refusal> {
    let found = world.test_clocks.get(id).filter(|clock| !clock.deleted);
    found.ok_or_else(|| Refusal::no_such(TestClock::NOUN, id))
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    Ok(living(call.world, &call.id)?.to_value())
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let page = PageRequest::read(&mut call.fields);
    call.fields.finish()?;
    let (clocks, has_more) = page.of_store(&call.world.test_clocks, |clock| !clock.deleted)?;
    let data = clocks.into_iter().map(TestClock::to_value).collect();
    Ok(page::list("/v1/test_helpers/test_clocks", data, has_more))
}

/// Lets everything happen that is due on the way, in its order and each at its own time.
pub(crate) fn advance(mut call: Call<'_>) -> Answer {
    let to = call.fields.timestamp("frozen_time");
    let to = call.fields.need("frozen_time", to);
    call.fields.finish()?;
    let world = call.world;
    let before = living(world, &call.id)?.frozen_time;
    if to <= before {
        return Err(Refusal::refused(
            Some("frozen_time"),
            None,
            "The time to advance to must be after the current frozen time of the test clock.",
        ));
    }
    if let Some(clock) = world.test_clocks.get_mut(&call.id) {
        clock.frozen_time = to;
    }
    // What happens on the way is caused by time, not by this call.
    world.events.cause = None;
    lifecycle::settle(world, call.ids, call.now);
    let mut value = living(world, &call.id)?.to_value();
    if let Some(fields) = value.as_object_mut() {
        let details = json!({ "advancing": { "target_frozen_time": to } });
        fields.insert("status".to_owned(), json!("advancing"));
        fields.insert("status_details".to_owned(), details);
    }
    Ok(value)
}

/// Deletes the clock with its customers, and with them what they had subscribed to.
pub(crate) fn delete(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let world = call.world;
    let at = living(world, &call.id)?.frozen_time;
    if let Some(clock) = world.test_clocks.get_mut(&call.id) {
        clock.deleted = true;
    }
    let customers = world.customers.as_slice().iter();
    let of_clock = customers.filter(|it| it.test_clock.as_ref() == Some(&call.id));
    let ids: Vec<String> = of_clock.map(|it| it.id.clone()).collect();
    for id in ids {
        let mut moment = Moment {
            world: &mut *world,
            ids: &mut *call.ids,
            at,
        };
        crate::customers::remove(&mut moment, &id);
    }
    Ok(json!({ "id": call.id, "object": "test_helpers.test_clock", "deleted": true }))
}
