"""Both sides of "Coming from elsewhere" in docs/python.md: what another package says of some texts, and what logitree says.

    python benches/elsewhere.py transformers|minicons|llama_cpp|llama_cpp_float32|vllm MODEL

in an environment with logitree, numpy and that package (for llama_cpp_float32, which expands a copy of the file's weights
to float32 for llama.cpp alone, gguf too). MODEL is a GGUF file; for vllm a folder with safetensors, for the two others that
use transformers either. Prints the largest differences, in nats unless it says otherwise.
"""
import math
import os
import sys
import tempfile

import logitree as lt
import numpy as np

TEXTS = [
    "The capital of India is New Delhi, and it is a city.",
    "To be or not to be, that is the question.",
    "東京は日本の首都です。",
    "def main():\n    print('hello')\n",
]
PROMPT, PREFIX, REST = "The capital of India is", "The keys to the cabinet", "are on the table."


def torch_model(path):
    """The model and its tokenizer in transformers, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, file = (path, None) if os.path.isdir(path) else os.path.split(os.path.abspath(path))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=file)


def transformers(path):
    model, tokenizer = torch_model(path)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    out = model.generate(**inputs, max_new_tokens=20, do_sample=False, output_scores=True, return_dict_in_generate=True)
    theirs = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)[0].numpy()
    g = lt.load(path).logprobs(PROMPT, max_new_tokens=20)
    assert out.sequences[0, inputs.input_ids.shape[1] :].tolist() == g.token_ids.tolist(), "other tokens"
    print(f"{len(g)} tokens generated, the same; logprobs differ by {np.abs(theirs - g.logprobs).max():.6f}")


def minicons(path):
    from minicons import scorer

    model, tokenizer = torch_model(path)
    there, m = scorer.IncrementalLMScorer(model, "cpu", tokenizer=tokenizer), lt.load(path)
    worst = 0.0
    for text, scored in zip(TEXTS, there.token_score(TEXTS, rank=True, surprisal=True, base_two=True)):
        s, scored = m.score(text), scored[-len(m.score(text)) :]
        assert [rank for _, _, rank in scored] == s.ranks.tolist(), "other ranks"
        worst = max(worst, max(abs(bits - ours) for (_, bits, _), ours in zip(scored, s.surprisal)))
    print(f"ranks of all tokens the same; surprisals differ by {worst:.6f} bits")
    (theirs,) = there.conditional_score([PREFIX], [REST], reduction=lambda x: x.sum().item())
    print(f"conditional score differs by {abs(theirs - m.score(' ' + REST, after=PREFIX).total_logprob):.6f}")


def llama_cpp(path, theirs=None):
    from llama_cpp import Llama, __version__

    llm, m = Llama(theirs or path, logits_all=True, n_ctx=512, verbose=False), lt.load(path)
    likely, own, best, places = 0.0, 0.0, 0, 0
    for text in TEXTS:
        ids = llm.tokenize(text.encode(), add_bos=True)
        assert ids == m.prompt(text).tokens, "other tokens"
        llm.reset()
        llm.eval(ids)
        theirs = llm.scores[: len(ids)].astype(np.float64)
        theirs -= theirs.max(-1, keepdims=True)
        theirs -= np.log(np.exp(theirs).sum(-1, keepdims=True))
        session = m.session()
        ours = np.stack([d.logprobs for d in session.evaluate(session.push_all(None, ids), logits=True)])
        apart, at = np.abs(ours - theirs), np.arange(len(ids) - 1)
        likely, own = max(likely, apart[ours >= math.log(1e-4)].max()), max(own, apart[at, ids[1:]].max())
        best, places = best + int((ours.argmax(-1) == theirs.argmax(-1)).sum()), places + len(ids)
    print(f"llama_cpp {__version__}: token ids the same; the most likely token the same in {best} of {places} places")
    print(f"logprobs of the texts' tokens differ by {own:.6f}, of all tokens above 0.01 % by {likely:.6f}")


def llama_cpp_float32(path):
    from gguf import GGUFReader, GGUFValueType, GGUFWriter, dequantize

    reader = GGUFReader(path)
    with tempfile.NamedTemporaryFile(suffix=".gguf") as copy:
        writer = GGUFWriter(copy.name, reader.fields["general.architecture"].contents())
        for field in reader.fields.values():
            if not field.name.startswith("GGUF.") and field.name not in ("general.architecture", "general.file_type"):
                kind, of = field.types[0], field.types[-1]
                writer.add_key_value(field.name, field.contents(), kind, of if kind == GGUFValueType.ARRAY else None)
        for t in reader.tensors:
            writer.add_tensor(t.name, np.ascontiguousarray(dequantize(t.data, t.tensor_type).astype(np.float32)))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        llama_cpp(path, copy.name)


def vllm(path):
    from vllm import LLM, SamplingParams, __version__

    m = lt.load(path, arithmetic="f32")
    llm = LLM(path, dtype="float32", max_model_len=512, enforce_eager=True)
    prompts = [{"prompt_token_ids": m.prompt(t).tokens} for t in TEXTS]
    worst = listed = 0.0
    for text, out in zip(TEXTS, llm.generate(prompts, SamplingParams(max_tokens=1, prompt_logprobs=5))):
        s = m.score(text, top=5)
        for step, place in zip(s, out.prompt_logprobs[-len(s) :]):
            worst = max(worst, abs(place[step.token.id].logprob - step.logprob))
            assert place[step.token.id].rank == step.token.rank, "other ranks"
            listed = max(listed, max(abs(place[id].logprob - p) for id, p in zip(step.top_ids, step.top_logprobs)))
    print(f"vllm {__version__}: ranks of all tokens the same; their logprobs differ by {worst:.6f}, the five likeliest by {listed:.6f}")


if __name__ == "__main__":
    sides = {f.__name__: f for f in (transformers, minicons, llama_cpp, llama_cpp_float32, vllm)}
    if len(sys.argv) != 3 or sys.argv[1] not in sides:
        sys.exit(__doc__)
    sides[sys.argv[1]](sys.argv[2])
