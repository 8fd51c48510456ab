//! `logitree explore`: a text in the terminal, in which every token can be exchanged for another.

mod draw;
mod walk;

use crate::options::{self, FormOptions, ModelOptions};
use crate::usage::usage;
use crate::{input, message, open, terminal};
use anyhow::Result;
use clap::Args;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::{cursor, execute, queue, style as paint, terminal as screen};
use draw::Pane;
use logitree::export::text::Style;
use logitree::output::Target;
use logitree::{Destination, Exploration, Limits, Model, visible};
use logitree_core::explore::{BeamParameters, Keep, Strategy};
use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;
use walk::Walk;

const EXAMPLES: &str = "Examples:
  logitree explore \"The capital of India is\"
  logitree explore --chat -m smollm2-135m \"Tell me a story.\" -o story.run.jsonl
  logitree serve story.run.jsonl

The model writes its most likely text. The arrows go to any token of it; Enter or a digit puts another token there, \
and the model writes on from that. `u` takes it back, `t` shows the tree of all that was written, `?` all keys. With \
--output the tree is a run file as any other.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ExploreArgs {
    /// The prompt
    #[arg(value_name = "PROMPT")]
    pub prompt: String,
    #[command(flatten)]
    pub form: FormOptions,
    /// Tokens written at a time
    #[arg(short = 'n', long, default_value_t = 40, value_parser = options::at_least_one, value_name = "N")]
    pub max_new_tokens: usize,
    /// Most likely tokens to list at each place
    #[arg(long, default_value_t = 30, value_parser = options::at_least_one, value_name = "K")]
    pub top: usize,
    /// Run file to write [default: none is written]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    pub force: bool,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// Time between two looks at whether the program should end, while nothing is typed.
const PAUSE: Duration = Duration::from_millis(200);

pub fn run(args: ExploreArgs) -> Result<()> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        usage!("explore needs a terminal for its keys and its screen: `logitree tree` and `logitree next` do not");
    }
    let text = input::text_argument(&args.prompt, "PROMPT")?;
    let destination = match &args.output {
        None => Destination::Nowhere,
        Some(path) => Destination::Named(Target::check(path, args.force, &[Path::new(&args.model.name()?)])?),
    };
    let model = open::load(&args.model)?;
    let given = args.form.given(&text);
    model.note_names(&given, "");
    let prompt = model.prepare(&given, "")?;
    let limits = Limits { keep: Keep::Top(args.top), ..Limits::default() };
    let greedy = BeamParameters { width: 1, max_depth: args.max_new_tokens, ..BeamParameters::default() };
    let exploration = Exploration::begin(&model, &prompt, Strategy::Beam(greedy), &[], &limits, destination)?;
    let mut walk = Walk::new(exploration, args.max_new_tokens)?;
    terminal::catch_interrupts();
    let ended = {
        let _screen = Screen::enter()?;
        interact(&model, &mut walk)
    };
    walk.stop()?;
    let ids = walk.path.iter().filter_map(|&n| walk.exploration.tree().token(n));
    let written = format!("{}{}\n", prompt.text, model.text_of(ids));
    let file = walk.exploration.path().map(Path::to_path_buf);
    walk.exploration.close()?;
    ended?;
    terminal::print(&written)?;
    if let Some(file) = file {
        message::line(format_args!("run file: {}", file.display()));
    }
    Ok(())
}

/// The terminal's other screen, on which keys are read one by one. The first screen returns when this is dropped.
struct Screen;

impl Screen {
    fn enter() -> Result<Screen> {
        screen::enable_raw_mode()?;
        // From here on a failure gives the terminal back, too.
        let entered = Screen;
        execute!(stdout(), screen::EnterAlternateScreen, cursor::Hide)?;
        Ok(entered)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done if the terminal is gone.
        let _ = execute!(stdout(), cursor::Show, screen::LeaveAlternateScreen);
        let _ = screen::disable_raw_mode();
    }
}

/// Draws, reads keys and writes the text until the user ends it.
fn interact(model: &Model, walk: &mut Walk) -> Result<()> {
    let mut pane = Pane::Alternatives;
    show(model, walk, pane)?;
    while !terminal::interrupted() {
        let wait = if walk.is_writing() { Duration::ZERO } else { PAUSE };
        if event::poll(wait)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if !press(walk, &mut pane, key)? {
                        return Ok(());
                    }
                }
                Event::Resize(..) => {}
                _ => continue,
            }
        } else if walk.is_writing() {
            walk.step()?;
        } else {
            continue;
        }
        show(model, walk, pane)?;
    }
    Ok(())
}

/// Does what a key asks for. Returns false if that is to end.
fn press(walk: &mut Walk, pane: &mut Pane, key: KeyEvent) -> Result<bool> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let toggled = |own: Pane, now: Pane| if now == own { Pane::Alternatives } else { own };
    match key.code {
        KeyCode::Char('c' | 'd') if control => return Ok(false),
        KeyCode::Char('z') if control => walk.undo()?,
        KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
        KeyCode::Left => walk.walk(-1),
        KeyCode::Right => walk.walk(1),
        KeyCode::Home => walk.walk(isize::MIN),
        KeyCode::End => walk.walk(isize::MAX),
        KeyCode::Up => walk.choose(-1),
        KeyCode::Down => walk.choose(1),
        KeyCode::PageUp => walk.choose(-10),
        KeyCode::PageDown => walk.choose(10),
        KeyCode::Enter => walk.take(walk.choice)?,
        KeyCode::Char(digit @ '1'..='9') => walk.take(digit as usize - '1' as usize)?,
        KeyCode::Char('g') => walk.go_on()?,
        KeyCode::Char('u') => walk.undo()?,
        KeyCode::Char('t') => *pane = toggled(Pane::Tree, *pane),
        KeyCode::Char('?') => *pane = toggled(Pane::Help, *pane),
        _ => {}
    }
    Ok(true)
}

fn show(model: &Model, walk: &Walk, pane: Pane) -> Result<()> {
    let (width, height) = screen::size()?;
    let style = Style { width: usize::from(width).max(20), colour: terminal::style().colour };
    let lines = draw::screen(model, walk, pane, usize::from(height).max(8), style);
    let mut out = stdout().lock();
    for (row, line) in (0..height).zip(&lines) {
        let line = if style.colour { visible::harmless_but_colours(line) } else { visible::harmless(line) };
        queue!(out, cursor::MoveTo(0, row), paint::Print(line), screen::Clear(screen::ClearType::UntilNewLine))?;
    }
    out.flush()?;
    Ok(())
}
