/**
 * An option ROM of our own: entry, structure, helpers, fixup table, records.
 *
 * Helpers for one processor neither read nor write the flags, so that they have none to save: they count by LEA, subtract
 * by NOT and LEA, and decide by JECXZ. Helpers for several processors run with interrupts off, because their record must
 * stay that of the processor that they run on.
 *
 * Each helper begins with an OUT, before the first address that depends on where the ROM is mapped. After hibernation the
 * ROM is fresh and the guest's patches are old: the OUT has the host fix the addresses. The host overwrites it then.
 *
 * A priority is stored by an exchange, which is a full barrier, and the classes in service and pending are loaded behind
 * it. A hypervisor that makes a vector pending before it looks at the priority therefore sees the new one, or its vector
 * is seen here.
 *
 * Source: the kvmvapic option ROM's interface; Intel SDM vol. 2 for the instructions, vol. 3A, "Task and Processor
 * Priorities", "Memory Ordering".
 *
 * @packageDocumentation
 */
import {
  ah,
  al,
  Assembler,
  ax,
  byte,
  ch,
  cl,
  cs,
  cx,
  dh,
  di,
  dl,
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
  type Label,
  near,
} from '@retrap/x86-assembler'
import { KPCR_NUMBER } from './patcher.ts'
import {
  CALLS_SIGNATURE,
  RECORD_CALLS,
  RECORD_ENABLED,
  ROM_BYTES,
  ROM_STRUCTURE,
  SIGNATURE,
  VAPIC_PORT,
} from './structure.ts'

const BLOCK_BYTES = 512
/** The records have pages of their own: a guest that writes them writes no page of code. */
const AREA = 0x1000
const AREA_BYTES = ROM_BYTES - AREA
/** Any byte that neither entry nor structure uses. */
const CHECKSUM_AT = 0x06
const FIXUP_BYTES = 4

/** Number of the polling hypercall, with EAX's value. */
const HYPERCALL_POLL = 1

/** Registers that a value can be read into, by encoding; ESP has no helper. */
const TARGETS = [eax, ecx, edx, ebx, undefined, ebp, esi, edi] as const

/** Labels of one set of helpers, by the structure's names. */
interface Helpers {
  readonly set: Label
  readonly setEax: Label
  readonly get: readonly (Label | undefined)[]
  readonly getStack: Label
}

/** The places that helpers refer to. */
interface Places {
  /** First record. */
  readonly area: Label
  /** The structure's field with the logarithm of a record's size. */
  readonly shift: Label
  /** The structure's field with the address of the task priority register. */
  readonly realTpr: Label
}

function labelsOf(asm: Assembler, name: string): Helpers {
  return {
    set: asm.label(`${name}_set`),
    setEax: asm.label(`${name}_set_eax`),
    get: TARGETS.map((target, i) => (target === undefined ? undefined : asm.label(`${name}_get_${i}`))),
    getStack: asm.label(`${name}_get_stack`),
  }
}

/** The structure; see `structure.ts` for its fields. */
function structure(asm: Assembler, places: Places, fixups: [Label, Label], sets: readonly Helpers[]): void {
  const self = asm.here('structure')
  asm
    .db(...SIGNATURE)
    .dd(self)
    .dd(...fixups)
    .dd(places.area)
    .dd(AREA_BYTES)
  asm.bind(places.shift).dd(0)
  asm.bind(places.realTpr).dd(0)
  for (const { set, setEax, get, getStack } of sets) {
    asm.dd(set).dd(setEax)
    for (const each of get) asm.dd(each ?? 0)
    asm.dd(getStack)
  }
  asm.db(...CALLS_SIGNATURE)
}

/** Initialisation by firmware, in real mode: clears the records and announces the structure. */
function entry(asm: Assembler): void {
  asm.pushf().pusha().push(es)
  asm
    .push(cs)
    .pop(es)
    .mov(di, AREA)
    .mov(cx, AREA_BYTES / 2)
  asm.xor(ax, ax).cld().rep().stosw()
  asm.mov(ax, ROM_STRUCTURE).out(VAPIC_PORT, ax)
  asm.pop(es).popa().popf().retf()
}

/** `set_tpr_eax` puts EAX below the return address, as a caller of `set_tpr` would have, and continues in `set_tpr`. */
function setEaxIntoSet(asm: Assembler, { set, setEax }: Helpers): void {
  asm
    .bind(setEax)
    .push(dword(esp))
    .mov(dword(esp, { disp: 4 }), eax)
  asm.bind(set)
}

/** Asks for pending interrupts; the host may rewrite these eight bytes. */
function poll(asm: Assembler): void {
  asm.mov(eax, HYPERCALL_POLL).vmcall()
}

/** Emits helpers for one processor, which use the first record. */
function single(asm: Assembler, helpers: Helpers, { area }: Places): void {
  const calls = dword(area.plus(RECORD_CALLS))
  const priority = byte(area)

  TARGETS.forEach((target, i) => {
    if (target === undefined) return
    asm.bind(helpers.get[i]!).out(VAPIC_PORT, al)
    asm
      .mov(target, calls)
      .lea(target, dword(target, { disp: 1 }))
      .mov(calls, target)
    asm.movzx(target, priority).ret()
  })

  asm.bind(helpers.getStack).out(VAPIC_PORT, al).push(eax)
  asm
    .mov(eax, calls)
    .lea(eax, dword(eax, { disp: 1 }))
    .mov(calls, eax)
  asm.movzx(eax, priority).mov(dword(esp, { disp: 8 }), eax)
  asm.pop(eax).ret()

  setEaxIntoSet(asm, helpers)
  const ask = asm.label()
  const done = asm.label()
  asm.out(VAPIC_PORT, al).push(eax).push(ecx).push(edx)
  asm
    .mov(eax, calls)
    .lea(eax, dword(eax, { disp: 1 }))
    .mov(calls, eax)
  asm.movzx(eax, byte(esp, { disp: 16 })).mov(edx, eax)
  asm.xchg(priority, al).mov(ecx, dword(area))
  // EAX: in service; ECX: pending; EDX: the new priority. −1 − x is NOT x.
  asm.movzx(eax, ch).bswap(ecx).movzx(ecx, cl)
  asm.not(edx).not(eax)
  asm.lea(edx, dword(edx, { index: ecx })).lea(eax, dword(eax, { index: ecx }))
  // Both are negative, with bits 15:8 set, unless pending is above the priority, and above the interrupt in service.
  asm.movzx(edx, dh).movzx(ecx, ah)
  asm.lea(ecx, dword(ecx, { index: edx })).jecxz(ask)
  asm.bind(done).pop(edx).pop(ecx).pop(eax).ret(4)
  asm.bind(ask)
  poll(asm)
  asm.jmp(done)
}

/** Emits helpers for several processors. Each finds its record by its number in the processor control region. */
function several(asm: Assembler, helpers: Helpers, { area, shift, realTpr }: Places): void {
  const number = byte(KPCR_NUMBER, { segment: fs })

  TARGETS.forEach((target, i) => {
    if (target === undefined) return
    // The shift needs CL, and so a further register: if ECX is the target, it is set last.
    const offset = target === ecx ? eax : target
    const saved = target === ecx ? eax : ecx
    const direct = asm.label()
    const done = asm.label()
    asm.bind(helpers.get[i]!).pushfd().cli().out(VAPIC_PORT, al)
    asm.push(saved).mov(cl, byte(shift)).movzx(offset, number).shl(offset, cl)
    asm.test(byte(offset, { disp: area.plus(RECORD_ENABLED) }), 1).jz(direct)
    asm.inc(dword(offset, { disp: area.plus(RECORD_CALLS) }))
    asm.movzx(target, byte(offset, { disp: area }))
    asm.bind(done).pop(saved).popfd().ret()
    asm.bind(direct).mov(target, dword(realTpr)).mov(target, dword(target)).jmp(done)
  })

  asm.bind(helpers.getStack).push(eax).call(helpers.get[0]!)
  asm
    .mov(dword(esp, { disp: 8 }), eax)
    .pop(eax)
    .ret()

  setEaxIntoSet(asm, helpers)
  const direct = asm.label()
  const done = asm.label()
  asm.pushfd().cli().out(VAPIC_PORT, al).push(eax).push(ecx).push(edx)
  asm.mov(cl, byte(shift)).movzx(eax, number).shl(eax, cl)
  asm.mov(edx, dword(esp, { disp: 20 }))
  asm.test(byte(eax, { disp: area.plus(RECORD_ENABLED) }), 1).jz(direct)
  asm.inc(dword(eax, { disp: area.plus(RECORD_CALLS) }))
  asm
    .mov(ecx, edx)
    .xchg(byte(eax, { disp: area }), cl)
    .mov(eax, dword(eax, { disp: area }))
  // EAX: pending; ECX: in service; EDX: the new priority.
  asm.movzx(ecx, ah).movzx(edx, dl).shr(eax, 24)
  asm.cmp(eax, edx).jbe(done).cmp(eax, ecx).jbe(done)
  poll(asm)
  asm.bind(done).pop(edx).pop(ecx).pop(eax).popfd().ret(4)
  asm.bind(direct).mov(eax, dword(realTpr)).mov(dword(eax), edx).jmp(done)
}

/** Assembles the ROM with room for a number of fixups. */
function assemble(fixups: number) {
  const asm = new Assembler({ bits: 16, address: 0 })
  const start = asm.label('entry')
  const places: Places = { area: asm.label('area'), shift: asm.label('shift'), realTpr: asm.label('real_tpr') }
  const table: [Label, Label] = [asm.label('fixups'), asm.label('fixups_end')]
  const one = labelsOf(asm, 'up')
  const many = labelsOf(asm, 'mp')

  asm
    .db(0x55, 0xaa, ROM_BYTES / BLOCK_BYTES)
    .jmp(near(start))
    .org(ROM_STRUCTURE)
  asm.bits(32)
  structure(asm, places, table, [one, many])
  asm.bits(16)
  // In the ROM's first block: the host takes the block of the OUT for that of the header.
  asm.bind(start)
  entry(asm)
  asm.bits(32)
  single(asm, one, places)
  several(asm, many, places)
  asm.align(FIXUP_BYTES).bind(table[0])
  asm.fill(fixups * FIXUP_BYTES).bind(table[1])
  asm.org(AREA).bind(places.area).fill(AREA_BYTES)
  return asm.assemble()
}

/** Builds the ROM's image, which is always the same. */
export function buildVapicRom(): Uint8Array {
  const addresses = assemble(0).relocations.length
  const { bytes, relocations, symbols } = assemble(addresses)
  const image = Uint8Array.from(bytes)
  const view = new DataView(image.buffer)
  const table = Number(symbols.get('fixups'))
  relocations.forEach(({ offset }, i) => view.setUint32(table + i * FIXUP_BYTES, offset - ROM_STRUCTURE, true))
  image[CHECKSUM_AT] = -image.reduce((sum, each) => sum + each, 0)
  return image
}
