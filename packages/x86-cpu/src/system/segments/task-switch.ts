import { VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS } from '../../state/vectors.ts'
import * as S from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import { loadPageDirectoryPointers, usesPdptes } from '../control-registers.ts'
import {
  Descriptor,
  isNull,
  queueAccessed,
  queueTypeByte,
  readDescriptor,
  requireDescriptor,
  selectorIndex,
  setSegmentFrom,
} from './descriptors.ts'
import { setNullLdt, setSegment, setV86Segment } from './segment-cache.ts'
import { PushStack } from './stack-frames.ts'
import { Abandon, type System } from '../system.ts'
import * as systemState from '../../state/system-state.ts'

export const TASK_JUMP = 0
export const TASK_CALL = 1
export const TASK_INTERRUPT = 2
export const TASK_IRET = 3

const DR7 = S.S_DR + 7 * 8
/** L0–L3 and LE. */
const DR7_LOCAL = 0x155

/** Where a TSS keeps what (SDM vol. 3A, "Task-State Segment (TSS)", "16-Bit Task-State Segment (TSS)"). */
interface TssLayout {
  readonly size: number
  /** The least limit. */
  readonly limit: number
  readonly ip: number
  readonly flags: number
  readonly registers: number
  readonly segments: number
  /** Distance from one selector to the next, and how many there are. */
  readonly segmentStride: number
  readonly segmentCount: number
  readonly ldt: number
}

const TSS32: TssLayout = {
  size: 4,
  limit: 0x67,
  ip: 0x20,
  flags: 0x24,
  registers: 0x28,
  segments: 0x48,
  segmentStride: 4,
  segmentCount: 6,
  ldt: 0x60,
}
const TSS16: TssLayout = {
  size: 2,
  limit: 0x2b,
  ip: 0x0e,
  flags: 0x10,
  registers: 0x12,
  segments: 0x22,
  segmentStride: 2,
  segmentCount: 4,
  ldt: 0x2a,
}

const tss = new Descriptor()
const oldTss = new Descriptor()
const code = new Descriptor()
const other = new Descriptor()
const stack = new PushStack()

/** The registers of the new TSS. */
const registers = new Uint32Array(8)
const selectors = new Uint16Array(6)

/** Registers up to the control registers, for a switch that meets a device half-way. */
const SAVED_BYTES = 0x340
const saved = new Uint8Array(SAVED_BYTES)

/** A task switch, and what of the old task it saves. */
export interface TaskSwitch {
  /** Selector of the new task's TSS. */
  readonly selector: number
  /** `TASK_*`. */
  readonly kind: number
  /** EIP that the old task resumes at. */
  readonly returnIp: number
  /** Error code to push on the new task's stack; absent, there is none. */
  readonly errorCode?: number | undefined
  /** RF in the saved EFLAGS is set. */
  readonly resume?: boolean
}

/** The fields of a TSS that a task is loaded from, beside registers and selectors. */
interface NewTask {
  readonly cr3: number
  readonly ip: number
  readonly flags: number
  readonly ldt: number
  /** The TSS has 32 bits. */
  readonly wide: boolean
}

/**
 * Switches to another task.
 *
 * Runs in logged passes only: the switch reads with the new task's page tables after it has written with the old one's, and only
 * the log can take all of it back. A failure after the new task's registers are loaded is an exception *in the new task*: the
 * switch has then retired, and `afterInstruction` hands the exception out.
 *
 * Source: SDM vol. 3A, "Task Switching".
 */
export function switchTask(s: System, change: TaskSwitch): number {
  const { selector, kind, errorCode } = change
  if (s.get(S.S_LOGGED) !== 1) s.abandon(S.STATUS_RESTART)
  const stepping = (s.get(S.S_EFLAGS) & S.FLAG_TF) !== 0
  const layout = checkTss(s, selector, kind)
  const base = tss.base
  const wide = layout === TSS32
  // Everything is read before anything is written.
  const cr3 = wide ? s.readSystem((base + 0x1c) >>> 0, 0, 4) : 0
  const ip = s.readSystem((base + layout.ip) >>> 0, 0, layout.size)
  const flags = s.readSystem((base + layout.flags) >>> 0, 0, layout.size)
  for (let i = 0; i < 8; i++) {
    registers[i] = s.readSystem((base + layout.registers + i * layout.size) >>> 0, 0, layout.size)
  }
  selectors.fill(0)
  for (let i = 0; i < layout.segmentCount; i++) {
    selectors[i] = s.readSystem((base + layout.segments + i * layout.segmentStride) >>> 0, 0, 2)
  }
  const ldt = s.readSystem((base + layout.ldt) >>> 0, 0, 2)
  const trap = wide && (s.readSystem((base + 0x64) >>> 0, 0, 2) & 1) !== 0

  const oldSelector = s.segmentField(S.TR, S.SEG_SELECTOR)
  if (kind === TASK_JUMP || kind === TASK_IRET) setBusy(s, oldSelector, oldTss, false)
  saveOldTask(s, change)
  if (kind === TASK_CALL || kind === TASK_INTERRUPT) s.writeSystem(base, 0, 2, oldSelector)
  if (kind !== TASK_IRET) {
    tss.high |= architecture.TSS_BUSY_BIT << 8
    queueTypeByte(s, tss)
  } else tss.high |= architecture.TSS_BUSY_BIT << 8
  s.commit()

  saved.set(s.u8.subarray(0, SAVED_BYTES))
  try {
    loadNewTask(s, kind, { cr3, ip, flags, ldt, wide })
    if (errorCode !== undefined) pushError(s, layout.size, errorCode)
  } catch (error) {
    if (!(error instanceof Abandon)) throw error
    if (error.status !== S.STATUS_FAULT) {
      restore(s)
      throw error
    }
    keepFault(s)
  }
  if (stepping) s.set(systemState.S_STEP_SUPPRESSED, 1)
  if (trap) s.set(systemState.S_PENDING_DEBUG, s.get(systemState.S_PENDING_DEBUG) | architecture.DR6_BT)
  return s.retired()
}

/** Puts the exception aside until the switch has retired. */
function keepFault(s: System): void {
  s.set(systemState.S_PENDING_FAULT, s.get(S.S_FAULT_VECTOR) + 1)
  s.set(systemState.S_PENDING_FAULT_ERROR, s.get(S.S_FAULT_ERROR))
  s.set(systemState.S_PENDING_FAULT_HAS_ERROR, s.get(S.S_FAULT_HAS_ERROR))
  s.set64(systemState.S_PENDING_FAULT_ADDRESS, s.get(S.S_FAULT_ADDRESS), s.get(S.S_FAULT_ADDRESS + 4))
  s.i32[S.S_FAULT_VECTOR >>> 2] = -1
}

function restore(s: System): void {
  s.u8.set(saved, 0)
  s.host.controlChanged()
  s.cpu.flushTlb(true)
  s.cpu.modeChanged()
}

function checkTss(s: System, selector: number, kind: number): TssLayout {
  const error = selectorIndex(selector)
  const returning = kind === TASK_IRET
  const vector = returning ? VECTOR_TS : VECTOR_GP
  if (isNull(selector) || (selector & 4) !== 0) s.raise(vector, error)
  requireDescriptor(s, selector, tss, vector)
  const type = tss.type
  const wide = type === architecture.SYSTEM_TSS || type === architecture.SYSTEM_TSS_BUSY
  const narrow = type === architecture.SYSTEM_TSS16 || type === architecture.SYSTEM_TSS16_BUSY
  const busy = (type & architecture.TSS_BUSY_BIT) !== 0
  if (tss.isSegment || !(wide || narrow) || busy !== returning) s.raise(vector, error)
  if (!tss.present) s.raise(VECTOR_NP, error)
  const layout = wide ? TSS32 : TSS16
  if (tss.limit < layout.limit) s.raise(VECTOR_TS, error)
  return layout
}

/** Queues the change of a TSS descriptor's busy flag, where its table still holds one. */
function setBusy(s: System, selector: number, d: Descriptor, busy: boolean): void {
  if (!readDescriptor(s, selector & 0xfff8, d)) return
  d.high = busy ? d.high | (architecture.TSS_BUSY_BIT << 8) : d.high & ~(architecture.TSS_BUSY_BIT << 8)
  queueTypeByte(s, d)
}

function saveOldTask(s: System, { kind, returnIp, resume = false }: TaskSwitch): void {
  const wide = (s.attributes(S.TR) & architecture.ATTR_TYPE) >= architecture.SYSTEM_TSS
  const layout = wide ? TSS32 : TSS16
  const base = s.segmentField(S.TR, S.SEG_BASE)
  let flags = s.cpu.materialiseFlags()
  if (kind === TASK_IRET) flags &= ~S.FLAG_NT
  if (resume) flags |= S.FLAG_RF
  const { size } = layout
  if (layout.limit > s.segmentField(S.TR, S.SEG_LIMIT)) {
    s.raise(VECTOR_TS, selectorIndex(s.segmentField(S.TR, S.SEG_SELECTOR)))
  }
  s.writeSystem((base + layout.ip) >>> 0, 0, size, returnIp)
  s.writeSystem((base + layout.flags) >>> 0, 0, size, flags)
  for (let i = 0; i < 8; i++) s.writeSystem((base + layout.registers + i * size) >>> 0, 0, size, s.gpr(i))
  for (let i = 0; i < layout.segmentCount; i++) {
    s.writeSystem((base + layout.segments + i * layout.segmentStride) >>> 0, 0, 2, s.segmentField(i, S.SEG_SELECTOR))
  }
}

function loadNewTask(s: System, kind: number, task: NewTask): void {
  const { cr3, ip, ldt, wide } = task
  setSegmentFrom(s, S.TR, tss.selector, tss)
  s.set(S.S_CR0, s.get(S.S_CR0) | architecture.CR0_TS)
  // Breakpoints of the old task alone go with it.
  s.set(DR7, s.get(DR7) & ~DR7_LOCAL)
  let { flags } = task
  if (kind === TASK_CALL || kind === TASK_INTERRUPT) flags |= S.FLAG_NT
  s.cpu.setRflags((flags & s.cpu.processor.rflags) | architecture.FLAG_FIXED)
  s.set64(S.S_RIP, ip, 0)
  // A 16-bit TSS leaves the upper halves of the registers.
  for (let i = 0; i < 8; i++) s.setGpr(i, wide ? 4 : 2, registers[i]!)
  // Until each segment is loaded, its selector is valid and its descriptor is not. The privilege level is the new CS's.
  const v86 = (flags & S.FLAG_VM) !== 0
  const level = v86 ? 3 : selectors[S.CS]! & 3
  for (let i = 0; i < 6; i++) {
    setSegment(s, i, selectors[i]!, 0, 0, 0, i === S.SS ? level << architecture.ATTR_DPL_SHIFT : 0)
  }
  setNullLdt(s, ldt)
  if (wide && (s.get(S.S_CR0) & architecture.CR0_PG) !== 0) {
    if (usesPdptes(s)) loadPageDirectoryPointers(s, cr3)
    s.set64(S.S_CR3, cr3, 0)
    s.host.controlChanged()
    s.cpu.flushTlb(false)
  }
  s.cpu.modeChanged()

  loadLdt(s, ldt)
  if (v86) {
    for (let i = 0; i < 6; i++) setV86Segment(s, i, selectors[i]!)
    s.cpu.modeChanged()
    if (ip > 0xffff) s.raise(VECTOR_GP, 0)
    return
  }
  loadStack(s, level)
  for (const segment of DATA_SEGMENTS) loadData(s, segment, level)
  loadCode(s, level, ip)
}

/** ES, DS, FS, GS. */
const DATA_SEGMENTS: readonly number[] = [0, 3, 4, 5]

function loadLdt(s: System, selector: number): void {
  if (isNull(selector)) return
  const error = selectorIndex(selector)
  if ((selector & 4) !== 0) s.raise(VECTOR_TS, error)
  requireDescriptor(s, selector, other, VECTOR_TS)
  if (other.isSegment || other.type !== architecture.SYSTEM_LDT || !other.present) s.raise(VECTOR_TS, error)
  setSegmentFrom(s, S.LDTR, selector, other)
}

/** CS is checked before SS and the data segments are loaded, and loaded last. */
function loadStack(s: System, level: number): void {
  const csSelector = selectors[S.CS]!
  const csError = selectorIndex(csSelector)
  if (isNull(csSelector)) s.raise(VECTOR_TS, csError)
  requireDescriptor(s, csSelector, code, VECTOR_TS)
  if (!code.isCode || (code.isConforming ? code.dpl > level : code.dpl !== level)) s.raise(VECTOR_TS, csError)
  if (!code.present) s.raise(VECTOR_NP, csError)

  const selector = selectors[S.SS]!
  const error = selectorIndex(selector)
  if (isNull(selector)) s.raise(VECTOR_TS, error)
  requireDescriptor(s, selector, other, VECTOR_TS)
  if (!other.isWritableData || other.dpl !== level || (selector & 3) !== level) s.raise(VECTOR_TS, error)
  if (!other.present) s.raise(VECTOR_SS, error)
  queueAccessed(s, other)
  s.commit()
  setSegmentFrom(s, S.SS, selector, other)
  s.cpu.modeChanged()
}

function loadData(s: System, segment: number, level: number): void {
  const selector = selectors[segment]!
  if (isNull(selector)) return
  const error = selectorIndex(selector)
  requireDescriptor(s, selector, other, VECTOR_TS)
  if (!other.isReadable) s.raise(VECTOR_TS, error)
  if (!(other.isCode && other.isConforming) && (level > other.dpl || (selector & 3) > other.dpl)) {
    s.raise(VECTOR_TS, error)
  }
  if (!other.present) s.raise(VECTOR_NP, error)
  queueAccessed(s, other)
  s.commit()
  setSegmentFrom(s, segment, selector, other)
}

function loadCode(s: System, level: number, ip: number): void {
  queueAccessed(s, code)
  s.commit()
  setSegmentFrom(s, S.CS, (selectors[S.CS]! & 0xfffc) | level, code)
  s.cpu.modeChanged()
  if (ip > code.limit) s.raise(VECTOR_GP, 0)
}

/** An exception's error code goes onto the new task's stack. */
function pushError(s: System, size: number, errorCode: number): void {
  stack.useCurrent(s)
  stack.push(s, size, errorCode)
  stack.finish(s)
  s.commit()
  stack.store(s)
}
