//! HAProxy checks by its stats socket: the process answers and is not stopping; a backend has servers up.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Failure;
use crate::config::HaproxyTarget;

/// Most bytes read of an answer; `show info` has some 3 kB.
const ANSWER: u64 = 1 << 20;

/// # Errors
/// No answer on the socket, the process is stopping, or too few servers of the backend are up.
pub(super) async fn attempt(target: &HaproxyTarget) -> Result<(), Failure> {
    let info = ask(target, "show info").await?;
    if !info.lines().any(|line| line.starts_with("Pid:")) {
        return Err(failure(target, "not an answer of HAProxy"));
    }
    if info.lines().any(|line| line == "Stopping: 1") {
        return Err(failure(target, "it is stopping"));
    }
    match &target.backend {
        Some((backend, wanted)) => {
            let up = servers_up(&ask(target, "show stat").await?, backend)
                .ok_or_else(|| failure(target, &format!("there is no backend `{backend}`")))?;
            if up < *wanted {
                return Err(failure(target, &format!("{up} of {wanted} servers of `{backend}` are up")));
            }
            Ok(())
        }
        None => Ok(()),
    }
}

async fn ask(target: &HaproxyTarget, command: &str) -> Result<String, Failure> {
    let exchange = async {
        let mut stream = UnixStream::connect(&target.socket).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange.await.map_err(|error| Failure::of(target.socket.display(), &error))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Number of a backend's servers that are up, or not checked by HAProxy; `None` for an unknown backend.
///
/// The first line names the columns and begins with `# pxname,svname,`.
fn servers_up(table: &str, backend: &str) -> Option<u32> {
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next()?.trim_start_matches("# ").split(',').collect();
    let column = |name| head.iter().position(|&column| column == name);
    let (proxy, server, status) = (column("pxname")?, column("svname")?, column("status")?);
    let mut is_known = false;
    let mut up = 0_u32;
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.get(proxy) != Some(&backend) {
            continue;
        }
        match (fields.get(server), fields.get(status)) {
            (Some(&"BACKEND"), _) => is_known = true,
            (Some(&"FRONTEND"), _) => {}
            // `UP 1/2` is a server that the next failure takes down.
            (Some(_), Some(status)) if status.starts_with("UP") || *status == "no check" => {
                up = up.saturating_add(1);
            }
            _ => {}
        }
    }
    is_known.then_some(up)
}

fn failure(target: &HaproxyTarget, why: &str) -> Failure {
    Failure::new(format_args!("{}: {why}", target.socket.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_servers_of_one_backend() {
        let table = "# pxname,svname,qcur,status,\nweb,FRONTEND,,OPEN,\napp,a,0,UP,\napp,b,0,UP 1/2,\n\
            app,c,0,DOWN,\napp,d,0,no check,\napp,e,0,MAINT,\napp,BACKEND,0,UP,\nidle,BACKEND,0,DOWN,\n\n";
        assert_eq!(servers_up(table, "app"), Some(3));
        assert_eq!(servers_up(table, "idle"), Some(0));
        assert_eq!(servers_up(table, "web"), None);
        assert_eq!(servers_up("", "app"), None);
        assert_eq!(servers_up("Unknown command.", "app"), None);
    }
}
