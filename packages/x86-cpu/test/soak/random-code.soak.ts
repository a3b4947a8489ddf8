import type { Rng, Soak } from '@retrap/tooling/soak'
import { codes } from '@retrap/x86-decoder'
import type { Exit } from '../../src/state/execution.ts'
import { saveVcpu } from '../../src/inspect.ts'
import { FLAG_TF, SHADOW_MOV_SS, S_CR0, S_CR4, S_EFER, S_EFLAGS, S_SHADOW } from '../../src/state/state-layout.ts'
import { BareCpu, CODE, IDT, RAM_BYTES, TSS, slowDevice } from '../support/bare-cpu.ts'

const MODES = ['long', 'protected', 'real'] as const
const BUDGET = 3000
/** Code is drawn over two pages from here. */
const CODE_BYTES = 0x1800
const HANDLERS = 0x20_0000
const HANDLER_STACK = 0x22_0000
const DEVICE_PAGE = 0x9
/** Vectors whose handlers find an error code. */
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21])
const REGISTERS = ['rax', 'rcx', 'rdx', 'rbx', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10'] as const

/** Bytes that are instructions more often than chance would have it. */
function randomCode(rng: Rng): Uint8Array {
  const bytes: number[] = []
  while (bytes.length < CODE_BYTES) {
    const code = codes[1 + rng.below(codes.length - 1)]
    if (code === undefined) continue
    if (rng.chance(1, 6)) bytes.push(rng.pick([0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x48, 0x4c, 0x41, 0x64]))
    const opcode = code.opcode
    if (code.map === 1) bytes.push(0x0f)
    else if (code.map === 2) bytes.push(0x0f, 0x38)
    else if (code.map === 3) bytes.push(0x0f, 0x3a)
    bytes.push(opcode & 0xff)
    for (let i = rng.below(4); i > 0; i--) bytes.push(rng.below(256))
  }
  return Uint8Array.from(bytes.slice(0, CODE_BYTES))
}

/** A program of random bytes. */
export interface Case {
  readonly mode: (typeof MODES)[number]
  readonly code: Uint8Array
  readonly registers: readonly number[]
}

/** A processor that is about to execute it. */
export function prepare({ mode, code, registers }: Case, codeCacheBytes: number): BareCpu {
  const pc = new BareCpu({ mode, codeCacheBytes })
  pc.load(CODE, code)
  for (const [i, name] of REGISTERS.entries()) pc.setRegister(name, registers[i] as number)
  pc.cpu.u32[S_CR4 >>> 2]! |= 0x0004_0600
  if (mode === 'long') {
    pc.cpu.u32[S_EFER >>> 2]! |= 0x801
    // Each handler steps over a byte of what faulted, on a stack of its own, and tries again.
    pc.write64(TSS + 0x24, BigInt(HANDLER_STACK))
    for (let vector = 0; vector < 32; vector++) {
      const at = HANDLERS + 32 * vector
      pc.load(at, [
        ...(WITH_ERROR.has(vector) ? [0x48, 0x83, 0xc4, 0x08] : []),
        ...[0x48, 0xff, 0x04, 0x24],
        ...[0x48, 0xcf],
      ])
      pc.vector(vector, at)
      pc.load(IDT + 16 * vector + 4, [1])
    }
  }
  pc.cpu.u32[S_CR0 >>> 2]! |= 2
  pc.host.controlChanged()
  pc.cpu.modeChanged()
  const device = slowDevice()
  pc.host.devices.set(DEVICE_PAGE, device)
  for (const port of registers) pc.host.ports.set(port & 0xffff, device)
  return pc
}

/** Draws a program, and notes it. */
export function drawCase(rng: Rng): Case {
  const given: Case = {
    mode: rng.pick(MODES),
    code: randomCode(rng),
    registers: REGISTERS.map(() =>
      rng.pick([rng.below(0x1_0000), 0x9000 + rng.below(0x1000), CODE + rng.below(CODE_BYTES), rng.u32()]),
    ),
  }
  rng.note('mode', given.mode)
  rng.note('code', () => Buffer.from(given.code.subarray(0, 64)).toString('hex'))
  return given
}

/** Runs to a halt or shutdown, or gives up after so many turns: a string instruction may have 2^32 iterations to go. */
export function finish(pc: BareCpu, turns: number, next: (pc: BareCpu) => Exit): Exit {
  for (let i = 0; ; i++) {
    const exit = next(pc)
    if (exit.reason === 'hlt' || exit.reason === 'shutdown' || exit.reason === 'error') return exit
    if (pc.cpu.retired > BUDGET || i > turns) return exit
  }
}

function outcome(pc: BareCpu, exit: Exit): unknown {
  let hash = 0
  const { u8 } = pc.memory
  for (let at = pc.host.ramMa; at < pc.host.ramMa + RAM_BYTES; at++)
    hash = (Math.imul(hash, 31) + (u8[at] as number)) | 0
  return { exit: exit.reason, retired: pc.cpu.retired, hash, seen: pc.host.seen.join(), cpu: saveVcpu(pc.cpu) }
}

/**
 * Whatever the bytes are, a processor runs them to a halt, a shutdown or the end of its budget, and never breaks an
 * invariant of its own. Run piece by piece, with room for little decoded code, it comes to the same state.
 */
export const soak: Soak = {
  name: 'random-code',
  count: 300,
  step(rng) {
    const given = drawCase(rng)
    const whole = prepare(given, 1 << 20)
    const exit = finish(whole, 200, (pc) => pc.cpu.run(BUDGET))
    if (exit.reason === 'error') return `error: ${String(exit.error)}`
    if (exit.reason !== 'hlt' && exit.reason !== 'shutdown') return
    const expected = JSON.stringify(outcome(whole, exit))
    const pieces = prepare(given, 96 << 10)
    let before = 0
    const stopped = finish(pieces, 2 * BUDGET, (pc) => {
      // The shadow of MOV SS makes the next instruction run alone. It would also hold back a single-step trap that is due.
      const traced = (pc.cpu.u32[S_EFLAGS >>> 2] as number) & FLAG_TF
      if ((traced | before) === 0 && !pc.cpu.log.active) pc.cpu.u32[S_SHADOW >>> 2] = SHADOW_MOV_SS
      before = traced
      return pc.cpu.step()
    })
    if (stopped.reason === 'error') return `error in pieces: ${String(stopped.error)}`
    if (stopped.reason === 'budget' || stopped.reason === 'yield') return
    const found = JSON.stringify(outcome(pieces, stopped))
    if (found !== expected) {
      const at = [...expected].findIndex((c, i) => c !== found[i])
      return `in pieces: ${found.slice(Math.max(0, at - 60), at + 60)}, in one: ${expected.slice(Math.max(0, at - 60), at + 60)}`
    }
  },
}
