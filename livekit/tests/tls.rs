//! A worker and the guard's requests against the dev server behind TLS, with an authority of our own.
#![cfg(all(feature = "guard", feature = "server"))]
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::net::SocketAddr;
use std::sync::Arc;

use openrtc_livekit::dispatcher::Asked;
use openrtc_livekit::{Api, ApiKey, DevServer, Job, Worker};
use openrtc_runtime::{Actor, AgentPool, Call};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

fn key() -> ApiKey {
    ApiKey::new("devkey", "secret")
}

/// Ends TLS in front of a server, as a proxy does. Returns its address, and its authority's certificate (PEM).
async fn terminate_tls(server: SocketAddr) -> (SocketAddr, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let own = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&own, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let own = PrivateKeyDer::try_from(own.serialize_der()).unwrap();
    let config = config.with_single_cert(vec![certificate.der().clone()], own).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not like the certificate goes away.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut behind = TcpStream::connect(server).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    (addr, authority.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_is_believed_if_the_named_authority_vouches_for_it_and_else_not() {
    let server = DevServer::start("127.0.0.1:0".parse().unwrap(), key(), 1).await.unwrap();
    let (addr, authority) = terminate_tls(server.addr()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, authority).unwrap();
    let url = format!("wss://{addr}");

    let api = Api::new(&url, key()).unwrap();
    let told = api.list_rooms().await.unwrap_err().to_string();
    assert!(told.contains(&addr.to_string()) && told.contains("OPENRTC_TLS_CA_FILE"), "{told}");
    let api = api.with_ca_file(&file).unwrap();
    server.dispatch(Asked { room: "room".to_owned(), agent_name: "agent".to_owned(), ..Asked::default() });
    assert_eq!(api.list_rooms().await.unwrap(), ["room"]);

    let pool = AgentPool::builder().deployment_version("v1").signals(false).build().unwrap();
    let worker = Worker::builder().url(url).api_key("devkey", "secret").tls_ca_file(file).build().unwrap();
    let (mut monitor, serving) = (worker.monitor(), pool.clone());
    let life = tokio::spawn(async move { worker.serve(&serving, |_: Call<Job>| async {}).await });
    monitor.registered().await;
    pool.begin_drain(Actor::from_static("test")).unwrap();
    assert_eq!(life.await.unwrap().unwrap().code(), 0);
}
