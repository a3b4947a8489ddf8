/**
 * An option ROM of our own for the patcher: the stock ROM's interface, written anew.
 *
 * Every helper begins with an OUT to port 7Eh. After hibernation the ROM has been copied afresh, with addresses of ROM base
 * 0 in it, and that byte write has them fixed before any is used; afterwards the host overwrites the OUT.
 */
import {
  al,
  Assembler,
  ax,
  byte,
  cl,
  cs,
  cx,
  di,
  dword,
  eax,
  ebp,
  ebx,
  ecx,
  edi,
  edx,
  es,
  esi,
  esp,
  fs,
  type Gp32,
  type Label,
} from '@retrap/x86-assembler'
import { KPCR_NUMBER } from './kpcr.ts'
import { CALLS_SIGNATURE, RECORD_CALLS, RECORD_ENABLED, SIGNATURE } from './structure.ts'

/** Bytes of the ROM: 24 blocks of 512. */
export const ROM_BYTES = 0x3000
/** Where the structure is. */
export const ROM_STRUCTURE = 0x20
const STRUCTURE_END = 0x9c
/**
 * The records are no code's neighbours: processors that watch pages for changes of code, emulated ones above all, would
 * take each new priority for one.
 */
const AREA = 0x1000
const AREA_BYTES = 0x2000
/** The port of the interface. */
export const VAPIC_PORT = 0x7e
/** VMCALL's number for polling. */
const HYPERCALL_POLL = 1

/** Registers that a `get` helper loads, in the order of their encoding; there is none for ESP. */
const TARGETS = [eax, ecx, edx, ebx, undefined, ebp, esi, edi] as const

/** Addresses of one set of helpers. */
interface HelperLabels {
  readonly set: Label
  readonly setEax: Label
  readonly get: readonly (Label | undefined)[]
  readonly getStack: Label
}

/** Builds the ROM's image: the same bytes each time. */
export function buildVapicRom(): Uint8Array {
  // How many addresses there are to fix is known when the code has been assembled once.
  const draft = assemble([])
  const image = assemble(draft.addresses).bytes
  const checksum = image.reduce((sum, value) => (sum + value) & 0xff, 0)
  image[image.length - 1] = (image[image.length - 1] as number) - checksum
  return image
}

/**
 * Assembles the ROM at address 0.
 *
 * @param addresses - offsets of the addresses in it, for the fixup table
 */
function assemble(addresses: readonly number[]): { bytes: Uint8Array; addresses: number[] } {
  const asm = new Assembler({ bits: 16, address: 0 })
  const labels = (set: string): HelperLabels => ({
    set: asm.label(`${set}_set`),
    setEax: asm.label(`${set}_set_eax`),
    get: TARGETS.map((target, number) => (target === undefined ? undefined : asm.label(`${set}_get_${number}`))),
    getStack: asm.label(`${set}_get_stack`),
  })
  const up = labels('up')
  const mp = labels('mp')
  const init = asm.label('init')
  const structure = asm.label('structure')
  const fixups = asm.label('fixups')
  const fixupsEnd = asm.label('fixups_end')
  const area = asm.label('area')
  const shift = asm.label('shift')
  const realTpr = asm.label('real_tpr')

  asm.db(0x55, 0xaa, ROM_BYTES / 512).jmp(init)
  asm.org(ROM_STRUCTURE).bind(structure)
  asm.db(...SIGNATURE).dd(structure, fixups, fixupsEnd, area, AREA_BYTES)
  asm.bind(shift).dd(0).bind(realTpr).dd(0)
  for (const { set, setEax, get, getStack } of [up, mp]) {
    asm.dd(set, setEax, ...get.map((label) => label ?? 0), getStack)
  }

  asm.org(STRUCTURE_END).db(...CALLS_SIGNATURE)
  emitInit(asm, init)
  asm.bits(32)
  emitSingle(asm, up, area)
  emitSeveral(asm, mp, area, shift, realTpr)
  asm.align(4).bind(fixups)
  for (const address of addresses) asm.dd(address - ROM_STRUCTURE)
  asm.bind(fixupsEnd)
  asm.org(AREA).bind(area).org(ROM_BYTES)

  const program = asm.assemble()
  return {
    bytes: program.bytes,
    addresses: program.relocations.filter(({ size }) => size === 4).map(({ offset }) => offset),
  }
}

/** Called by firmware, 16-bit: clears the area, announces the structure. */
function emitInit(asm: Assembler, init: Label): void {
  asm.bind(init).pushf().pusha().push(es).push(cs).pop(es)
  asm
    .cld()
    .xor(ax, ax)
    .mov(di, AREA)
    .mov(cx, AREA_BYTES / 2)
    .rep()
    .stosw()
  asm.mov(ax, ROM_STRUCTURE).out(VAPIC_PORT, ax)
  asm.pop(es).popa().popf().retf()
}

/** Helpers of a guest with one processor: its record is the first, and is taken for enabled. */
function emitSingle(asm: Assembler, labels: HelperLabels, area: Label): void {
  labels.get.forEach((label, number) => {
    const target = TARGETS[number]
    if (label === undefined || target === undefined) return
    asm.align(4).bind(label).out(VAPIC_PORT, al)
    // Counts the call, and leaves the flags alone.
    const calls = dword(area.plus(RECORD_CALLS))
    asm
      .mov(target, calls)
      .lea(target, dword(target, { disp: 1 }))
      .mov(calls, target)
    asm.movzx(target, byte(area)).ret()
  })
  emitGetStack(asm, labels)
  emitSetEax(asm, labels)
  asm.align(4).bind(labels.set).out(VAPIC_PORT, al)
  // The flags that change, without PUSHFD and POPFD, which processors and emulators take long over.
  asm.push(eax).push(ecx).lahf().seto(al).push(eax)
  asm.inc(dword(area.plus(RECORD_CALLS)))
  // Stack: flags, ECX, EAX, return address, value.
  const again = asm.here('up_again')
  asm
    .mov(eax, dword(area))
    .mov(ecx, eax)
    .mov(cl, byte(esp, { disp: 16 }))
  asm.lock().cmpxchg(dword(area), ecx).jnz(again)
  emitPoll(asm, 'up')
  // AL is 1 where OF was set: 1 + 127 sets it.
  asm.pop(eax).add(al, 0x7f).sahf()
  asm.pop(ecx).pop(eax).ret(4)
}

/**
 * ECX is what the record holds now: polls if a pending interrupt has a higher priority than both the task's and the one in
 * service. Changes EAX, ECX and the flags.
 */
function emitPoll(asm: Assembler, set: string): void {
  const higher = asm.label(`${set}_isr_lower`)
  const done = asm.label(`${set}_done`)
  // CH is the priority in service, CL the task's.
  asm.movzx(eax, cl).shr(ecx, 8)
  asm.cmp(al, cl).jae(higher).mov(al, cl).bind(higher)
  asm.shr(ecx, 16).cmp(cl, al).jbe(done)
  asm.mov(eax, HYPERCALL_POLL).vmcall()
  asm.bind(done)
}

/** PUSH of the priority: the pushed EAX takes its place. */
function emitGetStack(asm: Assembler, { get, getStack }: HelperLabels): void {
  asm.align(4).bind(getStack)
  asm
    .call(get[0] as Label)
    .xchg(eax, dword(esp, { disp: 4 }))
    .ret()
}

function emitSetEax(asm: Assembler, { set, setEax }: HelperLabels): void {
  asm.align(4).bind(setEax).push(eax).call(set).ret()
}

/**
 * Helpers of a guest with several: interrupts are off, so that the processor and its record stay the same. A processor
 * whose record is not enabled accesses the real register: the report of it lets the host enable the record.
 */
function emitSeveral(asm: Assembler, labels: HelperLabels, area: Label, shift: Label, realTpr: Label): void {
  /** Record of this processor, as an offset in the area. */
  const findRecord = (target: Gp32): Assembler =>
    asm
      .movzx(target, byte(KPCR_NUMBER, { segment: fs }))
      .mov(cl, byte(shift))
      .shl(target, cl)

  const real = asm.label('mp_get_real')
  const gotIt = asm.label('mp_got_it')
  asm
    .align(4)
    .bind(labels.get[0] as Label)
    .out(VAPIC_PORT, al)
  asm.pushfd().push(ecx).cli()
  findRecord(eax)
  asm.inc(dword(eax, { disp: area.plus(RECORD_CALLS) }))
  asm.test(byte(eax, { disp: area.plus(RECORD_ENABLED) }), 1).jz(real)
  asm.movzx(eax, byte(eax, { disp: area }))
  asm.bind(gotIt).pop(ecx).popfd().ret()
  // Two instructions that no table row has, so that they are never patched.
  asm.bind(real).mov(eax, dword(realTpr)).mov(eax, dword(eax)).jmp(gotIt)

  labels.get.forEach((label, number) => {
    const target = TARGETS[number]
    if (label === undefined || target === undefined || number === 0) return
    asm
      .align(4)
      .bind(label)
      .push(eax)
      .call(labels.get[0] as Label)
      .mov(target, eax)
      .pop(eax)
      .ret()
  })
  emitGetStack(asm, labels)
  emitSetEax(asm, labels)

  const setReal = asm.label('mp_set_real')
  const end = asm.label('mp_set_end')
  asm.align(4).bind(labels.set).out(VAPIC_PORT, al)
  asm.pushfd().push(eax).push(ecx).push(edx).cli()
  findRecord(edx)
  asm.inc(dword(edx, { disp: area.plus(RECORD_CALLS) }))
  asm.test(byte(edx, { disp: area.plus(RECORD_ENABLED) }), 1).jz(setReal)
  // Stack: EDX, ECX, EAX, flags, return address, value.
  const again = asm.here('mp_again')
  asm
    .mov(eax, dword(edx, { disp: area }))
    .mov(ecx, eax)
    .mov(cl, byte(esp, { disp: 20 }))
  asm
    .lock()
    .cmpxchg(dword(edx, { disp: area }), ecx)
    .jnz(again)
  emitPoll(asm, 'mp')
  asm.bind(end).pop(edx).pop(ecx).pop(eax).popfd().ret(4)
  asm
    .bind(setReal)
    .mov(eax, dword(realTpr))
    .mov(ecx, dword(esp, { disp: 20 }))
    .mov(dword(eax), ecx)
    .jmp(end)
}
