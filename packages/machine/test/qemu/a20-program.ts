import * as x86 from '@retrap/x86-assembler'
import { leave, show } from '../support/boot-disk.ts'
import { protectedMode } from './smm-context.ts'

/** A step of the program: its name, and how many bytes it shows. */
export type Step = readonly [name: string, bytes: number]

const MIB = 1 << 20
const CR4_PSE = 0x10
const CR4_PAE = 0x20
const EFER = 0xc000_0080
const EFER_LME = 0x100
const PG = 0x8000_0000 | 0
/** Each MiB has its number and 40H there. */
const MARK = 0x6_0500
/** Page tables: one chain in an even MiB, the other in the odd one above it. */
const EVEN = 2 * MIB
const ODD = 3 * MIB
/** A linear address that the even chain maps to MiB 6, and the odd one to MiB 5. */
const PROBE = 8 * MIB
/** The same to MiB 7, in both. */
const PROBE_ODD = 9 * MIB
const LAST = 9

/** Names of steps that QEMU answers in a way of its own. */
export const OUTPUT_PORT = 'output port'
export const PDPTE_BITS = 'accessed and dirty bits, PAE'

/** Ways to switch the line, and to read what was written last. */
const METHODS = {
  'port 92h': (asm: x86.Assembler, works: boolean) => asm.mov(x86.al, works ? 2 : 0).out(0x92, x86.al),
  'output port of the keyboard controller': (asm: x86.Assembler, works: boolean) =>
    asm
      .mov(x86.al, 0xd1)
      .out(0x64, x86.al)
      .mov(x86.al, works ? 0xdf : 0xdd)
      .out(0x60, x86.al),
  'commands of the keyboard controller': (asm: x86.Assembler, works: boolean) =>
    asm.mov(x86.al, works ? 0xdf : 0xdd).out(0x64, x86.al),
  'INT 15h': (asm: x86.Assembler, works: boolean) => {
    asm.mov(x86.ax, works ? 0x2401 : 0x2400).db(0xcd, 0x15, 0xfa)
    return asm.db(0x0f, 0x92, 0xc0) // setc al
  },
} as const

const port92 = METHODS['port 92h']

/** A kind of paging: entries' size, index bits of each level from the top down, and what may be large. */
interface Paging {
  readonly name: string
  readonly entryBytes: 4 | 8
  readonly levels: readonly number[]
  /** The level whose entries are pages; levels.length − 1 for 4 KiB. */
  readonly leaf: number
  readonly long?: boolean
}

const PAGINGS: readonly Paging[] = [
  { name: '32-bit, 4 KiB', entryBytes: 4, levels: [22, 12], leaf: 1 },
  { name: '32-bit, 4 MiB', entryBytes: 4, levels: [22, 12], leaf: 0 },
  { name: 'PAE, 4 KiB', entryBytes: 8, levels: [30, 21, 12], leaf: 2 },
  { name: 'PAE, 2 MiB', entryBytes: 8, levels: [30, 21, 12], leaf: 1 },
  { name: '4 levels, 4 KiB', entryBytes: 8, levels: [39, 30, 21, 12], leaf: 3, long: true },
  { name: '4 levels, 2 MiB', entryBytes: 8, levels: [39, 30, 21, 12], leaf: 2, long: true },
  { name: '4 levels, 1 GiB', entryBytes: 8, levels: [39, 30, 21, 12], leaf: 1, long: true },
]

/** The program. @returns its steps, in order */
export function a20Program(asm: x86.Assembler): Step[] {
  const steps: Step[] = []
  const step = (name: string, bytes: number): void => void steps.push([name, bytes])
  realMode(asm, step)
  protectedMode(asm)
  // A mark in each MiB, and code that shows a letter of its own.
  for (let mib = 0; mib <= LAST; mib++) {
    asm.mov(x86.byte(mib * MIB + MARK), 0x40 + mib)
    for (const [i, value] of [0xb0, 0x60 + mib, 0xe6, 0xe9, 0xc3].entries())
      asm.mov(x86.byte(mib * MIB + MARK + 0x10 + i), value)
  }
  flatMemory(asm, step)
  for (const paging of PAGINGS) pagedMemory(asm, paging, step)
  leave(asm)
  return steps
}

type AddStep = (name: string, bytes: number) => void

function realMode(asm: x86.Assembler, step: AddStep): void {
  const look = (segment: number, offset: number): void => {
    show(asm.mov(x86.ax, segment).mov(x86.ds, x86.ax).mov(x86.al, x86.byte(offset)))
  }
  const both = (): void => {
    look(0, 0x7010)
    look(0xffff, 0x7020)
  }
  for (const [name, set] of Object.entries(METHODS)) {
    port92(asm, true)
    asm.mov(x86.ax, 0).mov(x86.ds, x86.ax).mov(x86.byte(0x7010), 0x11)
    asm.mov(x86.ax, 0xffff).mov(x86.ds, x86.ax).mov(x86.byte(0x7020), 0x22)
    set(asm, false)
    if (set === METHODS['INT 15h']) {
      show(asm)
      step('INT 15h 2400h: carry', 1)
    }
    both()
    step(`real mode, off by ${name}`, 2)
    asm.mov(x86.byte(0x7020), 0x33)
    state(asm, step, `off by ${name}`)
    set(asm, true)
    both()
    step(`real mode, on by ${name}`, 2)
    state(asm, step, `on by ${name}`)
  }
  // The later write counts.
  METHODS['commands of the keyboard controller'](asm, false)
  port92(asm, true)
  look(0xffff, 0x7020)
  port92(asm, false)
  METHODS['output port of the keyboard controller'](asm, true)
  look(0xffff, 0x7020)
  // Port 92h has it low already; one more such write counts nevertheless.
  port92(asm, false)
  look(0xffff, 0x7020)
  port92(asm, true)
  step('the later write counts', 3)
  // A read that begins below 1 MiB, and a string that goes on above it.
  asm.mov(x86.ax, 0).mov(x86.ds, x86.ax)
  for (let i = 0; i < 8; i++) asm.mov(x86.byte(0x600 + i), 0x70 + i)
  asm.db(0x31, 0xff).mov(x86.ax, 0xffff).mov(x86.es, x86.ax)
  port92(asm, false)
  // mov si, 600h; mov di, 710h; mov cx, 8; cld; rep movsb; from 0:600h to FFFF:710h, which is 0:700h
  asm.db(0xbe, 0x00, 0x06, 0xbf, 0x10, 0x07, 0xb9, 0x08, 0x00, 0xfc, 0xf3, 0xa4)
  for (const at of [0, 7]) show(asm.mov(x86.al, x86.byte(0x700 + at)))
  // mov eax, [FFFF:000E], from which on there are two bytes of ROM, the last of them a checksum of variables, and two of the
  // vector of INT 0; xchg al, ah; shr eax, 8.
  asm.db(0x26, 0x66, 0xa1, 0x0e, 0x00).db(0x86, 0xe0)
  for (let i = 0; i < 3; i++) show(asm.db(0x66, 0xc1, 0xe8, 0x08))
  port92(asm, true)
  step('a string and a read across 1 MiB', 5)
}

function state(asm: x86.Assembler, step: AddStep, name: string): void {
  const code = 0xe9
  asm.db(0x1e).mov(x86.ax, 0).mov(x86.ds, x86.ax)
  asm.mov(x86.ax, 0x2402).db(0xcd, 0x15, 0xfa, 0xe6, code, 0x88, 0xe0, 0xe6, code)
  asm.mov(x86.ax, 0x2403).db(0xcd, 0x15, 0xfa, 0x88, 0xd8, 0xe6, code)
  // Port 92h, and the output port of the keyboard controller.
  asm.db(0xe4, 0x92, 0xe6, code, 0xb0, 0xd0, 0xe6, 0x64, 0xe4, 0x60, 0xe6, code, 0x1f)
  step(`${name}: INT 15h 2402h (AL, AH) and 2403h (BL), port 92h`, 4)
  step(`${name}: ${OUTPUT_PORT}`, 1)
}

const look32 = (asm: x86.Assembler, address: number): void => void show(asm.mov(x86.al, x86.byte(address)))
const call = (asm: x86.Assembler, address: number): void => void asm.mov(x86.eax, x86.imm32(address)).call(x86.eax)

function flatMemory(asm: x86.Assembler, step: AddStep): void {
  for (const works of [false, true, false]) {
    port92(asm, works)
    for (let mib = 0; mib <= LAST; mib++) {
      look32(asm, mib * MIB + MARK)
      call(asm, mib * MIB + MARK + 0x10)
    }
    step(`protected mode, ${works ? 'on' : 'off'}: a byte and code of each MiB`, 2 * (LAST + 1))
  }
  // HPET's and the IOAPIC's registers are 1 MiB apart: the index register of the IOAPIC is 2.
  asm.mov(x86.dword(0xfec0_0000), x86.imm32(2))
  show(asm.mov(x86.eax, x86.dword(0xfed0_0000)))
  // The revision in HPET's first register.
  port92(asm, true)
  show(asm.mov(x86.eax, x86.dword(0xfed0_0000)))
  step('a device in an odd MiB', 2)
}

function pagedMemory(asm: x86.Assembler, paging: Paging, step: AddStep): void {
  const { name, entryBytes, levels, leaf, long = false } = paging
  build(asm, paging, EVEN, 6)
  build(asm, paging, ODD, 5)
  const enter = (top: number): void => {
    asm.mov(x86.eax, x86.imm32(entryBytes === 8 ? CR4_PAE : CR4_PSE)).mov(x86.cr4, x86.eax)
    asm.mov(x86.eax, x86.imm32(top)).mov(x86.cr3, x86.eax)
    if (long) asm.mov(x86.ecx, x86.imm32(EFER)).rdmsr().or(x86.eax, EFER_LME).wrmsr()
    asm.mov(x86.eax, x86.cr0).or(x86.eax, PG).mov(x86.cr0, x86.eax)
  }
  const back = (): void => {
    asm.mov(x86.eax, x86.cr0).and(x86.eax, ~PG).mov(x86.cr0, x86.eax)
    if (long) asm.mov(x86.ecx, x86.imm32(EFER)).rdmsr().and(x86.eax, ~EFER_LME).wrmsr()
  }
  const look = (): void => {
    look32(asm, PROBE + MARK)
    call(asm, PROBE + MARK + 0x10)
    look32(asm, PROBE_ODD + MARK)
    call(asm, PROBE_ODD + MARK + 0x10)
    look32(asm, MIB + MARK)
  }
  enter(ODD)
  // As it is switched, back and forth: nothing cached survives.
  for (const works of [true, false, true, false]) {
    port92(asm, works)
    look()
  }
  // A store, and its way back.
  asm.mov(x86.byte(PROBE_ODD + MARK + 1), 0x77)
  look32(asm, PROBE_ODD + MARK + 1)
  // The tables are read from where line 20 leads to.
  asm.mov(x86.eax, x86.imm32(ODD)).mov(x86.cr3, x86.eax)
  look()
  port92(asm, true)
  asm.mov(x86.eax, x86.cr3).mov(x86.cr3, x86.eax)
  look()
  back()
  step(`${name}: reads and code`, 31)
  for (let mib = 0; mib <= LAST; mib++) look32(asm, mib * MIB + MARK + 1)
  for (let mib = 0; mib <= LAST; mib++) asm.mov(x86.byte(mib * MIB + MARK + 1), 0)
  step(`${name}: the store`, LAST + 1)
  // Accessed and dirty bits of a walk with the line low, from the odd chain's top.
  for (const chain of [EVEN, ODD]) build(asm, paging, chain, chain === EVEN ? 6 : 5)
  port92(asm, false)
  enter(ODD)
  asm.mov(x86.byte(PROBE + MARK + 1), 0)
  back()
  port92(asm, true)
  for (const chain of [EVEN, ODD])
    for (let level = 0; level <= leaf; level++)
      look32(asm, chain + level * 0x1000 + Math.floor((PROBE + MARK) / 2 ** levels[level]!) * entryBytes)
  step(
    `${name}: ${entryBytes === 8 && !long ? PDPTE_BITS : 'accessed and dirty bits'} of the even chain, then of the odd one`,
    2 * (leaf + 1),
  )
}

/** Tables of a chain, one a page: the low 8 MiB are mapped as they are, then PROBE and PROBE_ODD. Loops by EDI, EBX and ECX. */
function build(
  asm: x86.Assembler,
  { entryBytes, levels, leaf, long = false }: Paging,
  chain: number,
  target: number,
): void {
  // All is cleared.
  asm.xor(x86.eax, x86.eax).mov(x86.edi, x86.imm32(chain)).mov(x86.ecx, x86.imm32(0x3000)).cld().rep().stosd()
  const set = (at: number, value: number): void => void asm.mov(x86.dword(at), x86.imm32(value | 0))
  const pae = entryBytes === 8 && !long
  for (let level = 0; level < leaf; level++) {
    const flags = pae && level === 0 ? 1 : 3
    // All levels but the last lead on by their first entry; the last has an entry for each of its tables.
    if (level < leaf - 1) set(chain + level * 0x1000, (chain + (level + 1) * 0x1000) | flags)
    else {
      const span = 2 ** levels[level]!
      for (let i = 0; i * span < 10 * MIB; i++)
        set(chain + level * 0x1000 + i * entryBytes, (chain + (leaf + i) * 0x1000) | flags)
    }
  }
  const page = 2 ** levels[leaf]!
  const large = leaf < levels.length - 1 ? 0x80 : 0
  // Pages in order: tables of the last level lie one behind the other.
  const first = chain + leaf * 0x1000
  const pages = Math.ceil((8 * MIB) / page)
  asm
    .mov(x86.edi, x86.imm32(first))
    .mov(x86.ebx, x86.imm32(3 | large))
    .mov(x86.ecx, x86.imm32(pages))
  const next = asm.here()
  asm.mov(x86.dword(x86.edi), x86.ebx).add(x86.edi, entryBytes).add(x86.ebx, x86.imm32(page)).loop(next)
  if (page > 8 * MIB) return
  const put = (linear: number, gpa: number): void => set(first + (linear / page) * entryBytes, gpa | 3 | large)
  const at = MARK & -page
  if (page === 4096) {
    for (const [linear, mib] of [
      [PROBE, target],
      [PROBE_ODD, 7],
    ] as const)
      put(linear + at, mib * MIB + at)
    return
  }
  // A large page holds both: line 20 chooses.
  put(PROBE, page === 4 * MIB ? (target - 5) * page : (target * MIB) & -page)
}
