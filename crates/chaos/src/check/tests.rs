//! Records that agree, and each way of tampering with them.

use super::*;
use crate::journal::{Change, ChangeAnswer, ForgedAnswer, UnlinkAnswer};
use crate::records::{
    Ledger, LedgerCustomer, LedgerEvent, LedgerInvoice, LedgerItem, LedgerLine, LedgerPrice, List,
    ORGANIZATION, Period, StoredOrganization, StoredReport, day_of,
};

const AT: i64 = 1_795_500_000;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// One linked organization with one report, as all three records should tell it.
fn good() -> Records {
    let organization = id(1);
    Records {
        told: vec![
            Told::Report {
                sent: SentReport {
                    organization,
                    at: AT,
                    user_count: 7,
                },
                answer: ReportAnswer::Recorded {
                    report_id: id(2).to_string(),
                    status: "pending".to_owned(),
                },
            },
            told_linked("sub_1"),
        ],
        reports: vec![StoredReport {
            id: id(2),
            organization_id: organization,
            at: AT,
            user_count: 7,
            delivery_state: "sent".to_owned(),
            stripe_meter_event_id: Some("ur_2".to_owned()),
            error_code: None,
        }],
        organizations: vec![StoredOrganization {
            id: organization,
            name: "Chaos 1".to_owned(),
            subscription_status: "trial".to_owned(),
            stripe_customer_id: Some("cus_1".to_owned()),
            stripe_subscription_id: Some("sub_1".to_owned()),
            deployment_type: Some("on-premise".to_owned()),
            plan_type: Some("self-hosted".to_owned()),
            trial_end: Some(AT + 100),
            cancel_at: None,
            current_period_end: Some(AT + 100),
            user_count: Some(7),
        }],
        summaries: BTreeMap::from([(
            "cus_1".to_owned(),
            BTreeMap::from([(day_of(AT), "7".to_owned())]),
        )]),
        ledger: ledger(organization),
        ..Records::default()
    }
}

fn told_linked(subscription: &str) -> Told {
    Told::Link {
        organization: id(1),
        trial_days: 0,
        answer: LinkAnswer::Linked {
            customer: "cus_1".to_owned(),
            subscription: subscription.to_owned(),
        },
    }
}

fn ledger(organization: Uuid) -> Ledger {
    let metadata = BTreeMap::from([(ORGANIZATION.to_owned(), organization.to_string())]);
    Ledger {
        customers: vec![LedgerCustomer {
            id: "cus_1".to_owned(),
            metadata: metadata.clone(),
        }],
        subscriptions: vec![LedgerSubscription {
            id: "sub_1".to_owned(),
            customer: "cus_1".to_owned(),
            status: "trialing".to_owned(),
            start_date: AT - 1,
            ended_at: None,
            trial_end: Some(AT + 100),
            cancel_at: None,
            items: List {
                data: vec![LedgerItem {
                    current_period_end: AT + 100,
                    price: LedgerPrice {
                        lookup_key: Some("vaultai_self_hosted_on_on_premise".to_owned()),
                    },
                }],
            },
            metadata,
        }],
        meter_events: vec![LedgerEvent {
            received_order: 0,
            identifier: "ur_2".to_owned(),
            customer: "cus_1".to_owned(),
            value: "7".to_owned(),
            timestamp: AT,
        }],
        invoices: vec![invoice("in_1", AT - 10, AT), invoice("in_2", AT, AT + 10)],
        ..Ledger::default()
    }
}

fn invoice(id: &str, start: i64, end: i64) -> LedgerInvoice {
    LedgerInvoice {
        id: id.to_owned(),
        customer: "cus_1".to_owned(),
        status: "open".to_owned(),
        lines: List {
            data: vec![LedgerLine {
                period: Period { start, end },
            }],
        },
    }
}

/// The subscription ends before its report, and the organization comes back after it.
fn came_back(records: &mut Records) {
    let mut second = records.ledger.subscriptions[0].clone();
    second.id = "sub_2".to_owned();
    second.start_date = AT + 5;
    let first = &mut records.ledger.subscriptions[0];
    first.status = "canceled".to_owned();
    first.ended_at = Some(AT + 3);
    records.ledger.subscriptions.push(second);
    records.organizations[0].stripe_subscription_id = Some("sub_2".to_owned());
    records.told.push(Told::Unlink {
        organization: id(1),
        answer: UnlinkAnswer::Unlinked,
    });
    records.told.push(told_linked("sub_2"));
}

/// Lost, doubled and wrong, after the records were tampered with.
fn found(tamper: impl FnOnce(&mut Records)) -> [bool; 3] {
    let mut records = good();
    tamper(&mut records);
    let verdict = judge(1, &records);
    [verdict.lost, verdict.doubled, verdict.wrong].map(|count| count > 0)
}

#[test]
fn three_records_that_agree_are_clean() {
    let verdict = judge(1, &good());
    assert_eq!(verdict.findings, []);
    assert_eq!(
        verdict.line(),
        "faults 0, reports 1, links 1, lost 0, doubled 0, wrong 0"
    );
}

#[test]
fn an_organization_may_end_and_come_back() {
    let mut records = good();
    came_back(&mut records);
    assert_eq!(judge(1, &records).findings, []);
    // The first one's report is not of the second.
    let overlapping = |it: &mut Records| {
        came_back(it);
        it.ledger.subscriptions[0].ended_at = Some(AT + 6);
    };
    assert!(found(overlapping)[1]);
    let before_both = |it: &mut Records| {
        came_back(it);
        it.ledger.subscriptions[0].start_date = AT + 1;
    };
    assert!(found(before_both)[2]);
}

/// An admin ends the subscription at once after the report, or before it; and it is not billed.
fn ended_unbilled(records: &mut Records, asked_after: bool) {
    let asked = Told::AskedToEnd {
        organization: id(1),
    };
    records.told.insert(usize::from(asked_after), asked);
    records.told.push(Told::Change {
        organization: id(1),
        change: Change::CancelNow,
        answer: ChangeAnswer::Done {
            subscription: "sub_1".to_owned(),
        },
    });
    let subscription = &mut records.ledger.subscriptions[0];
    subscription.status = "canceled".to_owned();
    subscription.ended_at = Some(AT + 3);
    records.organizations[0].subscription_status = "canceled".to_owned();
    records.reports[0].delivery_state = "not_billed".to_owned();
    records.reports[0].stripe_meter_event_id = None;
    records.ledger.meter_events.clear();
    records.summaries.clear();
}

#[test]
fn what_was_there_before_the_end_is_billed() {
    let clean = [false; 3];
    assert_eq!(found(|it| ended_unbilled(it, false)), clean);
    assert_eq!(found(|it| ended_unbilled(it, true)), [true, false, false]);
    let asked_again = |it: &mut Records| {
        ended_unbilled(it, false);
        let asked = it.told[0].clone();
        let answer = it.told[it.told.len() - 1].clone();
        it.told.extend([asked, answer]);
    };
    assert_eq!(found(asked_again), clean, "it came after the first answer");
    let missed = |it: &mut Records| {
        ended_unbilled(it, true);
        it.reports[0].delivery_state = "missed_invoice".to_owned();
    };
    assert_eq!(found(missed), clean, "its invoice is final");
    let not_missed = |it: &mut Records| {
        missed(it);
        it.ledger.invoices.pop();
    };
    assert!(found(not_missed)[0], "there is no such invoice");
    let gave_way = |it: &mut Records| {
        ended_unbilled(it, true);
        missed_its_invoice(it);
        it.organizations[0].user_count = Some(7);
    };
    assert_eq!(found(gave_way), clean, "the last of its day was missed");
    let gave_way_to_nothing = |it: &mut Records| {
        gave_way(it);
        it.reports[1].delivery_state = "not_billed".to_owned();
    };
    assert!(found(gave_way_to_nothing)[0], "so is the last of its day");
    let came_after_the_unlinking = |it: &mut Records| {
        gave_way(it);
        let mut nobodys = it.reports[1].clone();
        (nobodys.id, nobodys.at) = (id(4), AT + 2);
        nobodys.delivery_state = "not_billed".to_owned();
        it.reports.push(nobodys);
    };
    let [is_lost, ..] = found(came_after_the_unlinking);
    assert!(!is_lost, "it had given way to the one that was missed");
}

/// The day's last report came after its invoice; the one before it had given way to it.
fn missed_its_invoice(records: &mut Records) {
    let mut last = records.reports[0].clone();
    last.id = id(3);
    last.at = AT + 1;
    last.delivery_state = "missed_invoice".to_owned();
    last.stripe_meter_event_id = None;
    records.told.push(Told::Report {
        sent: SentReport {
            organization: id(1),
            at: last.at,
            user_count: last.user_count,
        },
        answer: ReportAnswer::Recorded {
            report_id: last.id.to_string(),
            status: "active".to_owned(),
        },
    });
    records.reports[0].delivery_state = "superseded".to_owned();
    records.reports[0].stripe_meter_event_id = None;
    records.reports.push(last);
    records.ledger.meter_events.clear();
    records.summaries.clear();
}

#[test]
fn what_came_after_its_invoice_is_missed_and_not_lost() {
    assert_eq!(found(missed_its_invoice), [false; 3]);
    let not_final = |it: &mut Records| {
        missed_its_invoice(it);
        it.ledger.invoices[1].status = "draft".to_owned();
    };
    assert!(found(not_final)[0]);
}

#[test]
fn every_record_that_is_lost_or_doubled_is_seen() {
    assert!(found(|it| it.reports.clear())[0], "a lost report");
    assert!(found(|it| it.ledger.meter_events.clear())[0], "lost usage");
    assert!(
        found(|it| it.ledger.subscriptions.clear())[0],
        "a lost link"
    );
    let twice = |it: &mut Records| {
        let mut event = it.ledger.meter_events[0].clone();
        event.identifier = "ur_3".to_owned();
        event.received_order = 1;
        it.ledger.meter_events.push(event);
    };
    assert!(found(twice)[1], "two events of one report");
    let customer = |it: &mut Records| {
        let mut customer = it.ledger.customers[0].clone();
        customer.id = "cus_2".to_owned();
        it.ledger.customers.push(customer);
    };
    assert!(found(customer)[1], "two customers");
    let subscription = |it: &mut Records| {
        let mut subscription = it.ledger.subscriptions[0].clone();
        subscription.id = "sub_0".to_owned();
        it.ledger.subscriptions.insert(0, subscription);
    };
    assert!(found(subscription)[1], "two subscriptions at once");
    let invoiced = |it: &mut Records| it.ledger.invoices.push(invoice("in_3", AT - 1, AT + 1));
    assert!(found(invoiced)[1], "a day on two invoices");
}

/// A forged report of the organization, stored in this state.
fn forge(records: &mut Records, state: &str) {
    let sent = SentReport {
        organization: id(1),
        at: AT + 1,
        user_count: 1_000_000,
    };
    let answer = ForgedAnswer::Status { status: 200 };
    records.told.push(Told::Forged { sent, answer });
    records.reports.push(StoredReport {
        id: id(9),
        at: sent.at,
        user_count: sent.user_count,
        delivery_state: state.to_owned(),
        stripe_meter_event_id: None,
        ..records.reports[0].clone()
    });
}

#[test]
fn a_forged_report_is_held_and_counts_nowhere() {
    for state in ["held", "not_billed", "superseded"] {
        assert_eq!(found(|it| forge(it, state)), [false; 3], "{state}");
    }
    for (what, tampered) in [
        ("sent", found(|it| forge(it, "sent"))),
        ("waiting", found(|it| forge(it, "waiting"))),
        (
            "billed",
            found(|it| {
                forge(it, "held");
                it.ledger.meter_events[0].value = "1000000".to_owned();
            }),
        ),
        (
            "shown",
            found(|it| {
                forge(it, "held");
                it.organizations[0].user_count = Some(1_000_000);
            }),
        ),
        (
            "renamed",
            found(|it| {
                forge(it, "held");
                it.organizations[0].name = "Forged".to_owned();
            }),
        ),
        (
            "in the place of a real one",
            found(|it| {
                let sent = SentReport {
                    organization: id(1),
                    at: AT,
                    user_count: 1_000_000,
                };
                let answer = ForgedAnswer::Status { status: 200 };
                it.told.push(Told::Forged { sent, answer });
            }),
        ),
    ] {
        assert!(tampered[2], "{what}");
    }
}

#[test]
fn every_record_that_is_wrong_is_seen() {
    for (what, tampered) in [
        ("content", found(|it| it.reports[0].user_count = 8)),
        ("id", found(|it| it.reports[0].id = id(3))),
        (
            "state",
            found(|it| it.reports[0].delivery_state = "queued".to_owned()),
        ),
        (
            "value",
            found(|it| it.ledger.meter_events[0].value = "8".to_owned()),
        ),
        (
            "before the link",
            found(|it| it.ledger.subscriptions[0].start_date = AT + 1),
        ),
        (
            "sums",
            found(|it| it.summaries.values_mut().for_each(BTreeMap::clear)),
        ),
        (
            "told",
            found(|it| it.organizations[0].stripe_customer_id = Some("cus_9".to_owned())),
        ),
        (
            "status",
            found(|it| it.ledger.subscriptions[0].status = "active".to_owned()),
        ),
        (
            "plan",
            found(|it| it.organizations[0].plan_type = Some("managed-cloud".to_owned())),
        ),
        (
            "end",
            found(|it| it.ledger.subscriptions[0].cancel_at = Some(AT)),
        ),
        (
            "seats",
            found(|it| it.organizations[0].user_count = Some(8)),
        ),
        (
            "unlinked",
            found(|it| {
                it.told.push(Told::Unlink {
                    organization: id(1),
                    answer: UnlinkAnswer::Unlinked,
                });
            }),
        ),
        (
            "logs",
            found(|it| it.error_lines.push("panicked".to_owned())),
        ),
    ] {
        assert!(tampered[2], "{what}");
    }
}
