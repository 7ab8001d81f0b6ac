//! HAProxy checks by its stats socket: the process answers and is not stopping; a backend has servers up.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::Failure;
use crate::config::HaproxyTarget;

/// Most bytes read of the answer to `show info`, which has some 3 kB.
const INFO: u64 = 1 << 20;

/// Most bytes of a line of `show stat`, which has some 600.
const LINE: u64 = 1 << 16;

/// # Errors
/// No answer on the socket, the process is stopping, or too few servers of the backend are up.
pub(super) async fn attempt(target: &HaproxyTarget) -> Result<(), Failure> {
    let info = info(target).await.map_err(|error| unread(target, &error))?;
    if !info.lines().any(|line| line.starts_with("Pid:")) {
        return Err(failure(target, "not an answer of HAProxy"));
    }
    if info.lines().any(|line| line == "Stopping: 1") {
        return Err(failure(target, "it is stopping"));
    }
    match &target.backend {
        Some((backend, wanted)) => {
            let table = BufReader::new(ask(target, "show stat").await.map_err(|it| unread(target, &it))?);
            let up = servers_up(table, backend)
                .await
                .map_err(|error| unread(target, &error))?
                .ok_or_else(|| failure(target, &format!("there is no backend `{backend}`")))?;
            if up < *wanted {
                return Err(failure(target, &format!("{up} of {wanted} servers of `{backend}` are up")));
            }
            Ok(())
        }
        None => Ok(()),
    }
}

async fn info(target: &HaproxyTarget) -> io::Result<String> {
    let mut answer = Vec::new();
    ask(target, "show info").await?.take(INFO).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn ask(target: &HaproxyTarget, command: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(&target.socket).await?;
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    Ok(stream)
}

/// Number of a backend's servers that are up, or not checked by HAProxy; `None` for an unknown backend.
///
/// The first line names the columns and begins with `# pxname,svname,`. The line of a backend follows those of its
/// servers. Tables of thousands of servers are read line by line.
async fn servers_up(mut table: impl AsyncBufRead + Unpin, backend: &str) -> io::Result<Option<u32>> {
    let mut line = Vec::new();
    read_line(&mut table, &mut line).await?;
    let text = String::from_utf8_lossy(&line);
    let head: Vec<&str> = text.trim_end().trim_start_matches("# ").split(',').collect();
    let column = |name| head.iter().position(|&column| column == name);
    let (Some(proxy), Some(server), Some(status)) = (column("pxname"), column("svname"), column("status"))
    else {
        return Ok(None);
    };
    let mut up = 0_u32;
    let mut line = Vec::new();
    while read_line(&mut table, &mut line).await? {
        let text = String::from_utf8_lossy(&line);
        let fields: Vec<&str> = text.trim_end().split(',').collect();
        if fields.get(proxy) != Some(&backend) {
            continue;
        }
        match (fields.get(server), fields.get(status)) {
            (Some(&"BACKEND"), _) => return Ok(Some(up)),
            (Some(&"FRONTEND"), _) => {}
            // `UP 1/2` is a server that the next failure takes down.
            (Some(_), Some(status)) if status.starts_with("UP") || *status == "no check" => {
                up = up.saturating_add(1);
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Reads the next line; false at the end.
async fn read_line(table: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    table.take(LINE).read_until(b'\n', line).await?;
    if u64::try_from(line.len()).is_ok_and(|length| length == LINE) {
        return Err(io::Error::other(format!("a line of `show stat` is longer than {LINE} bytes")));
    }
    Ok(!line.is_empty())
}

fn unread(target: &HaproxyTarget, error: &io::Error) -> Failure {
    Failure::of(target.socket.display(), error)
}

fn failure(target: &HaproxyTarget, why: &str) -> Failure {
    Failure::new(format_args!("{}: {why}", target.socket.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count(table: &str, backend: &str) -> Option<u32> {
        servers_up(table.as_bytes(), backend).await.unwrap()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn counts_the_servers_of_one_backend() {
        let table = "# pxname,svname,qcur,status,\nweb,FRONTEND,,OPEN,\napp,a,0,UP,\napp,b,0,UP 1/2,\n\
            app,c,0,DOWN,\napp,d,0,no check,\napp,e,0,MAINT,\napp,BACKEND,0,UP,\nidle,BACKEND,0,DOWN,\n\n";
        assert_eq!(count(table, "app").await, Some(3));
        assert_eq!(count(table, "idle").await, Some(0));
        assert_eq!(count(table, "web").await, None);
        assert_eq!(count("", "app").await, None);
        assert_eq!(count("Unknown command.", "app").await, None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_backend_behind_thousands_of_servers_is_found() {
        let servers: String =
            (0..5000).map(|number| format!("slots,s{number},{},MAINT\n", "0,".repeat(300))).collect();
        let table = format!("# pxname,svname,{}status\n{servers}", "x,".repeat(300))
            + &format!("app,a,{}UP\napp,BACKEND,{}UP\n", "0,".repeat(300), "0,".repeat(300));
        assert!(table.len() > 1 << 20);
        assert_eq!(count(&table, "app").await, Some(1));
        let long = format!("# pxname,svname,status\napp,{},UP\n", "a".repeat(1 << 17));
        assert!(servers_up(long.as_bytes(), "app").await.is_err());
    }
}
