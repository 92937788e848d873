//! Where a worker's ops endpoints are, in words for its first line.

use std::path::Path;

use openrtc_runtime::AgentPool;

/// Its URLs, as `--url` takes them; `None` if it has no endpoints.
pub(crate) fn urls(pool: &AgentPool, socket: Option<&Path>) -> Option<String> {
    let tcp = pool.ops_addr().map(|addr| format!("http://{addr}"));
    let socket = socket.map(|socket| format!("unix:{}", socket.display()));
    let both: Vec<_> = tcp.into_iter().chain(socket).collect();
    (!both.is_empty()).then(|| both.join(" and "))
}
