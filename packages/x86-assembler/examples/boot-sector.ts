// A boot sector that prints a greeting through the BIOS and stops.
import { ah, al, Assembler, ax, bx, ds, si } from '@retrap/x86-assembler'

const asm = new Assembler({ bits: 16, address: 0x7c00 })
const greeting = asm.label('greeting')
const stop = asm.label('stop')

asm.xor(ax, ax).mov(ds, ax).cld().mov(si, greeting)
const next = asm.here('next')
asm.lodsb().test(al, al).jz(stop)
asm.mov(ah, 0x0e).mov(bx, 7).int(0x10).jmp(next)
asm.bind(stop).hlt().jmp(stop)
asm.bind(greeting).asciz('hello')
asm.org(0x7dfe).dw(0xaa55)

const program = asm.assemble()
console.log(program.bytes.length, program.symbols.get('greeting'))
console.log(program.listing().split('\n').slice(1, 5).join('\n'))

// Output:
// 512 31769n
// 7c00  31 c0                              xor ax, ax
// 7c02  8e d8                              mov ds, ax
// 7c04  fc                                 cld
// 7c05  be 19 7c                           mov si, greeting
