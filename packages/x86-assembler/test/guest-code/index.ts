/**
 * The beginning of guests of tests and benches: from reset to protected mode and on to long mode. It is not published. The other
 * tests of `x86-assembler` write their own, because it is written with what they test.
 */
import {
  al,
  ax,
  cr0,
  cr3,
  cr4,
  ds,
  eax,
  ecx,
  es,
  esp,
  far16,
  far32,
  fs,
  fword,
  gs,
  ss,
  type Assembler,
  type Memory,
} from '@retrap/x86-assembler'

/** Bytes of a firmware image, which ends at 1 MiB, and where it begins. */
export const FIRMWARE_BYTES = 0x1_0000
export const FIRMWARE_BASE = 0xf_0000

/** Selectors that {@link enterFlat} has. */
export const FLAT_CODE = 0x08
export const FLAT_DATA = 0x10

/** A segment descriptor: base, limit in its units, access byte, and flags G, D/B, L, AVL as a nibble. */
export function descriptor(base: number, limit: number, access: number, flags: number): bigint {
  const b = BigInt(base)
  const l = BigInt(limit)
  return (
    (l & 0xffffn) |
    ((b & 0xff_ffffn) << 16n) |
    (BigInt(access) << 40n) |
    (((l >> 16n) & 15n) << 48n) |
    (BigInt(flags) << 52n) |
    ((b >> 24n) << 56n)
  )
}

/** Descriptors of 4 GiB of code and data, accessed already. */
export const FLAT: { readonly code: bigint; readonly data: bigint } = {
  code: descriptor(0, 0xf_ffff, 0x9b, 0xc),
  data: descriptor(0, 0xf_ffff, 0x93, 0xc),
}

/** How protected mode is entered. */
export interface ProtectedMode {
  /** Operand of LGDT, as real mode reaches it. */
  readonly gdtr: Memory<6>
  /** Selector of 32-bit code. */
  readonly code: number
  /** Selector that all data segments get. */
  readonly data: number
  readonly stack?: number
  /** Emits what stands between the two modes, where nothing executes it: tables. */
  between?(): void
}

/** Emits the way from real mode to 32-bit protected mode, and goes on there; changes EAX. */
export function enterProtectedMode(asm: Assembler, mode: ProtectedMode): void {
  const entry = asm.label()
  asm.operandSize(32).lgdt(mode.gdtr)
  asm.mov(eax, cr0).or(al, 1).mov(cr0, eax).jmpf(far32(mode.code, entry))
  mode.between?.()
  asm.bits(32).bind(entry)
  asm.mov(ax, mode.data).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(fs, ax).mov(gs, ax)
  if (mode.stack !== undefined) asm.mov(esp, mode.stack)
}

const CR0_PG = 0x8000_0000 | 0
const CR4_PAE = 0x20
const MSR_EFER = 0xc000_0080
const EFER_LME = 0x100

/** How long mode is activated. */
export interface LongMode {
  /** CR3. */
  readonly tables: number
  /** CR4; default PAE alone. */
  readonly cr4?: number
  /** Bits of EFER that are set beside LME. */
  readonly efer?: number
}

/**
 * Emits the way from 32-bit protected mode to long mode, and goes on in compatibility mode; changes EAX, ECX and EDX.
 *
 * Source: Intel SDM vol. 3A, "Initializing IA-32e Mode".
 */
export function activateLongMode(asm: Assembler, { tables, cr4: features = CR4_PAE, efer = 0 }: LongMode): void {
  asm.mov(eax, features).mov(cr4, eax).mov(eax, tables).mov(cr3, eax)
  asm
    .mov(ecx, MSR_EFER)
    .rdmsr()
    .or(eax, EFER_LME | efer)
    .wrmsr()
  asm.mov(eax, cr0).or(eax, CR0_PG).mov(cr0, eax)
}

/**
 * Emits the begin of a firmware image: from reset to flat 32-bit code, whose segments are {@link FLAT_CODE} and
 * {@link FLAT_DATA}. The assembler begins at {@link FIRMWARE_BASE} with 16 bits.
 */
export function enterFlat(asm: Assembler, stack: number): void {
  const gdt = asm.label()
  const gdtr = asm.label()
  asm
    .cli()
    .mov(ax, FIRMWARE_BASE >> 4)
    .mov(ds, ax)
  enterProtectedMode(asm, {
    gdtr: fword(gdtr.minus(FIRMWARE_BASE)),
    code: FLAT_CODE,
    data: FLAT_DATA,
    stack,
    between() {
      asm.align(8).bind(gdt).dq(0n, FLAT.code, FLAT.data)
      asm.bind(gdtr).dw(23).dd(gdt)
    },
  })
}

/** Emits the end of a firmware image: the reset vector, which leads to the begin. */
export function endFirmware(asm: Assembler): void {
  asm
    .org(FIRMWARE_BASE + FIRMWARE_BYTES - 16)
    .bits(16)
    .jmpf(far16(FIRMWARE_BASE >> 4, 0))
  asm.org(FIRMWARE_BASE + FIRMWARE_BYTES)
}
