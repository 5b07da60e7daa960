//! A Redis server, sentinel or cluster of a test's own: started, asked, killed, started again. Knows nothing of buses.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    time::Duration,
};

use redis::{Connection, FromRedisValue, cmd};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// What one program is, depending on the name it is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Server,
    Sentinel,
}

/// A server that runs until it is dropped.
pub struct RedisServer {
    role: Role,
    pub port: u16,
    /// Its configuration, line by line.
    lines: Vec<String>,
    directory: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts one without a password.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with these lines of configuration.
    pub fn with(lines: &[&str]) -> Self {
        Self::of(Role::Server, |port| {
            let plain = [format!("port {port}"), "save \"\"".to_owned(), "appendonly no".to_owned()];
            plain.into_iter().chain(lines.iter().map(|&line| line.to_owned())).collect()
        })
    }

    /// Starts one that speaks TLS only.
    pub fn with_tls(certificates: &Certificates) -> Self {
        Self::of(Role::Server, |port| {
            vec![
                "port 0".to_owned(),
                format!("tls-port {port}"),
                format!("tls-cert-file {}", certificates.path("server.pem").display()),
                format!("tls-key-file {}", certificates.path("server.key").display()),
                format!("tls-ca-cert-file {}", certificates.path("ca.pem").display()),
                "tls-auth-clients no".to_owned(),
                "save \"\"".to_owned(),
            ]
        })
    }

    fn of(role: Role, lines: impl Fn(u16) -> Vec<String>) -> Self {
        loop {
            let port = free_port();
            let directory = tempfile::tempdir().unwrap();
            let mut server = Self { role, port, lines: lines(port), directory, process: None };
            // Somebody may have been quicker.
            if server.try_run().is_ok() {
                return server;
            }
        }
    }

    /// Kills it at once, as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it again, where it was.
    pub fn run(&mut self) {
        self.try_run().unwrap_or_else(|said| panic!("{said}"));
    }

    /// Stops it, so that connections stay and nothing answers; or lets it go on.
    pub fn signal(&self, signal: &str) {
        let process = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
    }

    fn try_run(&mut self) -> Result<(), String> {
        let file = self.directory.path().join("server.conf");
        // A sentinel rewrites its file, and goes on with that.
        if !file.exists() {
            let directory = format!("dir {}", self.directory.path().display());
            let common = ["bind 127.0.0.1".to_owned(), "protected-mode no".to_owned(), directory];
            let lines: Vec<_> = common.iter().chain(&self.lines).cloned().collect();
            fs::write(&file, lines.join("\n") + "\n").unwrap();
        }
        let (program, name) = match self.role {
            Role::Server => (program(), "redis-server"),
            Role::Sentinel => (program(), "redis-sentinel"),
        };
        let mut process = Command::new(&program)
            .arg0(name)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; tests/run installs it", program.display()));
        let said = wait_until_ready(self.role, &mut process);
        if said.is_err() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        said.map(|()| self.process = Some(process))
    }

    /// Asks it something, over a connection of its own.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        ask(&mut self.connection(), words)
    }

    pub fn connection(&self) -> Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/?protocol=resp3", self.port)).unwrap();
        client.get_connection().unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may be gone already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub fn ask<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    let mut question = cmd(words[0]);
    words[1..].iter().for_each(|word| {
        question.arg(word);
    });
    question.query(connection).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// Reads on after that, too, so that the server never waits for a reader.
fn wait_until_ready(role: Role, process: &mut Child) -> Result<(), String> {
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let (said, heard) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut told = Vec::new();
        for line in lines.map_while(Result::ok) {
            let ready = match role {
                Role::Server => line.contains("Ready to accept connections"),
                Role::Sentinel => line.contains("Sentinel ID is"),
            };
            if ready {
                let _ = said.try_send(Ok(()));
            }
            if told.len() < 100 {
                told.push(line);
            }
        }
        let _ = said.try_send(Err(told.join("\n")));
    });
    heard.recv_timeout(PATIENCE).unwrap_or_else(|_| Err("it did not get ready".to_owned()))
}

/// The server's program: Debian installs it under another name without a service.
fn program() -> PathBuf {
    let found = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
    };
    found("redis-server").or_else(|| found("redis-check-rdb")).unwrap_or_else(|| "redis-server".into())
}

/// A port below those that the system gives to clients: a client that looks for a dead server there could be given that
/// very port, and connect to itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 9_000).unwrap();
    loop {
        let port = 22_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A certificate authority and a certificate for 127.0.0.1 that it signed.
pub struct Certificates(TempDir);

impl Certificates {
    pub fn make() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        fs::write(made.path("extensions"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
        made.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca \
             -keyout ca.key -out ca.pem",
        );
        made.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=redis \
             -keyout server.key -out server.csr",
        );
        made.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile extensions -out server.pem",
        );
        made
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn openssl(&self, arguments: &str) {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(arguments.split_whitespace()).current_dir(self.0.path()).output();
        let output = output.unwrap_or_else(|error| panic!("openssl: {error}; tests/run installs it"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A master, a replica, and a sentinel that decides alone.
pub struct Sentinels {
    pub master: RedisServer,
    pub replica: RedisServer,
    pub sentinel: RedisServer,
}

impl Sentinels {
    pub const MASTER: &str = "swarmem-master";

    pub fn start() -> Self {
        let master = RedisServer::start();
        let replica = RedisServer::with(&[&format!("replicaof 127.0.0.1 {}", master.port)]);
        let (name, port) = (Self::MASTER, master.port);
        let sentinel = RedisServer::of(Role::Sentinel, |own| {
            vec![
                format!("port {own}"),
                format!("sentinel monitor {name} 127.0.0.1 {port} 1"),
                format!("sentinel down-after-milliseconds {name} 500"),
                format!("sentinel failover-timeout {name} 3000"),
            ]
        });
        Self { master, replica, sentinel }
    }

    /// Whether the sentinel could put the replica into the master's place.
    pub fn knows_the_replica(&self) -> bool {
        let replicas: Vec<redis::Value> = self.sentinel.ask(&["SENTINEL", "REPLICAS", Self::MASTER]);
        let info: String = self.replica.ask(&["INFO", "replication"]);
        replicas.len() == 1 && info.contains("master_link_status:up")
    }
}

/// Three masters, each with a replica.
pub struct Cluster {
    pub nodes: Vec<RedisServer>,
}

impl Cluster {
    pub fn start() -> Self {
        let node = |_| {
            RedisServer::of(Role::Server, |port| {
                vec![
                    format!("port {port}"),
                    format!("cluster-port {}", free_port()),
                    "cluster-enabled yes".to_owned(),
                    "cluster-node-timeout 1000".to_owned(),
                    "cluster-replica-validity-factor 0".to_owned(),
                    "save \"\"".to_owned(),
                ]
            })
        };
        let nodes: Vec<_> = (0..6).map(node).collect();
        let bus_port = |node: &RedisServer| {
            let line = node.lines.iter().find_map(|line| line.strip_prefix("cluster-port "));
            line.unwrap().to_owned()
        };
        for (at, node) in nodes.iter().take(3).enumerate() {
            let (first, last) = (at * 5462, ((at + 1) * 5462 - 1).min(16_383));
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        for node in &nodes[1..] {
            let port = nodes[0].port.to_string();
            node.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port(&nodes[0])]);
        }
        Self { nodes }
    }

    /// Gives every master its replica, as far as the nodes know of one another by now; says whether all is well.
    pub fn is_whole(&self) -> bool {
        let knows = |node: &RedisServer| node.ask::<String>(&["CLUSTER", "NODES"]).lines().count() == 6;
        if !self.nodes.iter().all(knows) {
            return false;
        }
        for (at, replica) in self.nodes[3..].iter().enumerate() {
            let master: String = self.nodes[at].ask(&["CLUSTER", "MYID"]);
            let is_replica = || replica.ask::<String>(&["INFO", "replication"]).contains("role:slave");
            if !is_replica() {
                replica.ask::<()>(&["CLUSTER", "REPLICATE", &master]);
            }
            if !replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up") {
                return false;
            }
        }
        self.nodes.iter().all(|node| {
            let slots: Vec<Vec<redis::Value>> = node.ask(&["CLUSTER", "SLOTS"]);
            // First, last, master, replica.
            node.ask::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                && slots.len() == 3
                && slots.iter().all(|range| range.len() == 4)
        })
    }

    /// The master of a channel, by its place in `nodes`.
    pub fn master_of(&self, channel: &str, alive: usize) -> usize {
        let slot: i64 = self.nodes[alive].ask(&["CLUSTER", "KEYSLOT", channel]);
        let slots: Vec<(i64, i64, (String, u16, String))> = self.slots(alive);
        let row = slots.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).unwrap();
        self.nodes.iter().position(|node| node.port == row.2.1).unwrap()
    }

    fn slots(&self, alive: usize) -> Vec<(i64, i64, (String, u16, String))> {
        let rows: Vec<Vec<redis::Value>> = self.nodes[alive].ask(&["CLUSTER", "SLOTS"]);
        let read = |row: &Vec<redis::Value>| {
            let number = |value: &redis::Value| redis::from_redis_value_ref::<i64>(value).unwrap();
            let redis::Value::Array(master) = &row[2] else { panic!("{row:?}") };
            let text = |value: &redis::Value| redis::from_redis_value_ref::<String>(value).unwrap();
            let port = u16::try_from(number(&master[1])).unwrap();
            (number(&row[0]), number(&row[1]), (text(&master[0]), port, text(&master[2])))
        };
        rows.iter().map(read).collect()
    }
}
