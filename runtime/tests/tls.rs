//! HTTPS against real servers: what holds, and for whatever does not a message that names the culprit and the fix.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openrtc_runtime::http::{Client, HttpError, Method, Response, Trust, connect, parse_url};
use openrtc_runtime::{Actor, AgentPool, AgentPoolBuilder, Config, Control};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority, with its certificate in a file.
struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let dir = tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A client that trusts this authority alone.
    fn client(&self) -> Client {
        Client::new(&self.trust())
    }

    fn trust(&self) -> Trust {
        Trust::new(Some(&self.file())).unwrap()
    }

    /// A certificate for a server, and its key.
    fn certify(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// Answers every request with a 200 and a word, over TLS.
async fn serve((certificate, key): (rcgen::Certificate, KeyPair)) -> SocketAddr {
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    serve_with(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap()).await
}

async fn serve_with(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // A client that does not like the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

/// Does the same with every connection.
async fn listen<F: Future<Output = ()> + Send + 'static>(each: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    addr
}

async fn get(client: &Client, url: &str) -> Result<Response, HttpError> {
    client.ask(Method::GET, &parse_url(url).unwrap(), None, String::new()).await
}

async fn refusal(client: &Client, url: &str) -> String {
    get(client, url).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_trusted_authority_is_asked() {
    let authority = Authority::new("ours");
    let addr = serve(authority.certify(&["127.0.0.1", "localhost"], |_| ())).await;
    let client = authority.client();
    for url in [format!("https://{addr}/x"), format!("https://localhost:{}/x", addr.port())] {
        let response = get(&client, &url).await.unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, "hello"));
    }
}

#[tokio::test]
async fn another_protocol_is_spoken_on_a_connection_of_the_same_trust() {
    let authority = Authority::new("ours");
    let tls = serve(authority.certify(&["127.0.0.1"], |_| ())).await;
    let plain = listen(|mut stream| async move {
        let _ = stream.write_all(b"hello").await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for url in [format!("https://{tls}/"), format!("http://{plain}/")] {
        let mut stream = connect(&parse_url(&url).unwrap(), &authority.trust()).await.unwrap();
        stream.write_all(b"anything").await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("hello"), "{said}");
    }
    let stranger = Authority::new("theirs").trust();
    for (addr, trust, says) in [
        (tls, &stranger, "no authority that is trusted here"),
        (plain, &authority.trust(), "does not speak TLS on this port"),
        (nobody().await, &authority.trust(), "refused"),
    ] {
        let url = parse_url(&format!("https://{addr}/")).unwrap();
        let told = connect(&url, trust).await.err().unwrap().to_string();
        assert!(told.contains(&addr.to_string()) && told.contains(says), "{told}");
    }
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn every_certificate_that_is_not_good_is_refused_with_the_culprit_and_the_fix() {
    let (authority, stranger, namesake) = (Authority::new("ours"), Authority::new("theirs"), Authority::new("ours"));
    let client = authority.client();
    let here = &["127.0.0.1"][..];
    let own = CertificateDer::from(authority.issuer.der().to_vec());
    let own_key = PrivateKeyDer::try_from(authority.issuer.key().serialize_der()).unwrap();
    for (addr, says) in [
        (
            serve(stranger.certify(here, |_| ())).await,
            &["no authority that is trusted here", "OPENRTC_TLS_CA_FILE"][..],
        ),
        (
            serve(namesake.certify(here, |_| ())).await,
            &["another authority than is trusted here under that name", "OPENRTC_TLS_CA_FILE"],
        ),
        (
            serve(authority.certify(here, |params| params.not_after = date_time_ymd(2020, 2, 29))).await,
            &["expired on 2020-02-29T00:00:00Z", "renew it"],
        ),
        (
            serve(authority.certify(here, |params| params.not_before = date_time_ymd(2999, 1, 1))).await,
            &["not valid before 2999-01-01T00:00:00Z", "clock"],
        ),
        (
            serve(authority.certify(&["a.example", "b.example"], |_| ())).await,
            &["is for ", "a.example", "b.example", "not for 127.0.0.1", "subjectAltName"],
        ),
        (serve(authority.certify(&[], |_| ())).await, &["names no host", "subjectAltName 127.0.0.1"]),
        (serve_with(vec![own], own_key).await, &["an authority's own", "sign a certificate for the server"]),
    ] {
        let told = refusal(&client, &format!("https://{addr}/")).await;
        assert!(told.contains(&addr.to_string()), "{told}");
        assert!(says.iter().all(|says| told.contains(says)), "{told:?} should say {says:?}");
    }
}

#[tokio::test]
async fn who_speaks_something_else_than_the_url_says_is_told_apart() {
    let authority = Authority::new("ours");
    let client = authority.client();
    let plain = listen(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let told = refusal(&client, &format!("https://{}/", plain.await)).await;
    assert!(told.contains("does not speak TLS on this port") && told.contains("use http://"), "{told}");

    let tls = serve(authority.certify(&["127.0.0.1"], |_| ())).await;
    let told = refusal(&client, &format!("http://{tls}/")).await;
    assert!(told.contains("does not answer in HTTP") && told.contains("use https://"), "{told}");

    let closes = listen(|stream| async move { drop(stream) });
    let told = refusal(&client, &format!("https://{}/", closes.await)).await;
    assert!(told.contains("closed the connection in the TLS handshake") || told.contains("reset"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_not_waited_for() {
    let silent = listen(|stream| async move {
        let _stays = stream;
        std::future::pending::<()>().await;
    });
    let (client, addr) = (Authority::new("ours").client(), silent.await);
    for scheme in ["http", "https"] {
        let told = refusal(&client, &format!("{scheme}://{addr}/")).await;
        assert_eq!(told, format!("{addr} did not answer within 5s"));
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_and_a_redirect_is_not_followed() {
    let client = Authority::new("ours").client();
    let endless = listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let told = refusal(&client, &format!("http://{}/", endless.await)).await;
    assert!(told.contains("answers with more than 1048576 bytes"), "{told}");

    let five = listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await;
    });
    let url = format!("http://{}/", five.await);
    assert_eq!(get(&client.clone().with_answers_up_to(5), &url).await.unwrap().body, "hello");
    let told = refusal(&client.clone().with_answers_up_to(4), &url).await;
    assert!(told.contains("answers with more than 4 bytes"), "{told}");

    let elsewhere = listen(|mut stream| async move {
        let head = b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://other.example/\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(head).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let response = get(&client, &format!("http://{}/", elsewhere.await)).await.unwrap();
    assert_eq!(response.status, 308);
    assert_eq!(response.body, "it has moved: use the URL https://other.example/");
}

/// Writes a certificate and its key, as the ops endpoints want them.
fn write(authority: &Authority, to: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = authority.certify(&["127.0.0.1"], |_| ());
    let files = (to.join("tls.pem"), to.join("tls.key"));
    fs::write(&files.0, certificate.pem()).unwrap();
    fs::write(&files.1, key.serialize_pem()).unwrap();
    fs::set_permissions(&files.1, Permissions::from_mode(0o600)).unwrap();
    files
}

fn pool(files: (PathBuf, PathBuf)) -> AgentPoolBuilder {
    let builder = AgentPool::builder().deployment_version("v1").signals(false).control(Control::Shared);
    builder.ops(([127, 0, 0, 1], 0).into()).ops_tls(files)
}

#[tokio::test]
async fn ops_endpoints_with_a_certificate_speak_https_and_nothing_else_and_silence_holds_nobody_up() {
    let (authority, dir) = (Authority::new("ours"), tempdir().unwrap());
    let pool = pool(write(&authority, dir.path())).build().unwrap();
    let (addr, client) = (pool.ops_addr().unwrap(), authority.client());
    let _silent = TcpStream::connect(addr).await.unwrap();
    let mut nonsense = TcpStream::connect(addr).await.unwrap();
    nonsense.write_all(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).await.unwrap();
    let response = get(&client, &format!("https://{addr}/livez")).await.unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, "live"));
    for path in ["livez", "snapshot", "drain"] {
        let plain = get(&client, &format!("http://{addr}/{path}")).await.unwrap();
        assert_eq!(plain.status, 400);
        assert!(plain.body.contains("use https://"), "{}", plain.body);
    }
    let stranger = Authority::new("theirs").client();
    assert!(refusal(&stranger, &format!("https://{addr}/livez")).await.contains("no authority that is trusted"));
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_taken_up_and_one_that_cannot_be_used_is_not() {
    let (before, after, dir) = (Authority::new("before"), Authority::new("after"), tempdir().unwrap());
    let files = write(&before, dir.path());
    let pool = pool(files.clone()).build().unwrap();
    let url = format!("https://{}/livez", pool.ops_addr().unwrap());
    get(&before.client(), &url).await.unwrap();

    fs::write(&files.0, "-----BEGIN CERTIFICATE-----\n").unwrap();
    look_again().await;
    get(&before.client(), &url).await.unwrap();

    write(&after, dir.path());
    look_again().await;
    let client = after.client();
    // It was read by now, or is being read.
    while get(&client, &url).await.is_err() {}
    assert!(get(&before.client(), &url).await.is_err(), "the one before is gone");
}

#[tokio::test]
async fn the_audit_trail_is_sent_over_https_to_a_collector_of_a_trusted_authority() {
    let (authority, dir) = (Authority::new("ours"), tempdir().unwrap());
    let collector = serve(authority.certify(&["127.0.0.1"], |_| ())).await;
    let builder = AgentPool::builder().deployment_version("v1").signals(false).control(Control::Shared);
    let builder = builder.journal_dir(dir.path().join("journal")).audit_file(dir.path().join("audit.jsonl"));
    let builder = builder.audit_webhook(format!("https://{collector}/audit")).tls_ca_file(authority.file());
    let pool = builder.build().unwrap();
    let mark = dir.path().join("audit.jsonl.sent");
    // The collector has taken the first records then.
    while !mark.exists() {
        tokio::task::yield_now().await;
    }
    pool.begin_drain(Actor::from_static("test")).unwrap();
    pool.exited().await;
}

/// Lets the time pass after which the files are looked at again.
async fn look_again() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_at_start_with_the_culprit_and_the_fix() {
    let (authority, dir, other) = (Authority::new("ours"), tempdir().unwrap(), tempdir().unwrap());
    let (cert, key) = write(&authority, dir.path());
    let (_, foreign) = write(&authority, other.path());
    let exposed = dir.path().join("exposed.key");
    fs::copy(&key, &exposed).unwrap();
    fs::set_permissions(&exposed, Permissions::from_mode(0o644)).unwrap();
    for (files, culprit, says) in [
        ((dir.path().join("none.pem"), key.clone()), "none.pem", "cannot be read"),
        ((key.clone(), key.clone()), "tls.key", "holds no certificate"),
        ((cert.clone(), authority.file()), "ca.pem", "chmod 600"),
        ((cert.clone(), exposed), "exposed.key", "may be read by others (mode 644): chmod 600 it"),
        ((cert.clone(), foreign), "tls.pem", "cannot be used together"),
    ] {
        let refused = pool(files).build().unwrap_err().to_string();
        assert!(refused.contains(culprit) && refused.contains(says), "{refused:?} should say {says:?}");
        assert!(!refused.contains("PRIVATE KEY"), "{refused}");
    }
    let cert_alone = [("OPENRTC_OPS_TLS_CERT_FILE", "c")];
    let key_alone = [("OPENRTC_OPS_TLS_KEY_FILE", "k")];
    let unused = [("OPENRTC_OPS_TLS_CERT_FILE", "c"), ("OPENRTC_OPS_TLS_KEY_FILE", "k")];
    for (vars, says) in [
        (&cert_alone[..], "set OPENRTC_OPS_TLS_KEY_FILE too"),
        (&key_alone[..], "set OPENRTC_OPS_TLS_CERT_FILE too"),
        (&unused[..], "set OPENRTC_OPS_ADDR too"),
    ] {
        let mut config = Config::default();
        config.merge_vars(vars.iter().copied().chain([("OPENRTC_DEPLOYMENT_VERSION", "v1")])).unwrap();
        let refused = config.check().unwrap_err().to_string();
        assert!(refused.contains(says), "{refused:?} should say {says:?}");
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_named_with_what_is_in_its_place() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("text"), "hunter2").unwrap();
    fs::write(path("key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    fs::write(path("broken"), "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n").unwrap();
    for (name, says) in [
        ("missing", "cannot be read: No such file"),
        ("text", "holds no certificate in PEM form"),
        ("key", "holds no certificate in PEM form"),
        ("broken", "holds no certificate in PEM form"),
    ] {
        let told = Trust::new(Some(&path(name))).unwrap_err().to_string();
        assert!(told.contains(says) && told.contains(name) && !told.contains("hunter2"), "{told}");
    }
}
