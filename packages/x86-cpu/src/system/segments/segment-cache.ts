import * as S from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import type { System } from '../system.ts'

/** Attributes of a segment in real mode: present, writable data (CS too, which is why writes through it work there). */
export const REAL_MODE_ATTRIBUTES: number =
  architecture.ATTR_P | architecture.ATTR_S | architecture.TYPE_WRITABLE | architecture.TYPE_ACCESSED
/** Attributes of CS after reset and after a far jump in real mode. */
export const REAL_MODE_CODE_ATTRIBUTES: number = REAL_MODE_ATTRIBUTES | architecture.TYPE_CODE
/** Attributes of a segment in virtual-8086 mode: writable data of DPL 3. */
const V86_ATTRIBUTES: number = REAL_MODE_ATTRIBUTES | (3 << architecture.ATTR_DPL_SHIFT)

function offsetOf(segment: number): number {
  return S.S_SEGMENTS + segment * S.SEG_BYTES
}

/** Whether the descriptor behind a segment register may be used at all. */
export function isUsable(s: System, segment: number): boolean {
  return (s.attributes(segment) & architecture.ATTR_P) !== 0
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
  s.set64(at + S.SEG_BASE, baseLo, baseHi)
  s.set(at + S.SEG_LIMIT, limit)
  s.set(at + S.SEG_SELECTOR, selector)
  s.set(at + S.SEG_ATTRIBUTES, attributes)
  let low = 0
  let high = limit >>> 0
  let rights = 0
  if ((attributes & architecture.ATTR_P) === 0) {
    low = 1
    high = 0
  } else if ((attributes & architecture.ATTR_S) === 0) {
    rights = S.SEG_CAN_READ | S.SEG_CAN_WRITE
  } else if ((attributes & architecture.TYPE_CODE) !== 0) {
    rights = (attributes & architecture.TYPE_READABLE) === 0 ? 0 : S.SEG_CAN_READ
  } else {
    rights = (attributes & architecture.TYPE_WRITABLE) === 0 ? S.SEG_CAN_READ : S.SEG_CAN_READ | S.SEG_CAN_WRITE
    if ((attributes & architecture.TYPE_EXPAND_DOWN) !== 0) {
      // Valid offsets are those above the limit. A limit of all ones leaves none.
      const top = (attributes & architecture.ATTR_DB) === 0 ? 0xffff : 0xffff_ffff
      low = high === 0xffff_ffff ? 1 : high + 1
      high = high === 0xffff_ffff ? 0 : top
    }
  }
  s.set(at + S.SEG_LOW, low)
  s.set(at + S.SEG_HIGH, high)
  s.set(at + S.SEG_RIGHTS, rights)
  markFlat(s, segment)
}

/** Sets a base alone, as instructions and MSRs do that know of FS and GS: the rest of the descriptor stays. */
export function setSegmentBase(s: System, segment: number, lo: number, hi: number): void {
  s.set64(offsetOf(segment) + S.SEG_BASE, lo, hi)
  markFlat(s, segment)
}

/** Notes whether a segment is all of 4 GiB, read and written. A stack in it has 32-bit pointers, so D/B is asked for of all. */
function markFlat(s: System, segment: number): void {
  const at = offsetOf(segment)
  const rights = s.get(at + S.SEG_RIGHTS) & ~S.SEG_FLAT
  const flat =
    rights === (S.SEG_CAN_READ | S.SEG_CAN_WRITE) &&
    (s.attributes(segment) & architecture.ATTR_DB) !== 0 &&
    s.get(at + S.SEG_LOW) === 0 &&
    s.get(at + S.SEG_HIGH) === 0xffff_ffff &&
    (s.get(at + S.SEG_BASE) | s.get(at + S.SEG_BASE + 4)) === 0
  s.set(at + S.SEG_RIGHTS, flat ? rights | S.SEG_FLAT : rights)
}

/**
 * Loads a null selector: every access fails from now on. Intel's processors clear the base, which 64-bit mode goes on
 * using of FS and GS; AMD's do so if CPUID 8000_0021H, EAX bit 6 is set.
 */
export function setNullSegment(s: System, segment: number, selector: number): void {
  // A null SS exists in 64-bit mode only. Its DPL goes on telling the privilege level.
  if (segment === S.SS) setSegment(s, segment, selector, 0, 0, 0, (selector & 3) << architecture.ATTR_DPL_SHIFT)
  else if (s.cpu.processor.nullClearsBase) setSegment(s, segment, selector, 0, 0, 0, 0)
  else keepBase(s, segment, selector)
}

/** Takes the right to use a segment register away, and leaves base and limit. */
function keepBase(s: System, segment: number, selector: number): void {
  const at = offsetOf(segment)
  setSegment(s, segment, selector, s.get(at + S.SEG_BASE), s.get(at + S.SEG_BASE + 4), s.get(at + S.SEG_LIMIT), 0)
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
  s.set64(at + S.SEG_BASE, base, 0)
  s.set(at + S.SEG_SELECTOR, selector)
  s.set(at + S.SEG_RIGHTS, S.SEG_CAN_READ | S.SEG_CAN_WRITE)
}

export function setV86Segment(s: System, segment: number, selector: number): void {
  setSegment(s, segment, selector, (selector << 4) >>> 0, 0, 0xffff, V86_ATTRIBUTES)
}

/** In real mode every segment can be read and written, CS too, whatever protected mode left in it. */
export function openSegmentsForRealMode(s: System): void {
  for (const segment of [S.ES, S.CS, S.SS, S.DS, S.FS, S.GS]) {
    if (isUsable(s, segment)) s.set(offsetOf(segment) + S.SEG_RIGHTS, S.SEG_CAN_READ | S.SEG_CAN_WRITE)
  }
}

/** GDTR and IDTR have neither selector nor attributes. */
export function setTableRegister(s: System, segment: number, baseLo: number, baseHi: number, limit: number): void {
  const at = offsetOf(segment)
  s.set64(at + S.SEG_BASE, baseLo, baseHi)
  s.set(at + S.SEG_LIMIT, limit)
  s.set(at + S.SEG_LOW, 0)
  s.set(at + S.SEG_HIGH, limit)
  s.set(at + S.SEG_RIGHTS, S.SEG_CAN_READ | S.SEG_CAN_WRITE)
}

/** A null selector in LDTR: nothing can be loaded from the local table. */
export function setNullLdt(s: System, selector: number): void {
  setSegment(s, S.LDTR, selector, 0, 0, 0, 0)
}
