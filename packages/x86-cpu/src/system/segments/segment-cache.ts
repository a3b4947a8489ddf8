import {
  CS,
  DS,
  ES,
  FS,
  GS,
  LDTR,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_BYTES,
  SEG_CAN_READ,
  SEG_CAN_WRITE,
  SEG_FLAT,
  SEG_HIGH,
  SEG_LIMIT,
  SEG_LOW,
  SEG_RIGHTS,
  SEG_SELECTOR,
  SS,
  S_SEGMENTS,
} from '../../state/state-layout.ts'
import {
  ATTR_DB,
  ATTR_DPL_SHIFT,
  ATTR_P,
  ATTR_S,
  TYPE_ACCESSED,
  TYPE_CODE,
  TYPE_EXPAND_DOWN,
  TYPE_READABLE,
  TYPE_WRITABLE,
} from '../../state/architecture.ts'
import type { System } from '../system.ts'

/** Attributes of a segment in real mode: present, writable data (CS too, which is why writes through it work there). */
export const REAL_MODE_ATTRIBUTES: number = ATTR_P | ATTR_S | TYPE_WRITABLE | TYPE_ACCESSED
/** Attributes of CS after reset and after a far jump in real mode. */
export const REAL_MODE_CODE_ATTRIBUTES: number = REAL_MODE_ATTRIBUTES | TYPE_CODE
/** Attributes of a segment in virtual-8086 mode: writable data of DPL 3. */
const V86_ATTRIBUTES: number = REAL_MODE_ATTRIBUTES | (3 << ATTR_DPL_SHIFT)

function offsetOf(segment: number): number {
  return S_SEGMENTS + segment * SEG_BYTES
}

/** Whether the descriptor behind a segment register may be used at all. */
export function isUsable(s: System, segment: number): boolean {
  return (s.attributes(segment) & ATTR_P) !== 0
}

/**
 * Loads a segment register, hidden part included, and derives what accesses check: lowest and highest offset, rights.
 *
 * @param limit - in bytes, granularity applied
 * @param attributes - as SEG_ATTRIBUTES
 */
export function setSegment(
  s: System,
  segment: number,
  selector: number,
  baseLo: number,
  baseHi: number,
  limit: number,
  attributes: number,
): void {
  const at = offsetOf(segment)
  s.set64(at + SEG_BASE, baseLo, baseHi)
  s.set(at + SEG_LIMIT, limit)
  s.set(at + SEG_SELECTOR, selector)
  s.set(at + SEG_ATTRIBUTES, attributes)
  let low = 0
  let high = limit >>> 0
  let rights = 0
  if ((attributes & ATTR_P) === 0) {
    low = 1
    high = 0
  } else if ((attributes & ATTR_S) === 0) {
    rights = SEG_CAN_READ | SEG_CAN_WRITE
  } else if ((attributes & TYPE_CODE) !== 0) {
    rights = (attributes & TYPE_READABLE) === 0 ? 0 : SEG_CAN_READ
  } else {
    rights = (attributes & TYPE_WRITABLE) === 0 ? SEG_CAN_READ : SEG_CAN_READ | SEG_CAN_WRITE
    if ((attributes & TYPE_EXPAND_DOWN) !== 0) {
      // Valid offsets are those above the limit. A limit of all ones leaves none.
      const top = (attributes & ATTR_DB) === 0 ? 0xffff : 0xffff_ffff
      low = high === 0xffff_ffff ? 1 : high + 1
      high = high === 0xffff_ffff ? 0 : top
    }
  }
  s.set(at + SEG_LOW, low)
  s.set(at + SEG_HIGH, high)
  s.set(at + SEG_RIGHTS, rights)
  markFlat(s, segment)
}

/** Sets a base alone, as instructions and MSRs do that know of FS and GS: the rest of the descriptor stays. */
export function setSegmentBase(s: System, segment: number, lo: number, hi: number): void {
  s.set64(offsetOf(segment) + SEG_BASE, lo, hi)
  markFlat(s, segment)
}

/** Notes whether a segment is all of 4 GiB, read and written. A stack in it has 32-bit pointers, so D/B is asked for of all. */
function markFlat(s: System, segment: number): void {
  const at = offsetOf(segment)
  const rights = s.get(at + SEG_RIGHTS) & ~SEG_FLAT
  const flat =
    rights === (SEG_CAN_READ | SEG_CAN_WRITE) &&
    (s.attributes(segment) & ATTR_DB) !== 0 &&
    s.get(at + SEG_LOW) === 0 &&
    s.get(at + SEG_HIGH) === 0xffff_ffff &&
    (s.get(at + SEG_BASE) | s.get(at + SEG_BASE + 4)) === 0
  s.set(at + SEG_RIGHTS, flat ? rights | SEG_FLAT : rights)
}

/**
 * Loads a null selector: every access fails from now on. Intel's processors clear the base, which 64-bit mode goes on
 * using of FS and GS; AMD's do so if CPUID 8000_0021H, EAX bit 6 is set.
 */
export function setNullSegment(s: System, segment: number, selector: number): void {
  // A null SS exists in 64-bit mode only. Its DPL goes on telling the privilege level.
  if (segment === SS) setSegment(s, segment, selector, 0, 0, 0, (selector & 3) << ATTR_DPL_SHIFT)
  else if (s.cpu.processor.nullClearsBase) setSegment(s, segment, selector, 0, 0, 0, 0)
  else keepBase(s, segment, selector)
}

/** Takes the right to use a segment register away, and leaves base and limit. */
function keepBase(s: System, segment: number, selector: number): void {
  const at = offsetOf(segment)
  setSegment(s, segment, selector, s.get(at + SEG_BASE), s.get(at + SEG_BASE + 4), s.get(at + SEG_LIMIT), 0)
}

/**
 * Makes a segment register null on the way to an outer level: only the selector and the right to use it go (SDM vol. 2A,
 * IRET: "SegmentSelector := 0; (* Segment selector is null *)"). Base and limit stay, and 64-bit mode goes on using the
 * bases of FS and GS.
 */
export function dropSegment(s: System, segment: number): void {
  keepBase(s, segment, 0)
}

/**
 * Loads a segment register as real mode does: base and selector only, so that limits set up in protected mode stay. An
 * unusable segment becomes a 64 KiB one.
 */
export function setRealModeSegment(s: System, segment: number, selector: number): void {
  const base = (selector << 4) >>> 0
  const at = offsetOf(segment)
  if (!isUsable(s, segment)) setSegment(s, segment, selector, base, 0, 0xffff, REAL_MODE_ATTRIBUTES)
  s.set64(at + SEG_BASE, base, 0)
  s.set(at + SEG_SELECTOR, selector)
  s.set(at + SEG_RIGHTS, SEG_CAN_READ | SEG_CAN_WRITE)
}

export function setV86Segment(s: System, segment: number, selector: number): void {
  setSegment(s, segment, selector, (selector << 4) >>> 0, 0, 0xffff, V86_ATTRIBUTES)
}

/** In real mode every segment can be read and written, CS too, whatever protected mode left in it. */
export function openSegmentsForRealMode(s: System): void {
  for (const segment of [ES, CS, SS, DS, FS, GS]) {
    if (isUsable(s, segment)) s.set(offsetOf(segment) + SEG_RIGHTS, SEG_CAN_READ | SEG_CAN_WRITE)
  }
}

/** GDTR and IDTR have neither selector nor attributes. */
export function setTableRegister(s: System, segment: number, baseLo: number, baseHi: number, limit: number): void {
  const at = offsetOf(segment)
  s.set64(at + SEG_BASE, baseLo, baseHi)
  s.set(at + SEG_LIMIT, limit)
  s.set(at + SEG_LOW, 0)
  s.set(at + SEG_HIGH, limit)
  s.set(at + SEG_RIGHTS, SEG_CAN_READ | SEG_CAN_WRITE)
}

/** A null selector in LDTR: nothing can be loaded from the local table. */
export function setNullLdt(s: System, selector: number): void {
  setSegment(s, LDTR, selector, 0, 0, 0, 0)
}
