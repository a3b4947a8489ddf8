import { descriptor as packDescriptor } from '@retrap/x86-assembler/guest-code'
import { AccessLog } from '@retrap/replay'
import { HandlerPath, systemForm } from '../../src/interpreter/handler-path.ts'
import { Pass } from '../../src/access/pass.ts'
import { QuickPort } from '../../src/access/quick-port.ts'
import { R_IMM, R_LENGTH, R_REG0, R_SEGMENT } from '../../src/state/record.ts'
import type { Form } from '../../src/state/form.ts'
import * as S from '../../src/state/state-layout.ts'
import { PendingEvent, deliverEvent } from '../../src/system/events.ts'
import { handlers } from '../../src/system/handlers.ts'
import { setSegment, setTableRegister } from '../../src/system/segments/segment-cache.ts'
import type { System } from '../../src/system/system.ts'
import { FakeCpu } from './fake-cpu.ts'

/** Where the tests keep the current instruction's record. */
const RECORD = 0xf_0000

/** Statuses by their names in tests. */
export const { STATUS_DONE, STATUS_EXIT, STATUS_FAULT, STATUS_JUMP, STATUS_RESTART, STATUS_RETRY } = S

/** A descriptor of 8 bytes. `attributes` as SEG_ATTRIBUTES; limits above 1 MiB need the G bit. */
export function descriptor(base: number, limit: number, attributes: number): bigint {
  const units = (attributes & 0x8000) === 0 ? limit : limit >>> 12
  return packDescriptor(base, units, attributes & 0xff, (attributes >>> 12) & 0xf)
}

/** A gate of 8 bytes. `type` with DPL and P as bits 7:0 of a descriptor's attributes. */
export function gate(selector: number, offset: number, type: number, parameters = 0): bigint {
  return (
    BigInt(offset & 0xffff) |
    (BigInt(selector) << 16n) |
    (BigInt(parameters) << 32n) |
    (BigInt(type) << 40n) |
    (BigInt(offset >>> 16) << 48n)
  )
}

export const CODE32 = 0xc09b
export const DATA32 = 0xc093
export const CODE64 = 0xa09b
export const DPL3 = 0x60

// Where the tables of the test machine lie.
export const GDT = 0x1000
export const IDT = 0x2000
export const TSS = 0x3000
export const STACK0 = 0x6000
export const STACK3 = 0x8000

// Its selectors.
export const CODE0_SEL = 0x08
export const DATA0_SEL = 0x10
export const CODE3_SEL = 0x1b
export const DATA3_SEL = 0x23
export const TSS_SEL = 0x28
/** In IA-32e mode the TSS descriptor takes two entries. */
export const FREE_SEL = 0x38

/** Builds machines in a mode, and runs handlers and deliveries on them. */
export class Bench {
  readonly cpu: FakeCpu = new FakeCpu()
  readonly s: System = this.cpu.system
  long = false
  /** Linear address of the current instruction's memory operand. */
  #address: number | undefined
  readonly #path = new HandlerPath(
    this.s,
    new QuickPort(this.s, this.cpu.host, new Pass(this.cpu.u32, new AccessLog(), { loggedPasses: 0 })),
    () => this.#addressOperand(),
    true,
  )

  /** What generated code does for a memory operand; the segment has been checked. */
  #addressOperand(): number {
    if (this.#address === undefined) throw new Error('a memory operand without an address')
    this.s.set64(S.S_EA, this.#address % 0x1_0000_0000, Math.floor(this.#address / 0x1_0000_0000))
    return 0
  }

  /** 32-bit protected mode at `cpl`, flat segments, a 32-bit TSS with ring-0 stack, IDT and GDT. */
  static protected32(cpl = 0): Bench {
    const b = new Bench()
    b.#common()
    b.gdt(TSS_SEL, descriptor(TSS, 0x67, 0x8b))
    b.cpu.view.setUint32(TSS + 4, STACK0, true)
    b.cpu.view.setUint16(TSS + 8, DATA0_SEL, true)
    b.s.set(S.S_CR0, 0x11)
    setSegment(b.s, S.TR, TSS_SEL, TSS, 0, 0x67, 0x8b)
    setTableRegister(b.s, S.IDTR, IDT, 0, 0x7ff)
    b.#enter(cpl, CODE32)
    return b
  }

  /** 64-bit mode at `cpl`. */
  static long64(cpl = 0): Bench {
    const b = new Bench()
    b.long = true
    b.#common()
    b.gdt(CODE0_SEL, descriptor(0, 0xffff_ffff, CODE64))
    b.gdt(CODE3_SEL, descriptor(0, 0xffff_ffff, CODE64 | DPL3))
    b.gdt(TSS_SEL, descriptor(TSS, 0x67, 0x8b))
    b.gdt(TSS_SEL + 8, 0n)
    b.cpu.view.setUint32(TSS + 4, STACK0, true)
    b.s.set(S.S_CR0, 0x8000_0011)
    b.s.set(S.S_CR4, 1 << 5)
    b.s.set(S.S_EFER, 0xd01)
    setSegment(b.s, S.TR, TSS_SEL, TSS, 0, 0x67, 0x8b)
    setTableRegister(b.s, S.IDTR, IDT, 0, 0xfff)
    b.#enter(cpl, CODE64)
    return b
  }

  static real(): Bench {
    const b = new Bench()
    setSegment(b.s, S.CS, 0x400, 0x4000, 0, 0xffff, 0x9b)
    setSegment(b.s, S.SS, 0x700, 0x7000, 0, 0xffff, 0x93)
    setTableRegister(b.s, S.IDTR, 0, 0, 0x3ff)
    b.s.set(S.S_RIP, 0x100)
    b.s.setGpr(4, 4, 0x1000)
    b.cpu.modeChanged()
    return b
  }

  /** Virtual-8086 mode under a 32-bit kernel. */
  static v86(iopl: number): Bench {
    const b = Bench.protected32(0)
    b.flags = 0x2 | S.FLAG_VM | (iopl << 12)
    for (let i = 0; i < 6; i++) setSegment(b.s, i, 0x400, 0x4000, 0, 0xffff, 0xf3)
    setSegment(b.s, S.SS, 0x700, 0x7000, 0, 0xffff, 0xf3)
    b.s.set(S.S_RIP, 0x100)
    b.s.setGpr(4, 4, 0x1000)
    b.cpu.modeChanged()
    return b
  }

  #common(): void {
    this.gdt(CODE0_SEL, descriptor(0, 0xffff_ffff, CODE32))
    this.gdt(DATA0_SEL, descriptor(0, 0xffff_ffff, DATA32))
    this.gdt(CODE3_SEL, descriptor(0, 0xffff_ffff, CODE32 | DPL3))
    this.gdt(DATA3_SEL, descriptor(0, 0xffff_ffff, DATA32 | DPL3))
    setTableRegister(this.s, S.GDTR, GDT, 0, 0xff)
    // No I/O permission map within the TSS's limit.
    this.cpu.view.setUint16(TSS + 0x66, 0x68, true)
    this.flags = 0x202
  }

  #enter(cpl: number, code: number): void {
    const dpl = cpl << 5
    setSegment(this.s, S.CS, cpl === 0 ? CODE0_SEL : CODE3_SEL, 0, 0, 0xffff_ffff, code | dpl)
    for (const segment of [S.SS, S.DS, S.ES, S.FS, S.GS]) {
      setSegment(this.s, segment, cpl === 0 ? DATA0_SEL : DATA3_SEL, 0, 0, 0xffff_ffff, DATA32 | dpl)
    }
    this.s.set(S.S_RIP, 0x4000)
    this.s.setGpr(4, 8, cpl === 0 ? STACK0 - 0x100 : STACK3)
    this.cpu.modeChanged()
  }

  gdt(selector: number, value: bigint): void {
    this.cpu.view.setBigUint64(GDT + (selector & ~7), value, true)
  }

  idt(vector: number, value: bigint): void {
    if (this.long) {
      this.cpu.view.setBigUint64(IDT + 16 * vector, value, true)
      this.cpu.view.setBigUint64(IDT + 16 * vector + 8, 0n, true)
    } else this.cpu.view.setBigUint64(IDT + 8 * vector, value, true)
  }

  get flags(): number {
    return this.s.get(S.S_EFLAGS)
  }

  set flags(value: number) {
    this.s.set(S.S_EFLAGS, value)
  }

  get rip(): number {
    return this.s.get(S.S_RIP)
  }

  get rsp(): number {
    return this.s.gpr(4)
  }

  selector(segment: number): number {
    return this.s.segmentField(segment, S.SEG_SELECTOR)
  }

  u16(at: number): number {
    return this.cpu.view.getUint16(at, true)
  }

  u32(at: number): number {
    return this.cpu.view.getUint32(at, true)
  }

  /** The values that lie on the stack, the last pushed first. */
  pushed(size: number, count: number, at: number = this.rsp): number[] {
    return Array.from({ length: count }, (_, i) => (size === 2 ? this.u16(at + 2 * i) : this.u32(at + size * i)))
  }

  push(size: number, ...values: readonly number[]): void {
    for (const value of values) {
      this.s.setGpr(4, this.s.stackAddressSize, this.rsp - size)
      const at = this.s.segmentField(S.SS, S.SEG_BASE) + this.s.stackPointer
      if (size === 2) this.cpu.view.setUint16(at, value, true)
      else this.cpu.view.setUint32(at, value, true)
      if (size === 8) this.cpu.view.setUint32(at + 4, 0, true)
    }
  }

  /**
   * Runs a handler. `offsets`: state offsets of register operands. As in the machine, a pass that cannot go on leaves
   * nothing behind: it is run with a retry at each of its accesses in turn first, which must change nothing.
   */
  run(mnemonic: string, instruction: Partial<Instruction> = {}): number {
    const { view } = this.cpu
    const form = formOf(mnemonic, instruction)
    view.setUint8(RECORD + R_LENGTH, instruction.length ?? 2)
    view.setUint8(RECORD + R_SEGMENT, instruction.segment ?? S.DS)
    view.setBigUint64(RECORD + R_IMM, BigInt.asUintN(64, instruction.immediate ?? 0n), true)
    const offsets = instruction.offsets ?? []
    for (let i = 0; i < 3; i++) view.setUint16(RECORD + R_REG0 + 2 * i, offsets[i] ?? 0, true)
    if (instruction.address !== undefined && !form.operands.some((o) => o.kind === 'mem'))
      throw new Error(`${mnemonic} without its memory operand`)
    this.#address = instruction.address
    const handler = handlers[mnemonic]
    if (handler === undefined) throw new Error(`no handler for ${mnemonic}`)
    const target = systemForm(handler, form)
    return this.#restartable(() => this.#path.run(target, RECORD), [])
  }

  deliver(event: PendingEvent): number {
    return this.#restartable(() => deliverEvent(this.s, event, () => false), [S.S_CR2, S.S_DR + 48, S.S_DR + 56])
  }

  #restartable(run: () => number, mayChange: readonly number[]): number {
    const { cpu } = this
    const state = cpu.u8.slice()
    const bytes = cpu.bytes.slice()
    for (let n = 0; ; n++) {
      cpu.accesses = 0
      cpu.retryAt = n
      const status = run()
      if (status !== S.STATUS_RETRY) return status
      // In a logged pass writes are held, so memory is as it was.
      cpu.bytes.set(bytes)
      for (const offset of [S.S_FAULT_VECTOR, S.S_FAULT_ADDRESS, ...mayChange]) {
        cpu.u8.set(state.subarray(offset, offset + 16), offset)
      }
      cpu.u8.set(state.subarray(S.S_DATA, S.S_DATA + 64), S.S_DATA)
      for (let i = 0; i < state.length; i++) {
        if (cpu.u8[i] !== state[i])
          throw new Error(`access ${n} of a pass that asks for a retry: state ${i.toString(16)} changed`)
      }
    }
  }

  /** The exception that the last handler raised, as `vector` or `vector(error)`. */
  get fault(): string {
    const vector = this.s.get(S.S_FAULT_VECTOR)
    const name = NAMES[vector] ?? String(vector)
    return this.s.get(S.S_FAULT_HAS_ERROR) === 0 ? `#${name}` : `#${name}(${this.s.get(S.S_FAULT_ERROR).toString(16)})`
  }

  /** Runs a handler and says how it ended: the exception, or `ok`. */
  outcome(mnemonic: string, instruction: Partial<Instruction> = {}): string {
    return this.run(mnemonic, instruction) === S.STATUS_FAULT ? this.fault : 'ok'
  }
}

const NAMES: Readonly<Record<number, string>> = {
  0: 'DE',
  1: 'DB',
  5: 'BR',
  6: 'UD',
  7: 'NM',
  8: 'DF',
  10: 'TS',
  11: 'NP',
  12: 'SS',
  13: 'GP',
  14: 'PF',
  16: 'MF',
}

export interface Instruction {
  readonly size: number
  readonly length: number
  readonly segment: number
  readonly immediate: bigint
  readonly offsets: readonly number[]
  readonly address: number
  readonly operands: Form['operands']
  readonly addressSize: number
  readonly repeat: Form['repeat']
}

function formOf(mnemonic: string, i: Partial<Instruction>): Form {
  return {
    mnemonic,
    size: i.size ?? 4,
    // The size of a memory area belongs to the instruction, not to the operand.
    operands: i.operands ?? (i.address === undefined ? [] : [{ kind: 'mem', size: 0 }]),
    long: false,
    vex: false,
    lock: false,
    repeat: i.repeat ?? 'none',
    addressSize: i.addressSize ?? 4,
  }
}

/** State offset of a general register. */
export const gprOffset = (number: number): number => S.S_GPR + 8 * number
export const segmentOffset = (number: number): number => S.S_SEGMENTS + S.SEG_BYTES * number

/** An event as `run` latches it. */
export function event(setup: (e: PendingEvent) => void): PendingEvent {
  const made = new PendingEvent()
  setup(made)
  return made
}

/** An exception with the given vector and error code. */
export function exception(vector: number, error?: number): PendingEvent {
  return event((e) => {
    e.vector = vector
    e.hasError = error !== undefined
    e.errorCode = error ?? 0
    e.resume = true
  })
}

/** Puts something different into every byte of the x87 state and of the vector registers. */
export function fillFpu(b: Bench, vectorBytes = 16): void {
  for (let i = 0; i < 8; i++) for (let j = 0; j < 10; j++) b.cpu.u8[S.S_FPR + 16 * i + j] = 16 * i + j + 1
  for (let i = 0; i < 16; i++) for (let j = 0; j < vectorBytes; j++) b.cpu.u8[S.S_XMM + 64 * i + j] = 0x80 + 7 * i + j
  b.s.set(S.S_FCW, 0x27f)
  b.s.set(S.S_FSW, 0x4100)
  b.s.set(S.S_FTOP, 5)
  b.s.set(S.S_FTAG_EMPTY, 0b0001_1110)
  b.s.set(S.S_FOP, 0x7a5)
  b.s.set64(S.S_FIP, 0x1122_3344, 0x5566)
  b.s.set64(S.S_FDP, 0x99aa_bbcc, 0xddee)
  b.s.set(S.S_FCS, 0x1b)
  b.s.set(S.S_MXCSR, 0x1fbf)
}
