//! Statements over lists of rows, and several statements in one round: their texts are made once, lists are padded to the
//! next power of two, so that a batch of any size is sent as a text that is prepared already. Knows neither tables nor
//! what a row means.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use sqlx::{Arguments as _, AssertSqlSafe, Encode, Sqlite, Type, query::Query, sqlite::SqliteArguments};

/// Rows of one list at most.
pub(super) const ROWS_MAX: usize = 256;

/// A statement that begins with a table of rows. Its values have no numbers: SQLite would look the name of a numbered
/// one up in a list of all of them.
pub(super) struct Bulk {
    /// The names of a row's columns. The first is NULL only in the rows that pad a list.
    pub columns: &'static [&'static str],
    /// What follows the table, which it knows as `listed`.
    pub rest: &'static str,
}

/// Statements that are sent together, and their values in the order in which the text asks for them. Each way between
/// a task and the connection's thread costs two switches, more than a small statement itself.
#[derive(Default)]
pub(super) struct Script {
    parts: Vec<Part>,
    values: SqliteArguments,
}

#[derive(Clone, Copy)]
struct Part {
    columns: &'static [&'static str],
    rest: &'static str,
    /// With the padding.
    rows: usize,
}

/// What tells the texts of scripts apart: where each part stands in the program, and how many rows it has.
type Shape = Vec<(usize, usize)>;

impl Script {
    /// Adds a statement over up to [`ROWS_MAX`] rows; over none, nothing.
    pub fn list<T>(
        &mut self,
        bulk: &Bulk,
        rows: &[T],
        mut bind: impl FnMut(&mut Self, usize, &T),
    ) -> &mut Self {
        if rows.is_empty() {
            return self;
        }
        let padded = rows.len().next_power_of_two();
        let before = self.values.len();
        self.values.reserve(padded * bulk.columns.len(), 0);
        for (place, row) in rows.iter().enumerate() {
            bind(self, place, row);
            debug_assert_eq!(self.values.len() - before, (place + 1) * bulk.columns.len(), "a row is whole");
        }
        for _ in self.values.len()..before + padded * bulk.columns.len() {
            self.bind(None::<i64>);
        }
        self.parts.push(Part { columns: bulk.columns, rest: bulk.rest, rows: padded });
        self
    }

    /// Adds a statement without a list.
    pub fn statement(&mut self, sql: &'static str) -> &mut Self {
        self.parts.push(Part { columns: &[], rest: sql, rows: 0 });
        self
    }

    /// Adds a value, the next that the text asks for.
    pub fn bind<'v>(&mut self, value: impl Encode<'v, Sqlite> + Type<Sqlite>) -> &mut Self {
        self.values.add(value).expect("only values whose encoding cannot fail are bound");
        self
    }

    /// What can be executed.
    pub fn query(self) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query_with(AssertSqlSafe(text(&self.parts)), self.values)
    }
}

fn text(parts: &[Part]) -> Arc<str> {
    static TEXTS: LazyLock<Mutex<HashMap<Shape, Arc<str>>>> = LazyLock::new(Mutex::default);
    let shape: Shape = parts.iter().map(|part| (part.rest.as_ptr().addr(), part.rows)).collect();
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let text = texts.entry(shape).or_insert_with(|| {
        let parts: Vec<_> = parts.iter().map(compose).collect();
        parts.join("; ").into()
    });
    Arc::clone(text)
}

fn compose(part: &Part) -> String {
    if part.rows == 0 {
        return part.rest.to_owned();
    }
    let row = format!("({})", vec!["?"; part.columns.len()].join(", "));
    let (columns, values) = (part.columns.join(", "), vec![row; part.rows].join(", "));
    format!("WITH listed ({columns}) AS (VALUES {values}) {}", part.rest)
}

#[cfg(test)]
impl Bulk {
    /// The text of the statement alone, for so many rows.
    pub fn text(&self, rows: usize) -> String {
        compose(&Part { columns: self.columns, rest: self.rest, rows })
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Row as _, SqliteConnection};

    use super::*;

    static SUM: Bulk = Bulk {
        columns: &["a", "b"],
        rest: "SELECT count(*), sum(a), sum(b), ? FROM listed WHERE a IS NOT NULL AND ? = 7",
    };

    #[tokio::test]
    async fn lists_of_any_length_are_padded_and_go_together() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for len in [1, 2, 3, 64, 65, ROWS_MAX] {
            let rows: Vec<i64> = (0..len as i64).collect();
            let mut script = Script::default();
            for name in ["x", "y"] {
                script.list(&SUM, &rows, |row, place, of| {
                    row.bind(*of).bind(place as i64 * 2);
                });
                script.bind(name).bind(7);
            }
            script.statement("SELECT ?").bind(9);
            let found = script.query().fetch_all(&mut connection).await.unwrap();
            let sum: i64 = rows.iter().sum();
            for (row, name) in found.iter().zip(["x", "y"]) {
                let row: (i64, i64, i64, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
                assert_eq!(row, (len as i64, sum, sum * 2, name.to_owned()));
            }
            assert_eq!((found.len(), found[2].get::<i64, _>(0)), (3, 9));
        }
    }
}
