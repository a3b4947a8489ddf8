import { DebugPlaces } from '@retrap/engine'
import { type CpuHost, type Words, SLOW_IMPLICIT, SLOW_PROBE, SLOW_STACK, SLOW_WRITE } from '../../src/state/host.ts'
import { VECTOR_GP, VECTOR_PF, VECTOR_SS } from '../../src/state/vectors.ts'
import * as S from '../../src/state/state-layout.ts'
import type { Cpu, CpuClocks, MachineViews } from '../../src/system/cpu.ts'
import { cpuModel } from '../../src/model/models.ts'
import { Processor } from '../../src/model/processor.ts'
import { RESET_POWER_ON, resetState } from '../../src/system/reset.ts'
import { System } from '../../src/system/system.ts'

export const MEMORY_BYTES = 0x10_0000
const done = (): number => S.STATUS_DONE

/** A host that answers from plain fields. */
export class FakeHost implements CpuHost {
  readonly record = {} as CpuHost['record']
  ports = new Map<number, number>()
  portWrites: [number, number, number][] = []
  msrs = new Map<number, bigint>()
  tsc = 1000n
  controlChanges = 0
  priority = 0

  translate(): number {
    throw new Error('the fake CPU has no paging')
  }
  ramAddress(): number {
    return -1
  }
  physicalRead: () => number = done
  physicalWrite: () => number = done
  portRead: () => number = done
  portWrite: () => number = done
  answer: () => number = done
  pause(): void {}
  readMsr(index: number, into: Words): number {
    const value = this.msrs.get(index)
    if (value === undefined) return S.STATUS_FAULT
    into.lo = Number(value & 0xffff_ffffn)
    into.hi = Number(value >> 32n)
    return S.STATUS_DONE
  }
  writeMsr(index: number, lo: number, hi: number): number {
    if (!this.msrs.has(index)) return S.STATUS_FAULT
    this.msrs.set(index, (BigInt(hi) << 32n) | BigInt(lo))
    return S.STATUS_DONE
  }
  cpuid(): void {}
  hypercall(): number {
    return S.STATUS_FAULT
  }
  timestamp(into: Words): void {
    into.lo = Number(this.tsc & 0xffff_ffffn)
    into.hi = Number(this.tsc >> 32n)
  }
  random(into: Words): void {
    into.lo = 0x89ab_cdef
    into.hi = 0x0123_4567
  }
  acknowledgeInterrupt(): number {
    return -1
  }
  readTaskPriority(): number {
    return this.priority
  }
  writeTaskPriority(value: number): void {
    this.priority = value
  }
  controlChanged(): void {
    this.controlChanges++
  }
  invalidate(): void {}
}

/**
 * A processor without paging: a linear address is an offset of one small buffer. Pages can be absent or read-only, and
 * the n-th access can ask for a retry.
 */
export class FakeCpu implements Cpu {
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly u64: BigUint64Array
  readonly memory: MachineViews
  readonly host: FakeHost = new FakeHost()
  processor: Processor = new Processor(cpuModel('max'))
  readonly clocks: CpuClocks = { tscHz: 1_000_000_000, crystalHz: 1_000_000_000 }
  readonly places: DebugPlaces = new DebugPlaces()
  readonly memoryAccess = { locatedMa: 0 }
  readonly view: DataView
  readonly bytes: Uint8Array
  readonly absent = new Set<number>()
  readonly readOnly = new Set<number>()
  /** Accesses made so far, and the one that is refused. */
  accesses = 0
  retryAt = -1
  /** Flags of implicit accesses seen, for tests of who may see what. */
  readonly trace: string[] = []
  flushes: boolean[] = []
  readonly system: System

  constructor() {
    const state = new ArrayBuffer(0x1000)
    this.u8 = new Uint8Array(state)
    this.u16 = new Uint16Array(state)
    this.u32 = new Uint32Array(state)
    this.i32 = new Int32Array(state)
    this.u64 = new BigUint64Array(state)
    const memory = new ArrayBuffer(MEMORY_BYTES)
    this.bytes = new Uint8Array(memory)
    this.view = new DataView(memory)
    this.memory = { u8: this.bytes, u16: new Uint16Array(memory), u32: new Uint32Array(memory) }
    this.system = new System(this)
    resetState(this.system, RESET_POWER_ON, true)
    // Any access may ask for a retry, as in a logged pass.
    this.system.set(S.S_LOGGED, 1)
    this.host.controlChanges = 0
    this.flushes = []
  }

  #fault(vector: number, error: number, lo: number, hi: number): number {
    this.u32[S.S_FAULT_VECTOR >>> 2] = vector
    this.u32[S.S_FAULT_ERROR >>> 2] = error
    this.u32[S.S_FAULT_HAS_ERROR >>> 2] = 1
    this.u32[S.S_FAULT_ADDRESS >>> 2] = lo
    this.u32[(S.S_FAULT_ADDRESS >>> 2) + 1] = hi
    return S.STATUS_FAULT
  }

  access(lo: number, hi: number, flags: number): number {
    if (this.accesses++ === this.retryAt) return S.STATUS_RETRY
    const size = flags & 0xff
    const write = (flags & SLOW_WRITE) !== 0
    const top = hi >> 15
    if (top !== 0 && top !== -1) return this.#fault((flags & SLOW_STACK) === 0 ? VECTOR_GP : VECTOR_SS, 0, lo, hi)
    const user = this.u32[S.S_CPL >>> 2] === 3 && (flags & SLOW_IMPLICIT) === 0
    for (let i = 0; i < size; i++) {
      const at = lo + i
      const page = at >>> 12
      const outside = hi !== 0 || at >= MEMORY_BYTES || this.absent.has(page)
      if (outside || (write && this.readOnly.has(page))) {
        return this.#fault(VECTOR_PF, (outside ? 0 : 1) | (write ? 2 : 0) | (user ? 4 : 0), at, hi)
      }
    }
    if ((flags & SLOW_PROBE) !== 0) return S.STATUS_DONE
    if (write) this.bytes.set(this.u8.subarray(S.S_DATA, S.S_DATA + size), lo)
    else this.u8.set(this.bytes.subarray(lo, lo + size), S.S_DATA)
    return S.STATUS_DONE
  }

  repeat(): number {
    return 0
  }
  affordableIterations(): number {
    return Infinity
  }
  mayRepeat(): boolean {
    return true
  }

  mayEndGather(): boolean {
    return false
  }

  accessPhysical(gpa: number, flags: number): number {
    return this.access(gpa, 0, flags | SLOW_IMPLICIT)
  }

  port(port: number, flags: number): number {
    if (this.accesses++ === this.retryAt) return S.STATUS_RETRY
    const size = flags & 0xff
    if ((flags & SLOW_WRITE) !== 0) {
      const value = (this.u32[S.S_DATA >>> 2] as number) & (size === 4 ? -1 : (1 << (8 * size)) - 1)
      this.host.portWrites.push([port, size, value >>> 0])
    } else this.u32[S.S_DATA >>> 2] = this.host.ports.get(port) ?? 0xffff_ffff
    return S.STATUS_DONE
  }

  flushTlb(all: boolean): void {
    this.flushes.push(all)
  }

  readonly droppedKeys: number[] = []
  dropKeys(keys: number): void {
    this.droppedKeys.push(keys)
  }

  /** What `Cpu`'s invalidations were called with. */
  readonly invalidated: string[] = []
  invalidatePage(lo: number, hi: number): void {
    this.invalidated.push(`page ${hi.toString(16)}:${lo.toString(16)}`)
  }
  invalidatePcid(scope: number, pcid: number, lo: number, hi: number): void {
    this.invalidated.push(`type ${scope} pcid ${pcid} ${hi.toString(16)}:${lo.toString(16)}`)
  }
  switchPcid(from: number, to: number, keep: boolean): void {
    this.invalidated.push(`${from} → ${to}${keep ? ' keep' : ''}`)
  }

  monitor(): number {
    return S.STATUS_DONE
  }

  armMonitor(): void {}

  endMonitor(): void {}

  modeChanged(): void {
    const s = this.system
    const protectedMode = (s.get(S.S_CR0) & 1) !== 0
    const v86 = (s.get(S.S_EFLAGS) & S.FLAG_VM) !== 0
    s.set(S.S_CPL, !protectedMode ? 0 : v86 ? 3 : (s.attributes(S.SS) >>> 5) & 3)
    const cr0 = s.get(S.S_CR0)
    s.set(S.S_X87_GATE, (cr0 & 12) === 0 ? 0 : 7)
    s.set(S.S_SSE_GATE, (cr0 & 8) === 0 ? 0 : 7)
    s.set(S.S_MMX_GATE, (cr0 & 8) === 0 ? 0 : 7)
  }

  materialiseFlags(): number {
    return this.u32[S.S_EFLAGS >>> 2] as number
  }

  setRflags(value: number): void {
    this.u32[S.S_EFLAGS >>> 2] = value | 2
  }
}
