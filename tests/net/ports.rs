//! The RTP port pool: pairs, turn, rest, ports of other programs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use antiphon::net::media::{PoolError, PortPool};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const REST: Duration = Duration::from_secs(5);

#[test]
fn only_whole_even_pairs_count() {
    let capacity = |range| PortPool::new(range, vec![V4], REST, 0).capacity();
    assert_eq!(capacity(23_000..=23_009), 5);
    assert_eq!(capacity(23_001..=23_009), 4);
    assert_eq!(capacity(23_001..=23_010), 4);
    assert_eq!(capacity(0..=5), 2);
    assert_eq!(capacity(23_001..=23_002), 0);
    assert_eq!(capacity(65_534..=65_535), 1);
    assert_eq!(capacity(0..=65_535), 32_767);
}

#[test]
fn an_empty_pool_is_exhausted() {
    let mut pool = PortPool::new(23_001..=23_002, vec![V4], REST, 7);
    let result = pool.reserve(V4, Instant::now());
    assert!(matches!(result, Err(PoolError::Exhausted { capacity: 0 })));
}

#[test]
fn pairs_are_handed_out_in_turn_from_the_start_and_rest() {
    let mut now = Instant::now();
    let mut pool = PortPool::new(23_100..=23_105, vec![V4], REST, 4); // start: 4 mod 3 = 1
    let first = pool.reserve(V4, now).unwrap();
    assert_eq!((first.rtp_port, first.rtcp_port), (23_102, 23_103));
    assert_eq!(first.rtp.local_addr().unwrap().port(), 23_102);
    assert_eq!(first.rtcp.local_addr().unwrap().port(), 23_103);
    let second = pool.reserve(V4, now).unwrap();
    let third = pool.reserve(V4, now).unwrap();
    assert_eq!((second.rtp_port, third.rtp_port), (23_104, 23_100));
    assert!(matches!(
        pool.reserve(V4, now),
        Err(PoolError::Exhausted { capacity: 3 })
    ));

    // Released: closed at once, but not used again before the rest is over.
    pool.release(second, now);
    assert!(UdpSocket::bind((V4, 23_104)).is_ok());
    let released = now;
    now += REST.saturating_sub(Duration::from_millis(1));
    assert!(pool.reserve(V4, now).is_err());
    now = released + REST;
    assert_eq!(pool.reserve(V4, now).unwrap().rtp_port, 23_104);
}

#[test]
fn a_pair_closed_elsewhere_is_released_by_its_port() {
    let mut now = Instant::now();
    let mut pool = PortPool::new(23_200..=23_201, vec![V4], REST, 0);
    drop(pool.reserve(V4, now).unwrap());
    now += REST;
    assert!(pool.reserve(V4, now).is_err(), "in use until released");
    pool.release_port(23_200, now);
    pool.release_port(1, now); // not ours: nothing happens
    now += REST;
    assert!(pool.reserve(V4, now).is_ok());
}

#[test]
fn a_port_of_another_program_is_skipped_whole() {
    let now = Instant::now();
    let taken = UdpSocket::bind((V4, 23_301)).unwrap(); // the RTCP half suffices
    let mut pool = PortPool::new(23_300..=23_303, vec![V4], REST, 0);
    let pair = pool.reserve(V4, now).unwrap();
    assert_eq!(pair.rtp_port, 23_302);
    assert!(pool.reserve(V4, now).is_err());
    drop(taken);
    assert!(
        pool.reserve(V4, now).is_err(),
        "looked at again after a rest only"
    );
    assert_eq!(pool.reserve(V4, now + REST).unwrap().rtp_port, 23_300);
}

#[test]
fn the_local_address_is_the_one_asked_for_or_its_familys() {
    let now = Instant::now();
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let mut pool = PortPool::new(23_400..=23_499, vec![any, V4, V6], REST, 0);
    assert_eq!(pool.reserve(V4, now).unwrap().address, V4);
    assert_eq!(
        pool.reserve(other, now).unwrap().address,
        other,
        "the wildcard allows all"
    );
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(
        pool.reserve(elsewhere, now).unwrap().address,
        any,
        "not ours"
    );
    assert_eq!(
        pool.reserve(IpAddr::V6(Ipv6Addr::UNSPECIFIED), now)
            .unwrap()
            .address,
        V6
    );
    let mut pool = PortPool::new(23_400..=23_499, vec![V4], REST, 0);
    assert!(matches!(
        pool.reserve(V6, now),
        Err(PoolError::NoAddress(V6))
    ));
}

#[test]
fn an_address_that_is_not_ours_is_an_error_with_its_name() {
    let documentation = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let mut pool = PortPool::new(23_500..=23_509, vec![documentation], REST, 0);
    let error = pool.reserve(documentation, Instant::now()).unwrap_err();
    assert!(matches!(error, PoolError::Bind { .. }));
    assert!(error.to_string().contains("192.0.2.1:23500"), "{error}");
}

#[test]
fn a_pair_moves_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let mut pool = PortPool::new(23_600..=23_609, vec![V4], REST, 0);
    is_send(&pool.reserve(V4, Instant::now()).unwrap());
}
