//! A PostgreSQL server for all tests that run at the same time, and an empty schema for each. Knows nothing of stores.
//!
//! nextest runs each test in a process of its own. The first starts the server, the others find it; each holds a shared
//! lock as long as it lives, and once nobody has held it for a while a guard stops the server and removes its folder.

use std::{
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

/// The superuser of the cluster; its password counts over TCP only.
pub const USER: &str = "swarmem";
/// Not secret, and looked for in everything that is printed.
pub const PASSWORD: &str = "correct-horse";

/// Waits until nobody uses the server any more, stops it by its process id and removes its folder. What is under way is
/// looked at every few seconds, so that the server outlives the gaps between two tests.
const GUARD: &str = r#"
cd "$1" || exit 1
while [ -d data ]; do
    sleep 5
    flock -x lock flock -n -x users sh -c '
        kill -QUIT "$(head -n 1 data/postmaster.pid)" 2>/dev/null
        while kill -0 "$(head -n 1 data/postmaster.pid 2>/dev/null)" 2>/dev/null; do sleep 0.1; done
        rm -rf data port' && exit 0
done
"#;

/// The server that all tests share.
pub struct Shared {
    pub port: u16,
    /// Where its socket is.
    pub folder: PathBuf,
    /// Held as long as this process lives.
    _users: File,
}

/// An empty database, for as long as this lives.
pub struct Database {
    pub name: String,
    pub server: &'static Shared,
    _slot: File,
}

impl Database {
    /// A database without a schema of ours.
    pub fn new() -> Self {
        let server = shared();
        for slot in 0.. {
            let file = open(&server.folder.join(format!("slot-{slot}")));
            if file.try_lock().is_err() {
                continue;
            }
            let name = format!("slot_{slot}");
            let there =
                server.sql("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{name}'"));
            if there.is_empty() {
                server.sql("postgres", &format!("CREATE DATABASE {name} STRATEGY wal_log"));
            }
            let database = Self { name, server, _slot: file };
            database.clear();
            return database;
        }
        unreachable!("there is always another slot");
    }

    /// Removes our schema, and ends whoever still uses it.
    pub fn clear(&self) {
        self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid(); \
             SET client_min_messages = warning; DROP SCHEMA IF EXISTS swarmem CASCADE",
        );
    }

    /// Over the unix socket, where everybody is trusted.
    pub fn url(&self) -> String {
        let folder = self.server.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{}", self.server.port, self.name)
    }

    /// Over TCP, with a password.
    pub fn tcp_url(&self, port: u16) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{}", self.name)
    }

    /// Runs statements, and returns their rows as `psql` prints them, without any decoration.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}

impl Shared {
    /// Runs statements in a database of that name.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        sql_at(&self.folder, self.port, database, sql)
    }
}

/// Runs statements as the superuser, and returns their rows.
pub fn sql_at(folder: &Path, port: u16, database: &str, sql: &str) -> String {
    let mut command = Command::new(program("psql"));
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-c", sql]);
    let output = command.arg("-h").arg(folder).args(["-p", &port.to_string()]).output().unwrap();
    text_of(output, "psql")
}

fn text_of(output: Output, what: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The server that all tests share, started if it does not run.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let folder = folder();
        let lock = open(&folder.join("lock"));
        lock.lock().unwrap();
        let users = open(&folder.join("users"));
        users.lock_shared().unwrap();
        let running = fs::read_to_string(folder.join("port")).ok().and_then(|port| port.parse().ok());
        let port = running.unwrap_or_else(|| {
            certificates(&folder);
            let folder_shown = folder.display();
            let port = start(
                &folder,
                &[
                    "ssl=on",
                    &format!("ssl_cert_file={folder_shown}/server.crt"),
                    &format!("ssl_key_file={folder_shown}/server.key"),
                ],
            );
            fs::write(folder.join("port"), port.to_string()).unwrap();
            guard(&folder);
            port
        });
        Shared { port, folder, _users: users }
    })
}

/// One folder for each checkout, with a name that is short enough for a socket in it.
fn folder() -> PathBuf {
    let hash = xxhash_rust::xxh3::xxh3_64(env!("CARGO_TARGET_TMPDIR").as_bytes());
    let folder = std::env::temp_dir().join(format!("swarmem-postgres-{hash:x}"));
    make_folder(&folder);
    folder
}

/// A folder that the server's user owns.
pub fn make_folder(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    if let Some((uid, gid)) = server_user() {
        std::os::unix::fs::chown(folder, Some(uid), Some(gid)).unwrap();
    }
}

fn open(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

/// Makes a cluster in `folder` and starts its server; `settings` come on top of those that all tests want.
pub fn start(folder: &Path, settings: &[&str]) -> u16 {
    make(folder);
    run(folder, settings)
}

/// Makes a cluster in `folder`.
pub fn make(folder: &Path) {
    let data = folder.join("data");
    let _ = fs::remove_dir_all(&data);
    let secret = folder.join("password");
    File::create(&secret).unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    let mut initdb = as_server_user(&program("initdb"));
    initdb.arg("-D").arg(&data).arg("--pwfile").arg(&secret).args(["-U", USER, "-E", "UTF8", "--no-locale"]);
    initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions", "--no-sync"]);
    text_of(initdb.output().unwrap(), "initdb");
}

/// Starts the server of the cluster in `folder`, and waits until it answers.
pub fn run(folder: &Path, settings: &[&str]) -> u16 {
    let port = free_port();
    run_at(folder, port, settings, &[]);
    port
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The same on a certain port.
pub fn run_at(folder: &Path, port: u16, settings: &[&str], environment: &[(&str, String)]) {
    let log = folder.join("log");
    let mut options = format!(
        "-p {port} -k {} -c listen_addresses=127.0.0.1 -c max_connections=300 -c shared_buffers=64MB \
         -c fsync=on -c synchronous_commit=on -c max_wal_size=4GB -c max_prepared_transactions=0",
        folder.display()
    );
    for setting in settings {
        options += &format!(" -c {setting}");
    }
    let mut control = as_server_user(&program("pg_ctl"));
    control
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .arg("start")
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-l")
        .arg(&log)
        .args(["-w", "-s", "-o", &options]);
    let started = control.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(started.success(), "{}", fs::read_to_string(&log).unwrap_or_default());
}

/// Ends the server of the cluster in `folder` as a crash would, by its process id.
pub fn kill(folder: &Path) {
    let pid = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    let killed = Command::new("kill").args(["-QUIT", &pid]).status().unwrap();
    assert!(killed.success());
    while Path::new("/proc").join(&pid).exists() {
        std::thread::yield_now();
    }
}

/// An authority of our own, a certificate by it for "localhost", and another authority that has nothing to do with it.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let mut command = as_server_user(Path::new("openssl"));
        text_of(command.args(arguments.split(' ')).current_dir(folder).output().unwrap(), "openssl");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    for authority in ["ca", "other-ca"] {
        openssl(&format!(
            "req -x509 {key} -subj /CN={authority} -keyout {authority}.key -out {authority}.crt"
        ));
    }
    openssl(&format!(
        "req -x509 {key} -subj /CN=server -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE \
         -CA ca.crt -CAkey ca.key -keyout server.key -out server.crt"
    ));
}

fn guard(folder: &Path) {
    // In a session of its own, and not waited for: it outlives this process.
    let mut guard = Command::new("setsid");
    guard.args(["--fork", "sh", "-c", GUARD, "guard"]).arg(folder).current_dir("/");
    guard.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(guard.status().unwrap().success());
}

/// A program of the newest PostgreSQL that is installed, or of the folder that POSTGRES_BIN names.
pub fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("POSTGRES_BIN") {
        return Path::new(&folder).join(name);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path()).max_by_key(|path| {
        path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or_default()
    });
    let newest = newest.expect("PostgreSQL is not installed: tests/run installs it");
    newest.join("bin").join(name)
}

/// The server refuses to run as root.
pub fn as_server_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some((uid, gid)) = server_user() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Another user and its group, if we are root.
fn server_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}
