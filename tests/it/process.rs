//! The program as a process of its own: started, asked, killed. Knows nothing of what a test wants of it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use swarmem::client::{Client, Endpoint, Options, Role};
use tempfile::TempDir;

/// How long anything may take that has to happen. Only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until there is an answer, or panics.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The program, without whatever of our settings stands in the environment of the tests. `SWARMEM_TESTED` names another build of it, for
/// figures.
pub fn swarmem() -> Command {
    let program = std::env::var_os("SWARMEM_TESTED").unwrap_or(env!("CARGO_BIN_EXE_swarmem").into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SWARMEM_")) {
            command.env_remove(name);
        }
    }
    // The default port may be taken, by a test beside this one as well.
    command.env("SWARMEM_HTTP_LISTEN", "").stdin(Stdio::null());
    command
}

/// A coordinator that runs as a process on a database of its own, until it is dropped.
pub struct Server {
    child: Child,
    /// What it said when it had started.
    greeting: serde_json::Value,
    listen: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: TempDir,
}

impl Server {
    /// Starts one on a free port.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", arguments, &[]).unwrap_or_else(|said| panic!("serve: {said}"))
    }

    /// Starts one on a port to which it can come back. The ports that the system gives to clients start higher: a
    /// client that looks for a dead server there could be given that very port, and connect to itself.
    pub fn start_to_be_killed(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let first = 20_000 + u16::try_from(std::process::id() % 9_000).unwrap();
        for port in first..first + 2_000 {
            let listen = format!("127.0.0.1:{port}");
            if TcpListener::bind(&listen).is_err() {
                continue;
            }
            match Self::start_on(&listen, arguments, environment) {
                Ok(server) => return server,
                Err(said) if said.contains("could not listen") => {}
                Err(said) => panic!("serve: {said}"),
            }
        }
        panic!("no port is free");
    }

    fn start_on(listen: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        let environment: Vec<_> = environment.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        let (child, greeting) = spawn(directory.path(), listen, &arguments, &environment)?;
        let listen = listen.to_owned();
        Ok(Self { child, greeting, listen, arguments, environment, directory })
    }

    /// Kills it as a power cut would, and waits until it is dead.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same database and address.
    pub fn restart(&mut self) {
        self.try_restart().unwrap_or_else(|said| panic!("serve, again: {said}"));
    }

    /// The same; or what it said when it would not start.
    pub fn try_restart(&mut self) -> Result<(), String> {
        (self.child, self.greeting) =
            spawn(self.directory.path(), &self.listen, &self.arguments, &self.environment)?;
        Ok(())
    }

    /// Sends a signal by its name, such as TERM.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the end of serve", async || self.child.try_wait().unwrap()).await
    }

    pub fn address(&self) -> &str {
        self.said("address")
    }

    /// Where it serves what: `address`, `http` or `health`.
    pub fn said(&self, what: &str) -> &str {
        self.greeting[what].as_str().unwrap()
    }

    pub fn store(&self) -> String {
        self.directory.path().join("swarmem.db").to_str().unwrap().to_owned()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// A client of it.
    pub async fn client(&self, agent: &str, role: Role) -> Client {
        self.client_within(agent, role, PATIENCE).await
    }

    /// A client whose calls may take so long.
    pub async fn client_within(&self, agent: &str, role: Role, call_timeout: Duration) -> Client {
        let endpoint: Endpoint = self.address().parse().unwrap();
        // What is tested is what the coordinator says, at the first time of asking.
        let options = Options {
            connect_timeout: PATIENCE,
            call_timeout,
            attempt_timeout: call_timeout,
            retry: None,
            ..Options::new("default", agent, role)
        };
        Client::connect(&endpoint, options).await.unwrap()
    }

    /// Runs the program against it.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The program, about to be run against it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = swarmem();
        command.args(arguments).env("SWARMEM_ADDRESS", self.address()).current_dir(self.directory.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dead already, as a rule; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a child by its name.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name}");
}

fn spawn(
    directory: &Path,
    listen: &str,
    arguments: &[String],
    environment: &[(String, String)],
) -> Result<(Child, serde_json::Value), String> {
    let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let mut child = swarmem()
        .args(["serve", "--json", "--listen", listen, "--store"])
        .arg(directory.join("swarmem.db"))
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
    if greeting.is_empty() {
        child.wait().unwrap();
        return Err(std::fs::read_to_string(directory.join("log")).unwrap());
    }
    Ok((child, serde_json::from_str(&greeting).unwrap()))
}
