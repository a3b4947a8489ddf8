/**
 * The beginning of guests of tests and benches: from reset to protected mode and on to long mode. It is not published. The other
 * tests of `x86-assembler` write their own, because it is written with what they test.
 */
import * as x86 from '@retrap/x86-assembler'

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
  readonly gdtr: x86.Memory<6>
  /** Selector of 32-bit code. */
  readonly code: number
  /** Selector that all data segments get. */
  readonly data: number
  readonly stack?: number
  /** Emits what stands between the two modes, where nothing executes it: tables. */
  between?(): void
}

/** Emits the way from real mode to 32-bit protected mode, and goes on there; changes EAX. */
export function enterProtectedMode(asm: x86.Assembler, mode: ProtectedMode): void {
  const entry = asm.label()
  asm.operandSize(32).lgdt(mode.gdtr)
  asm.mov(x86.eax, x86.cr0).or(x86.al, 1).mov(x86.cr0, x86.eax).jmpf(x86.far32(mode.code, entry))
  mode.between?.()
  asm.bits(32).bind(entry)
  asm
    .mov(x86.ax, mode.data)
    .mov(x86.ds, x86.ax)
    .mov(x86.es, x86.ax)
    .mov(x86.ss, x86.ax)
    .mov(x86.fs, x86.ax)
    .mov(x86.gs, x86.ax)
  if (mode.stack !== undefined) asm.mov(x86.esp, mode.stack)
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
export function activateLongMode(asm: x86.Assembler, { tables, cr4: features = CR4_PAE, efer = 0 }: LongMode): void {
  asm.mov(x86.eax, features).mov(x86.cr4, x86.eax).mov(x86.eax, tables).mov(x86.cr3, x86.eax)
  asm
    .mov(x86.ecx, MSR_EFER)
    .rdmsr()
    .or(x86.eax, EFER_LME | efer)
    .wrmsr()
  asm.mov(x86.eax, x86.cr0).or(x86.eax, CR0_PG).mov(x86.cr0, x86.eax)
}

/**
 * Emits the begin of a firmware image: from reset to flat 32-bit code, whose segments are {@link FLAT_CODE} and
 * {@link FLAT_DATA}. The assembler begins at {@link FIRMWARE_BASE} with 16 bits.
 */
export function enterFlat(asm: x86.Assembler, stack: number): void {
  const gdt = asm.label()
  const gdtr = asm.label()
  asm
    .cli()
    .mov(x86.ax, FIRMWARE_BASE >> 4)
    .mov(x86.ds, x86.ax)
  enterProtectedMode(asm, {
    gdtr: x86.fword(gdtr.minus(FIRMWARE_BASE)),
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
export function endFirmware(asm: x86.Assembler): void {
  asm
    .org(FIRMWARE_BASE + FIRMWARE_BYTES - 16)
    .bits(16)
    .jmpf(x86.far16(FIRMWARE_BASE >> 4, 0))
  asm.org(FIRMWARE_BASE + FIRMWARE_BYTES)
}
