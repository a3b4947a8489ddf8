// `retrap exec` from the built bundle beside QEMU's TCG with the same kernel, initial RAM disk and job, each from a machine that was saved
// while it waited: `true`, also by a process that stays, a line there and back, 300 forks, 200 MB of stdout, and `make` of C files in a folder of
// the host's that both have by 9P. First small files in such a folder. Preparing is each one's boot until it is saved; retrap's
// has an empty cache of machines. More is better for retrap.
// npm run -s bench -- exec
//
// QEMU does not save a machine whose guest has a folder mounted, so that its guest mounts the root in each run, and ours does not.
// `make` and `gcc` are the host's own: guests find no others.
// @programs: qemu-system-x86_64
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheDirectory } from '@retrap/debian'
import { hasProgram } from '@retrap/tooling/skip'
import { QemuGuest } from './exec/qemu.ts'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const MEGABYTES = 200
const LINES = 50
const FORKS = 300
const C_FILES = 20
const SMALL_FILES = 500

/** Runs a program in a guest. @param heard - gets its output, and what types a line; an empty one ends the input @returns milliseconds */
type Exec = (
  program: readonly string[],
  heard: (bytes: Buffer, type: (line: string) => void) => void,
) => Promise<number>

async function ours(
  program: readonly string[],
  heard: (bytes: Buffer, type: (line: string) => void) => void,
  { env = process.env, folder }: { readonly env?: NodeJS.ProcessEnv; readonly folder?: string } = {},
): Promise<number> {
  const begin = performance.now()
  const args = [MAIN, 'exec', ...(folder === undefined ? [] : ['--share', `${folder}:rw`]), '--', ...program]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'], env })
  child.stdout.on('data', (bytes: Buffer) =>
    heard(bytes, (line) => (line === '' ? child.stdin.end() : child.stdin.write(line))),
  )
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code !== 0) throw new Error(`${program.join(' ')} ended with ${String(code)}`)
  return performance.now() - begin
}

const median = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[all.length >> 1] ?? NaN

/** @returns milliseconds of a line there and back */
async function roundTrip(exec: Exec): Promise<number> {
  const trips: number[] = []
  let sent = NaN
  await exec(['/bin/sh', '-c', 'echo; exec cat'], (_, type) => {
    if (!Number.isNaN(sent)) trips.push(performance.now() - sent)
    sent = performance.now()
    type(trips.length < LINES ? 'a line\n' : '')
  })
  return median(trips)
}

/** @returns megabytes a second of stdout */
async function throughput(exec: Exec): Promise<number> {
  let [first, last, bytes] = [NaN, NaN, 0]
  await exec(['/usr/bin/head', '-c', `${MEGABYTES}M`, '/dev/zero'], (part) => {
    last = performance.now()
    if (bytes === 0) first = last
    bytes += part.length
  })
  return bytes / 1000 / (last - first)
}

/** @returns milliseconds of a first run, whose cache folder has packages and no machine */
async function preparation(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-bench-exec-'))
  try {
    mkdirSync(join(folder, 'retrap'))
    for (const name of readdirSync(cacheDirectory()))
      if (name !== 'exec') symlinkSync(join(cacheDirectory(), name), join(folder, 'retrap', name))
    return await ours(['/bin/true'], () => {}, { env: { ...process.env, XDG_CACHE_HOME: folder } })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Fills a folder with C files, and has `make` compile them in a guest. @returns milliseconds */
async function compile(folder: string, exec: Exec): Promise<number> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (let i = 0; i < C_FILES; i++)
    writeFileSync(join(folder, `f${i}.c`), `#include "all.h"\nint f${i}(int x) { return sum(x, ${i}); }\n`)
  writeFileSync(join(folder, 'all.h'), 'static inline int sum(int a, int b) { return a + b; }\n')
  writeFileSync(
    join(folder, 'Makefile'),
    'all: $(patsubst %.c,%.o,$(wildcard *.c))\n%.o: %.c all.h\n\tgcc -c -o $@ $<\n',
  )
  const time = await exec(['/usr/bin/make', '-s', '-C', folder], () => {})
  for (let i = 0; i < C_FILES; i++)
    if (!existsSync(join(folder, `f${i}.o`))) throw new Error(`make has not made f${i}.o`)
  return time
}

/** Prints what small files take that are written, packed, compared and removed, in a folder of the host and in the guest's memory. */
async function smallFiles(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-bench-small-'))
  const script = `cd "$0"; mkdir many; a=$(date +%s%N); i=0
while [ $i -lt ${SMALL_FILES} ]; do echo "text $i" >many/$i; i=$((i + 1)); done
tar cf all.tar many; tar df all.tar; rm -r many all.tar; echo $((($(date +%s%N) - a) / 1000000))`
  const time = async (place: string): Promise<number> => {
    let text = ''
    await ours(['/bin/sh', '-c', script, place], (bytes) => (text += bytes.toString()), { folder })
    return Number(text)
  }
  try {
    const [shared, own] = [await time(folder), await time('/tmp')]
    console.log(`${SMALL_FILES} small files: share ${shared} ms, /tmp ${own} ms, ratio ${(shared / own).toFixed(2)}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
  let entries = 0
  const took = await ours(['/usr/bin/find', '/usr'], (bytes) => {
    for (const byte of bytes) if (byte === 10) entries++
  })
  console.log(`find /usr: ${entries} entries, ${((took / entries) * 1000).toFixed(0)} us each`)
}

const row = (name: string, unit: string, own: number, peer: number, ratio: number): void =>
  console.log(
    `${name}: retrap ${own.toPrecision(3)} ${unit}, QEMU ${peer.toPrecision(3)} ${unit}, ratio ${ratio.toFixed(2)}`,
  )

/** @param args - how many times `true` is run (7) */
export async function run([rounds = '7']: readonly string[]): Promise<void> {
  await smallFiles()
  if (!hasProgram('qemu-system-x86_64')) return console.log('SKIPPED: there is no qemu-system-x86_64')
  const prepared = await preparation()
  const begin = performance.now()
  const qemu = await QemuGuest.save()
  const preparedPeer = performance.now() - begin
  row('preparing', 'ms', prepared, preparedPeer, preparedPeer / prepared)
  const theirs: Exec = (program, heard) => qemu.exec(program, heard)
  const staying: Exec = (program, heard) => ours(program, heard, { env: { ...process.env, RETRAP_STAY: '1m' } })
  try {
    await staying(['/bin/true'], () => {})
    const starts: number[][] = [[], [], []]
    for (let round = 0; round < Number(rounds); round++)
      for (const [i, exec] of [ours, theirs, staying].entries()) starts[i]!.push(await exec(['/bin/true'], () => {}))
    const [start = NaN, startOfPeer = NaN, stayed = NaN] = starts.map(median)
    row(`start (median of ${rounds})`, 'ms', start, startOfPeer, startOfPeer / start)
    row(`start by --stay (median of ${rounds})`, 'ms', stayed, startOfPeer, startOfPeer / stayed)
    const [trip, tripOfPeer] = [await roundTrip(ours), await roundTrip(theirs)]
    row(`round trip (median of ${LINES})`, 'ms', trip, tripOfPeer, tripOfPeer / trip)
    const forks = ['/bin/sh', '-c', `i=0; while [ $i -lt ${FORKS} ]; do /bin/true; i=$((i + 1)); done`]
    const [forked, forkedPeer] = [await ours(forks, () => {}), await theirs(forks, () => {})]
    row(`${FORKS} forks`, 'ms', forked, forkedPeer, forkedPeer / forked)
    const [rate, rateOfPeer] = [await throughput(ours), await throughput(theirs)]
    row(`stdout (${MEGABYTES} MiB)`, 'MB/s', rate, rateOfPeer, rate / rateOfPeer)
    if (!existsSync('/usr/bin/make') || !existsSync('/usr/bin/gcc'))
      return console.log('SKIPPED: make, which needs /usr/bin/make and gcc')
    const oursShared: Exec = (program, heard) => ours(program, heard, { folder: qemu.shared })
    const [made, madePeer] = [await compile(qemu.shared, oursShared), await compile(qemu.shared, theirs)]
    row(`make of ${C_FILES} C files`, 'ms', made, madePeer, madePeer / made)
  } finally {
    qemu.close()
  }
}
