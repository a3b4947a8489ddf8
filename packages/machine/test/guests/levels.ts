import { al, ax, cr0, ds, dword, eax, ecx, fword, qword, ss } from '@retrap/x86-assembler'
import { AT, guest, SELECTOR } from './bench.ts'

/** Interrupts and returns between levels. */
export function levels(): Uint8Array {
  return guest((bench) => {
    const { asm } = bench
    bench.attempt('INT 80h in level 0', (a) => a.int(0x80))
    bench.attempt('INT3', (a) => a.int3())
    bench.attempt('UD2', (a) => a.ud2())
    bench.attempt('a division by zero', (a) => a.xor(ecx, ecx).div(ecx))
    bench.attempt('INTO with OF', (a) => a.mov(eax, 0x7fff_ffff).inc(eax).into())
    bench.attempt('BOUND outside', (a) =>
      a
        .mov(eax, 9)
        .mov(dword(AT.data), 1)
        .mov(dword(AT.data + 4), 8)
        .bound(eax, qword(AT.data)),
    )
    const user = (name: string, code: (a: typeof asm) => void, flags = 2): void => {
      bench.attempt(name, (a) => {
        const target = a.label()
        bench.toUser(target, flags)
        a.bind(target)
        code(a)
        a.int(0x30)
      })
    }
    user('INT 30h from level 3', () => undefined)
    user('INT 30h from level 3 with TF-free odd flags', () => undefined, 0x4_0c46)
    user('INT 20h from level 3', (a) => a.int(0x20))
    user('CLI in level 3', (a) => a.cli())
    user('CLI in level 3 at IOPL 3', (a) => a.cli().sti().cli(), 0x3002)
    user('HLT in level 3', (a) => a.hlt())
    user('IN in level 3', (a) => a.in(al, 0x60))
    user('MOV CR0 in level 3', (a) => a.mov(eax, cr0))
    user('LGDT in level 3', (a) => a.lgdt(fword(AT.data)))
    user('loading DS with a level-0 selector', (a) => a.mov(ax, SELECTOR.data).mov(ds, ax))
    user('loading SS with a null selector', (a) => a.xor(eax, eax).mov(ss, ax))
    user('loading DS with an index beyond the GDT', (a) => a.mov(ax, 0x103).mov(ds, ax))
    user('POPF in level 3 changes no IF or IOPL', (a) => a.push(0x3202).popfd())
    user('RETF to level 0', (a) => a.push(SELECTOR.code).push(AT.code).retf())
    user('IRET to level 0', (a) => a.push(2).push(SELECTOR.code).push(AT.code).iretd())
  })
}
