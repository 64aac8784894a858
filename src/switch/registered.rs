//! Users that are registered, and calls to them.

use std::time::Instant;

use super::Switch;
use crate::app::AppSpec;
use crate::call::CallHandle;
use crate::sip::registration::Registered;
use crate::sip::transport::Flow;
use crate::sip::uri::Uri;

impl Switch {
    /// Where a user is registered.
    pub fn contact(&self, user: &str, now: Instant) -> Option<Registered> {
        self.registrar.contact(user, now)
    }

    /// The users that are registered.
    pub fn registered(&self, now: Instant) -> Vec<String> {
        self.registrar.users(now)
    }

    /// Calls who is registered by the path of its REGISTER; what follows takes that too, unless there is a
    /// route set, or its Contact says where it is: it may come by another connection when this one is gone.
    pub fn call_back(
        &mut self,
        uri: String,
        from_user: String,
        path: Flow,
        spec: AppSpec,
        now: Instant,
    ) -> CallHandle {
        let host = uri.parse::<Uri>().ok().and_then(|uri| uri.host.ip());
        let is_there = host == Some(path.remote.ip().to_canonical());
        let handle = self.place(uri, from_user, path, Vec::new(), spec, now);
        if !is_there {
            self.with_call(handle, |call| call.keep_path(host));
        }
        self.settle(now);
        handle
    }
}
