//! `logitree serve`: the web app and its server.

use crate::options::ModelOptions;
use crate::settings::Source;
use crate::usage::usage;
use crate::{message, open, settings, terminal};
use anyhow::{Context, Result};
use clap::Args;
use logitree::lock::Folder;
use logitree::{Model, import, models};
use logitree_server as server;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree serve
  logitree serve -m smollm2-135m --open
  logitree serve --data-dir runs india.run.jsonl
  logitree serve --host 0.0.0.0 --allow-remote

The printed link holds a token: whoever has it can use the model. Runs are files in the data folder, and are still \
there the next time.

It also is an OpenAI-compatible server, with exact log probabilities of prompts too: clients take the printed address \
with /v1 as their base URL and the token as their API key (/v1/completions, /v1/chat/completions, /v1/models, /tokenize).";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Files to take in: run files, the notebook's tree JSON or logprobs JSONL; `-` is standard input
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Folder of the runs [default: logitree/runs in the user's data folder]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Let pages of this site use the OpenAI-compatible API, with the token: https://HOST:PORT, or null for pages from files; repeat for more
    #[arg(long, value_name = "ORIGIN", value_parser = server::guard::origin)]
    pub allow_origin: Vec<String>,
    /// Folder with models that the page may load in the place of this one, besides the known ones: .gguf files, folders with
    /// safetensors. With --engine, the page may also go back to the servers
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// Where to listen.
#[derive(Args)]
pub struct ListenOptions {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub host: IpAddr,
    /// Port; the next free one if it is taken [default: 7878]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Let other machines in, if they have the token
    #[arg(long)]
    pub allow_remote: bool,
    /// Open the page in a browser
    #[arg(long)]
    pub open: bool,
}

impl ListenOptions {
    /// Refuses an address that other machines can reach, unless the user allows that.
    pub fn check(&self) -> Result<()> {
        if !self.host.is_loopback() && !self.allow_remote {
            usage!("--host {} lets other machines in: add --allow-remote if that is what you want", self.host);
        }
        Ok(())
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port.unwrap_or(7878))
    }

    /// Prints the link to the page, and opens it in a browser if the user wants that.
    pub fn announce(&self, link: &str, ids: &[String]) {
        let place = ids.first().map_or(String::new(), |id| format!("#run={id}"));
        let link = format!("{link}{place}");
        // If the link cannot be printed, the server still runs: users who have the token can open the page.
        if let Err(e) = terminal::print(&format!("{link}\n")) {
            message::note(format_args!("the link could not be printed: {e:#}"));
        }
        if self.host.is_unspecified() {
            message::line(format_args!(
                "From other machines, use this machine's name or address in place of {}.",
                self.host
            ));
        }
        message::line("Ctrl-C ends it.");
        if self.open && ::open::that(&link).is_err() {
            message::note("there is no browser to open here: the link is all there is");
        }
    }
}

/// Reads the files. Returns their names and contents.
pub fn read(files: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>> {
    let read = |path: &PathBuf| {
        let name = match path.file_name() {
            Some(name) if !import::is_stdin(path) => name.to_string_lossy().into_owned(),
            _ => import::named(path),
        };
        let mut bytes = Vec::new();
        import::source(path).and_then(|mut s| s.read_to_end(&mut bytes)).with_context(|| import::named(path))?;
        Ok((name, bytes))
    };
    files.iter().map(read).collect()
}

/// Refuses a folder of models that is not there.
fn check_models(args: &ServeArgs) -> Result<()> {
    if let Some(folder) = args.models.as_ref().filter(|folder| !folder.is_dir()) {
        usage!("--models {}: there is no such folder", folder.display());
    }
    Ok(())
}

/// The models that the page may load in the place of this one. With servers, models in this process are among them only
/// if a folder of models is named: the user may have no room for them.
fn choice(args: &ServeArgs, model: &Model) -> Result<Option<server::Choice>> {
    let remote = &args.model.remote;
    let servers = (!remote.engines.is_empty()).then(|| open::servers(remote)).transpose()?;
    if servers.is_some() && args.models.is_none() {
        return Ok(None);
    }
    let engine = servers.map(|servers| server::Engine { servers, model: model.name().into() });
    Ok(Some(server::Choice { open: open::options(&args.model)?, folder: args.models.clone(), engine }))
}

pub fn run(args: ServeArgs) -> Result<()> {
    args.listen.check()?;
    check_models(&args)?;
    let files = read(&args.files)?;
    let data = match args.data_dir.clone() {
        Some(dir) => dir,
        None => match settings::load()?.data_dir {
            // The variable names the folder above; the file names the folder itself.
            (Some(folder), Source::File) => folder,
            _ => models::data_dir()?.join("runs"),
        },
    };
    // The folder is checked before the model is loaded, so that the user need not wait for the error.
    if !data.exists() {
        server::private_folder(&data).context("--data-dir")?;
    }
    let data = Folder::hold(&data).context("--data-dir")?;
    terminal::catch_interrupts();
    let model = open::load(&args.model)?;
    let choice = choice(&args, &model)?;
    // Every run needs the model's record. Making it hashes the weights, which is better done now than in the first run.
    model.record()?;
    message::line(format_args!("{}, {}; runs are in {}", model.name(), model.engine(), data.path().display()));
    let local = model.local().is_some();
    let options = server::Options {
        address: args.listen.address(),
        any_port: true,
        remote: args.listen.allow_remote,
        origins: args.allow_origin,
        data: &data,
        model: Some(model),
        choice,
        events: open::events(),
        files,
    };
    Ok(server::run(options, |link, ids| {
        args.listen.announce(link, ids);
        if local && let Some((address, _)) = link.split_once("/?token=") {
            message::line(format_args!("OpenAI clients: base URL {address}/v1, the link's token as API key."));
        }
    })?)
}
