//! The helper that starts servers: what the other tests stand on.

use crate::support::server;

use server::Config;

#[test]
fn a_server_starts_on_ports_of_its_own_and_stops() {
    let one = Config::new().start();
    let two = Config::new().start();
    for transport in ["udp", "tcp"] {
        for v6 in [false, true] {
            assert_ne!(one.address(transport, v6).port(), 0);
            assert_ne!(one.address(transport, v6), two.address(transport, v6));
        }
    }
    assert!(one.recordings().is_empty());
    one.terminate();
    assert!(one.wait_exit().success());
    assert!(one.wait_log("stopped").contains("skipped_ticks"));
    assert!(two.is_running());
    two.kill();
    assert!(!two.is_running());
}
