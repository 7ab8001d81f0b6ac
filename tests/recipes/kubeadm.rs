//! Static pods of a control plane: their containers by an engine on each host, and stand-ins for the API servers.
//!
//! There is no kubelet: the test gives the engine what a pod says. The images are made of programs of this machine.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::vrrpx;
use vrrp_tests::{needs, waits};

use crate::host::{PATIENCE, Recipe, answers, start_engine};

const ADDRESS: &str = "192.0.2.70";

/// Nodes by their place; the third one of the recipe has not joined yet.
const NODES: [&str; 2] = ["cp1", "cp2"];

/// Makes a certificate, then answers each request with the name of the host.
const API_SERVER: &str = "import http.server, ssl, subprocess, sys\n\
    pem = '/run/api.pem'\n\
    subprocess.run(['openssl', 'req', '-x509', '-nodes', '-newkey', 'rsa:2048', '-subj', '/CN=api',\n\
                    '-keyout', pem, '-out', '/run/api.crt'], check=True)\n\
    open(pem, 'a').write(open('/run/api.crt').read())\n\
    class Handler(http.server.BaseHTTPRequestHandler):\n\
    \x20   def do_GET(self):\n\
    \x20       self.send_response(200)\n\
    \x20       self.end_headers()\n\
    \x20       self.wfile.write(sys.argv[1].encode())\n\
    server = http.server.ThreadingHTTPServer(('0.0.0.0', 6443), Handler)\n\
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
    context.load_cert_chain(pem)\n\
    server.socket = context.wrap_socket(server.socket, server_side=True)\n\
    server.serve_forever()\n";

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// What the engine is to run for a pod of the recipe.
fn container(recipe: &Recipe, host: usize, manifest: &str) -> Result<Vec<String>> {
    const TO_JSON: &str = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let pod = recipe.run(host, "/usr/bin/python3", &["-c", TO_JSON, manifest])?;
    let spec = serde_json::from_str::<Value>(&pod)?["spec"].take();
    let [container] = &spec["containers"].as_array().context("no containers")?[..] else {
        anyhow::bail!("{manifest}: one container is expected")
    };
    ensure!(spec["hostNetwork"] == true, "{manifest}: not in the host's network");
    let text =
        |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("{value} in {manifest}"));
    let name = text(&container["name"])?;
    let mut run: Vec<String> =
        ["run", "--detach", "--network", "host", "--hostname", NODES[host], "--name", &name]
            .map(str::to_owned)
            .into();
    let security = &container["securityContext"];
    if security["readOnlyRootFilesystem"] == true {
        run.push("--read-only".to_owned());
    }
    if security["allowPrivilegeEscalation"] == false {
        run.push("--security-opt=no-new-privileges".to_owned());
    }
    let dropped = words(&security["capabilities"]["drop"]);
    run.extend(dropped.iter().map(|capability| format!("--cap-drop={capability}")));
    let version = recipe.run(host, "docker", &["version", "--format", "{{.Server.Version}}"])?;
    let is_old = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).context(version)? < 23;
    for capability in words(&security["capabilities"]["add"]) {
        // Docker before 23 knows neither.
        let is_unknown = is_old && ["BPF", "PERFMON"].contains(&capability.as_str());
        run.push(format!("--cap-add={}", if is_unknown { "SYS_ADMIN" } else { &capability }));
    }
    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
        let volumes = spec["volumes"].as_array().into_iter().flatten();
        let volume = volumes.clone().find(|it| it["name"] == mount["name"]).context("a volume is missing")?;
        let (from, to) = (text(&volume["hostPath"]["path"])?, text(&mount["mountPath"])?);
        if volume["hostPath"]["type"] == "DirectoryOrCreate" {
            recipe.run(host, "mkdir", &["-p", &from])?;
        }
        let mode = if mount["readOnly"] == true { ":ro" } else { "" };
        run.push(format!("--volume={from}:{to}{mode}"));
    }
    run.push(text(&container["image"])?);
    run.extend(words(&container["args"]));
    Ok(run)
}

/// Imports a program with its libraries under the name that its pod has.
fn import(recipe: &Recipe, host: usize, program: &str, place: &str, image: &str, entry: &str) -> Result<()> {
    let line = format!(
        "tree=/var/lib/tree; rm -rf $tree; mkdir -p $tree/usr/sbin\n\
         objcopy --strip-debug {program} $tree/{place}\n\
         ldd {program} | grep -o '/[^ ]*' | sort -u | xargs cp --parents --dereference --target-directory=$tree\n\
         tar -C $tree -c . | docker import {entry} - {image}"
    );
    recipe.sh(host, &line).map(drop)
}

fn start_pods(recipe: &Recipe, host: usize) -> Result<()> {
    let program = vrrpx();
    let entry = "--change 'ENTRYPOINT [\"/usr/sbin/vrrpx\"]'";
    let image = "registry.example.org/vrrpx:0.1.0";
    import(recipe, host, &program.display().to_string(), "usr/sbin/vrrpx", image, entry)?;
    let haproxy = recipe.sh(host, "command -v haproxy")?;
    import(recipe, host, &haproxy, "usr/sbin/haproxy", "registry.example.org/haproxy:2.6", "")?;
    for name in ["haproxy", "vrrpx"] {
        let words = container(recipe, host, &format!("/etc/kubernetes/manifests/{name}.yaml"))?;
        recipe.run(host, "docker", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Waits until a client is answered at the address, by the API server of one of these nodes.
fn reaches(recipe: &Recipe, nodes: &[&str]) -> Result<()> {
    let url = format!("https://{ADDRESS}:8443/readyz");
    until("an answer of an API server", PATIENCE, || {
        let mut curl = match recipe.lab.client.command("curl") {
            Ok(curl) => curl,
            Err(_) => return false,
        };
        curl.args(["--silent", "--insecure", "--max-time", "1", &url]);
        curl.output().is_ok_and(|it| nodes.contains(&String::from_utf8_lossy(&it.stdout).trim()))
    })
}

#[waits]
#[test]
#[needs("lab", "unshare", "dockerd", "docker", "yaml", "haproxy", "objcopy", "openssl", "curl")]
fn clients_reach_an_api_server_while_a_node_lives() -> Result<()> {
    let recipe = Recipe::new("kubeadm", &NODES)?;
    recipe.check(|recipe| {
        recipe.install("vrrpx.conf", "/etc/vrrpx/vrrpx.conf")?;
        recipe.install("haproxy.cfg", "/etc/haproxy/haproxy.cfg")?;
        for file in ["vrrpx.yaml", "haproxy.yaml"] {
            recipe.install(file, &format!("/etc/kubernetes/manifests/{file}"))?;
        }
        for host in 0..2 {
            start_engine(recipe, host)?;
        }
        for host in 0..2 {
            answers(recipe, host)?;
            start_pods(recipe, host)?;
            // As before the end of `kubeadm init`: no API server is there.
            recipe.serves(0, ADDRESS)?;
        }
        for (host, name) in NODES.iter().enumerate() {
            recipe.start(host, "python3", &["-c", API_SERVER, name])?;
        }
        reaches(recipe, &["cp1"])?;
        reaches(recipe, &["cp2"])?;
        let docker = |recipe: &Recipe, host, args: &[&str]| recipe.run(host, "docker", args);
        let status = docker(recipe, 0, &["exec", "vrrpx", "/usr/sbin/vrrpx", "status", "--json"])?;
        let status: Value = serde_json::from_str(&status)?;
        ensure!(status["fence"]["pinned"] == true, "{:#}", status["fence"]);

        // One API server ends, and then the master reaches no other one.
        recipe.end(0, "python3", Signal::SIGKILL)?;
        reaches(recipe, &["cp2"])?;
        recipe.serves(0, ADDRESS)?;
        recipe.namespace(0).ip("route add unreachable 192.0.2.12/32")?;
        recipe.serves(1, ADDRESS)?;
        reaches(recipe, &["cp2"])?;
        recipe.namespace(0).ip("route del 192.0.2.12/32")?;
        recipe.serves(0, ADDRESS)?;

        docker(recipe, 0, &["kill", "haproxy"])?;
        recipe.serves(1, ADDRESS)?;
        docker(recipe, 0, &["start", "haproxy"])?;
        recipe.serves(0, ADDRESS)?;

        docker(recipe, 0, &["stop", "--time", "30", "vrrpx"])?;
        recipe.serves(1, ADDRESS)?;
        docker(recipe, 0, &["start", "vrrpx"])?;
        recipe.serves(0, ADDRESS)?;

        // The host of a killed daemon has the address and does not answer for it, until the next container is there.
        docker(recipe, 0, &["kill", "vrrpx"])?;
        until("a takeover", PATIENCE, || recipe.lab.has_address(1, ADDRESS).unwrap_or(false))?;
        reaches(recipe, &["cp2"])?;
        docker(recipe, 0, &["start", "vrrpx"])?;
        recipe.serves(0, ADDRESS)?;

        for host in 0..2 {
            docker(recipe, host, &["stop", "--time", "30", "vrrpx", "haproxy"])?;
            recipe.end(host, "dockerd", Signal::SIGTERM)?;
        }
        Ok(())
    })
}
