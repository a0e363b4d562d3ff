//! The servers that are compared, each with a configuration of its own that a careful operator
//! might write: no log of requests, one worker, and all of its folders within the bench's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Server, find};
use super::raw::Speech;
use super::{Bench, SERVE_THREADS};

/// A program, and the Debian package that brings it.
pub(crate) struct Program(pub(crate) &'static str, pub(crate) &'static str);

pub(crate) const NGINX: Program = Program("nginx", "nginx-light");
pub(crate) const CURL: Program = Program("curl", "curl");
pub(crate) const WRK: Program = Program("wrk", "wrk");
pub(crate) const IPERF: Program = Program("iperf3", "iperf3");
pub(crate) const REDIS: Program = Program("redis-server", "redis-server");
pub(crate) const REDIS_BENCHMARK: Program = Program("redis-benchmark", "redis-tools");
pub(crate) const RSYNC: Program = Program("rsync", "rsync");
pub(crate) const VSFTPD: Program = Program("vsftpd", "vsftpd");
pub(crate) const ALL: [Program; 8] = [
    NGINX,
    CURL,
    WRK,
    IPERF,
    REDIS,
    REDIS_BENCHMARK,
    RSYNC,
    VSFTPD,
];

impl Program {
    /// A command of it, or what would bring it.
    pub(crate) fn command(&self) -> Result<Command, String> {
        let Program(name, package) = self;
        let path = find(name)
            .ok_or_else(|| format!("{name} is not installed; apt-get install {package}"))?;
        Ok(Command::new(path))
    }
}

/// A server with a folder, and how it is spoken to.
pub(crate) struct Stores {
    pub(crate) server: Server,
    pub(crate) folder: PathBuf,
    pub(crate) speech: Speech,
}

pub(crate) fn piecemeal(bench: &Bench, arguments: &[&str]) -> Result<Stores, String> {
    piecemeal_at(bench, &["127.0.0.1"], arguments)
}

/// The same at several addresses of this machine, with one port.
pub(crate) fn piecemeal_at(
    bench: &Bench,
    hosts: &[&str],
    arguments: &[&str],
) -> Result<Stores, String> {
    let folder = bench.place.fresh()?;
    let server = Server::start(&bench.place.logs, |port| {
        let mut command = Command::new(&bench.program);
        command
            .args(["serve", "--quiet", "--bind", &at_port(hosts, port)])
            .args(arguments)
            .arg("--dir")
            .arg(&folder);
        Ok(command)
    })?;
    Ok(Stores {
        server,
        folder,
        speech: Speech::Piecemeal,
    })
}

/// The addresses of these hosts with one port, as `--bind` and `--to` take them.
pub(crate) fn at_port(hosts: &[&str], port: u16) -> String {
    let addresses: Vec<_> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
    addresses.join(",")
}

/// examples/threads.rs, which this program is too when it is started so.
pub(crate) fn threads(bench: &Bench) -> Result<Stores, String> {
    let folder = bench.place.fresh()?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let server = Server::start(&bench.place.logs, |port| {
        let mut command = Command::new(&own);
        command
            .args([SERVE_THREADS, &format!("127.0.0.1:{port}")])
            .arg(&folder);
        Ok(command)
    })?;
    Ok(Stores {
        server,
        folder,
        speech: Speech::Piecemeal,
    })
}

/// Settings of nginx: as it comes, with larger pieces of a body than its usual 16k, or with a
/// connection a request.
pub(crate) const STOCK: &str = "";
pub(crate) const TUNED: &str = "client_body_buffer_size 256k;";
pub(crate) const CLOSING: &str = "keepalive_timeout 0;";

pub(crate) fn nginx(bench: &Bench, settings: &str) -> Result<Stores, String> {
    let home = bench.place.fresh()?;
    let folder = home.join("files");
    fs::create_dir(&folder).map_err(|error| error.to_string())?;
    let server = Server::start(&bench.place.logs, |port| {
        let file = home.join("nginx.conf");
        write(&file, &nginx_conf(&home, port, settings))?;
        let mut command = NGINX.command()?;
        command.args(["-e", "stderr", "-p"]).arg(&home);
        command.arg("-c").arg(file);
        Ok(command)
    })?;
    Ok(Stores {
        server,
        folder,
        speech: Speech::Http,
    })
}

fn nginx_conf(home: &Path, port: u16, settings: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|what| format!("  {what}_temp_path {};", within(home, what)));
    // Started as root, its worker would be somebody who can't write here.
    let user = if is_root() { "user root;" } else { "" };
    format!(
        "daemon off;
worker_processes 1;
{user}
worker_rlimit_nofile 20000;
pid {pid};
error_log stderr;
events {{ worker_connections 16000; }}
http {{
  access_log off;
{temporary}
  client_max_body_size 0;
  {settings}
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {files};
    dav_methods PUT;
  }}
}}
",
        pid = within(home, "pid"),
        temporary = temporary.join("\n"),
        files = within(home, "files"),
    )
}

pub(crate) fn iperf(bench: &Bench) -> Result<Server, String> {
    Server::start(&bench.place.logs, |port| {
        let mut command = IPERF.command()?;
        command.args(["-s", "-B", "127.0.0.1", "-p", &port.to_string()]);
        Ok(command)
    })
}

pub(crate) fn redis(bench: &Bench) -> Result<Server, String> {
    let folder = bench.place.fresh()?;
    Server::start(&bench.place.logs, |port| {
        let mut command = REDIS.command()?;
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(&folder);
        Ok(command)
    })
}

/// The daemon's module is called `files`.
pub(crate) fn rsync(bench: &Bench) -> Result<(Server, PathBuf), String> {
    let home = bench.place.fresh()?;
    let folder = home.join("files");
    fs::create_dir(&folder).map_err(|error| error.to_string())?;
    let user = if is_root() { "uid = 0\ngid = 0\n" } else { "" };
    let server = Server::start(&bench.place.logs, |port| {
        let file = home.join("rsyncd.conf");
        let text = format!(
            "address = 127.0.0.1\nport = {port}\nuse chroot = no\n{user}\
             pid file = {}\nlock file = {}\nlog file = {}\n\
             [files]\npath = {}\nread only = no\n",
            home.join("pid").display(),
            home.join("lock").display(),
            home.join("log").display(),
            folder.display()
        );
        write(&file, &text)?;
        // It refuses to start beside an old one.
        let _ = fs::remove_file(home.join("pid"));
        let mut command = RSYNC.command()?;
        let mut config = std::ffi::OsString::from("--config=");
        config.push(file);
        command.args(["--daemon", "--no-detach"]).arg(config);
        Ok(command)
    })?;
    Ok((server, folder))
}

pub(crate) fn vsftpd(bench: &Bench) -> Result<(Server, PathBuf), String> {
    let home = bench.place.fresh()?;
    let (folder, empty) = (home.join("files"), home.join("empty"));
    for folder in [&folder, &empty] {
        fs::create_dir(folder).map_err(|error| error.to_string())?;
    }
    let server = Server::start(&bench.place.logs, |port| {
        let file = home.join("vsftpd.conf");
        let text = format!(
            "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n\
             anonymous_enable=YES\nno_anon_password=YES\nlocal_enable=NO\nwrite_enable=YES\n\
             anon_upload_enable=YES\nanon_root={}\nsecure_chroot_dir={}\n\
             run_as_launching_user=YES\nseccomp_sandbox=NO\nxferlog_enable=NO\n\
             pasv_address=127.0.0.1\nconnect_from_port_20=NO\n",
            folder.display(),
            empty.display()
        );
        write(&file, &text)?;
        let mut command = VSFTPD.command()?;
        command.arg(file);
        Ok(command)
    })?;
    Ok((server, folder))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// A path within a folder, as nginx reads one that may have spaces.
fn within(folder: &Path, name: &str) -> String {
    format!("\"{}\"", folder.join(name).display())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
