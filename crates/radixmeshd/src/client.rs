//! A small client of the admin port: one method for each endpoint, typed errors, connections kept alive. Knows no
//! cluster; see [`cluster`](crate::cluster) for several nodes.

use std::time::Duration;

use radixmesh::admin::Token;
use radixmesh::admin::api::{
    Applied, EngineRequest, EngineResponse, ErrorResponse, EvictRequest, ForgetResponse,
    LeaveRequest, LeaveResponse, MatchResponse, MembersResponse, PrefixRequest, PublishRequest,
    PublishResponse, RouteResponse, StatusResponse,
};
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// How long a connection may take to open.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long one request may take in all; a simulated prefill of a long prompt takes a while.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The address is none of an admin port.
    ///
    /// State: nothing was sent.
    #[error("`{address}` is no address of an admin port: {why}")]
    BadAddress {
        /// As given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answered there.
    ///
    /// State: nothing was sent, or it is unknown what became of it.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// The endpoint.
        url: String,
        /// What the system said.
        why: String,
    },
    /// The node refused the request.
    ///
    /// State: the message says what happened to it.
    #[error("{url} refused ({status}): {error}")]
    Refused {
        /// The endpoint.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The node's words.
        error: String,
    },
    /// Something answered that is no admin port of this version.
    ///
    /// State: unknown.
    #[error("{url} sent an answer that makes no sense: {why}")]
    BadAnswer {
        /// The endpoint.
        url: String,
        /// What the parser said.
        why: String,
    },
}

impl ClientError {
    /// Returns whether nobody answered at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, ClientError::Unreachable { .. })
    }

    /// Returns the HTTP status of a refusal.
    #[must_use]
    pub fn refused_status(&self) -> Option<u16> {
        match self {
            ClientError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Asks one node. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<Token>,
}

impl Client {
    /// Returns a client of the admin port at `host:port` or `http://host:port`. Nothing is sent yet.
    ///
    /// Errors: [`ClientError::BadAddress`].
    pub fn new(address: &str) -> Result<Client, ClientError> {
        let bad = |why: &str| ClientError::BadAddress {
            address: address.to_owned(),
            why: why.to_owned(),
        };
        let base = match address.split_once("://") {
            None => format!("http://{address}"),
            Some(("http", _)) => address.to_owned(),
            Some((scheme, _)) => return Err(bad(&format!("it speaks http, not {scheme}"))),
        };
        let base = base.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&base).map_err(|error| bad(&error.to_string()))?;
        if url.host_str().is_none() || url.path() != "/" {
            return Err(bad("it has the form host:port or http://host:port"));
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX)
            .build()
            .map_err(|error| bad(&chain(&error)))?;
        Ok(Client {
            http,
            base,
            token: None,
        })
    }

    /// Shows this token with every request.
    #[must_use]
    pub fn with_token(self, token: Option<Token>) -> Client {
        Client { token, ..self }
    }

    /// Returns `http://host:port`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET /status`. Errors: [`ClientError`].
    pub async fn status(&self) -> Result<StatusResponse, ClientError> {
        self.json(self.get("/status"), "/status").await
    }

    /// `GET /members`. Errors: [`ClientError`].
    pub async fn members(&self) -> Result<MembersResponse, ClientError> {
        self.json(self.get("/members"), "/members").await
    }

    /// `POST /members/leave`: the node begins to leave. Errors: [`ClientError`].
    pub async fn leave(&self, request: &LeaveRequest) -> Result<LeaveResponse, ClientError> {
        let path = "/members/leave";
        self.json(self.post(path).json(request), path).await
    }

    /// `POST /members/RANK/forget`. Errors: [`ClientError`]; a refusal when the member takes part.
    pub async fn forget(&self, rank: u16) -> Result<ForgetResponse, ClientError> {
        let path = format!("/members/{rank}/forget");
        self.json(self.post(&path), &path).await
    }

    /// `POST /match`. Errors: [`ClientError`].
    pub async fn matches(&self, request: &PrefixRequest) -> Result<MatchResponse, ClientError> {
        self.json(self.post("/match").json(request), "/match").await
    }

    /// `POST /route`. Errors: [`ClientError`].
    pub async fn route(&self, request: &PrefixRequest) -> Result<RouteResponse, ClientError> {
        self.json(self.post("/route").json(request), "/route").await
    }

    /// `POST /publish`. Errors: [`ClientError`].
    pub async fn publish(&self, request: &PublishRequest) -> Result<PublishResponse, ClientError> {
        self.json(self.post("/publish").json(request), "/publish")
            .await
    }

    /// `POST /evict`. Errors: [`ClientError`].
    pub async fn evict(&self, request: &EvictRequest) -> Result<PublishResponse, ClientError> {
        self.json(self.post("/evict").json(request), "/evict").await
    }

    /// `POST /engine/run`, where a simulated engine is hosted. Errors: [`ClientError`].
    pub async fn engine_run(&self, request: &EngineRequest) -> Result<EngineResponse, ClientError> {
        self.json(self.post("/engine/run").json(request), "/engine/run")
            .await
    }

    /// `GET /applied`, where applies are traced: records of `rank`'s log at or behind `from_seq`, oldest first. An
    /// answer is bounded; ask again behind its last record until it is empty.
    ///
    /// Errors: [`ClientError`].
    pub async fn applied(&self, rank: u16, from_seq: u64) -> Result<Vec<Applied>, ClientError> {
        let path = format!("/applied?rank={rank}&from_seq={from_seq}");
        self.json(self.get(&path), &path).await
    }

    /// `GET /metrics`, as text. Errors: [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        self.text(self.get("/metrics"), "/metrics").await
    }

    /// `GET /healthz`: the node answers. Errors: [`ClientError`].
    pub async fn healthy(&self) -> Result<(), ClientError> {
        self.text(self.get("/healthz"), "/healthz").await.map(drop)
    }

    /// `GET /readyz`: whether the node caught up. Errors: [`ClientError`].
    pub async fn ready(&self) -> Result<bool, ClientError> {
        match self.text(self.get("/readyz"), "/readyz").await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { status: 503, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Posts `body` as it is and returns status and answer. For tests of refusals.
    ///
    /// Errors: [`ClientError::Unreachable`].
    pub async fn raw(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<String>,
    ) -> Result<(u16, String), ClientError> {
        let request = self
            .post(path)
            .header("content-type", content_type)
            .body(body.into());
        let (status, text) = self.send(request, path).await?;
        Ok((status.as_u16(), text))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.signed(self.http.get(format!("{}{path}", self.base)))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.signed(self.http.post(format!("{}{path}", self.base)))
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.secret()),
            None => request,
        }
    }

    async fn send(
        &self,
        request: RequestBuilder,
        path: &str,
    ) -> Result<(StatusCode, String), ClientError> {
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: format!("{}{path}", self.base),
            why: chain(&error.without_url()),
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        Ok((status, response.text().await.map_err(unreachable)?))
    }

    async fn text(&self, request: RequestBuilder, path: &str) -> Result<String, ClientError> {
        let (status, text) = self.send(request, path).await?;
        if status.is_success() {
            return Ok(text);
        }
        let error =
            serde_json::from_str::<ErrorResponse>(&text).map_or(text, |answer| answer.error);
        Err(ClientError::Refused {
            url: format!("{}{path}", self.base),
            status: status.as_u16(),
            error,
        })
    }

    async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        path: &str,
    ) -> Result<T, ClientError> {
        let text = self.text(request, path).await?;
        serde_json::from_str(&text).map_err(|error| ClientError::BadAnswer {
            url: format!("{}{path}", self.base),
            why: error.to_string(),
        })
    }
}

/// An error with its causes; reqwest hides the interesting one inside.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port_with_or_without_http() {
        let base = |address| {
            Client::new(address)
                .map(|client| client.base().to_owned())
                .ok()
        };
        assert_eq!(
            base("127.0.0.1:8000").as_deref(),
            Some("http://127.0.0.1:8000")
        );
        assert_eq!(
            base("http://node-1:8000/").as_deref(),
            Some("http://node-1:8000")
        );
        for bad in ["", "https://a:1", "http://a:1/status", "http://", "a b"] {
            assert_eq!(base(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told_apart_from_a_refusal() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = Client::new(&address).unwrap().status().await.unwrap_err();
        assert!(
            error.is_unreachable() && error.refused_status().is_none(),
            "{error}"
        );
    }
}
