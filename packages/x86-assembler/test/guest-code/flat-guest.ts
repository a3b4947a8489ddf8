/** Guests of domain tests: flat 32-bit protected mode without paging, from the first instruction on. */
import { Assembler } from '@retrap/x86-assembler'
import { FLAT } from './index.ts'

/** Where the program, its stack and its tables are. */
export const CODE = 0x1_0000
export const STACK = 0x9_0000
export const IDT = 0x8000
export const GDT = 0x8800
/** A byte written here ends the domain with it as code. */
export const EXIT_PORT = 0xf4
/** Bytes of RAM, from 0 on. */
export const RAM_BYTES: number = 1 << 20

const DATA = { selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xc093 }
/** Registers of flat 32-bit protected mode. */
export const PROTECTED = {
  registers: { rip: CODE, rsp: STACK, rflags: 2 },
  segments: {
    cs: { selector: 8, base: 0, limit: 0xffff_ffff, attributes: 0xc09b },
    ds: DATA,
    es: DATA,
    fs: DATA,
    gs: DATA,
    ss: DATA,
    ldtr: { selector: 0, base: 0, limit: 0, attributes: 0x82 },
    tr: { selector: 0, base: 0, limit: 0x67, attributes: 0x8b },
  },
  gdtr: { base: GDT, limit: 23 },
  idtr: { base: IDT, limit: 0x7ff },
  cr0: 0x11,
  cr3: 0,
  cr4: 0,
  efer: 0,
}

/** A domain's sleep on Node's event loop, which counts how often it sleeps. */
export class TestSleeper {
  #wake: (() => void) | undefined
  sleeps = 0

  sleep(ms: number): Promise<void> {
    this.sleeps++
    if (ms === 0) return new Promise((resolve) => void setImmediate(resolve))
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, 5000))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  wake(): void {
    this.#wake?.()
  }
}

/** Guest RAM, as a domain gives access to it. */
export interface GuestRam {
  load(gpa: number, bytes: Uint8Array): void
  read(gpa: number, into: Uint8Array): boolean
}

/** The memory of a guest: programs, words and descriptors. */
export abstract class FlatGuest {
  /** RAM of the guest. */
  protected abstract ram(): GuestRam

  program(address: number, bits: 16 | 32, build: (asm: Assembler) => void): void {
    const asm = new Assembler({ bits, address })
    build(asm)
    this.ram().load(address, asm.assemble().bytes)
  }

  /** Loads the GDT: null, code, data. */
  protected loadDescriptors(): void {
    for (const [i, each] of [0n, FLAT.code, FLAT.data].entries()) this.write64(GDT + 8 * i, each)
  }

  write64(gpa: number, value: bigint): void {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigUint64(0, value, true)
    this.ram().load(gpa, bytes)
  }

  read32(gpa: number): number {
    const bytes = new Uint8Array(4)
    if (!this.ram().read(gpa, bytes)) throw new Error('not RAM')
    return new DataView(bytes.buffer).getUint32(0, true)
  }

  /** Sets a 32-bit interrupt gate. */
  vector(number: number, address: number): void {
    this.write64(
      IDT + 8 * number,
      BigInt(address & 0xffff) | (8n << 16n) | (0x8e00n << 32n) | (BigInt(address >>> 16) << 48n),
    )
  }
}
