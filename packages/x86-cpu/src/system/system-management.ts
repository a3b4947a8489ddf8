import { SLOW_PROBE, SLOW_WRITE } from '../state/host.ts'
import * as S from '../state/state-layout.ts'
import * as architecture from '../state/architecture.ts'
import { IO_INPUT, IO_REPEATED, IO_STRING } from './io-state.ts'
import type { Handler } from './operands.ts'
import {
  REAL_MODE_ATTRIBUTES,
  REAL_MODE_CODE_ATTRIBUTES,
  openSegmentsForRealMode,
  setSegment,
  setTableRegister,
} from './segments/segment-cache.ts'
import { saveMapOf, type SaveMap } from './smram-map.ts'
import type { System } from './system.ts'
import * as systemState from '../state/system-state.ts'

/*
 * System-management mode, as far as it is the processor's: SMI, RSM, the state save area.
 *
 * Source: SDM vol. 3C, "System Management Mode"; AMD APM vol. 2, "System-Management Mode".
 *
 * Manuals leave open, and here:
 * - SMBASE is a multiple of 16, as CS's selector is SMBASE >> 4; RSM shuts down otherwise. (A Pentium asks for 32 KiB.)
 * - Traps, shadows and shutdown that wait at the boundary where SMI comes go on after RSM; a trap of RSM itself is lost.
 * - PDPTE registers are saved and come back as they were, without a look at memory.
 * - SMI is held off while the processor waits for a start-up IPI, and INIT until RSM; start-up IPIs are lost in SMM.
 */

/** The handler's offset from SMBASE. */
const HANDLER = 0x8000
/** The end of the save area, as an offset from SMBASE. */
const END = 0x1_0000
/** I/O restart, low byte: RSM makes the I/O instruction again. */
const RESTART = 0xff

/** Bits of a segment register's attributes; bits 11:8 are a descriptor's limit. */
const ATTRIBUTES_DEFINED = 0xf0ff

const DR6 = S.S_DR + 6 * 8
const DR7 = S.S_DR + 7 * 8

/** The save area while it is written or read. */
const image = new DataView(new ArrayBuffer(0x400))
const IMAGE_START = END - image.byteLength

function put(at: number, bytes: number, lo: number, hi: number): void {
  const offset = at - IMAGE_START
  if (bytes === 2) image.setUint16(offset, lo, true)
  else image.setUint32(offset, lo, true)
  if (bytes === 8) image.setUint32(offset + 4, hi, true)
}

function low(at: number, bytes = 4): number {
  const offset = at - IMAGE_START
  return bytes === 2 ? image.getUint16(offset, true) : image.getUint32(offset, true)
}

/** The high word of a value of 8 bytes; that of a shorter one is zero. */
function high(at: number, bytes: number): number {
  return bytes === 8 ? low(at + 4) : 0
}

// ---------------------------------------------------------------- SMI

/**
 * Enters system-management mode: saves the state at SMBASE, and goes to the handler.
 *
 * A replay unit of its own, as an event's delivery is.
 *
 * @returns STATUS_EXIT; or STATUS_RETRY, STATUS_RESTART: nothing has changed
 * @throws Abandon
 */
export function enterSystemManagement(s: System): number {
  const map = saveMapOf(s.cpu.processor)
  const base = s.get(systemState.S_SMBASE)
  s.set(systemState.S_SMM, systemState.SMM_ENTERING)
  fill(s, map)
  // Nothing is stored before all of it can be.
  for (const at of [map.start, END - 8]) s.check(s.cpu.accessPhysical(areaAt(base, at), 8 | SLOW_WRITE | SLOW_PROBE))
  for (let at = map.start; at < END; at += 8) {
    s.set64(S.S_DATA, low(at), high(at, 8))
    s.check(s.cpu.accessPhysical(areaAt(base, at), 8 | SLOW_WRITE))
  }
  start(s, base)
  return S.STATUS_EXIT
}

/** Guest-physical address of a place in the area: addresses have 32 bits without paging. */
function areaAt(base: number, at: number): number {
  return (base + at) >>> 0
}

function fill(s: System, map: SaveMap): void {
  const { places, width } = map
  if (s.get(systemState.S_STEP_SUPPRESSED) !== 0) {
    s.set(systemState.S_STEP_SUPPRESSED, 0)
    s.set(systemState.S_STEPPING, 0)
  }
  for (let i = 0; i < image.byteLength; i += 4) image.setUint32(i, 0, true)
  for (const [at, bytes, state] of map.slots) put(at, bytes, s.get(state), bytes === 8 ? s.get(state + 4) : 0)
  const flags = s.cpu.materialiseFlags()
  put(places.flags, width, s.get(systemState.S_REPEATING) === 0 ? flags : flags | S.FLAG_RF, 0)
  put(places.revision, 4, map.revision, 0)
  const activity = s.get(systemState.S_ACTIVITY)
  if (activity === systemState.ACTIVITY_HALTED) image.setUint8(places.halt - IMAGE_START, 1)
  if (activity === systemState.ACTIVITY_SHUTDOWN) put(places.shutdown, 4, 1, 0)
  if (places.nmi !== 0 && s.get(systemState.S_NMI_BLOCKED) !== 0) image.setUint8(places.nmi - IMAGE_START, 1)
  fillIo(s, map, flags)
}

/** Fills in the I/O instruction right before SMI, and the values that it is to begin with when RSM makes it again. */
function fillIo(s: System, { places, width, io }: SaveMap, flags: number): void {
  const state = s.get(systemState.S_IO_STATE)
  if (state === 0) return
  put(places.io, 4, io(state, flags), 0)
  putState(s, places.ioRip, width, systemState.S_IO_RIP)
  if (places.ioAddress !== 0) putState(s, places.ioAddress, width, systemState.S_IO_ADDRESS)
  const type = state >>> 4
  const string = (type & IO_STRING) !== 0
  const input = (type & IO_INPUT) !== 0
  putState(
    s,
    places.ioCount,
    width,
    (type & IO_REPEATED) === 0 ? S.S_GPR + 8 * architecture.RCX : systemState.S_IO_COUNT,
  )
  putState(s, places.ioSource, width, string && !input ? systemState.S_IO_INDEX : S.S_GPR + 8 * architecture.RSI)
  putState(s, places.ioDestination, width, string && input ? systemState.S_IO_INDEX : S.S_GPR + 8 * architecture.RDI)
}

function putState(s: System, at: number, bytes: 4 | 8, state: number): void {
  put(at, bytes, s.get(state), s.get(state + 4))
}

/** The state that the handler begins with (SDM vol. 3C, table "Processor Register Initialization in SMM"). */
function start(s: System, base: number): void {
  s.set(systemState.S_SMM, systemState.SMM_INSIDE)
  Atomics.and(s.u32, S.S_EVENTS >>> 2, ~S.EVENT_SMI)
  s.cpu.setRflags(architecture.FLAG_FIXED)
  s.set64(S.S_RIP, HANDLER, 0)
  s.set64(
    S.S_CR0,
    s.get(S.S_CR0) & ~(architecture.CR0_PE | architecture.CR0_EM | architecture.CR0_TS | architecture.CR0_PG),
    0,
  )
  s.set64(S.S_CR4, 0, 0)
  s.set64(S.S_EFER, 0, 0)
  s.set64(DR7, architecture.DR7_ONES, 0)
  setSegment(s, S.CS, (base >>> 4) & 0xffff, base, 0, 0xffff_ffff, REAL_MODE_CODE_ATTRIBUTES | architecture.ATTR_G)
  for (const segment of [S.ES, S.SS, S.DS, S.FS, S.GS])
    setSegment(s, segment, 0, 0, 0, 0xffff_ffff, REAL_MODE_ATTRIBUTES | architecture.ATTR_G)
  openSegmentsForRealMode(s)
  for (const offset of [
    S.S_SHADOW,
    systemState.S_PENDING_DEBUG,
    systemState.S_STEPPING,
    systemState.S_REPEATING,
    systemState.S_IO_STATE,
  ])
    s.set(offset, 0)
  for (const offset of [systemState.S_IO_RIP, systemState.S_IO_ADDRESS, systemState.S_IO_COUNT, systemState.S_IO_INDEX])
    s.set64(offset, 0, 0)
  s.set(systemState.S_NMI_BLOCKED, 1)
  s.set(systemState.S_ACTIVITY, systemState.ACTIVITY_RUNNING)
  changed(s)
}

/** The processor sees memory anew: through SMRAM, or no longer. */
function changed(s: System): void {
  s.host.controlChanged()
  s.cpu.flushTlb(true)
  s.cpu.modeChanged()
}

// ---------------------------------------------------------------- RSM

// @isa: complete   0F AA   RSM   "SDM vol. 2B, RSM"
const rsm: Handler = (s) => {
  if (s.get(systemState.S_SMM) !== systemState.SMM_INSIDE) s.undefinedOpcode()
  const map = saveMapOf(s.cpu.processor)
  const base = s.get(systemState.S_SMBASE)
  for (let at = map.start; at < END; at += 8) {
    s.check(s.cpu.accessPhysical(areaAt(base, at), 8))
    put(at, 8, s.get(S.S_DATA), s.get(S.S_DATA + 4))
  }
  if (!isValid(s, map)) {
    s.set(systemState.S_ACTIVITY, systemState.ACTIVITY_SHUTDOWN)
    return S.STATUS_EXIT
  }
  resume(s, map)
  return S.STATUS_EXIT
}

/** Low word of a field as the area has it. */
function saved({ slots }: SaveMap, state: number): number {
  const slot = slots.find(([, , field]) => field === state)
  return slot === undefined ? 0 : low(slot[0], slot[1])
}

/** The same for the high word. */
function savedHigh({ slots }: SaveMap, state: number): number {
  const slot = slots.find(([, , field]) => field === state)
  return slot === undefined ? 0 : high(slot[0], slot[1])
}

/**
 * Whether RSM can load the state: no reserved bit of CR0, CR3, CR4 or EFER is set, and none contradicts another.
 *
 * Source: SDM vol. 3C, "Exiting From SMM".
 */
function isValid(s: System, map: SaveMap): boolean {
  const { processor } = s.cpu
  const cr0 = saved(map, S.S_CR0)
  const cr4 = saved(map, S.S_CR4)
  const efer = saved(map, S.S_EFER)
  const paging = (cr0 & architecture.CR0_PG) !== 0
  if ((savedHigh(map, S.S_CR0) | savedHigh(map, S.S_CR4) | savedHigh(map, S.S_EFER)) !== 0) return false
  if ((savedHigh(map, S.S_CR3) & processor.abovePhysicalHi) !== 0) return false
  if (paging && (cr0 & architecture.CR0_PE) === 0) return false
  if ((cr0 & architecture.CR0_NW) !== 0 && (cr0 & architecture.CR0_CD) === 0) return false
  if ((cr4 & ~processor.cr4) !== 0 || (efer & ~processor.efer) !== 0) return false
  const long = paging && (efer & architecture.EFER_LME) !== 0
  if (long !== ((efer & architecture.EFER_LMA) !== 0) || (long && (cr4 & architecture.CR4_PAE) === 0)) return false
  if (!long && (cr4 & architecture.CR4_PCIDE) !== 0) return false
  if (long && (low(map.places.flags) & S.FLAG_VM) !== 0) return false
  return (saved(map, systemState.S_SMBASE) & (isPentium(processor.model.signature) ? 0x7fff : 0xf)) === 0
}

/** Family 5 and below. */
function isPentium(signature: number): boolean {
  return ((signature >>> 8) & 0xf) < 6
}

/** Loads the state, and leaves system-management mode. */
function resume(s: System, map: SaveMap): void {
  const { places } = map
  for (const [at, bytes, state] of map.slots) {
    if (bytes === 8) s.set64(state, low(at), high(at, 8))
    else s.set(state, low(at, bytes))
  }
  s.set(S.S_CR0, (s.get(S.S_CR0) & architecture.CR0_DEFINED) | architecture.CR0_ET)
  s.set64(DR6, (s.get(DR6) & architecture.DR6_WRITABLE) | architecture.DR6_ONES, 0)
  s.set64(DR7, (s.get(DR7) & architecture.DR7_WRITABLE) | architecture.DR7_ONES, 0)
  s.cpu.setRflags((low(places.flags) & s.cpu.processor.rflags) | architecture.FLAG_FIXED)
  for (let segment = S.ES; segment <= S.TR; segment++) loadSegment(s, segment)
  if (!s.protectedMode) openSegmentsForRealMode(s)
  for (const table of [S.GDTR, S.IDTR]) {
    setTableRegister(
      s,
      table,
      s.segmentField(table, S.SEG_BASE),
      s.segmentField(table, S.SEG_BASE + 4),
      s.segmentField(table, S.SEG_LIMIT) & 0xffff,
    )
  }
  // A handler may write anything: what the rest of the processor relies on holds again.
  s.set(S.S_SHADOW, s.get(S.S_SHADOW) & (S.SHADOW_STI | S.SHADOW_MOV_SS))
  s.set(systemState.S_PENDING_DEBUG, s.get(systemState.S_PENDING_DEBUG) & architecture.DR6_WRITABLE)
  s.set(systemState.S_STEPPING, s.get(systemState.S_STEPPING) & 1)
  const restarts = image.getUint8(places.restart - IMAGE_START) === RESTART
  if (restarts && (low(places.io) & map.ioValid) !== 0) restartIo(s, map)
  s.set(systemState.S_NMI_BLOCKED, places.nmi !== 0 ? image.getUint8(places.nmi - IMAGE_START) & 1 : 0)
  const halted = (image.getUint8(places.halt - IMAGE_START) & 1) !== 0
  s.set(
    systemState.S_ACTIVITY,
    low(places.shutdown) !== 0
      ? systemState.ACTIVITY_SHUTDOWN
      : halted
        ? systemState.ACTIVITY_HALTED
        : systemState.ACTIVITY_RUNNING,
  )
  if (!s.mode64) s.set(S.S_RIP + 4, 0)
  s.set(systemState.S_SMM, systemState.SMM_OUTSIDE)
  changed(s)
  s.host.systemManagementLeft?.()
}

/** Derives what accesses check from a segment register's fields. */
function loadSegment(s: System, segment: number): void {
  setSegment(
    s,
    segment,
    s.segmentField(segment, S.SEG_SELECTOR),
    s.segmentField(segment, S.SEG_BASE),
    s.segmentField(segment, S.SEG_BASE + 4),
    s.segmentField(segment, S.SEG_LIMIT),
    s.segmentField(segment, S.SEG_ATTRIBUTES) & ATTRIBUTES_DEFINED,
  )
}

/** The I/O instruction that SMI came after is made again, from where its last iteration began. */
function restartIo(s: System, { places, width }: SaveMap): void {
  s.set64(S.S_RIP, low(places.ioRip), high(places.ioRip, width))
  s.set64(S.S_GPR + 8 * architecture.RCX, low(places.ioCount), high(places.ioCount, width))
  s.set64(S.S_GPR + 8 * architecture.RSI, low(places.ioSource), high(places.ioSource, width))
  s.set64(S.S_GPR + 8 * architecture.RDI, low(places.ioDestination), high(places.ioDestination, width))
}

export const systemManagementHandlers: Readonly<Record<string, Handler>> = { RSM: rsm }
