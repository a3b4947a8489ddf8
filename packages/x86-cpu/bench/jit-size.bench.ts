// Time per instruction against the size of hot code, with and without compiled code, on a bare 32-bit processor.
//
// The guest calls functions of 256 bytes one after the other, all in turn, again and again; each goes round a loop of its
// own. Passes in which code is compiled at first are not measured; what compiling has cost is printed beside. The threshold
// is low, so that all code is hot after few passes: what is measured is what happens when compiled code, decoded code or
// the TLB have no room for it.
//
//     npm run -s bench -- jit-size [--threshold N] [--code-bytes N] [--sizes KIB,KIB…]
import { parseArgs } from 'node:util'
import { MachineMemory } from '@retrap/memory'
import { FlatHost, Vcpu, X86Engine } from '@retrap/x86-cpu'
import type { JitCounts, JitOptions } from '@retrap/x86-cpu'
import { Assembler, eax, ebx, ecx, edx, esi } from '@retrap/x86-assembler'
import { CODE, initialState } from '../test/support/bare-cpu.ts'

const MIB = 1 << 20
const FUNCTION_BYTES = 256
const FUNCTIONS_AT = 4 * MIB
const RAM_BYTES = 40 * MIB
/** Rounds of the loop in each function, and blocks of five instructions in it. */
const ROUNDS = 8
const BLOCKS = 9
const MARKER = 0x1122_3344
const TURN = 20_000_000
/** Instructions of a pass over one function, about. */
const PER_FUNCTION = ROUNDS * (5 * BLOCKS + 2) + 6
/** Instructions measured at least. */
const MEASURED = 100_000_000
/** Measurements: the first ones contain the host's optimising of compiled code. */
const WINDOWS = 12

/** A function: a loop of arithmetic, with a marker where its own constants go. */
function template(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: 0 })
  const loop = asm.label('loop')
  asm.mov(ecx, ROUNDS).bind(loop)
  for (let i = 0; i < BLOCKS; i++) asm.add(eax, MARKER).xor(ebx, eax).rol(eax, 5).add(edx, ebx).xor(eax, edx)
  asm.dec(ecx).jne(loop).ret()
  const { bytes } = asm.assemble()
  const padded = new Uint8Array(FUNCTION_BYTES).fill(0xcc)
  padded.set(bytes)
  return padded
}

/** Code of a size: copies of the template, each with constants of its own. */
function functions(sizeBytes: number): Uint8Array {
  const pattern = template()
  const marks: number[] = []
  const view = new DataView(pattern.buffer)
  for (let at = 0; at + 4 <= pattern.length; at++) if (view.getInt32(at, true) === MARKER) marks.push(at)
  const code = new Uint8Array(sizeBytes)
  const all = new DataView(code.buffer)
  for (let at = 0; at < sizeBytes; at += FUNCTION_BYTES) {
    code.set(pattern, at)
    for (const mark of marks) all.setUint32(at + mark, Math.imul(at + mark, 0x9e37_79b1), true)
  }
  return code
}

interface Result {
  /** Nanoseconds an instruction, of one measurement after another. */
  readonly windows: readonly number[]
  readonly residentBytes: number
  readonly counts: JitCounts | undefined
  readonly flushes: number
}

function run(sizeBytes: number, warmPasses: number, jit: JitOptions | false): Result {
  const memory = MachineMemory.create({ bytes: RAM_BYTES + 128 * MIB })
  const engine = new X86Engine(memory, { jit })
  const host = new FlatHost(memory, RAM_BYTES)
  const vcpu = new Vcpu(engine, host, { tscHz: 1e9, crystalHz: 1e9 })
  host.attach(vcpu)
  vcpu.reset(false)
  const asm = new Assembler({ bits: 32, address: CODE })
  const [pass, next] = [asm.label('pass'), asm.label('next')]
  asm.bind(pass).mov(esi, FUNCTIONS_AT).bind(next)
  asm
    .call(esi)
    .add(esi, FUNCTION_BYTES)
    .cmp(esi, FUNCTIONS_AT + sizeBytes)
  asm.jne(next).jmp(pass)
  host.load(CODE, asm.assemble().bytes)
  host.load(FUNCTIONS_AT, functions(sizeBytes))
  vcpu.load(initialState('protected'))
  const passInstructions = (sizeBytes / FUNCTION_BYTES) * PER_FUNCTION
  const execute = (count: number): number => {
    const began = process.cpuUsage()
    const first = vcpu.retired
    while (vcpu.retired - first < count) {
      const { reason } = vcpu.run(TURN)
      if (reason !== 'budget') throw new Error(`the guest ended with ${reason}`)
    }
    const { user, system } = process.cpuUsage(began)
    return ((user + system) * 1000) / (vcpu.retired - first)
  }
  execute(Math.max(warmPasses * passInstructions, MEASURED))
  const windows = Array.from({ length: WINDOWS }, () => execute(Math.max(2 * passInstructions, MEASURED)))
  const residentBytes = process.memoryUsage.rss()
  return { windows, residentBytes, counts: engine.jitCounts, flushes: engine.codeCache.flushes }
}

/** Measures the sizes in turn. */
function main(): void {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      threshold: { type: 'string', default: '200' },
      'code-bytes': { type: 'string' },
      sizes: { type: 'string', default: '10,100,1024,2048,4096,8192,16384,32768' },
    },
  })
  const threshold = Number(values.threshold)
  const codeBytes = values['code-bytes']
  const jit = { threshold, ...(codeBytes !== undefined && { codeBytes: Number(codeBytes) }) }
  const warmPasses = Math.ceil((2 * threshold) / ROUNDS)
  let worst = Infinity
  for (const kib of values.sizes.split(',').map(Number)) {
    const sizeBytes = Math.ceil((kib * 1024) / FUNCTION_BYTES) * FUNCTION_BYTES
    const off = run(sizeBytes, 1, false)
    const on = run(sizeBytes, warmPasses, jit)
    const [interpreted, compiled] = [off, on].map(({ windows }) => Math.min(...windows)) as [number, number]
    const ratio = interpreted / compiled
    worst = Math.min(worst, ratio)
    const { units = 0, live = 0, liveBytes = 0, evictions = 0, milliseconds = 0 } = on.counts ?? {}
    console.log(
      [
        `${kib} KiB`.padStart(9),
        `off ${interpreted.toFixed(2)} ns`,
        `on ${compiled.toFixed(2)} ns (at first ${on.windows[0]!.toFixed(2)})`,
        `${ratio.toFixed(2)} x`,
        `${units} units (${live} live, ${(liveBytes / MIB).toFixed(1)} MiB, ${evictions} evicted)`,
        `compiled in ${milliseconds.toFixed(0)} ms`,
        `${(on.residentBytes / MIB).toFixed(0)} MiB resident (off ${(off.residentBytes / MIB).toFixed(0)})`,
        `decoded code dropped ${on.flushes} times`,
      ].join('  '),
    )
  }
  console.log(`jit-size: ${worst.toFixed(2)} x --jit off (time per instruction, the worst of all sizes)`)
}

main()
