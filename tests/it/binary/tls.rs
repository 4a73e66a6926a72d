//! Deliveries over TLS to receivers with certificates of a private authority.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::binary::Start;
use crate::support::receiver::Receiver;

/// Makes the TLS side of a receiver with these names, speaking these protocols.
type Acceptor = Box<dyn Fn(&[&str], &[&[u8]]) -> TlsAcceptor>;

/// A certificate authority of the test's own, and what a receiver signed by it needs.
fn authority() -> (String, Acceptor) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let pem = issuer.pem();
    let acceptor: Acceptor = Box::new(move |names: &[&str], protocols: &[&[u8]]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(names).expect("valid names").signed_by(&key, &issuer);
        let chain = vec![certificate.expect("a certificate").der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    });
    (pem, acceptor)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_with_a_trusted_certificate_gets_deliveries_by_http_2_and_http_1() {
    let (pem, acceptor) = authority();
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, pem).expect("the folder is writable");
    for (protocols, version) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], hyper::Version::HTTP_2),
        (&[b"http/1.1".as_slice()][..], hyper::Version::HTTP_11),
    ] {
        let data = folder.path().join(format!("{version:?}").replace('/', "-"));
        std::fs::create_dir(&data).expect("the folder is writable");
        let mut receiver = Receiver::start_with(Some(acceptor(&["127.0.0.1"], protocols)), |_| 200).await;
        let waxwing =
            Start::in_dir(&data).with_environment("SSL_CERT_FILE", roots.to_str().expect("a path")).start().await;
        waxwing.api.create_event_type("order.paid").await;
        let url = format!("https://127.0.0.1:{}/hook", receiver.address.port());
        let (_, secret) = waxwing.api.subscribe(&url, &["*"]).await;
        for n in 0..3 {
            waxwing.api.post("/v1/events", format!(r#"{{"type":"order.paid","data":{n}}}"#)).await.expect(202);
        }
        for _ in 0..3 {
            let received = receiver.next().await;
            received.verify(&secret);
            assert_eq!(received.version, version);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_trusted_fails_the_attempt_with_class_tls() {
    let (pem, acceptor) = authority();
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, pem).expect("the folder is writable");
    let mut wrong_name = Receiver::start_with(Some(acceptor(&["elsewhere.example"], &[b"http/1.1"])), |_| 200).await;
    let (_, stranger) = authority();
    let mut unknown = Receiver::start_with(Some(stranger(&["127.0.0.1"], &[b"http/1.1"])), |_| 200).await;
    let waxwing =
        Start::in_dir(folder.path()).with_environment("SSL_CERT_FILE", roots.to_str().expect("a path")).start().await;
    for receiver in [&mut wrong_name, &mut unknown] {
        let url = format!("https://127.0.0.1:{}/hook", receiver.address.port());
        let (id, _) = waxwing.api.subscribe(&url, &["*"]).await;
        let answer = waxwing.api.post(&format!("/v1/webhook-subscriptions/{id}/test"), "").await.expect(200).json();
        let attributes = &answer["data"]["attributes"];
        assert_eq!(attributes["outcome"], "failure", "{answer}");
        assert_eq!(attributes["error"], "tls", "{answer}");
        assert_eq!(receiver.drain().len(), 0, "a request went to a receiver that nobody vouches for");
    }
}
