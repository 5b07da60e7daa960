//! Statements over lists of rows: their texts are made once, one for each power of two, and a list is padded to the next,
//! so that a batch of any size is one statement that is prepared already. Knows neither tables nor what a row means.

use std::sync::{Arc, OnceLock};

use sqlx::{Arguments as _, AssertSqlSafe, Encode, Sqlite, Type, sqlite::SqliteArguments};

/// Rows in one statement at most.
pub(super) const ROWS_MAX: usize = 256;
const SIZES: usize = ROWS_MAX.ilog2() as usize + 1;

/// A statement that begins with a table of rows.
pub(super) struct Bulk {
    /// The names of a row's columns. The first is NULL only in the rows that pad a list.
    columns: &'static [&'static str],
    /// What follows the table, which it knows as `listed`. `{1}`, `{2}` and so on are values that all rows share.
    rest: &'static str,
    texts: [OnceLock<Arc<str>>; SIZES],
}

/// The values of a statement, in their order.
#[derive(Default)]
pub(super) struct Values(SqliteArguments);

impl Values {
    /// Adds one.
    pub fn bind<'v>(&mut self, value: impl Encode<'v, Sqlite> + Type<Sqlite>) -> &mut Self {
        self.0.add(value).expect("only values whose encoding cannot fail are bound");
        self
    }
}

impl Bulk {
    pub const fn new(columns: &'static [&'static str], rest: &'static str) -> Self {
        Self { columns, rest, texts: [const { OnceLock::new() }; SIZES] }
    }

    /// The text and the values for up to [`ROWS_MAX`] rows.
    pub fn over<T>(
        &self,
        rows: &[T],
        mut bind: impl FnMut(&mut Values, usize, &T),
        shared: impl FnOnce(&mut Values),
    ) -> (AssertSqlSafe<Arc<str>>, SqliteArguments) {
        let padded = rows.len().next_power_of_two();
        let mut values = Values::default();
        values.0.reserve(padded * self.columns.len() + 4, 0);
        for (place, row) in rows.iter().enumerate() {
            bind(&mut values, place, row);
            debug_assert_eq!(values.0.len(), (place + 1) * self.columns.len(), "a row has all its columns");
        }
        for _ in values.0.len()..padded * self.columns.len() {
            values.bind(None::<i64>);
        }
        shared(&mut values);
        (AssertSqlSafe(self.text(padded)), values.0)
    }

    /// The text for so many rows, a power of two.
    pub fn text(&self, rows: usize) -> Arc<str> {
        let size = rows.ilog2() as usize;
        Arc::clone(self.texts[size].get_or_init(|| self.compose(rows).into()))
    }

    // The values of the rows have no numbers: SQLite would look the name of a numbered one up in a list of all of them.
    // They come first, so that those which all rows share can be numbered behind them.
    fn compose(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let mut rest = self.rest.to_owned();
        for shared in 1..=9 {
            rest =
                rest.replace(&format!("{{{shared}}}"), &format!("?{}", rows * self.columns.len() + shared));
        }
        let (columns, values) = (self.columns.join(", "), vec![row; rows].join(", "));
        format!("WITH listed ({columns}) AS (VALUES {values}) {rest}")
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;

    static SUM: Bulk = Bulk::new(
        &["a", "b"],
        "SELECT count(*), sum(a), sum(b), {2} FROM listed WHERE a IS NOT NULL AND {1} = 7",
    );

    #[tokio::test]
    async fn lists_of_any_length_are_padded_and_share_values() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for len in [1, 2, 3, 64, 65, ROWS_MAX] {
            let rows: Vec<i64> = (0..len as i64).collect();
            let (text, values) = SUM.over(
                &rows,
                |row, place, of| {
                    row.bind(*of).bind(place as i64 * 2);
                },
                |shared| {
                    shared.bind(7).bind("x");
                },
            );
            let found: (i64, i64, i64, String) =
                sqlx::query_as_with(text, values).fetch_one(&mut connection).await.unwrap();
            let sum: i64 = rows.iter().sum();
            assert_eq!(found, (len as i64, sum, sum * 2, "x".to_owned()));
        }
    }
}
