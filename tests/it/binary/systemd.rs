//! What a service manager hears: `NOTIFY_SOCKET` of systemd's `sd_notify`.

use tokio::net::UnixDatagram;

use crate::support::binary::{PATIENCE, Start};

async fn heard(socket: &UnixDatagram) -> String {
    let mut message = vec![0; 4096];
    let bytes = tokio::time::timeout(PATIENCE, socket.recv(&mut message)).await.expect("it comes in time").unwrap();
    String::from_utf8_lossy(&message[..bytes]).into_owned()
}

#[tokio::test]
async fn a_manager_hears_when_the_server_takes_work_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let start = Start::in_dir(&folder.path().join("data")).with_environment("NOTIFY_SOCKET", path.to_str().unwrap());
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let server = start.start().await;
    let ready = heard(&socket).await;
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert!(ready.contains(&format!("STATUS=listens on {}", server.address)), "{ready}");
    server.api.get("/readyz").await.expect(200);
    let (status, _) = server.terminate().await;
    assert!(status.success(), "{status}");
    let stopping = heard(&socket).await;
    assert!(stopping.lines().any(|line| line == "STOPPING=1"), "{stopping}");
}

#[test]
fn the_unit_waits_for_that_and_starts_what_there_is() {
    let unit = include_str!("../../../docs/packaging/waxwing.service");
    assert!(unit.contains("\nType=notify\n"));
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/waxwing ")).expect("it starts it");
    let data_dir = start.strip_prefix("serve --data-dir ").expect("with its folder");
    let state = unit.lines().find_map(|line| line.strip_prefix("StateDirectory=")).expect("it makes the folder");
    assert_eq!(data_dir, format!("/var/lib/{state}"));
}
