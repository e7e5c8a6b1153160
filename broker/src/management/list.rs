//! Lists: filtered, sorted, cut into pages and columns as the query asks (spec 10.1.5).
//!
//! Rows are made twice where a list is sorted, once for the value that sorts them and once for the
//! answer, so that a page of a long list never holds the whole list's rows.

use std::cmp::Ordering;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

use super::Refusal;
use super::request::Query;

/// Rows of a page, where the query does not say.
const PAGE_SIZE: usize = 100;

/// Rows of a page at most.
const PAGE_SIZE_MAX: i128 = 500;

/// What a pattern may occupy once it is compiled: patterns come from anybody who may look.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// How a list or an object is to be shown.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    query: Query,
    columns: Columns,
    sort: Vec<Vec<String>>,
    reverse: bool,
    page: Option<Page>,
}

#[derive(Clone, Debug)]
struct Page {
    number: usize,
    size: usize,
    filter: Filter,
}

#[derive(Clone, Debug)]
enum Filter {
    All,
    /// In small letters.
    Contains(String),
    Matches(Regex),
    /// The pattern is none, and so matches nothing.
    Nothing,
}

impl<S: Send + Sync> FromRequestParts<S> for View {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Self::new(Query::from_request_parts(parts, state).await?)
    }
}

impl View {
    fn new(query: Query) -> Result<Self, Refusal> {
        let paths = |name: &str| -> Vec<Vec<String>> {
            let list = query.value(name).unwrap_or_default();
            list.split(',')
                .filter(|path| !path.is_empty())
                .map(|path| path.split('.').map(str::to_owned).collect())
                .collect()
        };
        Ok(Self {
            columns: Columns(paths("columns")),
            sort: paths("sort"),
            reverse: query.is_true("sort_reverse"),
            page: page(&query)?,
            query,
        })
    }

    /// The query that this was read from.
    pub(super) const fn query(&self) -> &Query {
        &self.query
    }

    /// One object, with the columns that are asked for.
    pub(super) fn object(&self, object: Value) -> Response {
        json_answer(self.columns.of(object).to_string().into_bytes())
    }

    /// A list that has no pages, such as that of bindings: all of it, in its order.
    pub(super) fn whole<T>(&self, items: &[T], row: impl Fn(&T) -> Value) -> Response {
        json_answer(self.rows(items.iter(), row))
    }

    /// A list. `items` come in the order that they have without a query, `name` is what filters
    /// look at, and `row` shows one.
    pub(super) fn list<T>(
        &self,
        mut items: Vec<T>,
        name: impl Fn(&T) -> &str,
        row: impl Fn(&T) -> Value,
    ) -> Result<Response, Refusal> {
        let total = items.len();
        if let Some(page) = &self.page {
            items.retain(|item| page.filter.accepts(name(item)));
        }
        let items = self.sorted(items, &row);
        let Some(page) = &self.page else {
            return Ok(json_answer(self.rows(items.iter(), row)));
        };
        let filtered = items.len();
        let start = (page.number - 1).saturating_mul(page.size);
        if page.number > 1 && start >= filtered {
            return Err(out_of_range(&page.number, page.size, filtered));
        }
        let rows = self.rows(items.iter().skip(start).take(page.size), row);
        let facts = json!({
            "total_count": total,
            "item_count": filtered.saturating_sub(start).min(page.size),
            "filtered_count": filtered,
            "page": page.number,
            "page_size": page.size,
            "page_count": filtered.div_ceil(page.size),
        });
        let mut answer = facts.to_string().into_bytes();
        // The closing brace comes after the items.
        answer.pop();
        answer.extend_from_slice(b",\"items\":");
        answer.extend_from_slice(&rows);
        answer.push(b'}');
        Ok(json_answer(answer))
    }

    fn sorted<T>(&self, items: Vec<T>, row: &impl Fn(&T) -> Value) -> Vec<T> {
        if self.sort.is_empty() {
            return if self.reverse {
                items.into_iter().rev().collect()
            } else {
                items
            };
        }
        let mut keyed: Vec<(Vec<Value>, T)> = items
            .into_iter()
            .map(|item| {
                let row = row(&item);
                let values = self.sort.iter().map(|path| at(&row, path).clone());
                (values.collect(), item)
            })
            .collect();
        keyed.sort_by(|(left, _), (right, _)| {
            let order = left
                .iter()
                .zip(right)
                .map(|(left, right)| compare(left, right))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal);
            if self.reverse { order.reverse() } else { order }
        });
        keyed.into_iter().map(|(_, item)| item).collect()
    }

    fn rows<'a, T: 'a>(
        &self,
        items: impl Iterator<Item = &'a T>,
        row: impl Fn(&T) -> Value,
    ) -> Vec<u8> {
        let mut rows = vec![b'['];
        for item in items {
            if rows.len() > 1 {
                rows.push(b',');
            }
            rows.extend_from_slice(self.columns.of(row(item)).to_string().as_bytes());
        }
        rows.push(b']');
        rows
    }
}

fn json_answer(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn page(query: &Query) -> Result<Option<Page>, Refusal> {
    let number = |name: &str| match query.value(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<i128>()
            .map(Some)
            .map_err(|_| Refusal::bad_request("Pagination parameters are invalid")),
    };
    let Some(page) = number("page")? else {
        return Ok(None);
    };
    let size = number("page_size")?;
    let valid_size = match size {
        None => Some(PAGE_SIZE),
        Some(size) if (1..=PAGE_SIZE_MAX).contains(&size) => usize::try_from(size).ok(),
        Some(_) => None,
    };
    let Some(valid_size) = valid_size.filter(|_| page >= 1) else {
        let size = size.map_or_else(|| "undefined".to_owned(), |size| size.to_string());
        let reason = format!("Invalid pagination parameters: page number {page}, page size {size}");
        return Err(Refusal::bad_page("invalid_pagination_parameters", reason));
    };
    Ok(Some(Page {
        number: usize::try_from(page).unwrap_or(usize::MAX),
        size: valid_size,
        filter: Filter::new(query),
    }))
}

fn out_of_range(page: &usize, size: usize, length: usize) -> Refusal {
    let reason = format!("Page out of range, page: {page} page size: {size}, len: {length}");
    Refusal::bad_page("page_out_of_range", reason)
}

impl Filter {
    fn new(query: &Query) -> Self {
        match query.value("name") {
            None | Some("") => Self::All,
            // Time linear in the name, whatever the pattern (spec 13.14).
            Some(pattern) if query.is_true("use_regex") => RegexBuilder::new(pattern)
                .case_insensitive(true)
                .size_limit(PATTERN_BYTES_MAX)
                .dfa_size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_or(Self::Nothing, Self::Matches),
            Some(part) => Self::Contains(part.to_lowercase()),
        }
    }

    fn accepts(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Contains(part) => name.to_lowercase().contains(part),
            Self::Matches(pattern) => pattern.is_match(name),
            Self::Nothing => false,
        }
    }
}

/// The value at a path of names; null where there is none.
fn at<'a>(row: &'a Value, path: &[String]) -> &'a Value {
    path.iter()
        .try_fold(row, |value, name| value.get(name))
        .unwrap_or(&Value::Null)
}

/// Orders values of any kind: nothing, truths, numbers, texts, and the rest as it comes.
fn compare(left: &Value, right: &Value) -> Ordering {
    const fn rank(value: &Value) -> u8 {
        match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Number(_) => 2,
            Value::String(_) => 3,
            Value::Array(_) => 4,
            Value::Object(_) => 5,
        }
    }
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => match (left.as_u64(), right.as_u64()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left
                .as_f64()
                .unwrap_or(0.0)
                .total_cmp(&right.as_f64().unwrap_or(0.0)),
        },
        _ => rank(left).cmp(&rank(right)),
    }
}

/// The columns that are asked for; none means all.
#[derive(Clone, Debug, Default)]
struct Columns(Vec<Vec<String>>);

impl Columns {
    fn of(&self, row: Value) -> Value {
        if self.0.is_empty() {
            return row;
        }
        let mut chosen = Map::new();
        for path in &self.0 {
            insert(&mut chosen, &row, path);
        }
        Value::Object(chosen)
    }
}

/// Copies what lies at `path`, with the objects around it; nothing if there is nothing.
fn insert(chosen: &mut Map<String, Value>, row: &Value, path: &[String]) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    let Some(value) = row.get(name) else {
        return;
    };
    if rest.is_empty() {
        chosen.insert(name.clone(), value.clone());
        return;
    }
    if value.is_object() {
        let inner = chosen
            .entry(name.clone())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(inner) = inner {
            insert(inner, value, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(query: &str) -> Result<View, Refusal> {
        let uri: axum::http::Uri = format!("/?{query}").parse().expect("a query");
        let axum::extract::Query(pairs) =
            axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).expect("a query");
        View::new(Query::from_pairs(pairs))
    }

    /// The list of `a` to `e`, each with its length, as the query wants it.
    fn listed(query: &str) -> Value {
        let items = vec!["a", "bb", "ccc", "dddd", "eeeee"];
        let view = view(query).expect("a good query");
        let shown = view.list(
            items,
            |item| item,
            |item| json!({ "name": item, "size": { "bytes": item.len() } }),
        );
        let response = shown.expect("a page that exists");
        let read = axum::body::to_bytes(response.into_body(), usize::MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let bytes = runtime.expect("a runtime").block_on(read).expect("a body");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn columns_are_cut_out_of_nested_objects() {
        assert_eq!(
            listed("columns=size.bytes")[0],
            json!({ "size": { "bytes": 1 } })
        );
        assert_eq!(listed("columns=name,size.nothing")[1]["name"], "bb");
        assert_eq!(listed("columns=nothing")[0], json!({}));
    }

    #[test]
    fn a_list_is_sorted_by_what_lies_deep_inside() {
        let longest_first = listed("sort=size.bytes&sort_reverse=true&columns=name");
        assert_eq!(longest_first[0]["name"], "eeeee");
        let unsorted = listed("sort=nothing&columns=name");
        assert_eq!(unsorted[0]["name"], "a");
    }

    #[test]
    fn a_page_says_where_it_stands() {
        let expected = json!({
            "total_count": 5, "item_count": 1, "filtered_count": 3, "page": 2, "page_size": 2,
            "page_count": 2, "items": [{ "name": "eeeee" }],
        });
        let query = "page=2&page_size=2&columns=name&use_regex=true&name=^(c|d|e)%2B$";
        assert_eq!(listed(query), expected);
        assert_eq!(listed("page=1&name=B")["filtered_count"], 1);
        assert_eq!(listed("page=1&name=(&use_regex=true")["items"], json!([]));
    }

    #[test]
    fn numbers_that_are_no_page_are_refused() {
        for query in [
            "page=0",
            "page=-1",
            "page=x",
            "page=1&page_size=0",
            "page=1&page_size=501",
            "page=1&page_size=99999999999999999999999999999999999999999999",
        ] {
            assert!(view(query).is_err(), "{query}");
        }
        let beyond = view("page=170141183460469231731687303715884105727").expect("a number");
        assert!(
            beyond
                .list(vec!["a"], |item| item, |_| Value::Null)
                .is_err()
        );
    }

    #[test]
    fn a_pattern_that_would_grow_too_large_matches_nothing() {
        let bomb = "page=1&use_regex=true&name=((a{1,1000}){1,1000}){1,1000}";
        assert_eq!(listed(bomb)["filtered_count"], 0);
    }
}
