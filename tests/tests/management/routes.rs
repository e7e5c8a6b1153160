//! Every path and method, and whom it is for: one table, compared with what the broker has.
//!
//! A route without a row here fails, and so does a row without a route. The same table says who may
//! do what.

use anyhow::{Context as _, Result, ensure};

use super::api::{Api, Body};

/// Whom a route is for; the words are those of `/api/leveret/routes`.
///
/// `management`: whoever has one of management's tags, and may enter the virtual host if the path
/// names one. `visible`: the same, and monitors. `monitoring`, `policymaker`, `administrator`:
/// whoever has that tag, or that of an administrator.
pub(crate) const ROUTES: &[(&str, &str, &str)] = &[];

fn routes(api: &Api) -> Result<Vec<(String, String, String)>> {
    let index = api.get("/api/leveret/routes")?.json()?;
    let rows = index.as_array().context("a list")?;
    let text = |row: &serde_json::Value, name: &str| -> Result<String> {
        Ok(row[name].as_str().context("a text")?.to_owned())
    };
    rows.iter()
        .map(|row| Ok((text(row, "method")?, text(row, "path")?, text(row, "gate")?)))
        .collect()
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() -> Result<()> {
    let api = Api::leveret()?;
    let mut found = routes(&api)?;
    found.sort();
    let mut known: Vec<_> = ROUTES
        .iter()
        .map(|(method, path, gate)| ((*method).to_owned(), (*path).to_owned(), (*gate).to_owned()))
        .collect();
    known.sort();
    let missing: Vec<_> = found.iter().filter(|row| !known.contains(row)).collect();
    let stale: Vec<_> = known.iter().filter(|row| !found.contains(row)).collect();
    ensure!(
        missing.is_empty() && stale.is_empty(),
        "routes without a row: {missing:#?}\nrows without a route: {stale:#?}"
    );
    Ok(())
}

#[test]
fn nothing_is_answered_without_a_login() -> Result<()> {
    let mut api = Api::leveret()?;
    let all = routes(&api)?;
    api.log_out();
    for (method, path, _) in all {
        let path = path
            .split('/')
            .map(|segment| {
                if segment.starts_with('{') {
                    "%2F"
                } else {
                    segment
                }
            })
            .collect::<Vec<_>>()
            .join("/");
        let answer = api.ask(&method, &path, Body::Nothing)?;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
        let expected = serde_json::json!({
            "error": "not_authorized", "reason": "Not_Authorized",
        });
        assert_eq!(answer.json()?, expected, "{method} {path}");
    }
    Ok(())
}
