"""What clients make of the OpenAI-compatible server: clients.py PROGRAM.

* The `openai` package: completions and chat, plain and streamed, errors.
* lm-evaluation-harness: each sample's loglikelihood against `logitree score`, and texts against the float32 reference.
"""
import json, os, pathlib, subprocess, sys, tempfile

import openai

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "../../../../fixtures/gguf/gemma-3-270m-q4_k_m.json"
MODEL = "gemma-3-270m"
# The default model's file has no chat template.
CHAT = "smollm2-135m"
CHOICES = [
    {"context": "The capital of India is", "choices": [" New Delhi", " Mumbai", " Paris, of course"], "answer": 0},
    {"context": "Roses are red, violets are", "choices": [" blue", " green and yellow"], "answer": 0},
    {"context": "2 + 2 =", "choices": [" 4", " 5", " four"], "answer": 0},
    {"context": "東京は", "choices": ["日本の首都です。", "フランスの首都です。"], "answer": 0},
]


def close(a, b, what, within=1e-3):
    assert abs(a - b) <= within, f"{what}: {a} instead of {b}"


class Server:
    def __init__(self, program, folder, model):
        self.program = program
        command = [program, "serve", "-m", model, "--data-dir", folder / model, "--port", "7960"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url, self.key = self.process.stdout.readline().strip().split("/?token=")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def client(self, key=None):
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key or self.key, max_retries=0)

    def score(self, text):
        """Every token of the text with its logprob."""
        command = [self.program, "score", "-m", MODEL, "--top", "1", "--format", "json", "-"]
        answer = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        return json.loads(answer.stdout)["tokens"]


def package(server):
    client = server.client()
    assert [m.id for m in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).object == "model"

    text = "Roses are red, violets are blue."
    answer = client.completions.create(model=MODEL, prompt=text, echo=True, max_tokens=4, temperature=0, logprobs=3)
    logprobs = answer.choices[0].logprobs
    steps = server.score(text)
    assert logprobs.tokens[1 : len(steps) + 1] == [s["text"] for s in steps]
    assert logprobs.token_logprobs[0] is None
    for ours, step in zip(logprobs.token_logprobs[1:], steps):
        close(ours, step["logprob"], step["text"], 1e-9)
    assert answer.usage.completion_tokens == 4 and answer.choices[0].text.startswith(text)

    ask = dict(model=MODEL, prompt=["The capital of India is", "Once upon a time"], max_tokens=20, seed=7, n=2, stop=["\n\n"])
    whole = client.completions.create(**ask)
    texts = [""] * 4
    for chunk in client.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
        usage = chunk.usage
    assert texts == [c.text for c in whole.choices] and usage == whole.usage, (texts, whole)

    for error, ask in [
        (openai.NotFoundError, dict(model="gpt-4", prompt="a")),
        (openai.BadRequestError, dict(model=MODEL, prompt="a", frequency_penalty=1)),
        (openai.BadRequestError, dict(model=MODEL, prompt="a " * 40000)),
    ]:
        try:
            client.completions.create(**ask)
        except error as e:
            assert e.code and e.param and len(e.message) > 20, e
        else:
            raise AssertionError(f"{ask} was taken")
    try:
        server.client("wrong").models.list()
    except openai.AuthenticationError as e:
        assert e.code == "invalid_api_key"
    else:
        raise AssertionError("anybody is let in")
    try:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])
    except openai.BadRequestError as e:
        assert e.param == "messages" and "no chat template" in e.message, e
    else:
        raise AssertionError("a conversation without a template")


def chat(server):
    client = server.client()
    messages = [{"role": "system", "content": "You are a poet."}, {"role": "user", "content": "Say something about the sea. 🙂"}]
    ask = dict(model=CHAT, messages=messages, max_completion_tokens=20, logprobs=True, top_logprobs=5)
    for more in [dict(temperature=0), dict(seed=1), dict(seed=2, temperature=0.7, top_p=0.9)]:
        whole = client.chat.completions.create(**ask, **more).choices[0]
        said, tokens, finish = "", [], None
        for chunk in client.chat.completions.create(**ask, **more, stream=True):
            said += chunk.choices[0].delta.content or ""
            tokens += chunk.choices[0].logprobs.content if chunk.choices[0].logprobs else []
            finish = chunk.choices[0].finish_reason or finish
        assert len(said) > 20 and said == whole.message.content and finish == whole.finish_reason, (said, whole)
        assert tokens == whole.logprobs.content and all(len(t.top_logprobs) == 5 for t in tokens)
    short = client.chat.completions.create(model=CHAT, messages=messages, temperature=0, stop="ea")
    assert short.choices[0].finish_reason == "stop" and "ea" not in short.choices[0].message.content
    print("openai", openai.__version__, "works")


def harness(server, folder):
    golden = json.loads(GOLDEN.read_text())["prompts"]
    lines = lambda objects: "".join(json.dumps(o) + "\n" for o in objects)
    (folder / "rolling.jsonl").write_text(lines({"text": p["prompt"]} for p in golden))
    (folder / "continuation.jsonl").write_text(lines(CHOICES))
    arguments = {
        "model": MODEL,
        "base_url": server.url + "/v1/completions",
        "tokenizer_backend": "remote",
        "auth_token": server.key,
        "num_concurrent": 8,
    }
    command = [
        sys.executable, "-m", "lm_eval", "--model", "local-completions",
        "--model_args", ",".join(f"{k}={v}" for k, v in arguments.items()),
        "--tasks", "logitree_rolling,logitree_continuation", "--include_path", HERE / "tasks",
        # The remote tokenizer puts no BOS in front of a context: this does.
        "--system_instruction", "<bos>", "--log_samples", "--output_path", "out",
    ]
    # Nothing may be fetched: the data is here.
    environment = dict(os.environ, OPENAI_API_KEY=server.key, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=str(folder / "hf"))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    def samples(task):
        (file,) = (folder / "out").rglob(f"samples_{task}_*.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()]

    worst = 0
    rolling = samples("logitree_rolling")
    assert len(rolling) == len(golden)
    for sample in rolling:
        text = sample["doc"]["text"]
        found = float(sample["resps"][0][0])
        close(found, sum(s["logprob"] for s in server.score(text)), text)
        (reference,) = (p for p in golden if p["prompt"] == text)
        expected = sum(p["next_logprob"] for p in reference["positions"] if p["next_logprob"] is not None)
        worst = max(worst, abs(found - expected))
        close(found, expected, f"{text} by transformers")
    compared = 0
    for sample in samples("logitree_continuation"):
        doc = sample["doc"]
        prompt = server.score(doc["context"])
        for choice, (response,) in zip(doc["choices"], sample["resps"], strict=True):
            steps = server.score(doc["context"] + choice)[len(prompt) :]
            close(float(response[0]), sum(s["logprob"] for s in steps), doc["context"] + choice)
            assert (str(response[1]) == "True") == all(s["rank"] == 1 for s in steps), (choice, response)
            compared += 1
    assert compared == sum(len(c["choices"]) for c in CHOICES)
    print(f"lm_eval works: {len(rolling)} texts, {compared} continuations; off from transformers by at most {worst:.1e} nats a text")


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with Server(sys.argv[1], folder, CHAT) as server:
            chat(server)
        with Server(sys.argv[1], folder, MODEL) as server:
            package(server)
            harness(server, folder)


main()
