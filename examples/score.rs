//! How likely is each token of a text, and what would the model rather have said?
//!
//!     cargo run --release -p logitree --example score ["TEXT" [MODEL]]

use logitree::{GenerateOptions, Model, Result, ScoreOptions, totals_of};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let text = args.next().unwrap_or("The capital of India is New Delhi.".into());
    let model = Model::open(&args.next().unwrap_or("gemma-3-270m".into()))?;

    let scored = model.score(&model.prompt(&text)?, &ScoreOptions::default())?;
    for token in &scored.tokens {
        let rather = token.top.first().map_or(String::new(), |t| model.text(t.id));
        let text = model.text(token.token.id);
        println!(
            "{text:>12?} {:8.3} nats, rank {:>5}; likeliest was {rather:?}",
            token.token.logprob, token.token.rank
        );
    }
    let totals = totals_of(&scored.tokens);
    println!("{:.2} bits in all, perplexity {:.2}", totals.bits, totals.perplexity);

    // A generation is an iterator: each token comes with what it was chosen from.
    let options = GenerateOptions { max_new_tokens: 10, ..Default::default() };
    for token in model.generate(&model.prompt(&text)?, &options)? {
        let token = token?;
        print!("{}", model.text(token.token.id));
    }
    println!();
    Ok(())
}
