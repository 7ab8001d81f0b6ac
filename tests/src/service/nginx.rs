//! nginx with one page.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::until;
use crate::netns::Namespace;
use crate::process::{Directory, Process};

/// Answers `/health` with `ready` while it runs.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    _directory: Directory,
}

impl Nginx {
    pub fn start(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        let directory = Directory::new()?;
        let path = directory.path();
        let file = path.join("nginx.conf");
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", path.join(kind).display()))
            .concat();
        let text = format!(
            "daemon off;\npid {};\nevents {{}}\nhttp {{\n{temporary}access_log off;\nserver {{\nlisten {address};\n\
             location /health {{ return 200 ready; }}\n}}\n}}\n",
            path.join("pid").display()
        );
        std::fs::write(&file, text)?;
        let mut command = namespace.command("nginx")?;
        command.args(["-e", "stderr", "-c"]).arg(&file).arg("-p").arg(path);
        let process = Process::start(command, path.join("log"))?;
        let accepts = || namespace.enter(|| Ok(std::net::TcpStream::connect(address)?)).is_ok();
        until("nginx", Duration::from_secs(10), accepts).with_context(|| process.log())?;
        Ok(Self { process, _directory: directory })
    }

    /// Kills it and its workers.
    pub fn die(&mut self) {
        self.process.kill();
    }
}
