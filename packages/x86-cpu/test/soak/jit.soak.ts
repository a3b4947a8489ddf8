import type { Rng, Soak } from '@retrap/tooling/soak'
import { MemoryKeeper } from '@retrap/tooling/kept-code'
import type { Exit } from '../../src/state/execution.ts'
import type { JitOptions } from '../../src/index.ts'
import { saveVcpu } from '../../src/inspect.ts'
import { BareCpu, CODE, RAM_BYTES } from '../support/bare-cpu.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { DEVICE_PAGE, DEVICE_PORT, ProgramBuilder, REQUESTING } from '../support/random-program.ts'
import type { RandomProgram } from '../support/random-program.ts'
import * as W from '../support/worlds.ts'
import type { World } from '../support/worlds.ts'

const TURNS = 40
const LONGEST_TURN = 3000
/** Modes that a program has one or several of. */
const MODES = Object.keys(W.WORLDS) as World[]
/** Where a program begins in its page: some begin near its end. */
const STARTS = [0, 0, 0x800, 0xe00, 0xf80]

/** An event from outside, between two turns; one for a processor says for which. */
type Event = { readonly cpu: number } & (
  | { readonly kind: 'interrupt' | 'nmi' }
  /** A device writes memory. */
  | { readonly kind: 'dma'; readonly at: number; readonly byte: number }
  /** A frame is RAM no longer, or is again. */
  | { readonly kind: 'map'; readonly frame: number }
)

interface Case {
  readonly program: RandomProgram
  readonly changes: readonly (readonly [at: number, byte: number])[]
  readonly turns: readonly { readonly budget: number; readonly event: Event | undefined }[]
  /** How many times a device is asked before it answers. */
  readonly delay: number
  /** How many reads there are between two that request an interrupt. */
  readonly interruptInterval: number
  /** Two processors run it, in turns. */
  readonly isPair: boolean
  /** Branches to a place for which it is watched before it is compiled. */
  readonly watch: number
  /** It is compiled again on a machine that has the code which the first one has kept. */
  readonly isKept: boolean
}

function drawCase(rng: Rng): Case {
  const worlds = Array.from({ length: rng.pick([1, 1, 2, 3]) }, () => rng.pick(MODES))
  const start = CODE + rng.pick(STARTS)
  const system = rng.chance(1, 2)
  const builder = new ProgramBuilder(rng, { start, gates: W.gates(), worlds, blocks: 4 + rng.below(40), system })
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
    isPair: rng.chance(1, 4),
    watch: rng.pick([0, 1, 2, 5]),
    isKept: rng.chance(1, 3),
  }
  rng.note('turns', () => JSON.stringify(drawn.turns))
  return drawn
}

function drawEvent(rng: Rng, { bytes, blocks }: RandomProgram): Event | undefined {
  const how = rng.below(20)
  if (how < 11) return undefined
  const cpu = rng.below(2)
  if (how < 15) return { cpu, kind: 'interrupt' }
  if (how < 17) return { cpu, kind: 'nmi' }
  if (how < 18) return { cpu, kind: 'map', frame: rng.pick([W.DATA >>> 12, (W.DATA >>> 12) + 1, W.SECOND_CODE_PAGE]) }
  const at = rng.chance(1, 2) ? blocks[0]! + rng.below(bytes.length) : W.DATA + rng.below(W.DATA_BYTES)
  return { cpu, kind: 'dma', at, byte: rng.below(256) }
}

/**
 * A processor, or two that share memory and compiled code, in front of a program.
 *
 * @param jit - false: all is interpreted
 * @param isOther - as `BareOptions` has it
 */
function prepare(
  { program, changes, delay, interruptInterval, isPair }: Case,
  jit: JitOptions | false,
  isOther = false,
): readonly BareCpu[] {
  const first = new BareCpu({ jit, codeCacheBytes: 1 << 20, isOther })
  const all = isPair ? [first, new BareCpu({ beside: first })] : [first]
  for (const pc of all) W.buildWorlds(pc)
  const { up, down } = W.gates()
  const start = program.blocks[0]!
  first.load(start, program.bytes)
  // The other frame of the second page of code has nearly the same.
  const second = W.SECOND_CODE_PAGE * 0x1000
  const other = W.OTHER_CODE_FRAME * 0x1000 - second
  for (let at = second; at < second + 0x1000; at++) {
    const i = at - start
    if (i < program.bytes.length) first.load(at + other, [program.bytes[i]!])
  }
  for (const [i, byte] of changes) if ((start + i) >>> 12 === W.SECOND_CODE_PAGE) first.load(start + i + other, [byte])
  first.write64(W.TARGET, BigInt(start))
  first.write64(W.WAY, BigInt(down[program.worlds[0]!]))
  let asked = 0
  const isLate = (): boolean => asked++ % (delay + 1) !== delay
  for (const [n, pc] of all.entries()) {
    pc.setRegister('rbx', W.DATA_BASE)
    for (const [i, name] of (['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'] as const).entries()) {
      pc.setRegister(name, W.DATA + 0x100 * i + 7 + n)
    }
    pc.rip = up.long
    const device = {
      read(offset: number) {
        if (isLate()) return undefined
        if (offset === REQUESTING && asked % interruptInterval === 0) pc.interrupt(W.INTERRUPT)
        return BigInt(asked * 0x1_0001 + offset)
      },
      write: () => !isLate(),
    }
    pc.host.devices.set(DEVICE_PAGE, device)
    pc.host.ports.set(DEVICE_PORT, device)
  }
  return all
}

/** Runs a turn to its end; a device that has been waited for answers. */
function turn(pc: BareCpu, budget: number): Exit {
  const end = pc.cpu.cost + budget
  for (;;) {
    const exit = pc.turn(end - pc.cpu.cost)
    if (exit.reason !== 'blocked') return exit
  }
}

function happen(all: readonly BareCpu[], event: Event): void {
  const pc = all[event.cpu % all.length]!
  switch (event.kind) {
    case 'interrupt':
      pc.interrupt(W.INTERRUPT)
      break
    case 'nmi':
      pc.cpu.nmi()
      break
    case 'dma':
      pc.load(event.at, [event.byte])
      break
    case 'map': {
      for (const { host, cpu } of all) {
        if (!host.rom.delete(event.frame)) host.rom.add(event.frame)
        cpu.mapChanged()
      }
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
    : [hash(pc, W.DATA, W.DATA_BYTES), hash(pc, W.LOW_DATA, W.DATA_BYTES), hash(pc, CODE, 0x3000)]
  return { exit: exit.reason, retired, cost, memory, seen: pc.host.seen.length, cpu: saveVcpu(pc.cpu) }
}

/** A turn of each processor, one after the other. @returns what can be seen of all */
function turns(all: readonly BareCpu[], budget: number, whole: boolean): string {
  return JSON.stringify(all.map((pc) => describe(pc, turn(pc, budget), whole)))
}

/** What all steps have executed, in each of the two ways. */
const executed = { instructions: 0, units: 0, loaded: 0 }

/** A program runs alike interpreted and compiled: state, counts and accesses to devices agree after each turn. */
export const soak: Soak = {
  name: 'jit',
  count: 2000,
  step(rng) {
    const given = drawCase(rng)
    const jit = { ...EAGER_JIT, watch: given.watch, ...(given.isKept && { keep: new MemoryKeeper() }) }
    const [plain, compiled] = [prepare(given, false), prepare(given, jit)]
    const expected: string[] = []
    try {
      for (const [i, { budget, event }] of given.turns.entries()) {
        if (event !== undefined) for (const all of [plain, compiled]) happen(all, event)
        const last = i === TURNS - 1
        const [wanted, found] = [turns(plain, budget, last), turns(compiled, budget, last)]
        if (found !== wanted) return `turn ${i}: ${difference(wanted, found)}`
        expected.push(wanted)
        if (/"exit":"(shutdown|error)"/.test(wanted)) break
      }
      const seen = (all: readonly BareCpu[]): string => all.map(({ host }) => host.seen.join()).join(';')
      if (seen(plain) !== seen(compiled)) return 'the devices saw different accesses'
      const { failures = 0, firstFailure } = compiled[0]!.engine.jitCounts ?? {}
      if (failures > 0) return `the compiler failed: ${firstFailure}`
      return given.isKept ? playKept(given, jit, expected) : undefined
    } finally {
      for (const { cpu } of compiled) executed.instructions += cpu.retired
      executed.units += compiled[0]!.engine.jitCounts?.units ?? 0
    }
  },
  summary: () =>
    `${executed.instructions} instructions, interpreted and compiled; ${executed.units} units compiled, ${executed.loaded} were kept`,
}

/** Runs the program by code that was kept, of a machine whose addresses and numbers are others. @returns where it differs from what is expected */
function playKept(given: Case, jit: JitOptions, expected: readonly string[]): string | undefined {
  const all = prepare(given, jit, true)
  for (const [i, wanted] of expected.entries()) {
    const { budget, event } = given.turns[i]!
    if (event !== undefined) happen(all, event)
    const found = turns(all, budget, i === TURNS - 1)
    if (found !== wanted) return `turn ${i}, kept code: ${difference(wanted, found)}`
  }
  const { failures = 0, firstFailure, loaded = 0 } = all[0]!.engine.jitCounts ?? {}
  executed.loaded += loaded
  return failures > 0 ? `kept code failed: ${firstFailure}` : undefined
}

function difference(expected: string, found: string): string {
  const at = [...expected].findIndex((character, i) => character !== found[i])
  const around = (text: string): string => text.slice(Math.max(0, at - 60), at + 80)
  return `compiled ${around(found)}, interpreted ${around(expected)}`
}
