import { STATUS_DONE, S_CR4, S_XCR0 } from '../state/state-layout.ts'
import { CR4_OSXSAVE, CR4_PKE, MONITOR_LINE_BYTES, RAX, RBX, RCX, RDX } from '../state/architecture.ts'
import { asciiWord, type Processor } from '../model/processor.ts'
import type { Handler } from './operands.ts'
import * as systemState from '../state/system-state.ts'
import { compactedSize, standardSize } from '../state/state-components.ts'
import type { System } from './system.ts'

const LEAF1_ECX_OSXSAVE = 1 << 27
const LEAF1_ECX_MONITOR = 1 << 3
const LEAF1_EDX_CLFSH = 1 << 19
const LEAF7_ECX_OSPKE = 1 << 4
/** Leaf DH, sub-leaf 1, EAX: XSAVEC, XSAVES. */
const COMPACTED_FORMS = (1 << 1) | (1 << 3)
const EXTENDED1_EDX_SYSCALL = 1 << 11

/** Leaf 5, ECX: EDX lists the waits that there are (bit 0); MWAIT takes ECX bit 0 (bit 1). */
const MONITOR_EXTENSIONS = 3

/** EAX, EBX, ECX, EDX. */
function give(into: Uint32Array, a: number, b: number, c: number, d: number): void {
  into[0] = a
  into[1] = b
  into[2] = c
  into[3] = d
}

/** Leaf 0, and AMD's 8000_0000H. */
function giveVendor({ vendorWords }: Processor, highest: number, into: Uint32Array): void {
  const [b, d, c] = vendorWords
  give(into, highest, b, c, d)
}

/** The highest basic leaf under IA32_MISC_ENABLE's limit; and the flag of leaf 0x8000_0001 that its bit 34 takes away. */
const LIMITED_LEAF = 2
const EXTENDED1_EDX_NX = 1 << 20

/** Leaf 4: type (1 data, 2 instruction, 3 unified), level, ways and sets of 64-byte lines. */
function giveCache(into: Uint32Array, type: number, level: number, ways: number, sets: number): void {
  give(into, type | (level << 5) | (1 << 8), 63 | ((ways - 1) << 22), sets - 1, 0)
}

/**
 * The result of CPUID, before the host changes it: the model's features, and what goes with them.
 *
 * Source: SDM vol. 2A, "CPUID—CPU Identification"; AMD APM vol. 3, appendix E.
 */
export function cpuidLeaf(s: System, leaf: number, subleaf: number, into: Uint32Array): void {
  const { processor, clocks } = s.cpu
  const { model } = processor
  const limited = !processor.amd && (s.get(systemState.S_MISC_ENABLE) & systemState.MISC_ENABLE_LIMIT_CPUID) !== 0
  const highest = limited ? Math.min(LIMITED_LEAF, processor.highestLeaf) : processor.highestLeaf
  const known = processor.answeringLeaf(leaf >>> 0, highest)
  if (known < 0) return give(into, 0, 0, 0, 0)
  const flags = processor.featureWords(known, subleaf >>> 0)
  give(into, flags[0]!, flags[1]!, flags[2]!, flags[3]!)
  switch (known) {
    case 0:
      giveVendor(processor, highest, into)
      return
    case 1:
      into[0] = model.signature
      // CLFLUSH line: 8 × 8 bytes; one logical processor; the host puts the APIC ID into bits 31:24.
      into[1] = ((into[3]! & LEAF1_EDX_CLFSH) !== 0 ? 8 << 8 : 0) | (1 << 16)
      if ((s.get(S_CR4) & CR4_OSXSAVE) !== 0) into[2]! |= LEAF1_ECX_OSXSAVE
      if ((s.get(systemState.S_MISC_ENABLE) & systemState.MISC_ENABLE_MONITOR) === 0) into[2]! &= ~LEAF1_ECX_MONITOR
      return
    case 2:
      // FFH: leaf 4 describes the caches.
      if (!processor.amd) give(into, 0x00ff_0001, 0, 0, 0)
      return
    case 4:
      if (processor.amd) return
      if (subleaf === 0) giveCache(into, 1, 1, 8, 64)
      else if (subleaf === 1) giveCache(into, 2, 1, 8, 64)
      else if (subleaf === 2) giveCache(into, 3, 2, 8, 512)
      return
    case 5:
      // Smallest and largest line; extensions are listed, and masked interrupts can break a wait; one kind of C1.
      if (processor.has('MONITOR')) give(into, MONITOR_LINE_BYTES, MONITOR_LINE_BYTES, MONITOR_EXTENSIONS, 1 << 4)
      return
    case 6:
      // ARAT: the APIC timer never stops.
      give(into, 1 << 2, 0, 0, 0)
      return
    case 7:
      if (subleaf !== 0) return
      into[0] = processor.lastSubleaf(7)
      if ((s.get(S_CR4) & CR4_PKE) !== 0) into[2]! |= LEAF7_ECX_OSPKE
      return
    case 0xb:
      // One thread a core; the host fills in APIC ID and number of processors.
      if (subleaf === 0) give(into, 0, 1, 0x100, 0)
      else if (subleaf === 1) give(into, 0, 1, 0x201, 0)
      else give(into, 0, 0, subleaf & 0xff, 0)
      return
    case 0xd:
      giveStateComponents(s, subleaf >>> 0, into)
      return
    case 0x15:
      give(into, clocks.crystalHz, clocks.tscHz, clocks.crystalHz, 0)
      reduceRatio(into)
      return
    case 0x16: {
      const mhz = Math.round(clocks.tscHz / 1e6)
      give(into, mhz, mhz, Math.round(clocks.crystalHz / 1e6), 0)
      return
    }
    case 0x8000_0000:
      if (processor.amd) giveVendor(processor, processor.highestExtendedLeaf, into)
      else into[0] = processor.highestExtendedLeaf
      return
    case 0x8000_0001:
      if (processor.amd) into[0] = model.signature
      // Intel's processors have SYSCALL in 64-bit mode alone, and say so there alone.
      else if (!s.mode64) into[3]! &= ~EXTENDED1_EDX_SYSCALL
      if ((s.get(systemState.S_MISC_ENABLE + 4) & systemState.MISC_ENABLE_HI_NO_XD) !== 0) into[3]! &= ~EXTENDED1_EDX_NX
      return
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const at = (known - 0x8000_0002) * 16
      const { brand } = model
      give(into, asciiWord(brand, at), asciiWord(brand, at + 4), asciiWord(brand, at + 8), asciiWord(brand, at + 12))
      return
    }
    case 0x8000_0005:
      // AMD: first-level data and instruction cache, 32 KiB, 8-way, a line of 64 bytes a tag.
      if (processor.amd) give(into, 0, 0, L1_CACHE, L1_CACHE)
      return
    case 0x8000_0006:
      // L2: 256 KiB, 8-way, 64-byte lines.
      give(into, 0, 0, (256 << 16) | (6 << 12) | (processor.amd ? 1 << 8 : 0) | 64, 0)
      return
    case 0x8000_0008:
      into[0] = model.physicalAddressBits | (processor.linearAddressBits << 8)
      return
    default:
      processor.extension?.cpuid(processor, known, subleaf, into)
  }
}

const L1_CACHE = (32 << 24) | (8 << 16) | (1 << 8) | 64

/** Leaf DH: what there is; bytes that XSAVE needs as XCR0 is now, and at most; sizes and offsets of components. */
function giveStateComponents(s: System, subleaf: number, into: Uint32Array): void {
  const { xcr0, components } = s.cpu.processor
  if (xcr0 === 0) return
  const enabled = s.get(S_XCR0)
  if (subleaf === 0) give(into, xcr0, standardSize(components, enabled), standardSize(components, xcr0), 0)
  // IA32_XSS has no bits: the area of XSAVES is that of XSAVEC.
  else if (subleaf === 1) into[1] = (into[0]! & COMPACTED_FORMS) === 0 ? 0 : compactedSize(components, enabled)
  else {
    const component = components.find(({ number }) => number === subleaf)
    if (component !== undefined && (xcr0 & component.bit) !== 0)
      give(into, component.size, component.standard, component.flags, 0)
  }
}

/** EAX and EBX as the smallest terms of crystal : TSC. */
function reduceRatio(into: Uint32Array): void {
  let a = into[0]!
  let b = into[1]!
  while (b !== 0) {
    const rest = a % b
    a = b
    b = rest
  }
  if (a === 0) return
  into[0] = into[0]! / a
  into[1] = into[1]! / a
}

const answer = new Uint32Array(4)

// @isa: complete   0F A2   CPUID   "SDM vol. 2A, CPUID"
export const cpuid: Handler = (s) => {
  const leaf = s.gpr(RAX)
  const subleaf = s.gpr(RCX)
  cpuidLeaf(s, leaf, subleaf, answer)
  s.host.cpuid(leaf, subleaf, answer)
  s.setGpr(RAX, 4, answer[0]!)
  s.setGpr(RBX, 4, answer[1]!)
  s.setGpr(RCX, 4, answer[2]!)
  s.setGpr(RDX, 4, answer[3]!)
  return STATUS_DONE
}

export const cpuidHandlers: Readonly<Record<string, Handler>> = { CPUID: cpuid }
