//! The normal form in which organizations are searched is filled by a worker where it lacks: a trigger
//! empties it when a text changes, in a statement of an older release too.

use billing_proto::org::v1::ListOrganizationsRequest;

use crate::support::{OrgSvc, World, eventually, new_id, observation};

async fn names_found(org_svc: &OrgSvc, query: &str) -> Vec<String> {
    let request = ListOrganizationsRequest {
        query: query.to_owned(),
        page_size: 50,
        ..ListOrganizationsRequest::default()
    };
    let mut client = org_svc.organizations.clone();
    let answer = client.list_organizations(request).await.unwrap();
    let found = answer.into_inner().organizations.into_iter();
    found.map(|organization| organization.name).collect()
}

#[tokio::test]
async fn a_text_that_changes_is_searched_in_its_new_form() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let id = new_id();
    // Composed, with letters of full width: searched without accents and in any case, shown as it was sent.
    let name = "Société Ｇénérale";
    let first = observation(id, name, "acme.eu", world.now());
    let _standing = org_svc.observe(vec![first]).await;
    assert_eq!(names_found(&org_svc, "societe generale").await, [name]);

    let renamed = format!(
        "UPDATE organizations SET name = 'Électricité ﬁne' WHERE id = '{id}' RETURNING search_form"
    );
    assert_eq!(world.text(&renamed).await, None, "the trigger empties it");
    let form = format!("SELECT search_form FROM organizations WHERE id = '{id}'");
    let filled = eventually("the worker fills it", || world.text(&form)).await;
    assert_eq!(filled, "electricite fine\nacme.eu\n");
    let found = names_found(&org_svc, "ELECTRICITE fi").await;
    assert_eq!(found, ["Électricité ﬁne"]);
    assert!(names_found(&org_svc, "societe").await.is_empty());

    // A row of before the column was there.
    let emptied =
        format!("UPDATE organizations SET search_form = NULL WHERE id = '{id}' RETURNING id::text");
    assert_eq!(world.text(&emptied).await, Some(id.to_string()));
    let again = eventually("the worker fills it again", || world.text(&form)).await;
    assert_eq!(again, filled);
}
