//! Mail from the real binary: by TLS only to a server that it believes, with a password that is on disk in no readable form.

use serde_json::{Value, json};

use crate::support::binary::Start;
use crate::support::https::Issuer;
use crate::support::smtp::MailServer;

const PASSWORD: &str = "MARK-correct-horse-battery";

#[tokio::test(flavor = "multi_thread")]
async fn by_starttls_a_password_goes_to_who_is_believed_and_lies_encrypted_on_the_disk() {
    let (folder, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let root = folder.path().join("root.pem");
    std::fs::write(&root, issuer.pem()).expect("it can be written");
    let server = MailServer::start(Some(issuer.acceptor(&["localhost"]))).await;
    let data_dir = folder.path().join("data");
    std::fs::create_dir(&data_dir).expect("it can be made");
    let test_mail = async |start: Start, settings: Option<Value>| {
        let waxwing = start.start().await;
        if let Some(settings) = settings {
            waxwing.api.patch("/v1/settings", settings.to_string()).await.expect(200);
        }
        let answer = waxwing.api.post("/v1/settings/test-mail", "{}").await.expect(200).json();
        let (_, printed) = waxwing.terminate().await;
        assert!(!printed.contains(PASSWORD), "{printed}");
        answer["data"]["attributes"].clone()
    };
    let settings = json!({
        "mail.host": "localhost", "mail.port": server.address.port(), "mail.from": "waxwing@example.com",
        "mail.to": ["ops@example.com"], "mail.user": "waxwing", "mail.password": PASSWORD,
    });
    // Nobody says that its authority can be believed.
    let missing = folder.path().join("nobody.pem");
    std::fs::write(&missing, Issuer::new().pem()).expect("it can be written");
    let start = || Start::in_dir(&data_dir);
    let believing = |file: &std::path::Path| start().with_environment("SSL_CERT_FILE", file.to_str().expect("UTF-8"));
    let refused = test_mail(believing(&missing), Some(settings)).await;
    assert_eq!(refused["is_sent"], false, "{refused}");
    assert!(refused["error"].as_str().expect("why").contains("certificate"), "{refused}");
    assert_eq!(server.mails(), []);

    // After a restart, as it is kept.
    assert_eq!(test_mail(believing(&root), None).await, json!({ "is_sent": true, "error": null }));
    let mails = server.mails();
    assert!(mails[0].was_encrypted);
    assert_eq!(mails[0].credentials, Some(("waxwing".to_owned(), PASSWORD.to_owned())));
    for file in std::fs::read_dir(&data_dir).expect("it is there") {
        let path = file.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("it is readable");
            assert!(memchr::memmem::find(&bytes, PASSWORD.as_bytes()).is_none(), "{}", path.display());
        }
    }
}
