import { createPc, type MachineExit, type Pc, type PcOptions } from '@retrap/machine'
import { Assembler, dword, dx, eax, ebx, ecx, esi, imm16, imm32 } from '@retrap/x86-assembler'

const BASE = 0x10_0000
/** Memory that the guest writes: 4 MiB from 8 MiB up. */
const ROOM = 0x80_0000
const ROOM_BYTES = 0x40_0000
/** The sum of all words there, as the guest knows it. */
const SUM = 0x70_0000
/** The guest finds it when it has been told to end: 1 for the sum, 2 for another. */
const VERDICT = SUM + 4
/** Anything but 0 tells the guest to end. */
const END = SUM + 8

/** What the guest does. */
export interface Writing {
  /** With it, the guest counts so far after each word, and words follow each other. */
  readonly spin?: number
}

/**
 * A guest that writes words all over its memory, each made of one that it reads, until it is told to end. It then adds all
 * words up, and powers off: a lost or a stale page shows in the sum.
 */
function writingKernel({ spin = 0 }: Writing): Uint8Array {
  const asm = new Assembler({ bits: 32, address: BASE })
  const entry = asm.label('entry')
  const [loop, add, bad] = [asm.label(), asm.label(), asm.label()]
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, entry).bind(entry)
  asm.mov(ecx, imm32(0)).mov(ebx, imm32(1)).bind(loop)
  asm.imul(ebx, ebx, imm32(1_103_515_245)).add(ebx, imm32(12_345)).inc(ecx)
  if (spin > 0) {
    const wait = asm.label()
    asm.mov(esi, imm32(spin)).bind(wait).dec(esi).jnz(wait).mov(esi, ecx).shl(esi, 6)
  } else asm.mov(esi, ebx)
  asm.and(esi, imm32(ROOM_BYTES - 4))
  asm
    .mov(eax, dword(esi, { disp: ROOM }))
    .add(eax, ebx)
    .mov(dword(esi, { disp: ROOM }), eax)
  asm.add(dword(SUM), ebx).cmp(dword(END), imm32(0)).je(loop)
  asm
    .mov(esi, imm32(0))
    .mov(eax, imm32(0))
    .bind(add)
    .add(eax, dword(esi, { disp: ROOM }))
    .add(esi, imm32(4))
  asm.cmp(esi, imm32(ROOM_BYTES)).jb(add)
  asm.mov(ecx, imm32(2)).cmp(eax, dword(SUM)).jne(bad).mov(ecx, imm32(1)).bind(bad).mov(dword(VERDICT), ecx)
  asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
  return asm.assemble().bytes
}

/** A PC with the guest, or one that goes on with it. */
export function writingPc(writing: Writing, snapshot?: PcOptions['snapshot']): Promise<Pc> {
  return createPc({
    memoryBytes: 16 << 20,
    codeCacheBytes: 4 << 20,
    kernel: writingKernel(writing),
    clock: 'deterministic',
    ...(snapshot !== undefined && { snapshot }),
  })
}

export function tellToEnd({ domain }: Pc): void {
  domain.guestMemory.write(END, Uint8Array.of(1, 0, 0, 0))
}

/** What the guest that has ended says of its memory. */
export function verdictOf({ domain }: Pc): 'whole' | 'broken' | 'none' {
  const bytes = new Uint8Array(4)
  domain.guestMemory.read(VERDICT, bytes)
  return bytes[0] === 1 ? 'whole' : bytes[0] === 2 ? 'broken' : 'none'
}

/** What a run that its owner ends returns. */
export const STOPPED: MachineExit = { reason: 'stopped' }
