import { ax, bx, dx, eax, ebx, edi, esi, ptr, qword, r12, r12d, r13, r13d, rbx, rdi, rip } from '@retrap/x86-assembler'
import type { Guest } from './guest.ts'
import { PORT } from './memory-map.ts'

const ENABLE = 0x8000_0000
const CLASS_REVISION = 0x08
const HEADER_TYPE_DWORD = 0x0c
const MULTI_FUNCTION_BIT = 23
/** Devices on a bus, times functions: the numbers that configuration addresses have in bits 8 to 15. */
const FUNCTIONS = 32 * 8

/** PCI Code and ID Assignment Specification, "Base Class". */
const CLASSES = [
  'unclassified',
  'storage',
  'network',
  'display',
  'multimedia',
  'memory',
  'bridge',
  'communication',
  'system',
  'input',
  'docking station',
  'processor',
  'serial bus',
]

/** Emits code that lists bus 0 by PCI configuration mechanism 1. */
export function emitPci(guest: Guest): void {
  const { asm } = guest

  // EDI: bus, device, function and register, as in CF8. EAX: the dword.
  guest.define('pciRead', [], () => {
    asm.mov(eax, edi).or(eax, ENABLE).mov(dx, PORT.pciAddress).out(dx, eax)
    asm.mov(dx, PORT.pciData).in(eax, dx)
  })

  // EDI: as above; ESI: the dword to write.
  guest.define('pciWrite', [], () => {
    asm.mov(eax, edi).or(eax, ENABLE).mov(dx, PORT.pciAddress).out(dx, eax)
    asm.mov(dx, PORT.pciData).mov(eax, esi).out(dx, eax)
  })

  const names = CLASSES.map((name) => guest.text(name))
  const classTable = guest.constant('pci.classes', 8, () => asm.dq(...names))

  guest.define('reportPci', [rbx, r12, r13], (done) => {
    const next = asm.label()
    const present = asm.label()
    const nameless = asm.label()
    guest.say('PCI\n')
    asm.xor(r12d, r12d)

    const probe = asm.here()
    asm.mov(edi, r12d).shl(edi, 8)
    guest.call('pciRead')
    asm.mov(ebx, eax).cmp(ax, 0xffff).jne(present)
    // Without function 0 the device has no other functions.
    asm.test(r12d, 7).jnz(next).add(r12d, 7).jmp(next)

    asm.bind(present)
    guest.say('  00:')
    putField(guest, 2, () => asm.mov(edi, r12d).shr(edi, 3))
    guest.say('.')
    putField(guest, 1, () => asm.mov(edi, r12d).and(edi, 7))
    guest.say('  ')
    putField(guest, 4, () => asm.movzx(edi, bx))
    guest.say(':')
    putField(guest, 4, () => asm.mov(edi, ebx).shr(edi, 16))
    guest.say('  class ')
    asm.mov(edi, r12d).shl(edi, 8).add(edi, CLASS_REVISION)
    guest.call('pciRead')
    asm.mov(r13d, eax).shr(r13d, 16)
    putField(guest, 4, () => asm.mov(edi, r13d))
    asm.shr(r13d, 8).cmp(r13d, CLASSES.length).jae(nameless)
    guest.say('  ')
    asm.lea(rdi, ptr(rip(classTable))).mov(rdi, qword(rdi, { index: r13, scale: 8 }))
    guest.call('putText')
    asm.bind(nameless)
    guest.say('\n')

    // The other seven functions of a single-function device may alias it.
    asm.test(r12d, 7).jnz(next).mov(edi, r12d).shl(edi, 8).add(edi, HEADER_TYPE_DWORD)
    guest.call('pciRead')
    asm.bt(eax, MULTI_FUNCTION_BIT).jc(next).add(r12d, 7)
    asm.bind(next).inc(r12d).cmp(r12d, FUNCTIONS).jb(probe).jmp(done)
  })
}

function putField(guest: Guest, digits: number, load: () => void): void {
  load()
  guest.asm.mov(esi, digits)
  guest.call('putHex')
}
