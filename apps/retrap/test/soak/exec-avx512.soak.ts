// Debian's programs with code for AVX-512, APX and AMX, by `retrap exec` on processors that have it, and the programs of the guide
// avx512.md. What they print was seen on a Xeon (Cascade Lake), whose AVX-512 code gives the same bits; gdb goes back to the guide's fault.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RootRow, rootSoak } from '../support/root-soak.ts'
import { SOURCE_START } from '../support/processes.ts'

const GUIDE = join(import.meta.dirname, '../../../docs/pages/guides/avx512.md')

/** Loops of NumPy with AVX-512 code of their own, and products by OpenBLAS, beside sums of whole numbers. */
const NUMPY = `python3 -c "
import numpy as np, hashlib, ctypes
r = np.random.RandomState(5); h = hashlib.sha256()
for t in 'f4', 'f8':
  x = (r.standard_normal(5000) * 8).astype(t); a = np.abs(x)
  for f in 'exp exp2 expm1 sin cos tan arctan sinh tanh cbrt arcsinh'.split(): h.update(getattr(np, f)(x))
  for f in 'log log2 log1p log10 sqrt'.split(): h.update(getattr(np, f)(a))
  h.update(np.sort(x)); h.update(np.power(a, x / 4)); assert (np.diff(np.sort(x)) >= 0).all()
  for n, k, m in (1, 9, 3), (33, 70, 47), (150, 200, 101):
    a, b = r.randint(-99, 99, (n, k)), r.randint(-99, 99, (k, m))
    assert (a.astype(t) @ b.astype(t) == a @ b).all()
for t in 'i2 u2 i4 u4 i8 u8'.split():
  x = r.randint(0, 30000, 5000).astype(t); h.update(np.sort(x)); h.update(x * x + x // 3)
print(ctypes.CDLL('libblas.so.3').openblas_get_config and h.hexdigest()[:16])
"`
/** A film by x264, whose assembly and whose C differ in a sum of numbers. */
const X264 = `python3 -c "
from random import seed, randrange as r
seed(4); t = [r(256) for _ in range(4096)]
for n in range(10):
  for W, H, s in (176, 144, 0), (88, 72, 1), (88, 72, 2):
    open('/tmp/clip.yuv', 'ab').write(bytes((t[(y + n * 2) % 64 * 64 + (x + n * 3) % 64] + (x * y >> 5) + s * 40) & 255 for y in range(H) for x in range(W)))
" && x264 --threads 1 --demuxer raw --input-res 176x144 --crf 24 --me umh --subme 9 -o /tmp/film /tmp/clip.yuv 2>/tmp/log &&
grep -o "AVX512$" /tmp/log && md5sum </tmp/film`
const LIBRARIES = '/usr/lib/x86_64-linux-gnu'

const on = (cpu: string): readonly string[] => ['--cpu', cpu, '--memory', '1G']
const blas = ['--env', `LD_LIBRARY_PATH=${LIBRARIES}/openblas-pthread`, '--env', 'OPENBLAS_NUM_THREADS=1']
const RECORDING = '/root/sum.rec'

/** Asks gdb for the last write of the element that is wrong, and for the mask of that store. */
async function goBack(root: string): Promise<string | undefined> {
  const replay = ['replay', join(root, RECORDING), '--goto', 'end', '--', '--gdb', 'tcp:0']
  const child = spawn(process.execPath, [...SOURCE_START, ...replay], { stdio: ['ignore', 'ignore', 'pipe'] })
  try {
    let said = ''
    while (!/remote \S+'/.test(said)) said += String((await once(child.stderr, 'data'))[0])
    const words = [/target remote [^']*/.exec(said)![0], 'hbreak abort', 'reverse-continue', 'watch y[37]']
    const asked = [...words, 'reverse-continue', 'x/i $pc', 'p $k1', 'p rest'].flatMap((word) => ['-ex', word])
    const told = execFileSync('gdb', ['-batch', '-nx', '-l', '600', ...asked, join(root, 'root/sum')], {
      encoding: 'utf8',
    })
    const right = /Old value = 137\nNew value = 100\n[^]*vmovups %zmm0,.*\{%k1\}\n\$1 = 63\n\$2 = 5\n/
    return right.test(told) ? undefined : `gdb: ${told}`
  } finally {
    child.kill()
  }
}

const FOR_ALL: readonly RootRow[] = ['skylake-server', 'zen5', 'diamond-rapids'].flatMap((cpu) => [
  { name: `NumPy, ${cpu}`, options: [...on(cpu), ...blas], run: NUMPY, stdout: /^2ede8e054dc4591c\n$/ },
  { name: `x264, ${cpu}`, options: on(cpu), run: X264, stdout: /^AVX512\nc80c44829230f98a8984e6e9e7d251f6 / },
])

const ROWS: readonly RootRow[] = [
  { name: 'APX', options: on('diamond-rapids'), run: ['/root/apx'], stdout: /^0 lost\n0 lost\n$/ },
  { name: 'AMX', options: on('sapphire-rapids'), run: ['/root/amx'], stdout: /^0 wrong\n$/ },
  ...['core2', 'skylake-server,-avx512f'].map((cpu): RootRow => ({
    name: `fault, ${cpu}`,
    options: on(cpu),
    run: ['/root/sum'],
    stdout: /^all right\n$/,
  })),
  {
    name: 'fault',
    options: on('skylake-server'),
    record: RECORDING,
    run: ['/root/sum'],
    stdout: /^$/,
    code: 134,
    check: goBack,
  },
  ...FOR_ALL,
]

export const soak = rootSoak('exec-avx512', ['python3-numpy', 'libopenblas0-pthread', 'x264'], ROWS, (root) => {
  for (const [, name = '', text = ''] of readFileSync(GUIDE, 'utf8').matchAll(/```c\n\/\/ (\w+)\.c.*\n([^]*?)```/g)) {
    const path = join(root, 'root', name)
    writeFileSync(`${path}.c`, text)
    execFileSync('gcc', ['-g', '-O1', '-fno-builtin', '-static', '-o', path, `${path}.c`])
  }
})
