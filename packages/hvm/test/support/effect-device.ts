import { defineDevice, type DeviceContext, type DeviceModel, type OwnedMemory, type Region } from '@retrap/device'
import { Assembler, al, byte, dword, dx, eax, ecx, edi, esi, imm8, qword, xmm0, xmmword } from '@retrap/x86-assembler'

/** Two pages of registers, and ports of which one byte is armed: see {@link effectDevice}. */
export const EFFECT_BASE = 0x20_0000
export const EFFECT_PORT = 0x80
export const EFFECT_ARM = 0x90
export const EFFECT_VECTOR = 0x40
/** Where the model shows one of its two memories. */
export const EFFECT_CODE = 0x30_0000
/** What {@link EFFECT_ARM} is written: the number of the access that has the effect, and which. */
export const EFFECT_INTERRUPT = 0x10
export const EFFECT_SWAP = 0x20

/** RAM that instructions move to and from, and what the code in each memory counts. */
const RAM = 0x7000
export const EFFECT_COUNTS = 0x6000
/** Bytes of a row's code in the model's memories. */
const SLOT = 0x80

/** An instruction that accesses the device. */
export interface EffectRow {
  readonly name: string
  /** The access that has the effect. */
  readonly at: number
  readonly emit: (asm: Assembler) => unknown
  /** Puts back what later code needs. */
  readonly after?: (asm: Assembler) => unknown
}

const fromDevice = (asm: Assembler): Assembler => asm.mov(esi, EFFECT_BASE).mov(edi, RAM)
const toDevice = (asm: Assembler): Assembler => asm.mov(esi, RAM).mov(edi, EFFECT_BASE)
const between = (asm: Assembler): Assembler => asm.mov(esi, EFFECT_BASE).mov(edi, EFFECT_BASE + 0x1000)

export const effectRows: readonly EffectRow[] = [
  { name: 'load of 1 byte', at: 1, emit: (asm) => asm.mov(al, byte(EFFECT_BASE + 3)) },
  { name: 'load of 4 bytes', at: 1, emit: (asm) => asm.mov(eax, dword(EFFECT_BASE)) },
  { name: 'ADD from memory', at: 1, emit: (asm) => asm.add(eax, dword(EFFECT_BASE + 4)) },
  { name: 'store of a register', at: 1, emit: (asm) => asm.mov(dword(EFFECT_BASE), ecx) },
  { name: 'store of an immediate', at: 1, emit: (asm) => asm.mov(byte(EFFECT_BASE + 1), 7) },
  { name: 'ADD to memory, at its read', at: 1, emit: (asm) => asm.add(dword(EFFECT_BASE), 1) },
  { name: 'ADD to memory, at its write', at: 2, emit: (asm) => asm.add(dword(EFFECT_BASE), 1) },
  { name: 'MOVS from the device', at: 1, emit: (asm) => fromDevice(asm).movsd() },
  { name: 'MOVS to the device', at: 1, emit: (asm) => toDevice(asm).movsd() },
  { name: 'MOVS between devices, at its read', at: 1, emit: (asm) => between(asm).movsd() },
  { name: 'MOVS between devices, at its write', at: 2, emit: (asm) => between(asm).movsd() },
  { name: 'REP MOVS of one element', at: 1, emit: (asm) => fromDevice(asm).mov(ecx, 1).rep().movsd() },
  { name: 'PUSH', at: 1, emit: (asm) => asm.push(dword(EFFECT_BASE)), after: (asm) => asm.pop(eax) },
  { name: 'MOVD', at: 1, emit: (asm) => asm.movd(xmm0, dword(EFFECT_BASE)) },
  { name: 'MOVQ', at: 2, emit: (asm) => asm.movq(xmm0, qword(EFFECT_BASE)) },
  { name: 'MOVDQU', at: 4, emit: (asm) => asm.movdqu(xmm0, xmmword(EFFECT_BASE)) },
  { name: 'IN', at: 1, emit: (asm) => asm.in(al, imm8(EFFECT_PORT)) },
  { name: 'OUT', at: 1, emit: (asm) => asm.out(imm8(EFFECT_PORT), eax) },
  { name: 'INS', at: 1, emit: (asm) => asm.mov(dx, EFFECT_PORT).mov(edi, RAM).insb() },
  { name: 'OUTS', at: 1, emit: (asm) => asm.mov(dx, EFFECT_PORT).mov(esi, RAM).outsb() },
]

/** Linear address of a row's code in the model's memory, to be called. */
export function slotOf(row: number): number {
  return EFFECT_CODE + SLOT * row
}

/** Code of all rows, each at its slot: the instruction, then a count for this memory. */
function slots(memory: number): Uint8Array {
  const bytes = new Uint8Array(0x1000)
  for (const [i, row] of effectRows.entries()) {
    const asm = new Assembler({ bits: 32, address: slotOf(i) })
    row.emit(asm)
    row.after?.(asm)
    asm.inc(dword(EFFECT_COUNTS + 8 * i + 4 * memory)).ret()
    bytes.set(asm.assemble().bytes, SLOT * i)
  }
  return bytes
}

/**
 * A model whose accesses are counted once it is armed: at one of them it interrupts the guest, or shows its other memory
 * in place of the one that the guest executes.
 *
 * @param synchronous - it answers at once; else in a later turn of the event loop
 */
export function effectDevice(synchronous: boolean): DeviceModel {
  let context: DeviceContext
  let memories: OwnedMemory[]
  let region: Region
  let shown = 0
  let left = 0
  let kind = 0
  let value = 0
  const access = (written: number): void => {
    value = (Math.imul(value, 31) + written + 1) >>> 0
    if (left === 0 || --left > 0) return
    if (kind === EFFECT_INTERRUPT) context.signalMsi(0xfee0_0000, EFFECT_VECTOR)
    else {
      region.unmap()
      shown ^= 1
      region = context.mapMemory(EFFECT_CODE, memories[shown] as OwnedMemory)
    }
  }
  const later = <T>(act: () => T): T | Promise<T> =>
    synchronous ? act() : new Promise((resolve) => void setImmediate(() => resolve(act())))
  return defineDevice({
    name: 'effect',
    synchronous,
    stateless: true,
    mmio: { base: EFFECT_BASE, size: 0x2000 },
    ports: [
      { base: EFFECT_PORT, size: 4 },
      {
        base: EFFECT_ARM,
        size: 1,
        write(_offset, _size, armed) {
          left = armed & 0xf
          kind = armed & 0xf0
        },
      },
    ],
    attach(given) {
      context = given
      memories = [0, 1].map((n) =>
        given.ownMemory({ name: `code ${n}`, bytes: 0x1000, executable: true, contents: slots(n) }),
      )
      region = given.mapMemory(EFFECT_CODE, memories[0] as OwnedMemory)
    },
    read: (_offset, size) =>
      later(() => {
        access(size)
        return size === 4 ? value : value & 0xff
      }),
    write: (_offset, _size, written) => later(() => access(written)),
  })
}

/** For a Worker, which imports this module. */
export const effect: DeviceModel = effectDevice(true)
