import { ACCESS_FETCH, ACCESS_USER, ACCESS_WRITE } from '@retrap/paging'
import { MachineMemory } from '@retrap/memory'
import { FlatHost, Vcpu, X86Engine } from '../../src/index.ts'
import type { InitialCpuState, Translation } from '../../src/index.ts'
import * as S from '../../src/state/state-layout.ts'
import { TEST_JIT, type EagerJit } from '@retrap/tooling/jit'
import * as L from './layout.ts'
import { selectorOf } from './layout.ts'
import type { Batch, Mode } from './layout.ts'
import { ACTIVITY_RUNNING, S_ACTIVITY } from '../../src/state/system-state.ts'
import { loadFxState, saveFxState } from './fx-state.ts'

const CODE_BYTES = 8 << 20
/** Supervisor page with the tables that exceptions need. */
const SYSTEM = 0x3000_0000
const SYSTEM_BYTES = 0x2000
const GDT = SYSTEM
const TSS = SYSTEM + 0x100
const LDT = SYSTEM + 0x180
const HANDLERS = SYSTEM + 0x200
const IDT = SYSTEM + 0x400
const STACK_TOP = SYSTEM + 0x2000
/** The kernel's code segment, which handlers run in. */
const KERNEL_CS = 0x10
/** A byte for each set of the TLB: S_EXECUTE_MODES. */
const EXECUTE_MODES = 4
/** HLT, and the way to the next case: IRETQ. */
const HANDLER = [0xf4, 0x48, 0xcf]
/** Segment registers that IRETQ leaves alone, as they are in the state. */
const DATA_SEGMENTS = [S.ES, S.DS, S.FS, S.GS].map((segment) => S.S_SEGMENTS + S.SEG_BYTES * segment)
const VECTORS = 32
/** Bytes of the state up to where the TLB begins. */
const STATE_BYTES: number = S.STATE_BYTES

/** PE, MP, ET, NE, WP, AM, PG: as Linux has it. */
const CR0 = 0x8005_0033
/** PAE, MCE, PGE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE. */
const CR4 = 0x0005_06e0
/** SCE, LME, LMA, NXE. */
const EFER = 0xd01

interface Region {
  readonly from: number
  bytes: number
  readonly ma: number
  readonly user: boolean
  readonly writable: boolean
  readonly executable: boolean
}

/** Identity mapping: window and code for the user, tables for the supervisor, nothing else. */
class UserHost extends FlatHost {
  readonly #regions: readonly [Region, Region, Region]

  constructor(memory: MachineMemory, windowMa: number, codeMa: number, systemMa: number) {
    super(memory, 0, windowMa)
    this.#regions = [
      { from: L.WINDOW, bytes: L.WINDOW_BYTES, ma: windowMa, user: true, writable: true, executable: false },
      { from: L.CODE, bytes: CODE_BYTES, ma: codeMa, user: true, writable: false, executable: true },
      { from: SYSTEM, bytes: SYSTEM_BYTES, ma: systemMa, user: false, writable: true, executable: true },
    ]
  }

  setCodeBytes(bytes: number): void {
    this.#regions[1].bytes = bytes
  }

  override translate(lo: number, hi: number, access: number, into: Translation): number {
    const user = (access & ACCESS_USER) !== 0
    const write = (access & ACCESS_WRITE) !== 0
    const fetch = (access & ACCESS_FETCH) !== 0
    const address = hi === 0 ? lo : -1
    for (const { from, bytes, ma, user: forUser, writable, executable } of this.#regions) {
      if (address < from || address >= from + bytes) continue
      if ((user && !forUser) || (write && !writable) || (fetch && !executable)) break
      into.gpa = address
      into.ma = ma + (address - from)
      into.writable = write && writable
      into.cacheable = true
      into.global = false
      into.pageBytes = 0x1000
      return S.STATUS_DONE
    }
    // P is clear; the comparison leaves it out.
    into.errorCode = (write ? 2 : 0) | (user ? 4 : 0) | (fetch ? 16 : 0)
    return S.STATUS_FAULT
  }

  override ramAddress(): number {
    return -1
  }
  override physicalRead(): number {
    throw new Error('there are no devices')
  }
  override physicalWrite(): number {
    throw new Error('there are no devices')
  }
  override portRead(): number {
    throw new Error('there are no ports')
  }
  override portWrite(): number {
    throw new Error('there are no ports')
  }
}

/**
 * A bare CPU in the state in which Linux has a user process, whose exceptions all end in HLT. Each case begins with IRETQ, and finds
 * all that is no guest's state as the one before left it.
 */
export class TestMachine {
  readonly vcpu: Vcpu
  readonly #host: UserHost
  readonly #memory: MachineMemory
  readonly #windowMa: number
  readonly #codeMa: number
  readonly #systemMa: number
  /** The state of its mode, by a case's word at IN_CS: {@link DATA_SEGMENTS}, and SS. */
  readonly #initial = new Map<number, Uint8Array>()
  readonly #state: Uint8Array
  readonly #zeros = Buffer.alloc(L.WINDOW_BYTES)
  readonly #window: Buffer

  /** @param jit - how it compiles; false: it interprets all */
  constructor(jit: EagerJit | false = TEST_JIT) {
    const memory = MachineMemory.create({ bytes: 48 << 20 })
    this.#memory = memory
    this.#windowMa = memory.allocate(L.WINDOW_BYTES, 0x1000, 'window')
    this.#codeMa = memory.allocate(CODE_BYTES, 0x1000, 'code')
    this.#systemMa = memory.allocate(SYSTEM_BYTES, 0x1000, 'tables')
    this.#window = Buffer.from(memory.buffer as ArrayBuffer, this.#windowMa, L.WINDOW_BYTES)
    const engine = new X86Engine(memory, { codeCacheBytes: 16 << 20, jit, poison: true })
    this.#host = new UserHost(memory, this.#windowMa, this.#codeMa, this.#systemMa)
    this.vcpu = new Vcpu(engine, this.#host, { tscHz: 1e9, crystalHz: 1e9 })
    this.#state = memory.u8.subarray(this.vcpu.state, this.vcpu.state + STATE_BYTES)
    this.#writeTables()
    for (const [mode, data] of [
      [16, L.DATA_16],
      [16, L.READ_ONLY_16],
      [32, L.USER_DATA],
      [64, L.USER_DATA],
    ] as const) {
      this.vcpu.reset(true)
      this.vcpu.load(userState(mode, data))
      // XCR0: x87, SSE and AVX.
      this.vcpu.u32[S.S_XCR0 >>> 2] = 7
      this.#initial.set(selectorOf(mode) | (data << 16), this.#state.slice())
    }
    // INT3 leads to where cases end.
    memory.u8[this.#codeMa] = 0xcc
    this.#host.setCodeBytes(1)
    this.vcpu.run(10)
  }

  /** GDT, TSS and an IDT with one handler for each vector, each a HLT of its own. */
  #writeTables(): void {
    const at = (linear: number): number => this.#systemMa + linear - SYSTEM
    const { u8 } = this.#memory
    const view = new DataView(this.#memory.buffer as ArrayBuffer)
    const descriptor = (selector: number, value: bigint): void =>
      view.setBigUint64(at(GDT) + (selector & ~7), value, true)
    // As Linux has them.
    descriptor(0x08, 0x00cf_9b00_0000_ffffn)
    descriptor(KERNEL_CS, 0x00af_9b00_0000_ffffn)
    descriptor(0x18, 0x00cf_9300_0000_ffffn)
    descriptor(0x20, 0x00cf_fb00_0000_ffffn)
    descriptor(0x28, 0x00cf_f300_0000_ffffn)
    descriptor(0x30, 0x00af_fb00_0000_ffffn)
    view.setBigUint64(at(LDT) + (L.CS_16 & ~7), 0x2000_fb00_0000_ffffn, true)
    view.setBigUint64(at(LDT) + (L.DATA_16 & ~7), 0x1000_f300_0000_ffffn, true)
    view.setBigUint64(at(LDT) + (L.READ_ONLY_16 & ~7), 0x1000_f100_0000_ffffn, true)
    // IST1.
    view.setBigUint64(at(TSS) + 0x24, BigInt(STACK_TOP), true)
    // No I/O permission bitmap within the limit.
    view.setUint16(at(TSS) + 0x66, 0xffff, true)
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = HANDLERS + vector * 16
      u8.set(HANDLER, at(handler))
      // Interrupt gate, present, IST1; software interrupts may use #BP's and #OF's only.
      const dpl = vector === 3 || vector === 4 ? 3 : 0
      const low = (handler & 0xffff) | (KERNEL_CS << 16)
      const high = (handler & 0xffff_0000) | ((0x8e | (dpl << 5)) << 8) | 1
      view.setUint32(at(IDT) + vector * 16, low, true)
      view.setUint32(at(IDT) + vector * 16 + 4, high, true)
    }
  }

  /** Runs every case. @returns what native.c returns */
  run(batch: Batch): Uint8Array {
    if (batch.code.length > CODE_BYTES)
      throw new RangeError(`${batch.code.length} bytes of code, at most ${CODE_BYTES}`)
    const u8 = this.#memory.u8
    u8.fill(0xcc, this.#codeMa, this.#codeMa + CODE_BYTES)
    u8.set(batch.code, this.#codeMa)
    this.#host.setCodeBytes(Math.ceil(batch.code.length / 0x1000) * 0x1000)
    this.vcpu.flushTlb(true)
    for (let page = 0; page < CODE_BYTES; page += 0x1000) this.#memory.noteWrite(this.#codeMa + page, 0x1000)
    const results = new Uint8Array(batch.count * L.OUT_BYTES)
    for (let i = 0; i < batch.count; i++) {
      this.#case(
        batch.cases.subarray(i * L.IN_BYTES, (i + 1) * L.IN_BYTES),
        results.subarray(i * L.OUT_BYTES, (i + 1) * L.OUT_BYTES),
      )
    }
    return results
  }

  #case(input: Uint8Array, output: Uint8Array): void {
    const { vcpu } = this
    const state = this.#state
    const from = new DataView(input.buffer, input.byteOffset, input.byteLength)
    const initial = this.#initial.get(from.getUint32(L.IN_CS, true)) as Uint8Array
    for (const at of DATA_SEGMENTS) state.set(initial.subarray(at, at + S.SEG_BYTES), at)
    state.set(input.subarray(L.IN_GPR, L.IN_GPR + 128), S.S_GPR)
    if (from.getUint16(L.IN_CS, true) === L.CS_16) this.#enter16(from, initial)
    else this.#enter(from, initial)
    loadFxState(vcpu, state, input.subarray(L.IN_FX))
    for (let i = 0; i < 16; i++)
      state.set(input.subarray(L.IN_YMM + 16 * i, L.IN_YMM + 16 * i + 16), S.S_XMM + 64 * i + 16)
    this.#window.set(input.subarray(L.IN_BAND, L.IN_BAND + L.BAND_BYTES), L.BAND - L.WINDOW)
    vcpu.modeChanged()
    this.#finish(output)
  }

  /** Has IRETQ begin a case. */
  #enter(from: DataView, initial: Uint8Array): void {
    const { vcpu } = this
    const entry = new DataView(this.#memory.buffer as ArrayBuffer, this.#systemMa + STACK_TOP - 40 - SYSTEM, 40)
    entry.setBigUint64(0, BigInt(from.getUint32(L.IN_RIP, true)), true)
    entry.setBigUint64(8, BigInt(from.getUint16(L.IN_CS, true)), true)
    // IF and bit 1 are always set.
    entry.setBigUint64(16, BigInt(from.getUint32(L.IN_RFLAGS, true) | 0x202), true)
    entry.setBigUint64(24, from.getBigUint64(L.IN_GPR + 32, true), true)
    entry.setBigUint64(32, BigInt(initial[S.S_SEGMENTS + S.SEG_BYTES * S.SS + S.SEG_SELECTOR]!), true)
    vcpu.u64[(S.S_GPR >>> 3) + 4] = BigInt(STACK_TOP - 40)
    vcpu.u32[S_ACTIVITY >>> 2] = ACTIVITY_RUNNING
  }

  /** Begins a case without IRETQ, which does not load the upper half of ESP for a 16-bit stack. */
  #enter16(from: DataView, initial: Uint8Array): void {
    const { vcpu } = this
    const state = this.#state
    // What the TLB has stays as it is, so that code that is executed twice may be compiled.
    const modes = state.slice(S.S_EXECUTE_MODES, S.S_EXECUTE_MODES + EXECUTE_MODES)
    const general = state.slice(S.S_GPR, S.S_GPR + 128)
    state.set(initial)
    state.set(modes, S.S_EXECUTE_MODES)
    state.set(general, S.S_GPR)
    vcpu.u32[S.S_RIP >>> 2] = from.getUint32(L.IN_RIP, true)
    vcpu.u32[(S.S_RIP >>> 2) + 1] = 0
    vcpu.setRflags(from.getUint32(L.IN_RFLAGS, true) | 0x202)
  }

  #finish(output: Uint8Array): void {
    const { vcpu } = this
    const state = this.#state
    const to = new DataView(output.buffer, output.byteOffset, output.byteLength)
    const exit = vcpu.run(1000)
    if (exit.reason !== 'hlt') {
      to.setUint32(L.OUT_VECTOR, 0xffff_ffff, true)
      if (exit.reason === 'error') throw exit.error
      return
    }
    const vector = ((vcpu.u32[S.S_RIP >>> 2] as number) - HANDLERS) >>> 4
    to.setUint32(L.OUT_VECTOR, vector, true)
    // What delivery has pushed: error code where there is one, RIP, CS, RFLAGS, RSP, SS.
    const rsp = Number(vcpu.u64[(S.S_GPR >>> 3) + 4])
    const frame = new DataView(this.#memory.buffer as ArrayBuffer, this.#systemMa + rsp - SYSTEM, STACK_TOP - rsp)
    const hasError = STACK_TOP - rsp === 48
    const base = hasError ? 8 : 0
    to.setUint32(L.OUT_ERROR, hasError ? frame.getUint32(0, true) : 0, true)
    to.setBigUint64(L.OUT_CR2, vcpu.u64[S.S_CR2 >>> 3] as bigint, true)
    to.setBigUint64(L.OUT_RIP, frame.getBigUint64(base, true), true)
    to.setUint32(L.OUT_CS, frame.getUint32(base + 8, true), true)
    to.setBigUint64(L.OUT_RFLAGS, frame.getBigUint64(base + 16, true), true)
    output.set(state.subarray(S.S_GPR, S.S_GPR + 128), L.OUT_GPR)
    to.setBigUint64(L.OUT_GPR + 32, frame.getBigUint64(base + 24, true), true)
    to.setBigUint64(L.OUT_FS_BASE, vcpu.u64[(S.S_SEGMENTS + S.SEG_BYTES * S.FS) >>> 3] as bigint, true)
    to.setBigUint64(L.OUT_GS_BASE, vcpu.u64[(S.S_SEGMENTS + S.SEG_BYTES * S.GS) >>> 3] as bigint, true)
    to.setUint16(L.OUT_SEGMENTS, frame.getUint16(base + 32, true), true)
    for (const [i, segment] of [S.DS, S.ES, S.FS, S.GS].entries()) {
      to.setUint16(
        L.OUT_SEGMENTS + 2 + 2 * i,
        vcpu.u32[(S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_SELECTOR) >>> 2] as number,
        true,
      )
    }
    saveFxState(vcpu, state, output.subarray(L.OUT_FX))
    for (let i = 0; i < 16; i++)
      output.set(state.subarray(S.S_XMM + 64 * i + 16, S.S_XMM + 64 * i + 32), L.OUT_YMM + 16 * i)
    output.set(this.#window.subarray(L.BAND - L.WINDOW, L.BAND - L.WINDOW + L.BAND_BYTES), L.OUT_BAND)
    this.#window.fill(0, L.BAND - L.WINDOW, L.BAND - L.WINDOW + L.BAND_BYTES)
    if (this.#window.compare(this.#zeros) !== 0) {
      to.setUint32(L.OUT_OUTSIDE, 1, true)
      this.#window.fill(0)
    }
  }
}

function userState(mode: Mode, dataSelector: number): InitialCpuState {
  const stack =
    mode === 16
      ? { selector: L.DATA_16, base: L.WINDOW, limit: 0xffff, attributes: 0x00f3 }
      : { selector: L.USER_DATA, base: 0, limit: 0xffff_ffff, attributes: 0xc0f3 }
  const data = dataSelector === L.READ_ONLY_16 ? { ...stack, selector: L.READ_ONLY_16, attributes: 0x00f1 } : stack
  const none = { selector: 0, base: 0, limit: 0, attributes: 0 }
  return {
    registers: { rip: L.CODE, rflags: 0x202 },
    segments: {
      cs: {
        64: { selector: L.CS_64, base: 0, limit: 0xffff_ffff, attributes: 0xa0fb },
        32: { selector: L.CS_32, base: 0, limit: 0xffff_ffff, attributes: 0xc0fb },
        16: { selector: L.CS_16, base: L.CODE, limit: 0xffff, attributes: 0x00fb },
      }[mode],
      ss: stack,
      ds: data,
      es: data,
      fs: none,
      gs: none,
      ldtr: { selector: 0x58, base: LDT, limit: 0x1f, attributes: 0x0082 },
      tr: { selector: 0x40, base: TSS, limit: 0x67, attributes: 0x008b },
    },
    gdtr: { base: GDT, limit: 0x7f },
    idtr: { base: IDT, limit: VECTORS * 16 - 1 },
    cr0: CR0,
    cr3: 0,
    cr4: CR4,
    efer: EFER,
  }
}
