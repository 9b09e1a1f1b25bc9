//! A test of a connection whose secrets change meanwhile: its words may repeat the old ones.

use chartbrew_gateway::proto::{NewConnection, TestRequest, UpdateRequest};
use chartbrew_sandbox::{Fault, Gate};
use prost_types::FieldMask;
use serde_json::json;

use crate::support::{
    gateway::{authorized, gateway, sandbox},
    time::soon,
};

const OLD: &str = "old-password-1";
const NEW: &str = "new-password-2";

#[tokio::test]
async fn a_password_that_was_changed_during_a_test_is_cut_out_too() {
    // The change comes while the source is tested, or while the row is read whose secrets count.
    for during in [Fault::test(), Fault::get()] {
        let (sandbox, gate) = (sandbox().await, Gate::new());
        let id = sandbox.insert(1, json!({"name": "m", "password": OLD}));
        let words = format!("{OLD} and {NEW} were refused");
        let said = Fault::test().body(400, "text/plain", words);
        match during.on == said.on {
            true => sandbox.script([said.hold_before_storing(&gate)]),
            false => sandbox.script([said, during.hold_before_storing(&gate)]),
        }
        let gateway = gateway(&sandbox.url()).start().await;
        let mut client = gateway.client.clone();
        let request = TestRequest {
            team_id: 1,
            connection_id: id,
        };
        let test = tokio::spawn(async move { client.test(authorized(request)).await });
        soon(gate.reached()).await;
        let update = UpdateRequest {
            team_id: 1,
            connection_id: id,
            connection: Some(Box::new(NewConnection {
                password: Some(NEW.to_owned()),
                ..NewConnection::default()
            })),
            update_mask: Some(FieldMask {
                paths: vec!["password".to_owned()],
            }),
        };
        let mut client = gateway.client.clone();
        client.update(authorized(update)).await.unwrap();
        gate.open();
        let tested = soon(test).await.unwrap().unwrap().into_inner();
        assert!(!tested.success);
        assert!(!tested.message.contains(OLD), "{}", tested.message);
        assert!(
            tested.message.contains("test it again"),
            "{}",
            tested.message
        );
    }
}
