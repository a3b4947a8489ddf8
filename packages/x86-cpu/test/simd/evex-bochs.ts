/** Bochs as a processor that has AVX-512: its disk has the cases, and a ROM in place of its BIOS executes them one by one. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as x86 from '@retrap/x86-assembler'
import { Assembler } from '@retrap/x86-assembler'
import { REGISTER_NAMES } from '../../src/system/initial-state.ts'
import * as evex from './evex-cases.ts'

const PROGRAM = 'bochs-bin'
const SECTOR = 512
/** Cases that are read and written at once: 250 sectors. */
const CHUNK = 50
const CHUNK_BYTES = CHUNK * evex.CASE_BYTES
const CHUNK_SECTORS = CHUNK_BYTES / SECTOR
const ROM = 0xf_0000
const BUFFER = 0x20_0000
const TABLES = 0x7_0000
const IDT = 0x7_4000
const STACK = 0x6_f000
const CODE = 0x1000
/** Variables: the next sector, and the chunks that are left. */
const NEXT = 0x6000
const LEFT = 0x6004
const [READ, WRITE] = [0x20, 0x30]

/** Assembles the ROM. */
function rom(chunks: number): Uint8Array {
  const { al, ax, bl, cr0, cr3, cr4, cs, cx, dx, di, ds, es, ss, eax, ebx, ecx, edx, esi, edi, ebp, esp } = x86
  const { r8d, rdi, rsi, rbp, r15, r15d } = x86
  const all = x86 as unknown as Record<string, never>
  const asm = new Assembler({ bits: 16, address: ROM })
  const label = (name: string): x86.Label => asm.label(name)
  const [long, gdt, gdtr, idtr] = [label('long'), label('gdt'), label('gdtr'), label('idtr')]
  const [stubs, saved, transfer] = [label('stubs'), label('saved'), label('transfer')]
  // Page tables: 2 MiB of small pages, without the page behind a case's memory, and 2 MiB for the buffer.
  const [segment, end] = [TABLES / 16, 0x3000 + evex.END / 512]
  const table = (at: number) => x86.dword(at, { segment: es })
  asm.cli().cld().mov(ax, segment).mov(es, ax).xor(di, di).xor(eax, eax).mov(cx, 0x1400).rep().stosd()
  for (const i of [0, 1, 2]) asm.mov(table(0x1000 * i), TABLES + 0x1000 * i + 0x1003)
  asm.mov(table(0x2008), BUFFER | 0x83)
  asm.mov(di, 0x3000).mov(eax, 3).mov(cx, 512)
  const [entry, page] = [x86.dword(di, { segment: es }), asm.here('page')]
  asm.mov(entry, eax).add(di, 8).add(eax, 0x1000).dec(cx).jnz(page)
  asm.mov(table(end), 0)
  asm.in(al, 0x92).or(al, 2).out(0x92, al)
  asm.lgdt(x86.ptr(gdtr.plus(-ROM), { segment: cs }))
  asm.mov(eax, 0x4_0620).mov(cr4, eax).mov(eax, TABLES).mov(cr3, eax).mov(ecx, 0xc000_0080).xor(edx, edx)
  asm.mov(eax, 0x100).wrmsr().mov(eax, 0x8000_0033).mov(cr0, eax)
  asm.jmp(x86.far32(8, long)).align(8)
  asm.bind(gdt).dq(0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn)
  asm.bind(gdtr).dw(23).dd(gdt).bind(idtr).dw(0x1ff).dq(BigInt(IDT))

  const part = (disp: number) => x86.qword(r15, { disp })
  const [next, left] = [x86.dword(x86.abs(NEXT)), x86.dword(x86.abs(LEFT))]
  asm.bits(64).bind(long).mov(eax, 16).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(esp, STACK)
  asm.xor(ecx, ecx).xor(edx, edx).mov(eax, 0xe7).xsetbv().mov(edi, IDT).mov(eax, stubs).mov(ecx, 32)
  const gate = asm.here('gate')
  asm.mov(x86.dword(rdi), eax).mov(x86.word(rdi, { disp: 2 }), 8)
  asm.mov(x86.dword(rdi, { disp: 4 }), ROM | 0x8e00)
  asm.add(rdi, 16).add(eax, 16).dec(ecx).jnz(gate)
  asm.lidt(x86.ptr(x86.abs(idtr))).mov(next, 0)
  asm.mov(left, chunks)
  const chunk = asm.here('chunk')
  asm.mov(ebx, READ).call(transfer).mov(r15d, BUFFER)
  // The instruction and RET, the memory, all registers.
  const one = asm.here('one')
  const [code, memory] = [x86.ptr(r15, { disp: evex.CODE_AT + 1 }), x86.ptr(r15, { disp: evex.MEMORY })]
  const [from, count] = [evex.END - evex.MEMORY_BYTES, evex.MEMORY_BYTES]
  const flags = part(evex.FLAGS)
  const mxcsr = x86.dword(r15, { disp: evex.MXCSR })
  asm.movzx(ecx, x86.byte(r15, { disp: evex.CODE_AT }))
  asm.lea(rsi, code).mov(edi, CODE).rep().movsb()
  asm.mov(x86.byte(rdi), 0xc3)
  asm.lea(rsi, memory).mov(edi, from).mov(ecx, count).rep().movsb()
  const vectors = Array.from({ length: 32 }, (_, i) => [all[`zmm${i}`]!, x86.zmmword(r15, { disp: 64 * i })] as const)
  const masks = Array.from({ length: 8 }, (_, i) => [all[`k${i}`]!, part(evex.MASKS + 8 * i)] as const)
  const general = REGISTER_NAMES.flatMap((name, i) =>
    evex.KEPT.includes(i) ? [] : [[all[name]!, part(evex.GENERAL + 8 * i)] as const],
  )
  for (const [register, place] of vectors) asm.vmovdqu64(register, place)
  for (const [register, place] of masks) asm.kmovq(register, place)
  asm.ldmxcsr(mxcsr).push(2).popfq().mov(ebp, CODE).mov(ebx, evex.END)
  for (const [register, place] of general) asm.mov(register, place)
  asm.call(rbp)
  for (const [register, place] of general) asm.mov(place, register)
  asm.pushfq().pop(flags).bind(saved)
  for (const [register, place] of vectors) asm.vmovdqu64(place, register)
  for (const [register, place] of masks) asm.kmovq(place, register)
  asm.stmxcsr(mxcsr).mov(esi, from).lea(rdi, memory).mov(ecx, count).rep().movsb().add(r15, evex.CASE_BYTES)
  asm.cmp(r15d, BUFFER + CHUNK_BYTES).jb(one)
  asm.mov(ebx, WRITE).call(transfer)
  asm.add(next, CHUNK_SECTORS).dec(left).jnz(chunk).mov(dx, 0x8900)
  // Bochs ends.
  for (const letter of 'Shutdown') asm.mov(al, letter.charCodeAt(0)).out(dx, al)
  asm.hlt()

  // Reads or writes the buffer, by the command in BL.
  asm.bind(transfer).mov(eax, next).mov(dx, 0x1f3).out(dx, al)
  for (const port of [0x1f4, 0x1f5]) asm.shr(eax, 8).mov(dx, port).out(dx, al)
  asm.mov(dx, 0x1f6).mov(al, 0xe0).out(dx, al).mov(dx, 0x1f2).mov(al, CHUNK_SECTORS).out(dx, al)
  asm.mov(dx, 0x1f7).mov(al, bl).out(dx, al).mov(esi, BUFFER).mov(edi, esi).mov(r8d, CHUNK_SECTORS)
  const [sector, outward, done] = [asm.here('sector'), label('outward'), label('done')]
  const words = SECTOR / 2
  asm.mov(dx, 0x1f7)
  const busy = asm.here('busy')
  asm.in(al, dx).and(al, 0x88).cmp(al, 8).jnz(busy).mov(dx, 0x1f0).mov(ecx, words).cmp(bl, READ).jnz(outward)
  asm.rep().insw().jmp(done).bind(outward).rep().outsw().bind(done).dec(r8d).jnz(sector).mov(dx, 0x1f7)
  const settled = asm.here('settled')
  asm.in(al, dx).test(al, 0x80).jnz(settled).ret()

  const fault = asm.here('fault')
  asm.mov(esp, STACK).jmp(saved).align(16).bind(stubs)
  for (let vector = 0; vector < 32; vector++)
    asm
      .align(16)
      .mov(x86.dword(r15, { disp: evex.SIGNAL }), evex.SIGNALS[vector] ?? 255)
      .jmp(fault)
  asm.bits(16).org(ROM + 0xfff0)
  asm.jmp(x86.far(ROM / 16, 0)).align(16)
  return asm.assemble().bytes
}

/** Looks for a Bochs on PATH that has AVX512_FP16, or says why there is none to ask. */
export function openBochs(): evex.EvexProcessor | string {
  const { stdout, stderr, error } = spawnSync(PROGRAM, ['--help', 'cpu'], { encoding: 'utf8' })
  if (error !== undefined || !`${stdout}${stderr}`.includes('sapphire_rapids'))
    return `PATH has no ${PROGRAM} of Bochs 3.0 or later, as in Debian 13's packages bochs and bochs-term`
  return {
    has: () => true,
    run: (cases) => {
      const folder = mkdtempSync(join(tmpdir(), 'retrap-bochs-'))
      try {
        const chunks = Math.ceil(cases.length / CHUNK)
        const cylinders = Math.ceil((chunks * CHUNK_SECTORS) / (16 * 63))
        const disk = new Uint8Array(cylinders * 16 * 63 * SECTOR)
        for (let i = 0; i < chunks * CHUNK; i++) disk.set(cases[i % cases.length]!, i * evex.CASE_BYTES)
        const files = { disk, rom: rom(chunks), vga: new Uint8Array(SECTOR) }
        for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes)
        const lines = [
          `cpu: model=sapphire_rapids, add_features=avx512vp2intersect, count=1, ips=1000000, reset_on_triple_fault=0`,
          `romimage: file="${folder}/rom", address=0xffff0000`,
          `vgaromimage: file="${folder}/vga"`,
          'ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14',
          `ata0-master: type=disk, mode=flat, path="${folder}/disk", cylinders=${cylinders}, heads=16, spt=63`,
          ...[
            'megs: 32',
            'display_library: term',
            'boot: disk',
            'sound: driver=dummy',
            'panic: action=fatal',
            `log: ${folder}/log`,
            '',
          ],
        ]
        writeFileSync(join(folder, 'bochsrc'), lines.join('\n'))
        const options = {
          env: { ...process.env, TERM: 'xterm' },
          cwd: folder,
          maxBuffer: 1 << 28,
          timeout: 600_000,
          killSignal: 'SIGKILL',
        } as const
        const { status } = spawnSync(PROGRAM, ['-q', '-f', join(folder, 'bochsrc')], options)
        const log = readFileSync(join(folder, 'log'), 'utf8')
        if (!log.includes('hutdown'))
          throw new Error(`Bochs: status ${status}, ${log.match(/.*PANIC.*/)?.[0] ?? log.slice(-1000)}`)
        const after = readFileSync(join(folder, 'disk'))
        return cases.map((_, i) => Uint8Array.from(after.subarray(i * evex.CASE_BYTES, (i + 1) * evex.CASE_BYTES)))
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  }
}
