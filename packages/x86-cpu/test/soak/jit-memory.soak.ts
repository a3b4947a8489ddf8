// A guest that loads code, runs it until it is compiled, and overwrites it, for as long as it is let: what the host has for
// it must not grow: resident memory is within 5 % of what it was after a fifth of the time so far. Steps that take ten
// minutes compare minute ten with minute two.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { MachineMemory } from '@retrap/memory'
import { Assembler, dword, eax, ebx, ecx, edi, edx, esi } from '@retrap/x86-assembler'
import type { Soak } from '@retrap/tooling/soak'
import { FlatHost, Vcpu, X86Engine } from '../../src/index.ts'
import { CODE, initialState } from '../support/bare-cpu.ts'

const MIB = 1 << 20
const PAGE = 0x1000
/** Pages that code is loaded into: more than the compiler remembers to have been written. */
const PAGES = 6000
const PAGES_AT = 2 * MIB
const RAM_BYTES = PAGES_AT + PAGES * PAGE
const TEMPLATE_AT = 0x8000
const TEMPLATE_BYTES = 256
/** Offset of the constant: after the opcode of ADD EAX. */
const CONSTANT = 1
/** Rounds of the loaded loop: often enough that it is compiled. */
const ROUNDS = 20_000
const JIT = { threshold: 200, fewestInstructions: 1, codeBytes: 256 << 10 }
/** Bytes of the module of the largest unit, about. */
const LARGEST_BYTES = 16 << 10
const STEP_INSTRUCTIONS = 2_000_000
/**
 * The first step whose memory counts: by then, code has been loaded into each of the pages. What is kept for a page grows until
 * then (its slot table, its history of writes), and not after it.
 */
const FIRST = 1400
const CHECKED_EVERY = 40
const TOLERANCE = 1.05

const mib = (bytes: number): string => (bytes / MIB).toFixed(0)

/** Loads the template into one page after another, with a constant of its own each time, and calls it. */
function guest(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: CODE })
  const [again, next] = [asm.label('again'), asm.label('next')]
  asm.bind(again).mov(edx, PAGES_AT).bind(next)
  asm
    .mov(esi, TEMPLATE_AT)
    .mov(edi, edx)
    .mov(ecx, TEMPLATE_BYTES / 4)
    .cld()
    .rep()
    .movsd()
    .add(ebx, 0x111)
    .mov(dword(edx, { disp: CONSTANT }), ebx)
  asm.mov(ecx, ROUNDS).call(edx)
  asm.add(edx, PAGE).cmp(edx, RAM_BYTES).jb(next).jmp(again)
  return asm.assemble().bytes
}

/** A loop, all of whose rounds but the last go back. */
function template(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: 0 })
  const loop = asm.label('loop')
  asm.bind(loop)
  for (let i = 0; i < 10; i++) asm.add(eax, 0x1234 + i).rol(eax, 3)
  asm.dec(ecx).jne(loop).ret()
  return asm.assemble().bytes
}

interface World {
  readonly vcpu: Vcpu
  readonly engine: X86Engine
  readonly samples: Sample[]
}

/** Resident memory at a time. */
interface Sample {
  readonly step: number
  /** Since the first step. */
  readonly minutes: number
  readonly bytes: number
}

let world: World | undefined
let collect: () => void = () => undefined
let began = 0

function newWorld(): World {
  setFlagsFromString('--expose-gc')
  collect = runInNewContext('gc') as () => void
  const memory = MachineMemory.create({ bytes: RAM_BYTES + 32 * MIB })
  const engine = new X86Engine(memory, { jit: JIT, codeCacheBytes: 16 * MIB })
  const host = new FlatHost(memory, RAM_BYTES)
  const vcpu = new Vcpu(engine, host, { tscHz: 1e9, crystalHz: 1e9 })
  host.attach(vcpu)
  vcpu.reset(false)
  // Pages of the host that are touched late would count as growth.
  host.load(0, new Uint8Array(RAM_BYTES))
  host.load(CODE, guest())
  host.load(TEMPLATE_AT, template())
  vcpu.load(initialState('protected'))
  return { vcpu, engine, samples: [] }
}

export const soak: Soak = {
  name: 'jit-memory',
  // The last fifth of the steps is compared with those from the first one that counts on.
  count: 7500,
  step(_rng, index) {
    if (world === undefined) {
      world = newWorld()
      began = performance.now()
    }
    const { vcpu, engine, samples } = world
    const first = vcpu.retired
    while (vcpu.retired - first < STEP_INSTRUCTIONS) {
      const { reason } = vcpu.run(STEP_INSTRUCTIONS)
      if (reason !== 'budget') return `the guest ended with ${reason}`
    }
    if ((engine.jitCounts?.failures ?? 0) > 0) return `the compiler failed: ${engine.jitCounts?.firstFailure}`
    const { liveBytes = 0 } = engine.jitCounts ?? {}
    // The last one may be more than there is room for.
    if (liveBytes > JIT.codeBytes + LARGEST_BYTES) return `${liveBytes} bytes of compiled code are kept`
    if (index % CHECKED_EVERY !== 0) return
    collect()
    const bytes = process.memoryUsage.rss()
    const minutes = (performance.now() - began) / 60_000
    samples.push({ step: index, minutes, bytes })
    const before = samples.findLast((sample) => sample.step >= FIRST && sample.minutes <= minutes / 5)
    if (before === undefined || bytes <= before.bytes * TOLERANCE) return
    return `${mib(bytes)} MiB are resident in minute ${minutes.toFixed(1)}, ${mib(before.bytes)} in minute ${before.minutes.toFixed(1)}`
  },
  summary() {
    const { samples, engine } = world!
    const { units, evictions, live } = engine.jitCounts!
    const curve = samples.map(({ minutes, bytes }) => `${minutes.toFixed(1)}: ${mib(bytes)}`)
    const shown = curve.filter((_, i) => i % Math.ceil(curve.length / 12) === 0 || i === curve.length - 1)
    return `${units} units, ${evictions} evicted, ${live} live, decoded code dropped ${engine.codeCache.flushes} times; MiB resident by minute: ${shown.join(', ')}`
  },
}
