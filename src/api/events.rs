//! What is told to readers of events.

use std::time::Instant;

use serde_json::json;

use super::Api;
use super::v1::call_body;
use crate::switch::{Event, Switch};

impl Api {
    /// Something happened in the switch.
    pub fn on_event(&mut self, event: &Event, switch: &Switch, now: Instant) {
        self.state.counters.count(event);
        let time = self.state.clock.text(now);
        match event {
            Event::Started { call, .. } if self.state.is_read("call.started") => {
                if let Some(view) = switch.view(*call) {
                    let call = call_body(&view, &self.state, now);
                    let event = json!({"type": "call.started", "time": time, "call": call});
                    self.state.publish("call.started", &event);
                }
            }
            _ => {}
        }
    }
}
