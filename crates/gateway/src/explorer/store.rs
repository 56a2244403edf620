//! The index as a database: tables of JSON records with the columns that are searched, written by one and read by many.

use crate::explorer::{
    error::IndexError,
    tables::{META, Row, TABLES, Table},
};
use serde::de::DeserializeOwned;
use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, Executor as _, Row as _, any::AnyPoolOptions,
    any::AnyRow,
};
use std::time::Duration;

/// Connections to the database: one writes, the others answer.
const CONNECTIONS_MAX: u32 = 8;
/// How long a question waits for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The version of the tables: an index of another is thrown away and made anew from the blocks.
pub(crate) const FORMAT: &str = "4";

/// What an index is of, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The newest block in it; 0 is the genesis.
    pub height: u64,
    /// That block's digest in hexadecimal digits; empty at the genesis.
    pub digest: String,
}

/// One row of a list: its place in the order of things, and its record as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) seq: i64,
    pub(crate) record: String,
}

/// Which rows of a table are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) table: &'static Table,
    /// A column with what it must be.
    pub(crate) by: Option<(&'static str, &'a str)>,
    /// Only rows beyond this one.
    pub(crate) beyond: Option<i64>,
    /// Oldest first instead of newest first.
    pub(crate) ascending: bool,
    /// Rows at most.
    pub(crate) limit: i64,
}

/// A database by its address.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: AnyPool,
}

impl Store {
    pub(crate) async fn open(url: &str) -> Result<Self, IndexError> {
        sqlx::any::install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        if !is_sqlite && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(IndexError::UnknownDatabase);
        }
        let url = if is_sqlite && !url.contains('?') {
            format!("{url}?mode=rwc")
        } else {
            url.to_owned()
        };
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_WITHIN)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        // Readers do not wait for the writer. What power loss takes from the log is whole blocks, which come again.
                        connection
                            .execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
                            .await?;
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await?;
        Ok(Self { pool })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// The tip of an index of this format and genesis, if there is one.
    pub(crate) async fn tip_of(&self, genesis: &str) -> Result<Option<Tip>, IndexError> {
        if !self.has_tables().await? {
            return Ok(None);
        }
        let mut connection = self.pool.acquire().await?;
        let is_ours = meta(&mut connection, "format").await?.as_deref() == Some(FORMAT)
            && meta(&mut connection, "genesis").await?.as_deref() == Some(genesis);
        if is_ours {
            tip(&mut connection).await
        } else {
            Ok(None)
        }
    }

    async fn has_tables(&self) -> Result<bool, IndexError> {
        /// The codes that SQLite and PostgreSQL give a table that is not there; any other error must not pass for an empty database.
        const NO_TABLE: [&str; 2] = ["1", "42P01"];
        let sql = AssertSqlSafe(format!("SELECT name FROM {META} LIMIT 1"));
        match sqlx::query(sql).fetch_optional(&self.pool).await {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| NO_TABLE.contains(&&*code)) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Throws away what there is, and begins a writing that makes the tables anew.
    pub(crate) async fn begin_anew(&self) -> Result<Writing, IndexError> {
        let mut writing = self.begin().await?;
        let connection = &mut *writing.transaction;
        for table in TABLES {
            let sql = format!("DROP TABLE IF EXISTS {}", table.name);
            connection.execute(AssertSqlSafe(sql)).await?;
        }
        connection
            .execute(AssertSqlSafe(format!("DROP TABLE IF EXISTS {META}")))
            .await?;
        let sql = format!("CREATE TABLE {META} (name TEXT PRIMARY KEY, value TEXT NOT NULL)");
        connection.execute(AssertSqlSafe(sql)).await?;
        for sql in TABLES.iter().flat_map(|table| table.definition()) {
            connection.execute(AssertSqlSafe(sql)).await?;
        }
        Ok(writing)
    }

    /// Begins a writing: all of it is there at its commit, or nothing.
    pub(crate) async fn begin(&self) -> Result<Writing, IndexError> {
        Ok(Writing {
            transaction: self.pool.begin().await?,
        })
    }

    /// Rows of a table, by its index alone.
    pub(crate) async fn list(&self, wanted: Wanted<'_>) -> Result<Vec<Item>, IndexError> {
        let table = wanted.table;
        let (order, sign) = if wanted.ascending {
            ("ASC", '>')
        } else {
            ("DESC", '<')
        };
        let beyond = wanted
            .beyond
            .unwrap_or(if wanted.ascending { -1 } else { i64::MAX });
        let by = wanted
            .by
            .map_or_else(String::new, |(column, _)| format!("t.{column} = $3 AND "));
        let sql = format!(
            "SELECT t.seq AS seq, {} AS record FROM {} t WHERE {by}t.seq {sign} $1 ORDER BY t.seq {order} LIMIT $2",
            table.record, table.name
        );
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .bind(beyond)
            .bind(wanted.limit);
        if let Some((_, value)) = wanted.by {
            query = query.bind(value.to_owned());
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(item).collect()
    }

    /// Every row of every table as text, in order: equal indices have equal dumps, whatever their database.
    pub(crate) async fn dump(
        &self,
        mut line: impl FnMut(String) -> std::io::Result<()>,
    ) -> Result<(), IndexError> {
        let mut connection = self.pool.acquire().await?;
        for name in ["format", "genesis", "height", "digest"] {
            let value = meta(&mut connection, name).await?.unwrap_or_default();
            line(format!("{META} {name} {value}"))?;
        }
        drop(connection);
        for table in TABLES {
            let mut beyond = -1;
            loop {
                let rows = self.page_of_all(table, beyond).await?;
                let Some((last, _)) = rows.last() else { break };
                beyond = *last;
                for (_, row) in rows {
                    line(row)?;
                }
            }
        }
        Ok(())
    }

    async fn page_of_all(
        &self,
        table: &Table,
        beyond: i64,
    ) -> Result<Vec<(i64, String)>, IndexError> {
        let columns = table.columns.join(", ");
        let sql = format!(
            "SELECT seq, record, {columns} FROM {} WHERE seq > $1 ORDER BY seq LIMIT 256",
            table.name
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(beyond)
            .fetch_all(&self.pool)
            .await?;
        let text = |row: &AnyRow| {
            let seq: i64 = row.try_get("seq")?;
            let mut words = vec![table.name.to_owned(), seq.to_string()];
            for column in table.columns {
                words.push(row.try_get(*column)?);
            }
            words.push(row.try_get("record")?);
            Ok((seq, words.join(" ")))
        };
        rows.iter().map(text).collect()
    }
}

fn item(row: &AnyRow) -> Result<Item, IndexError> {
    Ok(Item {
        seq: row.try_get("seq")?,
        record: row.try_get("record")?,
    })
}

async fn meta(connection: &mut AnyConnection, name: &str) -> Result<Option<String>, IndexError> {
    let sql = AssertSqlSafe(format!("SELECT value FROM {META} WHERE name = $1"));
    let row = sqlx::query(sql)
        .bind(name.to_owned())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get("value")).transpose()?)
}

async fn tip(connection: &mut AnyConnection) -> Result<Option<Tip>, IndexError> {
    let height = meta(connection, "height").await?;
    let digest = meta(connection, "digest").await?;
    let height = height.and_then(|height| height.parse().ok());
    Ok(height
        .zip(digest)
        .map(|(height, digest)| Tip { height, digest }))
}

/// A transaction of the database.
#[derive(Debug)]
pub(crate) struct Writing {
    transaction: sqlx::Transaction<'static, sqlx::Any>,
}

impl Writing {
    pub(crate) async fn commit(self) -> Result<(), IndexError> {
        Ok(self.transaction.commit().await?)
    }

    pub(crate) async fn tip(&mut self) -> Result<Option<Tip>, IndexError> {
        tip(&mut self.transaction).await
    }

    /// Notes of what genesis the index is.
    pub(crate) async fn found(&mut self, genesis: &str) -> Result<(), IndexError> {
        let notes = [
            ("format", FORMAT),
            ("genesis", genesis),
            ("height", "0"),
            ("digest", ""),
        ];
        for (name, value) in notes {
            let sql = AssertSqlSafe(format!("INSERT INTO {META} (name, value) VALUES ($1, $2)"));
            sqlx::query(sql)
                .bind(name)
                .bind(value.to_owned())
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    /// Notes the new tip; refused if somebody else wrote meanwhile.
    pub(crate) async fn advance(&mut self, from: &Tip, to: &Tip) -> Result<(), IndexError> {
        let values = [
            ("height", from.height.to_string(), to.height.to_string()),
            ("digest", from.digest.clone(), to.digest.clone()),
        ];
        for (name, old, new) in values {
            let sql = AssertSqlSafe(format!(
                "UPDATE {META} SET value = $3 WHERE name = $1 AND value = $2"
            ));
            let done = sqlx::query(sql)
                .bind(name)
                .bind(old)
                .bind(new)
                .execute(&mut *self.transaction)
                .await?;
            if done.rows_affected() != 1 {
                return Err(IndexError::OtherWriter);
            }
        }
        Ok(())
    }

    pub(crate) async fn insert<R: Row>(&mut self, seq: i64, row: &R) -> Result<(), IndexError> {
        let record = serde_json::to_string(row)?;
        self.insert_raw(R::TABLE, seq, row.keys(), record).await
    }

    /// Inserts a row whose record stands elsewhere.
    pub(crate) async fn insert_raw(
        &mut self,
        table: &Table,
        seq: i64,
        keys: Vec<String>,
        record: String,
    ) -> Result<(), IndexError> {
        let columns = table.columns.join(", ");
        let values: Vec<String> = (3..).take(keys.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "INSERT INTO {} (seq, record, {columns}) VALUES ($1, $2, {})",
            table.name,
            values.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(seq).bind(record);
        for key in keys {
            query = query.bind(key);
        }
        query.execute(&mut *self.transaction).await?;
        Ok(())
    }

    pub(crate) async fn update<R: Row>(&mut self, seq: i64, row: &R) -> Result<(), IndexError> {
        let record = serde_json::to_string(row)?;
        let sets: Vec<String> = (3..)
            .zip(R::TABLE.columns)
            .map(|(n, column)| format!("{column} = ${n}"))
            .collect();
        let sql = format!(
            "UPDATE {} SET record = $2, {} WHERE seq = $1",
            R::TABLE.name,
            sets.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(seq).bind(record);
        for key in row.keys() {
            query = query.bind(key);
        }
        query.execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// The newest rows of a key, at most so many.
    pub(crate) async fn rows<R: Row + DeserializeOwned>(
        &mut self,
        column: &'static str,
        key: &str,
        limit: i64,
    ) -> Result<Vec<(i64, R)>, IndexError> {
        let sql = format!(
            "SELECT seq, record FROM {} WHERE {column} = $1 ORDER BY seq DESC LIMIT $2",
            R::TABLE.name
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(key.to_owned())
            .bind(limit)
            .fetch_all(&mut *self.transaction)
            .await?;
        let parsed = rows.iter().map(|row| {
            let item = item(row)?;
            Ok((item.seq, serde_json::from_str(&item.record)?))
        });
        parsed.collect()
    }

    /// The newest row of a key, if there is one.
    pub(crate) async fn find<R: Row + DeserializeOwned>(
        &mut self,
        column: &'static str,
        key: &str,
    ) -> Result<Option<(i64, R)>, IndexError> {
        Ok(self.rows(column, key, 1).await?.pop())
    }

    /// Changes the row of a key, which must be there.
    pub(crate) async fn change<R: Row + DeserializeOwned>(
        &mut self,
        column: &'static str,
        key: &str,
        change: impl FnOnce(&mut R) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let Some((seq, mut row)) = self.find::<R>(column, key).await? else {
            return Err(IndexError::Missing {
                table: R::TABLE.name,
                key: key.to_owned(),
            });
        };
        change(&mut row)?;
        self.update(seq, &row).await
    }
}
