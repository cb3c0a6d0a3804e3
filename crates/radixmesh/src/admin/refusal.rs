//! A refused request: a status code and a sentence that says what was wrong and what happened to the state.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};

use super::api::ErrorResponse;
use crate::engine::EngineError;
use crate::mesh::{ObserveError, ShutDown};

#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    pub(crate) fn bad_request(error: impl Into<String>) -> Self {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            error: error.into(),
        }
    }

    pub(crate) fn unauthorized(error: impl Into<String>) -> Self {
        Refusal {
            status: StatusCode::UNAUTHORIZED,
            error: error.into(),
        }
    }

    pub(crate) fn not_found(error: impl Into<String>) -> Self {
        Refusal {
            status: StatusCode::NOT_FOUND,
            error: error.into(),
        }
    }

    pub(crate) fn conflict(error: impl Into<String>) -> Self {
        Refusal {
            status: StatusCode::CONFLICT,
            error: error.into(),
        }
    }

    pub(crate) fn wrong_method(error: impl Into<String>) -> Self {
        Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            error: error.into(),
        }
    }

    pub(crate) fn unavailable(error: impl Into<String>) -> Self {
        Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: error.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(ErrorResponse { error: self.error });
        if self.status == StatusCode::UNAUTHORIZED {
            return (self.status, [(WWW_AUTHENTICATE, "Bearer")], body).into_response();
        }
        (self.status, body).into_response()
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Refusal {
            status: rejection.status(),
            error: format!("{}; nothing was changed", rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Refusal {
            status: rejection.status(),
            error: rejection.body_text(),
        }
    }
}

impl From<ShutDown> for Refusal {
    fn from(error: ShutDown) -> Self {
        Refusal::unavailable(error.to_string())
    }
}

impl From<ObserveError> for Refusal {
    fn from(error: ObserveError) -> Self {
        match error {
            ObserveError::Unknown { .. } => {
                Refusal::not_found(format!("{error}; nothing was changed"))
            }
            ObserveError::TellsItself { .. } => {
                Refusal::conflict(format!("{error}; nothing was changed"))
            }
            ObserveError::ShutDown(error) => error.into(),
        }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Refusal::unavailable(error.to_string())
    }
}
