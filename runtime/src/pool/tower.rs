//! HTTP requests as calls: a layer that admits each of them, for axum and every other server that speaks tower.
//!
//! A request is a call from its head to the last byte of its response. So a streaming response is a call for as long as
//! it streams. If a call outlives its response, as a WebSocket does, its handler [takes](AdmittedCall::take) the guard.
//!
//! ```no_run
//! use openrtc_runtime::{AgentPool, tower::AdmitLayer};
//! use axum::{Router, routing::get};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = AgentPool::builder().deployment_version("v2.0.0").build()?;
//! let app: Router = Router::new().route("/talk", get(async || "hello")).layer(AdmitLayer::new(&pool));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! // The server answers until the worker is about to leave, and the worker leaves when it has closed.
//! let listening = pool.listening();
//! axum::serve(listener, app).with_graceful_shutdown(listening.closing()).await?;
//! drop(listening);
//! pool.exited().await;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use openrtc_core::id::CallId;
use openrtc_core::word::Refusal;
use openrtc_core::worker::{Availability, EndReason};
use pin_project_lite::pin_project;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tower_layer::Layer;
use tower_service::Service;

use super::AgentPool;
use super::call::{CallGuard, Returned};

/// The header whose value names the call, unless [`AdmitLayer::id`] says otherwise.
const REQUEST_ID: &str = "x-request-id";

/// Admits each request as a call. A refused request gets status 503 with `Retry-After` and the reason as text, and does
/// not reach the service. While the worker does not serve, for instance because it drains, every response over HTTP/1
/// also closes its connection, so that the client's next request goes to another worker.
///
/// Hold a [`Listening`](crate::Listening) in your server: then the journal counts every refusal. Without it, requests
/// that are refused after the worker has left are not counted.
///
/// If the handler does not take the guard, the fate of the response decides the reason of the call's end:
///
/// | reason | when |
/// |---|---|
/// | `agent_hangup` | the body ended |
/// | `guard_dropped` | the response or its body was dropped before its end: the client was gone, or the program went |
/// | `failed` | the service or the body gave an error |
/// | `panicked` | the handler panicked |
/// | `drain_forced` | it was dropped after a forced drain had told it to end |
#[derive(Clone)]
pub struct AdmitLayer {
    pool: AgentPool,
    id: Arc<NameCall>,
    /// How many calls got a number because they had no id.
    numbered: Arc<AtomicU64>,
}

/// Derives a call's id from the head of its request.
type NameCall = dyn Fn(&Parts) -> Option<CallId> + Send + Sync;

impl AdmitLayer {
    /// Calls are named by the header `x-request-id`, or get a number if there is none or it is no call id.
    #[must_use]
    pub fn new(pool: &AgentPool) -> Self {
        let named = |parts: &Parts| CallId::new(parts.headers.get(REQUEST_ID)?.to_str().ok()?).ok();
        Self { pool: pool.clone(), id: Arc::new(named), numbered: Arc::default() }
    }

    /// Names calls in another way: by a path, a query, another header. A call that gets `None` gets a number.
    #[must_use]
    pub fn id(mut self, id: impl Fn(&Parts) -> Option<CallId> + Send + Sync + 'static) -> Self {
        self.id = Arc::new(id);
        self
    }

    fn admit(&self, parts: &Parts) -> Result<CallGuard, Refusal> {
        let numbered = || {
            let number = self.numbered.fetch_add(1, Ordering::Relaxed) + 1;
            CallId::new(&format!("http-{number}")).expect("a short name")
        };
        // A panic of the program's own function must not take the connection along, and the other calls on it.
        let named = catch_unwind(AssertUnwindSafe(|| (self.id)(parts))).unwrap_or_else(|_| {
            tracing::error!("the function that names calls panicked: the call gets a number");
            None
        });
        self.pool.admit(named.unwrap_or_else(numbered))
    }
}

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Admit<S> {
        Admit { inner, layer: self.clone() }
    }
}

impl fmt::Debug for AdmitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdmitLayer").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// The service that [`AdmitLayer`] puts around another one.
#[derive(Clone, Debug)]
pub struct Admit<S> {
    inner: S,
    layer: AdmitLayer,
}

impl<S, B, R> Service<Request<B>> for Admit<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static> + Clone,
    R: Body<Data: From<String>>,
{
    type Response = Response<CallBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let (version, pool) = (parts.version, self.layer.pool.clone());
        let call = match self.layer.admit(&parts) {
            Ok(guard) => AdmittedCall::new(pool.clone(), guard),
            Err(refusal) => return Box::pin(async move { Ok(closing(refused(refusal), version, &pool)) }),
        };
        parts.extensions.insert(call.clone());
        // The clone is not ready; the service that is takes the request.
        let next = self.inner.clone();
        let answer = mem::replace(&mut self.inner, next).call(Request::from_parts(parts, body));
        let answering = Answering(call);
        Box::pin(async move {
            let answer = answer.await;
            let mut call = answering.0.hand_on();
            match answer {
                Ok(response) => Ok(closing(response.map(|body| CallBody::holding(body, call)), version, &pool)),
                Err(error) => {
                    call.end(EndReason::Failed);
                    Err(error)
                }
            }
        })
    }
}

/// A request's call. Find it among the request's extensions. Cheap to clone; all clones are the same call.
#[derive(Clone, Debug)]
pub struct AdmittedCall {
    pool: AgentPool,
    held: Arc<Mutex<Held>>,
}

impl AdmittedCall {
    fn new(pool: AgentPool, guard: CallGuard) -> Self {
        Self { pool, held: Arc::new(Mutex::new(Held::Here(guard))) }
    }

    /// Resolves when a forced drain tells the call to end: see [`CallGuard::cancelled`]. End the body then.
    pub fn cancelled(&self) -> impl Future<Output = std::time::Instant> + Send + use<> {
        let worker = self.pool.worker.clone();
        async move { worker.forced().await }
    }

    /// Takes the guard out of the request. The call then lasts for as long as you hold the guard, also beyond the
    /// response. Use it for a WebSocket, or to give the call's end a reason of your own. If you drop the guard while
    /// the response still streams, the call lasts until the response has ended. Returns `None` if the guard was taken
    /// before or the response was already returned.
    #[must_use]
    pub fn take(&self) -> Option<CallGuard> {
        self.held().lend()
    }

    /// What keeps the call in flight during the response.
    fn hand_on(&self) -> Held {
        mem::take(&mut *self.held())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What keeps a request's call in flight.
#[derive(Debug, Default)]
enum Held {
    /// Its guard.
    Here(CallGuard),
    /// The guard that a handler has taken: it comes back here if it is dropped without a word.
    Taken(oneshot::Receiver<Returned>),
    /// Nothing.
    #[default]
    Gone,
}

impl Held {
    fn lend(&mut self) -> Option<CallGuard> {
        match mem::take(self) {
            Self::Here(guard) => {
                let (guard, back) = guard.homing();
                *self = Self::Taken(back);
                Some(guard)
            }
            held @ (Self::Taken(_) | Self::Gone) => {
                *self = held;
                None
            }
        }
    }

    /// The guard, if it is here or has come back.
    fn guard(&mut self) -> Option<&CallGuard> {
        if let Self::Taken(back) = self {
            match back.try_recv() {
                Ok(call) => *self = call.guard().map_or(Self::Gone, Self::Here),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Closed) => *self = Self::Gone,
            }
        }
        match self {
            Self::Here(guard) => Some(guard),
            Self::Taken(_) | Self::Gone => None,
        }
    }

    /// Ends the call for `reason`. A guard that is elsewhere ends its call by itself from now on.
    fn end(&mut self, reason: EndReason) {
        self.guard();
        if let Self::Here(guard) = mem::take(self) {
            // The future would only wait for the journal.
            drop(guard.end(reason));
        }
    }
}

/// A call whose request is being answered. Dropped meanwhile, the client was gone or the program went: nobody said.
struct Answering(AdmittedCall);

impl Drop for Answering {
    fn drop(&mut self) {
        drop(self.0.hand_on());
    }
}

pin_project! {
    /// A response body that is a call: the call lasts until the body ends or is dropped. Each piece of the body counts
    /// as progress. [`AdmitLayer`] makes one of every body; a handler that asks the pool by itself makes it with
    /// [`CallBody::new`].
    #[derive(Debug)]
    pub struct CallBody<B> {
        #[pin]
        content: Content<B>,
        call: Held,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = ContentPinned]
    enum Content<B> {
        Body { #[pin] body: B },
        Text { text: Option<String> },
    }
}

impl<B: Body> CallBody<B> {
    /// Keeps the call of `guard` in flight until `body` ends.
    pub fn new(body: B, guard: CallGuard) -> Self {
        Self::holding(body, Held::Here(guard))
    }

    fn holding(body: B, mut call: Held) -> Self {
        // A server does not ask an empty body for its end.
        if body.is_end_stream() {
            call.end(EndReason::AgentHangup);
        }
        Self { content: Content::Body { body }, call }
    }
}

impl<B: Body<Data: From<String>>> Body for CallBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let mut body = match this.content.project() {
            ContentPinned::Body { body } => body,
            ContentPinned::Text { text } => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text.into())))),
        };
        let Poll::Ready(frame) = body.as_mut().poll_frame(context) else { return Poll::Pending };
        match &frame {
            // Nor does it ask for the end of one that says that it has ended.
            Some(Ok(_)) if body.is_end_stream() => this.call.end(EndReason::AgentHangup),
            Some(Ok(_)) => this.call.guard().into_iter().for_each(CallGuard::progress),
            Some(Err(_)) => this.call.end(EndReason::Failed),
            None => this.call.end(EndReason::AgentHangup),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Body { body } => body.is_end_stream(),
            Content::Text { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Body { body } => body.size_hint(),
            Content::Text { text } => SizeHint::with_exact(text.as_ref().map_or(0, String::len) as u64),
        }
    }
}

/// The answer to a request that is no call.
fn refused<B>(refusal: Refusal) -> Response<CallBody<B>> {
    let content = Content::Text { text: Some(format!("{refusal}\n")) };
    let mut response = Response::new(CallBody { content, call: Held::Gone });
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, const { HeaderValue::from_static("1") });
    response.headers_mut().insert(CONTENT_TYPE, const { HeaderValue::from_static("text/plain; charset=utf-8") });
    response
}

/// The same response, closing its connection if the worker takes no calls. Later HTTP versions have no such header.
fn closing<B>(mut response: Response<B>, version: Version, pool: &AgentPool) -> Response<B> {
    if version <= Version::HTTP_11 && pool.runtime_snapshot().availability == Availability::Closed {
        response.headers_mut().insert(CONNECTION, const { HeaderValue::from_static("close") });
    }
    response
}
