//! pgbench as a peer: one counter row that all clients want, and the statements of our own commits. Knows the functions of our
//! schema, nothing of what calls them in the product.

use std::{io::Write as _, process::Command};

use anyhow::Context as _;

use super::servers::Fleet;

/// What many write first: a number from one row, and a row under that number.
const COUNTER: &str = "BEGIN;
UPDATE compare.counter SET n = n + 1 WHERE id = 1 RETURNING n \\gset
INSERT INTO compare.rows (revision, content) VALUES (:n, :content);
COMMIT;
";

/// The tables of the counter.
pub fn prepare(fleet: &Fleet) -> anyhow::Result<()> {
    let sql = "CREATE SCHEMA compare; \
        CREATE TABLE compare.counter (id int PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 20); \
        INSERT INTO compare.counter VALUES (1, 0); \
        CREATE TABLE compare.rows (revision bigint PRIMARY KEY, content text NOT NULL)";
    let mut psql = Command::new("psql");
    let done =
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(fleet.postgres_url()?).status()?;
    anyhow::ensure!(done.success(), "psql: {done}");
    Ok(())
}

/// Rows a second, each committed by itself.
pub fn counter(fleet: &Fleet, content: &str, clients: usize, seconds: u64) -> anyhow::Result<f64> {
    run(fleet, COUNTER, content, clients, seconds)
}

/// Rows a second in commits of so many, one after the other as a lane does it. Keys and ids are made, and the content is
/// repeated, by the server: less is sent than by a coordinator.
pub fn statements(fleet: &Fleet, swarm: &str, content: &str, rows: u64, seconds: u64) -> anyhow::Result<f64> {
    let each =
        |what: &str| format!("(SELECT array_agg({what} ORDER BY i) FROM generate_series(1, {rows}) i)");
    let all = |what: &str| format!("array_fill({what}, ARRAY[{rows}])");
    let namespaces = all("'shared/bench'::text");
    // In no order, as the keys of the other loads; ids as much in order as a client's.
    let keys = each("md5(:n::text || i)");
    let ids = each("lpad(:n::text, 20, '0') || i");
    let (agents, numbers) = (all("'bench'::text"), each(":revision::bigint + i"));
    let time = all("1700000000000000::bigint");
    let script = format!(
        "\\set n random(1, 1000000000000)
BEGIN;
SELECT l.life, l.revision FROM swarmem.heads h CROSS JOIN LATERAL swarmem.lock_and_load_2(h.swarm_id, h.name, {namespaces}, {keys}, \
         {nothing}, {agents}, {ids}, '{{}}', '{{}}', '{{}}') l WHERE h.name = '{swarm}' \\gset
SELECT swarmem.persist_2(h.swarm_id, h.life, h.name, :revision, :revision + {rows}, '{nonce}', 1700000000000000, :revision, \
         :revision, {numbers}, {ordinals}, {changes}, {causes}, {time}, {numbers}, {time}, {versions}, {expires}, {bytes}, \
         {namespaces}, {keys}, {metas}, {contents}, {agents}, {ids}, {digests}, {numbers}, {time}, {outcomes}, \
         '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}') FROM swarmem.heads h WHERE h.name = '{swarm}';
COMMIT;
",
        nothing = all("0::bigint"),
        nonce = "00000000-0000-4000-8000-000000000000",
        ordinals = all("0"),
        changes = all("0::smallint"),
        causes = all("1::smallint"),
        versions = all("1::bigint"),
        expires = all("NULL::bigint"),
        bytes = all("1024::bigint"),
        metas = all("decode(repeat('07', 24), 'hex')"),
        contents = all("convert_to(:content, 'UTF8')"),
        digests = all("decode(repeat('07', 16), 'hex')"),
        outcomes = all("decode(repeat('07', 40), 'hex')"),
    );
    Ok(run(fleet, &script, content, 1, seconds)? * rows as f64)
}

/// Transactions a second.
fn run(fleet: &Fleet, script: &str, content: &str, clients: usize, seconds: u64) -> anyhow::Result<f64> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(script.as_bytes())?;
    let mut pgbench = Command::new("pgbench");
    pgbench.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]);
    pgbench.args([
        format!("--client={clients}"),
        format!("--time={seconds}"),
        format!("--define=content={content}"),
    ]);
    pgbench.arg("--file").arg(file.path()).arg(fleet.postgres_url()?);
    // As our coordinators have it: see ADR 13.
    pgbench.env(
        "PGOPTIONS",
        "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off \
         -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off",
    );
    let output = pgbench.output().context("pgbench cannot be run")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.filter(|_| output.status.success()).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("pgbench: {}", errors.lines().next().unwrap_or_default())
    })
}
