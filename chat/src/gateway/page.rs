//! The web page: a few files, built in, and the headers that say what a browser may do with them.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::State;

/// The API in words for programs, OpenAPI 3.1.
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

/// Nothing but these files, from here alone: no inline script or style, no frame, no other site; and no text
/// becomes markup, even by mistake.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($path:literal, $kind:expr, $file:literal;)*) => {
        /// Path, type and content of each.
        const FILES: &[(&str, &str, &str)] =
            &[$(($path, $kind, include_str!(concat!("web/", $file)))),*];
    };
}

files! {
    "/", HTML, "index.html";
    "/style.css", "text/css; charset=utf-8", "style.css";
    "/icon.svg", "image/svg+xml", "icon.svg";
    "/app.js", SCRIPT, "app.js";
    "/api.js", SCRIPT, "api.js";
    "/connection.js", SCRIPT, "connection.js";
    "/dom.js", SCRIPT, "dom.js";
    "/ids.js", SCRIPT, "ids.js";
    "/keep.js", SCRIPT, "keep.js";
    "/model.js", SCRIPT, "model.js";
    "/outbox.js", SCRIPT, "outbox.js";
    "/panels.js", SCRIPT, "panels.js";
    "/talk.js", SCRIPT, "talk.js";
}

pub(super) fn routes() -> Router<State> {
    FILES
        .iter()
        .fold(Router::new(), |router, (path, kind, text)| {
            router.route(path, get(async move || file(kind, text)))
        })
}

fn file(kind: &'static str, text: &'static str) -> Response {
    // A new version of the service brings a new page; the files are small.
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text).into_response()
}

pub(super) async fn description() -> Response {
    file("application/json", DESCRIPTION)
}

/// Headers for everything that is answered.
pub(super) fn with_headers(router: Router<State>) -> Router<State> {
    router.layer(map_response(async |mut response: Response| {
        let headers = response.headers_mut();
        let fixed: [(HeaderName, &'static str); 6] = [
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // Answers hold what is for one person alone.
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        response
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_inline_and_nothing_from_elsewhere() {
        for (path, _, text) in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                " style=",
                " onclick=",
                " onload=",
                "http://",
                "https://",
                "javascript:",
            ] {
                let allowed = *path == "/icon.svg" && forbidden == "http://";
                assert!(
                    allowed || !text.contains(forbidden),
                    "{path} has {forbidden}"
                );
            }
            if *path == "/" {
                assert!(!text.contains("<style") && !text.contains("<script>"));
            }
        }
    }

    #[test]
    fn every_file_that_a_file_names_is_there_and_all_together_are_small() {
        let mut bytes = 0;
        for (path, _, text) in FILES {
            bytes += text.len();
            for import in text.split("from \"./").skip(1) {
                let name = format!("/{}", import.split('"').next().unwrap());
                assert!(
                    FILES.iter().any(|(path, _, _)| *path == name),
                    "{path} imports {name}"
                );
            }
        }
        assert!(bytes < 150_000, "{bytes}");
    }
}
