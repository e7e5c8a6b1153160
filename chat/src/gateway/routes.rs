//! A router that remembers its routes, so that the description of the API can be held against them.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, post, put};

use super::State;

/// Routes, and what they are called.
#[derive(Debug, Default)]
pub(super) struct Routes {
    router: Router<State>,
    names: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn add(mut self, method: &'static str, path: &'static str, route: MethodRouter<State>) -> Self {
        self.names.push((method, path));
        self.router = self.router.route(path, route);
        self
    }

    pub(super) fn get<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, State>,
    ) -> Self {
        self.add("get", path, get(handler))
    }

    pub(super) fn post<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, State>,
    ) -> Self {
        self.add("post", path, post(handler))
    }

    pub(super) fn put<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, State>,
    ) -> Self {
        self.add("put", path, put(handler))
    }

    pub(super) fn delete<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, State>,
    ) -> Self {
        self.add("delete", path, delete(handler))
    }

    /// Method and path of each.
    #[cfg(test)]
    pub(super) fn names(&self) -> &[(&'static str, &'static str)] {
        &self.names
    }

    pub(super) fn into_router(self) -> Router<State> {
        self.router
    }
}
