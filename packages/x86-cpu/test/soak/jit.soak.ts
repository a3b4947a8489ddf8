import type { Rng, Soak } from '@retrap/tooling/soak'
import type { Exit } from '../../src/exit.ts'
import { saveVcpu } from '../../src/inspect.ts'
import { BareCpu, CODE, RAM_BYTES } from '../support/bare-cpu.ts'
import { EAGER_JIT } from '../support/jit.ts'
import { DEVICE_PAGE, DEVICE_PORT, ProgramBuilder, REQUESTING } from '../support/random-program.ts'
import type { RandomProgram } from '../support/random-program.ts'
import {
  DATA,
  DATA_BASE,
  DATA_BYTES,
  INTERRUPT,
  LOW_DATA,
  OTHER_CODE_FRAME,
  SECOND_CODE_PAGE,
  TARGET,
  WAY,
  WORLDS,
  buildWorlds,
  gates,
} from '../support/worlds.ts'
import type { World } from '../support/worlds.ts'

const TURNS = 40
const LONGEST_TURN = 3000
/** Modes that a program has one or several of. */
const MODES = Object.keys(WORLDS) as World[]
/** Where a program begins in its page: some begin near its end. */
const STARTS = [0, 0, 0x800, 0xe00, 0xf80]

/** An event from outside, between two turns. */
type Event =
  | { readonly kind: 'interrupt' | 'nmi' }
  /** A device writes memory. */
  | { readonly kind: 'dma'; readonly at: number; readonly byte: number }
  /** A frame is RAM no longer, or is again. */
  | { readonly kind: 'map'; readonly frame: number }

interface Case {
  readonly program: RandomProgram
  readonly changes: readonly (readonly [at: number, byte: number])[]
  readonly turns: readonly { readonly budget: number; readonly event: Event | undefined }[]
  /** How many times a device is asked before it answers. */
  readonly delay: number
  /** How many reads there are between two that request an interrupt. */
  readonly interruptInterval: number
}

function drawCase(rng: Rng): Case {
  const worlds = Array.from({ length: rng.pick([1, 1, 2, 3]) }, () => rng.pick(MODES))
  const start = CODE + rng.pick(STARTS)
  const system = rng.chance(1, 2)
  const builder = new ProgramBuilder(rng, { start, gates: gates(), worlds, blocks: 4 + rng.below(40), system })
  const program = builder.build()
  rng.note('blocks', () => program.blocks.map((at, i) => `${program.worlds[i]} ${at.toString(16)}`).join(', '))
  rng.note('code', () => Buffer.from(program.bytes).toString('hex'))
  const drawn = {
    program,
    changes: Array.from({ length: 16 }, () => [rng.below(program.bytes.length), rng.below(256)] as const),
    turns: Array.from({ length: TURNS }, () => ({
      budget: 1 + rng.below(LONGEST_TURN),
      event: drawEvent(rng, program),
    })),
    delay: rng.pick([0, 0, 1, 3]),
    interruptInterval: 1 + rng.below(40),
  }
  rng.note('turns', () => JSON.stringify(drawn.turns))
  return drawn
}

function drawEvent(rng: Rng, { bytes, blocks }: RandomProgram): Event | undefined {
  const how = rng.below(20)
  if (how < 11) return undefined
  if (how < 15) return { kind: 'interrupt' }
  if (how < 17) return { kind: 'nmi' }
  if (how < 18) return { kind: 'map', frame: rng.pick([DATA >>> 12, (DATA >>> 12) + 1, SECOND_CODE_PAGE]) }
  const at = rng.chance(1, 2) ? blocks[0]! + rng.below(bytes.length) : DATA + rng.below(DATA_BYTES)
  return { kind: 'dma', at, byte: rng.below(256) }
}

function prepare({ program, changes, delay, interruptInterval }: Case, compiled: boolean): BareCpu {
  const pc = new BareCpu({ jit: compiled ? EAGER_JIT : false, codeCacheBytes: 1 << 20 })
  buildWorlds(pc)
  const { up, down } = gates()
  const start = program.blocks[0]!
  pc.load(start, program.bytes)
  // The other frame of the second page of code has nearly the same.
  const second = SECOND_CODE_PAGE * 0x1000
  const other = OTHER_CODE_FRAME * 0x1000 - second
  for (let at = second; at < second + 0x1000; at++) {
    const i = at - start
    if (i < program.bytes.length) pc.load(at + other, [program.bytes[i]!])
  }
  for (const [i, byte] of changes) if ((start + i) >>> 12 === SECOND_CODE_PAGE) pc.load(start + i + other, [byte])
  pc.setRegister('rbx', DATA_BASE)
  for (const [i, name] of (['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'] as const).entries()) {
    pc.setRegister(name, DATA + 0x100 * i + 7)
  }
  pc.write64(TARGET, BigInt(start))
  pc.write64(WAY, BigInt(down[program.worlds[0]!]))
  pc.rip = up.long
  let asked = 0
  const isLate = (): boolean => asked++ % (delay + 1) !== delay
  const device = {
    read(offset: number) {
      if (isLate()) return undefined
      if (offset === REQUESTING && asked % interruptInterval === 0) pc.interrupt(INTERRUPT)
      return BigInt(asked * 0x1_0001 + offset)
    },
    write: () => !isLate(),
  }
  pc.host.devices.set(DEVICE_PAGE, device)
  pc.host.ports.set(DEVICE_PORT, device)
  return pc
}

/** Runs a turn to its end; a device that has been waited for answers. */
function turn(pc: BareCpu, budget: number): Exit {
  const end = pc.cpu.cost + budget
  for (;;) {
    const exit = pc.turn(end - pc.cpu.cost)
    if (exit.reason !== 'blocked') return exit
  }
}

function happen(pc: BareCpu, event: Event): void {
  switch (event.kind) {
    case 'interrupt':
      pc.interrupt(INTERRUPT)
      break
    case 'nmi':
      pc.cpu.nmi()
      break
    case 'dma':
      pc.load(event.at, [event.byte])
      break
    case 'map': {
      const { rom } = pc.host
      if (!rom.delete(event.frame)) rom.add(event.frame)
      pc.cpu.mapChanged()
      break
    }
    default:
  }
}

function hash(pc: BareCpu, from: number, bytes: number): number {
  let value = 0
  const { u32 } = pc.memory
  const end = (pc.host.ramMa + from + bytes) >>> 2
  for (let at = (pc.host.ramMa + from) >>> 2; at < end; at++) value = (Math.imul(value, 31) + u32[at]!) | 0
  return value
}

function describe(pc: BareCpu, exit: Exit, whole: boolean): unknown {
  const { retired, cost } = pc.cpu
  const memory = whole
    ? [hash(pc, 0, RAM_BYTES)]
    : [hash(pc, DATA, DATA_BYTES), hash(pc, LOW_DATA, DATA_BYTES), hash(pc, CODE, 0x3000)]
  return { exit: exit.reason, retired, cost, memory, seen: pc.host.seen.length, cpu: saveVcpu(pc.cpu) }
}

/** What all steps have executed, in each of the two ways. */
const executed = { instructions: 0, units: 0 }

/** A program runs alike interpreted and compiled: state, counts and accesses to devices agree after each turn. */
export const soak: Soak = {
  name: 'jit',
  count: 2000,
  step(rng) {
    const given = drawCase(rng)
    const [plain, compiled] = [prepare(given, false), prepare(given, true)]
    try {
      for (const [i, { budget, event }] of given.turns.entries()) {
        if (event !== undefined) for (const pc of [plain, compiled]) happen(pc, event)
        const last = i === TURNS - 1
        const [expected, found] = [plain, compiled].map((pc) =>
          JSON.stringify(describe(pc, turn(pc, budget), last)),
        ) as [string, string]
        if (found !== expected) return `turn ${i}: ${difference(expected, found)}`
        if (/"exit":"(shutdown|error)"/.test(expected)) return
      }
      if (plain.host.seen.join() !== compiled.host.seen.join()) return 'the devices saw different accesses'
      const { failures = 0, firstFailure } = compiled.engine.jitCounts ?? {}
      if (failures > 0) return `the compiler failed: ${firstFailure}`
    } finally {
      executed.instructions += compiled.cpu.retired
      executed.units += compiled.engine.jitCounts?.units ?? 0
    }
  },
  summary: () => `${executed.instructions} instructions, interpreted and compiled; ${executed.units} units compiled`,
}

function difference(expected: string, found: string): string {
  const at = [...expected].findIndex((character, i) => character !== found[i])
  const around = (text: string): string => text.slice(Math.max(0, at - 60), at + 80)
  return `compiled ${around(found)}, interpreted ${around(expected)}`
}
