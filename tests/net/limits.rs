//! How many stream connections there may be, and whose they are.

use super::tcp::{LONG, Server, options, read_to_end, settings};

use std::net::SocketAddr;

use antiphon::net::gate::AccessLists;
use antiphon::net::sip::Settings;
use antiphon::sip::transport::Transport;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn connections_beyond_the_limits_are_closed_at_once() {
    let per_address = Settings {
        tcp_connections_per_address: 2,
        ..settings()
    };
    let in_all = Settings {
        tcp_connections: 2,
        ..settings()
    };
    for limited in [per_address, in_all] {
        let mut server = Server::start(limited);
        let mut first = server.connect().await;
        let mut second = server.connect().await;
        let mut third = server.connect().await;
        assert_eq!(read_to_end(&mut third).await, b"");
        assert_eq!(server.net.stats().tcp_refused, 1);
        // The others are as before, and the next is let in when one has gone.
        for client in [&mut first, &mut second] {
            client.write_all(&options("1", "")).await.unwrap();
            server.request().await;
        }
        drop(first);
        server.closed().await;
        let mut fourth = server.connect().await;
        fourth.write_all(&options("1", "")).await.unwrap();
        server.request().await;
        assert_eq!(server.net.connections(), 2);
    }
}

#[tokio::test]
async fn the_limit_per_address_leaves_room_for_others() {
    let mut server = Server::start(Settings {
        tcp_connections_per_address: 1,
        ..settings()
    });
    let _first = server.connect().await;
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(server.here).await.unwrap();
    other.write_all(&options("1", "")).await.unwrap();
    assert_eq!(server.request().await.0.remote, other.local_addr().unwrap());
}

async fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(from.parse().unwrap(), 0))
        .unwrap();
    socket.connect(to).await.unwrap()
}

/// One source that takes all it can get is in the way neither of trusted peers and our own calls nor of
/// other sources.
#[tokio::test]
async fn a_source_with_many_connections_leaves_room_for_others() {
    let mut server = Server::start(Settings {
        tcp_connections: 20,
        access: AccessLists {
            trusted: vec!["127.0.0.3/32".parse().unwrap()],
            rules: Vec::new(),
        },
        ..settings()
    });
    let here = server.here;
    let mut held = Vec::new();
    for _ in 0..18 {
        let mut client = connect_from("127.0.0.2", here).await;
        client.write_all(&options("1", "")).await.unwrap();
        server.request().await;
        held.push(client);
    }
    let mut refused = connect_from("127.0.0.2", here).await;
    assert_eq!(read_to_end(&mut refused).await, b"");
    assert_eq!(server.net.stats().tcp_refused, 1);
    // Another source has the place of its newest.
    let mut other = connect_from("127.0.0.4", here).await;
    assert_eq!(read_to_end(&mut held.pop().unwrap()).await, b"");
    server.closed().await;
    other.write_all(&options("2", "")).await.unwrap();
    assert_eq!(server.request().await.0.remote, other.local_addr().unwrap());
    assert_eq!(server.net.stats().tcp_refused, 2);
    // The tenth that is kept.
    let mut trusted = connect_from("127.0.0.3", here).await;
    trusted.write_all(&options("3", "")).await.unwrap();
    server.request().await;
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = peer.local_addr().unwrap();
    let flow = server.net.flow_to(Transport::Tcp, remote).unwrap();
    server.net.send(flow, options("4", ""));
    let _opened = timeout(LONG, peer.accept()).await.unwrap().unwrap();
    assert_eq!(server.net.connections(), 20);
    for client in &mut held {
        client.write_all(&options("5", "")).await.unwrap();
        server.request().await;
    }
}
