//! `logitree explore` in a pseudo-terminal: keys go in, a screen comes out.
#![cfg(unix)]

mod common;

use common::{fails, json, logitree, workplace};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A program in a terminal of 80 columns and 24 rows.
struct Terminal {
    child: Child,
    keys: File,
    output: Receiver<Vec<u8>>,
    /// What was written since the last [`Terminal::wait_for`].
    text: String,
}

impl Terminal {
    fn start(folder: &Path, args: &[&str]) -> Terminal {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        tcsetwinsize(&main, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let side = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let child = logitree(folder, args)
            .env("NO_COLOR", "1")
            .env("TERM", "xterm")
            .stdin(Stdio::from(side()))
            .stdout(Stdio::from(side()))
            .stderr(Stdio::from(side()))
            .spawn()
            .unwrap();
        let main = File::from(main);
        let mut screen = main.try_clone().unwrap();
        let (told, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // On Linux the end is an error.
            while let Ok(n @ 1..) = screen.read(&mut buffer) {
                if told.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, keys: main, output, text: String::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows all of these, and returns what was written meanwhile.
    fn wait_for(&mut self, texts: &[&str]) -> String {
        let end = Instant::now() + Duration::from_secs(120);
        while !texts.iter().all(|t| self.text.contains(t)) {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(more) => self.text.push_str(&String::from_utf8_lossy(&more)),
                Err(_) => panic!("no {texts:?} in {:?}", self.text),
            }
        }
        std::mem::take(&mut self.text)
    }

    /// What is written until the program ends, and how it ended.
    fn end(mut self) -> (String, ExitStatus) {
        let status = self.child.wait().unwrap();
        while let Ok(more) = self.output.recv_timeout(Duration::from_millis(500)) {
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
        (self.text, status)
    }
}

const RIGHT: &str = "\x1b[C";
const DOWN: &str = "\x1b[B";

#[test]
fn another_token_is_taken_and_taken_back() {
    let w = workplace();
    let w = w.path();
    let args = ["explore", "the cat", "-m", "model", "-n", "6", "-o", "walk.run.jsonl"];
    let mut t = Terminal::start(w, &args);
    // The likeliest text is written first, and its first token has a list.
    let first = t.wait_for(&["token 1 of 6 ·", "q end"]);
    assert!(first.contains("> • 1") || first.contains(">• 1"), "{first:?}");
    // The second most likely token at the second place: the text goes on from there.
    t.press(RIGHT);
    t.wait_for(&["token 2 of 6 ·"]);
    t.press(DOWN);
    t.press("\r");
    t.wait_for(&["token 3 of 8 ·"]);
    t.press("t");
    t.wait_for(&["nodes ·"]);
    t.press("u");
    t.press("t");
    t.wait_for(&["token 2 of 6 ·"]);
    t.press("?");
    t.wait_for(&["undo: the text before the last change"]);
    t.press("q");
    let (text, status) = t.end();
    assert!(status.success(), "{text}");
    // The first screen is back, with the text and where the tree is.
    assert!(text.contains("\x1b[?1049l") && text.contains("run file: walk.run.jsonl"), "{text:?}");
    let greedy = json(w, &["logprobs", "the cat", "-m", "model", "-n", "6"]);
    assert!(text.contains(&format!("the cat{}", greedy["response"].as_str().unwrap().trim_end())), "{text:?}");

    // The run has both texts, and the same numbers as any other.
    let shown = json(w, &["show", "walk.run.jsonl"]);
    assert!(shown["nodes"].as_u64().unwrap() > 12, "{shown}");
    let verified = json(w, &["verify", "walk.run.jsonl", "-m", "model"]);
    assert_eq!(verified["identical"], true, "{verified}");
}

#[test]
fn control_c_and_a_signal_give_the_terminal_back() {
    let w = workplace();
    for by_signal in [false, true] {
        let mut t = Terminal::start(w.path(), &["explore", "the cat", "-m", "model", "-n", "4"]);
        t.wait_for(&["token 1 of 4 ·"]);
        if by_signal {
            let id = t.child.id().to_string();
            std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
        } else {
            t.press("\x03");
        }
        let (text, _) = t.end();
        assert!(text.contains("\x1b[?1049l") && text.contains("\x1b[?25h"), "{text:?}");
    }
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let w = workplace();
    let text = fails(w.path(), &["explore", "the cat", "-m", "model"], 2);
    assert!(text.contains("needs a terminal") && text.contains("logitree tree"), "{text}");
}
