//! The OpenAI-compatible server over real sockets: every parameter, prompts' logprobs, streams, batches, hang-ups, errors.

mod common;

use common::server::Server;
use common::{fails, json as command, logitree, ok, workplace};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const TEXT: &str = "hello world, hello é 🙂 hello";

/// The answer to a request that must succeed.
fn post(s: &Server, path: &str, body: Value) -> Value {
    let (status, answer) = s.ask("POST", path, Some(body.clone()));
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

fn complete(s: &Server, body: Value) -> Value {
    post(s, "/v1/completions", body)
}

/// The body with more parameters.
fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// A greedy request of some tokens.
fn greedy(prompt: impl Into<Value>, max_tokens: usize) -> Value {
    json!({ "prompt": prompt.into(), "max_tokens": max_tokens, "temperature": 0 })
}

fn text(answer: &Value) -> String {
    answer["choices"][0]["text"].as_str().unwrap().to_owned()
}

/// The data of a stream's events, to its end.
fn events(socket: TcpStream) -> Vec<String> {
    let mut events = Vec::new();
    for line in BufReader::new(socket).lines() {
        let line = line.unwrap();
        if let Some(data) = line.strip_prefix("data: ") {
            events.push(data.to_owned());
            if data == "[DONE]" || data.contains("\"error\"") {
                break;
            }
        }
    }
    events
}

/// The chunks of a stream that ends as it should.
fn chunks(s: &Server, path: &str, body: Value) -> Vec<Value> {
    let mut events = events(s.open(path, &with(body, json!({ "stream": true }))));
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    events.iter().map(|e| serde_json::from_str(e).unwrap()).collect()
}

fn joined(chunks: &[Value], piece: impl Fn(&Value) -> &Value) -> String {
    chunks.iter().filter_map(|c| piece(&c["choices"][0]).as_str()).collect()
}

#[test]
fn prompts_are_scored_as_the_command_scores_them() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let scored = command(w.path(), &["score", TEXT, "-m", "model", "--top", "7"]);
    let steps = scored["tokens"].as_array().unwrap();
    let answer = complete(&s, with(greedy(TEXT, 0), json!({ "echo": true, "logprobs": 7 })));
    let choice = &answer["choices"][0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!(TEXT), &json!("length")));
    let logprobs = &choice["logprobs"];
    let of = |key: &str| logprobs[key].as_array().unwrap().clone();
    assert_eq!(of("tokens").len(), steps.len() + 1);
    assert_eq!(answer["usage"]["prompt_tokens"], steps.len() + 1);
    assert_eq!(answer["usage"]["completion_tokens"], 0);
    assert!(of("token_logprobs")[0].is_null() && of("top_logprobs")[0].is_null());
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() <= 1e-9;
    for (i, step) in steps.iter().enumerate() {
        assert_eq!(of("tokens")[i + 1], step["text"]);
        assert!(close(&of("token_logprobs")[i + 1], &step["logprob"]), "{i}: {step}");
        let top = of("top_logprobs")[i + 1].as_object().unwrap().clone();
        assert!(close(&top[step["text"].as_str().unwrap()], &step["logprob"]) || top.len() <= 8);
        let first = &step["top"][0];
        assert!(close(&top[first["text"].as_str().unwrap()], &first["logprob"]), "{i}: {top:?}");
    }
    // Offsets are characters of the text: every whole token stands where it says.
    let all: Vec<char> = TEXT.chars().collect();
    for (token, offset) in of("tokens").iter().zip(of("text_offset")).skip(1) {
        let token = token.as_str().unwrap();
        if !token.contains('\u{fffd}') {
            let at = offset.as_u64().unwrap() as usize;
            assert!(all[at..].iter().collect::<String>().starts_with(token), "{token:?} at {at}");
        }
    }
    // As vLLM tells it: with ids and ranks.
    let told = complete(&s, with(greedy(TEXT, 1), json!({ "prompt_logprobs": 3 })))["choices"][0].clone();
    let told_prompt = told["prompt_logprobs"].as_array().unwrap();
    assert!(told_prompt.len() == steps.len() + 1 && told_prompt[0].is_null() && told["logprobs"].is_null());
    for (entry, step) in told_prompt[1..].iter().zip(steps) {
        let own = &entry[step["id"].to_string()];
        assert_eq!(
            (&own["logprob"], &own["rank"], &own["decoded_token"]),
            (&step["logprob"], &step["rank"], &step["text"])
        );
        assert!(
            (3..=4).contains(&entry.as_object().unwrap().len()) && entry[step["top"][2]["id"].to_string()]["rank"] == 3
        );
    }
    // Token ids, batches and parts of an answer say the same.
    let ids = post(&s, "/tokenize", json!({ "prompt": TEXT }))["tokens"].clone();
    let echo = json!({ "echo": true, "logprobs": 7 });
    let by_ids = complete(&s, with(greedy(json!([ids, [2, 70], ids]), 0), echo.clone()));
    for i in [0, 2] {
        assert_eq!(by_ids["choices"][i]["logprobs"], *logprobs);
        assert_eq!(by_ids["choices"][i]["index"], i);
    }
    assert_eq!(complete(&s, with(greedy(ids, 0), echo.clone()))["choices"][0]["logprobs"], *logprobs);
    let with_answer = complete(&s, with(greedy(TEXT, 3), echo));
    let longer = with_answer["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
    assert_eq!((longer.len(), &longer[..steps.len() + 1]), (steps.len() + 4, &of("token_logprobs")[..]));
}

/// Every whole token of the text must stand where its offset says.
fn check_offsets(choice: &Value, added_in_front: usize) {
    let text: Vec<char> = choice["text"].as_str().unwrap().chars().collect();
    let logprobs = &choice["logprobs"];
    let (tokens, offsets) = (logprobs["tokens"].as_array().unwrap(), logprobs["text_offset"].as_array().unwrap());
    assert_eq!(tokens.len(), offsets.len());
    for (token, offset) in tokens.iter().zip(offsets).skip(added_in_front) {
        let (token, at) = (token.as_str().unwrap(), offset.as_u64().unwrap() as usize);
        let there: String = text[at..].iter().take(token.chars().count()).collect();
        assert!(there == token || token.contains('\u{fffd}'), "{token:?} at {at} is {there:?} in {choice}");
    }
}

#[test]
fn offsets_point_into_the_repeated_text_whatever_the_tokenizer_does_to_it() {
    let steps: [&[Value]; 4] = [
        &[],
        &[json!({ "type": "Prepend", "prepend": " " })],
        &[json!({ "type": "NFC" })],
        &[json!({ "type": "Lowercase" }), json!({ "type": "NFKC" })],
    ];
    for more in steps {
        let w = workplace();
        let path = w.path().join("model/tokenizer.json");
        let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        tokenizer["normalizer"] = json!({ "type": "Sequence", "normalizers": more });
        std::fs::write(&path, tokenizer.to_string()).unwrap();
        let s = Server::start(w.path(), &[]);
        let echo = json!({ "echo": true, "logprobs": 1 });
        for text in [
            "the hello: hello",
            "<bos>Hi<eos> there",
            "<start_of_turn>a\nhe<end_of_turn>\n",
            "e\u{301}a é 🙂 ＡB",
            " a  b ",
        ] {
            let whole = complete(&s, with(greedy(text, 3), echo.clone()));
            let choice = &whole["choices"][0];
            assert!(choice["text"].as_str().unwrap().starts_with(text), "{choice}");
            let added = usize::from(!text.starts_with("<bos>"));
            check_offsets(choice, added);
            // The first generated token stands behind the prompt, repeated or not.
            let n = post(&s, "/tokenize", json!({ "prompt": text }))["count"].as_u64().unwrap() as usize;
            let behind = text.chars().count();
            assert_eq!(choice["logprobs"]["text_offset"][n], behind, "{choice}");
            let alone = complete(&s, with(greedy(text, 3), json!({ "logprobs": 1 })));
            assert_eq!(alone["choices"][0]["logprobs"]["text_offset"][0], behind);
            // A stream has the same.
            let parts = chunks(&s, "/v1/completions", with(greedy(text, 3), echo.clone()));
            let offsets = parts.iter().flat_map(|c| c["choices"][0]["logprobs"]["text_offset"].as_array().unwrap());
            assert!(offsets.eq(choice["logprobs"]["text_offset"].as_array().unwrap()));
            // Token ids are repeated as a text that has them where they say, too.
            let ids = post(&s, "/tokenize", json!({ "prompt": text }))["tokens"].clone();
            let by_ids = complete(&s, with(greedy(ids, 3), echo.clone()));
            check_offsets(&by_ids["choices"][0], 1);
        }
        // Joined again, tokens are the text, without the space that was put in front.
        for text in ["hello there", "a b"] {
            let body = json!({ "prompt": text, "add_special_tokens": false });
            let ids = post(&s, "/tokenize", body)["tokens"].clone();
            assert_eq!(post(&s, "/detokenize", json!({ "tokens": ids })), json!({ "prompt": text }));
        }
    }
}

#[test]
fn answers_are_what_the_command_generates() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let made = command(w.path(), &["logprobs", "hello", "-m", "model", "-n", "12", "--top", "4"]);
    let answer = complete(&s, with(greedy("hello", 12), json!({ "logprobs": 4, "ignore_eos": true })));
    let steps = made["tokens"].as_array().unwrap();
    let logprobs = &answer["choices"][0]["logprobs"];
    assert_eq!(logprobs["tokens"].as_array().unwrap().len(), 12);
    for (i, step) in steps.iter().enumerate() {
        assert_eq!(logprobs["token_logprobs"][i], step["logprob"], "the same bits");
    }
    assert_eq!(text(&answer), made["response"].as_str().unwrap());
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 5, "completion_tokens": 12, "total_tokens": 17 }));
    assert_eq!((&answer["object"], &answer["model"]), (&json!("text_completion"), &json!("model")));

    // Without a number of tokens there are 16; the context is an end as well.
    let answer = complete(&s, json!({ "prompt": "hello", "temperature": 0, "ignore_eos": true }));
    assert_eq!(answer["usage"]["completion_tokens"], 16);
    let answer = complete(&s, with(greedy("hello", 251), json!({ "ignore_eos": true })));
    assert_eq!(
        (&answer["usage"]["total_tokens"], &answer["choices"][0]["finish_reason"]),
        (&json!(256), &json!("length"))
    );
    // None at all.
    let answer = complete(&s, greedy("hello", 0));
    assert_eq!((text(&answer).as_str(), &answer["usage"]["completion_tokens"]), ("", &json!(0)));
    assert_eq!(text(&complete(&s, with(greedy("hello", 0), json!({ "echo": true })))), "hello");
    // Several prompts with several answers each come in order, and a prompt counts once.
    let many = complete(&s, with(greedy(json!(["hello", "ab"]), 3), json!({ "n": 2, "best_of": 2 })));
    let texts: Vec<&Value> = many["choices"].as_array().unwrap().iter().map(|c| &c["text"]).collect();
    assert_eq!(texts.len(), 4);
    assert!(texts[0] == texts[1] && texts[2] == texts[3] && texts[0] != texts[2]);
    assert_eq!(many["usage"], json!({ "prompt_tokens": 8, "completion_tokens": 12, "total_tokens": 20 }));
}

#[test]
fn tokens_can_be_told_as_ids_and_bos_left_out() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let ids = json!({ "logprobs": 2, "return_tokens_as_token_ids": true, "return_token_ids": true, "echo": true });
    let choice = complete(&s, with(greedy("hello", 2), ids.clone()))["choices"][0].clone();
    let prompt: Vec<u64> = choice["prompt_token_ids"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap()).collect();
    assert_eq!(prompt[0], 2, "BOS");
    let all: Vec<String> = prompt
        .iter()
        .copied()
        .chain(choice["token_ids"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap()))
        .map(|i| format!("token_id:{i}"))
        .collect();
    assert_eq!(choice["logprobs"]["tokens"], json!(all));
    assert!(choice["logprobs"]["top_logprobs"][3].as_object().unwrap().keys().all(|k| k.starts_with("token_id:")));
    let bare = complete(&s, with(greedy("hello", 2), with(ids.clone(), json!({ "add_special_tokens": false }))));
    assert_eq!(bare["choices"][0]["prompt_token_ids"], json!(prompt[1..]));
    // A text that begins with BOS gets no second one.
    let named = complete(&s, with(greedy("<bos>hello", 2), ids));
    assert_eq!(named["choices"][0]["prompt_token_ids"], json!(prompt));
    for key in ["tokens", "token_logprobs", "top_logprobs"] {
        assert_eq!(named["choices"][0]["logprobs"][key], choice["logprobs"][key]);
    }
    // Its name is part of this text: what follows stands behind it.
    let offsets = |choice: &Value| choice["logprobs"]["text_offset"].as_array().unwrap().clone();
    for (i, (named, put)) in offsets(&named["choices"][0]).iter().zip(offsets(&choice)).enumerate() {
        assert_eq!(named.as_u64(), put.as_u64().map(|n| n + if i == 0 { 0 } else { 5 }));
    }
    // So many of the likeliest, and the one that stands there.
    let all = complete(&s, with(greedy("hello", 1), json!({ "logprobs": 1000, "return_tokens_as_token_ids": true })));
    let top = all["choices"][0]["logprobs"]["top_logprobs"][0].as_object().unwrap();
    let total: f64 = top.values().map(|v| v.as_f64().unwrap().exp()).sum();
    assert!(top.len() == 320 && (total - 1.0).abs() < 1e-6, "{} {total}", top.len());
    // With 0, tokens are scored and nothing is listed, as in OpenAI's API.
    let none = complete(&s, with(greedy("hello", 1), json!({ "logprobs": 0 })));
    let logprobs = &none["choices"][0]["logprobs"];
    assert!(logprobs["top_logprobs"].is_null() && logprobs["token_logprobs"][0].is_number(), "{logprobs}");
    // Of tokens with the same text, the likelier one is told.
    let by_text = complete(&s, with(greedy("hello", 1), json!({ "logprobs": 1000 })));
    let by_text = by_text["choices"][0]["logprobs"]["top_logprobs"][0].as_object().unwrap();
    assert!(by_text.len() < 320, "bytes that are no character have the same text");
    let info = post(&s, "/detokenize", json!({ "tokens": [2, 265, 78, 78, 81] }));
    assert_eq!(info, json!({ "prompt": "<bos>hello" }));
    for (id, logprob) in top {
        let id: u64 = id.strip_prefix("token_id:").unwrap().parse().unwrap();
        let name = post(&s, "/detokenize", json!({ "tokens": [id] }))["prompt"].as_str().unwrap().to_owned();
        assert!(by_text[&name].as_f64() >= logprob.as_f64(), "{name:?}");
    }
}

#[test]
fn sampling_follows_the_seed_whatever_else_is_generated() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let sampled =
        |seed: i64| json!({ "prompt": "hello", "max_tokens": 24, "seed": seed, "ignore_eos": true, "logprobs": 3 });
    let alone: Vec<Value> = (-3..5).map(|seed| complete(&s, sampled(seed))["choices"][0].clone()).collect();
    assert!(alone.iter().enumerate().all(|(i, a)| alone[..i].iter().all(|b| a["text"] != b["text"])), "seeds differ");
    // All at once, with greedy and long neighbours.
    let together: Vec<Value> = std::thread::scope(|scope| {
        let s = &s;
        let noise: Vec<_> = (0..4)
            .map(|i| scope.spawn(move || complete(s, greedy(format!("noise {i} {}", "abc ".repeat(30)), 60))))
            .collect();
        let clients: Vec<_> =
            (-3..5).map(|seed| scope.spawn(move || complete(s, sampled(seed))["choices"][0].clone())).collect();
        noise.into_iter().for_each(|n| drop(n.join().unwrap()));
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert_eq!(alone, together, "the same bits alone and in a batch");
    // The n-th answer is what the seed + n gives alone.
    let many = complete(&s, with(sampled(-3), json!({ "n": 8 })));
    let texts = |choices: &[Value]| choices.iter().map(|c| c["text"].clone()).collect::<Vec<_>>();
    assert_eq!(texts(many["choices"].as_array().unwrap()), texts(&alone));
    // Nothing to choose from is the greedy answer.
    let best = text(&complete(&s, with(greedy("hello", 24), json!({ "ignore_eos": true }))));
    for cut in
        [json!({ "top_p": 0.0 }), json!({ "top_k": 1 }), json!({ "min_p": 1.0 }), json!({ "temperature": 0.0001 })]
    {
        assert_eq!(text(&complete(&s, with(sampled(7), cut.clone()))), best, "{cut}");
    }
    // Logprobs are the model's own, whatever the temperature.
    let hot = complete(&s, with(sampled(1), json!({ "temperature": 3.0, "top_p": 0.9, "max_tokens": 1 })));
    let top = |answer: &Value| answer["choices"][0]["logprobs"]["top_logprobs"][0].as_object().unwrap().clone();
    let own = complete(&s, with(greedy("hello", 1), json!({ "logprobs": 3 })));
    assert!(top(&own).iter().all(|(token, logprob)| top(&hot)[token] == *logprob));
    // Without a seed answers differ.
    let free = json!({ "prompt": "hello", "max_tokens": 24 });
    assert_ne!(text(&complete(&s, free.clone())), text(&complete(&s, free)));
}

#[test]
fn stop_strings_cut_the_text_across_tokens() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let request = |stop: Value| json!({ "prompt": "ab", "max_tokens": 40, "seed": 4, "ignore_eos": true, "stop": stop, "logprobs": 0 });
    let answer = complete(&s, request(json!([])));
    let whole = text(&answer);
    let tokens: Vec<String> = serde_json::from_value(answer["choices"][0]["logprobs"]["tokens"].clone()).unwrap();
    let clean = |t: &String| !t.contains('\u{fffd}') && whole.contains(t.as_str());
    // The end of a token and the beginning of the next, or more.
    let pairs = tokens.windows(2).filter(|p| p.iter().all(clean));
    let mut stops: Vec<String> =
        pairs.map(|p| p[0].chars().last().into_iter().chain(p[1].chars().next()).collect()).collect();
    stops.extend(tokens.windows(3).filter(|p| p.iter().all(clean)).map(|p| p.concat()));
    stops.retain(|stop| !tokens.iter().any(|t| t.contains(stop)) && whole.contains(stop));
    assert!(stops.len() >= 3, "{stops:?} in {whole:?}");
    for stop in stops {
        let cut = &whole[..whole.find(&stop).unwrap()];
        let answer = complete(&s, request(json!([stop])));
        let choice = &answer["choices"][0];
        assert_eq!((text(&answer).as_str(), &choice["finish_reason"]), (cut, &json!("stop")), "{stop:?}");
        let made = answer["usage"]["completion_tokens"].as_u64().unwrap() as usize;
        assert_eq!(choice["logprobs"]["tokens"].as_array().unwrap().len(), made);
        assert!(made <= 40 && tokens[..made].concat().contains(&stop), "generation ends with the stop string");
        assert!(!tokens[..made - 1].concat().contains(&stop), "and not later");
        // A stream never sends what the stop string takes back.
        let chunks = chunks(&s, "/v1/completions", request(json!(stop)));
        assert_eq!(joined(&chunks, |c| &c["text"]), cut);
    }
    let unseen = complete(&s, request(json!(["never said", "nor this"])));
    assert_eq!((text(&unseen), &unseen["choices"][0]["finish_reason"]), (whole, &json!("length")));
}

#[test]
fn end_tokens_end_the_text_unless_ignored() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    // Some seed draws the end token early: of 320 tokens, none is rare at this temperature.
    let request = json!({ "prompt": "a", "max_tokens": 60, "temperature": 5, "n": 32, "seed": 0, "return_token_ids": true, "logprobs": 0 });
    let answer = complete(&s, request.clone());
    let choices = answer["choices"].as_array().unwrap();
    let ended = choices.iter().find(|c| c["finish_reason"] == "stop").expect("an end token in 32 texts");
    let ids = ended["token_ids"].as_array().unwrap();
    assert_eq!(ids.last(), Some(&json!(1)));
    // The end token counts and is scored, but is no text.
    assert_eq!(ended["logprobs"]["tokens"].as_array().unwrap().last(), Some(&json!("<eos>")));
    assert!(!ended["text"].as_str().unwrap().contains("<eos>"));
    let made: usize = choices.iter().map(|c| c["token_ids"].as_array().unwrap().len()).sum();
    assert_eq!(answer["usage"]["completion_tokens"], made);
    let on = complete(&s, with(request, json!({ "ignore_eos": true })));
    let on = on["choices"].as_array().unwrap();
    assert!(on.iter().all(|c| c["finish_reason"] == "length" && c["token_ids"].as_array().unwrap().len() == 60));
}

#[test]
fn streams_send_what_the_whole_answer_has() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let request =
        with(greedy(TEXT, 30), json!({ "logprobs": 3, "echo": true, "return_token_ids": true, "ignore_eos": true }));
    let whole = complete(&s, request.clone());
    let chunks_ = chunks(&s, "/v1/completions", with(request, json!({ "stream_options": { "include_usage": true } })));
    let (last, parts) = chunks_.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    assert!(parts.iter().all(|c| c["usage"].is_null() && c["object"] == "text_completion" && c["id"] == last["id"]));
    let choice = &whole["choices"][0];
    assert_eq!(joined(parts, |c| &c["text"]), choice["text"].as_str().unwrap());
    let finishes: Vec<&Value> =
        parts.iter().map(|c| &c["choices"][0]["finish_reason"]).filter(|f| !f.is_null()).collect();
    assert_eq!(finishes, ["length"]);
    for key in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let all: Vec<Value> =
            parts.iter().filter_map(|c| c["choices"][0]["logprobs"][key].as_array().cloned()).flatten().collect();
        assert_eq!(json!(all), choice["logprobs"][key], "{key}");
    }
    let ids: Vec<Value> =
        parts.iter().filter_map(|c| c["choices"][0]["token_ids"].as_array().cloned()).flatten().collect();
    assert_eq!(json!(ids), choice["token_ids"]);
    assert_eq!(parts[0]["choices"][0]["prompt_token_ids"], choice["prompt_token_ids"]);

    // A conversation: first who speaks, then what is said.
    let say = json!([{ "role": "user", "content": "hello" }]);
    let request = json!({ "messages": say, "max_tokens": 20, "seed": 3, "n": 2 });
    let whole = post(&s, "/v1/chat/completions", request.clone());
    let parts = chunks(&s, "/v1/chat/completions", request);
    assert!(parts.iter().all(|c| c["object"] == "chat.completion.chunk" && c.get("usage").is_none()));
    for i in 0..2 {
        let own: Vec<&Value> = parts.iter().map(|c| &c["choices"][0]).filter(|c| c["index"] == i).collect();
        assert_eq!(own[0]["delta"], json!({ "role": "assistant", "content": "" }));
        let said: String = own.iter().filter_map(|c| c["delta"]["content"].as_str()).collect();
        assert_eq!(said, whole["choices"][i]["message"]["content"].as_str().unwrap());
        assert_eq!(own.last().unwrap()["finish_reason"], whole["choices"][i]["finish_reason"]);
    }
}

#[test]
fn characters_that_tokens_share_come_whole() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    // At a high temperature bytes of characters come in any order.
    let request = json!({ "prompt": "é", "max_tokens": 60, "temperature": 2, "seed": 5, "n": 16 });
    let whole = complete(&s, request.clone());
    let chunks = chunks(&s, "/v1/completions", request);
    for i in 0..16 {
        let own = chunks.iter().filter(|c| c["choices"][0]["index"] == i);
        let streamed: String = own.map(|c| c["choices"][0]["text"].as_str().unwrap()).collect();
        assert_eq!(streamed, whole["choices"][i]["text"].as_str().unwrap());
    }
}

#[test]
fn conversations_go_through_the_models_template() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let say = |role: &str, content: Value| json!({ "role": role, "content": content });
    let turns = json!([
        say("developer", json!("be brief")),
        say("user", json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }])),
        say("assistant", json!("c")),
        say("user", json!("d")),
    ]);
    let rendered = "<bos>[system] be brief\n[user] ab\n[assistant] c\n[user] d\n[model] ";
    let request = json!({ "messages": turns, "max_completion_tokens": 6, "temperature": 0, "logprobs": true, "top_logprobs": 4, "return_token_ids": true, "ignore_eos": true });
    let chat = post(&s, "/v1/chat/completions", request);
    let plain =
        complete(&s, with(greedy(rendered, 6), json!({ "logprobs": 4, "return_token_ids": true, "ignore_eos": true })));
    let (said, choice) = (&chat["choices"][0], &plain["choices"][0]);
    assert_eq!(said["message"], json!({ "role": "assistant", "content": text(&plain), "refusal": null }));
    assert_eq!((&chat["prompt_token_ids"], &said["token_ids"]), (&choice["prompt_token_ids"], &choice["token_ids"]));
    assert_eq!((&chat["usage"], &chat["object"]), (&plain["usage"], &json!("chat.completion")));
    let content = said["logprobs"]["content"].as_array().unwrap();
    assert_eq!(content.len(), 6);
    for (i, token) in content.iter().enumerate() {
        assert_eq!(token["logprob"], choice["logprobs"]["token_logprobs"][i]);
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!((top.len(), &top[0]["logprob"]), (4, &token["logprob"]), "greedy");
        let bytes: Vec<u8> = serde_json::from_value(token["bytes"].clone()).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), token["token"].as_str().unwrap());
    }
    let tokens = post(&s, "/tokenize", json!({ "messages": turns, "return_token_strs": true }));
    assert_eq!((&tokens["tokens"], &tokens["max_model_len"]), (&chat["prompt_token_ids"], &json!(256)));
    assert_eq!(tokens["token_strs"].as_array().unwrap().len() as u64, tokens["count"].as_u64().unwrap());

    // Without a template there are no conversations, but everything else.
    drop(s);
    std::fs::write(
        w.path().join("model/tokenizer_config.json"),
        r#"{"bos_token": "<bos>", "eos_token": "<eos>", "add_bos_token": true}"#,
    )
    .unwrap();
    let s = Server::start(w.path(), &[]);
    let (status, error) = s.ask("POST", "/v1/chat/completions", Some(json!({ "messages": turns })));
    assert_eq!((status, &error["error"]["param"]), (400, &json!("messages")));
    assert!(error["error"]["message"].as_str().unwrap().contains("no chat template"), "{error}");
    assert_eq!(text(&complete(&s, greedy(rendered, 6))), text(&plain));
    assert_eq!(s.ask("GET", "/tokenizer_info", None).1["chat_template"], Value::Null);
}

#[test]
fn models_and_tokens_are_told() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let (status, list) = s.ask("GET", "/v1/models", None);
    assert_eq!((status, &list["object"], &list["data"][0]["id"]), (200, &json!("list"), &json!("model")));
    assert_eq!(s.ask("GET", "/v1/models/model", None).1, list["data"][0]);
    let (status, error) = s.ask("GET", "/v1/models/gpt-4", None);
    assert_eq!((status, &error["error"]["code"]), (404, &json!("model_not_found")));
    let split = post(&s, "/tokenize", json!({ "prompt": "hello<eos>", "model": "model" }));
    assert_eq!((&split["count"], &split["tokens"]), (&json!(6), &json!([2, 265, 78, 78, 81, 1])));
    let bare = post(&s, "/tokenize", json!({ "prompt": "hello", "add_special_tokens": false }));
    assert_eq!(bare["tokens"], json!([265, 78, 78, 81]));
    let (_, info) = s.ask("GET", "/tokenizer_info", None);
    assert_eq!((&info["bos_token"], &info["eos_token"]), (&json!("<bos>"), &json!("<eos>")));
    assert!(info["chat_template"].as_str().unwrap().contains("messages"));
}

#[test]
fn every_error_says_which_parameter_was_wrong() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let refused = |path: &str, body: Value, code: u16, param: &str, kind: &str| {
        let (status, answer) = s.ask("POST", path, Some(body.clone()));
        let error = &answer["error"];
        assert_eq!(
            (status, error["param"].as_str().unwrap_or(""), error["code"].as_str().unwrap_or("")),
            (code, param, kind),
            "{body}: {answer}"
        );
        assert!(error["message"].as_str().is_some_and(|m| m.len() > 10), "{answer}");
        assert_eq!(error["type"], "invalid_request_error");
    };
    let c =
        |more: Value, param: &str, kind: &str| refused("/v1/completions", with(greedy("a", 2), more), 400, param, kind);
    for (name, value) in [
        ("best_of", json!(3)),
        ("suffix", json!("x")),
        ("frequency_penalty", json!(0.5)),
        ("presence_penalty", json!(-1)),
        ("logit_bias", json!({ "5": 10 })),
        ("repetition_penalty", json!(1.1)),
        ("min_tokens", json!(2)),
        ("guided_json", json!({})),
        ("response_format", json!({ "type": "json_object" })),
        ("use_beam_search", json!(true)),
        ("stop_token_ids", json!([3])),
        ("skip_special_tokens", json!(false)),
        ("logprob_token_ids", json!([5])),
        ("top_logprobs", json!(2)),
        ("n_predict", json!(5)),
        ("n_probs", json!(5)),
        ("grammar", json!("root ::= \"a\"")),
        ("guided_anything", json!("x")),
        ("dry_multiplier", json!(0.8)),
        ("xtc_probability", json!(0.5)),
        ("mirostat", json!(2)),
        ("top_n_sigma", json!(1.5)),
        ("do_sample", json!(false)),
        ("logits_processors", json!(["x"])),
        ("reasoning_effort", json!("high")),
        ("samplers", json!(["top_k"])),
    ] {
        c(json!({ name: value }), name, "unsupported_parameter");
    }
    for (name, value) in [
        ("n", json!(0)),
        ("n", json!(129)),
        ("logprobs", json!(1001)),
        ("prompt_logprobs", json!(1001)),
        ("logprobs", json!(true)),
        ("temperature", json!(-0.1)),
        ("top_p", json!(1.5)),
        ("min_p", json!(-1)),
        ("top_k", json!(-2)),
        ("max_tokens", json!(-2)),
        ("temperature", json!(-1)),
        ("stop", json!([""])),
        ("stop", json!(vec!["x"; 65])),
        ("stream_options", json!({})),
        ("max_completion_tokens", json!(3)),
        ("prompt", json!([])),
        ("prompt", json!([[]])),
        ("prompt", json!(vec!["a"; 257])),
        ("prompt", json!([2, 320])),
    ] {
        let param = if name == "max_completion_tokens" { "max_tokens" } else { name };
        c(json!({ name: value }), param, "invalid_value");
    }
    for (name, value) in [
        ("prompt", json!({})),
        ("prompt", json!([1, "a"])),
        ("prompt", json!([-1])),
        ("max_tokens", json!(1.5)),
        ("n", json!(0.5)),
        ("logprobs", json!(1.5)),
        ("max_tokens", json!("many")),
        ("stop", json!(5)),
        ("stream", json!("yes")),
        ("seed", json!(0.5)),
        ("temperature", json!("hot")),
        ("echo", json!(1)),
    ] {
        c(json!({ name: value }), name, "invalid_type");
    }
    c(json!({ "max_tokens": 300 }), "prompt", "context_length_exceeded");
    c(json!({ "max_tokens": u64::MAX }), "prompt", "context_length_exceeded");
    c(json!({ "prompt": "a ".repeat(300) }), "prompt", "context_length_exceeded");
    refused("/v1/completions", json!({}), 400, "prompt", "invalid_value");
    refused("/v1/completions", with(greedy("a", 1), json!({ "model": "gpt-4" })), 404, "model", "model_not_found");
    let h = |more: Value, param: &str, kind: &str| {
        refused(
            "/v1/chat/completions",
            with(json!({ "messages": [{ "role": "user", "content": "a" }] }), more),
            400,
            param,
            kind,
        );
    };
    h(json!({ "messages": [] }), "messages", "invalid_value");
    h(json!({ "messages": [{ "role": "tool", "content": "x" }] }), "messages[0].role", "invalid_value");
    h(json!({ "messages": [{ "role": "user" }] }), "messages[0].content", "invalid_value");
    h(
        json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
        "messages[0].content",
        "unsupported_parameter",
    );
    h(json!({ "messages": [{ "content": "x" }] }), "messages[0]", "invalid_type");
    h(json!({ "messages": "hi" }), "messages", "invalid_type");
    h(json!({ "logprobs": 5 }), "logprobs", "invalid_value");
    h(json!({ "top_logprobs": 5 }), "top_logprobs", "invalid_value");
    h(json!({ "prompt_logprobs": 1 }), "prompt_logprobs", "unsupported_parameter");
    c(json!({ "prompt_logprobs": 1, "stream": true }), "prompt_logprobs", "unsupported_parameter");
    h(json!({ "echo": true }), "echo", "unsupported_parameter");
    h(json!({ "tools": [{ "type": "function" }] }), "tools", "unsupported_parameter");
    h(json!({ "max_tokens": 256 }), "messages", "context_length_exceeded");
    refused("/tokenize", json!({}), 400, "prompt", "invalid_value");
    refused("/detokenize", json!({ "tokens": [320] }), 400, "tokens", "invalid_value");
    // What changes nothing is no error.
    complete(
        &s,
        with(
            greedy("a", 2),
            json!({ "user": "me", "frequency_penalty": 0, "logit_bias": {}, "best_of": 1, "suffix": null,
        "response_format": { "type": "text" }, "metadata": { "a": 1 }, "whatever": [1], "n": null, "stop": null,
        "store": true, "service_tier": "auto", "seed": null, "mirostat": 0, "mirostat_tau": 5, "dry_multiplier": 0.0, "typical_p": 1,
        "guided_json": null, "guided_decoding_backend": "x", "cache_prompt": true, "top_n_sigma": -1, "max_completion_tokens": null,
        "stream_options": null, "logprobs": null, "echo": null, "temperature": null, "best_of": 1.0 }),
        ),
    );
    // Numbers may have a point if they are whole, and -1 tokens are as many as fit.
    let made = |more: Value| complete(&s, with(greedy("a", 2), with(json!({ "ignore_eos": true }), more)));
    let tokens = |answer: Value| answer["usage"]["completion_tokens"].as_u64().unwrap();
    assert_eq!(tokens(made(json!({ "max_tokens": 3.0, "n": 2.0, "top_k": 5.0, "seed": 1.0, "logprobs": 2.0 }))), 6);
    let room = 256 - made(json!({}))["usage"]["prompt_tokens"].as_u64().unwrap();
    assert_eq!(tokens(made(json!({ "max_tokens": -1 }))), room);
    assert_eq!(tokens(made(json!({ "max_tokens": null, "max_completion_tokens": -1.0 }))), room);
    assert_eq!(tokens(made(json!({ "max_tokens": null }))), 16);
    // The message names what was given.
    let (_, answer) = s.ask("POST", "/v1/completions", Some(with(greedy(json!([[]]), 1), json!({}))));
    assert!(answer["error"]["message"].as_str().unwrap().contains("give BOS ([2])"), "{answer}");

    // What never gets as far as a request.
    let bearer = format!("Bearer {}", s.token);
    let headers = [("Host", s.address.as_str()), ("Authorization", bearer.as_str())];
    let error = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let (status, _, body) = s.raw(method, path, headers, body);
        let error: Value = serde_json::from_slice(&body).unwrap();
        (status, error["error"].clone())
    };
    let (status, e) = error("POST", "/v1/completions", &headers, b"{\"prompt\": \"a\",\n \"max_tokens\": }");
    assert_eq!((status, &e["code"]), (400, &json!("invalid_json")));
    assert!(e["message"].as_str().unwrap().contains("line 2 column 16"), "{e}");
    assert_eq!(error("POST", "/v1/completions", &headers, b"{} {}").0, 400);
    assert_eq!(error("POST", "/v1/completions", &headers, b"").0, 400);
    assert_eq!(error("POST", "/v1/completions", &headers, b"[1]").0, 400);
    let large = json!({ "prompt": "x".repeat(5 << 20) }).to_string();
    let (status, e) = error("POST", "/v1/completions", &headers, large.as_bytes());
    assert!(status == 413 && e["message"].as_str().unwrap().contains("4 MiB"), "{e}");
    assert_eq!(error("GET", "/v1/completions", &headers, b"").0, 405);
    assert_eq!(error("GET", "/v1/nothing", &headers, b"").0, 404);
    for path in ["/v1/models", "/v1/completions", "/tokenizer_info"] {
        let (status, e) = error("GET", path, &headers[..1], b"");
        assert_eq!((status, &e["code"]), (401, &json!("invalid_api_key")), "{path}");
        assert_eq!(error("GET", path, &[headers[1], ("Host", "evil.example")], b"").0, 421);
        assert_eq!(error("GET", path, &[headers[0], headers[1], ("Origin", "http://evil.example")], b"").0, 403);
    }
}

fn generating(s: &Server) -> u64 {
    s.get("/server")["generating"].as_u64().unwrap()
}

/// So many texts are generated or wait, now or soon.
fn wait_for(s: &Server, what: impl Fn(u64) -> bool) {
    let started = Instant::now();
    while !what(generating(s)) {
        assert!(started.elapsed() < Duration::from_secs(60), "{} texts", generating(s));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A stream that goes on until it is read: its events are larger than what sockets hold.
fn endless() -> Value {
    json!({ "prompt": "hello", "max_tokens": 250, "ignore_eos": true, "n": 32, "logprobs": 320, "stream": true })
}

#[test]
fn who_does_not_read_holds_up_nobody_and_who_hangs_up_frees_the_place() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let sleeper = s.open("/v1/completions", &endless());
    wait_for(&s, |n| n == 32);
    let best = text(&complete(&s, greedy("hello", 8)));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(generating(&s), 32, "it waits for its reader");
    assert_eq!(text(&complete(&s, greedy("hello", 8))), best);
    drop(sleeper);
    wait_for(&s, |n| n == 0);
    // So does a client that waits for a whole answer: 64 texts at once, and some more that wait.
    let bodies: Vec<TcpStream> = (0..4)
        .map(|_| s.open("/v1/completions", &with(endless(), json!({ "stream": false, "n": 64, "logprobs": 200 }))))
        .collect();
    wait_for(&s, |n| n > 64);
    drop(bodies);
    wait_for(&s, |n| n == 0);
    assert_eq!(text(&complete(&s, greedy("hello", 8))), best);
}

#[test]
fn more_than_can_wait_is_refused() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let clients: Vec<TcpStream> =
        (0..8).map(|_| s.open("/v1/completions", &with(endless(), json!({ "n": 128, "logprobs": 20 })))).collect();
    wait_for(&s, |n| n > 1024 - 128);
    let (status, error) = s.ask("POST", "/v1/completions", Some(with(greedy("a", 1), json!({ "n": 128 }))));
    assert_eq!(
        (status, &error["error"]["code"], &error["error"]["type"]),
        (429, &json!("rate_limit_exceeded"), &json!("rate_limit_error"))
    );
    drop(clients);
    wait_for(&s, |n| n == 0);
    complete(&s, greedy("a", 1));
}

#[test]
fn runs_and_clicks_go_on_beside_it() {
    let w = workplace();
    let w = w.path();
    let s = Server::start(w, &[]);
    let grow = json!({ "prompt": "hello", "max_nodes": 2000, "parameters": { "max_depth": 200, "min_branch_threshold": 0.01,
        "max_branch_threshold": 0.05, "max_completed_paths": 100_000 } });
    let request = with(greedy("hello", 200), json!({ "ignore_eos": true, "logprobs": 5 }));
    let quiet = complete(&s, request.clone())["choices"].clone();
    let id = s.begin(grow);
    s.wait(&id, |s| s["nodes"].as_u64() > Some(20));
    // The text is ready while the run still goes on.
    assert_eq!(complete(&s, request)["choices"], quiet);
    let (status, made) = s.call("POST", &format!("/runs/{id}/expand"), Some(json!({ "nodes": [1], "steps": 3 })));
    assert_eq!(status, 200, "{made}");
    s.wait(&id, |s| s["state"] == "finished");
    drop(s);
    ok(w, &["verify", &format!("runs/{id}.run.jsonl"), "-m", "model"]);
}

#[test]
fn it_is_an_engine_for_other_machines_with_the_same_numbers() {
    let w = workplace();
    let w = w.path();
    let s = Server::start(w, &[]);
    let grow = |file: &str, model: &[&str]| {
        #[rustfmt::skip]
        let parameters = ["tree", "hello", "--max-depth=5", "--min-branch-threshold=0.01", "--max-branch-threshold=0.05", "-o", file];
        let done = logitree(w, &[&parameters, model].concat()).env("KEY", &s.token).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let file = std::fs::read_to_string(w.join(file)).unwrap();
        let steps = file.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).filter(|l| l["type"] == "expand");
        let numbers = |l: Value| {
            let top = l["top"].as_array().unwrap().iter().map(|t| (t["id"].clone(), t["logprob"].clone()));
            (l["node"].clone(), l["threshold"].clone(), top.collect::<Vec<_>>())
        };
        steps.map(numbers).collect::<Vec<_>>()
    };
    let own = grow("own.run.jsonl", &["-m", "model"]);
    let url = format!("http://{}/v1", s.address);
    let far = grow("far.run.jsonl", &["--engine", &url, "--api-key-env", "KEY", "--tokenizer", "model"]);
    assert!(own.len() > 50 && own == far, "{} steps, {} steps", own.len(), far.len());
    let refused = ["tree", "hello", "--hash-logits", "--engine", &url, "--api-key-env", "KEY", "--tokenizer", "model"];
    let refused = logitree(w, &refused).env("KEY", &s.token).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--hash-logits needs a model in this process"), "{said}");
    // So is a sampler's own tree, before a file that is there is replaced.
    let before = std::fs::read_to_string(w.join("own.run.jsonl")).unwrap();
    let refused =
        ["tree", "hello", "--strategy", "best-first", "--temperature", "0.7", "--engine", &url, "--api-key-env"];
    let refused = [&refused[..], &["KEY", "--tokenizer", "model", "-o", "own.run.jsonl", "--force"]].concat();
    let refused = logitree(w, &refused).env("KEY", &s.token).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("needs the logits of all tokens"), "{said}");
    assert_eq!(std::fs::read_to_string(w.join("own.run.jsonl")).unwrap(), before);

    // What may come next has the same numbers; a word is the sum of its tokens, because only a list is known.
    let both = |command: &[&str]| {
        [&["-m", "model"][..], &["--engine", &url, "--api-key-env", "KEY", "--tokenizer", "model"]].map(|model| {
            let args = [command, model, &["--format", "json"]].concat();
            let done = logitree(w, &args).env("KEY", &s.token).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            serde_json::from_slice::<Value>(&done.stdout).unwrap()
        })
    };
    let [here, there] = both(&["next", "hello", "--top", "3"]);
    let top = |v: &Value| v["prompts"][0]["top"].clone();
    assert!(top(&here).as_array().is_some_and(|top| top.len() == 3) && top(&here) == top(&there), "{here} {there}");
    let [here, there] = both(&["score", "hello big world", "--by", "word"]);
    let spans = |v: &Value| v["spans"].as_array().unwrap().clone();
    assert!(spans(&here).len() > 1 && spans(&here).len() == spans(&there).len());
    for (a, b) in spans(&here).iter().zip(&spans(&there)) {
        assert_eq!((&a["text"], &a["token_logprob"]), (&b["text"], &b["token_logprob"]));
        assert!(a["exact"] == true && b["exact"] == false && b["logprob"] == b["token_logprob"], "{b}");
    }

    // Its numbers do not vary, and a run's header says so if that was measured.
    let probe = |more: &[&str]| {
        let args =
            [&["engine", "probe", &url, "--api-key-env", "KEY", "--tokenizer", "model", "--wobble"], more].concat();
        let done = logitree(w, &args).env("KEY", &s.token).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let told: Value = serde_json::from_str(&probe(&["--format", "json"])).unwrap();
    let ways = told["wobble"].as_array().unwrap();
    assert_eq!(ways.len(), 3);
    assert!(ways.iter().all(|w| w["distributions"] == 24 && w["largest"] == 0.0 && w["flips"] == 0), "{ways:?}");
    assert!(probe(&[]).contains("in one batch       the same numbers"));
    grow("told.run.jsonl", &["--engine", &url, "--api-key-env", "KEY", "--tokenizer", "model", "--wobble"]);
    let file = std::fs::read_to_string(w.join("told.run.jsonl")).unwrap();
    assert!(file.lines().next().unwrap().contains("the same numbers alone, in a batch and cached"));
    fails(w, &["tree", "hello", "-m", "model", "--wobble"], 2);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_streams_with_a_word() {
    let w = workplace();
    let mut s = Server::start(w.path(), &[]);
    let mut reader = BufReader::new(s.open("/v1/completions", &endless()));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let started = Instant::now();
    std::process::Command::new("kill").args(["-INT", &s.child.id().to_string()]).status().unwrap();
    let last = reader.lines().map_while(Result::ok).filter(|l| l.starts_with("data: ")).last().unwrap();
    assert!(last.contains("\"error\"") && last.contains("going down"), "{last}");
    assert_eq!(s.child.wait().unwrap().code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn pages_of_other_sites_are_let_in_by_name_and_to_this_api_alone() {
    let w = workplace();
    let s = Server::start(w.path(), &["--allow-origin", "https://Example.org", "--allow-origin", "null"]);
    let host = ("Host", s.address.as_str());
    let bearer = format!("bearer {}", s.token);
    let key = ("Authorization", bearer.as_str());
    let has = |head: &str, line: &str| head.lines().any(|l| l.eq_ignore_ascii_case(line));
    for origin in ["https://example.org", "null"] {
        let from = ("Origin", origin);
        // A browser asks first, without the key.
        let asks = [
            host,
            from,
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization,content-type,x-stainless-os"),
        ];
        for path in ["/v1/completions", "/v1/chat/completions", "/v1/models", "/tokenize"] {
            let (status, head, _) = s.raw("OPTIONS", path, &asks, b"");
            assert_eq!(status, 204, "{path} {head}");
            assert!(has(&head, &format!("access-control-allow-origin: {origin}")), "{head}");
            assert!(has(&head, "access-control-allow-headers: authorization,content-type,x-stainless-os"), "{head}");
            assert!(has(&head, "access-control-allow-methods: GET, POST") && has(&head, "vary: Origin"), "{head}");
            assert!(!head.to_lowercase().contains("allow-credentials"), "{head}");
        }
        let (status, head, _) = s.raw("GET", "/v1/models", &[host, from, key], b"");
        assert!(status == 200 && has(&head, &format!("access-control-allow-origin: {origin}")), "{head}");
        // Its page can read what was wrong, too.
        let (status, head, _) = s.raw("GET", "/v1/models", &[host, from], b"");
        assert!(status == 401 && has(&head, &format!("access-control-allow-origin: {origin}")), "{head}");
        // Runs are for the server's own pages.
        assert_eq!(s.raw("OPTIONS", "/api/v1/runs", &asks, b"").0, 403);
        let (status, head, _) = s.raw("GET", "/api/v1/runs", &[host, from, key], b"");
        assert!(status == 403 && !head.to_lowercase().contains("access-control"), "{head}");
    }
    for origin in ["http://example.org", "https://example.org.evil", "https://evil.example"] {
        let (status, head, _) = s.raw("GET", "/v1/models", &[host, ("Origin", origin), key], b"");
        assert!(status == 403 && !head.to_lowercase().contains("access-control"), "{head}");
    }
    for wrong in ["*", "example.org", "https://example.org/app"] {
        let text = common::fails(w.path(), &["serve", "-m", "model", "--allow-origin", wrong], 2);
        assert!(text.contains("origin"), "{text}");
    }
}
