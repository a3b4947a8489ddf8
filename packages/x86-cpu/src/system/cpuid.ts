import { MONITOR_LINE_BYTES } from '../line-monitor.ts'
import { STATUS_DONE, S_CR4, S_XCR0 } from '../state-layout.ts'
import { CR4_OSXSAVE, PHYSICAL_ADDRESS_BITS, RAX, RBX, RCX, RDX } from './architecture.ts'
import type { CpuModel } from './cpu.ts'
import { A_YMM, A_YMM_END } from './fpu-image.ts'
import type { Handler } from './operands.ts'
import { XCR0_AVX, XCR0_SSE, XCR0_X87 } from './processor.ts'
import { MISC_ENABLE_HI_NO_XD, MISC_ENABLE_LIMIT_CPUID, MISC_ENABLE_MONITOR, S_MISC_ENABLE } from './system-state.ts'
import type { System } from './system.ts'

/**
 * Family 6, model 2CH, stepping 2. Of the models whose software-visible behaviour is the architectural one it is one
 * that kernels keep no list of defects for.
 */
export const SIGNATURE = 0x0002_06c2

/** Bits by their positions. */
function bits(...positions: readonly number[]): number {
  let value = 0
  for (const position of positions) value |= 1 << position
  return value >>> 0
}

// Leaf 1, EDX: FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2.
const LEAF1_EDX = bits(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26)
// Leaf 1, ECX: SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 x2APIC MOVBE POPCNT TSC-deadline AES XSAVE AVX F16C
// RDRAND hypervisor.
const LEAF1_ECX = bits(0, 1, 9, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31)
const LEAF1_ECX_OSXSAVE = 1 << 27
const LEAF1_ECX_MONITOR = 1 << 3
// Leaf 7, EBX: FSGSBASE TSC_ADJUST BMI1 AVX2 SMEP BMI2 ERMS INVPCID RDSEED ADX SMAP CLFLUSHOPT CLWB SHA.
const LEAF7_EBX = bits(0, 1, 3, 5, 7, 8, 9, 10, 18, 19, 20, 23, 24, 29)
// Leaf 7, ECX: UMIP GFNI VAES VPCLMULQDQ.
const LEAF7_ECX = bits(2, 8, 9, 10)
// Leaf 7, sub-leaf 1, EAX: AVX-VNNI.
const LEAF7_1_EAX = bits(4)
const LEAF7_ECX_LA57 = 1 << 16
// Leaf 7, EDX: ARCH_CAPABILITIES.
const LEAF7_EDX = bits(29)
// Leaf 8000_0001, ECX: LAHF/SAHF in 64-bit mode, LZCNT, PREFETCHW.
const EXTENDED1_ECX = bits(0, 5, 8)
// Leaf 8000_0001, EDX: SYSCALL (64-bit mode only), NX, 1-GByte pages, RDTSCP, LM.
const EXTENDED1_EDX = bits(20, 26, 27, 29)
const EXTENDED1_EDX_SYSCALL = 1 << 11

/** Leaf 5, ECX: EDX lists the waits that there are; MWAIT takes ECX bit 0. */
const MONITOR_EXTENSIONS = bits(0, 1)

const BRAND = 'retrap virtual x86-64 processor'

function ascii(text: string, at: number): number {
  let word = 0
  for (let i = 0; i < 4; i++) word |= (text.charCodeAt(at + i) || 0) << (8 * i)
  return word
}

const HIGHEST_LEAF = 0x16
const HIGHEST_EXTENDED_LEAF = 0x8000_0008

/** EAX, EBX, ECX, EDX. */
function give(into: Uint32Array, a: number, b: number, c: number, d: number): void {
  into[0] = a
  into[1] = b
  into[2] = c
  into[3] = d
}

/** The highest basic leaf under IA32_MISC_ENABLE's limit; and the flag of leaf 0x8000_0001 that its bit 34 takes away. */
const LIMITED_LEAF = 2
const EXTENDED1_EDX_NX = 1 << 20

/** Leaf 4: type (1 data, 2 instruction, 3 unified), level, ways and sets of 64-byte lines. */
function giveCache(into: Uint32Array, type: number, level: number, ways: number, sets: number): void {
  give(into, type | (level << 5) | (1 << 8), 63 | ((ways - 1) << 22), sets - 1, 0)
}

/**
 * What CPUID reports, before the host has its say: exactly what is implemented.
 *
 * Source: SDM vol. 2A, "CPUID—CPU Identification".
 */
export function cpuidLeaf(s: System, model: CpuModel, leaf: number, subleaf: number, into: Uint32Array): void {
  into.fill(0)
  const highest = (s.get(S_MISC_ENABLE) & MISC_ENABLE_LIMIT_CPUID) === 0 ? HIGHEST_LEAF : LIMITED_LEAF
  let known = leaf >>> 0
  // A leaf that is not there answers as the highest basic one.
  if (known > HIGHEST_EXTENDED_LEAF || (known > highest && known < 0x4000_0000)) known = highest
  switch (known) {
    case 0:
      give(into, highest, ascii('Genu', 0), ascii('ntel', 0), ascii('ineI', 0))
      return
    case 1: {
      const monitor = (s.get(S_MISC_ENABLE) & MISC_ENABLE_MONITOR) === 0 ? 0 : LEAF1_ECX_MONITOR
      const osxsave = (s.get(S_CR4) & CR4_OSXSAVE) === 0 ? 0 : LEAF1_ECX_OSXSAVE
      // CLFLUSH line: 8 × 8 bytes; one logical processor; the host puts the APIC ID into bits 31:24.
      give(into, SIGNATURE, (8 << 8) | (1 << 16), LEAF1_ECX | monitor | osxsave, LEAF1_EDX)
      return
    }
    case 2:
      // FFH: leaf 4 describes the caches.
      give(into, 0x00ff_0001, 0, 0, 0)
      return
    case 4:
      if (subleaf === 0) giveCache(into, 1, 1, 8, 64)
      else if (subleaf === 1) giveCache(into, 2, 1, 8, 64)
      else if (subleaf === 2) giveCache(into, 3, 2, 8, 512)
      return
    case 5:
      // Smallest and largest line; extensions are listed, and masked interrupts can break a wait; one kind of C1.
      give(into, MONITOR_LINE_BYTES, MONITOR_LINE_BYTES, MONITOR_EXTENSIONS, 1 << 4)
      return
    case 6:
      // ARAT: the APIC timer never stops.
      give(into, 1 << 2, 0, 0, 0)
      return
    case 7:
      if (subleaf === 0) {
        give(into, 1, LEAF7_EBX, LEAF7_ECX | (model.linearAddressBits === 57 ? LEAF7_ECX_LA57 : 0), LEAF7_EDX)
      } else if (subleaf === 1) give(into, LEAF7_1_EAX, 0, 0, 0)
      return
    case 0xb:
      // One thread a core; the host fills in APIC ID and number of processors.
      if (subleaf === 0) give(into, 0, 1, 0x100, 0)
      else if (subleaf === 1) give(into, 0, 1, 0x201, 0)
      else give(into, 0, 0, subleaf & 0xff, 0)
      return
    case 0xd:
      // What there is; bytes that XSAVE needs as XCR0 is now, and at most.
      if (subleaf === 0) {
        const enabled = (s.get(S_XCR0) & XCR0_AVX) === 0 ? A_YMM : A_YMM_END
        give(into, XCR0_X87 | XCR0_SSE | XCR0_AVX, enabled, A_YMM_END, 0)
      } else if (subleaf === 1) give(into, 1, 0, 0, 0)
      else if (subleaf === 2) give(into, A_YMM_END - A_YMM, A_YMM, 0, 0)
      return
    case 0x15:
      give(into, model.crystalHz, model.tscHz, model.crystalHz, 0)
      reduceRatio(into)
      return
    case 0x16: {
      const mhz = Math.round(model.tscHz / 1e6)
      give(into, mhz, mhz, Math.round(model.crystalHz / 1e6), 0)
      return
    }
    case 0x8000_0000:
      give(into, HIGHEST_EXTENDED_LEAF, 0, 0, 0)
      return
    case 0x8000_0001:
      give(into, 0, 0, EXTENDED1_ECX, EXTENDED1_EDX | (s.mode64 ? EXTENDED1_EDX_SYSCALL : 0))
      if ((s.get(S_MISC_ENABLE + 4) & MISC_ENABLE_HI_NO_XD) !== 0) into[3]! &= ~EXTENDED1_EDX_NX
      return
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const at = (known - 0x8000_0002) * 16
      give(into, ascii(BRAND, at), ascii(BRAND, at + 4), ascii(BRAND, at + 8), ascii(BRAND, at + 12))
      return
    }
    case 0x8000_0006:
      // L2: 256 KiB, 8-way, 64-byte lines.
      give(into, 0, 0, (256 << 16) | (6 << 12) | 64, 0)
      return
    case 0x8000_0007:
      // Invariant TSC.
      give(into, 0, 0, 0, 1 << 8)
      return
    case 0x8000_0008:
      give(into, PHYSICAL_ADDRESS_BITS | ((model.linearAddressBits ?? 48) << 8), 0, 0, 0)
      return
    default:
  }
}

/** EAX and EBX as the smallest terms of crystal : TSC. */
function reduceRatio(into: Uint32Array): void {
  let a = into[0] as number
  let b = into[1] as number
  while (b !== 0) {
    const rest = a % b
    a = b
    b = rest
  }
  if (a === 0) return
  into[0] = (into[0] as number) / a
  into[1] = (into[1] as number) / a
}

const answer = new Uint32Array(4)

// @isa: complete   0F A2   CPUID   "SDM vol. 2A, CPUID"
export const cpuid: Handler = (s) => {
  const leaf = s.gpr(RAX)
  const subleaf = s.gpr(RCX)
  cpuidLeaf(s, s.cpu.model, leaf, subleaf, answer)
  s.host.cpuid(leaf, subleaf, answer)
  s.setGpr(RAX, 4, answer[0] as number)
  s.setGpr(RBX, 4, answer[1] as number)
  s.setGpr(RCX, 4, answer[2] as number)
  s.setGpr(RDX, 4, answer[3] as number)
  return STATUS_DONE
}

export const cpuidHandlers: Readonly<Record<string, Handler>> = { CPUID: cpuid }
