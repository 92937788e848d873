//! Proxies of the environment, as the commands keep to them: who is asked by one, and who never is.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};

use e2e::{Worker, openrtc, said};

/// A proxy that answers every request with 503 and yields its first line and its authorization.
fn proxy() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = channel();
    let serve = move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let mut asked = lines.next().unwrap_or_default();
            for line in lines.take_while(|line| !line.is_empty()) {
                if line.to_ascii_lowercase().starts_with("proxy-authorization:") {
                    asked = format!("{asked} {line}");
                }
            }
            let _ =
                stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
            if tell.send(asked).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    (addr, told)
}

/// Asks for the status of a worker there, with these variables and no other proxy's.
fn status(url: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(openrtc());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.args(["status", url]).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn each_scheme_goes_by_its_proxy_and_the_proxy_alone_gets_its_password() {
    let (addr, asked) = proxy();
    let proxy = format!("http://me:hunter2@{addr}");
    for (url, variable, expected) in [
        ("http://worker.example:9464", "HTTP_PROXY", "GET http://worker.example:9464/snapshot HTTP/1.1"),
        ("http://worker.example:9464", "all_proxy", "GET http://worker.example:9464/snapshot HTTP/1.1"),
        ("https://worker.example:9464", "HTTPS_PROXY", "CONNECT worker.example:9464 HTTP/1.1"),
        ("https://worker.example:9464", "ALL_PROXY", "CONNECT worker.example:9464 HTTP/1.1"),
    ] {
        let output = status(url, &[(variable, &proxy)]);
        let asked = asked.recv().unwrap();
        assert!(asked.starts_with(expected) && asked.contains("Basic "), "{asked} for {url} by {variable}");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(!said(&output).contains("hunter2"), "{}", said(&output));
    }
}

#[test]
fn a_proxy_that_is_not_there_is_named_and_loopback_and_no_proxy_are_asked_directly() {
    let dead = "http://127.0.0.1:1";
    let output = status("http://worker.example:9464", &[("HTTP_PROXY", dead)]);
    assert!(said(&output).contains("by the proxy 127.0.0.1:1"), "{}", said(&output));

    let worker = Worker::start(&[]);
    for host in ["127.0.0.1", "localhost"] {
        let output =
            status(&format!("http://{host}:{}", worker.ops.port()), &[("HTTP_PROXY", dead), ("ALL_PROXY", dead)]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    for list in ["example", ".worker.example", "worker.example,other", "*"] {
        let output = status("http://worker.example:9464", &[("HTTP_PROXY", dead), ("NO_PROXY", list)]);
        assert!(!said(&output).contains("proxy"), "NO_PROXY={list}: {}", said(&output));
    }
    let output = status("http://192.0.2.7:9", &[("HTTP_PROXY", dead), ("no_proxy", "10.0.0.0/8")]);
    assert!(said(&output).contains("by the proxy 127.0.0.1:1"), "{}", said(&output));
}
