//! `logitree bench`: what this machine can do, and how much of it each kind of work gets.

mod workload;

use crate::options::{self, ModelOptions};
use crate::usage::usage;
use crate::{message, open, progress, terminal};
use anyhow::{Context, Result, bail};
use clap::Args;
use logitree::now;
use logitree::output::{Form, Target};
use logitree_core::LanguageModel;
use logitree_engine::LocalModel;
use logitree_kernels::{Stream, multiply_add, read};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;
use workload::{Done, Workload};

const EXAMPLES: &str = "Examples:
  logitree bench
  logitree bench -m smollm2-135m --only decode,tree30
  logitree bench --rounds 5 -o bench.json
  logitree bench --only prompt6k,decode6k,tree6k,tree6kx5

prompt6k is a prompt of 6,000 tokens; decode6k is one sequence after such a prompt, and tree6k 24 open paths after it \
(tree6kx5: five). They are measured only if you ask, because every one of them reads the prompt: some 5 to 20 s a round.

Every round runs every kind of work once, with a probe of the machine before and after it; shown is the \
median round, its share of what the probes found, and the slowest and fastest round.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// Only these: decode, prefill, score, tree30 (any depth), width24 (any width); for long contexts prompt6k, decode6k,
    /// tree6k (any number of thousand tokens)
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub only: Vec<String>,
    /// How often to measure each
    #[arg(long, default_value_t = 3, value_parser = options::at_least_one, value_name = "N")]
    pub rounds: usize,
    /// Write the measurements as JSON; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    pub force: bool,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// Shortest time of a probe, in seconds.
const PROBE: f64 = 0.05;
/// Bytes read by the bandwidth probe: more than any cache.
const STREAM: usize = 256 << 20;

/// The measurements of one round of one workload.
struct Sample {
    done: Done,
    seconds: f64,
    /// The machine's peak in floating-point operations per second: the mean of a probe before the work and one after.
    peak: f64,
    /// The machine's memory bandwidth in bytes per second, measured in the same way.
    bandwidth: f64,
}

pub fn run(args: BenchArgs) -> Result<()> {
    let all = Workload::all();
    let chosen: Vec<Workload> = match args.only.is_empty() {
        true => all,
        false => args.only.iter().map(|name| named(&all, name)).collect::<Result<_>>()?,
    };
    // The path is checked before measuring, so that hours of work are not lost to a bad path.
    let target = args.output.as_deref().map(|path| Target::check(path, args.force, &[])).transpose()?;
    terminal::catch_interrupts();
    let started = Instant::now();
    let model = open::load(&args.model)?;
    let local = model.local().context("this needs a model in this process: leave out --engine")?;
    let load = started.elapsed().as_secs_f64();
    let chosen = that_fit(chosen, local)?;
    let stream = Stream::new(STREAM).context("memory for the bandwidth probe")?;
    let mut samples: Vec<Vec<Sample>> = chosen.iter().map(|_| Vec::new()).collect();
    let bar = progress::spinner();
    'rounds: for round in 1..=args.rounds {
        for (workload, samples) in chosen.iter().zip(&mut samples) {
            bar.message(|| format!("round {round} of {}: {}", args.rounds, workload.name()));
            let before = probe(local, &stream);
            let start = Instant::now();
            let done = workload.run(local)?;
            let seconds = done.seconds.unwrap_or_else(|| start.elapsed().as_secs_f64());
            let after = probe(local, &stream);
            if terminal::interrupted() {
                break 'rounds;
            }
            let [peak, bandwidth] = [(before.0 + after.0) / 2.0, (before.1 + after.1) / 2.0];
            samples.push(Sample { done, seconds, peak, bandwidth });
        }
    }
    drop(bar);
    if samples.iter().all(Vec::is_empty) {
        bail!("interrupted before anything was measured");
    }
    let record = json!({
        "model": model.name(),
        "engine": model.engine(),
        "created": now(),
        "logitree": env!("CARGO_PKG_VERSION"),
        "load_seconds": load,
        "workloads": chosen.iter().zip(&samples).filter(|(_, s)| !s.is_empty()).map(|(w, s)| json_of(w, s)).collect::<Vec<_>>(),
    });
    if let Some(target) = &target {
        target.write(Form::Text, |out| Ok(writeln!(out, "{record:#}")?))?;
        if target.is_stdout() {
            return Ok(());
        }
    }
    terminal::print(&table(model.name(), local, load, &chosen, &samples))
}

fn named(all: &[Workload], name: &str) -> Result<Workload> {
    match all.iter().copied().find(|w| w.name() == name).or_else(|| Workload::of_size(name)) {
        Some(w) => Ok(w),
        None => {
            let names: Vec<String> = all.iter().map(Workload::name).collect();
            usage!(
                "--only {name}: choose from {}, or any other tree depth or width; for long contexts from prompt6k, decode6k, \
                 tree6k, tree6kx5, or any other number of thousand tokens",
                names.join(", ")
            )
        }
    }
}

/// What the model's context has room for. The user is told of the rest.
fn that_fit(chosen: Vec<Workload>, model: &LocalModel) -> Result<Vec<Workload>> {
    let context = model.context_length();
    let (fitting, others): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|w| w.context() <= context);
    let needs = |w: &Workload| format!("{} needs a context of {} tokens", w.name(), w.context());
    let others: Vec<String> = others.iter().map(needs).collect();
    if fitting.is_empty() {
        bail!("the model's context is {context} tokens, too short: {}", others.join(", "));
    }
    for other in others {
        message::note(format_args!("{other}, and the model's is {context}: left out"));
    }
    Ok(fitting)
}

/// Measures the machine's peak (floating-point operations per second) and memory bandwidth (bytes per second).
fn probe(model: &LocalModel, stream: &Stream) -> (f64, f64) {
    model.with_compute(|compute| {
        let peak = rate(|| multiply_add(compute, 200_000));
        let bandwidth = rate(|| read(compute, stream));
        (peak, bandwidth)
    })
}

/// Repeats `work` for at least [`PROBE`] seconds. Returns the sum of the amounts that it returned, per second.
fn rate(mut work: impl FnMut() -> f64) -> f64 {
    let start = Instant::now();
    let mut amount = 0.0;
    while start.elapsed().as_secs_f64() < PROBE {
        amount += work();
    }
    amount / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// Median, smallest and largest value over the rounds.
fn spread(samples: &[Sample], f: impl Fn(&Sample) -> f64) -> (f64, f64, f64) {
    let values: Vec<f64> = samples.iter().map(f).collect();
    let extreme = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
    (median(values.clone()), extreme(f64::min), extreme(f64::max))
}

fn json_of(workload: &Workload, samples: &[Sample]) -> Value {
    let list = |f: fn(&Sample) -> f64| samples.iter().map(f).collect::<Vec<f64>>();
    json!({
        "workload": workload.name(),
        "count": samples[0].done.count,
        "unit": workload.unit(),
        "seconds": list(|s| s.seconds),
        "flops": samples[0].done.flops,
        "bytes": samples[0].done.bytes,
        "peak_flops_per_second": list(|s| s.peak),
        "bandwidth_bytes_per_second": list(|s| s.bandwidth),
    })
}

fn table(name: &str, model: &LocalModel, load: f64, chosen: &[Workload], samples: &[Vec<Sample>]) -> String {
    let cost = model.cost();
    let all: Vec<&Sample> = samples.iter().flatten().collect();
    let of = |f: fn(&Sample) -> f64| median(all.iter().map(|s| f(s)).collect()) / 1e9;
    let mut out = format!(
        "{} · {}\npeak {:.0} GFLOP/s (f32 multiply-add), memory {:.1} GB/s; {} MB of weights model in {load:.2} s\n\n",
        name,
        model.engine(),
        of(|s| s.peak),
        of(|s| s.bandwidth),
        (cost.layer_bytes + cost.output_bytes) / 1_000_000,
    );
    out.push_str(&format!(
        "{:<10} {:>6} {:>16} {:>17} {:>8} {:>7} {:>6} {:>7}\n",
        "", "count", "median", "slowest … fastest", "GFLOP/s", "of peak", "GB/s", "of mem."
    ));
    for (workload, samples) in chosen.iter().zip(samples).filter(|(_, s)| !s.is_empty()) {
        let (rate, slowest, fastest) = spread(samples, |s| s.done.count as f64 / s.seconds);
        let (gflops, ..) = spread(samples, |s| s.done.flops / s.seconds / 1e9);
        let (peak, ..) = spread(samples, |s| s.done.flops / s.seconds / s.peak);
        let (gbs, ..) = spread(samples, |s| s.done.bytes / s.seconds / 1e9);
        let (memory, ..) = spread(samples, |s| s.done.bytes / s.seconds / s.bandwidth);
        out.push_str(&format!(
            "{:<10} {:>6} {rate:>7.1} {:<8} {slowest:>7.1} … {fastest:<7.1} {gflops:>8.1} {:>6.0}% {gbs:>6.1} {:>6.0}%\n",
            workload.name(),
            samples[0].done.count,
            format!("{}/s", workload.unit()),
            100.0 * peak,
            100.0 * memory,
        ));
    }
    out.push_str("\nGFLOP/s counts the products with weights; GB/s counts each weight once per pass.\n");
    if chosen.iter().any(Workload::counts_attention) {
        out.push_str(
            "After long prompts they count attention, too: what each token sees, and every key and value once per pass.\n",
        );
    }
    out
}
